"""A stranger's code in a job with credentials: refused by event and payload, whatever was checked out and however."""

from __future__ import annotations

import copy
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shipway.ci import Provider, ci_context
from shipway.errors import Reason
from shipway.trigger import WorkKind, commanded_work, strangers_work
from tests.forge.server import GitHubServer

WEBHOOKS = Path(__file__).parent / "vendor/github/webhooks"

LIFECYCLE = """\
version: 1
name: shop
steps:
  - id: steal
    plan: echo planned >> "$HOME/mark"
    run: echo ran >> "$HOME/mark"
"""


def payload(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((WEBHOOKS / f"{name}.json").read_text("utf-8"))
    return loaded


def after_a_fork(event: str = "pull_request") -> dict[str, Any]:
    """GitHub's own `workflow_run` payload, for a run of a fork's pull request."""
    body = copy.deepcopy(payload("workflow_run.completed"))
    body["workflow_run"]["event"] = event
    body["workflow_run"]["head_repository"] |= {"id": 999000111}
    return body


EVENTS = {
    "pull_request_target, own": ("pull_request_target", payload("pull_request.opened"), "event-refused"),
    "pull_request_target, fork": ("pull_request_target", payload("pull_request.fork"), "event-refused"),
    "issue_comment": ("issue_comment", payload("issue_comment.created"), "event-refused"),
    "workflow_run, fork": ("workflow_run", after_a_fork(), "fork-code"),
}


def git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="session")
def fork(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Someone else's repository, with a lifecycle that leaves a mark where it is planned or run."""
    folder = tmp_path_factory.mktemp("fork")
    (folder / "shipway.yml").write_text(LIFECYCLE)
    git(folder, "init", "-q", "-b", "changes")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "theirs")
    return folder


def cloned(fork: Path, place: Path) -> None:
    """As `actions/checkout` with the head's repository and ref."""
    git(place.parent, "clone", "-q", str(fork), place.name)


def fetched(fork: Path, place: Path) -> None:
    """As a checkout of the base, and `git fetch` of the pull request's head into it."""
    place.mkdir()
    git(place, "init", "-q", "-b", "main")
    git(place, "commit", "-q", "--allow-empty", "-m", "ours")
    git(place, "fetch", "-q", str(fork), "changes:refs/remotes/pull/7/head")
    git(place, "checkout", "-q", "refs/remotes/pull/7/head")


def laid_over(fork: Path, place: Path) -> None:
    """As a checkout of the base with the head's files copied over it, and committed by nobody."""
    place.mkdir()
    git(place, "init", "-q", "-b", "main")
    git(place, "commit", "-q", "--allow-empty", "-m", "ours")
    shutil.copy(fork / "shipway.yml", place)


def unpacked(fork: Path, place: Path) -> None:
    """As an artifact of the head's run, unpacked into a folder without git."""
    place.mkdir()
    shutil.copy(fork / "shipway.yml", place)


HOWS: tuple[Callable[[Path, Path], None], ...] = (cloned, fetched, laid_over, unpacked)
CALLS = [(called, how) for called in ("action run", "run --yes") for how in HOWS]
CALLS += [(called, cloned) for called in ("action auto", "action plan", "action validate", "plan")]
CASES = [
    pytest.param(name, *call, id=f"{name}-{call[0]}-{call[1].__name__}")
    for name in EVENTS
    for call in CALLS
    if (EVENTS[name][0], call[0]) != ("workflow_run", "action auto")  # that publishes: tests/test_publish.py
]


def call(
    tmp_path: Path, github: GitHubServer, event: str, body: dict[str, Any], called: str
) -> subprocess.CompletedProcess[str]:
    """A command, or the action with an input `command`, in a job for this event."""
    (tmp_path / "event.json").write_text(json.dumps(body))
    for file in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY"):
        (tmp_path / file).touch()
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **github.environment(), "GITHUB_EVENT_NAME": event}
    env |= {"GITHUB_EVENT_PATH": str(tmp_path / "event.json"), "GITHUB_OUTPUT": str(tmp_path / "GITHUB_OUTPUT")}
    env |= {"GITHUB_STEP_SUMMARY": str(tmp_path / "GITHUB_STEP_SUMMARY"), "GITHUB_REF": "refs/heads/main"}
    words = called.split()
    if words[0] == "action":
        env["SHIPWAY_INPUT_COMMAND"], words = words[1], ["action", "run"]
    command = [sys.executable, "-I", "-m", "shipway", *words]
    return subprocess.run(command, cwd=tmp_path / "workspace", env=env, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("name", "called", "how"), CASES)
