"""Runs that fail, are killed, given up, retried, rolled back and gone on with, in any order, against a model of a few lines."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from shipway.replay import stand
from shipway.run_record import UNFINISHED, RunStatus
from tests.kills import Ended, Mortals
from tests.runs import declare, journal_of, stage

NEEDS = {"a": "", "b": "a", "c": "b", "d": "", "e": "d", "f": "ce"}
STEPS = "\n".join(
    f"{name}: {{uses: test.work, with: {{name: {name}}}, needs: [{', '.join(needs)}]}}" for name, needs in NEEDS.items()
)
FAILING = st.sets(st.sampled_from(sorted(NEEDS)), max_size=2)


class Model:
    """What a run comes to: each node done, failed, blocked or undone, and what stands in the world. Nothing else is reachable."""

    def __init__(self, rolls_back: bool) -> None:
        self.rolls_back = rolls_back
        self.is_taken_back = False
        self.states: dict[str, str] = {}
        self.world: set[str] = set()
        self.repeated: set[str] = set()

    @property
    def done(self) -> set[str]:
        return {name for name, state in self.states.items() if state == "succeeded"}

    def execute(self, failing: set[str], opened: set[str]) -> None:
        """What is done is kept, unless it is opened; all else begins anew. A failure takes back all that was begun."""
        self.is_taken_back = False
        kept = self.done - opened
        self.repeated = self.world - kept
        for name, needs in NEEDS.items():
            if name not in kept:
                runs = all(self.states.get(need) == "succeeded" for need in needs)
                self.states[name] = ("failed" if name in failing else "succeeded") if runs else "blocked"
        self.world |= self.done
        if "failed" in self.states.values() and self.rolls_back:
            self._undo()

    def roll_back(self) -> None:
        """Later, because a person asks for it."""
        self.is_taken_back = True
        self._undo()

    def _undo(self) -> None:
        for name, state in self.states.items():
            if state != "blocked" or name in self.world:
                self.states[name] = "undone"
        self.world.clear()

    @property
    def status(self) -> RunStatus:
        if self.is_taken_back:
            return RunStatus.ROLLED_BACK
        return RunStatus.SUCCEEDED if self.done == set(NEEDS) else RunStatus.FAILED


def behind(name: str) -> set[str]:
    """A node and all that waits for it."""
    found = {name}
    for other, needs in NEEDS.items():
        if found & set(needs):
            found.add(other)
    return found


class Runs(RuleBasedStateMachine):
    """One run of one lifecycle, from its begin to as many ends as are asked for."""

    mortals: Mortals

    @initialize(rolls_back=st.booleans(), failing=FAILING, deadly=st.integers(0, 90))
    def begin(self, rolls_back: bool, failing: set[str], deadly: int) -> None:
        self.root = Path(tempfile.mkdtemp())
        (self.root / "world").mkdir()
        policy = "run" if rolls_back else "none"
        declare(self.root, stage(STEPS, lasting=True, defaults=f"on_failure: continue, rollback: {policy}"))
        self.model = Model(rolls_back)
        self.again: Counter[str] = Counter()
        self._fail(failing)
        ended = self.mortals.run(self.root, deadly)
        if not journal_of(self.root).runs():
            ended = self.mortals.run(self.root)
        self._to_its_end(ended)
        self.model.execute(failing, set())

    @precondition(lambda self: self.model.status is RunStatus.FAILED)
    @rule(failing=FAILING, deadly=st.integers(0, 90))
    def resume(self, failing: set[str], deadly: int) -> None:
        self._fail(failing)
        self._to_its_end(self._resumed(deadly))
        self.model.execute(failing, set())

    @precondition(lambda self: "failed" in self.model.states.values())
    @rule(failing=FAILING, data=st.data())
    def retry(self, failing: set[str], data: st.DataObject) -> None:
        failed = sorted(name for name, state in self.model.states.items() if state == "failed")
        self._fail(failing)
        node = data.draw(st.sampled_from(failed))
        self._to_its_end(self.mortals.resume(self.root, self.run, assumed={f"main/{node}": False}))
        self.model.execute(failing, set())

    @rule(failing=FAILING, node=st.sampled_from(sorted(NEEDS)))
    def run_again_from(self, failing: set[str], node: str) -> None:
        self._fail(failing)
        self._to_its_end(self.mortals.resume(self.root, self.run, start=f"main/{node}"))
        self.model.execute(failing, behind(node))

    @precondition(lambda self: self.model.status is RunStatus.FAILED)
    @rule(deadly=st.integers(4, 60))
    def kill_and_give_up(self, deadly: int) -> None:
        self._fail(set())
        ended = self._resumed(deadly)
        if ended.was_killed and journal_of(self.root).find(self.run).has_crashed:
            self.mortals.cancel(self.root, self.run)
            assert journal_of(self.root).find(self.run).status not in UNFINISHED
            ended = self.mortals.resume(self.root, self.run)
        self._to_its_end(ended)
        self.model.execute(set(), set())

    @precondition(lambda self: self.model.done)
    @rule(deadly=st.integers(0, 40))
    def roll_back(self, deadly: int) -> None:
        self._fail(set())
        ended = self.mortals.roll_back(self.root, self.run, deadly)
        if ended.was_killed and journal_of(self.root).find(self.run).status not in UNFINISHED:
            ended = self.mortals.roll_back(self.root, self.run)  # it died before it was even taken over
        self._to_its_end(ended)
        self.model.roll_back()

    @invariant()
    def is_as_in_the_model(self) -> None:
        if not hasattr(self, "model"):
            return
        journal = journal_of(self.root)
        summary = journal.find(self.run)
        assert summary.status is self.model.status
        assert summary.receipt is not None
        standings = stand(journal.plan(self.run).nodes, journal.read(self.run))
        assert {standing.node.step: standing.outcome.value for standing in standings.values()} == self.model.states
        assert set(os.listdir(self.root / "world")) == self.model.world
        again = Counter(line[-1] for line in self._told() if line.startswith("again"))
        assert set(again - self.again) <= self.model.repeated
        self.again = again

    def teardown(self) -> None:
        if hasattr(self, "root"):
            shutil.rmtree(self.root)

    @property
    def run(self) -> str:
        [summary] = journal_of(self.root).runs()
        return summary.run

    def _fail(self, names: set[str]) -> None:
        for path in self.root.glob("fails-*"):
            path.unlink()
        for name in names:
            (self.root / f"fails-{name}").touch()

    def _resumed(self, deadly: int) -> Ended:
        """Go on with the run; where it was killed before it was even taken over, once more and unharmed."""
        before = journal_of(self.root).find(self.run).executions
        ended = self.mortals.resume(self.root, self.run, deadly)
        taken = journal_of(self.root).find(self.run).executions > before
        return ended if taken else self.mortals.resume(self.root, self.run)

    def _to_its_end(self, ended: Ended) -> None:
        """A killed run is gone on with until it has ended by itself."""
        for _ in range(2):
            if ended.was_killed and journal_of(self.root).find(self.run).status in UNFINISHED:
                ended = self.mortals.resume(self.root, self.run)
        if journal_of(self.root).find(self.run).receipt is None:
            self.mortals.cancel(self.root, self.run)  # killed between its end and its receipt
        assert ended.code in (0, 1, -9), ended

    def _told(self) -> list[str]:
        path = self.root / "told"
        return path.read_text().splitlines() if path.exists() else []


@pytest.mark.acceptance
def test_no_order_of_failures_kills_and_repairs_reaches_a_state_that_the_model_does_not_have() -> None:
    from hypothesis.stateful import run_state_machine_as_test

    with Mortals() as mortals:
        Runs.mortals = mortals
        run_state_machine_as_test(
            Runs,
            settings=settings(
                max_examples=25,
                stateful_step_count=6,
                deadline=None,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            ),
        )
