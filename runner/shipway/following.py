"""What happened in a run since somebody looked: by the order on disk, not by time, so that nothing is lost or told twice. Pure.

A cursor is text that any later process goes on from: the last attempt that was told, and those before it that had not ended.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from msgspec import Struct

from shipway.nodes import Outcome
from shipway.run_record import Recorded

_CURSOR = re.compile(r"(?P<run>[^/\s]{1,200})/(?P<last>\d{1,15})(:(?P<open>\??\d{1,15}(,\??\d{1,15})*))?")


class Cursor(Struct, frozen=True):
    """How far a run was told: up to the attempt `last`, but for the ends of those in `begun`, and for those in `missing`.

    Attempts are named by their `Recorded.sequence`. What is missing was not on disk yet, though later ones were.
    """

    run: str
    last: int = 0
    begun: frozenset[int] = frozenset()
    missing: frozenset[int] = frozenset()

    @property
    def open(self) -> frozenset[int]:
        """Attempts up to the last that something is still to be told of."""
        return self.begun | self.missing

    def __str__(self) -> str:
        """`20260102T030405-a1b2c3/17:12,?15`: up to 17; the end of 12 and all of 15 are still to be told."""
        left = ",".join(f"?{each}" if each in self.missing else str(each) for each in sorted(self.open))
        return f"{self.run}/{self.last}" + (f":{left}" if left else "")


def read_cursor(text: str) -> Cursor:
    """What `str` of a cursor gave. Raises ValueError for anything else."""
    found = _CURSOR.fullmatch(text)
    if found is None:
        raise ValueError(f"`{text}` is no cursor")
    left = (found["open"] or "").split(",") if found["open"] else []
    begun = frozenset(int(each) for each in left if not each.startswith("?"))
    return Cursor(found["run"], int(found["last"]), begun, frozenset(int(each[1:]) for each in left if each[0] == "?"))


class Moment(Struct, frozen=True):
    """An attempt began, where `outcome` is None, or ended. `at_ms` is since the run began; `tried` is what is on disk of it."""

    at_ms: int
    tried: Recorded
    outcome: Outcome | None = None


def since(cursor: Cursor, tried: Iterable[Recorded]) -> tuple[list[Moment], Cursor]:
    """What is to be told of attempts behind the cursor, or open there, by time; and the cursor behind that.

    `tried` are those: others that are among them are told of again.
    """
    moments: list[Moment] = []
    last, begun, there = cursor.last, set(cursor.begun), set()
    for each in sorted(tried, key=lambda each: each.sequence):
        there.add(each.sequence)
        if each.sequence not in cursor.begun:
            moments.append(Moment(each.started_ms, each))
            begun.add(each.sequence)
        if each.ended_ms is not None:
            moments.append(Moment(each.ended_ms, each, each.outcome))
            begun.discard(each.sequence)
        last = max(last, each.sequence)
    missing = (cursor.missing | set(range(cursor.last + 1, last))) - there
    # Of one time an attempt's start comes before its end, and the rest as it is on disk: the sort is stable.
    moments.sort(key=lambda moment: moment.at_ms)
    return moments, Cursor(cursor.run, last, frozenset(begun), frozenset(missing))
