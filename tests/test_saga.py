"""What is undone and in which order, over every way in which nodes can have been begun."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shipway.declaration import Rollback
from shipway.nodes import Outcome
from shipway.saga import Begun, is_whole, left_behind, undo_order

many = settings(max_examples=300, deadline=None)


def _random(seed: int, size: int) -> list[Begun]:
    rng = Random(seed)
    begun = [Begun(f"n{order}", rng.choice("abc"), order, rng.random() < 0.7) for order in range(size)]
    rng.shuffle(begun)
    return begun


runs = st.builds(_random, st.integers(0, 2**48), st.integers(0, 12))
stages = st.sets(st.sampled_from("abc"))


def test_case_49_g036_undone_in_reverse_order_of_start_and_only_what_lasts() -> None:
    begun = [Begun("A", "s", 0, True), Begun("C", "s", 2, False), Begun("B", "s", 1, True), Begun("D", "s", 3, True)]
    assert undo_order(begun, Rollback.RUN) == ["D", "B", "A"]


def test_stages_are_undone_one_after_the_other_even_where_they_ran_side_by_side() -> None:
    begun = [Begun("a1", "a", 0, True), Begun("b1", "b", 1, True), Begun("a2", "a", 2, True), Begun("b2", "b", 3, True)]
    assert undo_order(begun, Rollback.RUN) == ["b2", "b1", "a2", "a1"]


@pytest.mark.parametrize(
    ("policy", "failed", "undone", "left"),
    [
        (Rollback.RUN, ("b",), ["b1", "a1"], []),
        (Rollback.STAGE, ("b",), ["b1"], ["a1"]),
        (Rollback.STAGE, (), [], ["a1", "b1"]),
        (Rollback.NONE, ("b",), [], ["a1", "b1"]),
    ],
)
def test_policies(policy: Rollback, failed: tuple[str, ...], undone: list[str], left: list[str]) -> None:
    begun = [Begun("a1", "a", 0, True), Begun("b0", "b", 1, False), Begun("b1", "b", 2, True)]
    order = undo_order(begun, policy, failed)
    assert (order, left_behind(begun, order)) == (undone, left)


def test_g041_compensations_come_before_the_undos_of_their_stage() -> None:
    begun = [
        Begun("a1", "a", 0, True),
        Begun("b1", "b", 1, False),
        Begun("c1", "c", 2, True),
        Begun("c2", "c", 3, True),
    ]
    compensations = {"a": ["x", "y"], "b": ["z"], "d": ["never"]}
    assert undo_order(begun, Rollback.RUN, (), compensations) == ["c2", "c1", "z", "x", "y", "a1"]
    assert undo_order(begun, Rollback.STAGE, ["b"], compensations) == ["z"]
    assert undo_order(begun, Rollback.NONE, ["b"], compensations) == []


@many
@given(runs, st.sampled_from(Rollback), stages)
def test_case_49_nothing_is_undone_twice_or_without_having_been_begun(
    begun: list[Begun], policy: Rollback, failed: set[str]
) -> None:
    order = undo_order(begun, policy, failed)
    wanted = {node.node for node in begun if node.must_be_undone and _is_chosen(node, policy, failed)}
    assert len(order) == len(wanted)
    assert set(order) == wanted


def _is_chosen(node: Begun, policy: Rollback, failed: set[str]) -> bool:
    return policy is Rollback.RUN or (policy is Rollback.STAGE and node.stage in failed)


@many
@given(runs, stages)
def test_case_49_within_a_stage_reverse_order_of_start_and_stages_last_begun_first(
    begun: list[Begun], failed: set[str]
) -> None:
    by_id = {node.node: node for node in begun}
    order = [by_id[node] for node in undo_order(begun, Rollback.RUN, failed)]
    visited = list(dict.fromkeys(node.stage for node in order))
    assert [node for stage in visited for node in order if node.stage == stage] == order, "a stage is undone in one go"
    for stage in visited:
        starts = [node.order for node in order if node.stage == stage]
        assert starts == sorted(starts, reverse=True)
    first = [min(node.order for node in begun if node.stage == stage) for stage in visited]
    assert first == sorted(first, reverse=True)


@many
@given(runs, st.sampled_from(Rollback), stages)
def test_whatever_lasts_is_undone_or_listed(begun: list[Begun], policy: Rollback, failed: set[str]) -> None:
    order = undo_order(begun, policy, failed)
    left = left_behind(begun, order)
    assert sorted([*order, *left]) == sorted(node.node for node in begun if node.must_be_undone)
    starts = {node.node: node.order for node in begun}
    assert left == sorted(left, key=starts.__getitem__)


@pytest.mark.parametrize("outcome", Outcome)
def test_a_rollback_is_whole_only_if_everything_was_undone_and_no_compensation_failed(outcome: Outcome) -> None:
    whole = (Outcome.UNDONE, Outcome.SUCCEEDED, Outcome.UNCHANGED, Outcome.SKIPPED)
    assert is_whole([Outcome.UNDONE, outcome]) is (outcome in whole)
    assert is_whole([])
