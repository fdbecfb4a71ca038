"""Records as rows of the PostgreSQL table `shipway_records`, documents as those of `shipway_documents`.

Needs psycopg: `pip install 'shipway[postgres]'`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from threading import RLock
from types import ModuleType
from typing import TYPE_CHECKING, TypeVar

from shipway.errors import Reason, UsageError
from shipway.store import Kept, Last, Presence, StoreError

if TYPE_CHECKING:
    import psycopg

_T = TypeVar("_T")

CONNECT_TIMEOUT_S = 10
_STATEMENT_TIMEOUT_MS = 20_000
_TRIES = 3
_FIRST_PAUSE_S = 0.2

_MAKE = """
CREATE TABLE IF NOT EXISTS shipway_records (
    key text PRIMARY KEY,
    version bigint NOT NULL,
    content bytea NOT NULL,
    changed timestamptz NOT NULL DEFAULT now()
)
"""
_MAKE_DOCUMENTS = """
CREATE TABLE IF NOT EXISTS shipway_documents (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key text NOT NULL,
    name text NOT NULL,
    content bytea NOT NULL,
    added timestamptz NOT NULL DEFAULT now(),
    UNIQUE (key, name)
)
"""
_MAKING = 0x53484950  # "SHIP": two who make the table at once would trip over each other


class Postgres:
    """A store in the database that `url` names. One connection, made again where it broke; threads take turns."""

    def __init__(self, url: str, *, sleep: Callable[[float], None], redact: Callable[[str], str]) -> None:
        self._url = url
        self._sleep = sleep
        self._redact = redact
        self._connection: psycopg.Connection[tuple[object, ...]] | None = None
        self._turn = RLock()

    @property
    def name(self) -> str:
        """What to call it."""
        return "PostgreSQL"

    @property
    def presence(self) -> Presence | None:
        """Nobody can be seen through a database."""
        return None

    def read(self, key: str) -> Kept | None:
        """The record, or None where there is none."""
        return self._asked(lambda connection: _read(connection, key))

    def swap(self, key: str, before: str | None, content: bytes) -> str | None:
        """Replace the record if its version is still `before`, in one statement.

        Where the answer got lost, the row is read: what it holds tells whether the statement was carried out.
        """
        unsure = [False]

        def change(connection: psycopg.Connection[tuple[object, ...]]) -> str | None:
            if unsure[0]:
                kept = _read(connection, key)
                if kept is not None and kept.content == content:
                    return kept.version
            unsure[0] = True
            return _swap(connection, key, before, content)

        return self._asked(change)

    def entries(self, prefix: str) -> Mapping[str, Kept]:
        """Every record whose key begins with `prefix`, by key in order."""
        query = "SELECT key, content, version FROM shipway_records WHERE starts_with(key, %s) ORDER BY key"
        return self._asked(
            lambda connection: {
                str(key): Kept(_bytes(content), str(version))
                for key, content, version in connection.execute(query, (prefix,)).fetchall()
            }
        )

    def last(self, key: str) -> Last | None:
        """The document with the greatest number."""
        return self._asked(lambda connection: _last(connection, key))

    def append(self, key: str, name: str, content: bytes, after: str | None) -> bool:
        """Put a document behind the one before. Where the answer got lost, the last one tells whether it arrived."""

        def add(connection: psycopg.Connection[tuple[object, ...]]) -> bool:
            with connection.transaction():
                # Two who see the same last one at once would both put theirs behind it.
                connection.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", (_MAKING, key))
                last = _last(connection, key)
                if last is not None and (last.name, last.content) == (name, content):
                    return True
                if (last.version if last else None) != after:
                    return False
                query = "INSERT INTO shipway_documents (key, name, content) VALUES (%s, %s, %s)"
                connection.execute(query, (key, name, content))
                return True

        return self._asked(add)

    def appended(self, key: str) -> Iterable[tuple[str, bytes]]:
        """The documents under `key`, the latest first."""
        query = "SELECT name, content FROM shipway_documents WHERE key = %s ORDER BY number DESC"
        return self._asked(
            lambda connection: [
                (str(name), _bytes(content)) for name, content in connection.execute(query, (key,)).fetchall()
            ]
        )

    def close(self) -> None:
        """End the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _asked(self, ask: Callable[[psycopg.Connection[tuple[object, ...]]], _T]) -> _T:
        with self._turn:  # locks are renewed and journals saved on threads of their own
            return self._tried(ask)

    def _tried(self, ask: Callable[[psycopg.Connection[tuple[object, ...]]], _T]) -> _T:
        """What `ask` answers, tried again with a new connection where the old one broke."""
        psycopg = _psycopg()
        pause_s = _FIRST_PAUSE_S
        for tries_left in range(_TRIES - 1, -1, -1):
            try:
                return ask(self._connected())
            except psycopg.errors.InsufficientPrivilege as error:
                raise self._failed(
                    error, Reason.LOCK_PERMISSION, "grant the user the tables `shipway_records` and `shipway_documents`"
                ) from error
            except psycopg.Error as error:
                self.close()
                if not tries_left or not isinstance(error, psycopg.OperationalError):
                    text = "see that the database answers, then run again"
                    raise self._failed(error, Reason.STORE_UNREACHABLE, text) from error
            self._sleep(pause_s)
            pause_s *= 2
        raise AssertionError("the last try returns or raises")

    def _connected(self) -> psycopg.Connection[tuple[object, ...]]:
        if self._connection is None:
            psycopg = _psycopg()
            self._connection = psycopg.connect(
                self._url,
                autocommit=True,
                connect_timeout=CONNECT_TIMEOUT_S,
                options=f"-c statement_timeout={_STATEMENT_TIMEOUT_MS}",
                application_name="shipway",
                client_encoding="utf8",
            )
            if self._connection.execute("SELECT to_regclass('shipway_documents')").fetchone() == (None,):
                with self._connection.transaction():
                    self._connection.execute("SELECT pg_advisory_xact_lock(%s)", (_MAKING,))
                    self._connection.execute(_MAKE)
                    self._connection.execute(_MAKE_DOCUMENTS)
        return self._connection

    def _failed(self, error: Exception, reason: Reason, next: str) -> StoreError:
        shown = self._redact(" ".join(str(error).split()))[:400]
        return StoreError(f"{self.name} cannot be used: {shown}", reason=reason, next=next)


