"""Kill -9 at any fault point, again and again, then go on: no finished change repeated, none lost, each undone at most once."""

from __future__ import annotations

import os
import random
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from shipway.replay import stand
from shipway.run_record import UNFINISHED, RunStatus
from tests.kills import Ended, Mortals
from tests.runs import declare, journal_of, stage

KILL_POINTS = 300
"""How many processes die in one run of this file; the seed is printed, and SHIPWAY_KILL_SEED repeats it."""

WORKERS = 6

NODES = ("a", "b", "c", "d", "e")
STEPS = """
    a: {uses: test.work, with: {name: a}}
    b: {uses: test.work, with: {name: b}, needs: [a]}
    c: {uses: test.work, with: {name: c}, needs: [a]}
    d:
      needs: [b]
      run: sleep 0.02; if test -e world/d; then echo again d >> told; else echo do d >> told; touch world/d; fi
      undo: if test -e world/d; then echo undo d >> told; rm world/d; else echo nothing d >> told; fi
      verify: test -e world/d || exit 3
    e: {uses: test.work, with: {name: e%s}, needs: [c, d]}
"""
FAILING = STEPS.replace("name: e%s", "name: e, fails: true")
SUCCEEDING = STEPS.replace("%s", "")


@pytest.fixture(scope="module")
def mortals() -> Iterator[Mortals]:
    with Mortals() as found:
        yield found


def told(root: Path) -> list[str]:
    path = root / "told"
    return path.read_text().splitlines() if path.exists() else []


def go_on(mortals: Mortals, root: Path, deadly: int) -> Ended:
    """Begin the run that is declared in `root`, or go on with it; die at point `deadly`, if it comes that far."""
    runs = journal_of(root).runs()
    return mortals.resume(root, runs[0].run, deadly) if runs else mortals.run(root, deadly)


def is_over(root: Path) -> bool:
    runs = journal_of(root).runs()
    return bool(runs) and runs[0].status not in UNFINISHED


def check(root: Path, fails: bool, trail: list[str]) -> None:
    """The oracle: what stands in the world and what was told of every change, whatever died in between.

    Each change is made before it is told of, on another thread than the one that dies: one may be there untold. That all
    is there, or gone again, is for the world to say; that nothing was done twice, for what was told.
    """
    story = f"{trail}\n{told(root)}"
    counts = Counter(told(root))
    world = set(os.listdir(root / "world"))
    journal = journal_of(root)
    [summary] = journal.runs()
    standings = stand(journal.plan(summary.run).nodes, journal.read(summary.run))
    ends = {standing.node.step: standing.outcome.value for standing in standings.values()}
    assert ends == dict.fromkeys(NODES, "undone" if fails else "succeeded"), story
    for name in NODES:
        assert counts[f"again {name}"] == 0, story
        assert counts[f"do {name}"] <= 1, story
        assert counts[f"undo {name}"] <= 1, story
        if name != "e":
            assert counts[f"nothing {name}"] == 0 or counts[f"do {name}"] == 0, story
    if fails:
        assert summary.status is RunStatus.FAILED, story
        assert world == set(), story
    else:
        assert summary.status is RunStatus.SUCCEEDED, story
        assert world == set(NODES), story


@pytest.mark.acceptance
@pytest.mark.parametrize("worker", range(WORKERS))
def test_d080_killed_anywhere_a_run_goes_on_to_the_same_end(mortals: Mortals, tmp_path: Path, worker: int) -> None:
    seed = int(os.environ.get("SHIPWAY_KILL_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
    print(f"SHIPWAY_KILL_SEED={seed}")  # noqa: T201 - what it takes to see a failure again
    chance = random.Random(seed + worker)
    killed, number = 0, 0
    while killed < KILL_POINTS // WORKERS:
        number += 1
        root = tmp_path / str(number)
        (root / "world").mkdir(parents=True)
        fails = chance.random() < 0.6
        declare(root, stage(FAILING if fails else SUCCEEDING, lasting=True))
        trail: list[str] = []
        for _ in range(2):
            deadly = chance.randrange(1, 79 if fails else 39)
            ended = go_on(mortals, root, deadly)
            trail.append(f"{deadly}: {ended.code} {ended.error}")
            if not ended.was_killed:
                break
            killed += 1
            if is_over(root):
                break
        for _ in range(3):
            if is_over(root):
                break
            ended = go_on(mortals, root, 0)
            trail.append(f"{ended.code} {ended.error} {dict(ended.outcomes)}")
        check(root, fails, trail)
        shutil.rmtree(root)
