"""Shows how long a run is said to take, out of what earlier ones measured, and what goes first because of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shipway.commands.expectation import expected, rounded, words
from shipway.forecast import Forecast, forecast, makespan, medians
from shipway.journal_durations import measured
from shipway.limits import Rate
from shipway.nodes import Need
from shipway.room import Bounds, Item
from shipway.workspace import Workspace
from tests.lifecycles import random_lifecycle
from tests.runs import Ran, call, context_of, declare, environment, run, stage
from tests.simulation import simulate

many = settings(max_examples=200, deadline=None)

CHAIN = [Item("a"), Item("b", (Need("a"),)), Item("c")]


def test_a_forecast_is_what_the_run_would_take_with_what_is_usual_and_its_spread_that_of_single_runs() -> None:
    taken = {"a": {1: 100, 2: 200, 3: 300}, "b": {1: 10, 2: 20, 3: 90}, "c": {1: 5, 2: 5, 3: 5}}
    assert forecast(CHAIN, Bounds(2), taken) == Forecast(220, 110, 390, 3, 0)
    assert forecast(CHAIN, Bounds(1), taken) == Forecast(225, 115, 395, 3, 0)


def test_who_never_ran_counts_as_the_median_of_the_others() -> None:
    assert forecast(CHAIN, Bounds(2), {"a": {7: 100}}) == Forecast(200, 200, 200, 1, 2)
    assert medians({"a": {1: 1, 2: 3, 3: 2, 4: 9}, "b": {}}) == {"a": 2}


def test_without_a_measurement_nothing_is_said() -> None:
    assert forecast(CHAIN, Bounds(2), {"gone": {1: 100}}) is None
    assert forecast([], Bounds(2), {}) is None


def test_limits_and_their_rates_are_waited_for_in_the_forecast_too() -> None:
    items = [Item(f"n{number}", limits=("l",)) for number in range(5)]
    taken = {item.id: {1: 100} for item in items}
    found = forecast(items, Bounds(9, limits={"l": 9}, rates={"l": Rate(2, 1000, 2)}), taken)
    assert found is not None and found.about_ms == 1600


def test_one_forecast_of_many_nodes_simulates_few_runs_and_of_very_many_none() -> None:
    items = [Item(f"n{number}") for number in range(5000)]
    taken = {item.id: {number: 10 + number for number in range(8)} for item in items}
    found = forecast(items, Bounds(2), taken)
    assert found is not None and (found.about_ms, found.most_ms) == (13 * 2500, 17 * 2500)
    assert forecast(items * 5, Bounds(2), taken) is None


@many
@given(st.integers(0, 2**48))
def test_a_forecast_is_right_where_all_goes_as_before(seed: int) -> None:
    rng = Random(seed)
    lifecycle = random_lifecycle(rng, 12)
    durations = {node.id: rng.randint(0, 9) for node in lifecycle.nodes}
    happened = simulate(lifecycle.items, lifecycle.bounds, durations)
    assert makespan(lifecycle.items, lifecycle.bounds, durations) == happened.makespan


# Out of real runs.

STEPS = """
    a: {run: 'true'}
    b: {run: 'test ! -e fail', needs: [a]}
    c: {run: 'true', needs: [b]}
"""


def test_what_succeeded_in_the_last_runs_of_a_target_was_measured(tmp_path: Path) -> None:
    first = run(tmp_path, stage(STEPS))
    (tmp_path / "fail").touch()
    second = run(tmp_path, stage(STEPS))
    found = measured(Workspace(tmp_path), "test", "default")
    assert {node: len(taken) for node, taken in found.items()} == {"main/a": 2, "main/b": 1, "main/c": 1}
    assert sorted(found["main/a"].values()) == sorted(took(ran, "a") for ran in (first, second))
    assert found["main/b"] == {1: took(first, "b")}
    assert measured(Workspace(tmp_path), "test", "prod") == measured(Workspace(tmp_path), "x", "default") == {}


def test_without_a_journal_the_receipts_say_it(tmp_path: Path) -> None:
    ran = run(tmp_path, stage(STEPS))
    keep_receipt(ran)
    for file in tmp_path.glob(".shipway/journal.sqlite*"):
        file.unlink()
    assert measured(Workspace(tmp_path), "test", "default") == {f"main/{step}": {0: took(ran, step)} for step in "abc"}


@pytest.mark.parametrize(
    "content", ["", "[]", '{"nodes": 3}', '{"lifecycle": "test", "target": "default", "nodes": [[]]}']
)
def test_what_cannot_be_read_says_nothing(tmp_path: Path, content: str) -> None:
    receipts = Workspace(tmp_path).receipts
    receipts.mkdir(parents=True)
    (receipts / "test-default-20261122T105213Z-1.json").write_text(content)
    Workspace(tmp_path).journal.write_text("no journal" * 999)
    assert measured(Workspace(tmp_path), "test", "default") == {}


def test_what_took_long_goes_first_the_next_time(tmp_path: Path) -> None:
    steps = """
        early: {run: 'true'}
        late: {run: 'test -e fast || { touch fast; sleep 0.2; }'}
    """
    text = stage(steps, defaults="parallel: 1")
    assert run(tmp_path, text).started == ["early", "late"]
    assert run(tmp_path, text).started == ["late", "early"]


def test_a_plan_says_how_long_a_run_will_take_and_its_document_does_not(tmp_path: Path) -> None:
    declare(tmp_path, "steps: [{run: sleep 0.2}, {run: sleep 0.1}]\n")
    before = call(tmp_path, "plan", "--json")
    assert "expected" not in call(tmp_path, "plan").out
    assert call(tmp_path, "run", "--yes").exit_code == 0
    called = call(tmp_path, "plan")
    assert "\n  expected   about " in called.out and ", by 1 earlier run\n" in called.out, called
    assert call(tmp_path, "plan", "--json").out == before.out


def test_a_plan_leaves_the_journal_as_it_found_it(tmp_path: Path) -> None:
    run(tmp_path, stage(STEPS))
    shutil.copytree(tmp_path / ".shipway", tmp_path / "kept")
    plan = run(tmp_path, execute=False).finished.plan
    assert plan is not None
    assert expected(plan, tmp_path, context_of(tmp_path, environment())) is not None
    before, after = ((tmp_path / place / "journal.sqlite").read_bytes() for place in ("kept", ".shipway"))
    assert before == after


def test_the_words_tell_the_spread_and_what_is_new(tmp_path: Path) -> None:
    plan = run(tmp_path, stage(STEPS + "\n    d: {run: 'true', if: 'false'}\n")).finished.plan
    assert plan is not None
    told = words(plan, tmp_path, context_of(tmp_path, environment()))
    assert told.startswith("about ") and told.endswith("by 1 earlier run; 1 node never ran here")


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (0, "100ms"),
        (120, "200ms"),
        (1010, "1.1s"),
        (12_300, "13s"),
        (62_000, "1m5s"),
        (601_000, "11m"),
        (7_200_000, "2h"),
    ],
)
def test_a_forecast_is_no_more_exact_than_it_deserves(milliseconds: int, text: str) -> None:
    assert rounded(milliseconds) == text


def took(ran: Ran, step: str) -> int:
    last = ran[f"main/{step}"].attempts[-1]
    return last.ended_ms - last.started_ms


def keep_receipt(ran: Ran) -> None:
    name = "test-default-20261122T105213Z-20261122T105213-aaaaaa.json"
    Workspace(ran.root).write_receipt(name, json.dumps(ran.receipt.document).encode())
