"""`shipway doctor --github`: what of workflows and settings is missing or dangerous, each with its line and what to add."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from shipway import source
from shipway.checkup import Check, Verdict
from shipway.settings_review import (
    Told,
    check_actions,
    check_branch,
    check_default_token,
    check_fork_approval,
    check_required,
)
from shipway.workflow_review import Teller, WorkflowReview
from tests.command_line import Project, make_project
from tests.forge.server import GitHubServer
from tests.forge.world import Grant

C = "c" * 40
GOOD = f"""\
name: shipway
on: [pull_request, push]
permissions: {{}}
jobs:
  plan:
    if: github.event_name == 'pull_request'
    runs-on: ubuntu-24.04
    permissions: {{contents: read, pull-requests: write, checks: write, actions: read}}
    concurrency: {{group: a, cancel-in-progress: true}}
    steps:
      - uses: actions/checkout@{C}
        with: {{persist-credentials: false}}
      - uses: acme/shipway@{C}
  execute:
    if: github.event_name == 'push'
    runs-on: ubuntu-24.04
    permissions: {{contents: read, pull-requests: write, checks: write, actions: read, deployments: write}}
    concurrency: {{group: b, queue: max, cancel-in-progress: false}}
    steps:
      - uses: actions/checkout@{C}
        with: {{persist-credentials: false}}
      - uses: acme/shipway@{C}
