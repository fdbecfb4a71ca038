"""How long a run will take, by how long its nodes took before: the scheduler itself, in virtual time. Pure; no clock, no chance."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from shipway.nodes import Outcome
from shipway.room import Bounds, Item
from shipway.scheduler import Scheduler

Measured: TypeAlias = Mapping[str, Mapping[int, int]]
"""Milliseconds that a node's successful attempt took, by node id and by run; later runs have higher numbers."""

_MOST_NODES = 20_000
"""Beyond this many a forecast would take longer than a person waits for a plan."""

_WORK = 6_000
"""Nodes that all simulations of one forecast may have together, the first not counted."""


class Forecast(Struct, frozen=True):
    """A run takes `about_ms`; with the durations of single earlier runs it would have taken `least_ms` to `most_ms`.

    `runs` is how many were counted; `unmeasured` how many nodes never ran before: each counts as the median of the others.
    """

    about_ms: int
    least_ms: int
    most_ms: int
    runs: int
    unmeasured: int


def medians(measured: Measured) -> dict[str, int]:
    """What each node usually takes: the lower median of what was measured."""
    return {node: _median(list(taken.values())) for node, taken in measured.items() if taken}


def forecast(items: Sequence[Item], bounds: Bounds, measured: Measured) -> Forecast | None:
    """The forecast of a run in which nothing fails; None where no node of it was ever measured, or for very many nodes.

    Raises ValueError where some nodes never become ready.
    """
    nodes = [item.id for item in items if not item.gate]
    usual = medians({node: measured[node] for node in nodes if node in measured})
    if not usual or len(nodes) > _MOST_NODES:
        return None
    stand_in = _median(list(usual.values()))
    typical = {node: usual.get(node, stand_in) for node in nodes}
    known = [replace(item, duration_ms=usual.get(item.id)) for item in items]
    about = makespan(known, bounds, typical)
    runs = sorted({run for node in usual for run in measured[node]}, reverse=True)
    spans = [about]
    for run in runs[: _WORK // len(nodes)] if len(runs) > 1 else ():
        spans.append(makespan(known, bounds, {node: measured.get(node, {}).get(run, typical[node]) for node in nodes}))
    return Forecast(about, min(spans), max(spans), len(runs), len(nodes) - len(usual))


def makespan(items: Sequence[Item], bounds: Bounds, durations: Mapping[str, int]) -> int:
    """When the last node ends, where each takes as long as `durations` says, succeeds at once, and no condition is false.

    Raises ValueError where some never become ready.
    """
    scheduler = Scheduler(items, bounds)
    running: list[tuple[int, int, str]] = []
    now = begun = 0
    while not scheduler.finished:
        while nodes := scheduler.unjudged():
            for node in nodes:
                scheduler.admit(node)
        for dispatch in scheduler.dispatch(now):
            begun += 1
            heapq.heappush(running, (now + durations[dispatch.id], begun, dispatch.id))
        token = scheduler.next_moment(now)
        if running and (token is None or running[0][0] <= token[0]):
            now, _, node = heapq.heappop(running)
            scheduler.finish(node, Outcome.SUCCEEDED)
        elif token is not None:
            now = token[0]
        elif not scheduler.finished:
            raise ValueError(f"never became ready: {scheduler.unfinished()[:5]}")
    return now


def _median(values: list[int]) -> int:
    # Not `statistics`: importing it takes longer than all of this.
    return sorted(values)[(len(values) - 1) // 2]
