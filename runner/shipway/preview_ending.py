"""When an environment is over without anybody having said so: its pull request closed, its time past, its end begun. Pure."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from shipway.environment_record import EnvironmentRecord, EnvironmentState

_HOUR_MS = 3_600_000


class Over(StrEnum):
    """Why an environment is over."""

    CLOSED = "closed"
    EXPIRED = "expired"
    UNFINISHED = "unfinished"


class Ending(Struct, frozen=True):
    """That an environment is over: why, and a sentence that says so of one that was removed."""

    why: Over
    said: str


def ending(record: EnvironmentRecord, now_ms: int, *, is_closed: bool | None) -> Ending | None:
    """Whether the sweeper is to take an environment down; None where it stays. `is_closed` None: nobody could be asked.

    Its time counts from the last time that it was brought up: a push sets it anew.
    """
    if not record.is_alive:
        return None
    if is_closed:
        return Ending(Over.CLOSED, "removed: the pull request is closed, and no run had taken it down")
    if record.ttl_ms is not None and now_ms >= record.touched_ms + record.ttl_ms:
        return Ending(Over.EXPIRED, f"removed after {_hours(record.ttl_ms)} without activity")
    if _was_begun(record):
        return Ending(Over.UNFINISHED, "removed: an earlier `down` had not been finished")
    return None


def _was_begun(record: EnvironmentRecord) -> bool:
    """Whether a `down` was begun and did not come to its end."""
    last = record.history[-1].what if record.history else ""
    is_failed_down = record.state is EnvironmentState.FAILED and bool(record.stuck)
    return is_failed_down or (record.state is EnvironmentState.DESTROYING and last == "down")


def _hours(milliseconds: int) -> str:
    hours, rest = divmod(milliseconds, _HOUR_MS)
    return f"{hours} h" if hours and not rest else f"{milliseconds // 60_000} min"
