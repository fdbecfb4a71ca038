"""Does a large declaration stay bearable, and does twice as much take twice as long?"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench.measure import SHIPWAY, Answer, Figure, Scale, at_most, commit, interleaved, started

PLAN = (*SHIPWAY, "plan", "--quiet", "--output", ".plan.json")
"""Validates, plans, and writes a sealed document."""

_STAGE = 63
"""Steps of a stage: 5,000 come to as many stages as a graph by stage still shows."""


def plan(scale: Scale, directory: Path) -> Answer:
    """A declaration of about 190 bytes a step: validated, planned, written as a sealed document."""
    write(directory, scale.large, padding="# " + "a deployment step and why it is there; " * 4)
    size = (directory / "shipway.yml").stat().st_size / 1000
    taken = interleaved({"plan": partial(started, PLAN, directory)}, scale.rounds)["plan"]
    return Answer(
        f"{scale.large:,} steps, {size:.0f} KB, validated and planned",
        [at_most("in all", taken.wall, 3, " s"), at_most("peak memory", taken.peak_mb, 300, " MB")],
    )


def gather(scale: Scale, directory: Path) -> Answer:
    """One step over a list of items known when planned: a node for each."""
    _write_gather(directory, scale.items)
    taken = interleaved({"plan": partial(started, PLAN, directory)}, 1)["plan"]
    return Answer(
        f"{scale.items:,} nodes out of one gather, planned",
        [at_most("in all", taken.wall, 8, " s"), at_most("peak memory", taken.peak_mb, 1000, " MB")],
    )


def growth(scale: Scale, directory: Path) -> Answer:
    """Time a node for growing declarations, without what an empty one costs."""
    figures, per_node = [], []
    for size in (1, *scale.sizes):
        folder = directory / str(size)
        folder.mkdir()
        write(folder, size)
        rounds = 1 if size > 10_000 else scale.rounds
        taken = interleaved({"plan": partial(started, PLAN, folder)}, rounds)["plan"]
        if size == 1:
            empty = taken
            continue
        per_node.append((taken.wall - empty.wall) / size)
        measured = f"{taken.wall:.2f} s, {taken.peak_mb:.0f} MB"
        figures.append(Figure(f"{size:,} nodes", measured, f"{per_node[-1] * 1e6:.0f} µs a node"))
    ratio = per_node[-1] / per_node[0]
    last, first = scale.sizes[-1], scale.sizes[0]
    figures.append(at_most(f"time a node, {last:,} against {first:,}", ratio, 1.5, " ×"))
    return Answer(f"Planning from {first:,} to {last:,} nodes", figures)


def write(
    directory: Path, count: int, padding: str = "", command: Callable[[int], str] = lambda number: f"./deploy {number}"
) -> None:
    """A repository whose declaration has `count` steps."""
    steps = "".join(f"  s{number}: {{run: {command(number)}}} {padding}\n" for number in range(count))
    (directory / "shipway.yml").write_text(f"version: 1\nname: bench\nsteps:\n{steps}", encoding="utf-8")
    commit(directory)


def write_stages(directory: Path, count: int) -> None:
    """A repository whose declaration has `count` steps in stages of 63 (one stage follows another, as do the steps in it).

    Three in four can be undone, one in four leaves nothing behind.
    """
    stages = [range(start, min(start + _STAGE, count)) for start in range(0, count, _STAGE)]
    text = "version: 1\nname: bench\nstages:\n"
    for place, numbers in enumerate(stages):
        text += f"  stage{place}:\n" + (f"    needs: [stage{place - 1}]\n" if place else "") + "    steps:\n"
        for number in numbers:
            kind = "lasting: false" if number % 4 == 0 else f"undo: ./undeploy {number}"
            text += f"      - {{id: s{number}, run: ./deploy {number}, {kind}}}\n"
    (directory / "shipway.yml").write_text(text, encoding="utf-8")
    commit(directory)


def _write_gather(directory: Path, count: int) -> None:
    items = ", ".join(f"host-{number}" for number in range(count))
    step = '{gather: {items: "${{ values.hosts }}", limit: 10}, env: {HOST: "${{ item }}"}, run: ./deploy "$HOST"}'
    text = f"version: 1\nname: bench\nvalues: {{hosts: [{items}]}}\nsteps: {{deploy: {step}}}\n"
    (directory / "shipway.yml").write_text(text, encoding="utf-8")
    commit(directory)
