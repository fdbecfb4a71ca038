"""What do decisions cost, alone? The scheduler without processes, clocks or files, on large graphs."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from pathlib import Path

from tests.simulation import simulate

from bench.measure import Answer, Scale, at_most, computed, interleaved
from shipway.graph import Graph
from shipway.limits import Rate
from shipway.nodes import Need
from shipway.room import Bounds, Item
from shipway.scheduler import Scheduler


def decisions(scale: Scale, directory: Path) -> Answer:
    """All decisions of independent nodes in virtual time, and the memory that they need, against half as many."""
    items = [Item(f"n{number}") for number in range(scale.many)]
    taken = interleaved({"all": lambda: computed(lambda: simulate(items, Bounds(4)))}, scale.rounds)["all"]
    growth = _peak(items) / _peak(items[: scale.many // 2])
    return Answer(
        f"{scale.many:,} independent nodes in virtual time",
        [
            at_most("processor time, all decisions", taken.processor, 2, " s"),
            at_most("memory, against half as many nodes", growth, 2.2, " ×"),
        ],
    )


def limited(scale: Scale, directory: Path) -> Answer:
    """All decisions of nodes under named limits, two of them with a rate, and every fourth node under two at once."""
    names = [f"l{number}" for number in range(8)]
    items = [Item(f"n{number}", limits=_some(names, number)) for number in range(scale.many)]
    bounds = Bounds(16, limits=dict.fromkeys(names, 4), rates={"l0": Rate(1, 3, 5), "l1": Rate(2, 5)})
    taken = interleaved({"all": lambda: computed(lambda: simulate(items, bounds))}, scale.rounds)["all"]
    return Answer(
        f"{scale.many:,} nodes under eight limits in virtual time",
        [at_most("processor time, all decisions", taken.processor, 2, " s")],
    )


def _some(names: Sequence[str], number: int) -> tuple[str, ...]:
    first = names[number % len(names)]
    return (first, names[(number * 3 + 1) % len(names)]) if number % 4 == 0 else (first,)


def layered(scale: Scale, directory: Path) -> Answer:
    """A graph in layers of a hundred, each node needing three of the layer before: validated and prioritised."""
    count, width = scale.many, min(100, scale.many // 5)
    needs = {place: sorted({_before(place, width, k) for k in range(3)}) for place in range(width, count)}
    items = [Item(f"n{place}", tuple(Need(f"n{before}") for before in needs.get(place, ()))) for place in range(count)]

    def work() -> None:
        graph = Graph((item.id for item in items), ((need.node, item.id) for item in items for need in item.needs))
        assert len(graph.topological_order()) == count
        Scheduler(items, Bounds(4))

    taken = interleaved({"all": lambda: computed(work)}, scale.rounds)["all"]
    edges = sum(map(len, needs.values()))
    return Answer(
        f"A layered graph of {count:,} nodes and {edges:,} edges",
        [at_most("processor time, validated and prioritised", taken.processor, 1, " s")],
    )


def _before(place: int, width: int, number: int) -> int:
    return (place // width - 1) * width + (place + number * 7) % width


def _peak(items: Sequence[Item]) -> int:
    tracemalloc.start()
    simulate(items, Bounds(4))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak
