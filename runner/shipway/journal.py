"""The seam for a run's write-ahead record: what it is told, and what is asked of it. Stores nothing itself: `journal_file` does."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol

from msgspec import Struct, field

from shipway.attempt import Ended
from shipway.canonical import Json
from shipway.errors import Reason, UnreachableError
from shipway.locks import LockLost
from shipway.nodes import Node, Outcome
from shipway.pace import Tokens
from shipway.plan import Plan
from shipway.receipt import Attempt
from shipway.run_record import Decided, Opening, RunRecord, RunStatus, RunSummary
from shipway.secrecy import Secrecy


class LeaseLost(UnreachableError):
    """Another process took this run over: nothing that this one reports is taken any more, and it must touch nothing."""

    default_reason = Reason.LEASE_LOST


TAKEN_OVER = (LeaseLost, LockLost)
"""What says that somebody else goes on with the run, or with what it was about: an undo would meet theirs."""


class Journal(Protocol):
    """Told, synchronously, of all that an execution does. What it raises stops the run.

    What was told is on disk once `commit` returns; `undo_begun` and `undo_ended` commit by themselves. Times are
    milliseconds since the run began.
    """

    def begun(self, node: Node, number: int, at_ms: int) -> None:
        """An attempt of `node` is about to start, after the next `commit`."""

    def ended(self, node: Node, number: int, ended: Ended) -> None:
        """That attempt has ended."""

    def decided(self, node: str, decided: Decided) -> None:
        """A node got its outcome without an attempt."""

    def commit(self) -> None:
        """What was told so far is on disk when this returns. Raises LeaseLost, or UnreachableError for a full disk."""

    def groups(self, groups: Mapping[str, int]) -> None:
        """Children run in these process groups, by node; on disk when this returns."""

    def rolling_back(self, order: Sequence[str]) -> None:
        """From now on the run undoes what it began, in this order of nodes; on disk when this returns."""

    def undo_begun(self, node: Node, at_ms: int) -> None:
        """The undo of `node` is about to start."""

    def undo_ended(self, node: Node, ended: Undone) -> None:
        """That undo has ended."""

    def is_cancelled(self) -> bool:
        """Whether somebody else asked for this run to be stopped."""


class Undone(Struct, frozen=True):
    """How the undo of a node went: undone, undo_failed, not_undoable or drifted; `tries` is how often it was tried.

    A node of a compensation has the outcome of a step that ran, and `outputs` for those behind it. `left` names what was left
    alone where all else that the node made was put back.
    """

    outcome: Outcome
    ended_ms: int
    error: str = ""
    tries: int = 1
    tail: str = ""
    log: str = ""
    outputs: Mapping[str, Json] = field(default_factory=dict)
    left: tuple[str, ...] = ()


class Unjournalled:
    """Keeps nothing: what a killed process had begun is then not known to the next one."""

    def begun(self, node: Node, number: int, at_ms: int) -> None:
        """Nothing is kept."""

    def ended(self, node: Node, number: int, ended: Ended) -> None:
        """Nothing is kept."""

    def decided(self, node: str, decided: Decided) -> None:
        """Nothing is kept."""

    def commit(self) -> None:
        """Nothing is kept."""

    def groups(self, groups: Mapping[str, int]) -> None:
        """Nothing is kept."""

    def rolling_back(self, order: Sequence[str]) -> None:
        """Nothing is kept."""

    def undo_begun(self, node: Node, at_ms: int) -> None:
        """Nothing is kept."""

    def undo_ended(self, node: Node, ended: Undone) -> None:
        """Nothing is kept."""

    def is_cancelled(self) -> bool:
        """Nobody can ask."""
        return False


class BestEffort:
    """Goes on telling a journal that fails, or may: what was begun has to be undone, written down or not.

    `failure` is the first that it went on over. That another has taken the run or its target over is raised all the same: it
    undoes, or goes on.
    """

    def __init__(self, journal: Journal) -> None:
        self.failure: UnreachableError | None = None
        self._journal = journal

    def begun(self, node: Node, number: int, at_ms: int) -> None:
        """Nothing is begun any more."""

    def ended(self, node: Node, number: int, ended: Ended) -> None:
        """As `Journal`, told with the next `commit`."""
        self._journal.ended(node, number, ended)

    def decided(self, node: str, decided: Decided) -> None:
        """As `Journal`, told with the next `commit`."""
        self._journal.decided(node, decided)

    def commit(self) -> None:
        """As `Journal`, where that is possible."""
        with self._going_on():
            self._journal.commit()

    def groups(self, groups: Mapping[str, int]) -> None:
        """As `Journal`, where that is possible."""
        with self._going_on():
            self._journal.groups(groups)

    def rolling_back(self, order: Sequence[str]) -> None:
        """As `Journal`, where that is possible."""
        with self._going_on():
            self._journal.rolling_back(order)

    def undo_begun(self, node: Node, at_ms: int) -> None:
        """As `Journal`, where that is possible."""
        with self._going_on():
            self._journal.undo_begun(node, at_ms)

    def undo_ended(self, node: Node, ended: Undone) -> None:
        """As `Journal`, where that is possible."""
        with self._going_on():
            self._journal.undo_ended(node, ended)

    def is_cancelled(self) -> bool:
        """As `Journal`."""
        return self._journal.is_cancelled()

    @contextmanager
    def _going_on(self) -> Iterator[None]:
        try:
            yield
        except TAKEN_OVER:
            raise
        except UnreachableError as error:
            self.failure = self.failure or error


class Probed(Struct, frozen=True):
    """What was found out about an attempt that nobody reported: its work is there (succeeded), was put back (undone), or
    whether it was put back cannot be told (undo_failed). What is there and did not come out as planned has failed, with the
    `error` and the `code` of such an attempt.
    """

    number: int
    outcome: Outcome
    at_ms: int
    why: str
    exit_code: int | None = None
    outputs: Mapping[str, Json] = field(default_factory=dict)
    error: str = ""
    code: str = ""

    def attempt(self) -> Attempt:
        """As it stands in a receipt, behind the attempts that it is about."""
        return Attempt(self.number, self.outcome, self.at_ms, self.at_ms, self.error, self.exit_code, self.code)


class RunJournal(Journal, Protocol):
    """The journal of one run, held by this process until `close`."""

    def probed(self, node: Node, probed: Probed) -> None:
        """What was found out about a node that was begun and never reported. On disk when this returns."""

    def finished(self, status: RunStatus, ended_ms: int, files: str | None = None) -> None:
        """The run came to its end, and nobody carries it out any more; `ended_ms` is Unix time. On disk when it returns.

        `files` is the digest of all files as it left them, where it may be gone on with.
        """

    def sealed(self, receipt: str) -> None:
        """Its receipt, of this digest, was kept. On disk when this returns."""

    def close(self) -> None:
        """Let go of it. What was told and not committed is dropped."""


class SharedTokens(Tokens, Protocol):
    """Tokens that are kept somewhere."""

    def close(self) -> None:
        """Let go of where they are kept."""


class Journals(Protocol):
    """The record of every run of a workspace."""

    def begin(self, opening: Opening, plan: Plan, secrecy: Secrecy, blind: Mapping[str, bool]) -> RunJournal:
        """A new run, held by this process. Raises UnreachableError (`lock-held`) while one of that lifecycle and target runs.

        `secrecy` says what must not be kept as it is. `blind` says of planned nodes whether they leave
        something that nobody can ask about afterwards: that those begin survives even a power cut.
        """

    def usual_ms(self, lifecycle: str, target: str) -> Mapping[str, int]:
        """What nodes took in earlier runs of that lifecycle and target, by id; nothing where it is not known."""

    def tokens(self, lifecycle: str) -> SharedTokens:
        """The tokens of the lifecycle's limits, which all its runs share."""

    def resume(
        self,
        record: RunRecord,
        opened: Collection[str] | None,
        traces: Collection[str],
        secrecy: Secrecy,
        blind: Mapping[str, bool],
        *,
        is_taken_back: bool = False,
    ) -> RunJournal:
        """Take a run over whose owner is gone, or that has ended, and open these nodes again, in one transaction.

        With None the run stays what it is: it is only held, to be sealed. `traces` are nodes that may have begun although
        the journal holds no attempt of theirs: from now on it does.

        `is_taken_back` says that it is held to be undone, whatever came of it, which `record` tells from then on.
        `record` is the run as it was read: where it is another by now, UnreachableError (`lock-held`).
        """

    def read(self, run: str) -> RunRecord:
        """All that is known of a run. Raises UsageError (`run-unknown`)."""

    def plan(self, run: str, known: Plan | None = None) -> Plan:
        """What a run executes: `known` itself where it is that plan, digest for digest, which saves reading a large one."""

    def runs(self) -> Sequence[RunSummary]:
        """Every run, the one begun last first."""

    def crashed(self, lifecycle: str, target: str) -> Sequence[RunSummary]:
        """Runs of that lifecycle and target that were never finished and that nobody carries out, the latest first."""

    def making(self, path: str) -> int:
        """Something ephemeral is about to be made at `path`; the number is for `removed`. On disk when this returns."""

    def removed(self, number: int) -> None:
        """It was removed again."""
