"""Publishing what a run under `pull_request` has planned: its artifact is a stranger's data, and the API says whose it is."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zipfile import ZIP_STORED

import pytest
from msgspec.structs import replace

from shipway.approvals import ApprovalRule
from shipway.archive import HostileArchive, read_archive
from shipway.canonical import canonical_bytes
from shipway.commands.publish import PLANS_MAX
from shipway.forges.sticky import parse_marker
from shipway.plan import Plan, PlannedSource
from tests.forge.server import GitHubServer, Reply
from tests.forge.world import JOB_LOGIN, Run
from tests.forked_command import call_command
from tests.hostile_archives import hostile_archives, packed
from tests.pull_requests import step_outputs
from tests.render_samples import plan_of, small_plan, stage

WEBHOOKS = Path(__file__).parent / "vendor/github/webhooks"
RUN = 4711
HEAD = "c" * 40
STRANGER = 5


def content_of(plan: Plan) -> bytes:
    return canonical_bytes(plan.document)


def archive_of(plan: Plan, hint: int | None = 7) -> bytes:
    members = {"plan.json": content_of(plan)}
    if hint is not None:
        members["pull-request.json"] = canonical_bytes({"number": hint})
    return packed(members)


def name_of(plan: Plan, index: int = 0, attempt: int = 1) -> str:
    return f"shipway-plan-{plan.lifecycle}-{plan.target}-{RUN}-{attempt}-{index}"


@dataclass
class Publisher:
    """A job of the publisher: an empty folder, GitHub's own event about a fork's run, and the false GitHub."""

    root: Path
    github: GitHubServer
    event: dict[str, Any] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        world = self.github.world
        world.pull(7, HEAD)
        pull = world.pulls[7]
        pull.head, pull.repository, pull.owner, pull.branch = HEAD, STRANGER, "stranger", "changes"
        world.runs[RUN] = Run(
            RUN,
            status="completed",
            head=HEAD,
            repository=STRANGER,
            owner="stranger",
            branch="changes",
            conclusion="success",
        )
        self.event = json.loads((WEBHOOKS / "workflow_run.completed.json").read_text("utf-8"))
        self.event["repository"] |= {"id": 1}
        self.event["workflow_run"] |= {"id": RUN, "event": "pull_request", "head_sha": HEAD, "pull_requests": []}
        self.event["workflow_run"]["head_repository"] |= {"id": STRANGER}
        for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY"):
            (self.root / name).touch()
            self.env[name] = str(self.root / name)

    @property
    def run(self) -> Run:
        return self.github.world.runs[RUN]

    def upload(self, plan: Plan, archive: bytes | None = None, index: int = 0) -> None:
        self.github.world.upload(RUN, name_of(plan, index), archive_of(plan) if archive is None else archive)

    def call(self, part: str = "run", **inputs: str) -> subprocess.CompletedProcess[str]:
        """`shipway action <part>` as the action's step calls it, in a folder without any checkout."""
        (self.root / "event.json").write_text(json.dumps(self.event))
        folder = self.root / "workspace"
        folder.mkdir(exist_ok=True)
        env = {"PATH": os.environ["PATH"], "HOME": str(self.root), **self.github.environment(), **self.env}
        env |= {"GITHUB_EVENT_NAME": "workflow_run", "GITHUB_EVENT_PATH": str(self.root / "event.json")}
        env |= {"GITHUB_REF": "refs/heads/main", "GITHUB_SHA": "d" * 40, "RUNNER_TEMP": str(self.root / "temp")}
        env |= {"GITHUB_WORKSPACE": str(folder), "SHIPWAY_INPUT_TOKEN": env.pop("GITHUB_TOKEN")}
        env |= {f"SHIPWAY_INPUT_{name.upper()}": value for name, value in inputs.items()}
        return call_command(("action", part), folder, env)

    @property
    def outputs(self) -> Mapping[str, str]:
        return step_outputs(self.root / "GITHUB_OUTPUT")

    @property
    def summary(self) -> str:
        return (self.root / "GITHUB_STEP_SUMMARY").read_text()

    def bodies(self, pull: int = 7) -> list[str]:
        return [comment.body for comment in self.github.world.pulls[pull].comments]


@pytest.fixture
def publisher(tmp_path: Path, github: GitHubServer) -> Publisher:
    return Publisher(tmp_path, github)


def refused(publisher: Publisher, reason: str) -> str:
    """What a refused call says; nothing was written to GitHub, and nothing to the folder."""
    done = publisher.call()
    assert done.returncode == 5, done.stdout + done.stderr
    assert publisher.outputs["reason"] == reason
    assert publisher.github.writes == []
    assert list((publisher.root / "workspace").iterdir()) == []
    return done.stderr