"""


def review(text: str, *, state_is_git: bool = False) -> list[Check]:
    tree = source.parse(text.encode(), "w.yml")
    return list(WorkflowReview(tree, state_is_git=state_is_git).checks())


def only(text: str, *, state_is_git: bool = False) -> Check:
    """The one thing that was found."""
    (check,) = review(text, state_is_git=state_is_git)
    assert check.name == "workflow"
    assert check.verdict is Verdict.GOOD or check.next
    return check


def test_a_workflow_that_lacks_nothing_is_good() -> None:
    assert only(GOOD).verdict is Verdict.GOOD


@pytest.mark.parametrize(
    ("old", "new", "verdict", "line", "said", "to_add"),
    [
        ("permissions: {}\n", "", Verdict.LOOK, 3, "no `permissions`", "add `permissions: {}` at the top"),
        ("permissions: {}", "permissions: write-all", Verdict.BAD, 3, "every job may write", "permissions: {}"),
        ("actions: read}\n    concurrency: {group: a", "}\n    concurrency: {group: a",
         Verdict.LOOK, 8, "job `plan` lacks `actions: read`", "actions: read"),
        (", deployments: write", "", Verdict.LOOK, 17, "job `execute` lacks `deployments: write`", "deployments: write"),
        ("contents: read, pull-requests: write, checks: write, actions: read, deployments: write", "contents: read, actions: read",
         Verdict.LOOK, 17, "lacks `pull-requests: write`, `checks: write`, `deployments: write`",
         "pull-requests: write, checks: write, deployments: write"),
        ("    concurrency: {group: a, cancel-in-progress: true}\n", "",
         Verdict.LOOK, 5, "job `plan` has no `concurrency`", "cancel-in-progress: true}"),
        ("    concurrency: {group: b, queue: max, cancel-in-progress: false}\n", "",
         Verdict.LOOK, 14, "job `execute` has no `concurrency`", "queue: max"),
        ("cancel-in-progress: false", "cancel-in-progress: true",
         Verdict.BAD, 18, "cuts it off in the middle", "cancel-in-progress: false"),
        ("queue: max, ", "", Verdict.LOOK, 18, "all but the last are dropped", "queue: max"),
        ("persist-credentials: false", "fetch-depth: 0", Verdict.LOOK, 11, "leaves the job's token", "persist-credentials: false"),
        (f"acme/shipway@{C}", "acme/shipway@v1", Verdict.LOOK, 13, "`acme/shipway@v1` is not",
         "git ls-remote https://github.com/acme/shipway v1"),
        (f"actions/checkout@{C}", "actions/checkout@v6", Verdict.LOOK, 11, "is not pinned", "full commit id"),
    ],
)  # fmt: skip
def test_what_is_missing_has_its_line_and_the_line_to_add(
    old: str, new: str, verdict: Verdict, line: int, said: str, to_add: str
) -> None:
    assert old in GOOD
    found = only(GOOD.replace(old, new, 1))
    assert (found.verdict, found.text.split(": ")[0]) == (verdict, f"w.yml:{line}")
    assert said in found.text
    assert to_add in found.next


def test_state_on_the_remote_needs_to_write_contents() -> None:
    found = only(GOOD, state_is_git=True)
    assert (found.verdict, found.text) == (Verdict.LOOK, "w.yml:17: job `execute` lacks `contents: write`")


def checkout(key: str, value: str) -> str:
    given = f"{{{key}: '{value}', persist-credentials: false}}"
    return f"- uses: actions/checkout@{C}\n        with: {given}"


FETCHES = {
    "a checkout of its commit": checkout("ref", "${{ github.event.pull_request.head.sha }}"),
    "a checkout of its branch": checkout("ref", "${{ github.head_ref }}"),
    "a checkout of its repository": checkout(
        "repository", "${{ github.event.workflow_run.head_repository.full_name }}"
    ),
    "a checkout of its merge": checkout("ref", "refs/pull/${{ github.event.number }}/merge"),
    "git fetch": "- run: git fetch origin pull/$NUMBER/head && git checkout FETCH_HEAD",
    "git fetch by a variable": (
        '- run: git fetch origin "$HEAD"\n        env: {HEAD: "${{ github.event.pull_request.head.sha }}"}'
    ),
    "gh": '- run: gh pr checkout "$NUMBER"',
}


@pytest.mark.parametrize("event", ["pull_request_target", "workflow_run", "issue_comment"])
@pytest.mark.parametrize("how", FETCHES)
def test_a_pull_requests_code_under_a_trusted_event_is_dangerous_in_any_workflow(event: str, how: str) -> None:
    text = f"on: {event}\npermissions: {{}}\njobs:\n  a:\n    runs-on: x\n    steps:\n      {FETCHES[how]}\n"
    found = only(text)
    assert found.verdict is Verdict.BAD
    assert f"fetched under `{event}`" in found.text
    assert "shipway init --forks" in found.next
    assert only(text.replace(event, "pull_request", 1)).verdict is Verdict.GOOD


@pytest.mark.parametrize("event", ["pull_request_target", "issue_comment", "workflow_run"])
def test_shipway_under_an_event_that_it_refuses_is_told_before_it_is_tried(event: str) -> None:
    text = GOOD.replace("[pull_request, push]", event).replace(
        f"acme/shipway@{C}", f"acme/shipway@{C}\n        with: {{command: plan}}", 1
    )
    found = [check for check in review(text) if check.verdict is Verdict.BAD]
    assert f"uses Shipway under `{event}`, which is refused" in found[0].text


@pytest.mark.parametrize(
    ("on", "jobs", "uses"),
    [
        ("pull_request", "permissions: {contents: read}, concurrency: a, uses: acme/shipway/.github/workflows/plan.yml@C",
         {"plan"}),
        ("workflow_run",
         "permissions: {contents: read, pull-requests: write, checks: write, actions: read}, steps: [{uses: acme/shipway@C}]",
         {"publish"}),
        ("push", "permissions: {}, steps: [{uses: acme/other@C}]", set()),
    ],
)  # fmt: skip
def test_the_fork_safe_set_is_known_for_what_it_does(on: str, jobs: str, uses: set[str]) -> None:
    text = f"on: {on}\npermissions: {{}}\njobs:\n  a: {{{jobs.replace('@C', f'@{C}')}}}\n"
    assert only(text).verdict is Verdict.GOOD
    tree = source.parse(text.encode(), "w.yml")
    assert WorkflowReview(tree, state_is_git=False).uses() == uses


def test_images_and_called_workflows_are_to_be_pinned_too() -> None:
    text = (
        "on: push\npermissions: {}\njobs:\n  a: {uses: o/r/.github/workflows/x.yml@main}\n"
        "  b: {steps: [{uses: 'docker://alpine:3'}, {uses: 'docker://alpine@sha256:0'}, {uses: ./here}]}\n"
    )
    assert [check.text for check in review(text)] == [
        "w.yml:4: `o/r/.github/workflows/x.yml@main` is not pinned: a tag or branch can be moved",
        "w.yml:5: `docker://alpine:3` can be another image tomorrow",
    ]


@pytest.mark.parametrize(
    "text", ["on: push\n", "jobs: 1\n", "on: push\njobs: {a: 1, b: {steps: x}, c: {steps: [1]}}\n", "[]", "x"]
)
def test_what_is_no_workflow_is_no_bug(text: str) -> None:
    assert all(check.name == "workflow" for check in review(text))


def test_settings_are_judged_with_what_to_type() -> None:
    def verdicts(checks: Any) -> list[tuple[str, str]]:
        return [(check.name, check.verdict.value) for check in checks]

    write: dict[str, Any] = {"default_workflow_permissions": "write", "can_approve_pull_request_reviews": True}
    assert verdicts(check_default_token(write, "o/r")) == [("default token", "look"), ("approval by workflows", "bad")]
    read: dict[str, Any] = {"default_workflow_permissions": "read", "can_approve_pull_request_reviews": False}
    assert {verdict for _, verdict in verdicts(check_default_token(read, "o/r"))} == {"good"}
    assert verdicts(check_actions({"enabled": False}, "o/r")) == [("actions", "bad")]
    (pins,) = check_actions({"enabled": True, "allowed_actions": "selected", "sha_pinning_required": False}, "o/r")
    assert "-f allowed_actions=selected -F sha_pinning_required=true" in pins.next
    assert verdicts(check_actions({"enabled": True, "sha_pinning_required": True}, "o/r")) == [("actions", "good")]
    assert check_fork_approval({"approval_policy": "first_time_contributors"}, "o/r").verdict is Verdict.LOOK
    assert check_fork_approval({"approval_policy": "all_external_contributors"}, "o/r").verdict is Verdict.GOOD


def rule(count: int = 1, *, dismiss: bool = True, last: bool = False) -> dict[str, Any]:
    parameters = {
        "required_approving_review_count": count,
        "dismiss_stale_reviews_on_push": dismiss,
        "require_last_push_approval": last,
        "require_code_owner_review": False,
        "required_review_thread_resolution": False,
    }
    return {"type": "pull_request", "parameters": parameters}


FORCE: dict[str, Any] = {"type": "non_fast_forward"}


@pytest.mark.parametrize(
    ("rules", "protection", "expected"),
    [
        ([], None, {"reviews": "bad"}),
        ([rule(), FORCE], None, {"reviews": "good"}),
        ([rule(0), FORCE], None, {"reviews": "look"}),
        ([rule(dismiss=False), FORCE], None, {"reviews": "good", "stale reviews": "look"}),
        ([rule(dismiss=False, last=True), FORCE], None, {"reviews": "good"}),
        ([rule()], None, {"reviews": "good", "force pushes": "look"}),
        ([], {"required_pull_request_reviews": {"required_approving_review_count": 2, "dismiss_stale_reviews": True}},
         {"reviews": "good"}),
        ([], {"required_pull_request_reviews": {"required_approving_review_count": 2}, "allow_force_pushes": {"enabled": True}},
         {"reviews": "good", "stale reviews": "look", "force pushes": "look"}),
        ([FORCE], {"enforce_admins": {"enabled": True}}, {"reviews": "bad"}),
    ],
)  # fmt: skip
def test_the_branch_whose_pushes_execute_is_judged_by_rulesets_and_protection(
    rules: Any, protection: Any, expected: Mapping[str, str]
) -> None:
    found = {check.name: check for check in check_branch(rules, protection, "main", "o/r")}
    assert {name: check.verdict.value for name, check in found.items()} == expected
    assert all(check.next for check in found.values() if check.verdict is not Verdict.GOOD)


def test_the_check_of_the_target_is_to_be_required() -> None:
    wanted = "shipway/shop/prod"
    needed: dict[str, Any] = {
        "type": "required_status_checks",
        "parameters": {"required_status_checks": [{"context": wanted}]},
    }
    assert required([needed]) == [("good", f"`{wanted}` required on `main`", "")]
    protection = {"required_status_checks": {"contexts": [wanted]}}
    [(verdict, _, _)] = required([], protection)
    assert verdict == "good"
    [(verdict, text, next)] = required([])
    assert (verdict, text) == ("look", f"`main` can be merged to without `{wanted}`")
    assert f"add `{wanted}` and `{wanted}/fresh` to the required" in next


def required(
    rules: Any, protection: Any = None, *, lacks: str = "", unplanned: str = "", has_groups: bool = False
) -> list[tuple[str, str, str]]:
    """What is said of the required checks of `main`, where whoever `lacks` says is told none."""
    tellers = frozenset(teller for teller in Teller if teller.value != lacks)
    told = Told(tellers, (unplanned,) if unplanned else (), has_groups)
    found = check_required(rules, protection, "shipway/shop/prod", "main", "o/r", told)
    return [(check.verdict.value, check.text, check.next) for check in found]


@pytest.mark.parametrize(
    ("lacks", "who", "next"),
    [
        ("heads", "a pull request", "command: plan"),
        ("forks", "a fork's pull request", "shipway init --forks"),
        ("groups", "a merge group", "command: check"),
    ],
)
def test_a_check_is_not_advised_where_it_would_be_waited_for_for_ever(lacks: str, who: str, next: str) -> None:
    queue = {"type": "merge_queue", "parameters": {}}
    [(verdict, text, first)] = required([queue], lacks=lacks)
    assert (verdict, f"no job tells it on {who}" in text) == ("look", True), text
    assert first.index(next) < first.index("then require `shipway/shop/prod`")
    assert required([], lacks="groups")[0][2].startswith("add "), "without a queue there is no group"
    assert "a merge group" in required([], lacks="groups", has_groups=True)[0][1], "a workflow is for one"
    for name in ("shipway/shop/prod", "shipway/shop/prod/fresh"):
        needed = {"type": "required_status_checks", "parameters": {"required_status_checks": [{"context": name}]}}
        [(verdict, text, _)] = required([queue, needed], lacks=lacks)
        assert (verdict, text.startswith(f"`main` requires `{name}`"), "never be merged" in text) == ("bad", True, True)


def test_a_filter_of_paths_keeps_what_is_required_from_coming_and_a_verdict_wants_to_be_renewed() -> None:
    name = "shipway/shop/prod/fresh"
    needed = {"type": "required_status_checks", "parameters": {"required_status_checks": [{"context": name}]}}
    [(verdict, text, _)] = required([needed], unplanned="w.yml:5: `paths`")
    assert (verdict, "`paths` leaves out" in text) == ("bad", True)
    [(verdict, text, next)] = required([needed], lacks="again")
    assert (verdict, "no job renews it" in text, "command: check" in next) == ("look", True, True)


def test_who_is_told_a_check_is_read_from_the_workflows() -> None:
    def told(text: str) -> set[str]:
        tree = source.parse(text.encode(), "w.yml")
        return {teller.value for teller in WorkflowReview(tree, state_is_git=False).tells()}

    assert told(GOOD) == {"heads"}
    assert told(GOOD.replace(f"acme/shipway@{C}", f"acme/shipway@{C}\n        with: {{comment: false}}")) == set()
    page = (Path(__file__).parent.parent / "docs/github.md").read_text("utf-8")
    fresh, publish = (page[page.index(f"name: {name}\n") :].partition("```")[0] for name in FILES)
    assert told(fresh) == {"groups", "again"}
    assert told(publish) == {"heads", "forks"}
    assert only(fresh.replace("COMMIT", C)).verdict is Verdict.GOOD
    filtered = GOOD.replace("on: [pull_request, push]", "on: {pull_request: {paths: [src/**]}, push: {}}")
    assert filtered != GOOD
    assert list(WorkflowReview(source.parse(filtered.encode(), "w.yml"), state_is_git=False).unplanned())


FILES = ("shipway-fresh", "shipway-publish")


@pytest.fixture
def project(tmp_path: Path, github: GitHubServer) -> Project:
    """A project with the fork-safe set, and a remote by the name of the false GitHub's repository."""
    project = make_project(tmp_path)
    project.write({"Makefile": "deploy:\n\ttrue\n"})
    project.call("init", "-q", "--forks", "--uses", f"acme/shipway@{C}", "--target", "prod")
    project.git("remote", "add", "origin", f"https://github.com/{github.world.repository}")
    project.commit()
    github.world.tokens["ghp_admin"] = Grant("octocat", {"metadata": "read", "administration": "read"})
    return project


