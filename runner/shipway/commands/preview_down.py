"""`shipway preview down` and `stop`: take an environment away, or end what runs in it, as it was declared when it was made."""

from __future__ import annotations

import json
from argparse import Namespace

from msgspec.structs import replace

from shipway.commands.documents import write_out
from shipway.commands.preview_desk import Desk, open_desk
from shipway.commands.preview_orphans import end_orphans, orphans_of
from shipway.commands.preview_requests import clear_folder, ending_request
from shipway.commands.preview_run import DOWN, STOP, operate
from shipway.commands.setting import inputs_of, refuse_on_windows, refuse_strangers
from shipway.context import Context, read_context
from shipway.environment_record import EnvironmentRecord, EnvironmentState
from shipway.errors import EXIT_DONE
from shipway.preview_settings import Doing


def run(arguments: Namespace) -> int:
    """0 where it is gone or stopped, also where it was already; 4 where something could not be removed."""
    context = read_context()
    refuse_on_windows(context)
    refuse_strangers(context)
    with open_desk(arguments, context) as desk:
        return take_down(arguments.part, desk, arguments, context)


def take_down(part: str, desk: Desk, arguments: Namespace, context: Context) -> int:
    """`down` or `stop` of one environment."""
    doing = Doing(part)
    operation = DOWN if doing is Doing.DOWN else STOP
    record = desk.record()
    if record is None or not record.is_alive or (operation is STOP and record.state is EnvironmentState.STOPPED):
        orphans = orphans_of(desk, context) if operation is DOWN else None
        if orphans is not None and orphans.found:
            return end_orphans(orphans, desk, arguments, context)
        _say_nothing_to_do(record, desk, arguments)
        return EXIT_DONE
    request = replace(ending_request(doing, desk, record), inputs=inputs_of(arguments))
    code = operate(operation, request, desk, arguments, context)
    if operation is DOWN:
        clear_folder(desk)
    return code


def _say_nothing_to_do(record: EnvironmentRecord | None, desk: Desk, arguments: Namespace) -> None:
    state = record.state.value if record is not None else "unknown"
    if arguments.json:
        write_out(json.dumps({"lifecycle": desk.lifecycle, "target": desk.target, "state": state}) + "\n")
    elif not arguments.quiet:
        words = "there never was such an environment" if record is None else f"it is {state} already"
        write_out(f"nothing to do for {desk.lifecycle} on {desk.target}: {words}\n")
