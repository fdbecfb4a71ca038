"""`shipway lock`: hold a lock by hand, so that no run takes it, until `shipway unlock` or the time that was given."""

from __future__ import annotations

import json
from argparse import Namespace

from shipway.commands.documents import write_out
from shipway.commands.lock_desk import Desk, open_desk
from shipway.commands.stores import holder_of
from shipway.context import read_context
from shipway.durations import parse_ms
from shipway.errors import EXIT_DONE, UsageError, did_you_mean
from shipway.holding import Holding
from shipway.locks import Claim, KeptBy, Lock, lock_json, moment, told, unlock_command
from shipway.redaction import strip_control, trusted
from shipway.render import terminal
from shipway.render.foreign import inert


def run(arguments: Namespace) -> int:
    """0 once they are held. Raises LockHeld where somebody else has one; then none of them was taken."""
    context = read_context()
    try:
        lease_ms = parse_ms(arguments.duration) if arguments.duration else 0
    except ValueError as error:
        raise UsageError(f"`--for`: {error}") from error
    with open_desk(arguments, context, writes=True) as desk:
        for name in arguments.name:
            _say_unknown(name, desk)
        holder = holder_of(context, " ".join(strip_control(arguments.reason or "").split()))
        holding = Holding(desk.store, Claim(holder, KeptBy.HAND, lease_ms), desk.clock_ms, desk.life)
        holding.take(desk.names)
        taken = [desk.lock(name)[0] for name in desk.names]
        if arguments.json:
            write_out(json.dumps({"store": desk.store.name, "locks": [lock_json(lock) for lock in taken]}) + "\n")
        elif not arguments.quiet:
            write_out("".join(_line(lock, desk) for lock in taken))
    return EXIT_DONE


def _say_unknown(name: str, desk: Desk) -> None:
    """Say of a lock that the declaration names nowhere that it may be another one. It is held all the same.

    A lifecycle elsewhere may name it, or the commit before, by whose rules a run takes it still.
    """
    declared = desk.declared
    known = (*declared.locks, *declared.step_locks)
    if name not in known:
        hint = did_you_mean(name, known) or (f"it declares {', '.join(known)}" if known else "it declares none")
        said = f"`{declared.name}` declares no lock `{name}`: {hint}\n"
        terminal.write(terminal.standard_error(), trusted(inert(said)))


def _line(lock: Lock, desk: Desk) -> str:
    until = f"until {moment(lock.until_ms)}" if lock.until_ms else f"until {unlock_command(lock.name)}"
    return f"{told(lock.name)} is yours in {desk.store.name}, {until}\n"
