"""Looks at what runs now and then: shows what it printed, says which node is silent for long, hears of a cancellation."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from shipway.events import NodeOutput, NodeStillRunning
from shipway.progress import Progress, Surroundings

_LIVE_TICK_MS = 100
_QUIET_TICK_MS = 1_000


class Watching:
    """`on_time` at `next_moment_ms`, more often where somebody watches. Moments are on the run's clock."""

    def __init__(
        self,
        around: Surroundings,
        progress: Mapping[str, Progress],
        still_running_ms: int,
        cancelled: Callable[[], None],
    ) -> None:
        """After `still_running_ms` of silence a node is announced; `cancelled` is called where somebody else asked for it."""
        self._around = around
        self._progress = progress
        self._still_running_ms = still_running_ms
        self._cancelled = cancelled
        self._next_ms = 0
        self._announced: dict[str, int] = {}

    @property
    def next_moment_ms(self) -> int:
        """When to look again."""
        if not self._next_ms:
            wants_output = self._around.events.wants_output
            self._next_ms = self._around.clock_ms() + (_LIVE_TICK_MS if wants_output else _QUIET_TICK_MS)
        return self._next_ms

    def on_time(self, now_ms: int, *, is_cancelled: bool) -> None:
        """Look, if it is time for it."""
        if now_ms < self._next_ms:
            return
        self._next_ms = 0
        if not is_cancelled and self._around.journal.is_cancelled():
            self._cancelled()
        attempts, emit = self._around.attempts, self._around.events.emit
        for node in attempts.running():
            fresh = attempts.hear(node)
            if fresh and self._around.events.wants_output:
                emit(NodeOutput(node, fresh))
            silent_since = max(attempts.silent_since(node), self._announced.get(node, 0))
            if now_ms - silent_since >= self._still_running_ms:
                self._announced[node] = now_ms
                emit(NodeStillRunning(node, now_ms - self._progress[node].attempts[-1].started_ms))
