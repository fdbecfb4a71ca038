"""What of an environment is there though no record says so, as where its record was deleted: told, and taken away."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Iterable, Iterator

from msgspec import Struct

from shipway.canonical import Json
from shipway.commands.documents import write_out
from shipway.commands.preview_desk import Desk
from shipway.commands.preview_ground import Cleared, clear, destroyers, ground_of, left_over
from shipway.commands.preview_requests import prune_folders
from shipway.commands.run import said_yes
from shipway.context import Context
from shipway.errors import EXIT_DONE, EXIT_NOT_UNDONE, Reason, UsageError
from shipway.render.foreign import inert, one_line
from shipway.sweeping import Found, found_json, told


class Orphans(Struct, frozen=True):
    """What bears the mark of one environment, what could not be looked at, and what nothing here can tell of.

    `unsure` are the services of the provisioner with a hook `destroy`, each with the command that runs it.
    """

    found: tuple[Found, ...]
    unknown: tuple[str, ...]
    unsure: tuple[str, ...]
    now_ms: int


def orphans_of(desk: Desk, context: Context) -> Orphans:
    """What is there of the target, whose record is gone or never was. Changes nothing. Raises StoreError."""
    now_ms = desk.clock_ms()
    left = left_over(desk, ground_of(desk, context), now_ms)
    found = tuple(each for each in left.found if each.owner.target == desk.target)
    unsure = destroyers(desk) if found and desk.record() is None else []
    return Orphans(found, left.unknown, tuple(f"service {name}: {command}" for name, command in unsure), now_ms)


def clear_orphans(orphans: Orphans, desk: Desk, context: Context) -> list[Cleared]:
    """Take each away; one that cannot be keeps no other back."""
    cleared = [*clear(orphans.found, ground_of(desk, context), context, None)]
    prune_folders(desk)
    return cleared


def end_orphans(orphans: Orphans, desk: Desk, arguments: Namespace, context: Context) -> int:
    """Show what is there, ask, and take it away; 4 where something stays. Raises UsageError where nobody says yes."""
    if not arguments.json and not arguments.quiet:
        write_lines([f"no record tells of {desk.lifecycle} on {desk.target}, and this of it is there:"])
        write_lines(told(each, orphans.now_ms) for each in orphans.found)
    confirm_removal(arguments, context)
    cleared = clear_orphans(orphans, desk, context)
    if arguments.json:
        write_out(json.dumps(_told_json(orphans, cleared, desk)) + "\n")
    else:
        shown = [each for each in cleared if each.failure or not arguments.quiet]
        write_lines(map(cleared_line, shown))
        write_lines(untold(orphans))
    return EXIT_NOT_UNDONE if any(each.failure for each in cleared) else EXIT_DONE


def untold(orphans: Orphans) -> Iterator[str]:
    """What nothing here can tell: what could not be looked at, and what only a hook takes away."""
    yield from (f"not known: {why}" for why in orphans.unknown)
    yield from (f"not known whether it was made, so not destroyed: {each}" for each in orphans.unsure)


def confirm_removal(arguments: Namespace, context: Context) -> None:
    """Ask whether what was listed is to go, unless `--yes`. Raises UsageError where nobody says so."""
    if arguments.yes or (context.stdin_is_tty and said_yes("Remove all of that?")):
        return
    raise UsageError("nothing was removed: it was not confirmed", reason=Reason.NOT_CONFIRMED, next="say `--yes`")


def cleared_line(each: Cleared) -> str:
    """What became of one leftover, for people."""
    became = "taken away" if each.is_removed else each.failure or "its environment is there again"
    return f"{each.found.kind.value} {each.found.name}: {became}"


def write_lines(lines: Iterable[str]) -> None:
    """Write each to standard output, as it can do no harm there."""
    write_out("".join(f"{inert(one_line(line))}\n" for line in lines))


def _told_json(orphans: Orphans, cleared: list[Cleared], desk: Desk) -> Json:
    return {
        "lifecycle": desk.lifecycle,
        "target": desk.target,
        "state": "unknown",
        "left": [
            {**found_json(each.found, orphans.now_ms), "removed": each.is_removed, "failure": each.failure}
            for each in cleared
        ],
        "unknown": [*untold(orphans)],
    }
