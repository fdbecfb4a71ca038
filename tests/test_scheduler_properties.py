"""What holds for every lifecycle, whatever fails and however long things take: order, bounds, one outcome each, an end."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from shipway.declaration import OnFailure
from shipway.graph import Graph
from shipway.nodes import FAILURES, NeedKind, Outcome
from shipway.room import Bounds, Item
from tests.lifecycles import Lifecycle, expected, may_follow, random_lifecycle, upstream
from tests.simulation import Simulated, simulate

many = settings(max_examples=600, deadline=None)
seeds = st.integers(0, 2**48)
sizes = st.integers(1, 14)


def _run(lifecycle: Lifecycle, cancel_at: int | None = None) -> Simulated:
    return simulate(
        lifecycle.items,
        lifecycle.bounds,
        lifecycle.durations,
        lifecycle.outcomes,
        lifecycle.conditions,
        lifecycle.tries,
        cancel_at,
    )


def _random_run(seed: int, size: int) -> tuple[Lifecycle, Simulated]:
    rng = Random(seed)
    lifecycle = random_lifecycle(rng, size)
    return lifecycle, _run(lifecycle, rng.choice((None, None, 0, 2, 5)))


@many
@given(seeds, sizes)
def test_every_node_ends_once_and_only_started_ones_run(seed: int, size: int) -> None:
    lifecycle, run = _random_run(seed, size)
    assert set(run.outcomes) == {item.id for item in lifecycle.nodes}
    begun = {node for _, node in run.started}
    own = {Outcome.FAILED, Outcome.TIMED_OUT, Outcome.CANCELLED, Outcome.SUCCEEDED, Outcome.UNCHANGED}
    assert all(run.outcomes[node] in own | {Outcome.SKIPPED} for node in begun)
    assert all(run.outcomes[node] not in own for node in run.outcomes.keys() - begun)


@many
@given(seeds, sizes)
def test_no_node_starts_before_its_needs_allow(seed: int, size: int) -> None:
    lifecycle, run = _random_run(seed, size)
    by_id = lifecycle.by_id
    over: set[str] = set()
    for event, node in run.log:
        if event != "start":
            over.add(node)
            continue
        over.discard(node)
        for need in by_id[node].needs:
            assert _leaves(lifecycle, need.node) <= over
            if not by_id[node].outlives_failure and not by_id[need.node].gate:
                tolerated = by_id[need.node].allow_failure and run.outcomes[need.node] in FAILURES
                assert may_follow(by_id[node], need, run.outcomes[need.node], tolerated)


def _leaves(lifecycle: Lifecycle, need: str) -> set[str]:
    item = lifecycle.by_id[need]
    return {need} if not item.gate else set[str]().union(*(_leaves(lifecycle, n.node) for n in item.needs))


@many
@given(seeds, sizes)
def test_no_bound_is_ever_exceeded(seed: int, size: int) -> None:
    lifecycle, run = _random_run(seed, size)
    by_id, bounds = lifecycle.by_id, lifecycle.bounds
    running: list[Item] = []
    for event, node in run.log:
        if event == "start":
            running.append(by_id[node])
        elif event == "end":
            running.remove(by_id[node])
        assert sum(not item.is_light for item in running) <= bounds.parallel
        assert len(running) == 1 or not any(item.exclusive for item in running)
        taken = Counter(name for item in running for name in item.limits)
        assert all(count <= bounds.limits[name] for name, count in taken.items())
        assert max(Counter(name for item in running for name in item.locks).values(), default=0) <= 1
        in_stage = Counter(item.stage for item in running)
        assert all(in_stage[stage] <= size for stage, size in bounds.stage_parallel.items())


@many
@given(seeds, sizes)
def test_blocked_names_a_node_that_failed_and_lies_upstream(seed: int, size: int) -> None:
    lifecycle, run = _random_run(seed, size)
    before = upstream(lifecycle)
    for node, outcome in run.outcomes.items():
        if outcome is Outcome.BLOCKED:
            cause = run.causes[node]
            assert run.outcomes[cause] in FAILURES
            assert cause in before[node]


@many
@given(seeds, sizes)
def test_the_same_input_gives_the_same_run(seed: int, size: int) -> None:
    assert _random_run(seed, size)[1] == _random_run(seed, size)[1]


@many
@given(seeds, sizes)
def test_continue_gives_what_the_needs_say_whatever_the_timing(seed: int, size: int) -> None:
    rng = Random(seed)
    lifecycle = random_lifecycle(rng, size).under(OnFailure.CONTINUE)
    wanted = expected(lifecycle)
    run = _run(lifecycle)
    assert run.outcomes == wanted.outcomes
    assert all(run.causes[node] in wanted.blames[node] for node, how in run.outcomes.items() if how is Outcome.BLOCKED)
    slower = {node: rng.randint(0, 9) for node in lifecycle.durations}
    narrow = replace(lifecycle, durations=slower, bounds=replace(lifecycle.bounds, parallel=1))
    assert _run(narrow).outcomes == wanted.outcomes


@many
@given(seeds, sizes, st.sampled_from(OnFailure))
def test_without_a_failure_the_policy_makes_no_difference(seed: int, size: int, policy: OnFailure) -> None:
    lifecycle = random_lifecycle(Random(seed), size).under(policy)
    calm = {node: Outcome.SUCCEEDED if how in FAILURES else how for node, how in lifecycle.outcomes.items()}
    lifecycle = replace(lifecycle, outcomes=calm)
    assert _run(lifecycle).outcomes == expected(lifecycle).outcomes


@many
@given(seeds, sizes)
def test_c027_draining_lets_the_started_finish_and_starts_only_what_outlives_a_failure(seed: int, size: int) -> None:
    lifecycle = random_lifecycle(Random(seed), size).under(OnFailure.DRAIN)
    run = _run(lifecycle)
    if run.begun_before_stop is None:
        return
    by_id = lifecycle.by_id
    begun = {node for _, node in run.started}
    assert all(by_id[node].outlives_failure for node in begun - run.begun_before_stop)
    assert all(run.outcomes[node] is lifecycle.outcomes[node] for node in begun)
    assert Outcome.CANCELLED not in run.outcomes.values()


@many
@given(seeds, sizes)
def test_c027_once_draining_the_outcomes_do_not_depend_on_timing(seed: int, size: int) -> None:
    rng = Random(seed)
    lifecycle = random_lifecycle(rng, size).under(OnFailure.DRAIN)
    run = _run(lifecycle)
    if run.begun_before_stop is None:
        return
    # Whoever ran or had not begun when the first node failed takes another time; up to then nothing changes.
    movable = (lifecycle.durations.keys() - run.begun_before_stop) | (run.running_at_stop - lifecycle.tries.keys())
    later = {node: took + rng.randint(0, 30) * (node in movable) for node, took in lifecycle.durations.items()}
    again = _run(replace(lifecycle, durations=later))
    assert again.begun_before_stop == run.begun_before_stop
    assert again.outcomes == run.outcomes


@many
@given(seeds, sizes)
def test_what_never_started_was_not_reached_by_a_failure(seed: int, size: int) -> None:
    lifecycle, run = _random_run(seed, size)
    by_id = lifecycle.by_id
    for node, outcome in run.outcomes.items():
        if outcome is Outcome.NOT_STARTED:
            reached = [need for need in by_id[node].needs if need.kind is not NeedKind.OPTIONAL]
            assert all(run.outcomes.get(need.node) is not Outcome.BLOCKED for need in reached)


@many
@given(seeds, sizes, st.integers(1, 4))
def test_free_room_is_never_left_unused(seed: int, size: int, parallel: int) -> None:
    """Graham's bound, which holds for every schedule that leaves no slot idle while something is ready."""
    lifecycle = random_lifecycle(Random(seed), size)
    items = [replace(item, limits=(), locks=(), exclusive=False, conditional=False) for item in lifecycle.items]
    run = simulate(items, Bounds(parallel), lifecycle.durations)
    edges = [(need.node, item.id) for item in items for need in item.needs]
    longest = Graph([item.id for item in items], edges).critical_path(lifecycle.durations)[1]
    total = sum(lifecycle.durations.values())
    assert longest <= run.makespan <= longest + (total - longest) / parallel


@pytest.mark.parametrize("policy", OnFailure)
def test_the_generator_reaches_every_outcome(policy: OnFailure) -> None:
    reached: set[Outcome] = set()
    for seed in range(400):
        rng = Random(seed)
        reached |= set(_run(random_lifecycle(rng, 12).under(policy), rng.choice((None, 3))).outcomes.values())
    never = {Outcome.UNDONE, Outcome.UNDO_FAILED, Outcome.NOT_UNDOABLE, Outcome.DRIFTED, Outcome.UNKNOWN}
    assert reached == set(Outcome) - never
