"""`shipway preview reset`, `seed` and `init`: run a hook of one of the provisioner's services on demand."""

from __future__ import annotations

from argparse import Namespace

from msgspec.structs import replace

from shipway.commands.preview_desk import derived_file, open_desk
from shipway.commands.preview_run import UP, operate
from shipway.commands.run import confirmed, voyage
from shipway.commands.setting import inputs_of, refuse_on_windows, refuse_strangers
from shipway.context import read_context
from shipway.errors import UsageError
from shipway.preview_derivation import derived, recorded_data
from shipway.preview_settings import Doing
from shipway.undertaking import Request


def run(arguments: Namespace) -> int:
    """The exit code of the run. Raises UsageError where there is no such environment, service or hook."""
    context = read_context()
    refuse_on_windows(context)
    refuse_strangers(context)
    doing = Doing(arguments.part)
    with open_desk(arguments, context) as desk:
        if desk.declared is None:
            raise UsageError("the declaration cannot be read", next="see `shipway validate`")
        if doing is not Doing.INIT:
            desk.known()
        content = derived(recorded_data(desk.declared), doing, service=arguments.service)
        file = derived_file(desk, f"{doing.value}-{arguments.service}", content)
        request = Request(file, desk.target, inputs=inputs_of(arguments), execute=True, derived_from=desk.files)
        if doing is Doing.INIT:  # once for a lifecycle: it belongs to no environment
            asked = replace(request, confirm=lambda plan: confirmed(plan, arguments, context, must_ask=True))
            return voyage(asked, arguments, context, desk.repository)
        return operate(UP, request, desk, arguments, context)
