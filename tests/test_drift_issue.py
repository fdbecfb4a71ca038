"""Case 73: drift on a schedule is one issue per lifecycle and target: opened, edited in place, closed, opened again."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from shipway.canonical import canonical_bytes
from shipway.commands.drift_rounds import begun_in, in_turn
from shipway.errors import Reason
from shipway.forges.forge import Outcome, Posted
from shipway.forges.issues import settle
from shipway.forges.sticky import Marker, Note, Purpose, comment_id
from shipway.redaction import trusted
from shipway.stores.git_refs import GitRefs, find_remote
from tests.forge.server import Break, GitHubServer
from tests.forge.waiting import Clock, forge_of
from tests.forge.world import JOB_ID, JOB_LOGIN, START, Filed, Run, World
from tests.git_remotes import git, hook
from tests.test_action_command import Job

HEAD = "a" * 40
EFFECT = "sha256:" + "e" * 64
LATER = "2026-11-22T09:00:00Z"
TITLE = "Drift: web → prod"

LIFECYCLE = """\
version: 1
name: web
steps:
  - {id: a, uses: file.write, with: {path: WORLD/a, content: one}}
  - {id: b, run: touch ../world/b, undo: rm ../world/b, verify: 'test -e ../world/b || exit 3'}
"""
SCHEDULE = {"repository": {"id": 1, "full_name": "octo/shop", "default_branch": "main"}, "schedule": "17 4 * * *"}


@pytest.fixture
def github(github: GitHubServer) -> GitHubServer:
    github.world.tokens["ghs_job"].permissions["issues"] = "write"
    return github


def note(*, run: str = "77", target: str = "prod", effect: str = EFFECT) -> Note:
    return Note(0, "web", target, Purpose.DRIFT, run, 1, HEAD, effect)


def marker(*, at: str, run: int, target: str = "prod") -> Marker:
    return Marker(comment_id("web", target, Purpose.DRIFT), at, run, 1, HEAD, EFFECT)


def tell(github: GitHubServer, text: str = "b is gone", what: Note | None = None, *, is_open: bool = True) -> Posted:
    forge = forge_of(github, Clock())
    return settle(forge, what or note(), TITLE, lambda budget: trusted(text), is_open=is_open)


def later(github: GitHubServer, run: int) -> Note:
    github.world.runs[run] = Run(run, started_at=f"2026-11-2{run - 75}T08:00:00Z")
    return note(run=str(run))


def states(github: GitHubServer) -> list[tuple[str, str]]:
    return [(filed.body.split("\n")[0], filed.state) for filed in github.world.issues]


def test_case_73_drift_found_twice_then_gone_is_one_issue_that_is_closed_and_opened_again(github: GitHubServer) -> None:
    assert tell(github).outcome is Outcome.CREATED
    assert github.world.issues[0].body == f"b is gone\n\n{marker(at=START, run=77)}"
    assert tell(github, "b and c are gone", later(github, 78)).outcome is Outcome.UPDATED
    assert states(github) == [("b and c are gone", "open")]
    closed = tell(github, "all holds", later(github, 79), is_open=False)
    assert (closed.outcome, closed.why) == (Outcome.UPDATED, "closed")
    assert states(github) == [("all holds", "closed")]
    github.world.runs[80] = Run(80, started_at="2026-11-26T08:00:00Z")
    again = tell(github, "d is gone", note(run="80"))
    assert (again.outcome, again.why) == (Outcome.UPDATED, "opened again")
    assert states(github) == [("d is gone", "open")]
    assert {filed.title for filed in github.world.issues} == {TITLE}


def test_where_nothing_drifted_no_issue_is_opened_and_a_closed_one_is_left_alone(github: GitHubServer) -> None:
    assert tell(github, is_open=False).outcome is Outcome.UNCHANGED
    assert github.world.issues == [] and github.writes == []
    tell(github)
    tell(github, "all holds", later(github, 78), is_open=False)
    edits = github.world.issues[0].edits
    assert tell(github, "all holds", later(github, 79), is_open=False).outcome is Outcome.UNCHANGED
    assert github.world.issues[0].edits == edits


def test_the_same_drift_told_again_is_no_request_that_writes(github: GitHubServer) -> None:
    tell(github)
    before = len(github.writes)
    assert tell(github, what=later(github, 78)).outcome is Outcome.UNCHANGED
    assert len(github.writes) == before


def test_each_target_has_an_issue_of_its_own(github: GitHubServer) -> None:
    for target in ("prod", "prod-eu", "dev"):
        assert tell(github, target, note(target=target)).outcome is Outcome.CREATED
    assert states(github) == [("prod", "open"), ("prod-eu", "open"), ("dev", "open")]


@pytest.mark.parametrize(
    ("login", "number", "type"),
    [("octocat", 583231, "User"), ("other[bot]", 999, "Bot"), ("x", JOB_ID, "User")],
    ids=["a user", "another bot", "our id as another type"],
)
def test_an_issue_of_another_author_with_our_marker_is_left_alone(
    github: GitHubServer, login: str, number: int, type: str
) -> None:
    github.world.account(login, number, type)
    foreign = github.world.issue(login, TITLE, f"all is well\n\n{marker(at=START, run=5)}")
    assert tell(github).outcome is Outcome.CREATED
    assert foreign.edits == 0 and len(github.world.issues) == 2


def test_a_quoted_marker_and_that_of_another_purpose_are_no_match(github: GitHubServer) -> None:
    plan = Marker(comment_id("web", "prod", Purpose.PLAN), START, 5, 1, HEAD, EFFECT)
    quoting = github.world.issue(JOB_LOGIN, TITLE, f"{marker(at=START, run=5)}\nas it said")
    other = github.world.issue(JOB_LOGIN, TITLE, f"a plan\n\n{plan}")
    assert tell(github).outcome is Outcome.CREATED
    assert quoting.edits == other.edits == 0


def test_an_issue_that_a_later_run_has_written_is_not_overwritten(github: GitHubServer) -> None:
    own = github.world.issue(JOB_LOGIN, TITLE, f"later\n\n{marker(at=START, run=78)}")
    assert tell(github).outcome is Outcome.SUPERSEDED
    assert own.edits == 0


def test_of_two_that_opened_one_at_the_same_time_one_stays_open(github: GitHubServer) -> None:
    def other(world: World) -> Filed:
        return world.issue(JOB_LOGIN, TITLE, f"theirs\n\n{marker(at=START, run=78)}")

    github.after("POST", "/issues$", other)
    posted = tell(github)
    assert posted.outcome is Outcome.SUPERSEDED
    assert [filed.state for filed in github.world.issues] == ["closed", "open"]
    assert states(github)[1] == ("theirs", "open")
    # An earlier one of theirs is closed, and ours stays.
    github.world.issues.clear()
    github.after(
        "POST", "/issues$", lambda world: world.issue(JOB_LOGIN, TITLE, f"theirs\n\n{marker(at=START, run=5)}")
    )
    assert tell(github).outcome is Outcome.CREATED
    assert sorted(states(github)) == [("b is gone", "open"), ("theirs", "closed")]


def test_a_lost_answer_opens_no_second_issue(github: GitHubServer) -> None:
    github.fault("POST", "/issues$", Break.LOSE)
    assert tell(github).outcome is Outcome.CREATED
    assert len(github.world.issues) == 1


def test_without_the_permission_it_is_deferred_and_says_which(github: GitHubServer) -> None:
    github.world.tokens["ghs_job"].permissions["issues"] = "read"
    posted = tell(github)
    assert (posted.outcome, posted.reason) == (Outcome.DEFERRED, Reason.FORGE_PERMISSION)
    assert "issues" in posted.why


def test_of_many_issues_ours_is_found_on_another_page(github: GitHubServer) -> None:
    own = github.world.issue(JOB_LOGIN, TITLE, f"old\n\n{marker(at='2026-11-21T08:00:00Z', run=5)}")
    for number in range(130):
        github.world.issue(JOB_LOGIN, f"release {number}", "released")
    assert tell(github).outcome is Outcome.UPDATED
    assert own.body.startswith("b is gone") and len(github.world.issues) == 131


# The action.


@pytest.fixture
def job(tmp_path: Path, github: GitHubServer) -> Job:
    made = Job(tmp_path / "job", github, "schedule", SCHEDULE)
    made.env |= {"GITHUB_REF": "refs/heads/main", "GITHUB_REF_NAME": "main", "GITHUB_REF_TYPE": "branch"}
    (made.root / "world").mkdir()
    (made.checkout / "shipway.yml").write_text(LIFECYCLE.replace("WORLD", str(made.root / "world")))
    push = {**made.env, "GITHUB_EVENT_NAME": "push"}
    assert made.part("run", **push).returncode == 0, made.summary
    return made


def test_case_73_a_schedule_looks_for_drift_and_keeps_the_issue(job: Job, github: GitHubServer) -> None:
    def checked(run: int, **env: str) -> int:
        github.world.runs[run] = Run(run, event="schedule", started_at=f"2026-11-2{run - 75}T08:00:00Z")
        return job.part("run", GITHUB_RUN_ID=str(run), **env).returncode

    assert checked(78) == 0 and github.world.issues == []
    (job.root / "world/a").write_text("two")
    (job.root / "world/b").unlink()
    assert checked(79) == 3
    [filed] = github.world.issues
    assert (filed.title, filed.state) == ("Drift: web → default", "open")
    assert "| missing | `step` | `main/b` |" in filed.body and "another content" in filed.body
    assert "### Shipway drift: web → default" in job.summary and job.outputs["exit-code"] == "3"
    (job.root / "world/b").touch()
    assert checked(80) == 3 and "main/b" not in filed.body and len(github.world.issues) == 1
    (job.root / "world/a").write_text("one")
    assert checked(81) == 0 and filed.state == "closed"
    (job.root / "world/a").unlink()
    assert checked(82) == 3 and filed.state == "open" and len(github.world.issues) == 1
    assert checked(83, SHIPWAY_INPUT_COMMENT="false") == 3
    assert job.outputs["comment"] == "refused: off"


def test_on_a_schedule_a_plan_is_made_only_where_it_is_named(job: Job) -> None:
    done = job.part("run", SHIPWAY_INPUT_COMMAND="plan")
    assert done.returncode == 0 and "schedule → plan" in done.stdout


def test_drift_is_refused_on_events_that_are_about_a_change(job: Job) -> None:
    done = job.part("run", SHIPWAY_INPUT_COMMAND="drift", GITHUB_EVENT_NAME="push")
    assert done.returncode == 2 and job.outputs["reason"] == "event-refused"


def test_a_schedule_begins_with_the_target_that_was_looked_at_longest_ago(job: Job, tmp_path: Path) -> None:
    declared = job.checkout / "shipway.yml"
    declared.write_text(declared.read_text() + "targets: {dev: {}, staging: {}, prod: {}}\nstate: git\n")
    git(tmp_path, "init", "-q", "--bare", "remote.git")
    git(job.checkout, "remote", "add", "origin", str(tmp_path / "remote.git"))

    def order() -> list[str]:
        done = job.part("run", SHIPWAY_INPUT_COMMENT="false")
        assert done.returncode == 0, done
        return re.findall(r"^web → (\w+)$", done.stdout, re.MULTILINE)

    assert order() == ["dev", "staging", "prod"]
    assert job.part("run", SHIPWAY_INPUT_COMMENT="false", SHIPWAY_INPUT_TARGET="dev").returncode == 0
    assert order() == ["dev", "staging", "prod"], "one that is named is no round"
    # What a job did that was cut off after the first of them.
    record = canonical_bytes({"kind": "drift", "schema": 1, "begun": {"dev": 20, "prod": 10}})
    store = GitRefs(find_remote(job.checkout, job.env, "origin", None, ""), job.env, sleep=time.sleep, redact=str)
    kept = store.read("drift/web")
    assert kept is not None and store.swap("drift/web", kept.version, record) is not None
    assert order() == ["staging", "prod", "dev"]
    assert set(begun_in(store.read("drift/web").content)) == {"dev", "staging", "prod"}  # type: ignore[union-attr]


def test_where_the_store_may_not_be_written_the_targets_come_as_declared_and_that_is_said(
    job: Job, tmp_path: Path
) -> None:
    declared = job.checkout / "shipway.yml"
    declared.write_text(declared.read_text() + "targets: {dev: {}, prod: {}}\nstate: git\n")
    git(tmp_path, "init", "-q", "--bare", "remote.git")
    hook(tmp_path / "remote.git", "pre-receive", "exit 1")
    git(job.checkout, "remote", "add", "origin", str(tmp_path / "remote.git"))
    done = job.part("run", SHIPWAY_INPUT_COMMENT="false")
    assert done.returncode == 0
    assert re.findall(r"^web → (\w+)$", done.stdout, re.MULTILINE) == ["dev", "prod"]
    assert "which target was looked at longest ago is not kept" in done.stdout


@pytest.mark.parametrize(
    "content", [b"", b"[]", b'{"schema": 2, "begun": {"a": 1}}', b'{"schema": 1, "begun": {"a": "1"}}']
)
def test_a_record_of_rounds_that_cannot_be_read_says_nothing(content: bytes) -> None:
    assert begun_in(content) == {}
    assert in_turn(["b", "a"], begun_in(content)) == ["b", "a"]
