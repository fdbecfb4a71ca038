"""Gitea and Forgejo as forges: what they have, what they lack, and the action's two parts under their variables."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta, timezone
from pathlib import Path

import pytest

from shipway.errors import Reason
from shipway.forges.forge import Attempt, Capability, Check, Deployment, ForgeError, Outcome
from shipway.forges.sticky import Note, Purpose, parse_marker, post
from shipway.redaction import trusted
from shipway.view import Conclusion
from tests.forge.contract import check
from tests.forge.gitea_server import JOB_TOKEN, GiteaServer, gitea_world
from tests.forge.kinds import KINDS, Running
from tests.forge.server import Reply
from tests.forge.world import START, Run
from tests.test_action_command import HEAD, Job, pull_request

ROOT = Path(__file__).resolve().parent.parent
EFFECT = "sha256:" + "e" * 64
CHECK = Check("shipway/web/prod", HEAD, Conclusion.SUCCESS, EFFECT, trusted("3 create"), trusted("table"), "http://run")


@pytest.fixture
def gitea() -> Iterator[GiteaServer]:
    with GiteaServer(gitea_world()) as server:
        yield server
    assert server.violations == []


def running(gitea: GiteaServer) -> Running:
    (kind,) = [kind for kind in KINDS if kind.name == "gitea"]
    return Running(kind, gitea)


def note(run: str = "77") -> Note:
    return Note(7, "web", "prod", Purpose.PLAN, run, 1, HEAD, EFFECT)


@pytest.mark.parametrize(
    "more", [{}, {"FORGEJO_ACTIONS": "true", "FORGEJO_TOKEN": JOB_TOKEN}], ids=["gitea", "forgejo"]
)
def test_the_action_posts_the_plan_and_says_how_the_check_is_told(
    tmp_path: Path, gitea: GiteaServer, more: dict[str, str]
) -> None:
    job = Job(tmp_path, gitea, "pull_request", pull_request())
    job.env |= {"SHIPWAY_INPUT_TOKEN": JOB_TOKEN, "GITHUB_RUN_NUMBER": "12", **more}
    assert job.part("run").returncode == 0
    assert job.outputs["uploads"] == "false"
    done = job.report()
    assert done.returncode == 0, done.stderr
    (written,) = gitea.world.pulls[7].comments
    found = parse_marker(written.body)
    assert found is not None
    assert (found.at, found.run, found.head) == (START, 77, HEAD)
    assert job.outputs["comment"] == "created"
    server = f"http://127.0.0.1:{gitea.port}/octo/shop"
    assert f"{server}/actions/runs/12" in written.body
    assert f"{server}/src/commit/{HEAD}/shipway.yml" in written.body
    name = "Forgejo" if more else "Gitea"
    assert job.outputs["check"] == f"created: as a commit status: {name} has no checks with a text and annotations"
    (status,) = gitea.world.statuses
    assert (status["sha"], status["context"], status["state"]) == (HEAD, "shipway/shop/default", "success")


def test_the_action_says_on_one_line_that_no_deployment_is_announced(tmp_path: Path, gitea: GiteaServer) -> None:
    job = Job(tmp_path, gitea, "push", {"repository": {"id": 1, "full_name": "octo/shop", "default_branch": "main"}})
    job.env |= {"SHIPWAY_INPUT_TOKEN": JOB_TOKEN, "GITHUB_REF": "refs/heads/main"}
    gitea.world.pulls[7].merge_commit = job.commit
    done = job.part("run")
    assert done.returncode == 0, done.stderr
    assert "no deployment is announced: Gitea has no deployments that Shipway announces\n" in done.stdout
    assert job.report().returncode == 0
    (written,) = gitea.world.pulls[7].comments
    assert written.body.startswith("### ✅ Shipway receipt: shop")


def test_a_job_without_a_token_says_which_one_to_pass(tmp_path: Path, gitea: GiteaServer) -> None:
    job = Job(tmp_path, gitea, "pull_request", pull_request())
    job.env.pop("GITEA_TOKEN")
    job.env["SHIPWAY_INPUT_TOKEN"] = ""
    assert job.part("run").returncode == 0
    job.report()
    assert job.outputs["comment"].startswith("deferred: the job has no token: pass `GITEA_TOKEN")
    assert gitea.requests == []


def test_times_in_the_servers_own_zone_are_compared_in_utc(gitea: GiteaServer) -> None:
    gitea.zone = timezone(timedelta(hours=5, minutes=30))
    assert post(running(gitea).forge(), note(), lambda _: trusted("the plan")).outcome is Outcome.CREATED
    found = parse_marker(gitea.world.pulls[7].comments[0].body)
    assert found is not None
    assert found.at == START


def test_the_start_of_a_run_is_read_by_forgejos_name_for_it(gitea: GiteaServer) -> None:
    gitea.fault("GET", "/actions/runs/77$", Reply(200, {"id": 77, "started": "2026-11-22T09:30:00+01:00"}))
    assert running(gitea).forge().attempt("77") == Attempt(1, "2026-11-22T08:30:00Z")


def test_a_start_that_is_no_time_defers_the_report(gitea: GiteaServer) -> None:
    gitea.fault("GET", "/actions/runs/77$", Reply(200, {"id": 77, "started_at": "soon"}))
    posted = post(running(gitea).forge(), note(), lambda _: trusted("the plan"))
    assert (posted.outcome, posted.why) == (Outcome.DEFERRED, "the forge's answer has no time in `started_at`")


def test_where_runs_are_not_told_the_later_report_stays(gitea: GiteaServer) -> None:
    gitea.tells_runs = False
    where = running(gitea)
    assert post(where.forge(), note("78"), lambda _: trusted("first")).outcome is Outcome.CREATED
    gitea.world.tick()
    gitea.world.tick()
    assert post(where.forge(), note("77"), lambda _: trusted("second")).outcome is Outcome.UPDATED
    (written,) = gitea.world.pulls[7].comments
    assert written.body.startswith("second")


def test_a_commit_status_says_the_same_once_and_is_cut_to_what_is_kept(gitea: GiteaServer) -> None:
    forge = running(gitea).forge()
    assert forge.post_check(CHECK).outcome is Outcome.CREATED
    assert forge.post_check(CHECK).outcome is Outcome.UNCHANGED
    long = Check("shipway/web/prod", HEAD, Conclusion.ACTION_REQUIRED, EFFECT, trusted("x" * 300), trusted(""))
    assert forge.post_check(long).outcome is Outcome.CREATED
    assert [(s["state"], len(s["description"])) for s in gitea.world.statuses] == [("success", 8), ("pending", 255)]


def test_a_status_that_may_not_be_written_names_the_scope(gitea: GiteaServer) -> None:
    gitea.world.tokens[JOB_TOKEN].permissions["repository"] = "read"
    with pytest.raises(ForgeError, match=r"write:repository") as caught:
        running(gitea).forge().post_check(CHECK)
    assert caught.value.reason is Reason.FORGE_PERMISSION
    assert "scope `write:repository`" in caught.value.next


def test_what_is_lacking_is_refused_in_one_line_and_asks_the_server_nothing(gitea: GiteaServer) -> None:
    forge = running(gitea).forge()
    assert forge.lacks == frozenset(Capability)
    for ask in (
        lambda: forge.artifacts("77"),
        lambda: forge.ci_run("77"),
        lambda: forge.reviews(7),
        lambda: forge.deploy(Deployment(HEAD, "prod", "web", EFFECT, "77", "", ""), "executing"),
    ):
        with pytest.raises(ForgeError, match=r"^Gitea (has|does)") as caught:
            ask()
        assert caught.value.reason is Reason.CAPABILITY_MISSING
        assert "\n" not in caught.value.message
    assert gitea.requests == []


def test_an_attempt_is_over_once_it_is_completed_or_a_later_one_has_begun(gitea: GiteaServer) -> None:
    forge = running(gitea).forge()
    assert not forge.is_over("77", 1)
    gitea.world.runs[78] = Run(78, attempt=2)
    gitea.world.runs[79] = Run(79, status="completed")
    assert forge.is_over("78", 1)
    assert forge.is_over("79", 1)
    assert not forge.is_over("80", 1)


def test_the_capabilities_are_the_documented_ones() -> None:
    page = (ROOT / "docs/other-forges.md").read_text("utf-8")
    listed = page.partition("## Capabilities")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `([a-z-]+)` \|", listed, re.MULTILINE) == [capability.value for capability in Capability]


@pytest.mark.parametrize(
    ("method", "path", "sent", "status", "answered"),
    [
        ("GET", "/user", b"", 200, b'{"id": 1, "nick": "x"}'),
        ("GET", "/user", b"", 200, b'{"id": "1"}'),
        ("POST", "/repos/o/r/issues/7/comments", b'{"text": "x"}', 201, b'{"id": 1}'),
        ("GET", "/repos/o/r/actions/runs/7", b"", 200, b'{"id": 7, "begun": "x"}'),
        ("GET", "/repos/o/r/nothing", b"", 200, b"{}"),
    ],
)
def test_what_gitea_does_not_describe_is_a_violation(
    method: str, path: str, sent: bytes, status: int, answered: bytes
) -> None:
    assert check(method, path, {}, sent, status, answered, "gitea")
