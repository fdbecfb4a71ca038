"""The two workflows for forks end to end under act: the plan is made without credentials, and published as data by another run.

One plan is made for all tests. act knows neither `job.workflow_repository` nor `job.workflow_sha`, by which the called workflows
check out the action that they were called with, and checks out no other repository: a stand-in for `actions/checkout` brings it.
A workflow of another repository it takes from a folder, as it takes an action, so that the callers are as users have them.
"""

from __future__ import annotations

import base64
import io
import json
import os
import shutil
import zipfile
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.act.job import ROOT, Act, Job
from tests.command_line import Project
from tests.forge.server import GitHubServer
from tests.forge.world import Grant, Run, World
from tests.test_action import ACTION, PULL, Checkout, lifecycle, machine, payload, repository
from tests.test_action import action as action

pytestmark = pytest.mark.acceptance

RUN = 4711
STRANGER = 999000111
PLAN = ".github/workflows/shipway-plan.yml"
PUBLISH = ".github/workflows/shipway-publish.yml"
CALLING = ".github/workflows/shipway-publish-called.yml"

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

CALLER = f"""
name: shipway-publish
on:
  workflow_run:
    workflows: [shipway-plan]
    types: [completed]
permissions: {{}}
jobs:
  publish:
    permissions: {{contents: read, pull-requests: write, checks: write, actions: read}}
    uses: {ACTION.replace("@", "/.github/workflows/publish.yml@")}
    with: {{workflow: {PLAN}}}
"""


@dataclass(frozen=True)
class Forked:
    """A stranger's pull request, planned by the first workflow; `world` is what GitHub knows then, `name` the artifact's."""

    act: Act
    checkout: Checkout
    github: GitHubServer
    planned: Job
    name: str
    world: World

    def publish(self, workflow: str) -> Job:
        """The run under `workflow_run` that follows, about the run that GitHub knows as this pull request's."""
        vendored = json.loads((ROOT / "tests/vendor/github/webhooks/workflow_run.completed.json").read_text("utf-8"))
        event: dict[str, Any] = deepcopy(vendored)
        head = self.github.world.pulls[PULL].head
        event["workflow_run"] |= {"id": RUN, "event": "pull_request", "head_sha": head, "pull_requests": []}
        event["workflow_run"]["head_repository"] |= {"id": STRANGER}
        known = self.github.environment(GITHUB_RUN_ID="4712")
        secrets = {"GITHUB_TOKEN": known.pop("GITHUB_TOKEN")}
        return self.act.run(self.checkout.folder, "workflow_run", event, env=known, secrets=secrets, workflow=workflow)

    def refused(self, why: str) -> str:
        """The reason of the called publisher, which has written nothing, and says this."""
        published = self.publish(CALLING)
        assert published.exit_code == 1, published.printed()
        assert self.github.writes == []
        assert why in published.printed()
        return published.outputs("shipway/run")["reason"]

    def replace(self, archive: bytes) -> None:
        """Another archive under the name of the one that the plan run left, by the same run."""
        self.github.world.artifacts.clear()
        self.github.world.upload(RUN, self.name, archive)


@pytest.fixture(scope="module")
def planned(action: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forked]:
    """The run under `pull_request`, with the token and the secrets that GitHub gives a fork's: one that reads, and none."""
    place = tmp_path_factory.mktemp("forks")
    plain, checkout = machine(action, place), repository(place)
    stand_in = place / "checkout-stand-in"
    stand_in.mkdir()
    (stand_in / "action.yml").write_text(CHECKOUT_STAND_IN % action)
    act = Act(plain.home, {**plain.actions, CHECKOUT: stand_in}, plain.wheels)
    set_up(checkout)
    with GitHubServer() as github:
        event = payload("pull_request.fork", checkout)
        github.world.tokens["ghs_fork"] = Grant("github-actions[bot]", {"metadata": "read", "contents": "read"})
        known = github.environment(GITHUB_RUN_ID=str(RUN)) | {"GITHUB_EVENT_NAME": "pull_request"}
        del known["GITHUB_TOKEN"]
        secrets = {"GITHUB_TOKEN": "ghs_fork"}
        job = act.run(checkout.folder, "pull_request", event, env=known, secrets=secrets, workflow=PLAN)
        assert job.exit_code == 0, "\n".join(str(record.get("msg")) for record in job.records)
        assert github.writes == []
        name = known_to_github(job, checkout, github.world)
        yield Forked(act, checkout, github, job, name, deepcopy(github.world))
    shutil.rmtree(place, ignore_errors=True)


