"""What does it cost to run a step that does nothing? Whole processes, with plan, logs and receipt, beside other runners."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench import peers
from bench.measure import SHIPWAY, Answer, Figure, Sample, Scale, at_least, at_most, commit, interleaved, started

_OURS = "Shipway"
_FLOOR = "a bare loop in Python"
_BARE_LOOP = Path(__file__).with_name("bare_loop.py")


def independent(scale: Scale, directory: Path) -> Answer:
    """Steps that need nothing, two at a time; ours journalled and safe from a crash, the others not."""
    taken = _race(scale, directory, (peers.NINJA, peers.MAKE, peers.DOIT, peers.GO_TASK), chained=False)
    figures = _per_contender(taken, scale.nodes)
    ours = taken[_OURS].wall
    if peers.NINJA in taken:
        figures.append(at_most("Shipway ÷ ninja", ours / taken[peers.NINJA].wall, 1.8, " ×"))
        figures.append(_floor(taken))
    figures += [
        at_least(f"{name} ÷ Shipway", taken[name].wall / ours, 1.4, " ×")
        for name in (peers.GO_TASK, peers.DOIT)
        if name in taken
    ]
    return Answer(f"{scale.nodes:,} independent steps, two at a time", figures, peers.missing())


def many_independent(scale: Scale, directory: Path) -> Answer:
    """The same, more of them: what starting up costs counts for less."""
    taken = _race(scale, directory, (peers.NINJA,), chained=False, nodes=scale.large)
    figures = _per_contender(taken, scale.large)
    if peers.NINJA in taken:
        figures.append(at_most("Shipway ÷ ninja", taken[_OURS].wall / taken[peers.NINJA].wall, 1.6, " ×"))
        figures.append(_floor(taken))
    return Answer(f"{scale.large:,} independent steps, two at a time", figures)


def chain(scale: Scale, directory: Path) -> Answer:
    """Steps that each need the one before."""
    taken = _race(scale, directory, (peers.NINJA,), chained=True)
    figures = _per_contender(taken, scale.nodes)
    if peers.NINJA in taken:
        figures.append(at_most("Shipway ÷ ninja", taken[_OURS].wall / taken[peers.NINJA].wall, 1.6, " ×"))
        figures.append(_floor(taken))
    return Answer(f"A chain of {scale.nodes:,} steps", figures, peers.missing())


def _race(
    scale: Scale, directory: Path, others: tuple[str, ...], *, chained: bool, nodes: int = 0
) -> dict[str, Sample]:
    count = nodes or scale.nodes
    peers.write_steps(directory, count, chained=chained)
    commit(directory)
    contenders: dict[str, Callable[[], Sample]] = {
        _OURS: partial(started, (*SHIPWAY, "run", "--yes", "--quiet"), directory),
        _FLOOR: partial(
            started, (sys.executable, "-I", str(_BARE_LOOP), str(count), "1" if chained else "2"), directory
        ),
    }
    for name in others:
        if (argv := peers.command(name)) is not None:
            contenders[name] = partial(_afresh, argv, directory)
    return interleaved(contenders, scale.rounds)


def _afresh(argv: tuple[str, ...], directory: Path) -> Sample:
    peers.forget(directory)
    return started(argv, directory)


def _floor(taken: dict[str, Sample]) -> Figure:
    return Figure(f"{_FLOOR} ÷ ninja", f"{taken[_FLOOR].wall / taken[peers.NINJA].wall:.2f} ×")


def _per_contender(taken: dict[str, Sample], nodes: int) -> list[Figure]:
    return [
        Figure(name, f"{sample.wall:.2f} s", f"{sample.processor * 1000 / nodes:.2f} ms processor a step")
        for name, sample in taken.items()
    ]
