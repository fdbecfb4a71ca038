"""Named limits as a declaration and a plan hold them: how many at once, and how fast. Values only; counts nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping

from msgspec import Struct

from shipway.canonical import Json, integer_of, object_of
from shipway.durations import parse_ms

RATE_PATTERN = "^[0-9]{1,6}/[0-9]{0,9}(ms|s|m|h|d)$"
"""What `parse_rate` accepts, but for a 0; the schema's `pattern` is this text."""


class Rate(Struct, frozen=True):
    """At most `burst` starts at once and then `count` in every `period_ms`; all three are at least 1."""

    count: int
    period_ms: int
    burst: int = 1


class Limit(Struct, frozen=True):
    """How many nodes may run at once under a name, at least 1, and how fast they may start; None: as fast as there is room."""

    parallel: int = 1
    rate: Rate | None = None


def parse_rate(text: str) -> tuple[int, int]:
    """How many, and in how many milliseconds, of `10/1m`, `2/s`, `100/24h`. Raises ValueError for any other form and for 0."""
    if re.fullmatch(RATE_PATTERN, text) is None:
        raise ValueError(f"`{text}` is not a rate: write a number and a duration, such as `10/1m` or `2/s`")
    count, _, period = text.partition("/")
    found = int(count), parse_ms(period if period[0].isdigit() else "1" + period)
    if 0 in found:
        raise ValueError(f"`{text}` lets nothing ever start")
    return found


def limit_json(limit: Limit) -> Json:
    """`{"parallel": 2, "rate": {"count": 10, "period_ms": 60000, "burst": 1}}`; `rate` is null where there is none."""
    rate = limit.rate
    return {
        "parallel": limit.parallel,
        "rate": None if rate is None else {"count": rate.count, "period_ms": rate.period_ms, "burst": rate.burst},
    }


def limit_from_json(data: Mapping[str, Json]) -> Limit:
    """The limit that `limit_json` wrote; `data` has passed the plan's schema."""
    if data["rate"] is None:
        return Limit(integer_of(data["parallel"]))
    rate = object_of(data["rate"])
    numbers = (integer_of(rate[key]) for key in ("count", "period_ms", "burst"))
    return Limit(integer_of(data["parallel"]), Rate(*numbers))