def doctor(project: Project, github: GitHubServer, token: str = "ghp_admin", code: int = 0) -> dict[str, Any]:
    env = {"GITHUB_TOKEN": token, "GITHUB_API_URL": github.api_url} if token else {}
    done = project.call("doctor", "--github", "--json", env=env, code=code)
    assert token == "" or token not in done.out + done.err
    found: dict[str, Any] = {}
    for check in done.json["checks"]:
        found.setdefault(check["name"], check)
    return found


def test_what_init_writes_lacks_nothing_and_the_settings_are_told(project: Project, github: GitHubServer) -> None:
    found = doctor(project, github, code=2)
    assert {name: check["verdict"] for name, check in found.items()} == {
        "workflow": "good",
        "boundary": "look",
        "default token": "good",
        "approval by workflows": "bad",
        "actions": "good",
        "fork runs": "look",
        "reviews": "bad",
        "required check": "look",
    }
    assert "shipway/shop/prod" in found["required check"]["next"]
    assert [seen.method for seen in github.requests] == ["GET"] * 6


def test_a_repository_that_lacks_nothing_says_so(project: Project, github: GitHubServer) -> None:
    main = github.world.default_branch
    needed: dict[str, Any] = {
        "url": "https://x.example/",
        "contexts_url": "https://x.example/",
        "contexts": [],
        "checks": [],
    }
    needed["checks"] = [{"context": "shipway/shop/prod", "app_id": None}]
    page = (Path(__file__).parent.parent / "docs/github.md").read_text("utf-8")
    fresh = page[page.index("name: shipway-fresh\n") :].partition("```")[0].replace("COMMIT", C)
    fresh = fresh.replace("workflows/shipway.yml", "workflows/shipway-plan.yml")
    project.write({".github/workflows/shipway-fresh.yml": fresh})
    needed["checks"].append({"context": "shipway/shop/prod/fresh", "app_id": None})
    github.world.settings = {
        "actions/permissions/workflow": {
            "default_workflow_permissions": "read",
            "can_approve_pull_request_reviews": False,
        },
        "actions/permissions/fork-pr-contributor-approval": {"approval_policy": "all_external_contributors"},
        f"rules/branches/{main}": [rule(), FORCE],
        f"branches/{main}/protection": {"required_status_checks": needed},
    }
    workflow = project.root / ".github/workflows/shipway.yml"
    workflow.write_text(workflow.read_text("utf-8").replace("ubuntu-24.04", "our-own"), "utf-8")
    found = doctor(project, github)
    assert {check["verdict"] for check in found.values()} == {"good"}


