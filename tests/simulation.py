"""Virtual time for the scheduler: runs items with given durations and outcomes, and records who ran when."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from shipway.nodes import Outcome
from shipway.scheduler import Bounds, Decision, Item, Scheduler


@dataclass
class Simulated:
    """What happened: `started` in order with times, `outcomes`, total time, most nodes at once."""

    started: list[tuple[int, str]] = field(default_factory=list)
    ended: dict[str, int] = field(default_factory=dict)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    decisions: list[tuple[int, Decision]] = field(default_factory=list)
    waited_for: dict[str, str] = field(default_factory=dict)
    makespan: int = 0
    peak: int = 0

    @property
    def order(self) -> list[str]:
        return [node for _, node in self.started]


def simulate(
    items: Sequence[Item],
    bounds: Bounds,
    durations: Mapping[str, int] | None = None,
    outcomes: Mapping[str, Outcome] | None = None,
    conditions: Mapping[str, bool] | None = None,
) -> Simulated:
    """Run `items` in virtual time. Absent: duration 1, outcome succeeded, condition true."""
    durations, outcomes, conditions = durations or {}, outcomes or {}, conditions or {}
    scheduler = Scheduler(items, bounds)
    result = Simulated()
    clock = 0
    running: list[tuple[int, int, str]] = []
    sequence = 0
    while True:
        progressed = True
        while progressed:
            progressed = False
            for node in scheduler.unjudged():
                progressed = True
                if conditions.get(node, True):
                    scheduler.admit(node)
                else:
                    result.outcomes[node] = Outcome.SKIPPED
                    scheduler.finish(node, Outcome.SKIPPED)
            for dispatch in scheduler.dispatch():
                sequence += 1
                result.started.append((clock, dispatch.id))
                result.waited_for[dispatch.id] = dispatch.waited_for
                heapq.heappush(running, (clock + durations.get(dispatch.id, 1), sequence, dispatch.id))
        for decision in scheduler.decided():
            result.outcomes[decision.id] = decision.outcome
            result.decisions.append((clock, decision))
        result.peak = max(result.peak, len(running))
        if not running:
            if scheduler.finished or not scheduler.stopping:
                break
            scheduler.settle()
            if not scheduler.has_ready and not scheduler.finished:
                break
            continue
        clock, _, node = heapq.heappop(running)
        outcome = outcomes.get(node, Outcome.SUCCEEDED)
        result.outcomes[node] = outcome
        result.ended[node] = clock
        scheduler.finish(node, outcome)
    result.makespan = clock
    for decision in scheduler.decided():
        result.outcomes[decision.id] = decision.outcome
        result.decisions.append((clock, decision))
    assert not scheduler.unfinished(), scheduler.unfinished()
    return result
