"""Removals of ephemeral things, registered before they are made, run last in first out on every way out."""

from __future__ import annotations

from collections.abc import Callable

from shipway.events import CleanupFailed, Events


class CleanupStack:
    """Registered removals. `run` runs each once, the last registered first; one that raises does not stop the others."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self._removals: list[tuple[str, Callable[[], None]]] = []
        self.failures: list[tuple[str, str]] = []

    def register(self, name: str, remove: Callable[[], None]) -> None:
        """Have `remove` run in phase cleanup; `name` says what it removes."""
        self._removals.append((name, remove))

    def run(self) -> None:
        """Run what is registered; again, it does nothing."""
        while self._removals:
            name, remove = self._removals.pop()
            try:
                remove()
            except Exception as error:  # noqa: BLE001 - the cleanup stack: every other removal must still run
                self.failures.append((name, f"{type(error).__name__}: {error}"))
                self._events.emit(CleanupFailed(name, str(error)))