def test_where_every_step_may_become_root_the_boundary_is_the_job(project: Project, github: GitHubServer) -> None:
    boundary = doctor(project, github, token="")["boundary"]
    assert "`execute` (.github/workflows/shipway.yml:" in boundary["text"]
    assert "the boundary is the job" in boundary["text"]


def test_a_job_token_is_told_what_it_may_not_ask(project: Project, github: GitHubServer) -> None:
    found = doctor(project, github, token="ghs_job")
    assert found["settings"]["verdict"] == "look"
    assert "administration: read" in found["settings"]["next"]
    assert "reviews" not in found, "what cannot be asked is not called missing"
    github.world.settings[f"rules/branches/{github.world.default_branch}"] = [rule(), FORCE]
    assert doctor(project, github, token="ghs_job")["reviews"]["verdict"] == "good"


def test_without_a_token_the_workflows_are_looked_at_and_nothing_is_asked(
    project: Project, github: GitHubServer
) -> None:
    project.write({".github/workflows/odd.yml": "on: push\njobs: &a {}\n"})
    (project.root / ".github/workflows/shipway-publish.yml").unlink()
    found = doctor(project, github, token="")
    assert found["settings"]["verdict"] == "look"
    assert "fork's pull request" in found["workflows"]["text"]
    assert "odd.yml:2:7" in found["workflow"]["text"]
    assert github.requests == []


