"""The journal's tables and how its file is opened, made, upgraded and refused. Knows nothing of what a row means."""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from shipway.errors import Reason, ShipwayError, UnreachableError

BUSY_MS = 60_000
"""How long a writer waits for others: each of them holds the file for less than a millisecond, a checkpoint for a few."""

_APPLICATION = 0x53687077  # "Shpw": what `file` and we ourselves know a journal by

# Times are integers: `*_ms` of a run and of a lease are Unix time, those of an attempt count from the begin of its run.
# A run's attempts lie one behind the other, so that a commit writes one page: begun rows are appended and completed once.
_FIRST = """
CREATE TABLE plan (
    plan INTEGER PRIMARY KEY,
    digest TEXT NOT NULL UNIQUE,
    content BLOB NOT NULL,
    shared TEXT NOT NULL
);
CREATE TABLE content (digest TEXT PRIMARY KEY, content BLOB NOT NULL);
CREATE TABLE run (
    run INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    lifecycle TEXT NOT NULL,
    target TEXT NOT NULL,
    plan INTEGER NOT NULL REFERENCES plan (plan),
    effect TEXT NOT NULL,
    opening TEXT NOT NULL,
    status TEXT NOT NULL,
    undoing TEXT NOT NULL DEFAULT '[]',
    files TEXT,
    is_cancelled INTEGER NOT NULL DEFAULT 0,
    executions INTEGER NOT NULL DEFAULT 1,
    machine TEXT NOT NULL,
    pid INTEGER NOT NULL,
    process_started INTEGER,
    token TEXT NOT NULL,
    lease_until_ms INTEGER NOT NULL,
    began_ms INTEGER NOT NULL,
    ended_ms INTEGER,
    receipt TEXT
);
CREATE INDEX run_of_target ON run (lifecycle, target, status);
CREATE TABLE attempt (
    run INTEGER NOT NULL REFERENCES run (run) ON DELETE CASCADE,
    sequence INTEGER NOT NULL,
    node TEXT NOT NULL,
    verb TEXT NOT NULL,
    number INTEGER NOT NULL,
    execution INTEGER NOT NULL,
    started_ms INTEGER NOT NULL,
    ended_ms INTEGER,
    outcome TEXT,
    began INTEGER,
    error TEXT,
    warning TEXT,
    cause TEXT,
    code TEXT,
    exit_code INTEGER,
    change TEXT,
    outputs TEXT,
    lost TEXT,
    undo TEXT,
    emitted TEXT,
    tail TEXT,
    log TEXT,
    child INTEGER,
    child_started INTEGER,
    PRIMARY KEY (run, sequence)
) WITHOUT ROWID;
CREATE TABLE decided (
    run INTEGER NOT NULL REFERENCES run (run) ON DELETE CASCADE,
    node TEXT NOT NULL,
    outcome TEXT NOT NULL,
    cause TEXT NOT NULL,
    error TEXT NOT NULL,
    PRIMARY KEY (run, node)
) WITHOUT ROWID;
CREATE TABLE opened (
    run INTEGER NOT NULL REFERENCES run (run) ON DELETE CASCADE,
    node TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    PRIMARY KEY (run, node)
) WITHOUT ROWID;
CREATE TABLE ephemeral (
    number INTEGER PRIMARY KEY,
    path TEXT NOT NULL,
    machine TEXT NOT NULL,
    pid INTEGER NOT NULL,
    process_started INTEGER
);
"""

# The buckets of limits with a rate (see `pace`), and until when a limit rests; a limit without a rate has only the latter.
_PACE = """
CREATE TABLE pace (
    lifecycle TEXT NOT NULL,
    name TEXT NOT NULL,
    count INTEGER NOT NULL DEFAULT 0,
    period_ms INTEGER NOT NULL DEFAULT 0,
    burst INTEGER NOT NULL DEFAULT 0,
    parts INTEGER NOT NULL DEFAULT 0,
    at_ms INTEGER NOT NULL DEFAULT 0,
    rests_until_ms INTEGER NOT NULL DEFAULT 0,
    rests_ms INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (lifecycle, name)
) WITHOUT ROWID;
"""

# Nodes that may begin before the file is next made sure of: see `journal_writer`.
_ANNOUNCED = """
CREATE TABLE announced (
    run INTEGER NOT NULL REFERENCES run (run) ON DELETE CASCADE,
    node TEXT NOT NULL,
    PRIMARY KEY (run, node)
) WITHOUT ROWID;
"""

# What `outputs` and `undo` leave out, encrypted: see `secrecy`.
_SEALED = "ALTER TABLE attempt ADD COLUMN sealed BLOB;"

# Whether a run is being undone because somebody asked for that later, whatever came of it before.
_TAKEN_BACK = "ALTER TABLE run ADD COLUMN is_taken_back INTEGER NOT NULL DEFAULT 0;"

# What a node says it made: see `records`.
_RECORDS = "ALTER TABLE attempt ADD COLUMN records TEXT;"

