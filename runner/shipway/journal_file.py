"""The journal of a workspace: one SQLite file for all its runs. Opens it for writing one run, lists runs, reads one back.

Loaded only where a run is executed or read: planning needs no journal.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import MappingProxyType

from shipway import journal_plans
from shipway.errors import Reason, UnreachableError, UsageError, did_you_mean
from shipway.forecast import medians
from shipway.journal_durations import measured
from shipway.journal_rows import ATTEMPTS, integer, opening_from_json, opening_json, recorded
from shipway.journal_schema import failure, transaction
from shipway.journal_schema import opened as _opened
from shipway.journal_tokens import JournalTokens
from shipway.journal_writer import LEASE_MS, RunWriter
from shipway.nodes import Outcome
from shipway.plan import Plan
from shipway.process_identity import is_here, is_running, machine_name, start_of, was_restarted
from shipway.run_record import CRASHED, UNFINISHED, Decided, Opening, Owner, Recorded, RunRecord, RunStatus, RunSummary
from shipway.secrecy import NOTHING_SECRET, Secrecy
from shipway.workspace import Workspace

_SUMMARY = (
    "SELECT run, id, lifecycle, target, status, effect, began_ms, ended_ms, executions, machine, pid, process_started,"
    " token, lease_until_ms, receipt FROM run"
)
_UNFINISHED = ", ".join(f"'{status.value}'" for status in sorted(UNFINISHED))


def _pass(name: str) -> None:
    """A fault point of the journal that nobody listens to."""


class JournalFile:
    """The journal of a workspace; see `journal.Journals`. Nothing is opened, and no file made, before it is needed.

    `token()` gives a fresh random text, `unix_ms()` the wall clock. `strike` is told the name of each point at which a
    killed process leaves another state on disk; tests use it to die there.
    """

    def __init__(
        self,
        workspace: Workspace,
        *,
        token: Callable[[], str],
        unix_ms: Callable[[], int],
        lease_ms: int = LEASE_MS,
        strike: Callable[[str], None] = _pass,
    ) -> None:
        self._workspace = workspace
        self._path = workspace.journal
        self._token = token
        self._unix_ms = unix_ms
        self._lease_ms = lease_ms
        self._strike = strike
        self._machine = ""

    # Writing.

    def begin(
        self,
        opening: Opening,
        plan: Plan,
        secrecy: Secrecy = NOTHING_SECRET,
        blind: Mapping[str, bool] = MappingProxyType({}),
    ) -> RunWriter:
        """See `Journals`."""
        self._workspace.make_directory()
        connection = _opened(self._path)
        try:
            with self._writing(connection, "begin"):
                self._refuse_second(connection, opening.lifecycle, opening.target)
                key = journal_plans.store(connection, plan)
                token = self._token()
                row = (opening.run, opening.lifecycle, opening.target, key, plan.effect, opening_json(opening))
                cursor = connection.execute(
                    "INSERT INTO run (id, lifecycle, target, plan, effect, opening, status, began_ms, machine, pid,"
                    " process_started, token, lease_until_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        *row,
                        RunStatus.RUNNING.value,
                        opening.began_ms,
                        *self._me(),
                        token,
                        self._unix_ms() + self._lease_ms,
                    ),
                )
            assert cursor.lastrowid is not None
            return self._writer(connection, cursor.lastrowid, 1, 0, token, opening.run, secrecy, blind)
        except BaseException:
            connection.close()
            raise

    def usual_ms(self, lifecycle: str, target: str) -> Mapping[str, int]:
        """See `Journals`."""
        # Three are enough to know what goes first, and reading them takes time before anything starts.
        return medians(measured(self._workspace, lifecycle, target, 3))

    def tokens(self, lifecycle: str) -> JournalTokens:
        """See `Journals`."""
        return JournalTokens(self._path, lifecycle, self._unix_ms)

    def resume(
        self,
        record: RunRecord,
        opened: Collection[str] | None,
        traces: Collection[str] = (),
        secrecy: Secrecy = NOTHING_SECRET,
        blind: Mapping[str, bool] = MappingProxyType({}),
        *,
        is_taken_back: bool = False,
    ) -> RunWriter:
        """See `Journals`."""
        connection = _opened(self._path)
        try:
            with self._writing(connection, "resume"):
                key, sequence = self._unchanged(connection, record)
                token, execution = self._token(), record.summary.executions + 1
                connection.execute(
                    "UPDATE run SET is_cancelled=0, executions=?, ended_ms=NULL, receipt=NULL, files=NULL, machine=?, pid=?,"
                    " process_started=?, token=?, lease_until_ms=? WHERE run=?",
                    (execution, *self._me(), token, self._unix_ms() + self._lease_ms, key),
                )
                if is_taken_back:
                    connection.execute("UPDATE run SET is_taken_back=1 WHERE run=?", (key,))
                if opened is not None and record.summary.status is not RunStatus.ROLLING_BACK:
                    connection.execute(
                        "UPDATE run SET status=?, undoing='[]', is_taken_back=0 WHERE run=?",
                        (RunStatus.RUNNING.value, key),
                    )
                    connection.execute("DELETE FROM decided WHERE run=?", (key,))
                connection.execute(
                    "UPDATE attempt SET outcome='unknown', code=? WHERE run=? AND outcome IS NULL", (CRASHED, key)
                )
                connection.executemany(
                    "INSERT OR REPLACE INTO opened VALUES (?, ?, ?)", [(key, node, sequence) for node in opened or ()]
                )
                if opened is not None:
                    sequence = self._begun_after_all(connection, key, sequence, record, traces)
            return self._writer(connection, key, execution, sequence, token, record.summary.run, secrecy, blind)
        except BaseException:
            connection.close()
            raise

    def _begun_after_all(
        self, connection: sqlite3.Connection, key: int, sequence: int, record: RunRecord, traces: Collection[str]
    ) -> int:
        """Write down attempts that the journal had lost; the last sequence there is then."""
        began_ms = max((entry.started_ms for entry in record.history), default=0)
        connection.executemany(
            "INSERT INTO attempt (run, sequence, node, verb, number, execution, started_ms, outcome, code)"
            " VALUES (?, ?, ?, 'do', 1, ?, ?, 'unknown', ?)",
            [
                (key, sequence + place, node, record.summary.executions, began_ms, CRASHED)
                for place, node in enumerate(traces, 1)
            ],
        )
        connection.execute("DELETE FROM announced WHERE run=?", (key,))
        return sequence + len(traces)

    def _unchanged(self, connection: sqlite3.Connection, record: RunRecord) -> tuple[int, int]:
        """The run's row and last sequence. Raises UnreachableError where somebody has gone on with it, or another runs."""
        run = record.summary.run
        row = connection.execute(f"{_SUMMARY} WHERE id=?", (run,)).fetchone()
        (sequence,) = connection.execute(
            "SELECT coalesce(max(sequence), 0) FROM attempt WHERE run=?", (row[0],)
        ).fetchone()
        now = self._summary(row)
        if now.is_alive or now.executions != record.summary.executions:
            raise held(now)
        self._refuse_second(connection, now.lifecycle, now.target)
        return integer(row[0]), integer(sequence)

    def making(self, path: str) -> int:
        """See `Journals`."""
        self._workspace.make_directory()
        with self._connected() as connection, self._writing(connection, "making"):
            cursor = connection.execute(
                "INSERT INTO ephemeral (path, machine, pid, process_started) VALUES (?, ?, ?, ?)", (path, *self._me())
            )
            assert cursor.lastrowid is not None
            return cursor.lastrowid

    def removed(self, number: int) -> None:
        """See `Journals`."""
        with self._connected() as connection, self._writing(connection, "removed"):
            connection.execute("DELETE FROM ephemeral WHERE number=?", (number,))

    def ephemeral(self) -> list[tuple[int, str]]:
        """What processes made for themselves that are gone by now, as `removed` takes it, with its path; the last made first."""
        if not self.exists:
            return []
        with self._connected() as connection:
            rows = connection.execute(
                "SELECT number, path, machine, pid, process_started FROM ephemeral ORDER BY number DESC"
            )
            return [
                (number, path)
                for number, path, machine, pid, started in rows
                if not self._is_alive(Owner(machine, pid, started, ""), 0)
            ]

    def forget(self, runs: Collection[str]) -> None:
        """Drop runs that have ended, with all that only they refer to, and give the room back."""
        if not self.exists:
            return
        with self._connected() as connection:
            with self._writing(connection, "forget"):
                connection.executemany("DELETE FROM run WHERE id=?", [(run,) for run in runs])
                connection.execute("DELETE FROM plan WHERE plan NOT IN (SELECT plan FROM run)")
                journal_plans.forget_unshared(connection)
            connection.execute("PRAGMA busy_timeout = 0")
            with suppress(sqlite3.OperationalError):  # somebody writes: the room stays reserved, and is used again
                connection.execute("VACUUM")

    def ask_cancel(self, run: str) -> None:
        """Have the owner of `run` stop it as soon as it looks."""
        with self._connected() as connection, self._writing(connection, "cancel"):
            connection.execute("UPDATE run SET is_cancelled=1 WHERE id=?", (run,))

    def _writer(
        self,
        connection: sqlite3.Connection,
        run: int,
        execution: int,
        sequence: int,
        token: str,
        run_id: str,
        secrecy: Secrecy,
        blind: Mapping[str, bool],
    ) -> RunWriter:
        return RunWriter(
            connection,
            self._path,
            run=run,
            execution=execution,
            sequence=sequence,
            token=token,
            unix_ms=self._unix_ms,
            lease_ms=self._lease_ms,
            run_id=run_id,
            secrecy=secrecy,
            blind=blind,
            strike=self._strike,
        )

    def _refuse_second(self, connection: sqlite3.Connection, lifecycle: str, target: str) -> None:
        for summary in self._unfinished(connection, lifecycle, target):
            if summary.is_alive:
                raise held(summary)

    def _unfinished(self, connection: sqlite3.Connection, lifecycle: str, target: str) -> list[RunSummary]:
        rows = connection.execute(
            f"{_SUMMARY} WHERE lifecycle=? AND target=? AND status IN ({_UNFINISHED}) ORDER BY run DESC",
            (lifecycle, target),
        )
        return [self._summary(row) for row in rows]

    def _me(self) -> tuple[str, int, int | None]:
        self._machine = self._machine or machine_name()
        pid = os.getpid()
        return self._machine, pid, start_of(pid)

    # Reading.

    @property
    def exists(self) -> bool:
        """Whether any run was ever journalled here."""
        return self._path.exists()

    def runs(self) -> list[RunSummary]:
        """Every run, the one begun last first."""
        if not self.exists:
            return []
        with self._connected() as connection:
            return [self._summary(row) for row in connection.execute(f"{_SUMMARY} ORDER BY run DESC")]

    def crashed(self, lifecycle: str, target: str) -> list[RunSummary]:
        """See `Journals`."""
        if not self.exists:
            return []
        with self._connected() as connection:
            found = self._unfinished(connection, lifecycle, target)
        return [summary for summary in found if summary.has_crashed]

    def find(self, run: str) -> RunSummary:
        """One run. Raises UsageError (`run-unknown`) with the nearest id where there is none of that name."""
        runs = {summary.run: summary for summary in self.runs()}
        if run in runs:
            return runs[run]
        last = f"the last run is `{next(iter(runs))}`" if runs else "no run was begun here yet"
        raise UsageError(
            f"there is no run `{run}` here", reason=Reason.RUN_UNKNOWN, next=did_you_mean(run, runs) or last
        )

    def read(self, run: str) -> RunRecord:
        """All that is known of a run. Raises UsageError (`run-unknown`)."""
        with self._connected() as connection:
            connection.execute("BEGIN")  # one moment of it, whatever is written meanwhile
            row = connection.execute(f"{_SUMMARY} WHERE id=?", (run,)).fetchone()
            if row is None:
                raise UsageError(f"there is no run `{run}` here", reason=Reason.RUN_UNKNOWN, next="see `shipway runs`")
            return self._record(connection, row)

    def attempts(self, run: str, after: int, also: Collection[int] = ()) -> list[Recorded]:
        """The attempts of a run whose sequence is greater than `after` or among `also`, in that order."""
        with self._connected() as connection:
            found = connection.execute("SELECT run FROM run WHERE id=?", (run,)).fetchone()
            wanted = f"sequence>? OR sequence IN ({','.join(map(str, map(int, also)))})"
            rows = connection.execute(f"SELECT * FROM ({ATTEMPTS}) WHERE {wanted}", (*(found or (-1,)), after))
            return [recorded(attempt) for attempt in rows]

    def heard_of(self, run: str) -> list[tuple[int, int]]:
        """The first and the last that is known of each execution of a run, in milliseconds since it began."""
        spans = "SELECT min(started_ms), max(coalesce(ended_ms, started_ms)) FROM attempt"
        of_run = "WHERE run=(SELECT run FROM run WHERE id=?) GROUP BY execution ORDER BY execution"
        with self._connected() as connection:
            return list(connection.execute(f"{spans} {of_run}", (run,)))

    def opening(self, run: str) -> Opening:
        """What was known of a run before it began, without all that came of it."""
        with self._connected() as connection:
            (opening,) = connection.execute("SELECT opening FROM run WHERE id=?", (run,)).fetchone()
            return opening_from_json(json.loads(opening))

    def plan(self, run: str, known: Plan | None = None) -> Plan:
        """What a run executes: `known` itself where it is that plan, digest for digest, which saves reading a large one."""
        with self._connected() as connection:
            row = connection.execute("SELECT plan FROM run WHERE id=?", (run,)).fetchone()
            return journal_plans.load(connection, row[0], known)

    def _record(self, connection: sqlite3.Connection, row: Sequence[object]) -> RunRecord:
        key = row[0]
        (opening, undoing, files, is_taken_back) = connection.execute(
            "SELECT opening, undoing, files, is_taken_back FROM run WHERE run=?", (key,)
        ).fetchone()
        decided = connection.execute("SELECT node, outcome, cause, error FROM decided WHERE run=?", (key,))
        reopened = connection.execute("SELECT node, sequence FROM opened WHERE run=?", (key,))
        announced = connection.execute("SELECT node FROM announced WHERE run=?", (key,)).fetchall()
        summary = self._summary(row)
        return RunRecord(
            summary=summary,
            opening=opening_from_json(json.loads(opening)),
            history=[recorded(attempt) for attempt in connection.execute(ATTEMPTS, (key,))],
            decided={node: Decided(Outcome(how), cause, error) for node, how, cause, error in decided},
            opened=dict(reopened.fetchall()),
            undoing=tuple(json.loads(undoing)),
            files=files,
            is_taken_back=bool(is_taken_back),
            announced=tuple(node for (node,) in announced),
            is_after_restart=self._is_after_restart(summary),
        )

    def _summary(self, row: Sequence[object]) -> RunSummary:
        (
            _,
            run,
            lifecycle,
            target,
            status,
            effect,
            began,
            ended,
            executions,
            machine,
            pid,
            started,
            token,
            lease,
            seal,
        ) = row
        owner = Owner(str(machine), integer(pid), None if started is None else integer(started), str(token))
        return RunSummary(
            run=str(run),
            lifecycle=str(lifecycle),
            target=str(target),
            status=RunStatus(str(status)),
            is_alive=RunStatus(str(status)) in UNFINISHED and self._is_alive(owner, integer(lease)),
            effect=str(effect),
            began_ms=integer(began),
            ended_ms=None if ended is None else integer(ended),
            executions=integer(executions),
            owner=owner,
            receipt=None if seal is None else str(seal),
        )

    def _is_after_restart(self, summary: RunSummary) -> bool:
        """Whether the machine itself may have gone down with a run that was never finished."""
        machine = summary.owner.machine
        return summary.has_crashed and machine != self._machine and (was_restarted(machine) or not is_here(machine))

    def _is_alive(self, owner: Owner, lease_until_ms: int) -> bool:
        """Whether an owner still lives: seen where it is on this machine, else as long as its lease runs."""
        self._machine = self._machine or machine_name()
        if owner.machine == self._machine:
            return is_running(owner.pid, owner.started)
        return not was_restarted(owner.machine) and self._unix_ms() < lease_until_ms

    # The file.

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        connection = _opened(self._path)
        try:
            yield connection
        except sqlite3.Error as error:
            raise failure(self._path, error) from error
        finally:
            connection.close()

    @contextmanager
    def _writing(self, connection: sqlite3.Connection, name: str) -> Iterator[None]:
        self._strike(f"{name}.begin")
        with transaction(connection, self._path):
            yield
            self._strike(f"{name}.written")
        self._strike(f"{name}.done")


def held(summary: RunSummary) -> UnreachableError:
    """The refusal of whoever wants what a run in progress holds."""
    return UnreachableError(
        f"run `{summary.run}` of `{summary.lifecycle}` for `{summary.target}` is in progress (process {summary.owner.pid})",
        reason=Reason.LOCK_HELD,
        next=f"wait for it, or stop it with `shipway cancel {summary.run}`",
    )