def test_case_60_a_forks_plan_is_posted_by_the_run_before_and_says_where_it_is_from(publisher: Publisher) -> None:
    publisher.upload(small_plan())
    done = publisher.call()
    assert done.returncode == 0, done.stdout + done.stderr
    (body,) = publisher.bodies()
    marker = parse_marker(body)
    assert marker is not None
    assert (marker.run, marker.attempt, marker.head, marker.effect) == (RUN, 1, HEAD, small_plan().effect)
    assert "Shipway plan: hello" in body
    assert "From a fork, planned without credentials" in body
    assert f"actions/runs/{RUN}/artifacts/" in body
    assert publisher.outputs == {"comment": "created", "exit-code": "0"}
    assert "`hello` → `default` on pull request 7: created" in publisher.summary
    check, fresh = publisher.github.world.checks
    assert (check.commit, check.document["name"]) == (HEAD, "shipway/hello/default")
    assert (fresh.commit, fresh.document["name"]) == (HEAD, "shipway/hello/default/fresh")
    assert fresh.document["conclusion"] == "success"
    unbound = {each.document["external_id"] for each in (check, fresh)}
    assert unbound == {""}, "a stranger's word for an effect is bound to nothing"
    assert "From a fork, planned without credentials" in check.document["output"]["summary"]
    assert list((publisher.root / "workspace").iterdir()) == []


@pytest.mark.parametrize("is_ours", [False, True])
def test_a_published_plan_that_waits_for_approval_is_no_success(publisher: Publisher, is_ours: bool) -> None:
    plan = small_plan()
    if is_ours:
        pull = publisher.github.world.pulls[7]
        pull.repository = publisher.run.repository = publisher.event["workflow_run"]["head_repository"]["id"] = 1
    publisher.upload(replace(plan, stages=tuple(replace(each, approval=ApprovalRule()) for each in plan.stages)))
    done = publisher.call()
    assert done.returncode == 0, done.stdout + done.stderr
    said = publisher.github.world.checks[0].document
    assert (said["name"], said["conclusion"]) == ("shipway/hello/default", "action_required")
    expected = "has 0 of 1" if is_ours else "cannot be approved"
    (body,) = publisher.bodies()
    assert (expected in said["output"]["summary"], expected in body) == (True, True)
    assert "/pull/7/checks)" in body


def test_an_own_branchs_plan_is_posted_the_same_way_and_edited_by_the_next(publisher: Publisher) -> None:
    pull = publisher.github.world.pulls[7]
    pull.repository = publisher.run.repository = publisher.event["workflow_run"]["head_repository"]["id"] = 1
    publisher.upload(small_plan())
    assert publisher.call().returncode == 0
    assert publisher.call(command="publish").returncode == 0
    (body,) = publisher.bodies()
    assert "From a fork" not in body
    assert publisher.outputs["comment"] == "unchanged"
    names = ["shipway/hello/default", "shipway/hello/default/fresh"]
    assert [told.document["name"] for told in publisher.github.world.checks] == names
    assert {told.document["external_id"] for told in publisher.github.world.checks} == {small_plan().effect}


def test_a_conversation_that_takes_no_comment_leaves_no_head_without_what_a_branch_may_require(
    publisher: Publisher,
) -> None:
    publisher.github.world.pulls[7].is_locked = True
    publisher.upload(small_plan())
    assert publisher.call().returncode == 0
    assert (publisher.bodies(), publisher.outputs["comment"]) == ([], "deferred")
    told = {each.document["name"]: each.document["conclusion"] for each in publisher.github.world.checks}
    assert told == {"shipway/hello/default": "success", "shipway/hello/default/fresh": "success"}


def earlier(publisher: Publisher, plan: Plan, *, history: bytes = b"[]", archive: bytes = b"") -> None:
    """A run of another head of the same branch, before, with its plan."""
    run, head = RUN - 1, "b" * 40
    own = publisher.run
    publisher.github.world.runs[run] = Run(
        run,
        status="completed",
        head=head,
        repository=own.repository,
        owner=own.owner,
        branch=own.branch,
        conclusion="success",
    )
    members = {"plan.json": content_of(plan), "pull-request.json": b'{"number":7}', "history.json": history}
    name = name_of(plan).replace(str(RUN), str(run))
    publisher.github.world.upload(run, name, archive or packed(members))


_FORGED = json.dumps(
    [{"run": "1", "commit": "f" * 40, "effect": f"sha256:{'0' * 64}", "counts": ["1 noop"]}], separators=(",", ":")
).encode()


