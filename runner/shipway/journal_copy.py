"""One run of a journal as bytes, for a store, and back into a journal elsewhere. Knows tables and columns, not what they mean.

Nothing that the journal leaves out gets in here: outputs that are or hold a secret were never written down.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

from shipway.errors import Reason, UnreachableError
from shipway.journal_schema import MIGRATIONS, Damaged, failure, opened

BYTES_MAX = 1 << 30
"""What a copy may grow to when it is read: a run of a million nodes has half of it."""

_APART = frozenset({"run", "plan", "content"})


def copy_run(path: Path, run: str) -> bytes:
    """The journal at `path` with this one run in it, compressed. Raises UnreachableError where it cannot be read."""
    try:
        with closing(opened(path)) as source, closing(_empty()) as copy:
            source.execute("BEGIN")
            row = _one(source, "run", "id", run)
            plan = _one(source, "plan", "plan", row["plan"])
            _insert(copy, "plan", plan)
            for _, digest in json.loads(str(plan["shared"])):
                _insert(copy, "content", _one(source, "content", "digest", digest), ignore=True)
            _insert(copy, "run", row)
            for table in _tables_of_a_run(source):
                for member in _rows(source, table, "run", row["run"]):
                    _insert(copy, table, member)
            return zlib.compress(copy.serialize(), 6)
    except sqlite3.Error as error:
        raise failure(path, error) from error


def merge_run(path: Path, content: bytes) -> str:
    """Put the run of a copy into the journal at `path`, unless that knows as much of it already; the run's id.

    Whoever held the run holds it no more. Raises UnreachableError, Damaged for what is no copy, and UnreachableError
    (`journal-newer`) for that of a later Shipway.
    """
    try:
        with closing(_opened_copy(content)) as copy, closing(opened(path)) as here:
            row = _only_run(copy)
            plan = _one(copy, "plan", "plan", row["plan"])
            run = str(row["id"])
            here.execute("BEGIN IMMEDIATE")
            known = _rows(here, "run", "id", run)
            if known and _extent(here, known[0]) >= _extent(copy, row):
                here.execute("ROLLBACK")
                return run
            here.execute("DELETE FROM run WHERE id=?", (run,))
            _put(copy, here, row, _plan_key(copy, here, plan))
            here.execute("COMMIT")
            return run
    except sqlite3.Error as error:
        raise failure(path, error) from error


def _put(copy: sqlite3.Connection, here: sqlite3.Connection, row: Mapping[str, object], plan: object) -> None:
    fresh = {name: value for name, value in row.items() if name != "run"}
    key = _insert(here, "run", {**fresh, "plan": plan, "lease_until_ms": 0})
    for table in _tables_of_a_run(copy):
        for member in _rows(copy, table, "run", row["run"]):
            _insert(here, table, {**member, "run": key})


def _plan_key(copy: sqlite3.Connection, here: sqlite3.Connection, plan: Mapping[str, object]) -> object:
    """The row of the plan in the journal here, made where there is none."""
    known = _rows(here, "plan", "digest", plan["digest"])
    if known:
        return known[0]["plan"]
    for member in copy.execute("SELECT digest, content FROM content"):
        _insert(here, "content", dict(zip(("digest", "content"), member, strict=True)), ignore=True)
    return _insert(here, "plan", {name: value for name, value in plan.items() if name != "plan"})


def _extent(connection: sqlite3.Connection, row: Mapping[str, object]) -> tuple[int, ...]:
    """How much is known of a run: executions, then attempts begun, then ended, then whether it ended and was sealed."""
    query = "SELECT coalesce(max(sequence), 0), count(ended_ms) FROM attempt WHERE run=?"
    last, ended = connection.execute(query, (row["run"],)).fetchone()
    return (_whole(row["executions"]), last, ended, int(row["ended_ms"] is not None), int(row["receipt"] is not None))


def _empty() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    _migrate(connection, 0)
    return connection


def _opened_copy(content: bytes) -> sqlite3.Connection:
    inflate = zlib.decompressobj()
    try:
        data = inflate.decompress(content, BYTES_MAX)
    except zlib.error as error:
        raise _no_copy(str(error)) from error
    if inflate.unconsumed_tail or not data or not inflate.eof:
        raise _no_copy("it is empty, cut off, or too large")
    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        connection.deserialize(data)
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if connection.execute("PRAGMA quick_check").fetchall() != [("ok",)] or not version:
            raise _no_copy("its pages do not fit together")
        if version > len(MIGRATIONS):
            raise UnreachableError(
                f"the copy of the journal has schema {version}, and this Shipway knows schema {len(MIGRATIONS)}",
                reason=Reason.JOURNAL_NEWER,
                next="use the version of Shipway that wrote it, or a later one",
            )
        _migrate(connection, version)
        with closing(_empty()) as whole:
            missing = set(_tables(whole)) - set(_tables(connection))
        if missing:
            raise _no_copy(f"it has no table `{min(missing)}`")
    except sqlite3.Error as error:
        connection.close()
        raise _no_copy(str(error)) from error
    except BaseException:
        connection.close()
        raise
    return connection


def _migrate(connection: sqlite3.Connection, version: int) -> None:
    for migration in MIGRATIONS[version:]:
        connection.executescript(migration)
    connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")


def _no_copy(why: str) -> Damaged:
    return Damaged(f"the copy of the journal is damaged: {why}", next="begin a new run, and look at the target before")


def _only_run(copy: sqlite3.Connection) -> Mapping[str, object]:
    found = _rows(copy, "run")
    if len(found) != 1:
        raise _no_copy(f"it holds {len(found)} runs")
    return found[0]


def _tables_of_a_run(connection: sqlite3.Connection) -> list[str]:
    """The tables whose rows belong to a run, by their column `run`."""
    return [name for name in _tables(connection) if name not in _APART and "run" in _columns(connection, name)]


def _tables(connection: sqlite3.Connection) -> list[str]:
    listed = connection.execute("SELECT name FROM sqlite_master WHERE type='table' ORDER BY name")
    return [str(name) for (name,) in listed]


def _columns(connection: sqlite3.Connection, table: str) -> list[str]:
    return [str(column[1]) for column in connection.execute(f"PRAGMA table_info({table})")]


def _rows(
    connection: sqlite3.Connection, table: str, column: str = "", value: object = None
) -> list[dict[str, object]]:
    where = f" WHERE {column}=?" if column else ""
    found = connection.execute(f"SELECT * FROM {table}{where}", (value,) if column else ())
    names = [str(column[0]) for column in found.description]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def _one(connection: sqlite3.Connection, table: str, column: str, value: object) -> dict[str, object]:
    found = _rows(connection, table, column, value)
    if len(found) != 1:
        raise _no_copy(f"`{table}` has no row for {value}")
    return found[0]


def _insert(connection: sqlite3.Connection, table: str, row: Mapping[str, object], *, ignore: bool = False) -> int:
    names: Sequence[str] = list(row)
    marks = ", ".join("?" * len(names))
    verb = "INSERT OR IGNORE" if ignore else "INSERT"
    cursor = connection.execute(f"{verb} INTO {table} ({', '.join(names)}) VALUES ({marks})", list(row.values()))
    return cursor.lastrowid or 0


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0
