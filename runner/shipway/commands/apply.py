"""`shipway apply PLAN`: execute a plan made earlier, if it is still what would be done."""

from __future__ import annotations

import os
import shlex
from argparse import Namespace
from pathlib import Path

from msgspec.structs import replace

from shipway.commands.accounting import done_under
from shipway.commands.approving import approver
from shipway.commands.breaking import breaker
from shipway.commands.documents import read_plan
from shipway.commands.run import confirmed, voyage
from shipway.commands.setting import (
    find_file,
    inputs_of,
    refuse_on_windows,
    refuse_strangers,
    repository_of,
    root_here,
    selection_of,
)
from shipway.context import Context, read_context
from shipway.errors import Reason, VerificationError
from shipway.plan import Plan
from shipway.undertaking import Request


def run(arguments: Namespace) -> int:
    """The exit code of the run. Raises VerificationError where plan, target or effect is not what it should be."""
    context = read_context()
    refuse_on_windows(context)
    refuse_strangers(context)
    plan = read_plan(context.cwd / arguments.plan)
    if arguments.target and arguments.target != plan.target:
        raise VerificationError(
            f"the plan is for target `{plan.target}`, not `{arguments.target}`",
            reason=Reason.TARGET_REFUSED,
            next=f"plan for it: `shipway plan --target {arguments.target} -o {arguments.plan}`",
        )
    approve = approver(arguments, context, f"shipway apply {shlex.quote(arguments.plan)}", plan)
    if not arguments.file:
        arguments.file = _declaration_of(plan, context)
    file = find_file(arguments, context)
    checkout = repository_of(file, context)
    request = Request(
        file,
        plan.target,
        inputs=inputs_of(arguments),
        selection=selection_of(arguments),
        execute=True,
        given=plan,
        confirm=lambda given: confirmed(given, arguments, context, must_ask=False),
        breaker=breaker(arguments.break_glass, context),
        approver=approve,
        accounting=lambda effect: done_under(effect, plan, file, context, checkout),
    )
    repository = replace(checkout, aside=context.cwd / arguments.plan)
    return voyage(request, arguments, context, repository)


def _declaration_of(plan: Plan, context: Context) -> str:
    """The declaration that the plan names, in the checkout around this directory. Raises VerificationError for another."""
    root = root_here(context)
    file = Path(os.path.realpath(root / plan.source.file))
    if not file.is_relative_to(os.path.realpath(root)):
        raise VerificationError(
            f"the plan's declaration `{plan.source.file}` is outside this checkout",
            reason=Reason.TARGET_REFUSED,
            next="name it with `-f FILE` if that is meant",
        )
    return str(root / plan.source.file)