@pytest.mark.parametrize("repository", [STRANGER, 1], ids=["a fork", "our own"])
def test_a_published_comment_says_what_changed_since_the_plan_before(publisher: Publisher, repository: int) -> None:
    pull = publisher.github.world.pulls[7]
    pull.repository = publisher.run.repository = publisher.event["workflow_run"]["head_repository"]["id"] = repository
    plan = small_plan()
    earlier(publisher, replace(plan, locks=("db",)), history=_FORGED)
    publisher.upload(plan)
    done = publisher.call()
    assert done.returncode == 0, done.stdout + done.stderr
    (body,) = publisher.bodies()
    assert "**Changed since the plan for `bbbbbbb`**, 1 part:" in body and "`locks`" in body
    assert f"actions/runs/{RUN - 1})" in body
    # What an artifact says of still earlier plans is believed of our own runs only.
    assert ("fffffff" in body) is (repository == 1)


def test_a_hostile_artifact_of_the_run_before_is_left_out_and_fails_nothing(publisher: Publisher) -> None:
    plan = small_plan()
    earlier(publisher, plan, archive=b"PK no archive at all")
    publisher.upload(plan)
    done = publisher.call()
    assert done.returncode == 0, done.stdout + done.stderr
    (body,) = publisher.bodies()
    assert "Changed since" not in body and "earlier plan" not in body
    assert "the plan before is not shown" in publisher.summary


def test_a_plan_of_a_branch_of_the_same_name_in_another_fork_is_not_the_one_before(publisher: Publisher) -> None:
    plan = small_plan()
    earlier(publisher, replace(plan, locks=("db",)))
    publisher.github.world.runs[RUN - 1].repository = STRANGER + 1
    publisher.upload(plan)
    assert publisher.call().returncode == 0
    assert "Changed since" not in publisher.bodies()[0]


def test_each_target_of_a_matrix_has_its_comment(publisher: Publisher) -> None:
    for index, target in enumerate(("dev", "dev-tokyo", "prod")):
        publisher.upload(replace(small_plan(), target=target), index=index)
    publisher.github.world.upload(RUN, "coverage", packed({"report.html": b"<html>"}))
    publisher.github.world.upload(RUN, f"shipway-plan-hello-dev-{RUN - 1}-1-0", b"of another run")
    publisher.github.world.upload(RUN, f"shipway-plan-hello-dev-{RUN}-2-0", b"of another attempt")
    assert publisher.call().returncode == 0
    assert publisher.outputs["comment"] == "created, created, created"
    assert len(publisher.bodies()) == 3


CORPUS = dict(hostile_archives(content_of(small_plan())))


@pytest.mark.parametrize("wrong", CORPUS)
def test_case_61_an_archive_that_no_action_uploads_is_not_read(wrong: str) -> None:
    try:
        members = read_archive(CORPUS[wrong], ("plan.json", "pull-request.json"))
    except HostileArchive:
        return
    assert "plan.json" not in members, "it gave the plan away"


@pytest.mark.parametrize(
    "wrong",
    ["nothing at all", "the path ../plan.json", "a link", "a bomb", "a member too many", "no plan", "one byte flipped",
     "the same name twice", "the same bytes twice", "encrypted", "a list of ten thousand members"],
)  # fmt: skip
def test_case_61_a_hostile_archive_is_refused_and_nothing_is_written(publisher: Publisher, wrong: str) -> None:
    publisher.upload(replace(small_plan(), target="good"), index=0)
    publisher.upload(small_plan(), CORPUS[wrong], index=1)
    assert "nothing was posted" in refused(publisher, "artifact-invalid")


def _without_digest(plan: Plan) -> bytes:
    return canonical_bytes({**plan.document, "digest": "sha256:" + "0" * 64})


def _resealed(plan: Plan, **changed: object) -> bytes:
    from shipway.canonical import digest

    document: dict[str, Any] = {**plan.document, **changed}
    return canonical_bytes({**document, "digest": digest(document)})


@pytest.mark.parametrize(
    ("wrong", "content"),
    [
        ("its digest does not match", _without_digest(small_plan())),
        ("canonical", json.dumps(small_plan().document, indent=1).encode()),
        ("canonical", content_of(small_plan()) + b"\n"),
        ("not a plan", b"{"),
        ("not a plan", b"[" * 100_000),
        ("not a plan", b'{"kind":"plan","x":' + b"9" * 100_000),
        ("not a valid plan", _resealed(small_plan(), lifecycle="../../x")),
        ("not a valid plan", _resealed(small_plan(), extra=True)),
        ("not a plan", _resealed(small_plan(), kind="receipt")),
        ("effect", _resealed(small_plan(), effect="sha256:" + "1" * 64)),
    ],
)  # fmt: skip
def test_case_61_a_plan_that_is_not_whole_is_refused(publisher: Publisher, wrong: str, content: bytes) -> None:
    publisher.upload(small_plan(), packed({"plan.json": content}, method=ZIP_STORED))
    assert wrong in refused(publisher, "artifact-invalid")


