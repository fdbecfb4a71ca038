"""`shipway preview up` and `attach`: make an environment, or bring it to the present commit."""

from __future__ import annotations

import os
from argparse import Namespace
from pathlib import Path

from msgspec.structs import replace

from shipway.canonical import mapping
from shipway.commands.preview_desk import Desk, derived_file, open_desk, target_of_branch
from shipway.commands.preview_handover import handed_over, told_by
from shipway.commands.preview_run import UP, operate
from shipway.commands.setting import Unreported, inputs_of, refuse_on_windows, refuse_strangers, surroundings
from shipway.context import Context, read_context
from shipway.environment_record import Checkpoint, EnvironmentRecord, marked_stale
from shipway.errors import Reason, UsageError
from shipway.events import Events
from shipway.lifecycle import check_lifecycle
from shipway.planning import Selection
from shipway.preview_derivation import attached, recorded_data
from shipway.preview_moving import moving, roles_of
from shipway.preview_names import COMPUTE, found_node
from shipway.repository import Repository, open_repository
from shipway.undertaking import Request


def run(arguments: Namespace) -> int:
    """The exit code of the run."""
    context = read_context()
    refuse_on_windows(context)
    refuse_strangers(context)
    named = _checkout_at(context.cwd / arguments.path, context) if arguments.part == "attach" else None
    if named is not None and named.branch and not arguments.target:
        arguments.target = target_of_branch(named.branch)
    with open_desk(arguments, context) as desk:
        desk = replace(desk, checkout=_foreign_checkout(desk, named, context))
        request = up_request(desk, arguments)
        if arguments.manifest:
            handed = handed_over(context.cwd / arguments.manifest, desk, context)
            request = replace(request, file=handed.file, derived_from=desk.files)
            context, desk = replace(context, env=handed.env), told_by(desk, handed.file)
        if arguments.no_cache or arguments.start_from:
            _open_again(request, desk, arguments, context)
        return operate(UP, request, desk, arguments, context)


def up_request(desk: Desk, arguments: Namespace) -> Request:
    """What is asked for: the declaration as it is or, for a checkout that is not ours, one that names it."""
    file = desk.file
    derived_from: tuple[str, ...] = ()
    if desk.checkout is not None and desk.declared is not None:
        file = derived_file(desk, "up", attached(recorded_data(desk.declared), str(desk.checkout.root)))
        derived_from = desk.files
    selection = Selection(tuple(arguments.stage))
    return Request(file, desk.target, inputs=inputs_of(arguments), selection=selection, derived_from=derived_from)


def compute_of(record: EnvironmentRecord) -> Checkpoint | None:
    """What the node that made the place has left."""
    return next((each for node, each in record.checkpoints.items() if node.partition("/")[2] == COMPUTE), None)


def _foreign_checkout(desk: Desk, named: Repository | None, context: Context) -> Repository | None:
    """The checkout that the environment lives in, where it is not ours; None for one that Shipway makes. Raises UsageError."""
    record = desk.record()
    compute = compute_of(record) if record is not None and record.is_alive else None
    before = str(mapping(compute.outputs).get("root", "")) if compute is not None else ""
    if named is None:
        outputs = compute.outputs if compute is not None else {}
        is_foreign = bool(before) and outputs.get("managed") is False and not outputs.get("host")
        return _checkout_at(Path(before), context) if is_foreign else None
    if before and before != str(named.root):
        raise UsageError(
            f"the environment `{desk.target}` lives in `{before}`, not in `{named.root}`",
            reason=Reason.TARGET_REFUSED,
            next=f"remove it first: `shipway preview down --target {desk.target}`; or name another target",
        )
    return named


def _checkout_at(path: Path, context: Context) -> Repository:
    """The checkout that was named. Raises UsageError where there is none."""
    found = Path(os.path.realpath(path))
    checkout = open_repository(found, context.env) if found.is_dir() else None
    if checkout is None or not checkout.is_git:
        raise UsageError(
            f"`{path}` is no git checkout", next="name a checkout: `git worktree add ../other BRANCH` makes one"
        )
    return checkout


def _open_again(request: Request, desk: Desk, arguments: Namespace, context: Context) -> None:
    """Mark what was asked to run again, whatever it left. Raises UsageError for a node that is not in the plan."""
    plan = check_lifecycle(request, surroundings(context, desk.repository, Events(), Unreported()))
    nodes, why = [node.id for node in plan.nodes], "--no-cache"
    if arguments.start_from:
        node = found_node(plan, arguments.start_from)
        nodes, why = [node, *plan.graph().all_dependents(node)], f"--from {node}"

    def change(before: EnvironmentRecord | None) -> EnvironmentRecord:
        record = before or EnvironmentRecord(desk.lifecycle, desk.target)
        moved_id = moving(record, roles_of(desk.declared) if desk.declared is not None else {})
        return marked_stale(record, [each for each in record.checkpoints if moved_id(each) in nodes], why)

    if desk.record() is not None:
        desk.environments.change(desk.target, change)
