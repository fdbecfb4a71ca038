"""`shipway preview status`: what an environment is by its record, and what each part of it says when it is asked now."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Mapping

from msgspec.structs import replace

from shipway.canonical import mapping
from shipway.commands.documents import write_out
from shipway.commands.preview_desk import Desk, derived_file, open_desk, shelf_of
from shipway.commands.setting import GRACE_IN_CI, Unreported, heeding_signals, refuse_strangers, surroundings
from shipway.context import Context, read_context
from shipway.drift import Answer
from shipway.environment_record import EnvironmentRecord
from shipway.environment_sight import sighted
from shipway.errors import EXIT_DONE, Interrupted, ShipwayError
from shipway.events import Events
from shipway.execution import ExecutionTools
from shipway.interruption import Interruption
from shipway.lifecycle import check_lifecycle
from shipway.loading import load_declaration
from shipway.nodes import Verified
from shipway.redaction import Redactor
from shipway.registry import Registry
from shipway.render import previews
from shipway.undertaking import Request


def run(arguments: Namespace) -> int:
    """0 whatever was found. Raises UsageError where there never was such an environment."""
    context = read_context()
    refuse_strangers(context)
    with open_desk(arguments, context, writes=False) as desk:
        record, now_ms = desk.known(), desk.clock_ms()
        answers = _asked(record, desk, context) if record.checkpoints and not arguments.quiet else {}
        seen = [previews.Seen(node, answer.verified, answer.why) for node, answer in answers.items()]
        if arguments.json:
            write_out(json.dumps(previews.environment_told(record, now_ms, seen)) + "\n")
        elif arguments.quiet:
            write_out(f"{record.state.value}\n")
        else:
            colour = context.stdout_is_tty and not context.no_color
            write_out(previews.render_environment(record, seen, now_ms=now_ms, colour=colour, columns=context.columns))
    return EXIT_DONE


def _asked(record: EnvironmentRecord, desk: Desk, context: Context) -> Mapping[str, Answer]:
    """What `verify` of each node says; unknown, with the reason, where nothing can be asked. Raises Interrupted."""
    try:
        return _sighted(record, desk, context)
    except Interrupted:
        raise
    except ShipwayError as error:
        return dict.fromkeys(record.checkpoints, Answer(Verified.UNKNOWN, error.message))


def _sighted(record: EnvironmentRecord, desk: Desk, context: Context) -> Mapping[str, Answer]:
    """By the declaration that the environment was made of: the present one may be another."""
    file = derived_file(desk, "made", mapping(json.loads(record.declaration)))
    around = surroundings(context, desk.repository, Events(), Unreported())
    plan = check_lifecycle(Request(file, desk.target, derived_from=desk.files), around)
    recorded = load_declaration(file, root=desk.repository.root, target=desk.target)
    secrets = {name: context.env[name] for name in plan.secrets if context.env.get(name)}
    root, interruption = desk.repository.root, Interruption()
    tools = ExecutionTools(
        context=context,
        registry=Registry(),
        events=Events(),
        redactor=Redactor(secrets),
        interruption=interruption,
        grace=GRACE_IN_CI,
        secrets=secrets,
        root=root,
        directory=root,
        recovery=root,
        processors=1,
    )
    interruption.hold()
    with heeding_signals(interruption):
        return sighted(plan, record, replace(tools, shelf=shelf_of(desk, recorded, context)))
