"""The two workflows for forks end to end under act: the plan is made without credentials, and published as data by another run."""

from __future__ import annotations

import json
import os
import shutil
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from tests.act.job import ROOT, Act, Job
from tests.command_line import Project
from tests.forge.fixtures import github as github
from tests.forge.server import GitHubServer
from tests.forge.world import Grant, Run
from tests.test_action import ACTION, PULL, Checkout, lifecycle, payload
from tests.test_action import act as act
from tests.test_action import action as action
from tests.test_action import checkout as checkout

pytestmark = pytest.mark.acceptance

RUN = 4711
STRANGER = 999000111
PLAN = ".github/workflows/shipway-plan.yml"
PUBLISH = ".github/workflows/shipway-publish.yml"


CHECKOUT = "actions/checkout@8e8c483db84b4bee98b60c0593521ed34d9990e8"
CHECKOUT_STAND_IN = """
name: checkout
inputs: {repository: {}, ref: {}, path: {}, persist-credentials: {}, fetch-depth: {}}
runs:
  using: composite
  steps:
    - shell: bash
      env: {INTO: "${{ inputs.path }}"}
      run: test -z "$INTO" || cp -R %s "$INTO"
"""
"""act skips the checkout of the work tree, which it copies, and knows no other: this brings the action to where it is wanted."""


@pytest.fixture
def machine(act: Act, action: Path, tmp_path: Path) -> Act:
    """A machine that knows a checkout of the action's own repository too."""
    folder = tmp_path / "checkout-stand-in"
    folder.mkdir()
    (folder / "action.yml").write_text(CHECKOUT_STAND_IN % action)
    return Act(act.home, {**act.actions, CHECKOUT: folder}, act.wheels)


@pytest.fixture
def forked(checkout: Checkout) -> Checkout:
    """A stranger's pull request on a repository with the set that `init --forks` writes; what it calls is here, as it is there."""
    shutil.rmtree(checkout.folder / ".github")
    Project(checkout.folder).call(
        "init", "-q", "--force", "--forks", "--uses", ACTION, "--branch", "master", env=_path()
    )
    called = ACTION.replace("@", "/.github/workflows/plan.yml@")
    checkout.write(PLAN, (checkout.folder / PLAN).read_text("utf-8").replace(called, "./.github/workflows/plan.yml"))
    checkout.write(".github/workflows/plan.yml", (ROOT / ".github/workflows/plan.yml").read_text("utf-8"))
    checkout.write("shipway.yml", lifecycle(checkout))
    checkout.commit("theirs")
    return checkout


def _path() -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"]}


def plan(act: Act, forked: Checkout, github: GitHubServer) -> Job:
    """The run under `pull_request`, with the token and the secrets that GitHub gives a fork's: one that reads, and none."""
    event = payload("pull_request.fork", forked)
    github.world.tokens["ghs_fork"] = Grant("github-actions[bot]", {"metadata": "read", "contents": "read"})
    known = github.environment(GITHUB_RUN_ID=str(RUN)) | {"GITHUB_EVENT_NAME": "pull_request"}
    del known["GITHUB_TOKEN"]
    return act.run(forked.folder, "pull_request", event, env=known, secrets={"GITHUB_TOKEN": "ghs_fork"}, workflow=PLAN)


def publish(act: Act, forked: Checkout, github: GitHubServer) -> Job:
    """The run under `workflow_run` that follows, about the run that GitHub knows as this pull request's."""
    vendored = json.loads((ROOT / "tests/vendor/github/webhooks/workflow_run.completed.json").read_text("utf-8"))
    event: dict[str, Any] = deepcopy(vendored)
    head = github.world.pulls[PULL].head
    event["workflow_run"] |= {"id": RUN, "event": "pull_request", "head_sha": head, "pull_requests": []}
    event["workflow_run"]["head_repository"] |= {"id": STRANGER}
    known = github.environment(GITHUB_RUN_ID="4712")
    token = known.pop("GITHUB_TOKEN")
    return act.run(forked.folder, "workflow_run", event, env=known, secrets={"GITHUB_TOKEN": token}, workflow=PUBLISH)


def known_to_github(job: Job, forked: Checkout, github: GitHubServer) -> str:
    """Tells the false GitHub of the run, its artifact and the pull request, as the real one would know them; gives the name."""
    head = forked.git("rev-parse", "HEAD")
    world = github.world
    pull = world.pull(PULL, head)
    pull.head, pull.repository, pull.owner, pull.branch = head, STRANGER, "stranger", "changes"
    world.runs[RUN] = Run(
        RUN,
        status="completed",
        head=head,
        repository=STRANGER,
        owner="stranger",
        branch="changes",
        conclusion="success",
        path=PLAN,
    )
    (archive,) = job.artifacts.rglob("shipway-plan-*.zip")
    world.upload(RUN, archive.stem, archive.read_bytes())
    return archive.stem


def test_case_62_g060_a_forks_plan_is_made_without_credentials_and_told_by_the_run_that_follows(
    machine: Act, forked: Checkout, github: GitHubServer
) -> None:
    planned = plan(machine, forked, github)
    assert planned.exit_code == 0, "\n".join(str(r.get("msg")) for r in planned.records)
    assert github.writes == []
    assert list(forked.store.iterdir()) == []
    name = known_to_github(planned, forked, github)
    assert name == f"shipway-plan-shop-default-{RUN}-1-0"
    assert {"plan.json", "pull-request.json"} <= set(planned.artifact(name))
    published = publish(machine, forked, github)
    assert published.exit_code == 0, published.printed()
    (comment,) = github.world.pulls[PULL].comments
    assert "Shipway plan: shop" in comment.body
    assert "From a fork, planned without credentials" in comment.body
    assert "on pull request 2: created" in published.summary()
    assert list(forked.store.iterdir()) == []


def test_case_61_g027_what_is_not_that_runs_own_plan_is_refused_with_its_reason(
    machine: Act, forked: Checkout, github: GitHubServer
) -> None:
    planned = plan(machine, forked, github)
    known_to_github(planned, forked, github)
    world = github.world

    def refused() -> str:
        published = publish(machine, forked, github)
        assert published.exit_code == 1, published.printed()
        assert github.writes == []
        return published.outputs("0/run")["reason"]

    world.runs[RUN].head = "e" * 40
    assert refused() == "artifact-foreign"
    world.runs[RUN].head = world.pulls[PULL].head
    world.runs[RUN].path = ".github/workflows/evil.yml"
    assert refused() == "artifact-foreign"
    world.runs[RUN].path = PLAN
    honest = world.artifacts.pop()
    flipped = bytearray(honest.archive)
    flipped[len(flipped) // 2] ^= 1
    world.upload(RUN, honest.name, bytes(flipped))
    assert refused() == "artifact-invalid"
    world.artifacts[:] = [honest]
    assert publish(machine, forked, github).exit_code == 0
    assert len(world.pulls[PULL].comments) == 1
