"""Shows which nodes the executor carries out on its own thread, and that none makes the others wait for long."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipway.action import ActionFailed, Done, PlanWork, Prediction, Quick, SlotRule, Work
from shipway.actions.file_link import FileLink
from shipway.aside import ASIDE
from shipway.declaration import OutputRule
from shipway.file_placing import link_text
from shipway.nodes import Change, Fidelity, Verified
from shipway.registry import Registry
from tests.kills import Mortals
from tests.runs import Setting, declare, journal_of, run, stage

_LONG_S = 0.06
"""Longer than a quick node may take before the others get threads."""


class Touch:
    """Says on which thread it is done."""

    runs_in: Literal["thread"] = "thread"
    name = "test.touch"
    contract = 1
    slots: Mapping[str, SlotRule] = {}
    outputs: Mapping[str, OutputRule] = {}

    def __init__(self, change: Change, fidelity: Fidelity = Fidelity.EXACT, *, fails: bool = False) -> None:
        self.threads: list[str] = []
        self._change = change
        self._fidelity = fidelity
        self._fails = fails

    def plan(self, work: PlanWork) -> Prediction:
        return Prediction(self._change, self._fidelity, reversible=True)

    def do(self, work: Work) -> Done:
        is_executors = threading.current_thread().name == ASIDE
        self.threads.append("own" if is_executors else "worker")
        time.sleep(_LONG_S)
        if self._fails:
            raise ActionFailed("no")
        return Done(change=self._change)

    def undo(self, work: Work) -> None:
        pass

    def verify(self, work: Work) -> Verified:
        return Verified.HOLDS


class QuickTouch(Touch):
    is_quick: Literal[True] = True


def _threads(touch: Touch, root: Path, defaults: str = "") -> list[str]:
    registry = Registry()
    registry.register_action(touch, "test")
    steps = "a: {uses: test.touch}\nb: {uses: test.touch, needs: [a]}"
    ran = run(root, stage(steps, defaults=defaults), Setting(registry=registry))
    assert set(ran.outcomes.values()) == {"succeeded"}
    return touch.threads


@pytest.mark.parametrize("change", [Change.CREATE, Change.NOOP])
def test_what_makes_something_or_finds_it_made_is_done_at_once_until_one_of_them_is_slow(
    change: Change, tmp_path: Path
) -> None:
    assert _threads(QuickTouch(change), tmp_path) == ["own", "worker"]


@pytest.mark.parametrize(
    ("touch", "defaults"),
    [
        (Touch(Change.CREATE), ""),
        (QuickTouch(Change.REPLACE), ""),
        (QuickTouch(Change.UPDATE), ""),
        (QuickTouch(Change.CREATE, Fidelity.PREDICTED), ""),
        (QuickTouch(Change.CREATE), "timeout: 10m"),
    ],
    ids=["not-quick", "replaces", "updates", "not-exact", "with-a-timeout"],
)
def test_any_other_one_gets_a_thread(touch: Touch, defaults: str, tmp_path: Path) -> None:
    assert _threads(touch, tmp_path, defaults) == ["worker", "worker"]


def test_a_quick_node_that_fails_fails_alone(tmp_path: Path) -> None:
    touch = QuickTouch(Change.CREATE, fails=True)
    registry = Registry()
    registry.register_action(touch, "test")
    text = stage("a: {uses: test.touch}\nb: {run: 'true', lasting: false}", defaults="on_failure: continue")
    ran = run(tmp_path, text, Setting(registry=registry))
    assert (ran["main/a"].error, ran.outcomes["b"]) == ("no", "succeeded")
    assert touch.threads == ["own"]


LINKS = stage(
    "\n".join(f"n{number}: {{uses: file.link, with: {{path: to/{number}, source: from}}}}" for number in range(9)),
    lasting=True,
)


@pytest.mark.parametrize(("defaults", "most"), [("", 9), ("parallel: 2", 2)])
def test_quick_nodes_start_together_unless_somebody_said_how_many_may(defaults: str, most: int, tmp_path: Path) -> None:
    (tmp_path / "from").touch()
    head = f"defaults: {{{defaults}}}\n" if defaults else ""
    ran = run(tmp_path, head + LINKS, Setting(processors=1))
    assert set(ran.outcomes.values()) == {"succeeded"}
    assert ran.most_at_once() == most
    spans = sorted((result.started_ms or 0, result.ended_ms or 0) for result in ran.receipt.nodes)
    assert all(start <= end for start, end in spans)


@pytest.mark.parametrize("nth", [1, 2])
def test_whatever_of_those_that_started_together_a_crash_leaves_in_doubt_is_asked_about(
    nth: int, tmp_path: Path
) -> None:
    (tmp_path / "from").touch()
    declare(tmp_path, LINKS)
    with Mortals() as mortals:
        probe = tmp_path / "probe"
        probe.mkdir()
        (probe / "from").touch()
        declare(probe, LINKS)
        points = mortals.run(probe).points
        deadly = [place for place, name in enumerate(points, 1) if name == ("commit.done", "commit.begin")[nth - 1]][
            nth - 1
        ]
        assert mortals.run(tmp_path, deadly).was_killed
        assert (tmp_path / "to").exists() == (nth == 2)
        name = journal_of(tmp_path).runs()[0].run
        assert set(mortals.resume(tmp_path, name).outcomes.values()) == {"succeeded"}
    assert sorted(os.listdir(tmp_path / "to")) == [str(number) for number in range(9)]


def test_links_are_quick() -> None:
    assert isinstance(FileLink(), Quick)


_PATHS = st.lists(st.sampled_from(["a", "b", "ab"]), min_size=1, max_size=4).map("/".join)


@given(path=_PATHS, source=_PATHS)
def test_a_relative_link_says_what_relpath_says(path: str, source: str) -> None:
    root = Path("/work")
    if path == source:
        return
    expected = os.path.relpath(root / source, (root / path).parent)
    assert link_text(root, root / path, source, lambda folder: folder) == expected