def test_case_61_a_plan_that_is_not_what_its_artifacts_name_says_is_refused(publisher: Publisher) -> None:
    publisher.upload(small_plan(), archive_of(replace(small_plan(), target="prod")))
    assert "another plan than its name says" in refused(publisher, "artifact-invalid")


@pytest.mark.parametrize("hint", [b"{}", b'{"number":"7"}', b'{"number":true}', b'{"number":0}', b"7", b"{"])
def test_case_61_a_hint_that_is_none_is_refused(publisher: Publisher, hint: bytes) -> None:
    publisher.upload(small_plan(), packed({"plan.json": content_of(small_plan()), "pull-request.json": hint}))
    refused(publisher, "artifact-invalid")


def test_case_61_an_artifact_that_is_larger_than_it_may_be_is_not_even_fetched(publisher: Publisher) -> None:
    publisher.upload(small_plan(), os.urandom(20_000_001))
    assert "bytes, more than" in refused(publisher, "artifact-invalid")
    assert not [seen for seen in publisher.github.requests if seen.path.endswith("/zip")]


def test_case_61_an_artifact_that_is_not_what_was_uploaded_is_refused(publisher: Publisher) -> None:
    publisher.upload(small_plan())
    publisher.github.world.artifacts[0].digest = "sha256:" + "0" * 64
    assert "its digest differs" in refused(publisher, "artifact-invalid")


def test_a_stranger_cannot_have_a_pull_request_flooded(publisher: Publisher) -> None:
    for index in range(PLANS_MAX + 1):
        publisher.upload(replace(small_plan(), target=f"t{index}"), index=index)
    assert f"more than {PLANS_MAX}" in refused(publisher, "artifact-invalid")
    publisher.github.world.artifacts.clear()
    publisher.upload(small_plan(), index=0)
    publisher.upload(small_plan(), index=1)
    refused(publisher, "artifact-invalid")


def test_case_62_the_api_says_whose_plan_it_is_and_the_mismatch_is_recorded(publisher: Publisher) -> None:
    other = publisher.github.world.pull(8, "d" * 40)
    publisher.upload(small_plan(), archive_of(small_plan(), hint=8))
    assert publisher.call().returncode == 0
    assert other.comments == []
    (body,) = publisher.bodies()
    assert "the artifact names pull request 8" in body.replace("\\", "")
    assert "the artifact names pull request 8; the run's head is that of 7" in publisher.summary


def test_case_62_a_hint_decides_between_pull_requests_of_the_same_head_only(publisher: Publisher) -> None:
    other = publisher.github.world.pull(8, HEAD)
    other.repository, other.owner, other.branch = STRANGER, "stranger", "changes"
    publisher.upload(small_plan(), archive_of(small_plan(), hint=8))
    assert publisher.call().returncode == 0
    assert (len(publisher.bodies(7)), len(publisher.bodies(8))) == (0, 1)
    publisher.github.world.artifacts.clear()
    publisher.upload(small_plan(), archive_of(small_plan(), hint=9))
    assert publisher.call().returncode == 0
    assert "several pull requests have this run's head" in publisher.summary
    assert (len(publisher.bodies(7)), len(publisher.bodies(8))) == (0, 1)


@pytest.mark.parametrize(("changed", "value"), [("head", "e" * 40), ("repository", 6), ("branch", "other")])
def test_case_62_a_pull_request_of_another_commit_or_repository_gets_no_comment(
    publisher: Publisher, changed: str, value: str | int
) -> None:
    setattr(publisher.github.world.pulls[7], changed, value)
    publisher.upload(small_plan())
    assert publisher.call().returncode == 0
    assert publisher.outputs["comment"] == "superseded"
    assert "no open pull request has this run's head" in publisher.summary
    assert publisher.github.writes == []


