"""The tokens of limits in the journal's file: shared by all runs of a lifecycle in a workspace, and there after a crash."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from shipway.journal_schema import opened, transaction
from shipway.limits import Rate
from shipway.pace import Bucket, Standing

_READ = "SELECT count, period_ms, burst, parts, at_ms, rests_until_ms, rests_ms FROM pace WHERE lifecycle=? AND name=?"
_FILL = (
    "INSERT INTO pace (lifecycle, name, count, period_ms, burst, parts, at_ms) VALUES (?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (lifecycle, name) DO UPDATE SET count=excluded.count, period_ms=excluded.period_ms,"
    " burst=excluded.burst, parts=excluded.parts, at_ms=excluded.at_ms"
)
_REST = (
    "INSERT INTO pace (lifecycle, name, rests_until_ms, rests_ms) VALUES (?, ?, ?, ?)"
    " ON CONFLICT (lifecycle, name) DO UPDATE SET rests_until_ms=excluded.rests_until_ms, rests_ms=excluded.rests_ms"
)


class JournalTokens:
    """See `pace.Tokens`. Opens the file with the first question; `unix_ms` is asked while no other run can write."""

    def __init__(self, path: Path, lifecycle: str, unix_ms: Callable[[], int]) -> None:
        self._path = path
        self._lifecycle = lifecycle
        self._unix_ms = unix_ms
        self._connection: sqlite3.Connection | None = None

    def look(self, limits: Mapping[str, Rate | None]) -> Mapping[str, Standing]:
        """See `Tokens`."""
        with self._transaction() as (connection, now):
            return {name: self._standing(connection, name, rate, now)[0] for name, rate in limits.items()}

    def claim(self, limits: Mapping[str, Rate]) -> tuple[bool, Mapping[str, Standing]]:
        """See `Tokens`."""
        with self._transaction() as (connection, now):
            found = {name: self._standing(connection, name, rate, now) for name, rate in limits.items()}
            buckets = {name: bucket for name, (_, bucket) in found.items() if bucket is not None}
            standings = {name: standing for name, (standing, _) in found.items()}
            granted = all(bucket.has_token for bucket in buckets.values())
            granted = granted and not any(standing.rests_ms for standing in standings.values())
            for name, bucket in buckets.items():
                # What is refused is kept too: a clock that has stepped back is followed from where it stands now.
                left, rate = bucket.taken() if granted else bucket, bucket.rate
                row = (self._lifecycle, name, rate.count, rate.period_ms, rate.burst, left.parts, left.at_ms)
                connection.execute(_FILL, row)
                standings[name] = Standing(left.parts, standings[name].rests_ms)
            return granted, standings

    def rest(self, limits: Sequence[str], for_ms: int) -> None:
        """See `Tokens`."""
        with self._transaction() as (connection, now):
            for name in limits:
                standing, _ = self._standing(connection, name, None, now)
                if for_ms > standing.rests_ms:
                    connection.execute(_REST, (self._lifecycle, name, now + for_ms, for_ms))

    def close(self) -> None:
        """Let go of the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _standing(
        self, connection: sqlite3.Connection, name: str, rate: Rate | None, now: int
    ) -> tuple[Standing, Bucket | None]:
        row = connection.execute(_READ, (self._lifecycle, name)).fetchone()
        if row is None:
            bucket = None if rate is None else Bucket.full(rate, now)
            return Standing(None if bucket is None else bucket.parts), bucket
        count, period_ms, burst, parts, at_ms, until_ms, rests_ms = row
        # A clock that has stepped back since makes no pause longer than it was meant to be.
        rests = max(0, min(until_ms - now, rests_ms))
        if rate is None:
            return Standing(None, rests), None
        # A limit may have had no rate when it last rested.
        known = Bucket(Rate(count, period_ms, burst), parts, at_ms) if period_ms else Bucket.full(rate, now)
        bucket = known.under(rate).at(now)
        return Standing(bucket.parts, rests), bucket

    @contextmanager
    def _transaction(self) -> Iterator[tuple[sqlite3.Connection, int]]:
        """The file with nobody else writing to it, and what time it is then: two runs never count one moment twice."""
        if self._connection is None:
            self._connection = opened(self._path)
        with transaction(self._connection, self._path):
            yield self._connection, self._unix_ms()
