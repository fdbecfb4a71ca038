"""GitLab as a forge: notes and statuses, quick actions that must not be obeyed, and a job that reports by itself."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from shipway.errors import Reason
from shipway.forges.forge import Capability, Check, ForgeError, Outcome
from shipway.forges.sticky import Note, Purpose, comment_id, parse_marker, post
from shipway.redaction import trusted
from shipway.view import Conclusion
from tests.forge.contract import VENDOR, check, description
from tests.forge.gitlab_server import JOB_TOKEN, GitLabServer
from tests.forge.kinds import KINDS, Running
from tests.forge.server import Reply
from tests.forge.world import START, Run
from tests.forked_command import call_command
from tests.test_action_command import HEAD, LIFECYCLE, git

EFFECT = "sha256:" + "e" * 64
CHECK = Check("shipway/web/prod", HEAD, Conclusion.SUCCESS, EFFECT, trusted("3 create"), trusted("table"), "http://run")

PUBLISHED = "SHIPWAY_GITLAB_OPENAPI"
"""The path of a copy of GitLab's own description, `doc/api/openapi/openapi_v3.yaml` of its repository."""

NOT_PUBLISHED = {"get /user"}
"""What GitLab tells of in its pages only. Source: https://docs.gitlab.com/api/users/#retrieve-the-current-user."""

NOT_IN_THE_CLIENT = ["get /projects/{id}/merge_requests/{noteable_id}/notes?activity_filter"]
"""What the vendored client does not know. Source: https://docs.gitlab.com/api/notes/#list-all-merge-request-notes."""


@pytest.fixture
def gitlab() -> Iterator[GitLabServer]:
    with GitLabServer() as server:
        yield server
    assert server.violations == []


def running(gitlab: GitLabServer) -> Running:
    (kind,) = [kind for kind in KINDS if kind.name == "gitlab"]
    return Running(kind, gitlab)


def note() -> Note:
    return Note(7, "web", "prod", Purpose.PLAN, "500", 77, HEAD, EFFECT)


def checkout(tmp_path: Path, declared: str = LIFECYCLE) -> Path:
    """A checkout with a declaration, as the runner of GitLab leaves it."""
    (tmp_path / "shipway.yml").write_text(declared)
    git(tmp_path, "init", "-q", "-b", "main")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "first")
    return tmp_path


