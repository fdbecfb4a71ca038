"""Children that outlived a killed Shipway: found by process group and start time, or by what they were started with; ended.

Nothing of a run may be probed, started or undone before its survivors are gone.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from shipway.action import Verb
from shipway.attempt import Grace
from shipway.errors import Reason, UnreachableError
from shipway.exchange import Exchange, file_name
from shipway.nodes import Outcome
from shipway.process import INTERRUPT, KILL, TERMINATE
from shipway.process_identity import carrying, group_of, is_running, members
from shipway.run_record import Recorded, RunRecord

_POLL_MS = 20
_AFTER_KILL_MS = 2_000


class Survivor(Struct, frozen=True):
    """A process group that still runs, and the node it works for."""

    node: str
    group: int


def survivors_of(record: RunRecord, directory: Path) -> tuple[Survivor, ...]:
    """What still runs of the attempts and undos of a run that were never reported. `directory` is the run's."""
    found = [
        Survivor(entry.node, group) for entry in _unreported(record.history) for group in _groups(entry, directory)
    ]
    return tuple(dict.fromkeys(found))


def check_gone(record: RunRecord, survivors: Sequence[Survivor]) -> None:
    """Refuse to begin another run beside what still works for a killed one. Raises UnreachableError (`lock-held`)."""
    if survivors:
        shown = ", ".join(f"`{survivor.node}` (process group {survivor.group})" for survivor in survivors)
        run = record.summary.run
        raise UnreachableError(
            f"run `{run}` was killed, and some of it still works: {shown}",
            reason=Reason.LOCK_HELD,
            next=f"`shipway resume {run}` ends that and goes on with the run; `shipway runs repair` ends it and closes the run",
        )


def end(survivors: Sequence[Survivor], grace: Grace, pause: Callable[[int], None]) -> None:
    """Interrupt, terminate, kill, with time between; returns when nothing of them runs. `pause` takes milliseconds.

    Raises UnreachableError (`lock-held`) naming what cannot be ended.
    """
    left = list(survivors)
    for number, patience_ms in (
        (INTERRUPT, grace.interrupt_ms),
        (TERMINATE, grace.terminate_ms),
        (KILL, _AFTER_KILL_MS),
    ):
        for survivor in left:
            with suppress(OSError):
                os.killpg(survivor.group, number)
        waited = 0
        while (left := _alive(left)) and waited < patience_ms:
            pause(_POLL_MS)
            waited += _POLL_MS
    if left:
        shown = ", ".join(f"`{survivor.node}` (process group {survivor.group})" for survivor in left)
        raise UnreachableError(
            f"still running since Shipway was killed, and cannot be ended: {shown}",
            reason=Reason.LOCK_HELD,
            next="end them by hand, then go on with the run",
        )


def _alive(survivors: Iterable[Survivor]) -> list[Survivor]:
    return [survivor for survivor in survivors if members(survivor.group)]


def _unreported(history: Sequence[Recorded]) -> list[Recorded]:
    """The last entry of each node, where nobody reported how it ended."""
    last = {entry.node: entry for entry in history if entry.verb in (Verb.DO, Verb.UNDO)}
    return [entry for entry in last.values() if entry.outcome in (None, Outcome.UNKNOWN)]


def _groups(entry: Recorded, directory: Path) -> set[int]:
    if entry.group is not None and is_running(entry.group, entry.group_started):
        return {entry.group}
    # Its leader is gone, or was never written down. What it started can be known by its environment; whoever has left the
    # group since, as a service does, was meant to stay.
    exchange = Exchange(str(directory / "io"), file_name(entry.node, entry.verb))
    marked = {pid: group_of(pid) for pid in carrying(f"SHIPWAY_OUTPUT={exchange.output}\0")}
    if entry.group is not None:
        return {entry.group} & set(marked.values())
    return {group for pid, group in marked.items() if group == pid}