@pytest.mark.parametrize(
    ("changed", "value"),
    [("event", "push"), ("head", "e" * 40), ("repository", 6), ("path", ".github/workflows/other.yml")],
)
def test_case_27_a_run_that_the_api_knows_otherwise_is_foreign(
    publisher: Publisher, changed: str, value: str | int
) -> None:
    publisher.upload(small_plan())
    assert publisher.call(workflow=".github/workflows/shipway.yml").returncode == 0
    publisher.github.requests.clear()
    setattr(publisher.run, changed, value)
    done = publisher.call(workflow=".github/workflows/shipway.yml")
    assert (done.returncode, publisher.outputs["reason"]) == (5, "artifact-foreign")
    assert publisher.github.writes == []


@pytest.mark.parametrize("conclusion", ["failure", "cancelled", "skipped", "timed_out"])
def test_a_run_that_did_not_succeed_has_nothing_to_publish(publisher: Publisher, conclusion: str) -> None:
    publisher.upload(small_plan())
    publisher.run.conclusion = conclusion
    done = publisher.call()
    assert (done.returncode, publisher.outputs["comment"]) == (0, "none")
    assert f"ended as `{conclusion}`" in publisher.summary
    assert publisher.github.writes == []


def test_a_later_attempt_and_a_run_without_a_plan_have_nothing_to_publish(publisher: Publisher) -> None:
    assert publisher.call().returncode == 0
    assert "left no plan" in publisher.summary
    publisher.upload(small_plan())
    publisher.run.attempt = 2
    assert publisher.call().returncode == 0
    assert "attempt 2 of run" in publisher.summary
    assert publisher.github.writes == []


def test_a_comment_that_cannot_be_posted_is_deferred_and_fails_nothing(publisher: Publisher) -> None:
    publisher.upload(small_plan())
    publisher.github.world.tokens["ghs_job"].permissions["pull-requests"] = "read"
    assert publisher.call().returncode == 0
    assert publisher.outputs["comment"] == "deferred"
    assert "pull_requests=write" in publisher.summary


def test_a_check_that_may_not_be_written_is_said_and_the_comment_is_posted(publisher: Publisher) -> None:
    publisher.upload(small_plan())
    del publisher.github.world.tokens["ghs_job"].permissions["checks"]
    assert publisher.call().returncode == 0
    assert publisher.outputs["comment"] == "created"
    assert "check `shipway/hello/default`: deferred" in publisher.summary


def test_artifacts_that_cannot_be_asked_for_end_the_job(publisher: Publisher) -> None:
    publisher.upload(small_plan())
    publisher.github.fault("GET", "/zip$", Reply(404, {"message": "Not Found"}), times=9)
    done = publisher.call()
    assert (done.returncode, publisher.outputs["reason"]) == (6, "forge-permission")
    del publisher.github.world.tokens["ghs_job"].permissions["actions"]
    assert publisher.call().returncode == 6


def test_nothing_of_the_folder_is_looked_at_and_no_journal_is_kept(publisher: Publisher) -> None:
    publisher.upload(small_plan())
    folder = publisher.root / "workspace"
    folder.mkdir()
    (folder / "shipway.yml").write_text("not: [a, declaration\n")
    assert publisher.call().returncode == 0
    kept = publisher.call("keep")
    assert (kept.returncode, kept.stderr) == (0, "")
    assert len(publisher.bodies()) == 1


def test_what_a_forged_plan_says_stays_text_and_its_links_stay_here(publisher: Publisher) -> None:
    forged = replace(
        plan_of((stage("main"),), small_plan().nodes, target="default", lifecycle="hello"),
        source=PlannedSource("../../../../evil/page", ("shipway.yml",), "sha256:" + "0" * 64, repository="@org/team"),
    )
    publisher.upload(forged)
    assert publisher.call().returncode == 0
    (body,) = publisher.bodies()
    assert "blob" not in body
    assert "evil" not in body.replace("`../../../../evil/page", "")


def test_our_comment_of_a_later_run_stays(publisher: Publisher) -> None:
    publisher.upload(small_plan())
    assert publisher.call().returncode == 0
    (written,) = publisher.github.world.pulls[7].comments
    marker = parse_marker(written.body)
    assert marker is not None
    later = str(replace(marker, run=RUN + 1))
    publisher.github.world.edit(written, f"later\n\n{later}")
    assert publisher.call().returncode == 0
    assert publisher.outputs["comment"] == "superseded"
    assert written.login == JOB_LOGIN


@pytest.mark.parametrize("command", ["plan", "run", "validate"])
def test_case_63_a_workflow_run_plans_and_runs_no_code_of_a_fork(publisher: Publisher, command: str) -> None:
    publisher.upload(small_plan())
    done = publisher.call(command=command)
    assert (done.returncode, publisher.outputs["reason"]) == (2, "fork-code")
    assert "docs/github.md#forks" in done.stderr
    assert publisher.github.requests == []
