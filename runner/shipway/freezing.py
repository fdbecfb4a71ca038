"""Freeze windows: texts such as `fri 16:00..mon 08:00` or `2026-12-20..2027-01-02`, and whether a moment is in one. Pure."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta

from msgspec import Struct

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_MINUTES_A_DAY = 24 * 60
_MINUTES_A_WEEK = 7 * _MINUTES_A_DAY

_TIME = r"(?: (?P<{0}_hour>[01][0-9]|2[0-3]):(?P<{0}_minute>[0-5][0-9]))?"
_WEEKLY = re.compile(
    rf"(?P<from>{'|'.join(DAYS)}){_TIME.format('from')}(?:\.\.(?P<to>{'|'.join(DAYS)}){_TIME.format('to')})?"
)
_DATE = r"(?P<{0}>[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}})"
_DATED = re.compile(rf"{_DATE.format('from')}{_TIME.format('from')}(?:\.\.{_DATE.format('to')}{_TIME.format('to')})?")


class Window(Struct, frozen=True):
    """One window, its end not in it. Of a weekly one both are minutes since Monday 00:00; else local moments without a zone."""

    text: str
    begin: datetime | int
    end: datetime | int

    def holds(self, moment: datetime) -> bool:
        """Whether `moment`, in the zone of the policy, is inside."""
        if isinstance(self.begin, int) and isinstance(self.end, int):
            minute = moment.weekday() * _MINUTES_A_DAY + moment.hour * 60 + moment.minute
            if self.begin < self.end:
                return self.begin <= minute < self.end
            return minute >= self.begin or minute < self.end
        assert isinstance(self.begin, datetime)
        assert isinstance(self.end, datetime)
        return self.begin <= moment.replace(tzinfo=None) < self.end


def parse_window(text: str) -> Window:
    """The window that `text` says. A day without a time is the whole day, also as the end. Raises ValueError."""
    if weekly := _WEEKLY.fullmatch(text):
        begin = _minute_of_week(weekly["from"], weekly["from_hour"], weekly["from_minute"], 0)
        last = weekly["to"] or weekly["from"]
        if weekly["to"] is None and weekly["from_hour"] is not None:
            raise ValueError(f"`{text}` has a time and no end")
        end = _minute_of_week(last, weekly["to_hour"], weekly["to_minute"], 1) % _MINUTES_A_WEEK
        if begin == end:
            raise ValueError(f"`{text}` ends when it begins")
        return Window(text, begin, end or _MINUTES_A_WEEK)
    if dated := _DATED.fullmatch(text):
        if dated["to"] is None and dated["from_hour"] is not None:
            raise ValueError(f"`{text}` has a time and no end")
        begins = _moment(dated["from"], dated["from_hour"], dated["from_minute"], 0)
        ends = _moment(dated["to"] or dated["from"], dated["to_hour"], dated["to_minute"], 1)
        if ends <= begins:
            raise ValueError(f"`{text}` ends before it begins")
        return Window(text, begins, ends)
    raise ValueError(f"`{text}` is no window")


def _minute_of_week(day: str, hour: str | None, minute: str | None, days_more: int) -> int:
    if hour is None:
        return (DAYS.index(day) + days_more) * _MINUTES_A_DAY
    return DAYS.index(day) * _MINUTES_A_DAY + int(hour) * 60 + int(minute or 0)


def _moment(day: str, hour: str | None, minute: str | None, days_more: int) -> datetime:
    found = date.fromisoformat(day)
    if hour is None:
        return datetime(found.year, found.month, found.day) + timedelta(days=days_more)
    return datetime(found.year, found.month, found.day, int(hour), int(minute or 0))
