"""The seam for a run's write-ahead record: what is told before and after each effect on the world. Stores nothing itself."""

from __future__ import annotations

from typing import Protocol

from shipway.nodes import Outcome


class Journal(Protocol):
    """Told of each effect, synchronously: before it is begun and once it has ended. What it raises stops the run."""

    def begun(self, node: str, attempt: int) -> None:
        """An attempt of `node` is about to start."""

    def ended(self, node: str, attempt: int, outcome: Outcome) -> None:
        """That attempt has ended."""

    def undo_begun(self, node: str) -> None:
        """The undo of `node` is about to start."""

    def undo_ended(self, node: str, outcome: Outcome) -> None:
        """That undo has ended."""


class Unjournalled:
    """Keeps nothing: what a killed process had begun is then not known to the next one."""

    def begun(self, node: str, attempt: int) -> None:
        """Nothing is kept."""

    def ended(self, node: str, attempt: int, outcome: Outcome) -> None:
        """Nothing is kept."""

    def undo_begun(self, node: str) -> None:
        """Nothing is kept."""

    def undo_ended(self, node: str, outcome: Outcome) -> None:
        """Nothing is kept."""
