"""`shipway locks`: who holds what in the store of a lifecycle, since when, and until when."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Iterator

from shipway.canonical import Json
from shipway.commands.documents import write_out
from shipway.commands.lock_desk import Desk, open_desk
from shipway.context import read_context
from shipway.errors import EXIT_DONE
from shipway.locks import Life, Lock, holder_text, lock_json, may_take, moment
from shipway.render.columns import pad, width
from shipway.render.foreign import one_line


def run(arguments: Namespace) -> int:
    """0 whether anything is held or not. Raises ShipwayError where the store cannot be asked."""
    with open_desk(arguments, read_context(), writes=False) as desk:
        shown = [
            lock
            for lock in desk.locks()
            if (lock.holder is not None or arguments.all)
            and (not arguments.target or lock.name.endswith(f"/{arguments.target}"))
        ]
        if arguments.json:
            listed: list[Json] = [_told(lock, desk) for lock in shown]
            write_out(json.dumps({"store": desk.store.name, "locks": listed}) + "\n")
        elif shown or not arguments.quiet:
            write_out("".join(f"{line}\n" for line in _lines(shown, desk)))
    return EXIT_DONE


def _lines(shown: list[Lock], desk: Desk) -> Iterator[str]:
    if not shown:
        yield f"no lock is held in {desk.store.name}"
    cells = max((width(lock.name) for lock in shown), default=0)
    for lock in shown:
        held = f"held {holder_text(lock)}" if lock.holder else "free"
        yield f"{pad(lock.name, cells)}  " + one_line(f"{held}{_end(lock, desk)}")


def _end(lock: Lock, desk: Desk) -> str:
    """What is known of how long it is held."""
    if lock.holder is None:
        return ""
    if may_take(lock, desk.clock_ms(), desk.life_of(lock)):
        return "; its holder is gone: the next run takes it"
    until = f"; until {moment(lock.until_ms)}" if lock.until_ms else ""
    return until + ("; its run goes on" if desk.life_of(lock) is Life.GOES_ON else "")


def _told(lock: Lock, desk: Desk) -> dict[str, Json]:
    return {**lock_json(lock), "free": may_take(lock, desk.clock_ms(), desk.life_of(lock))}