def job(gitlab: GitLabServer, root: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run what the job's script runs, or `shipway action` with other words."""
    env = {"PATH": os.environ["PATH"], "HOME": str(root.parent), "PASSWORD": "correct-horse"}
    env |= {**gitlab.environment(CI_PROJECT_DIR=str(root)), **more}
    return call_command(("action", *(words or ("run",))), root, env)


def kept(root: Path) -> Path:
    return root / ".shipway" / "shipway-handover"


def test_a_job_plans_and_reports_in_one_call(tmp_path: Path, gitlab: GitLabServer) -> None:
    root = checkout(tmp_path)
    done = job(gitlab, root)
    assert done.returncode == 0, done.stderr
    (written,) = gitlab.world.pulls[7].comments
    found = parse_marker(written.body)
    assert found is not None
    assert (found.at, found.run, found.attempt, found.head) == (START, 500, 77, HEAD)
    server = f"http://127.0.0.1:{gitlab.port}/octo/shop/-"
    assert f"{server}/blob/{HEAD}/shipway.yml" in written.body
    assert f"{server}/jobs/77/artifacts/browse" in written.body
    assert f"comment created {server}/merge_requests/7#note_{written.id}\n" in done.stdout
    assert "check created: as a commit status: GitLab has no checks with a text and annotations" in done.stdout
    (status,) = gitlab.world.statuses
    assert (status["sha"], status["name"], status["state"]) == (HEAD, "shipway/shop/default", "success")
    outputs = dict(line.split("=", 1) for line in (kept(root) / "outputs.env").read_text().splitlines())
    assert outputs["SHIPWAY_CHANGES"] == "true"
    assert outputs["SHIPWAY_COMMENT"] == "created"
    assert (Path(outputs["SHIPWAY_ARTIFACT_PATH"]) / "plan.json").is_file()
    assert (kept(root) / "summary.md").read_text().startswith("### ")


def test_a_push_to_the_default_branch_is_executed_and_told_where_it_was_merged(
    tmp_path: Path, gitlab: GitLabServer
) -> None:
    root = checkout(tmp_path)
    commit = git(root, "rev-parse", "HEAD").strip()
    gitlab.world.pulls[7].merge_commit = commit
    push = {
        "CI_PIPELINE_SOURCE": "push",
        "CI_COMMIT_BRANCH": "main",
        "CI_COMMIT_SHA": commit,
        "CI_MERGE_REQUEST_IID": "",
    }
    done = job(gitlab, root, **push)
    assert done.returncode == 0, done.stderr
    (written,) = gitlab.world.pulls[7].comments
    assert written.body.startswith("### ✅ Shipway receipt: shop")
    assert "no deployment is announced: GitLab has no deployments that Shipway announces\n" in done.stdout


def test_the_log_of_a_job_holds_no_command_and_no_secret(tmp_path: Path, gitlab: GitLabServer) -> None:
    root = checkout(tmp_path)
    commit = git(root, "rev-parse", "HEAD").strip()
    push = {
        "CI_PIPELINE_SOURCE": "push",
        "CI_COMMIT_BRANCH": "main",
        "CI_COMMIT_SHA": commit,
        "CI_MERGE_REQUEST_IID": "",
    }
    done = job(gitlab, root, **push)
    told = done.stdout + done.stderr
    assert "correct-horse" not in told
    assert JOB_TOKEN not in told
    assert not re.search(r"::(add-mask|group|endgroup|stop-commands|error)", told)


def test_a_failed_job_keeps_its_exit_code_and_reports(tmp_path: Path, gitlab: GitLabServer) -> None:
    root = checkout(tmp_path)
    commit = git(root, "rev-parse", "HEAD").strip()
    gitlab.world.pulls[7].merge_commit = commit
    push = {
        "CI_PIPELINE_SOURCE": "push",
        "CI_COMMIT_BRANCH": "main",
        "CI_COMMIT_SHA": commit,
        "CI_MERGE_REQUEST_IID": "",
    }
    done = job(gitlab, root, CODE="3", **push)
    assert done.returncode == 4
    assert "comment created" in done.stdout
    assert [status["state"] for status in gitlab.world.statuses] == ["failed"]


@pytest.mark.parametrize("words", [("report",), ("keep",), ("run", "--dry-run")])
def test_no_other_part_executes_anything(tmp_path: Path, gitlab: GitLabServer, words: tuple[str, ...]) -> None:
    done = job(gitlab, checkout(tmp_path), *words)
    assert done.returncode == 2
    assert "on GitLab" in done.stderr or "`--dry-run` is of `report` only" in done.stderr
    assert gitlab.requests == []
    assert not kept(tmp_path).exists()


def test_a_report_that_cannot_be_made_does_not_change_the_exit_code(tmp_path: Path, gitlab: GitLabServer) -> None:
    root = checkout(tmp_path)
    gitlab.fault("GET", "/notes$", Reply(200, {"no": "list"}), times=9)
    done = job(gitlab, root)
    assert done.returncode == 0
    assert "comment deferred: " in done.stdout
    assert "did not answer with a list" in done.stdout


def test_without_a_project_token_the_report_says_that_the_jobs_own_may_not_write(
    tmp_path: Path, gitlab: GitLabServer
) -> None:
    done = job(gitlab, checkout(tmp_path), GITLAB_TOKEN="")
    assert done.returncode == 0
    assert "comment deferred: the job has no token: set the masked CI/CD variable `GITLAB_TOKEN`" in done.stdout
    assert "`CI_JOB_TOKEN` may not write notes" in done.stdout
    assert gitlab.requests == []


def test_a_merge_request_of_a_fork_is_planned_and_nothing_is_written(tmp_path: Path, gitlab: GitLabServer) -> None:
    done = job(gitlab, checkout(tmp_path), CI_MERGE_REQUEST_SOURCE_PROJECT_ID="2")
    assert done.returncode == 0, done.stderr
    assert "comment refused: a stranger's code" in done.stdout
    assert gitlab.requests == []


HOSTILE = """\
### A plan

````text
```
/close
/merge
/label ~bug
\r/assign @all
 /indented
````

/approve
"""


def test_no_line_of_a_report_is_a_quick_action_also_where_gitlab_sees_no_code(gitlab: GitLabServer) -> None:
    forge = running(gitlab).forge()
    assert post(forge, note(), lambda _: trusted(HOSTILE)).outcome is Outcome.CREATED
    (written,) = gitlab.world.pulls[7].comments
    assert gitlab.obeyed == []
    assert "\n /close\n /merge\n /label ~bug\n /assign @all\n /indented\n" in written.body
    assert post(forge, note(), lambda _: trusted(HOSTILE)).outcome is Outcome.UNCHANGED


def test_the_false_gitlab_obeys_what_the_real_one_would(gitlab: GitLabServer) -> None:
    forge = running(gitlab).forge()
    client = forge._client  # type: ignore[attr-defined]
    client.write("POST", "/projects/1/merge_requests/7/notes", {"body": HOSTILE})
    assert gitlab.obeyed == ["/close", "/merge", "/label ~bug", "/assign @all", "/approve"]


def test_what_someone_wrote_into_our_note_is_not_obeyed_when_it_is_folded(gitlab: GitLabServer) -> None:
    where = running(gitlab)
    for run in (5, 6):
        found = f"<!-- shipway:v1 id={_identity()} at=2026-11-21T08:00:00Z run={run}.1 head={HEAD} effect={EFFECT} -->"
        where.ours(f"old\n/merge\n\n{found}")
    assert post(where.forge(), note(), lambda _: trusted("the plan")).outcome is Outcome.UPDATED
    assert gitlab.obeyed == []
    assert "\n /merge\n" in gitlab.world.pulls[7].comments[0].body


def _identity() -> str:
    return comment_id("web", "prod", Purpose.PLAN)


REFERENCES = "!12 &3 %milestone ~label $7 #12 @all group/project!12 [vulnerability:1] *iteration:1"


def test_references_of_gitlab_in_untrusted_text_stand_in_code_only(tmp_path: Path, gitlab: GitLabServer) -> None:
    """Only text outside of code becomes a reference."""
    declared = LIFECYCLE.replace(
        "run: 'exit ${CODE:-0}'", f"plan: 'echo \"$TEXT\"', env: {{TEXT: '{REFERENCES}'}}, run: 'true'"
    )
    done = job(gitlab, checkout(tmp_path, declared))
    assert done.returncode == 0, done.stderr
    (written,) = gitlab.world.pulls[7].comments
    assert REFERENCES in written.body
    outside = re.sub(r"(?ms)^(`{3,})[^\n]*\n.*?^\1$|`[^`\n]*`|<!--.*?-->", "", written.body)
    assert not re.search(r"(?<![\w/])(!\d|&\d|%[a-z]|~[a-z]|\$\d|#\d|@[a-z])", outside), outside


def test_a_commit_status_says_the_same_once_and_is_cut_to_what_gitlab_takes(gitlab: GitLabServer) -> None:
    forge = running(gitlab).forge()
    assert forge.post_check(CHECK).outcome is Outcome.CREATED
    assert forge.post_check(CHECK).outcome is Outcome.UNCHANGED
    long = Check("shipway/web/prod", HEAD, Conclusion.ACTION_REQUIRED, EFFECT, trusted("x" * 300), trusted(""))
    assert forge.post_check(long).outcome is Outcome.CREATED
    assert [(s["state"], len(s["description"])) for s in gitlab.world.statuses] == [("success", 8), ("failed", 255)]


def test_a_missing_scope_is_named(gitlab: GitLabServer) -> None:
    gitlab.world.tokens[JOB_TOKEN].permissions["api"] = "read"
    with pytest.raises(ForgeError, match=r"insufficient_scope; The request requires higher privileges") as caught:
        running(gitlab).forge().post_check(CHECK)
    assert caught.value.reason is Reason.FORGE_PERMISSION
    assert "scope `api`" in caught.value.next


def test_a_note_that_is_too_long_for_gitlab_is_told_by_its_object_of_errors(gitlab: GitLabServer) -> None:
    words = {"message": {"note": ["is too long (maximum is 1000000 characters)"]}}
    gitlab.fault("POST", "/notes$", Reply(400, words))
    assert post(running(gitlab).forge(), note(), lambda _: trusted("the plan")).outcome is Outcome.CREATED


def test_the_token_goes_by_the_header_of_gitlab(gitlab: GitLabServer) -> None:
    running(gitlab).forge().whoami()
    (seen,) = gitlab.requests
    assert seen.headers["private-token"] == JOB_TOKEN
    assert "authorization" not in seen.headers
    assert "x-github-api-version" not in seen.headers


def test_the_token_does_not_follow_to_another_host(gitlab: GitLabServer) -> None:
    elsewhere = f"http://localhost:{gitlab.port}/api/v4/user"
    gitlab.fault("GET", "/user$", Reply(302, None, {"Location": elsewhere}))
    with pytest.raises(ForgeError, match="401"):
        running(gitlab).forge().whoami()
    assert ["private-token" in seen.headers for seen in gitlab.requests] == [True, False]


def test_an_event_of_gitlab_that_leads_to_nothing_names_those_that_do(tmp_path: Path, gitlab: GitLabServer) -> None:
    done = job(gitlab, checkout(tmp_path), CI_PIPELINE_SOURCE="api")
    assert done.returncode == 2
    assert "Shipway does nothing on `api`. Use `merge_request_event` to plan and `push` to run" in done.stderr
    assert gitlab.requests == []


def test_a_job_is_over_once_it_has_ended(gitlab: GitLabServer) -> None:
    forge = running(gitlab).forge()
    gitlab.world.runs[78] = Run(78, status="completed")
    assert forge.lacks == frozenset(Capability)
    assert not forge.is_over("500", 77)
    assert forge.is_over("500", 78)


@pytest.mark.parametrize(
    ("method", "path", "sent", "status", "answered"),
    [
        ("GET", "/user", b"", 200, b'{"id": 1}'),
        ("GET", "/user", b"", 200, b'{"id": 1, "username": "x", "nick": "x"}'),
        ("POST", "/projects/1/merge_requests/7/notes", b'{"text": "x"}', 201, b"{}"),
        ("POST", "/projects/1/statuses/abc", b'{"state": "pending", "description": "%s"}' % (b"x" * 256), 201, b"{}"),
        ("GET", "/projects/1/nothing", b"", 200, b"{}"),
    ],
)
def test_what_gitlab_does_not_document_is_a_violation(
    method: str, path: str, sent: bytes, status: int, answered: bytes
) -> None:
    assert check(method, path, {}, sent, status, answered, "gitlab")


def test_our_description_of_gitlab_says_nothing_that_others_do_not() -> None:
    client = json.loads((VENDOR.parent / "gitlab/openapi.json").read_text("utf-8"))
    assert differences(description("gitlab"), client) == NOT_IN_THE_CLIENT
    if PUBLISHED in os.environ:  # GitLab's own, which is under CC BY-SA 4.0 and in no package
        published = yaml.safe_load(Path(os.environ[PUBLISHED]).read_text("utf-8"))
        assert set(differences(description("gitlab"), published)) <= NOT_PUBLISHED


def differences(ours: Mapping[str, Any], published: Mapping[str, Any]) -> list[str]:
    """Operations, query parameters, members of what is sent and members of answers that only our description has."""
    found = []
    theirs = {_shape(path.removeprefix("/api/v4")): methods for path, methods in published["paths"].items()}
    for path, methods in ours["paths"].items():
        for method, operation in methods.items():
            other = theirs.get(_shape(path), {}).get(method)
            if other is None:
                found.append(f"{method} {path}")
                continue
            known = {each["name"] for each in other.get("parameters", ()) if each["in"] == "query"}
            mine = {each["name"] for each in operation.get("parameters", ()) if each["in"] == "query"}
            found += [f"{method} {path}?{name}" for name in sorted(mine - known)]
            sent = _members(operation.get("requestBody", {}), ours) - _members(other.get("requestBody", {}), published)
            found += [f"{method} {path} ({name})" for name in sorted(sent)]
            told = _members(_answer(operation), ours) - _members(_answer(other), published)
            found += [f"{method} {path}: {name}" for name in sorted(told)]
    return found


def _shape(path: str) -> str:
    return re.sub(r"\{[^}]*\}", "{}", path)


def _answer(operation: Mapping[str, Any]) -> Mapping[str, Any]:
    """The answer of success."""
    return next((a for code, a in sorted(operation["responses"].items()) if code.startswith("2")), {})


def _members(content: Mapping[str, Any], whole: Mapping[str, Any]) -> set[str]:
    """The names in a body of JSON, or in each member of the list that it is."""
    schema = content.get("content", {}).get("application/json", {}).get("schema", {})
    schema = schema.get("items", schema)
    if "$ref" in schema:
        schema = whole["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return set(schema.get("properties", ()))


def test_a_difference_of_the_descriptions_is_found() -> None:
    ours = description("gitlab")
    published = json.loads(json.dumps(ours))
    published["paths"] = {f"/api/v4{path}": methods for path, methods in published["paths"].items()}
    assert differences(ours, published) == []
    del published["components"]["schemas"]["Job"]["properties"]["started_at"]
    del published["paths"]["/api/v4/user"]
    notes = published["paths"]["/api/v4/projects/{id}/merge_requests/{noteable_id}/notes"]
    notes["get"]["parameters"].pop(2)
    del notes["post"]["requestBody"]["content"]["application/json"]["schema"]["properties"]["body"]
    assert differences(ours, published) == [
        "get /user",
        "get /projects/{id}/merge_requests/{noteable_id}/notes?order_by",
        "post /projects/{id}/merge_requests/{noteable_id}/notes (body)",
        "get /projects/{id}/jobs/{job_id}: started_at",
    ]


def test_the_documented_job_uploads_what_is_written(tmp_path: Path, gitlab: GitLabServer) -> None:
    page = (Path(__file__).resolve().parent.parent / "docs/other-forges.md").read_text("utf-8")
    snippet = yaml.safe_load(page.partition("## GitLab")[2].partition("```yaml\n")[2].partition("```")[0])["ship"]
    assert snippet["script"][-1] == "shipway action run"
    root = checkout(tmp_path)
    assert job(gitlab, root, SHIPWAY_INPUT_TARGET="default").returncode == 0
    (uploaded,) = snippet["artifacts"]["paths"]
    assert {path.name for path in (root / uploaded).rglob("*.*")} >= {"plan.json", "summary.md", "outputs.env"}
    assert (root / snippet["artifacts"]["reports"]["dotenv"]).is_file()
