"""Virtual time for the scheduler: runs items with given durations and outcomes, and records who ran when."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from shipway.consequences import Decision
from shipway.declaration import OnFailure
from shipway.nodes import FAILURES, Outcome
from shipway.room import Bounds, Item
from shipway.scheduler import Scheduler


@dataclass
class Simulated:
    """What happened. `log` holds `start`, `end` and `decide` with the node, in order; `running_at_stop` who ran when it stopped."""

    started: list[tuple[int, str]] = field(default_factory=list)
    ended: dict[str, int] = field(default_factory=dict)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    decisions: list[tuple[int, Decision]] = field(default_factory=list)
    waited_for: dict[str, str] = field(default_factory=dict)
    log: list[tuple[str, str]] = field(default_factory=list)
    begun_before_stop: frozenset[str] | None = None
    running_at_stop: frozenset[str] = frozenset()
    makespan: int = 0
    peak: int = 0

    @property
    def order(self) -> list[str]:
        """Nodes in the order of their first start."""
        return list(dict.fromkeys(node for _, node in self.started))

    @property
    def causes(self) -> dict[str, str]:
        """The node to blame, by decided node."""
        return {decision.id: decision.cause for _, decision in self.decisions}


class Simulation:
    """One run in virtual time. Absent from the maps: duration 1, outcome succeeded, condition true, no failed tries before.

    `tries` counts the attempts that fail before the one that ends with `outcomes`; the next follows after 1.
    `throttled` are nodes that report, when an attempt of theirs ends, that their limits should rest so long.
    With the policy `cancel`, and when cancelled at `cancel_at`, running nodes end at once as cancelled.
    """

    def __init__(
        self,
        items: Sequence[Item],
        bounds: Bounds,
        durations: Mapping[str, int] | None = None,
        outcomes: Mapping[str, Outcome] | None = None,
        conditions: Mapping[str, bool] | None = None,
        tries: Mapping[str, int] | None = None,
        cancel_at: int | None = None,
        throttled: Mapping[str, int] | None = None,
    ) -> None:
        self.result = Simulated()
        self.scheduler = Scheduler(items, bounds)
        self._durations = durations or {}
        self._outcomes = outcomes or {}
        self._conditions = conditions or {}
        self._tries = dict(tries or {})
        self._cancel_at = cancel_at
        self._throttled = throttled or {}
        self._limits = {item.id: item.limits for item in items}
        self._clock = 0
        self._sequence = 0
        self._running: list[tuple[int, int, str]] = []
        self._waiting: list[tuple[int, int, str]] = []

    def run(self) -> Simulated:
        while not self.scheduler.finished:
            self._start_what_may()
            if self._running or self._waiting or self.scheduler.next_moment(self._clock) is not None:
                self._next_moment()
            elif not self.scheduler.finished and not self.scheduler.has_ready:
                assert self.scheduler.stopping, f"never became ready: {self.scheduler.unfinished()}"
                self.scheduler.settle()
                self._take_decisions()
                assert self.scheduler.has_ready or self.scheduler.finished, self.scheduler.unfinished()
        self._take_decisions()
        self.result.makespan = self._clock
        assert not self._running
        return self.result

    def _start_what_may(self) -> None:
        while nodes := self.scheduler.unjudged():
            for node in nodes:
                if self._conditions.get(node, True):
                    self.scheduler.admit(node)
                else:
                    self.result.log.append(("decide", node))
                    self._end(node, Outcome.SKIPPED)
        for dispatch in self.scheduler.dispatch(self._clock):
            node = dispatch.id
            self.result.started.append((self._clock, node))
            self.result.log.append(("start", node))
            self.result.waited_for.setdefault(node, dispatch.waited_for)
            self._push(self._running, self._clock + self._durations.get(node, 1), node)
        self.result.peak = max(self.result.peak, len(self._running))
        self._take_decisions()

    def _next_moment(self) -> None:
        token = self.scheduler.next_moment(self._clock)
        moments = [queue[0][0] for queue in (self._running, self._waiting) if queue]
        due = min(moments if token is None else [*moments, token[0]])
        if self._cancel_at is not None and self._cancel_at <= due:
            self._clock, self._cancel_at = max(self._clock, self._cancel_at), None
            self.scheduler.stop()
            self._cancel_running()
            self._give_up()
        elif self._running and self._running[0][0] == due:
            self._clock, _, node = heapq.heappop(self._running)
            self._attempt_ended(node)
        elif self._waiting and self._waiting[0][0] == due:
            self._clock, _, node = heapq.heappop(self._waiting)
            self.scheduler.wake(node)
        else:
            self._clock = due

    def _attempt_ended(self, node: str) -> None:
        self.result.log.append(("end", node))
        if node in self._throttled:
            self.scheduler.pace.rest(self._limits[node], self._clock, self._clock + self._throttled[node])
        if self._tries.get(node, 0) and self.scheduler.tries_again:
            self._tries[node] -= 1
            self.scheduler.pause(node)
            self._push(self._waiting, self._clock + 1, node)
            return
        outcome = Outcome.FAILED if self._tries.get(node, 0) else self._outcomes.get(node, Outcome.SUCCEEDED)
        self._end(node, outcome)

    def _end(self, node: str, outcome: Outcome) -> None:
        was_stopping = self.scheduler.stopping
        self.scheduler.finish(node, outcome)
        assert node not in self.result.outcomes, f"`{node}` ended twice"
        self.result.outcomes[node] = outcome
        self.result.ended[node] = self._clock
        self._take_decisions()
        if self.scheduler.stopping and not was_stopping:
            self.result.running_at_stop = frozenset(node for _, _, node in (*self._running, *self._waiting))
            self.result.begun_before_stop = frozenset(node for _, node in self.result.started)
        if outcome in FAILURES and self.scheduler.stopping:
            if self.scheduler.policy_for(node) is OnFailure.CANCEL:
                self._cancel_running()
            self._give_up()

    def _cancel_running(self) -> None:
        running, self._running = self._running, []
        for _, _, node in running:
            self.result.log.append(("end", node))
            self._end(node, Outcome.CANCELLED)

    def _give_up(self) -> None:
        if not self.scheduler.tries_again:
            self._waiting.clear()
        while waiting := self.scheduler.abandoned():
            self._end(waiting[0], Outcome.FAILED)

    def _take_decisions(self) -> None:
        for decision in self.scheduler.decided():
            assert decision.id not in self.result.outcomes, f"`{decision.id}` ended twice"
            self.result.outcomes[decision.id] = decision.outcome
            self.result.log.append(("decide", decision.id))
            self.result.decisions.append((self._clock, decision))

    def _push(self, queue: list[tuple[int, int, str]], due: int, node: str) -> None:
        self._sequence += 1
        heapq.heappush(queue, (due, self._sequence, node))


def simulate(
    items: Sequence[Item],
    bounds: Bounds,
    durations: Mapping[str, int] | None = None,
    outcomes: Mapping[str, Outcome] | None = None,
    conditions: Mapping[str, bool] | None = None,
    tries: Mapping[str, int] | None = None,
    cancel_at: int | None = None,
    throttled: Mapping[str, int] | None = None,
) -> Simulated:
    """Run `items` to their end; see `Simulation`."""
    return Simulation(items, bounds, durations, outcomes, conditions, tries, cancel_at, throttled).run()