def test_case_63_a_strangers_code_is_neither_planned_nor_run(
    tmp_path: Path, fork: Path, github: GitHubServer, name: str, called: str, how: Callable[[Path, Path], None]
) -> None:
    event, body, reason = EVENTS[name]
    how(fork, tmp_path / "workspace")
    done = call(tmp_path, github, event, body, called)
    is_action = called.startswith("action")
    assert done.returncode == 2, done.stdout + done.stderr
    assert not is_action or reason in (tmp_path / "GITHUB_OUTPUT").read_text()
    assert ("docs/github.md#forks" in done.stderr) == (reason == "fork-code")
    assert reason == "fork-code" or "Use `pull_request`" in done.stderr
    assert not (tmp_path / "mark").exists()
    assert not (tmp_path / "workspace/.shipway").exists()
    assert github.requests == []


@pytest.mark.parametrize(
    "content", [None, "version: [", "version: 1\nname: x\nsteps: [{run: 'true'}]\nsecrets: [HOME]\n"]
)
def test_case_63_no_file_is_read_before_the_refusal(tmp_path: Path, github: GitHubServer, content: str | None) -> None:
    (tmp_path / "workspace").mkdir()
    if content is not None:
        (tmp_path / "workspace/shipway.yml").write_text(content)
    done = call(tmp_path, github, "issue_comment", payload("issue_comment.created"), "action run")
    assert done.returncode == 2
    assert "event-refused" in (tmp_path / "GITHUB_OUTPUT").read_text()
    assert "add-mask" not in done.stdout


def work(event: str, body: dict[str, Any], command: str = "auto") -> tuple[WorkKind, Reason | None]:
    ci = ci_context({"GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": event, "GITHUB_REF": "refs/heads/main"}, body)
    assert ci is not None
    found = commanded_work(command, ci)
    return found.kind, found.reason


def test_the_end_of_a_pull_requests_run_is_published_whoevers_it_was() -> None:
    own = copy.deepcopy(payload("workflow_run.completed"))
    own["workflow_run"]["event"] = "pull_request"
    for body in (own, after_a_fork()):
        assert work("workflow_run", body) == (WorkKind.PUBLISH, None)
        assert work("workflow_run", body, "publish") == (WorkKind.PUBLISH, None)
        assert work("workflow_run", {**body, "action": "requested"}) == (WorkKind.IGNORE, None)
    assert work("workflow_run", own, "run") == (WorkKind.REFUSE, Reason.EVENT_REFUSED)
    assert work("workflow_run", own, "plan") == (WorkKind.REFUSE, Reason.EVENT_REFUSED)


@pytest.mark.parametrize("before", ["push", "pull_request_target", "issue_comment", "schedule", "workflow_dispatch"])
def test_the_end_of_any_other_run_is_not_published(before: str) -> None:
    own = copy.deepcopy(payload("workflow_run.completed"))
    own["workflow_run"]["event"] = before
    for command in ("auto", "publish"):
        assert work("workflow_run", own, command) == (WorkKind.REFUSE, Reason.EVENT_REFUSED)
        assert work("workflow_run", after_a_fork(before), command) == (WorkKind.REFUSE, Reason.FORK_CODE)


@pytest.mark.parametrize(
    "event", ["pull_request.opened", "pull_request.fork", "push.branch", "merge_group.checks_requested"]
)
def test_publish_asks_for_less_than_the_event_and_never_for_more(event: str) -> None:
    assert work(event.split(".")[0], payload(event), "publish") == (WorkKind.REFUSE, Reason.EVENT_REFUSED)


def test_a_command_without_the_action_is_kept_from_strangers_only() -> None:
    def may(event: str, body: dict[str, Any], **env: str) -> bool:
        ci = ci_context({"GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": event, **env}, body)
        assert ci is not None
        return strangers_work(ci) is None

    assert may("pull_request", payload("pull_request.fork"))
    assert may("push", payload("push.branch"))
    assert may("release", {})
    assert may("workflow_run", payload("workflow_run.completed"))
    assert not may("workflow_run", after_a_fork("push"))
    assert not may("workflow_run", {})
    assert not may("pull_request_target", payload("pull_request.opened"), GITEA_ACTIONS="true")
    gitlab = ci_context({"GITLAB_CI": "true", "CI_PIPELINE_SOURCE": "issue_comment"}, {})
    assert gitlab is not None and gitlab.provider is Provider.GITLAB
    assert strangers_work(gitlab) is None