def set_up(checkout: Checkout) -> None:
    """The set that `init --forks` writes, and a caller of the publisher beside the one of the set."""
    shutil.rmtree(checkout.folder / ".github")
    env = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"]}
    words = ("init", "-q", "--force", "--forks", "--uses", ACTION, "--branch", "master")
    Project(checkout.folder).call(*words, env=env)
    called = ACTION.replace("@", "/.github/workflows/plan.yml@")
    assert f"uses: {called}" in (checkout.folder / PLAN).read_text("utf-8")
    checkout.write(CALLING, CALLER)
    checkout.write("shipway.yml", lifecycle(checkout))
    checkout.commit("theirs")


def known_to_github(job: Job, checkout: Checkout, world: World) -> str:
    """Tells the false GitHub of the run, its artifact and the pull request, as the real one would know them; gives the name."""
    head = checkout.git("rev-parse", "HEAD")
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
    world.branches[pull.base] = json.loads(job.artifact(archive.stem)["plan.json"])["source"]["merge_base"]
    return archive.stem


@pytest.fixture
def forked(planned: Forked) -> Forked:
    """The same, before anything was published."""
    planned.github.world = deepcopy(planned.world)
    planned.github.requests.clear()
    return planned


@pytest.mark.parametrize("workflow", [PUBLISH, CALLING], ids=["the set of init", "publish.yml"])
def test_case_62_g060_a_forks_plan_is_made_without_credentials_and_told_by_the_run_that_follows(
    forked: Forked, workflow: str
) -> None:
    assert forked.name == f"shipway-plan-shop-default-{RUN}-1-0"
    assert {"plan.json", "pull-request.json"} <= set(forked.planned.artifact(forked.name))
    published = forked.publish(workflow)
    assert published.exit_code == 0, published.printed()
    (comment,) = forked.github.world.pulls[PULL].comments
    assert "Shipway plan: shop" in comment.body
    assert "From a fork, planned without credentials" in comment.body
    assert "on pull request 2: created" in published.summary()
    told = {check.document["name"]: check.document["conclusion"] for check in forked.github.world.checks}
    assert told == {"shipway/shop/default": "success", "shipway/shop/default/fresh": "success"}
    assert list(forked.checkout.store.iterdir()) == []


def test_case_61_g027_what_is_not_that_runs_own_plan_is_refused_with_its_reason(forked: Forked) -> None:
    run = forked.github.world.runs[RUN]
    run.head = "e" * 40
    assert forked.refused("of another commit or repository than the event says") == "artifact-foreign"
    run.head, run.path = forked.github.world.pulls[PULL].head, ".github/workflows/evil.yml"
    assert forked.refused("is of the workflow `.github/workflows/evil.yml`") == "artifact-foreign"


def test_case_61_a_hostile_artifact_is_refused_by_the_called_publisher_and_lands_nowhere(forked: Forked) -> None:
    honest = base64.b64decode(forked.world.artifacts[0].content)
    flipped = bytearray(honest)
    flipped[len(flipped) // 2] ^= 1
    forked.replace(bytes(flipped))
    assert forked.refused("it cannot be unpacked") == "artifact-invalid"
    hostile = io.BytesIO(honest)
    with zipfile.ZipFile(hostile, "a") as archive:
        archive.writestr("../../../../escaped.sh", "#!/bin/sh\n")
    forked.replace(hostile.getvalue())
    assert forked.refused("a member's path leads out of the archive") == "artifact-invalid"
    assert list(forked.act.home.parent.rglob("escaped.sh")) == []
