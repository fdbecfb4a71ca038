"""What a signal means right now: abort a phase, cancel an execution, or nothing while a report is written. No handlers here."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING

from shipway.errors import Interrupted

if TYPE_CHECKING:
    from collections.abc import Iterator


def abort() -> None:
    """Raises Interrupted: what a signal does where nothing was started."""
    raise Interrupted("interrupted", next="nothing was started; run the command again")


def _nothing() -> None:
    pass


class Interruption:
    """Told of every SIGINT and SIGTERM. `struck` counts them."""

    def __init__(self) -> None:
        self.struck = 0
        self._held_from: int | None = None
        self._react: Callable[[], None] = abort

    def strike(self) -> None:
        """A signal came. Raises Interrupted where nothing has been started that would have to be ended first."""
        self.struck += 1
        self._react()

    def hold(self) -> None:
        """From now on raise nothing: something is about to be started, and what becomes of it must be recorded."""
        self._held_from = self.struck
        self._react = _nothing

    @property
    def is_pending(self) -> bool:
        """Whether a signal came since `hold`."""
        return self._held_from is not None and self.struck > self._held_from

    @contextmanager
    def handled_by(self, react: Callable[[], None]) -> Iterator[None]:
        """For a while, call `react` instead of raising."""
        before, self._react = self._react, react
        try:
            yield
        finally:
            self._react = before