def test_a_wrong_token_and_a_folder_without_a_declaration_are_in_the_way(
    project: Project, github: GitHubServer
) -> None:
    assert "Bad credentials" in doctor(project, github, token="ghp_wrong", code=2)["settings"]["text"]
    (project.root / "shipway.yml").unlink()
    assert doctor(project, github, code=2)["declaration"]["verdict"] == "bad"


def test_it_is_told_as_text_too(project: Project, github: GitHubServer) -> None:
    env = {"GITHUB_TOKEN": "ghp_admin", "GITHUB_API_URL": github.api_url, "COLUMNS": "200"}
    told = project.call("doctor", "--github", "-q", env=env, code=2).out
    assert "✗ reviews" in told
    assert "→ add a ruleset for `main`" in told
    assert "✓" not in told


def test_who_executes_elsewhere_than_it_is_planned_is_told_to_say_where(project: Project, github: GitHubServer) -> None:
    path = project.root / ".github/workflows/shipway.yml"
    path.write_text("".join(line for line in path.read_text().splitlines(True) if "workflow:" not in line))
    told = project.call("doctor", "--github", "--json").json["checks"]
    [check] = [check for check in told if "looks for approved plans" in check["text"]]
    assert check["text"].startswith(".github/workflows/shipway.yml:")
    assert check["next"] == "add `workflow: .github/workflows/shipway-plan.yml` to the inputs of the action"


