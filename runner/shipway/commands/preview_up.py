"""`shipway preview up` and `attach`: make an environment, or bring it to the present commit."""

from __future__ import annotations

from argparse import Namespace

from shipway.commands.preview_desk import Desk, open_desk
from shipway.commands.preview_run import UP, operate
from shipway.commands.setting import Unreported, inputs_of, refuse_on_windows, refuse_strangers, surroundings
from shipway.context import Context, read_context
from shipway.environment_record import EnvironmentRecord, marked_stale
from shipway.events import Events
from shipway.lifecycle import check_lifecycle
from shipway.planning import Selection
from shipway.preview_names import found_node
from shipway.undertaking import Request


def run(arguments: Namespace) -> int:
    """The exit code of the run."""
    context = read_context()
    refuse_on_windows(context)
    refuse_strangers(context)
    with open_desk(arguments, context) as desk:
        request = Request(
            desk.file, desk.target, inputs=inputs_of(arguments), selection=Selection(tuple(arguments.stage))
        )
        if arguments.no_cache or arguments.start_from:
            _open_again(request, desk, arguments, context)
        return operate(UP, request, desk, arguments, context)


def _open_again(request: Request, desk: Desk, arguments: Namespace, context: Context) -> None:
    """Mark what was asked to run again, whatever it left. Raises UsageError for a node that is not in the plan."""
    plan = check_lifecycle(request, surroundings(context, desk.repository, Events(), Unreported()))
    nodes, why = [node.id for node in plan.nodes], "--no-cache"
    if arguments.start_from:
        node = found_node(plan, arguments.start_from)
        nodes, why = [node, *plan.graph().all_dependents(node)], f"--from {node}"

    def change(before: EnvironmentRecord | None) -> EnvironmentRecord:
        return marked_stale(before or EnvironmentRecord(desk.lifecycle, desk.target), nodes, why)

    if desk.record() is not None:
        desk.environments.change(desk.target, change)
