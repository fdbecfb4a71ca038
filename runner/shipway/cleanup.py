"""Removals of ephemeral things, registered before they are made, run last in first out on every way out."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from shipway.events import CleanupFailed, Events
from shipway.journal import Journals


class CleanupStack:
    """Registered removals. `run` runs each once, the last registered first; one that raises does not stop the others."""

    def __init__(self, events: Events, journals: Callable[[], Journals] | None = None) -> None:
        self._events = events
        self._journals = journals
        self._removals: list[tuple[str, Callable[[], None]]] = []
        self.failures: list[tuple[str, str]] = []

    def register(self, name: str, remove: Callable[[], None]) -> None:
        """Have `remove` run in phase cleanup; `name` says what it removes."""
        self._removals.append((name, remove))

    def register_path(self, name: str, path: Path) -> None:
        """Have `path` removed in phase cleanup, whole if it is a folder; `runs repair` does it for a killed run."""
        if self._journals is None:
            self.register(name, lambda: remove_path(path))
            return
        journals = self._journals()
        number = journals.making(str(path))

        def remove() -> None:
            remove_path(path)
            journals.removed(number)

        self.register(name, remove)

    def run(self) -> None:
        """Run what is registered; again, it does nothing."""
        while self._removals:
            name, remove = self._removals.pop()
            try:
                remove()
            except Exception as error:  # noqa: BLE001 - the cleanup stack: every other removal must still run
                self.failures.append((name, f"{type(error).__name__}: {error}"))
                self._events.emit(CleanupFailed(name, str(error)))


def remove_path(path: Path) -> None:
    """Remove a file, link or folder with all in it; nothing where there is none. Raises OSError where it stays."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
        return
    with suppress(FileNotFoundError):
        os.unlink(path)