def test_every_workflow_of_this_repository_is_good() -> None:
    workflows = sorted((Path(__file__).parent.parent / ".github/workflows").glob("*.yml"))
    assert workflows
    for path in workflows:
        tree = source.parse(path.read_bytes(), path.name)
        found = list(WorkflowReview(tree, state_is_git=False).checks())
        assert [check.text for check in found] == [f"{path.name}: nothing is missing"], json.dumps(
            [check.text for check in found]
        )


PREVIEW = f"""\
name: preview
on:
  pull_request: {{types: [opened, reopened, synchronize, closed]}}
  schedule: [{{cron: "17 * * * *"}}]
permissions: {{}}
jobs:
  preview:
    runs-on: self-hosted
    permissions: {{contents: read, pull-requests: write, checks: write, deployments: write, actions: read}}
    concurrency: {{group: a, queue: max, cancel-in-progress: false}}
    steps:
      - uses: actions/checkout@{C}
        with: {{persist-credentials: false}}
      - uses: acme/shipway@{C}
        with: {{command: "${{{{ inputs.command || 'auto' }}}}"}}
"""


@pytest.mark.parametrize(
    ("old", "new", "line", "said", "to_add"),
    [
        (", closed]", "]", 3, "an environment outlives its pull request: `closed` is not heard of", "types: [opened, "),
        ("[opened, reopened, ", "[", 3, "an environment is not brought up: `opened`, `reopened`", "types: [opened, "),
        ("pull_request: {types: [opened, reopened, synchronize, closed]}", "pull_request:", 3, "outlives", "closed]"),
        ('  schedule: [{cron: "17 * * * *"}]\n', "", 2, "no `schedule`", "cron"),
        (", deployments: write", "", 9, "lacks `deployments: write`", "deployments: write"),
        ("pull-requests: write", "pull-requests: read", 9, "lacks `pull-requests: write`", "pull-requests: write"),
        (
            "    concurrency: {group: a, queue: max, cancel-in-progress: false}\n",
            "",
            7,
            "no `concurrency`",
            "preview-${{",
        ),
        (", queue: max", "", 10, "all but the last are dropped", "queue: max"),
    ],
)
def test_a_workflow_of_previews_is_looked_at_for_what_it_needs(
    old: str, new: str, line: int, said: str, to_add: str
) -> None:
    def found(text: str) -> list[Check]:
        tree = source.parse(text.encode(), "w.yml")
        return list(WorkflowReview(tree, state_is_git=False, has_previews=True).checks())

    assert [check.verdict for check in found(PREVIEW)] == [Verdict.GOOD]
    assert old in PREVIEW
    (check,) = found(PREVIEW.replace(old, new))
    assert check.verdict is Verdict.LOOK and f"w.yml:{line}: " in check.text and said in check.text, check
    assert to_add in check.next


