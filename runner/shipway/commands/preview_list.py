"""`shipway preview list`: the environments of a lifecycle, as their records tell."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Sequence

from shipway.canonical import Json
from shipway.commands.documents import write_out
from shipway.commands.preview_desk import Desk, open_desk
from shipway.context import Context, read_context
from shipway.environment_record import EnvironmentRecord
from shipway.environments import Damaged
from shipway.errors import EXIT_DONE
from shipway.render import previews


def run(arguments: Namespace) -> int:
    """0; damaged records are shown and hurt nothing else."""
    context = read_context()
    with open_desk(arguments, context, writes=False, names_target=False) as desk:
        records, damaged = desk.environments.all()
        shown = [record for record in records if record.is_alive or arguments.all]
        if arguments.json:
            write_out(json.dumps(_told(shown, damaged, desk)) + "\n")
        elif arguments.quiet:
            write_out("".join(f"{record.target}\n" for record in shown))
        else:
            write_out(_text(shown, damaged, desk, context))
    return EXIT_DONE


def _told(records: Sequence[EnvironmentRecord], damaged: Sequence[Damaged], desk: Desk) -> Json:
    now = desk.clock_ms()
    return {
        "lifecycle": desk.lifecycle,
        "environments": [previews.environment_told(record, now) for record in records],
        "damaged": [{"target": each.target, "why": each.why} for each in damaged],
    }


def _text(records: Sequence[EnvironmentRecord], damaged: Sequence[Damaged], desk: Desk, context: Context) -> str:
    if not records and not damaged:
        return f"{desk.lifecycle} has no environment; `shipway preview up` makes one\n"
    broken = [previews.Damaged(each.target, each.why) for each in damaged]
    colour = context.stdout_is_tty and not context.no_color
    return previews.render_environments(records, broken, now_ms=desk.clock_ms(), colour=colour, columns=context.columns)
