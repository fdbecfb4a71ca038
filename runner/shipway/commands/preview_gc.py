"""`shipway preview gc`: what nobody needs any more; it lists, and with `--remove` takes away."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Sequence

from shipway.canonical import Json
from shipway.commands.documents import write_out
from shipway.commands.preview_desk import open_desk
from shipway.commands.preview_orphans import cleared_line, confirm_removal, write_lines
from shipway.commands.preview_requests import clear_folder, ending_request
from shipway.commands.preview_run import DOWN, operate
from shipway.commands.preview_walk import ANY_TARGET, Walked, forge_of_job, take_away, walk
from shipway.commands.setting import refuse_on_windows, refuse_strangers
from shipway.context import Context, read_context
from shipway.environment_record import EnvironmentRecord
from shipway.errors import (
    EXIT_CHANGES,
    EXIT_DONE,
    EXIT_NOT_UNDONE,
    EXIT_UNREACHABLE,
    ShipwayError,
    UsageError,
)
from shipway.preview_settings import Doing
from shipway.redaction import trusted
from shipway.render import failure, terminal
from shipway.sweeping import found_json, told


def run(arguments: Namespace) -> int:
    """3 with `--detailed-exitcode` where anything is found, 4 where something could not be removed, 6 where a forge is silent."""
    context = read_context()
    refuse_on_windows(context)
    refuse_strangers(context)
    if arguments.json and arguments.remove:
        raise UsageError("`--json` lists, and `--remove` takes away", next="say one of the two")
    only = arguments.target or ""
    with open_desk(Namespace(file=arguments.file, target=only or ANY_TARGET), context) as desk:
        forge = forge_of_job(context) if context.ci is not None else None
        found = walk(desk, context, forge, only)
        if arguments.json:
            write_out(json.dumps(_told_json(found)) + "\n")
        elif not arguments.quiet:
            write_lines(_lines(found, is_next=not arguments.remove) or ["nothing is left over"])
        if found.silence is not None:
            terminal.write(terminal.standard_error(), trusted(failure.as_text(found.silence)))
        code = EXIT_DONE
        if arguments.remove and found.is_anything:
            confirm_removal(arguments, context)
            gone = take_away(found, desk, context, forge, only, lambda record, _: _down(record, arguments, context))
            write_lines(map(cleared_line, gone.cleared))
            code = EXIT_DONE if gone.is_all else EXIT_NOT_UNDONE
        elif arguments.detailed_exitcode and found.is_anything:
            code = EXIT_CHANGES
    return code or (EXIT_UNREACHABLE if found.silence is not None else EXIT_DONE)


def _down(record: EnvironmentRecord, arguments: Namespace, context: Context) -> int:
    asked = Namespace(yes=True, json=False, quiet=arguments.quiet, verbose=False)
    try:
        with open_desk(Namespace(file=arguments.file, target=record.target), context) as desk:
            code = operate(DOWN, ending_request(Doing.DOWN, desk, record), desk, asked, context)
            clear_folder(desk)
            return code
    except ShipwayError as error:
        terminal.write(terminal.standard_error(), trusted(failure.as_text(error)))
        return EXIT_NOT_UNDONE


def _lines(found: Walked, *, is_next: bool) -> Sequence[str]:
    lines = [
        f"{record.target}: {ending.why.value}; shipway preview down --target {record.target}"
        for record, ending in found.over
    ]
    lines += [told(each, found.now_ms) for each in found.left.found]
    lines += [f"not known: {why}" for why in found.left.unknown]
    if found.left.unknown and not found.is_anything:
        lines.append("nothing else is left over")
    return [*lines, "`shipway preview gc --remove` takes all of that away"] if is_next and found.is_anything else lines


def _told_json(found: Walked) -> Json:
    return {
        "over": [{"target": record.target, "why": ending.why.value} for record, ending in found.over],
        "left": [dict(found_json(each, found.now_ms)) for each in found.left.found],
        "unknown": list(found.left.unknown),
    }