def _psycopg() -> ModuleType:
    try:
        import psycopg  # late: an optional package
    except ImportError as error:
        raise UsageError(
            "`state` names PostgreSQL, and the package `psycopg` is not installed",
            next="install it with `pip install 'shipway[postgres]'`",
        ) from error
    return psycopg


def _read(connection: psycopg.Connection[tuple[object, ...]], key: str) -> Kept | None:
    query = "SELECT content, version FROM shipway_records WHERE key = %s"
    row = connection.execute(query, (key,)).fetchone()
    return None if row is None else Kept(_bytes(row[0]), str(row[1]))


def _last(connection: psycopg.Connection[tuple[object, ...]], key: str) -> Last | None:
    query = "SELECT name, content, number FROM shipway_documents WHERE key = %s ORDER BY number DESC LIMIT 1"
    row = connection.execute(query, (key,)).fetchone()
    return None if row is None else Last(str(row[0]), _bytes(row[1]), str(row[2]))


def _swap(
    connection: psycopg.Connection[tuple[object, ...]], key: str, before: str | None, content: bytes
) -> str | None:
    if before is None:
        query = "INSERT INTO shipway_records (key, version, content) VALUES (%s, 1, %s) ON CONFLICT DO NOTHING RETURNING version"
        row = connection.execute(query, (key, content)).fetchone()
    else:
        query = (
            "UPDATE shipway_records SET version = version + 1, content = %s, changed = now()"
            " WHERE key = %s AND version = %s RETURNING version"
        )
        row = connection.execute(query, (content, key, int(before))).fetchone()
    return None if row is None else str(row[0])


def _bytes(value: object) -> bytes:
    return bytes(value) if isinstance(value, (bytes, memoryview)) else b""
