"""Approval end to end under act: a pull request is planned, reviewed, merged and run; what is not quite that is refused."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from tests.act.job import Act, Job
from tests.forge.fixtures import github as github
from tests.forge.server import GitHubServer
from tests.forge.world import Run, Stored
from tests.test_action import PULL, Checkout, lifecycle, outputs, payload, run
from tests.test_action import act as act
from tests.test_action import action as action
from tests.test_action import checkout as checkout

pytestmark = pytest.mark.acceptance

PLAN_RUN, FORK_RUN, PUSH_RUN = 77, 78, 90
WORKFLOW = ".github/workflows/shipway.yml"
REF = f"octo/shop/{WORKFLOW}@refs/heads/master"


@pytest.fixture
def reviewed(act: Act, checkout: Checkout, github: GitHubServer) -> Stored:
    """A pull request, planned by the action and merged: its plan as act's artifact server kept it."""
    text = lifecycle(checkout).replace("  release:\n", "  release:\n    approval: required\n")
    checkout.git("checkout", "--quiet", "-b", "topic")
    checkout.write("shipway.yml", text)
    head = checkout.commit("needs approval")
    job = run(act, checkout, github, "pull_request.synchronize", GITHUB_WORKFLOW_REF=REF)
    assert job.exit_code == 0, job.printed()
    own = payload("push.branch", checkout)["repository"]["id"]
    told: dict[str, Any] = {"path": WORKFLOW, "head": head, "status": "completed", "conclusion": "success"}
    github.world.runs[PLAN_RUN] = Run(PLAN_RUN, repository=own, host=own, **told)
    github.world.runs[FORK_RUN] = Run(FORK_RUN, repository=own + 1, host=own, **told)
    name = outputs(job)["artifact-name"]
    [archive] = job.artifacts.rglob(f"{name}.zip")
    checkout.git("checkout", "--quiet", "master")
    checkout.git("merge", "--quiet", "--no-ff", "--message", "merged", "topic")
    world = github.world
    world.branches["master"] = world.pulls[PULL].merge_commit = checkout.git("rev-parse", "HEAD")
    world.pulls[PULL].base = "master"
    world.account("ana", 5)
    world.roles["ana"] = "write"
    return world.upload(PLAN_RUN, name, archive.read_bytes())


def push(act: Act, checkout: Checkout, github: GitHubServer) -> Job:
    return run(act, checkout, github, "push.branch", GITHUB_RUN_ID=str(PUSH_RUN), GITHUB_WORKFLOW_REF=REF)


def test_cases_19_and_34_a_reviewed_plan_runs_once_it_is_merged(
    act: Act, checkout: Checkout, github: GitHubServer, reviewed: Stored
) -> None:
    review = github.world.review(PULL, "ana")
    job = push(act, checkout, github)
    assert job.exit_code == 0, job.printed()
    assert f"approved by ana, review {review.id} of `#{PULL}`" in job.summary()
    assert (checkout.store / "version.txt").is_file()


def test_what_is_not_quite_that_is_refused_each_with_its_reason(
    act: Act, checkout: Checkout, github: GitHubServer, reviewed: Stored
) -> None:
    world = github.world
    review = world.review(PULL, "ana")
    found: dict[str, str] = {}

    review.state = "DISMISSED"
    found["dismissed"] = outputs(push(act, checkout, github))["reason"]
    review.state, review.commit = "APPROVED", "c" * 40
    found["pushed between review and merge"] = outputs(push(act, checkout, github))["reason"]
    review.commit, whole = world.pulls[PULL].head, reviewed.content
    flipped = bytearray(reviewed.archive)
    flipped[len(flipped) // 2] ^= 1
    reviewed.content = base64.b64encode(bytes(flipped)).decode()
    found["flipped byte"] = outputs(push(act, checkout, github))["reason"]
    reviewed.content, reviewed.run = whole, FORK_RUN
    reviewed.name = reviewed.name.replace(f"-{PLAN_RUN}-", f"-{FORK_RUN}-")
    found["same name from a fork"] = outputs(push(act, checkout, github))["reason"]

    assert found == {
        "dismissed": "approval-missing",
        "pushed between review and merge": "approval-stale",
        "flipped byte": "plan-digest",
        "same name from a fork": "artifact-foreign",
    }
    assert list(Path(checkout.store).iterdir()) == []
