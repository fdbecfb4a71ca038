"""How close does the order of starting come to the best there could be? Random graphs in virtual time: no noise."""

from __future__ import annotations

from pathlib import Path
from random import Random
from statistics import median

from tests.simulation import simulate

from bench.measure import Answer, Figure, Scale, at_most
from shipway.nodes import Need
from shipway.room import Bounds, Item

_SLOTS = 4


def random_graphs(scale: Scale, directory: Path) -> Answer:
    """Total time against what no order can beat: the critical path, or the work divided by the slots."""
    random = Random(20_261_122)
    ratios = sorted(_ratio(random) for _ in range(scale.graphs))
    return Answer(
        f"{scale.graphs} random graphs with known durations, {_SLOTS} slots, virtual time",
        [
            at_most("total ÷ lower bound, median", median(ratios), 1.05, ""),
            Figure("total ÷ lower bound, worst", f"{ratios[-1]:.2f}"),
        ],
    )


def _ratio(random: Random) -> float:
    count = random.randint(20, 200)
    density = random.uniform(0.5, 4.0) / count
    needs = [[before for before in range(place) if random.random() < density] for place in range(count)]
    durations = [random.randint(1, 1_000) for _ in range(count)]
    items = [
        Item(f"n{place}", tuple(Need(f"n{before}") for before in needs[place]), duration_ms=durations[place])
        for place in range(count)
    ]
    by_id = {item.id: duration for item, duration in zip(items, durations, strict=True)}
    path = [0] * count
    for place in range(count):
        path[place] = durations[place] + max((path[before] for before in needs[place]), default=0)
    bound = max(max(path), sum(durations) / _SLOTS)
    return simulate(items, Bounds(_SLOTS), by_id).makespan / bound