# A repository that is elsewhere.


@pytest.mark.parametrize(
    ("url", "file", "forge", "next"),
    [
        ("https://gitlab.com/octo/shop.git", "", "GitLab", "write the jobs with `shipway init --gitlab`"),
        ("git@gitlab.example.org:octo/shop.git", "", "GitLab", "write the jobs with `shipway init --gitlab`"),
        (
            "ssh://git@git.example.org:22/octo/shop",
            ".gitlab-ci.yml",
            "GitLab",
            "write the jobs with `shipway init --gitlab`",
        ),
        ("https://user@gitea.example.org:3000/octo/shop", "", "Gitea", "into .gitea/workflows/"),
        ("https://git.example.org/octo/shop", ".gitea/workflows/test.yml", "Gitea", "into .gitea/workflows/"),
        ("git@codeberg.org:octo/shop.git", "", "Forgejo", "into .forgejo/workflows/"),
        ("https://git.example.org/octo/shop", ".forgejo/workflows/test.yml", "Forgejo", "into .forgejo/workflows/"),
    ],
)
def test_elsewhere_what_that_forge_needs_is_said_and_not_what_github_does(
    tmp_path: Path, url: str, file: str, forge: str, next: str
) -> None:
    project = make_project(tmp_path)
    project.write(
        {"shipway.yml": "version: 1\nname: shop\nsteps: [{run: 'true'}]\n", **({file: "a: 1\n"} if file else {})}
    )
    project.git("remote", "add", "origin", url)
    found = {check["name"]: check for check in project.call("doctor", "--github", "--json").json["checks"]}
    assert set(found) == {"forge", "workflows"}
    assert found["forge"]["text"].startswith(f"this repository is on {forge}: ")
    assert (found["workflows"]["verdict"], next in found["workflows"]["next"]) == ("look", True), found


@pytest.mark.parametrize(
    "url",
    [
        "https://github.com/octo/shop",
        "git@github.example.org:octo/shop.git",
        "https://ghe.example.org/o/shop",
        "../shop.git",
    ],
)
def test_a_remote_that_may_be_github_is_taken_for_it(tmp_path: Path, url: str) -> None:
    project = make_project(tmp_path)
    project.write({"shipway.yml": "version: 1\nname: shop\nsteps: [{run: 'true'}]\n"})
    project.git("remote", "add", "origin", url)
    found = {check["name"]: check for check in project.call("doctor", "--github", "--json").json["checks"]}
    assert found["workflows"]["next"] == "write them with `shipway init`"


def test_on_gitlab_what_init_writes_is_all_it_needs(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    project.write({"Makefile": "deploy:\n\ttrue\n"})
    project.call("init", "-q", "--gitlab", "--target", "prod")
    project.git("remote", "add", "origin", "https://gitlab.com/octo/shop")
    found = {check["name"]: check for check in project.call("doctor", "--github", "--json").json["checks"]}
    assert found["workflows"]["verdict"] == "good"
    assert found["workflows"]["text"].startswith(".gitlab-ci.yml, .gitlab/shipway.gitlab-ci.yml calls Shipway")


def test_in_a_job_the_forge_is_the_jobs_own_whatever_the_remote_is_called(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    project.write({"shipway.yml": "version: 1\nname: shop\nsteps: [{run: 'true'}]\n"})
    env = {"GITLAB_CI": "true", "CI_PROJECT_PATH": "octo/shop"}
    found = project.call("doctor", "--github", "--json", env=env).json["checks"]
    assert found[0]["text"].startswith("this repository is on GitLab: ")
