"""Nodes that need locks of their own: asked for when a node has its turn, waited for while another run has them.

Decides nothing about order; a node that waits gives back its room meanwhile.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping

from shipway.events import Warned
from shipway.locks import KeptBy, LockHeld, holder_text
from shipway.progress import Progress, Surroundings
from shipway.scheduler import Scheduler

LOOK_MS = 2_000
"""How long after a lock was found held by another run it is asked for again."""


class LockWaits:
    """The locks of nodes in one execution. `is_to_undo` tells of a node whether its turn is for an undo, which never fails here."""

    def __init__(
        self,
        around: Surroundings,
        scheduler: Scheduler,
        progress: Mapping[str, Progress],
        is_to_undo: Callable[[str], bool],
    ) -> None:
        self._around = around
        self._scheduler = scheduler
        self._progress = progress
        self._is_to_undo = is_to_undo
        self._again: list[tuple[int, str]] = []

    @property
    def is_pending(self) -> bool:
        """Whether an answer or a next look is still to come."""
        return self._around.step_locks.pending or bool(self._again)

    @property
    def next_moment_ms(self) -> int | None:
        """When `on_time` has something to do, or None."""
        return self._again[0][0] if self._again else None

    def admits(self, progress: Progress) -> bool:
        """Whether a node whose turn it is may begin now; else it comes out of `answered`, or gets another turn."""
        locks = progress.node.locks
        return not locks or self._around.step_locks.ask(progress.node.id, locks)

    def answered(self) -> list[tuple[Progress, str]]:
        """Nodes whose locks are theirs, and with a text those that cannot have them for as long as a person says."""
        found = []
        for answer in self._around.step_locks.answers():
            progress = self._progress[answer.node]
            held, error = answer.held, answer.error
            if held is None and error is None:
                found.append((progress, ""))
            elif self._is_to_undo(answer.node) or (held is not None and held.lock.kept_by is not KeptBy.HAND):
                self._look_again(progress, held)
            elif held is not None:
                found.append((progress, f"{held.message}; {held.next}"))
            elif error is not None:
                found.append((progress, error.message))
        return found

    def on_time(self, now_ms: int) -> None:
        """Give another turn to those that are due."""
        while self._again and self._again[0][0] <= now_ms:
            self._scheduler.wake(heapq.heappop(self._again)[1])

    def give_back(self, progress: Progress) -> None:
        """The node has ended, or waits for another attempt."""
        if progress.node.locks:
            self._around.step_locks.give_back(progress.node.locks)

    def stop(self) -> list[Progress]:
        """The run was stopped: the nodes that wait for an answer, and wait no more."""
        self._again.clear()
        return [self._progress[node] for node in self._around.step_locks.withdraw()]

    def _look_again(self, progress: Progress, held: LockHeld | None) -> None:
        node = progress.node
        waited_for = f"lock {held.lock.name.partition('/')[2]}" if held else "the store of its locks"
        if progress.waited_for != waited_for:
            progress.waited_for = waited_for
            who = f", held {holder_text(held.lock)}" if held else ""
            self._around.events.emit(Warned(f"`{node.id}` waits for {waited_for}{who}"))
        self._scheduler.pause(node.id)
        heapq.heappush(self._again, (self._around.clock_ms() + LOOK_MS, node.id))
