"""The journal of one run that is also kept in a store: on disk as ever, and there before what could not be probed later."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from shipway.attempt import Ended
from shipway.journal import Probed, RunJournal, Undone
from shipway.nodes import Node
from shipway.run_record import Decided, RunStatus
from shipway.shared_state import Checkpoints, SavedRun, SharedState
from shipway.workspace import Workspace


def fetch(state: SharedState, workspace: Workspace) -> str:
    """Bring the run that was saved last into the journal of the workspace, unless that knows more of it; its id, or empty.

    Raises StoreError or UnreachableError where that is not possible: what the last run did is then not known here.
    """
    saved = state.saved()
    if saved is None:
        return ""
    from shipway.journal_copy import merge_run  # late: SQLite, which a plan does not need

    workspace.make_directory()
    return merge_run(workspace.journal, saved.content)


class SharedJournal:
    """A RunJournal in front of another one, whose file is at `path`. `token()` is the fencing token of the run's lock.

    `is_blind` says of a node whether it leaves something that nobody can ask about afterwards.
    """

    def __init__(
        self,
        journal: RunJournal,
        state: SharedState,
        *,
        path: Path,
        run: str,
        token: Callable[[], int],
        is_blind: Callable[[Node], bool],
    ) -> None:
        self._journal = journal
        self._state = state
        self._path = path
        self._run = run
        self._token = token
        self._is_blind = is_blind
        self._checkpoints = Checkpoints(self._save)
        self._must_be_there = False
        self._is_cut_off = False

    def begun(self, node: Node, number: int, at_ms: int) -> None:
        """See `Journal`."""
        self._must_be_there = self._must_be_there or self._is_blind(node)
        self._journal.begun(node, number, at_ms)

    def ended(self, node: Node, number: int, ended: Ended) -> None:
        """See `Journal`. That it ended is in the store before anything follows: else nobody could tell whether it did."""
        self._must_be_there = self._must_be_there or self._is_blind(node)
        self._journal.ended(node, number, ended)

    def decided(self, node: str, decided: Decided) -> None:
        """See `Journal`."""
        self._journal.decided(node, decided)

    def commit(self) -> None:
        """See `Journal`. Where a change begins or ends that could not be probed, that is in the store when this returns."""
        self._journal.commit()
        self._checkpoints.note()
        if self._must_be_there:
            self._must_be_there = False
            self._flush()

    def groups(self, groups: Mapping[str, int]) -> None:
        """See `Journal`."""
        self._journal.groups(groups)

    def rolling_back(self, order: Sequence[str]) -> None:
        """See `Journal`. Raises LockLost where another run has written since: what it did would be undone."""
        self._journal.rolling_back(order)
        self._checkpoints.note()
        self._flush()

    def undo_begun(self, node: Node, at_ms: int) -> None:
        """See `Journal`."""
        self._journal.undo_begun(node, at_ms)
        self._checkpoints.note()
        if self._is_blind(node):
            self._flush()

    def undo_ended(self, node: Node, ended: Undone) -> None:
        """See `Journal`."""
        self._journal.undo_ended(node, ended)
        self._checkpoints.note()

    def is_cancelled(self) -> bool:
        """See `Journal`."""
        return self._journal.is_cancelled()

    def probed(self, node: Node, probed: Probed) -> None:
        """See `RunJournal`."""
        self._journal.probed(node, probed)
        self._checkpoints.note()

    def finished(self, status: RunStatus, ended_ms: int, files: str | None = None) -> None:
        """See `RunJournal`."""
        self._journal.finished(status, ended_ms, files)
        self._checkpoints.note()

    def sealed(self, receipt: str) -> None:
        """See `RunJournal`."""
        self._journal.sealed(receipt)
        self._checkpoints.note()

    def close(self) -> None:
        """See `RunJournal`. What is not in the store yet gets there; raises StoreError where that is not possible."""
        try:
            self._checkpoints.close()
        finally:
            self._journal.close()

    def _flush(self) -> None:
        """Raises where the store cannot be written, the first time: then what was begun is undone, without it."""
        if self._is_cut_off:
            return
        try:
            self._checkpoints.flush()
        except BaseException:
            self._is_cut_off = True
            raise

    def _save(self) -> None:
        from shipway.journal_copy import copy_run  # late, for the same reason

        self._state.save(SavedRun(self._run, self._token(), copy_run(self._path, self._run)))
