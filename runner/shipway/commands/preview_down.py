"""`shipway preview down` and `stop`: take an environment away, or end what runs in it, as it was declared when it was made."""

from __future__ import annotations

import json
import shutil
from argparse import Namespace

from shipway.canonical import Json, mapping
from shipway.commands.documents import write_out
from shipway.commands.preview_desk import PREVIEWS, Desk, derived_file, open_desk
from shipway.commands.preview_run import DOWN, STOP, operate
from shipway.commands.setting import inputs_of, refuse_on_windows, refuse_strangers
from shipway.context import Context, read_context
from shipway.environment_record import EnvironmentRecord, EnvironmentState
from shipway.errors import EXIT_DONE
from shipway.preview_derivation import derived, known_of
from shipway.preview_settings import Doing
from shipway.undertaking import Request
from shipway.workspace import DIRECTORY


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
        _say_nothing_to_do(record, desk, arguments)
        return EXIT_DONE
    declared: Json = json.loads(record.declaration)
    file = derived_file(desk, part, derived(mapping(declared), doing, known=known_of(record.checkpoints)))
    request = Request(file, desk.target, inputs=inputs_of(arguments), is_derived=True, derived_from=desk.files)
    code = operate(operation, request, desk, arguments, context)
    if code == EXIT_DONE and operation is DOWN:
        shutil.rmtree(desk.repository.root / DIRECTORY / PREVIEWS / desk.target, ignore_errors=True)
    return code


def _say_nothing_to_do(record: EnvironmentRecord | None, desk: Desk, arguments: Namespace) -> None:
    state = record.state.value if record is not None else "unknown"
    if arguments.json:
        write_out(json.dumps({"lifecycle": desk.lifecycle, "target": desk.target, "state": state}) + "\n")
    elif not arguments.quiet:
        words = "there never was such an environment" if record is None else f"it is {state} already"
        write_out(f"nothing to do for {desk.lifecycle} on {desk.target}: {words}\n")
