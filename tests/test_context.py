"""What a CI run says of itself is read as it is, and what is not said is not assumed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from msgspec.structs import replace

from shipway import context as context_module
from shipway.canonical import Json
from shipway.ci import CiContext, Provider, Token, ci_context, github_context, origin
from shipway.context import Context, Invoker, Platform, no_color, read_context, read_event, runner_context
from shipway.errors import Reason, UsageError
from shipway.trigger import WorkKind, commanded_work, event_work, may_execute

WEBHOOKS = Path(__file__).parent / "vendor" / "github" / "webhooks"
HEAD = "ec26c3e57ca3a959ca5aad62de7213c562f8c821"

GITHUB = {
    "GITHUB_ACTIONS": "true",
    "GITHUB_SERVER_URL": "https://github.com",
    "GITHUB_API_URL": "https://api.github.com",
    "GITHUB_GRAPHQL_URL": "https://api.github.com/graphql",
    "GITHUB_REPOSITORY": "Codertocat/Hello-World",
    "GITHUB_SHA": "f" * 40,
    "GITHUB_RUN_ID": "77",
    "GITHUB_RUN_ATTEMPT": "2",
    "GITHUB_RUN_NUMBER": "9",
    "GITHUB_ACTOR": "octocat",
    "GITHUB_TRIGGERING_ACTOR": "hubot",
    "GITHUB_ACTOR_ID": "583231",
    "GITHUB_WORKFLOW": "ship",
    "GITHUB_JOB": "plan",
    "GITHUB_TOKEN": "ghs_secret",
}


def payload(name: str) -> dict[str, Json]:
    loaded: dict[str, Json] = json.loads((WEBHOOKS / f"{name}.json").read_text("utf-8"))
    return loaded


def job(
    event: str, ref: str, name: str = "", body: Mapping[str, Json] | None = None, env: Mapping[str, str] | None = None
) -> CiContext:
    event_body = payload(name) if name else body or {}
    ci = ci_context({**GITHUB, "GITHUB_EVENT_NAME": event, "GITHUB_REF": ref, **(env or {})}, event_body)
    assert ci is not None
    return ci


def pushed(ref: str, default_branch: str = "main", **body: Json) -> CiContext:
    repository: dict[str, Json] = {"id": 1, "default_branch": default_branch} if default_branch else {"id": 1}
    return job("push", ref, body={"repository": repository, **body})


def local_context(ci: CiContext | None = None, env: Mapping[str, str] | None = None) -> Context:
    here = Platform("linux", "amd64", "3.11.7")
    return Context(
        env or {}, Path("/w"), Path("/h"), Invoker.CI if ci else Invoker.LOCAL, ci, here, False, False, False, False, 80
    )


def test_l37_a_ci_provider_makes_the_invoker_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GITHUB_ACTIONS", "GITEA_ACTIONS", "FORGEJO_ACTIONS", "GITLAB_CI", "GITHUB_EVENT_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CI", "true")
    assert read_context().invoker is Invoker.LOCAL
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    read = read_context()
    assert read.invoker is Invoker.CI
    assert read.ci is not None
    assert read.ci.provider is Provider.GITHUB


def test_a_context_reads_the_event_and_the_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in GITHUB.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("GITHUB_EVENT_NAME", "pull_request")
    monkeypatch.setenv("GITHUB_EVENT_PATH", str(WEBHOOKS / "pull_request.opened.json"))
    monkeypatch.setenv("COLUMNS", "132")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    read = read_context()
    assert read.ci is not None
    assert read.ci.pull_request == 2
    assert (read.columns, read.no_color, read.cwd, read.home) == (132, True, tmp_path, tmp_path)
    assert read.env["GITHUB_JOB"] == "plan"
    assert read.now().tzinfo is not None
    assert len(read.random_hex(8)) == 16


@pytest.mark.parametrize(
    ("set_", "provider"),
    [
        (("GITHUB_ACTIONS",), Provider.GITHUB),
        (("GITEA_ACTIONS", "GITHUB_ACTIONS"), Provider.GITEA),
        (("FORGEJO_ACTIONS", "GITEA_ACTIONS", "GITHUB_ACTIONS"), Provider.FORGEJO),
        (("GITLAB_CI",), Provider.GITLAB),
    ],
)
def test_l97_the_most_particular_provider_is_detected(set_: tuple[str, ...], provider: Provider) -> None:
    ci = ci_context(dict.fromkeys(set_, "true"), {})
    assert ci is not None
    assert ci.provider is provider
    assert ci_context(dict.fromkeys(set_, "false"), {}) is None


def test_l97_the_head_commit_is_the_events_and_not_the_test_merge() -> None:
    ci = job("pull_request", "refs/pull/2/merge", "pull_request.opened")
    assert (ci.head_sha, ci.sha) == (HEAD, "f" * 40)
    assert ci.base_sha == "f95f852bd8fca8fcc58a9a2d6c842781e32a215e"
    assert pushed("refs/heads/main").head_sha == "f" * 40


def test_a_pull_request_has_no_branch_and_names_what_the_event_names() -> None:
    ci = job(
        "pull_request",
        "refs/pull/2/merge",
        "pull_request.opened",
        env={"GITHUB_REF_NAME": "2/merge", "GITHUB_REF_TYPE": "branch"},
    )
    assert (ci.branch, ci.tag, ci.pull_request) == (None, None, 2)
    assert (ci.base_ref, ci.head_ref, ci.action) == ("master", "changes", "opened")
    assert (ci.default_branch, ci.repository_id) == ("master", 186853002)
    assert (ci.run_id, ci.run_attempt, ci.actor) == ("77", 2, "hubot")
    assert ci.run_url == "https://github.com/Codertocat/Hello-World/actions/runs/77"


def test_a_closed_pull_request_is_none_of_its_base_branch() -> None:
    ci = job("pull_request", "refs/heads/master", "pull_request.closed")
    assert ci.branch is None
    assert not may_execute(ci, ())[0]


def test_the_branch_is_read_from_the_ref_where_its_type_is_not_said() -> None:
    assert pushed("refs/heads/feature/x").branch == "feature/x"
    assert pushed("refs/tags/v1").tag == "v1"
    assert pushed("").branch is None


def test_gitlab_is_read_from_its_own_variables() -> None:
    env = {
        "GITLAB_CI": "true", "CI_PIPELINE_SOURCE": "merge_request_event", "CI_COMMIT_SHA": "c" * 40,
        "CI_MERGE_REQUEST_SOURCE_BRANCH_SHA": "", "CI_MERGE_REQUEST_IID": "5", "CI_DEFAULT_BRANCH": "trunk",
        "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "2", "CI_MERGE_REQUEST_PROJECT_ID": "1", "CI_JOB_TOKEN": "glcbt",
        "GITLAB_TOKEN": "glpat",
        "CI_API_V4_URL": "https://git.example/api/v4",
    }  # fmt: skip
    ci = ci_context(env, {})
    assert ci is not None
    assert (ci.head_sha, ci.pull_request, ci.default_branch, ci.is_fork) == ("c" * 40, 5, "trunk", True)
    assert ci.token == Token("glpat", "https://git.example")
    assert event_work(ci).kind is WorkKind.PLAN


@pytest.mark.parametrize(
    ("env", "value", "host"),
    [
        ({}, "ghs_secret", "https://api.github.com"),
        ({"GITHUB_API_URL": "https://ghe.example/api/v3"}, "ghs_secret", "https://ghe.example"),
        ({"GITEA_ACTIONS": "true"}, None, None),
        ({"GITEA_ACTIONS": "true", "GITEA_TOKEN": "gt"}, "gt", "https://api.github.com"),
        ({"FORGEJO_ACTIONS": "true", "FORGEJO_TOKEN": "fj", "GITEA_TOKEN": "gt"}, "fj", "https://api.github.com"),
    ],
)
def test_l98_a_token_is_bound_to_the_host_of_its_own_ci(
    env: dict[str, str], value: str | None, host: str | None
) -> None:
    token = job("push", "refs/heads/main", env=env).token
    assert (token and token.value, token and token.origin) == (value, host)


def test_no_token_is_ever_shown_by_itself() -> None:
    ci = job("push", "refs/heads/main")
    assert "ghs_secret" not in repr(ci)
    assert "ghs_secret" not in str(ci.token)
    assert "ghs_secret" not in repr(local_context(ci, GITHUB))
    assert "ghs_secret" not in json.dumps(github_context(ci))


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://API.github.com/x", "https://api.github.com"),
        ("https://api.github.com:443/x", "https://api.github.com"),
        ("http://api.github.com", "http://api.github.com"),
        ("http://127.0.0.1:8080/a", "http://127.0.0.1:8080"),
        ("https://api.github.com@evil.example/", "https://evil.example"),
        ("https://[::1]:9/", "https://[::1]:9"),
        ("/relative", ""),
        ("https://host:port/", ""),
    ],
)
def test_l98_the_origin_of_an_address_is_its_scheme_host_and_port(url: str, expected: str) -> None:
    assert origin(url) == expected


def test_the_github_context_has_githubs_names() -> None:
    github = github_context(pushed("refs/heads/release/1"))
    assert github["ref_name"] == "release/1"
    assert github["ref_type"] == "branch"
    assert github["repository_owner"] == "Codertocat"
    assert github["run_attempt"] == "2"
    assert "token" not in github
    assert github_context(pushed("refs/tags/v1"))["ref_type"] == "tag"
    merge = github_context(job("pull_request", "refs/pull/2/merge", "pull_request.opened"))
    assert (merge["ref_name"], merge["event_name"]) == ("2/merge", "pull_request")


def test_the_runner_context_has_githubs_spellings() -> None:
    assert runner_context(local_context())["os"] == "Linux"
    assert runner_context(local_context(env={"RUNNER_OS": "macOS", "RUNNER_ARCH": "ARM64"})) == {
        "arch": "ARM64", "name": "", "os": "macOS", "temp": "",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({}, False), ({"NO_COLOR": ""}, False), ({"NO_COLOR": "0"}, True), ({"TERM": "dumb"}, True),
        ({"TERM": "dumb", "FORCE_COLOR": "1"}, False), ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, True),
    ],
)  # fmt: skip
def test_colour_is_off_where_the_environment_says_so(env: dict[str, str], expected: bool) -> None:
    assert no_color(env) is expected


@pytest.mark.parametrize(
    ("content", "problem"),
    [(b"{", "is not JSON"), (b"[]", "is not a JSON object"), (b"\xff", "is not JSON"), (b"[" * 100_000, "is not JSON")],
)
def test_a_broken_event_file_is_named(tmp_path: Path, content: bytes, problem: str) -> None:
    (tmp_path / "event.json").write_bytes(content)
    with pytest.raises(UsageError, match=problem):
        read_event(str(tmp_path / "event.json"))


def test_an_event_file_that_is_too_large_or_missing_is_named(tmp_path: Path) -> None:
    with (tmp_path / "event.json").open("wb") as file:
        file.truncate(context_module.EVENT_BYTES_MAX + 1)
    with pytest.raises(UsageError, match="has more than"):
        read_event(str(tmp_path / "event.json"))
    with pytest.raises(UsageError, match="cannot be read"):
        read_event(str(tmp_path / "none.json"))


def test_l93_the_default_branch_may_execute_whatever_its_name_or_the_event() -> None:
    assert may_execute(pushed("refs/heads/trunk", "trunk"), ())[0]
    dispatched = job("workflow_dispatch", "refs/heads/trunk", body={"repository": {"default_branch": "trunk"}})
    assert may_execute(dispatched, ())[0]


@pytest.mark.parametrize(
    "ci",
    [
        pushed("refs/heads/feature"),
        pushed("refs/heads/main", "trunk"),
        pushed("refs/tags/main"),
        pushed(""),
        pushed("refs/heads/main", ""),
        job("pull_request", "refs/pull/2/merge", "pull_request.opened"),
        job("push", "refs/heads/master", "pull_request.closed"),
        replace(pushed("refs/heads/main"), is_fork=True),
        replace(pushed("refs/heads/main"), is_dependabot=True),
    ],
    ids=["feature", "main by name only", "tag", "no ref", "unknown default", "request", "closed", "fork", "dependabot"],
)
def test_l93_nothing_else_may_execute(ci: CiContext) -> None:
    may, why = may_execute(ci, ())
    assert not may
    assert why


@pytest.mark.parametrize(
    ("ref", "patterns", "expected"),
    [
        ("refs/tags/v1.2", ("v*",), True),
        ("refs/heads/release/1", ("release/*",), True),
        ("refs/heads/release/1/x", ("release/*",), False),
        ("refs/heads/release/1/x", ("release/**",), True),
        ("refs/heads/main", ("release/*",), False),
        ("refs/heads/release/old", ("release/*", "!release/old"), False),
    ],
)
def test_l93_with_patterns_only_what_matches_may_execute(ref: str, patterns: tuple[str, ...], expected: bool) -> None:
    assert may_execute(pushed(ref), patterns)[0] is expected


@pytest.mark.parametrize("patterns", [("**",), ("*",)])
def test_l93_no_pattern_lets_a_pull_request_or_a_fork_execute(patterns: tuple[str, ...]) -> None:
    assert not may_execute(job("pull_request", "refs/heads/master", "pull_request.closed"), patterns)[0]
    assert not may_execute(replace(pushed("refs/heads/main"), is_fork=True), patterns)[0]


@pytest.mark.parametrize("name", ["opened", "synchronize"])
def test_l94_a_pull_request_is_planned(name: str) -> None:
    work = event_work(job("pull_request", "refs/pull/2/merge", f"pull_request.{name}"))
    assert (work.kind, work.is_trusted) == (WorkKind.PLAN, True)


def test_l95_a_forks_pull_request_is_planned_without_credentials() -> None:
    work = event_work(job("pull_request", "refs/pull/2/merge", "pull_request.fork"))
    assert (work.kind, work.is_trusted) == (WorkKind.PLAN, False)
    assert "docs/github.md#forks" in work.why


@pytest.mark.parametrize("head", [{}, {"repo": None}, {"repo": {}}])
def test_l95_a_head_repository_that_is_gone_counts_as_a_fork(head: Mapping[str, Json]) -> None:
    body: dict[str, Json] = {"pull_request": {"number": 1, "head": head, "base": {"repo": {"id": 1}}}}
    assert not event_work(job("pull_request", "refs/pull/1/merge", body=body)).is_trusted
    assert not event_work(job("pull_request", "refs/pull/1/merge")).is_trusted
    unnamed: dict[str, Json] = {"pull_request": {"number": 1}}
    assert not event_work(job("pull_request", "refs/pull/1/merge", body=unnamed)).is_trusted


@pytest.mark.parametrize(
    "more", [{"GITHUB_ACTOR_ID": "49699333"}, {"GITHUB_ACTOR": "dependabot[bot]", "GITHUB_ACTOR_ID": ""}]
)
def test_l95_dependabots_pull_request_is_planned_without_credentials(more: dict[str, str]) -> None:
    ci = job("pull_request", "refs/pull/2/merge", "pull_request.opened", env=more)
    work = event_work(ci)
    assert (work.kind, work.is_trusted) == (WorkKind.PLAN, False)


def test_a_closed_pull_request_leaves_nothing_to_do() -> None:
    assert event_work(job("pull_request", "refs/heads/master", "pull_request.closed")).kind is WorkKind.CLOSED


@pytest.mark.parametrize(
    ("ci", "patterns", "expected"),
    [
        (job("push", "refs/heads/master", "push.branch"), (), WorkKind.RUN),
        (pushed("refs/heads/feature"), (), WorkKind.IGNORE),
        (pushed("refs/heads/feature"), ("feature",), WorkKind.RUN),
        (pushed("refs/heads/main"), ("feature",), WorkKind.IGNORE),
        (job("push", "refs/tags/simple-tag", "push.tag"), (), WorkKind.IGNORE),
        (job("push", "refs/tags/simple-tag", "push.tag"), ("simple-*",), WorkKind.RUN),
        (job("push", "refs/tags/simple-tag", "push.tag-deleted"), ("simple-*",), WorkKind.IGNORE),
        (pushed("refs/heads/gh-readonly-queue/main/pr-1-abc"), ("**",), WorkKind.IGNORE),
    ],
)
def test_a_push_runs_only_where_it_may(ci: CiContext, patterns: tuple[str, ...], expected: WorkKind) -> None:
    assert event_work(ci, patterns).kind is expected


@pytest.mark.parametrize("event", ["merge_group", "workflow_dispatch"])
def test_read_only_events_plan_and_say_so(event: str) -> None:
    work = event_work(job(event, "refs/heads/main", body={"repository": {"default_branch": "main"}}))
    assert work.kind is WorkKind.PLAN
    assert "never executes" in work.why


def test_a_schedule_looks_for_drift_and_a_plan_has_to_be_named() -> None:
    ci = job("schedule", "refs/heads/main", body={"repository": {"default_branch": "main"}})
    assert event_work(ci).kind is WorkKind.DRIFT
    assert commanded_work("plan", ci).kind is commanded_work("check", ci).kind is WorkKind.PLAN
    by_hand = job("workflow_dispatch", "refs/heads/main", body={"repository": {"default_branch": "main"}})
    assert commanded_work("drift", by_hand).kind is WorkKind.DRIFT
    assert commanded_work("drift", pushed("refs/heads/main")).reason is Reason.EVENT_REFUSED


@pytest.mark.parametrize(
    ("event", "instead"),
    [
        ("pull_request_target", "`pull_request`"), ("issue_comment", "`push`"), ("repository_dispatch", "`workflow_dispatch`"),
        ("release", "`pull_request`"), ("", "`pull_request`"),
    ],
)  # fmt: skip
def test_g063_other_events_are_refused_with_the_event_to_use(event: str, instead: str) -> None:
    work = event_work(job(event, "refs/heads/main", body={"repository": {"default_branch": "main"}}))
    assert (work.kind, work.reason, work.is_trusted) == (WorkKind.REFUSE, Reason.EVENT_REFUSED, False)
    assert instead in work.next


def test_g063_a_workflow_run_after_a_forks_run_is_refused_as_fork_code() -> None:
    body = payload("workflow_run.completed")
    own = event_work(job("workflow_run", "refs/heads/master", body=body))
    assert own.reason is Reason.EVENT_REFUSED
    run = body["workflow_run"]
    assert isinstance(run, dict)
    fork = event_work(
        job("workflow_run", "refs/heads/master", body={**body, "workflow_run": {**run, "head_repository": {"id": 5}}})
    )
    assert (fork.kind, fork.reason) == (WorkKind.REFUSE, Reason.FORK_CODE)
    assert "second workflow" in fork.next


def test_l96_a_hostile_branch_name_is_text_like_any_other() -> None:
    name = 'x"$(touch p)`;\n::set-output name=a::b'
    ci = pushed(f"refs/heads/{name}")
    assert ci.branch == name
    assert name in may_execute(ci, ())[1]
    assert github_context(ci)["ref_name"] == name
