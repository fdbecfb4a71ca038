"""Approval end to end under act: a pull request is planned, reviewed, merged and run; what is not quite that is refused.

One pull request is planned once; each test begins with its review and the merge.
"""

from __future__ import annotations

import base64
import shutil
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.act.job import Act, Job
from tests.forge.server import GitHubServer
from tests.forge.world import Run, Stored, World
from tests.test_action import PULL, Checkout, lifecycle, machine, outputs, payload, repository, run
from tests.test_action import action as action

pytestmark = pytest.mark.acceptance

PLAN_RUN, FORK_RUN, PUSH_RUN = 77, 78, 90
WORKFLOW = ".github/workflows/shipway.yml"
REF = f"octo/shop/{WORKFLOW}@refs/heads/master"


@dataclass(frozen=True)
class Planned:
    """A pull request from `topic`, planned by the action at `head`; `world` is what GitHub knows then, and `own` its id."""

    act: Act
    checkout: Checkout
    github: GitHubServer
    head: str
    own: int
    world: World

    @property
    def plan(self) -> Stored:
        """The plan as act's artifact server kept it."""
        return self.github.world.artifacts[0]

    def begin(self) -> None:
        """As it was before any review: nothing merged, nothing executed."""
        self.github.world = deepcopy(self.world)
        self.checkout.git("checkout", "--quiet", "--force", "-B", "topic", self.head)
        self.checkout.git("branch", "--quiet", "--force", "master", f"{self.head}~1")
        self.checkout.git("clean", "--quiet", "-dffx")
        for path in self.checkout.store.iterdir():
            path.unlink()

    def merge(self) -> str:
        """Merge `topic` as it is: the head of the pull request by then."""
        head = self.checkout.git("rev-parse", "topic")
        self.checkout.git("checkout", "--quiet", "master")
        self.checkout.git("merge", "--quiet", "--no-ff", "--message", "merged", "topic")
        world = self.github.world
        world.pulls[PULL].head = head
        world.branches["master"] = world.pulls[PULL].merge_commit = self.checkout.git("rev-parse", "HEAD")
        world.runs[PUSH_RUN] = Run(PUSH_RUN, event="push", head=world.branches["master"])
        return head

    def push(self) -> Job:
        """The run of the push that merging made."""
        env = {"GITHUB_RUN_ID": str(PUSH_RUN), "GITHUB_WORKFLOW_REF": REF}
        return run(self.act, self.checkout, self.github, "push.branch", **env)

    def refused(self) -> tuple[str, str]:
        """The reason of a push that is refused, and what its log says; nothing was executed."""
        job = self.push()
        told = outputs(job)
        assert (job.exit_code, told["exit-code"], told["counts"]) == (1, "5", "{}"), job.printed()
        assert list(self.checkout.store.iterdir()) == []
        return told["reason"], job.printed()


@pytest.fixture(scope="module")
def pull(action: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Planned]:
    place = tmp_path_factory.mktemp("approval")
    act, checkout = machine(action, place), repository(place)
    checkout.git("checkout", "--quiet", "-b", "topic")
    checkout.write("shipway.yml", needing_approval(checkout, "echo done"))
    head = checkout.commit("needs approval")
    with GitHubServer() as github:
        job = run(act, checkout, github, "pull_request.synchronize", GITHUB_WORKFLOW_REF=REF)
        assert job.exit_code == 0, job.printed()
        own = payload("push.branch", checkout)["repository"]["id"]
        world = github.world
        told: dict[str, Any] = {"path": WORKFLOW, "head": head, "status": "completed", "conclusion": "success"}
        world.runs[PLAN_RUN] = Run(PLAN_RUN, repository=own, host=own, **told)
        world.runs[FORK_RUN] = Run(FORK_RUN, repository=own + 1, host=own, **told)
        name = outputs(job)["artifact-name"]
        [archive] = job.artifacts.rglob(f"{name}.zip")
        world.upload(PLAN_RUN, name, archive.read_bytes())
        world.pulls[PULL].base = "master"
        world.account("ana", 5)
        world.roles["ana"] = "write"
        yield Planned(act, checkout, github, head, own, deepcopy(world))
    shutil.rmtree(place, ignore_errors=True)


def needing_approval(checkout: Checkout, announce: str) -> str:
    return lifecycle(checkout, announce).replace("  release:\n", "  release:\n    approval: required\n")


@pytest.fixture(autouse=True)
def begun(pull: Planned) -> None:
    pull.begin()


def test_cases_19_and_34_a_reviewed_plan_runs_once_it_is_merged(pull: Planned) -> None:
    review = pull.github.world.review(PULL, "ana")
    assert pull.merge() == pull.head
    job = pull.push()
    assert job.exit_code == 0, job.printed()
    assert f"approved by ana, review {review.id} of `#{PULL}`" in job.summary()
    assert (pull.checkout.store / "version.txt").is_file()


def test_case_35_a_commit_that_was_pushed_between_review_and_merge_is_not_what_was_reviewed(pull: Planned) -> None:
    review = pull.github.world.review(PULL, "ana")
    pull.checkout.write("shipway.yml", needing_approval(pull.checkout, 'touch "$STORE/nobody-saw-this"'))
    pushed = pull.checkout.commit("behind the reviewer's back")
    assert pull.merge() == pushed != review.commit == pull.head
    reason, said = pull.refused()
    assert reason == "approval-stale"
    assert f"review {review.id} by ana of {pull.head[:7]} approved another plan: #{PULL} came to {pushed[:7]}" in said
    assert "release/announce: slots" in said


def test_case_25_a_plan_with_a_flipped_byte_is_not_what_was_uploaded(pull: Planned) -> None:
    pull.github.world.review(PULL, "ana")
    pull.merge()
    flipped = bytearray(pull.plan.archive)
    flipped[len(flipped) // 2] ^= 1
    pull.plan.content = base64.b64encode(bytes(flipped)).decode()
    reason, said = pull.refused()
    assert (reason, f"artifact `{pull.plan.name}` is not what was uploaded: its digest differs" in said) == (
        "plan-digest",
        True,
    )


def test_case_27_a_plan_of_the_same_name_from_a_forks_run_is_nobodys_word(pull: Planned) -> None:
    """The fork's run left it under the name of the real one, and under its own."""
    world, real = pull.github.world, pull.plan
    world.review(PULL, "ana")
    pull.merge()
    world.artifacts.clear()
    for name in (real.name, real.name.replace(f"-{PLAN_RUN}-", f"-{FORK_RUN}-")):
        assert world.upload(FORK_RUN, name, real.archive).repository == pull.own + 1
    reason, said = pull.refused()
    assert reason == "artifact-foreign"
    assert f"run {FORK_RUN} is of another repository's code" in said


def test_case_36_a_review_that_was_dismissed_approves_nothing(pull: Planned) -> None:
    pull.github.world.review(PULL, "ana").state = "DISMISSED"
    pull.merge()
    reason, said = pull.refused()
    assert (reason, "it was dismissed" in said) == ("approval-missing", True)
