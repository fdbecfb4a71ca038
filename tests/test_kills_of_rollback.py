"""Kill -9 of the real `shipway rollback` at every fault point: said once more, it comes to its end, and undoes nothing twice."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from shipway.run_record import RunStatus
from tests.kills import Mortals
from tests.runs import declare, journal_of, stage

KILL_POINTS = 15
"""How many of some forty are tried in one run of this file; the seed is printed, and SHIPWAY_KILL_SEED repeats it."""

NODES = ("a", "b", "c")

# Each undo says what it found, so that one that is carried out twice shows; `die-NAME` has it kill Shipway, once.
STEPS = "".join(
    f"""
    {name}:
      {needs}
      run: echo do {name} >> told; touch world/{name}
      undo: |
        die() {{ if test -e die-$1; then rm die-$1; kill -9 $PPID; sleep 60; fi; }}
        die before-{name}
        if test -e world/{name}; then echo undo {name} >> told; rm world/{name}; else echo nothing {name} >> told; fi
        die after-{name}
      verify: test -e world/{name} || exit 3
    """
    for name, needs in (("a", "if: true"), ("b", "needs: [a]"), ("c", "needs: [a]"))
)


@pytest.fixture(scope="module")
def mortals() -> Iterator[Mortals]:
    with Mortals() as found:
        yield found


def ran(mortals: Mortals, root: Path) -> Path:
    """A folder in which the lifecycle was run to its end."""
    (root / "world").mkdir(parents=True)
    declare(root, stage(STEPS, lasting=True))
    done = mortals.command(root, "run", "--yes")
    assert done.code == 0, done.error or (root / "shown").read_text()
    assert set(os.listdir(root / "world")) == set(NODES)
    return root


def finish(mortals: Mortals, root: Path, how: str) -> None:
    """Go on with the rollback that was killed, as a person would, and look at what came of it."""
    if journal_of(root).runs()[0].status is not RunStatus.ROLLED_BACK:
        done = mortals.command(root, how, "--yes")
        if done.code == 2:  # all of it was undone before; what is left is to seal it
            assert how == "rollback"
            done = mortals.command(root, "resume", "--yes")
        assert done.code == 0, done.error or (root / "shown").read_text()
    story = (root / "told").read_text() + (root / "shown").read_text()
    counts = Counter((root / "told").read_text().splitlines())
    assert os.listdir(root / "world") == [], story
    for name in NODES:
        assert counts[f"do {name}"] == 1, story
        assert counts[f"undo {name}"] == 1, story
        assert counts[f"nothing {name}"] == 0, story
    [summary] = journal_of(root).runs()
    assert summary.status is RunStatus.ROLLED_BACK, story
    assert mortals.command(root, "rollback", "--yes").code == 2, "nothing is left to undo"


@pytest.mark.acceptance
def test_case_44_a_rollback_that_is_killed_anywhere_is_finished_by_the_next_one(
    mortals: Mortals, tmp_path: Path
) -> None:
    whole = mortals.command(ran(mortals, tmp_path / "whole"), "rollback", "--yes")
    assert whole.code == 0
    assert {name.partition(".")[0] for name in whole.points} >= {
        "resume",
        "rolling_back",
        "undo_begun",
        "undo_ended",
        "finished",
    }
    seed = int(os.environ.get("SHIPWAY_KILL_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
    print(f"SHIPWAY_KILL_SEED={seed}")  # noqa: T201 - what it takes to see a failure again
    killed = 0
    for deadly in random.Random(seed).sample(range(1, len(whole.points) + 1), KILL_POINTS):
        root = ran(mortals, tmp_path / str(deadly))
        ended = mortals.command(root, "rollback", "--yes", deadly=deadly)
        killed += ended.was_killed
        is_begun = journal_of(root).runs()[0].status is RunStatus.ROLLING_BACK
        finish(mortals, root, "resume" if is_begun and deadly % 2 else "rollback")
    assert killed >= KILL_POINTS * 3 // 4


@pytest.mark.acceptance
@pytest.mark.parametrize("where", [f"{when}-{name}" for when in ("before", "after") for name in NODES])
@pytest.mark.parametrize("how", ["rollback", "resume"])
def test_case_44_a_rollback_that_is_killed_around_an_undo_undoes_it_once(
    mortals: Mortals, tmp_path: Path, where: str, how: str
) -> None:
    root = ran(mortals, tmp_path / "root")
    (root / f"die-{where}").touch()
    assert mortals.command(root, "rollback", "--yes").was_killed
    finish(mortals, root, how)
