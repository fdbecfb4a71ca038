"""The plan before this one is read from the artifact of an earlier run, and from nowhere else."""

from __future__ import annotations

import base64
import io
import json
import os
import subprocess
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from msgspec.structs import replace

from shipway.ci import ci_context
from shipway.commands.previous import Previous, find_previous, history_in
from shipway.nodes import Change
from shipway.redaction import Redactor
from shipway.view import HISTORY_MAX
from tests.forge.server import GitHubServer, Reply
from tests.forge.world import Run, World
from tests.forked_command import call_command
from tests.pull_requests import WORKFLOW
from tests.render_samples import mixed_plan
from tests.runs import context_of
from tests.test_action_command import LIFECYCLE, Job, pull_request

HEADS = [letter * 40 for letter in "acdef"]
PLAN = mixed_plan()
NAME = "shipway-plan-shop-prod-70-1-0"


def zipped(**members: bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, data in members.items():
            archive.writestr(name.replace("_", ".").replace("pull.request", "pull-request"), data)
    return content.getvalue()


def pushed(tmp_path: Path, github: GitHubServer, number: int, text: str, *, moved: bool = False) -> Job:
    """The job of the `number`th push to the pull request, planned, uploaded and reported; once its base has `moved`, if so."""
    head, run = HEADS[number], 77 + number
    github.world.pulls[7].head = head
    github.world.runs[run] = Run(run, started_at=github.world.tick(), created_at=github.world.now, head=head)
    payload = pull_request(action="synchronize" if number else "opened")
    payload["pull_request"]["head"]["sha"] = head  # type: ignore[index]
    payload["pull_request"]["user"] = {"id": 583231, "type": "User"}  # type: ignore[index]
    job = Job(tmp_path / str(number), github, "pull_request", payload)
    job.env |= {"GITHUB_RUN_ID": str(run), "GITHUB_WORKFLOW_REF": f"octo/shop/{WORKFLOW}@refs/pull/7/merge"}
    payload["pull_request"]["base"]["sha"] = job.commit  # type: ignore[index]
    Path(job.env["GITHUB_EVENT_PATH"]).write_text(json.dumps(payload))
    github.world.branches["main"] = "b" * 40 if moved else job.commit
    github.world.held["main"] = [job.commit]
    (job.checkout / "shipway.yml").write_text(text)
    assert job.part("run").returncode == 0
    folder = Path(job.outputs["artifact-path"])
    members = {path.name.replace(".", "_").replace("-", "_"): path.read_bytes() for path in folder.iterdir()}
    github.world.upload(run, job.outputs["artifact-name"], zipped(**members))
    assert job.report().returncode == 0
    github.world.runs[run].conclusion = "success"
    return job


def test_a_comment_says_what_changed_since_the_plan_before_and_keeps_the_history_behind_it(
    tmp_path: Path, github: GitHubServer
) -> None:
    pushed(tmp_path, github, 0, LIFECYCLE)
    (comment,) = github.world.pulls[7].comments
    assert "Changed since" not in comment.body and "earlier plan" not in comment.body
    pushed(tmp_path, github, 1, LIFECYCLE.replace("undone", "taken back"))
    assert "**Changed since the plan for `aaaaaaa`**, 1 part:" in comment.body
    assert "- `main/greet`: `slots.undo`" in comment.body
    assert "- undo: echo undone" in comment.body.replace("slots.undo", "undo")
    github.world.edit(comment, comment.body.replace("aaaaaaa", "fffffff").replace("echo undone", "rm -rf /"))
    third = pushed(tmp_path, github, 2, LIFECYCLE.replace("undone", "taken back"))
    assert "Same effect as the plan for `ccccccc` shown before." in comment.body
    assert "fffffff" not in comment.body and "rm -rf" not in comment.body
    assert "<summary>2 earlier plans</summary>" in comment.body
    assert comment.body.index("actions/runs/78)") < comment.body.index("actions/runs/77)")
    assert "Same effect as the plan for `ccccccc`" in third.summary


def test_the_comment_says_of_a_changed_node_what_why_says(tmp_path: Path, github: GitHubServer) -> None:
    again = "{id: again, needs: [greet], lasting: false, run: 'echo again', env: {TAG: v1}}"
    declared = LIFECYCLE + f"  - {again}\n"
    old = pushed(tmp_path, github, 0, declared)
    new = pushed(tmp_path, github, 1, declared.replace("undone", "taken back").replace("TAG: v1", "TAG: v2"))
    (comment,) = github.world.pulls[7].comments
    plans = ("--plan", new.outputs["plan-path"], "--against", old.outputs["plan-path"])
    told = call_command(
        ("why", "main/again", *plans), new.checkout, {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    )
    assert told.returncode == 0, told.stderr
    _, _, said = told.stdout.partition("What differs:\n")
    mine, _, upstream = said.partition("  Of what it waits for, however far, these changed:\n")
    differing = [line.strip() for line in mine.splitlines() if line.strip()]
    assert differing == ["- env.TAG: v1", "+ env.TAG: v2"]
    assert "\n".join(differing) in comment.body
    node, _, clause = upstream.strip().partition(": ")
    assert clause == "`slots.undo` is now `echo taken back`"
    assert f"- `{node}`: {clause}\n" in comment.body
    assert "- `main/again`: `env.TAG` is now `v2`\n" in comment.body
    assert "why: shipway why main/again" in comment.body


APPROVED = """\
version: 1
name: shop
stages:
  main:
    approval: required
    steps: [{id: greet, run: echo hello, undo: echo undone}]
"""


def _requests(github: GitHubServer) -> list[str]:
    """What the API was asked since the last look, but for the pages of comments; an archive's own host is not of it."""
    asked = [seen for seen in github.requests if not seen.path.startswith("/blobs/")]
    github.requests.clear()
    pages = [
        seen for seen in asked if (seen.method, seen.path[-9:]) == ("GET", "/comments") and "since" not in seen.query
    ]
    return [f"{seen.method} {seen.path}" for seen in asked if seen not in pages]


@pytest.mark.parametrize("text", [LIFECYCLE, APPROVED], ids=["plain", "approved"])
@pytest.mark.parametrize("moved", [False, True], ids=["base stands", "base moved"])
def test_a_run_that_changed_nothing_and_one_that_did_keep_to_their_requests(
    tmp_path: Path, github: GitHubServer, text: str, moved: bool
) -> None:
    people = {"ana": 5, "ben": 6, "cat": 7, "dan": 8}
    for login, number in people.items():
        github.world.account(login, number)
        github.world.roles[login] = "write"
    for index in range(150):
        github.world.comment(7, "octocat", f"remark {index}")
    pushed(tmp_path, github, 0, text)
    github.world.review(7, "ana")
    _requests(github)
    changed = pushed(tmp_path, github, 1, text.replace("undone", "taken back"), moved=moved)
    assert len(asked := _requests(github)) <= 12, asked
    named = [told.document["name"] for told in github.world.checks if told.commit == HEADS[1]]
    assert named == ["shipway/shop/default", "shipway/shop/default/fresh"], "both that can be required"
    assert any("/compare/" in path for path in asked) == moved, "what is on the base by now was asked for"
    for login in people:
        github.world.review(7, login)
    assert changed.report().returncode == 0
    _requests(github)
    assert changed.part("run").returncode == 0
    assert changed.report().returncode == 0
    assert github.writes == []
    assert len(asked := _requests(github)) <= 8, asked
    # What ana approved is the plan before the one before: neither is at hand.
    del github.world.pulls[7].reviews[1:]
    pushed(tmp_path, github, 2, text.replace("undone", "made good"), moved=moved)
    _requests(github)
    pushed(tmp_path, github, 3, text.replace("undone", "put right"), moved=moved)
    assert len(asked := _requests(github)) <= 12, asked
    said = next(told.document["output"] for told in github.world.checks if told.commit == HEADS[3])
    assert ("by ana of aaaaaaa approved another plan" in said["title"]) == (text == APPROVED)


def test_a_plan_of_another_pull_request_of_the_same_branch_is_not_the_one_before(
    tmp_path: Path, github: GitHubServer
) -> None:
    pushed(tmp_path, github, 0, LIFECYCLE)
    other = github.world.artifacts.pop()
    with zipfile.ZipFile(io.BytesIO(base64.b64decode(other.content))) as archive:
        content = zipped(plan_json=archive.read("plan.json"), pull_request_json=b'{"base":"release","number":8}')
    github.world.upload(other.run, other.name, content)
    pushed(tmp_path, github, 1, LIFECYCLE.replace("undone", "taken back"))
    (comment,) = github.world.pulls[7].comments
    assert "Changed since" not in comment.body
    assert "earlier plan" not in comment.body


def test_a_run_between_that_left_no_plan_costs_no_request_too_many(tmp_path: Path, github: GitHubServer) -> None:
    pushed(tmp_path, github, 0, LIFECYCLE)
    pushed(tmp_path, github, 1, LIFECYCLE)
    github.world.artifacts = [each for each in github.world.artifacts if each.run != 78]
    github.requests.clear()
    changed = pushed(tmp_path, github, 2, LIFECYCLE.replace("undone", "taken back"))
    asked = [seen.path for seen in github.requests if seen.path.endswith("/artifacts")]
    assert [path.split("/")[-2] for path in asked] == ["78", "77"]
    sent = [seen for seen in github.requests if not seen.path.startswith("/blobs/")]
    assert len(sent) <= 12 + 1, [(seen.method, seen.path) for seen in sent]
    github.requests.clear()
    assert changed.part("run").returncode == 0
    assert changed.report().returncode == 0
    sent = [seen for seen in github.requests if not seen.path.startswith("/blobs/")]
    assert github.writes == []
    assert len(sent) <= 8 + 1, [(seen.method, seen.path) for seen in sent]


@pytest.mark.parametrize("merged", [False, True])
def test_a_comment_is_headed_closed_once_its_pull_request_is(
    tmp_path: Path, github: GitHubServer, merged: bool
) -> None:
    pushed(tmp_path, github, 0, LIFECYCLE)
    github.world.runs[99] = Run(99, started_at=github.world.tick(), created_at=github.world.now)
    payload = pull_request(action="closed")
    payload["pull_request"]["merged"] = merged  # type: ignore[index]
    job = Job(tmp_path / "closed", github, "pull_request", payload)
    job.env |= {"GITHUB_RUN_ID": "99"}
    (comment,) = github.world.pulls[7].comments
    was = comment.body
    assert job.part("run").returncode == 0
    if merged:
        assert (comment.body, job.outputs["comment"].partition(":")[0]) == (was, "refused")
        return
    assert "### Shipway plan: shop → default (closed)\n" in comment.body
    assert "| `greet` | main |" in comment.body
    assert job.outputs["comment"] == "updated"


@pytest.mark.parametrize("fault", ["undoo: echo", "undo: echo ${{ secrets.PASSWORD }}"], ids=["a key", "an expression"])
def test_a_plan_whose_head_moved_to_what_cannot_be_planned_is_headed_stale(
    tmp_path: Path, github: GitHubServer, fault: str
) -> None:
    pushed(tmp_path, github, 0, LIFECYCLE)
    github.world.pulls[7].head = HEADS[1]
    github.world.runs[78] = Run(78, started_at=github.world.tick(), created_at=github.world.now, head=HEADS[1])
    payload = pull_request(action="synchronize")
    payload["pull_request"]["head"]["sha"] = HEADS[1]  # type: ignore[index]
    job = Job(tmp_path / "broken", github, "pull_request", payload)
    job.env |= {"GITHUB_RUN_ID": "78"}
    (job.checkout / "shipway.yml").write_text(LIFECYCLE.replace("undo: echo", fault))
    assert job.part("run").returncode == 2
    (comment,) = github.world.pulls[7].comments
    assert "### Shipway plan: shop → default (stale: head moved to `ccccccc`)\n" in comment.body
    assert "**What is at `ccccccc` cannot be planned: the check says why.**" in comment.body
    assert "| `greet` | main |" in comment.body and "for `aaaaaaa`" in comment.body
    assert f"/blob/{HEADS[0]}/shipway.yml" in comment.body
    assert (job.outputs["comment"], job.outputs["check"]) == ("updated", "created")
    assert github.world.checks[-1].document["conclusion"] == "failure"
    third = pushed(tmp_path, github, 2, LIFECYCLE)
    assert third.outputs["comment"] == "updated"
    assert "stale" not in comment.body


def test_a_changed_file_is_named_beside_the_node_that_reads_it(tmp_path: Path, github: GitHubServer) -> None:
    text = LIFECYCLE.replace("    undo: echo undone\n", "    undo: echo undone\n    reads: [src/**]\n")
    first = Job(tmp_path / "repository", github, "pull_request", pull_request())
    git = partial(subprocess.run, cwd=first.checkout, check=True, capture_output=True, text=True)
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    (first.checkout / "src").mkdir()
    for number in range(2):
        (first.checkout / "src" / "page.html").write_text(f"page {number}")
        (first.checkout / "shipway.yml").write_text(text)
        git(["git", "add", "-A"])
        git(["git", *identity, "commit", "-qm", f"push {number}"])
        head = git(["git", "rev-parse", "HEAD"]).stdout.strip()
        github.world.pulls[7].head = head
        run = Run(77 + number, started_at=github.world.tick(), created_at=github.world.now, head=head)
        github.world.runs[run.id] = run
        payload = pull_request()
        payload["pull_request"]["head"]["sha"] = head  # type: ignore[index]
        payload["pull_request"]["base"]["sha"] = first.commit  # type: ignore[index]
        (first.root / "event.json").write_text(json.dumps(payload))
        first.env |= {"GITHUB_RUN_ID": str(run.id), "GITHUB_SHA": head}
        done = first.part("run")
        assert done.returncode == 0, done.stderr
        folder = Path(first.outputs["artifact-path"])
        members = {path.name.replace(".", "_").replace("-", "_"): path.read_bytes() for path in folder.iterdir()}
        github.world.upload(run.id, first.outputs["artifact-name"], zipped(**members))
        assert first.report().returncode == 0
        run.conclusion = "success"
    (comment,) = github.world.pulls[7].comments
    assert "- `main/greet`: what it `reads` changed (`src/page.html`)" in comment.body
    assert "reads: changed src/page.html" in comment.body
    assert "why: shipway why main/greet" in comment.body


ANOTHER_TARGET = zipped(plan_json=replace(PLAN, target="staging").content)


def told(github: GitHubServer, tmp_path: Path, said: list[str] | None = None) -> Previous | None:
    payload = pull_request()
    payload["pull_request"]["created_at"] = "2026-11-22T07:00:00Z"  # type: ignore[index]
    env = github.environment(GITHUB_EVENT_NAME="pull_request", GITHUB_SHA="f" * 40)
    context = replace(context_of(tmp_path, env), ci=ci_context(env, json.loads(json.dumps(payload))))
    return find_previous("shop", "prod", context, Redactor({}).redact, said.append if said is not None else print)


def planned(github: GitHubServer, archive: bytes | None = None) -> Run:
    """Run 70 of the same branch, which left a plan for another head."""
    run = github.world.runs[70] = Run(70, head="c" * 40, conclusion="success", created_at="2026-11-22T07:30:00Z")
    github.world.upload(70, NAME, archive or zipped(plan_json=PLAN.content, pull_request_json=b'{"number":7}'))
    return run


def test_the_plan_of_the_latest_run_of_another_head_is_found(github: GitHubServer, tmp_path: Path) -> None:
    planned(github)
    github.world.runs[69] = Run(69, head="d" * 40, conclusion="success", created_at="2026-11-22T07:20:00Z")
    found = told(github, tmp_path)
    assert found is not None
    assert found.plan.digest == PLAN.digest
    assert [(each.run, each.commit, each.effect) for each in found.history] == [("70", "c" * 40, PLAN.effect)]
    assert f"{sum(node.change is Change.RUN for node in PLAN.nodes)} run" in found.history[0].counts


def _set(name: str, value: object) -> Callable[[World], object]:
    """The run is another one in this, and its artifact says so as well."""

    def spoil(world: World) -> None:
        setattr(world.runs[70], name, value)
        if hasattr(world.artifacts[0], name):
            setattr(world.artifacts[0], name, value)

    return spoil


@pytest.mark.parametrize(
    "spoil",
    [
        _set("repository", 2),
        _set("path", ".github/workflows/other.yml"),
        _set("head", "a" * 40),
        _set("branch", "other"),
        _set("conclusion", "cancelled"),
        _set("created_at", "2026-11-22T06:59:59Z"),
        _set("event", "push"),
        lambda world: setattr(world.artifacts[0], "expired", True),
        lambda world: setattr(world.artifacts[0], "head", "b" * 40),
        lambda world: setattr(world.artifacts[0], "repository", 2),
        lambda world: setattr(world.artifacts[0], "name", "shipway-plan-shop-prod-eu-70-1-0"),
        lambda world: setattr(world.artifacts[0], "digest", "sha256:" + "0" * 64),
    ],
    ids=[
        *("a fork", "a workflow", "the same head", "a branch", "cancelled", "before the request", "push", "expired"),
        *("another commit", "another repository", "another name", "another digest"),
    ],
)
def test_what_is_not_this_pull_requests_own_plan_is_not_taken(
    github: GitHubServer, tmp_path: Path, spoil: Callable[[World], object]
) -> None:
    planned(github)
    spoil(github.world)
    assert told(github, tmp_path) is None


@pytest.mark.parametrize(
    "archive",
    [
        b"no archive",
        zipped(plan_json=PLAN.content.replace(b"config", b"konfig")),
        zipped(plan_json=PLAN.content, other=b"x"),
        ANOTHER_TARGET,
        zipped(plan_json=PLAN.content, history_json=b'[{"run":"1","commit":"x","effect":"y","counts":["<img>"]}]'),
    ],
    ids=["no archive", "another digest", "a member too many", "another target", "a hostile history"],
)
def test_an_artifact_that_is_none_is_left_out_and_fails_nothing(
    github: GitHubServer, tmp_path: Path, archive: bytes
) -> None:
    planned(github, archive)
    said: list[str] = []
    assert told(github, tmp_path, said) is None
    assert len(said) == (archive != ANOTHER_TARGET)


def test_a_forge_that_asks_to_wait_is_not_waited_for(github: GitHubServer, tmp_path: Path) -> None:
    planned(github)
    github.fault("GET", "/actions/runs$", Reply(429, {"message": "rate limit"}, {"Retry-After": "200"}), times=9)
    said: list[str] = []
    assert told(github, tmp_path, said) is None
    assert "the forge asks to wait for 200 s" in said[0]


def test_a_history_is_bounded() -> None:
    one = b'{"run":"1","commit":"%s","effect":"sha256:%s","counts":["3 create"]}' % (b"a" * 40, b"e" * 64)
    assert len(history_in(b"[" + b",".join([one] * HISTORY_MAX) + b"]")) == HISTORY_MAX
    with pytest.raises(ValueError, match="history"):
        history_in(b"[" + b",".join([one] * (HISTORY_MAX + 1)) + b"]")
