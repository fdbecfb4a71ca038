"""Locks that single steps hold across runs: asked for on a thread of their own, since a store may take seconds to answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from queue import SimpleQueue
from threading import Thread

from msgspec import Struct

from shipway.errors import ShipwayError
from shipway.holding import Locks
from shipway.locks import LockHeld, named_lock

_PATIENCE_S = 5.0
"""How long the end of a run waits for a store that is being asked."""


class Answer(Struct, frozen=True):
    """What became of a node's request: the locks are its own, or `held` says who has one, or `error` what went wrong."""

    node: str
    held: LockHeld | None = None
    error: ShipwayError | None = None


class StepLocks:
    """The step locks of one run. Nodes of a run never compete here: the scheduler keeps them apart.

    `held_by_run` are names that the run holds already; `wake` is called, from the thread, when there is an answer.
    """

    def __init__(self, locks: Locks, held_by_run: Iterable[str], wake: Callable[[], None]) -> None:
        self._locks = locks
        self._held_by_run = frozenset(held_by_run)
        self._wake = wake
        self._requests: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._answers: SimpleQueue[Answer] = SimpleQueue()
        self._thread: Thread | None = None
        self._waiting: dict[str, None] = {}

    @property
    def pending(self) -> bool:
        """Whether some node waits for its answer."""
        return bool(self._waiting)

    def ask(self, node: str, names: Sequence[str]) -> bool:
        """Ask for what the node needs; True where that is nothing, else there will be an answer."""
        wanted = self._wanted(names)
        if not wanted:
            return True
        self._waiting[node] = None
        self._do(lambda: self._take(node, wanted))
        return False

    def answers(self) -> list[Answer]:
        """Answers that came since the last call, to those that still wait."""
        found = []
        while not self._answers.empty():
            answer = self._answers.get()
            if answer.node in self._waiting:
                del self._waiting[answer.node]
                found.append(answer)
        return found

    def withdraw(self) -> list[str]:
        """The nodes that waited for an answer and wait no more; what they still get is given back with the run's locks."""
        gone, self._waiting = list(self._waiting), {}
        return gone

    def give_back(self, names: Sequence[str]) -> None:
        """The step that held these has ended. What cannot be given back ends with the run."""
        wanted = self._wanted(names)
        if wanted:
            self._do(lambda: self._locks.give_back(wanted))

    def close(self) -> None:
        """Once everything asked for was dealt with."""
        if self._thread is not None:
            self._requests.put(None)
            self._thread.join(_PATIENCE_S)

    def _wanted(self, names: Sequence[str]) -> list[str]:
        return [named_lock(name) for name in names if name not in self._held_by_run]

    def _do(self, request: Callable[[], None]) -> None:
        if self._thread is None:
            self._thread = Thread(target=self._serve, name="shipway-step-locks", daemon=True)
            self._thread.start()
        self._requests.put(request)

    def _serve(self) -> None:
        while (request := self._requests.get()) is not None:
            try:
                request()
            except ShipwayError:
                # Only giving back ends here: the lock is tried once more when the run gives back all it has.
                continue

    def _take(self, node: str, names: Sequence[str]) -> None:
        answer = Answer(node)
        try:
            self._locks.take(names)
        except LockHeld as error:
            answer = Answer(node, held=error)
        except ShipwayError as error:
            answer = Answer(node, error=error)
        except Exception as error:  # noqa: BLE001 - the thread's edge: without an answer the node would wait for ever
            answer = Answer(node, error=ShipwayError(f"{type(error).__name__}: {error}"))
        self._answers.put(answer)
        self._wake()
