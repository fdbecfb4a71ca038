"""`shipway preview gc`: what nobody needs any more; it lists, and with `--remove` takes away."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Sequence

from msgspec import Struct

from shipway.canonical import Json
from shipway.commands.documents import write_out
from shipway.commands.preview_desk import open_desk
from shipway.commands.preview_ground import clear, left_over, open_ground
from shipway.commands.preview_requests import clear_folder, ending_request
from shipway.commands.preview_run import DOWN, operate
from shipway.commands.preview_sweep import ANY_TARGET, forge_of_job, pulls_of
from shipway.commands.run import said_yes
from shipway.commands.setting import refuse_on_windows, refuse_strangers
from shipway.context import Context, read_context
from shipway.environment_record import EnvironmentRecord
from shipway.errors import (
    EXIT_CHANGES,
    EXIT_DONE,
    EXIT_NOT_UNDONE,
    EXIT_UNREACHABLE,
    Reason,
    ShipwayError,
    UsageError,
)
from shipway.preview_ending import Ending, ending
from shipway.preview_settings import Doing
from shipway.redaction import trusted
from shipway.render import failure, terminal
from shipway.render.foreign import inert, one_line
from shipway.sweeping import Leftovers, found_json, told


class Found(Struct, frozen=True):
    """What a look came to: environments that are over, what is left over of others, and why the forge could not be asked."""

    over: tuple[tuple[EnvironmentRecord, Ending], ...]
    left: Leftovers
    now_ms: int
    silence: ShipwayError | None = None

    @property
    def is_anything(self) -> bool:
        """Whether there is anything to take away."""
        return bool(self.over or self.left.found)


def run(arguments: Namespace) -> int:
    """3 with `--detailed-exitcode` where anything is found, 4 where something could not be removed, 6 where a forge is silent."""
    context = read_context()
    refuse_on_windows(context)
    refuse_strangers(context)
    if arguments.json and arguments.remove:
        raise UsageError("`--json` lists, and `--remove` takes away", next="say one of the two")
    found = _look(arguments, context)
    if arguments.json:
        write_out(json.dumps(_told_json(found)) + "\n")
    elif not arguments.quiet:
        _write(_lines(found, is_next=not arguments.remove) or ["nothing is left over"])
    if found.silence is not None:
        terminal.write(terminal.standard_error(), trusted(failure.as_text(found.silence)))
    code = EXIT_DONE
    if arguments.remove and found.is_anything:
        _confirm(arguments, context)
        code = _removed(found, arguments, context)
    elif arguments.detailed_exitcode and found.is_anything:
        code = EXIT_CHANGES
    return code or (EXIT_UNREACHABLE if found.silence is not None else EXIT_DONE)


def _look(arguments: Namespace, context: Context) -> Found:
    with open_desk(Namespace(file=arguments.file, target=arguments.target or ANY_TARGET), context) as desk:
        records, _ = desk.environments.all()
        now_ms = desk.clock_ms()
        alive = [each for each in records if each.is_alive and (arguments.target or each.target) == each.target]
        forge = forge_of_job(context) if context.ci is not None else None
        states, silence = pulls_of(alive, forge) if forge is not None else ({}, None)
        over = []
        for record in alive:
            state = states.get(record.target)
            found = ending(record, now_ms, is_closed=None if state is None else not state.is_open)
            if found is not None:
                over.append((record, found))
        with open_ground(desk, context) as ground:
            left = left_over(ground, now_ms, forge)
    return Found(tuple(over), left, now_ms, silence)


def _removed(found: Found, arguments: Namespace, context: Context) -> int:
    """4 where anything is still there; one that cannot be removed keeps no other back."""
    codes = [EXIT_DONE]
    for record, _ in found.over:
        try:
            codes.append(_down(record, arguments, context))
        except ShipwayError as error:
            terminal.write(terminal.standard_error(), trusted(failure.as_text(error)))
            codes.append(EXIT_NOT_UNDONE)
    with open_desk(Namespace(file=arguments.file, target=arguments.target or ANY_TARGET), context) as desk:
        forge = forge_of_job(context) if context.ci is not None else None
        with open_ground(desk, context) as ground:
            cleared = clear(left_over(ground, found.now_ms, forge).found, ground, context, forge)
    for each in cleared:
        became = "taken away" if each.is_removed else each.failure or "its environment is there again"
        _write([f"{each.found.kind.value} {each.found.name}: {became}"])
        codes.append(EXIT_NOT_UNDONE if each.failure else EXIT_DONE)
    return EXIT_NOT_UNDONE if any(codes) else EXIT_DONE


def _down(record: EnvironmentRecord, arguments: Namespace, context: Context) -> int:
    asked = Namespace(yes=True, json=False, quiet=arguments.quiet, verbose=False)
    with open_desk(Namespace(file=arguments.file, target=record.target), context) as desk:
        code = operate(DOWN, ending_request(Doing.DOWN, desk, record), desk, asked, context)
        clear_folder(desk)
        return code


def _confirm(arguments: Namespace, context: Context) -> None:
    if arguments.yes or (context.stdin_is_tty and said_yes("Remove all of that?")):
        return
    raise UsageError("nothing was removed: it was not confirmed", reason=Reason.NOT_CONFIRMED, next="say `--yes`")


def _lines(found: Found, *, is_next: bool) -> Sequence[str]:
    lines = [
        f"{record.target}: {ending.why.value}; shipway preview down --target {record.target}"
        for record, ending in found.over
    ]
    lines += [told(each, found.now_ms) for each in found.left.found]
    lines += [f"not known: {why}" for why in found.left.unknown]
    if found.left.unknown and not found.is_anything:
        lines.append("nothing else is left over")
    return [*lines, "`shipway preview gc --remove` takes all of that away"] if is_next and found.is_anything else lines


def _told_json(found: Found) -> Json:
    return {
        "over": [{"target": record.target, "why": ending.why.value} for record, ending in found.over],
        "left": [dict(found_json(each, found.now_ms)) for each in found.left.found],
        "unknown": list(found.left.unknown),
    }


def _write(lines: Sequence[str]) -> None:
    write_out("".join(f"{inert(one_line(line))}\n" for line in lines))
