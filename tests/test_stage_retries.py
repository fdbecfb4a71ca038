"""A stage that is taken back and begun anew, over random lifecycles: in the end all is as if it had been tried once."""

from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from shipway.declaration import OnFailure
from shipway.nodes import FAILURES, Outcome
from tests.lifecycles import Lifecycle, expected, random_lifecycle
from tests.simulation import Simulation

many = settings(max_examples=400, deadline=None)
seeds, sizes = st.integers(0, 2**48), st.integers(1, 14)


class Retried(Simulation):
    """Stage `stage` fails at a random end of one of its nodes, `times` times: all it did is undone, in room of its own."""

    def __init__(self, lifecycle: Lifecycle, stage: str, times: int, rng: Random) -> None:
        super().__init__(
            lifecycle.items,
            lifecycle.bounds,
            lifecycle.durations,
            lifecycle.outcomes,
            lifecycle.conditions,
            lifecycle.tries,
        )
        self.stage, self.left, self.rng = stage, times, rng
        self.attempts = 1
        self.members = {item.id for item in lifecycle.nodes if item.stage == stage}
        self.is_held = False
        self.undoing = ""
        self.to_undo: list[str] | None = None
        self.begun_before = 0

    def _attempt_ended(self, node: str) -> None:
        if node not in self.members:
            super()._attempt_ended(node)
        elif node == self.undoing:
            self.result.log.append(("end", node))
            self.scheduler.pause(node)
            self._undo_next()
        elif self.is_held or (self.left and self.rng.random() < 0.4):
            self._hold(node)
        else:
            super()._attempt_ended(node)
        self._look()

    def _hold(self, node: str) -> None:
        self.result.log.append(("end", node))
        self.scheduler.pause(node)
        if not self.is_held:
            self.is_held, self.left = True, self.left - 1
            self.scheduler.hold(self.stage)
            self._waiting = [entry for entry in self._waiting if entry[2] not in self.members]

    def _look(self) -> None:
        if self.is_held and self.to_undo is None and self.scheduler.is_quiet(self.stage):
            begun = [node for _, node in self.result.started[self.begun_before :] if node in self.members]
            self.to_undo = list(dict.fromkeys(reversed(begun)))
            self._undo_next()

    def _undo_next(self) -> None:
        assert self.to_undo is not None
        if self.to_undo:
            self.undoing = self.to_undo.pop(0)
            self.scheduler.revive(self.undoing)
            return
        self.undoing, self.to_undo, self.is_held = "", None, False
        self.attempts += 1
        self.begun_before = len(self.result.started)
        for node in self.members:
            self.result.outcomes.pop(node, None)
        self.scheduler.reopen(self.stage)


def _retried(seed: int, size: int, times: int) -> tuple[Lifecycle, Retried]:
    rng = Random(seed)
    lifecycle = random_lifecycle(rng, size).under(OnFailure.CONTINUE)
    return lifecycle, Retried(lifecycle, rng.choice(lifecycle.nodes).stage, times, rng)


def test_what_outlives_a_failure_is_begun_once_although_it_is_told_of_it_while_its_stage_begins_anew() -> None:
    lifecycle, simulation = _retried(804751250, 4, 1)
    assert simulation.run().outcomes == expected(lifecycle).outcomes


@many
@given(seeds, sizes, st.integers(1, 3))
def test_in_the_end_every_node_has_the_outcome_that_it_would_have_had(seed: int, size: int, times: int) -> None:
    lifecycle, simulation = _retried(seed, size, times)
    run = simulation.run()
    wanted = expected(lifecycle)
    assert run.outcomes == wanted.outcomes
    assert simulation.scheduler.running == 0
    for node, outcome in wanted.outcomes.items():
        cause = simulation.scheduler.failed_above(node)
        if outcome not in FAILURES:
            assert bool(cause) is bool(wanted.blames[node]), (node, cause)
            assert not cause or cause in wanted.blames[node]


@many
@given(seeds, sizes)
def test_a_stage_that_is_given_up_blocks_what_waits_in_it(seed: int, size: int) -> None:
    lifecycle, simulation = _retried(seed, size, 1)
    given_up: list[str] = []

    def give_up() -> None:
        failed = simulation.result.log[-1][1]
        simulation.undoing, simulation.to_undo, simulation.is_held = "", None, False
        simulation.scheduler.give_up(simulation.stage, failed)
        given_up.append(failed)
        for node in simulation.members:
            ran = any(node == begun for _, begun in simulation.result.started)
            if ran and node not in simulation.result.outcomes:
                simulation._end(node, Outcome.FAILED)

    simulation._undo_next = give_up  # type: ignore[method-assign]
    run = simulation.run()
    assert set(run.outcomes) == {item.id for item in lifecycle.nodes}
    assert simulation.scheduler.running == 0
    if given_up:
        assert run.outcomes[given_up[0]] in FAILURES