MIGRATIONS: tuple[str, ...] = (_FIRST, _PACE, _ANNOUNCED, _SEALED, _TAKEN_BACK, _RECORDS)
"""What makes each version of the schema out of the one before; the first one out of an empty file."""


class Damaged(UnreachableError):
    """The journal's file is not what Shipway wrote there."""

    default_reason = Reason.JOURNAL_DAMAGED


def opened(path: Path, migrations: Sequence[str] = MIGRATIONS) -> sqlite3.Connection:
    """A connection to the journal at `path`, which is made or upgraded where that is needed; mode 0600.

    Raises UnreachableError where it cannot be, Damaged where it is none, UnreachableError (`journal-newer`) for a schema
    that a later Shipway wrote. Before an upgrade a copy `<name>.v<version>` is kept beside it.
    """
    try:
        _refuse_foreign(path)
        connection = _connected(path)
        try:
            version = _version(connection, path)
            if version != len(migrations):
                with _alone(path):
                    _migrate(connection, path, migrations)
            return connection
        except BaseException:
            connection.close()
            raise
    except sqlite3.Error as error:
        raise failure(path, error) from error
    except OSError as error:
        raise failure(path, error) from error


@contextmanager
def transaction(connection: sqlite3.Connection, path: Path) -> Iterator[None]:
    """What is written inside is on disk when this ends, all of it or, where something is raised, none. See `failure`."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):  # SQLite may have rolled back by itself, as on a full disk
                connection.execute("ROLLBACK")
            raise
    except sqlite3.Error as error:
        raise failure(path, error) from error


def failure(path: Path, error: Exception) -> ShipwayError:
    """What to tell where the journal could not be read or written."""
    name = path.name
    if isinstance(error, OSError):
        text, code = error.strerror or str(error), error.errno
        if code == errno.ELOOP:
            text = "it is a link, which is not followed"
    else:
        text = os.strerror(errno.ENOSPC) if _code(error) == sqlite3.SQLITE_FULL else str(error)
    if isinstance(error, sqlite3.Error) and _is_damage(error):
        return Damaged(
            f"the journal `{path}` is damaged: {text}",
            next=f"restore it from a copy, or move `{name}` away: what its runs did is then not known any more",
        )
    return UnreachableError(
        f"cannot use the journal `{path}`: {text}",
        reason=Reason.UNWRITABLE,
        next="make room or give write permission there, then run again",
    )


def _code(error: Exception) -> int:
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _is_damage(error: sqlite3.Error) -> bool:
    return _code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _refuse_foreign(path: Path) -> None:
    """A journal that came with a checkout would say what was done: git keeps neither links' targets private nor mode 0600."""
    for place in (path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")):
        try:
            found = os.lstat(place)
        except FileNotFoundError:
            continue
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.ELOOP, "it is not a regular file", str(place))
        if place == path and stat.S_IMODE(found.st_mode) & 0o077:
            raise UnreachableError(
                f"the journal `{path}` can be read by others, so it is not one that Shipway made",
                reason=Reason.JOURNAL_DAMAGED,
                next=f"if it is yours, `chmod 600 {path.name}`; else move it away",
            )


def _connected(path: Path) -> sqlite3.Connection:
    # SQLite gives its other files the mode of the first, which it would make readable for all.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
    # A run is begun and sealed on one thread and executed on another one, never on both at a time.
    connection = sqlite3.connect(path, timeout=BUSY_MS / 1000, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = NORMAL")
    return connection


def _version(connection: sqlite3.Connection, path: Path) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    if version and application != _APPLICATION:
        raise Damaged(f"`{path}` is not a journal of Shipway", next="move it away")
    return int(version)


def _migrate(connection: sqlite3.Connection, path: Path, migrations: Sequence[str]) -> None:
    version = _version(connection, path)  # again: another process may have done it while this one waited
    newest = len(migrations)
    if version > newest:
        raise UnreachableError(
            f"the journal `{path}` has schema {version}, and this Shipway knows schema {newest}",
            reason=Reason.JOURNAL_NEWER,
            next="use the version of Shipway that wrote it, or a later one",
        )
    if version and version < newest:
        _keep_copy(connection, path.with_name(f"{path.name}.v{version}"))
    if not version:
        connection.execute("PRAGMA journal_mode = WAL")
    for number in range(version, newest):
        statements = (
            f"{migrations[number]}\nPRAGMA user_version = {number + 1};\nPRAGMA application_id = {_APPLICATION};"
        )
        connection.executescript(f"BEGIN IMMEDIATE;\n{statements}\nCOMMIT;")


def _keep_copy(connection: sqlite3.Connection, path: Path) -> None:
    with suppress(FileNotFoundError):
        os.unlink(path)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    copy = sqlite3.connect(path)
    try:
        connection.backup(copy)
    finally:
        copy.close()


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Whoever makes or upgrades the file does it alone: changing the way it is written is not something SQLite waits for."""
    descriptor = os.open(
        path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
    )
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
