"""Writes the journal of one run: collects what a turn of the executor told, and commits it at once, fenced by the lease.

Reads nothing back and decides nothing. Used on one thread at a time; another one, with a connection of its own, renews the lease.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

import msgspec

from shipway.action import Verb
from shipway.attempt import Ended
from shipway.canonical import Json
from shipway.errors import ShipwayError
from shipway.journal import LeaseLost, Probed, Undone
from shipway.journal_schema import failure, opened
from shipway.nodes import FAILURES, Node, Outcome
from shipway.process_identity import start_of
from shipway.records import record_json
from shipway.run_record import Decided, RunStatus
from shipway.secrecy import Secrecy, about_attempt

SYNC_MS = 100
"""How often, at most, the disk itself is waited for. What may begin meanwhile is announced: see `RunWriter`."""

_MOST_AHEAD = 128

LEASE_MS = 30_000
"""How long a run belongs to a process that no longer says so, where nobody can see whether that process lives."""

_BEGUN = "INSERT INTO attempt (run, sequence, node, verb, number, execution, started_ms) VALUES (?, ?, ?, ?, ?, ?, ?)"
# Of several starts that were written down together, only the end of each tells when it really began.
_ENDED = (
    "UPDATE attempt SET started_ms=?, ended_ms=?, outcome=?, began=?, error=?, exit_code=? WHERE run=? AND sequence=?"
)
_ENDED_WITH_MORE = (
    "UPDATE attempt SET started_ms=COALESCE(?, started_ms), ended_ms=?, outcome=?, began=?, error=?, exit_code=?, warning=?,"
    " cause=?, code=?, change=?, outputs=?, lost=?, sealed=?, undo=?, emitted=?, records=?, tail=?, log=?, number=?"
    " WHERE run=? AND sequence=?"
)
_PROBED = (
    "INSERT INTO attempt (run, sequence, node, verb, number, execution, started_ms, ended_ms, outcome, cause, exit_code,"
    " outputs, lost, sealed, error, code) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_ANNOUNCED = "INSERT OR IGNORE INTO announced (run, node) VALUES (?, ?)"
_DECIDED = "INSERT OR REPLACE INTO decided (run, node, outcome, cause, error) VALUES (?, ?, ?, ?, ?)"
_HELD = "SELECT token, is_cancelled FROM run WHERE run=?"


class RunWriter:
    """The journal of one run, held by the process that `token` stands for. See `journal.RunJournal`.

    A commit survives this process, and the machine only once the disk has it. Before a `blind` node begins, one that
    nobody can ask afterwards, the disk is waited for. Where such nodes are short that would cost more than they do: then one
    wait also announces those that may begin until the next one. After a power cut an announced node counts as begun.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        path: Path,
        *,
        run: int,
        execution: int,
        sequence: int,
        token: str,
        unix_ms: Callable[[], int],
        lease_ms: int,
        run_id: str,
        secrecy: Secrecy,
        blind: Mapping[str, bool],
        strike: Callable[[str], None],
    ) -> None:
        """`sequence` is the last one there is; `strike` is told the name of each fault point that is passed."""
        self._connection = connection
        self._path = path
        self._run = run
        self._execution = execution
        self._sequence = sequence
        self._token = token
        self._run_id = run_id
        self._secrecy = secrecy
        self._strike = strike
        self._is_cancelled = False
        self._blind = blind
        self._coming = {node: None for node, is_blind in blind.items() if is_blind}
        self._announced: set[str] = set()
        self._must_sync = False
        self._ahead = 0
        self._synced_ms = -SYNC_MS
        self._open: dict[str, int] = {}
        self._undo: dict[str, int] = {}
        self._begun: list[tuple[object, ...]] = []
        self._ended: list[tuple[object, ...]] = []
        self._more: list[tuple[object, ...]] = []
        self._decided: list[tuple[object, ...]] = []
        self._grouped: dict[str, int] = {}
        self._renewal = _Renewal(path, (run, token), unix_ms, lease_ms)

    # What an execution tells.

    def begun(self, node: Node, number: int, at_ms: int) -> None:
        """See `Journal`."""
        self._sequence += 1
        self._open[node.id] = self._sequence
        is_blind = self._blind.get(node.id)
        if is_blind is None:  # it was not planned, but came up in the run
            is_blind = node.must_be_undone and "verify" not in node.slots
        if is_blind:
            self._coming.pop(node.id, None)
            if node.id in self._announced:
                self._announced.remove(node.id)
            else:
                self._must_sync = True
        self._begun.append((self._run, self._sequence, node.id, "do", number, self._execution, at_ms))

    def ended(self, node: Node, number: int, ended: Ended) -> None:
        """See `Journal`."""
        key = (self._run, self._open.pop(node.id))
        self._grouped.pop(node.id, None)
        head = (
            ended.started_ms,
            ended.ended_ms,
            ended.outcome.value,
            ended.began,
            ended.error or None,
            ended.exit_code,
        )
        has_more = ended.outputs or ended.undo is not None or ended.log or ended.warning or ended.cause or ended.emitted
        if not has_more and ended.change is None and not ended.code and not ended.records:
            self._ended.append((*head, *key))
            return
        outputs, undo, lost, sealed = self._storable(node, ended, key[1])
        self._more.append(
            (
                *head,
                ended.warning or None,
                ended.cause or None,
                ended.code or None,
                ended.change.value if ended.change is not None else None,
                outputs,
                lost,
                sealed,
                undo,
                _json(ended.emitted) if ended.emitted else None,
                _json([record_json(record) for record in ended.records]) if ended.records else None,
                ended.tail if ended.outcome in FAILURES or ended.outcome is Outcome.CANCELLED else None,
                os.path.basename(ended.log) or None,
                number,
                *key,
            )
        )

    def decided(self, node: str, decided: Decided) -> None:
        """See `Journal`."""
        self._decided.append((self._run, node, decided.outcome.value, decided.cause, decided.error))

    def commit(self) -> None:
        """See `Journal`."""
        if not (self._begun or self._ended or self._more or self._decided):
            return
        begun, self._begun = self._begun, []  # where this fails, nothing of it will begin; what has ended is told again
        self._strike("commit.begin")
        announced = self._look_ahead(int(str(begun[-1][-1]))) if begun and self._must_sync else []
        try:
            execute, many = self._connection.execute, self._connection.executemany
            if self._must_sync:
                execute("PRAGMA synchronous = FULL")
            execute("BEGIN IMMEDIATE")
            try:
                self._check_held()
                if begun:
                    many(_BEGUN, begun)
                if announced:
                    many(_ANNOUNCED, [(self._run, node) for node in announced])
                if self._ended:
                    many(_ENDED, self._ended)
                if self._more:
                    many(_ENDED_WITH_MORE, self._more)
                if self._decided:
                    many(_DECIDED, self._decided)
                self._strike("commit.written")
                execute("COMMIT")
            except BaseException:
                self._give_up()
                raise
            if self._must_sync:
                execute("PRAGMA synchronous = NORMAL")
                self._must_sync = False
                self._announced.update(announced)
        except sqlite3.Error as error:
            raise failure(self._path, error) from error
        self._ended, self._more, self._decided = [], [], []
        self._strike("commit.done")

    def groups(self, groups: Mapping[str, int]) -> None:
        """See `Journal`."""
        fresh = {node: group for node, group in groups.items() if self._grouped.get(node) != group}
        rows: list[tuple[object, ...]] = [
            (group, start_of(group), self._run, self._open.get(node) or self._undo.get(node))
            for node, group in fresh.items()
        ]
        self._transact("groups", ("UPDATE attempt SET child=?, child_started=? WHERE run=? AND sequence=?", rows))
        self._grouped |= fresh

    def rolling_back(self, order: Sequence[str]) -> None:
        """See `Journal`."""
        self.commit()
        row = (RunStatus.ROLLING_BACK.value, _json(list(order)), self._run)
        self._transact("rolling_back", ("UPDATE run SET status=?, undoing=? WHERE run=?", [row]))

    def undo_begun(self, node: Node, at_ms: int) -> None:
        """See `Journal`."""
        self._sequence += 1
        self._undo[node.id] = self._sequence
        row = (self._run, self._sequence, node.id, Verb.UNDO.value, 1, self._execution, at_ms)
        self._transact("undo_begun", (_BEGUN, [row]))

    def undo_ended(self, node: Node, ended: Undone) -> None:
        """See `Journal`."""
        self._grouped.pop(node.id, None)
        sequence = self._undo.pop(node.id)
        tail = ended.tail if ended.outcome is not Outcome.UNDONE else None
        outputs, _, lost, sealed = self._storable(node, ended, sequence)
        row = (
            None,
            ended.ended_ms,
            ended.outcome.value,
            True,
            ended.error or None,
            None,
            None,
            None,
            None,
            None,
            outputs,
            lost,
            sealed,
        )
        # Of an undo, what is recorded is what it left: a list of names, and no records.
        left = _json(list(ended.left)) if ended.left else None
        more = (None, None, left, tail, os.path.basename(ended.log) or None, ended.tries, self._run, sequence)
        self._transact("undo_ended", (_ENDED_WITH_MORE, [(*row, *more)]))

    def is_cancelled(self) -> bool:
        """See `Journal`."""
        with suppress(sqlite3.Error):
            self._check_held()
        return self._is_cancelled

    def probed(self, node: Node, probed: Probed) -> None:
        """See `RunJournal`."""
        self._sequence += 1
        outputs, _, lost, sealed = self._storable(node, probed, self._sequence)
        verb = Verb.VERIFY if probed.outcome in (Outcome.SUCCEEDED, Outcome.FAILED) else Verb.UNDO
        head = (self._run, self._sequence, node.id, verb.value, probed.number, self._execution, probed.at_ms)
        found = (probed.at_ms, probed.outcome.value, probed.why, probed.exit_code, outputs, lost, sealed)
        row = (*head, *found, probed.error or None, probed.code or None)
        self._transact("probed", (_PROBED, [row]))

    # What becomes of the run.

    def finished(self, status: RunStatus, ended_ms: int, files: str | None = None) -> None:
        """See `RunJournal`."""
        self.commit()
        row = (status.value, ended_ms, files, self._run)
        self._transact(
            "finished", ("UPDATE run SET status=?, ended_ms=?, files=?, lease_until_ms=0 WHERE run=?", [row])
        )

    def sealed(self, receipt: str) -> None:
        """See `RunJournal`."""
        self._transact("sealed", ("UPDATE run SET receipt=? WHERE run=?", [(receipt, self._run)]))

    def close(self) -> None:
        """See `RunJournal`."""
        self._renewal.stop()
        self._connection.close()

    # Fenced writing.

    def _look_ahead(self, now_ms: int) -> list[str]:
        """The nodes to announce with this wait: as many as are likely to begin before the next one is due."""
        since = now_ms - self._synced_ms
        if since < SYNC_MS:
            self._ahead = min(4 * self._ahead or 1, _MOST_AHEAD)
        elif since > 4 * SYNC_MS:
            self._ahead = 0
        self._synced_ms = now_ms
        found = list(islice(self._coming, self._ahead))
        for node in found:
            del self._coming[node]
        return found

    def _transact(self, name: str, *writes: tuple[str, list[tuple[object, ...]]]) -> None:
        self._strike(f"{name}.begin")
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                self._check_held()
                for statement, rows in writes:
                    self._connection.executemany(statement, rows)
                self._strike(f"{name}.written")
                self._connection.execute("COMMIT")
            except BaseException:
                self._give_up()
                raise
        except sqlite3.Error as error:
            raise failure(self._path, error) from error
        self._strike(f"{name}.done")

    def _storable(self, node: Node, ended: Ended | Undone | Probed, sequence: int) -> _Stored:
        """Outputs and undo state as JSON without what is secret, the names of the outputs left out ("" for the state), and
        what was left out as the vault seals it.
        """
        outputs, undo = ended.outputs, ended.undo if isinstance(ended, Ended) else None
        if not outputs and undo is None:
            return None, None, None, None
        kept: dict[str, Json] = dict(outputs)
        secret: dict[str, Json] = {}
        for name, value in outputs.items():
            rule = node.outputs.get(name)
            if (rule is not None and rule.type == "secret") or self._secrecy.holds(_json(value)):
                secret[name] = kept.pop(name)
        lost = list(secret)
        state = None if undo is None else _json(undo)
        if state is not None and self._secrecy.holds(state):
            state = None
            lost.append("")
        sealed = None
        if lost and self._secrecy.vault is not None:
            content = _json({"outputs": secret, "undo": undo if "" in lost else None})
            sealed = self._secrecy.vault.seal(about_attempt(self._run_id, sequence, node.id), content)
        return (_json(kept) if kept else None), state, (_json(lost) if lost else None), sealed

    def _check_held(self) -> None:
        row = self._connection.execute(_HELD, (self._run,)).fetchone()
        if row is None or row[0] != self._token:
            raise LeaseLost(
                "another process took this run over; what this one still had to report is dropped",
                next="see it with `shipway runs`",
            )
        self._is_cancelled = bool(row[1])

    def _give_up(self) -> None:
        # Where SQLite has rolled back by itself, as on a full disk, there is nothing left to roll back.
        with suppress(sqlite3.Error):
            self._connection.execute("ROLLBACK")


_Stored = tuple[str | None, str | None, str | None, bytes | None]


class _Renewal:
    """Renews the lease every third of its length, as long as the run is held; a short run never gets there."""

    def __init__(self, path: Path, key: tuple[int, str], unix_ms: Callable[[], int], lease_ms: int) -> None:
        self._path = path
        self._key = key
        self._unix_ms = unix_ms
        self._lease_ms = lease_ms
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Renew no more."""
        self._over.set()
        self._thread.join()

    def _renew(self) -> None:
        while not self._over.wait(self._lease_ms / 3000):
            # A full disk or a slow one: what it means is found out, and told, by the next commit.
            with suppress(ShipwayError, sqlite3.Error):
                connection = opened(self._path)
                try:
                    until = self._unix_ms() + self._lease_ms
                    connection.execute("UPDATE run SET lease_until_ms=? WHERE run=? AND token=?", (until, *self._key))
                finally:
                    connection.close()


def _json(value: Json) -> str:
    """In a tenth of the time that `json` takes, which counts where thousands of nodes end."""
    return _encoded(value).decode()


_encoded = msgspec.json.Encoder().encode
