"""`shipway preview reset`, `seed` and `init`: run a hook of one of the provisioner's services on demand."""

from __future__ import annotations

from argparse import Namespace

from msgspec.structs import replace

from shipway.commands.preview_desk import open_desk
from shipway.commands.preview_requests import renewing_request
from shipway.commands.preview_run import UP, operate
from shipway.commands.run import confirmed, voyage
from shipway.commands.setting import inputs_of, refuse_on_windows, refuse_strangers
from shipway.context import read_context
from shipway.preview_settings import Doing


def run(arguments: Namespace) -> int:
    """The exit code of the run. Raises UsageError where there is no such environment, service or hook."""
    context = read_context()
    refuse_on_windows(context)
    refuse_strangers(context)
    doing = Doing(arguments.part)
    with open_desk(arguments, context) as desk:
        if doing is not Doing.INIT:
            desk.known()
        request = replace(renewing_request(doing, arguments.service, desk), inputs=inputs_of(arguments))
        if doing is Doing.INIT:  # once for a lifecycle: it belongs to no environment
            asked = replace(request, confirm=lambda plan: confirmed(plan, arguments, context, must_ask=True))
            return voyage(asked, arguments, context, desk.repository)
        operation = replace(UP, name=f"{doing.value} {arguments.service}")
        return operate(operation, request, desk, arguments, context)
