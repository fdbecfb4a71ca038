"""Durations as people write them (`1m30s`) and as documents hold them (integer milliseconds). Knows no clock."""

from __future__ import annotations

import re

PATTERN = "^([0-9]{1,9}d)?([0-9]{1,9}h)?([0-9]{1,9}m)?([0-9]{1,9}s)?([0-9]{1,9}ms)?$"
"""What `parse_ms` accepts, but for the empty text; the schema's `pattern` is this text."""

_SHAPE = re.compile(PATTERN.removeprefix("^").removesuffix("$"))
_FACTORS = (86_400_000, 3_600_000, 60_000, 1000, 1)
_LETTERS = re.compile("[a-z]+")


def parse_ms(text: str) -> int:
    """Milliseconds of `5s`, `1m30s`, `250ms`, `2h`, `1d`: whole numbers, larger units first, each unit at most once.

    Raises ValueError, naming the text and the form, for anything else (a bare number and the empty text included).
    """
    found = _SHAPE.fullmatch(text)
    if not text or found is None:
        raise ValueError(
            f"`{text}` is not a duration: write a number and a unit, such as `250ms`, `30s`, `1m30s`, `2h`"
        )
    counts = (int(_LETTERS.sub("", part)) if part else 0 for part in found.groups())
    return sum(count * factor for count, factor in zip(counts, _FACTORS, strict=True))


def format_ms(milliseconds: int) -> str:
    """A short form for people: `0ms`, `340ms`, `2.4s`, `45s`, `1m30s`, `2h5m`, `3d4h`. At most two units; cut, not rounded."""
    if milliseconds < 0:
        return "-" + format_ms(-milliseconds)
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    if milliseconds < 60_000:
        seconds, tenths = divmod(milliseconds // 100, 10)
        return f"{seconds}.{tenths}s" if tenths and seconds < 10 else f"{seconds}s"
    return _two_units(milliseconds // 1000)


def ago(milliseconds: int) -> str:
    """How long something is past, in whole seconds: `just now`, `45s ago`, `2h5m ago`."""
    return f"{format_ms(milliseconds // 1000 * 1000)} ago" if milliseconds >= 1000 else "just now"


def _two_units(seconds: int) -> str:
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [f"{count}{unit}" for count, unit in ((days, "d"), (hours, "h"), (minutes, "m"), (seconds, "s"))]
    first = next(index for index, part in enumerate(parts) if not part.startswith("0"))
    return "".join(part for part in parts[first : first + 2] if not part.startswith("0"))
