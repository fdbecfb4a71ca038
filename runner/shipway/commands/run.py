"""`shipway run`: plan, ask, execute, undo on failure, keep the receipt."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Callable, Collection
from pathlib import Path

from msgspec.structs import replace

from shipway.ci import Provider
from shipway.commands.again import again_as_journalled, again_as_typed
from shipway.commands.approving import approver
from shipway.commands.breaking import breaker
from shipway.commands.documents import KeptReceipts, show_document, write_out
from shipway.commands.going_on import going_on
from shipway.commands.prompt import answered
from shipway.commands.setting import (
    asked_of,
    heeding_signals,
    refuse_on_windows,
    surroundings,
)
from shipway.context import Context, read_context
from shipway.errors import EXIT_DONE, EXIT_NOT_UNDONE, Reason, UsageError
from shipway.events import Events
from shipway.lifecycle import run_lifecycle
from shipway.plan import Plan
from shipway.receipt import Receipt, RunOutcome
from shipway.redaction import trusted
from shipway.render import failure, terminal
from shipway.render.foreign import inert
from shipway.render.plan_text import render_plan
from shipway.render.workflow import workflow_log
from shipway.repository import Repository
from shipway.undertaking import Finished, Request


def run(arguments: Namespace) -> int:
    """The exit code of the run. Raises ShipwayError where it ended before anything was executed."""
    context = read_context()
    refuse_on_windows(context)
    asked, repository = asked_of(arguments, context)
    request = replace(
        asked,
        execute=True,
        confirm=lambda plan: confirmed(plan, arguments, context, must_ask=True),
        breaker=breaker(arguments.break_glass, context),
        approver=approver(arguments, context, "shipway run"),
    )
    if arguments.reconcile:
        from shipway.commands.reconciling import idle_json, reconciled  # late: other runs look at no receipt

        found = reconciled(request, arguments, context, repository)
        if found.idle:
            if arguments.json:
                write_out(json.dumps(idle_json(found), ensure_ascii=False) + "\n")
            return EXIT_DONE
        request = found.request
    return voyage(request, arguments, context, repository)


def voyage(request: Request, arguments: Namespace, context: Context, repository: Repository) -> int:
    """Take the lifecycle through its phases, showing it as it goes; then its receipt, and the exit code."""
    events, keeper = Events(), KeptReceipts(repository.root)
    view = open_view(arguments, context)
    events.subscribe(view)
    events.wants_output = view.wants_output
    request = replace(request, confirm=_expecting(view, request.confirm))
    around = surroundings(context, repository, events, keeper, is_run=request.execute)
    with heeding_signals(around.interruption), view:
        finished = run_lifecycle(request, around)
    if finished.declined and request.is_undoing:
        raise UsageError("nothing was undone: the rollback was not confirmed", reason=Reason.NOT_CONFIRMED)
    return concluded(finished, keeper.path, arguments, context)


def open_view(arguments: Namespace, context: Context) -> terminal.Terminal:
    """Where progress is shown: standard output, or standard error where JSON has that for itself."""
    stream = terminal.standard_error() if arguments.json else terminal.standard_output()
    verbosity = terminal.Verbosity.VERBOSE if arguments.verbose else terminal.Verbosity.NORMAL
    if arguments.quiet:
        verbosity = terminal.Verbosity.QUIET
    in_github = context.ci is not None and context.ci.provider is Provider.GITHUB and not arguments.json
    return terminal.terminal_for(context, stream, verbosity, workflow_log(context) if in_github else None)


def _expecting(view: terminal.Terminal, confirm: Callable[[Plan], bool]) -> Callable[[Plan], bool]:
    def ask(plan: Plan) -> bool:
        if not confirm(plan):
            return False
        view.expect((*plan.nodes, *plan.compensations))
        return True

    return ask


def concluded(finished: Finished, path: Path | None, arguments: Namespace, context: Context) -> int:
    """Show how it ended. Raises the error of a lifecycle that never came to execute."""
    if finished.declined:
        raise UsageError("nothing was started: the plan was not confirmed", reason=Reason.NOT_CONFIRMED)
    receipt = finished.receipt
    if (receipt is None or not receipt.nodes) and finished.error is not None:
        raise finished.error
    if receipt is not None:
        form = "json" if arguments.json else "text"
        write_out(
            show_document(
                receipt,
                form,
                context,
                terminal.standard_output(),
                finished.plan,
                again=_again(receipt, arguments, context),
                going_on=() if arguments.json else going_on(receipt, finished.plan, context),
                is_brief=arguments.quiet,
            )
        )
        if path is not None and not arguments.json:
            write_out(f"receipt: {_near(path, context)}\n")
    for name, error in finished.cleanup_failures:
        terminal.write(terminal.standard_error(), trusted(inert(f"cleanup of {name} failed: {error}\n")))
    code = receipt.exit_code if receipt is not None else EXIT_DONE
    if finished.error is not None:
        terminal.write(terminal.standard_error(), trusted(failure.as_text(finished.error)))
        return code if code == EXIT_NOT_UNDONE else finished.error.exit_code
    return code


def _again(receipt: Receipt, arguments: Namespace, context: Context) -> str:
    """What runs the same anew: as it was typed, or as the run that was gone on with was begun."""
    if arguments.json or receipt.outcome is RunOutcome.SUCCEEDED:
        return ""
    if arguments.module == "run":
        return again_as_typed(arguments, receipt.target)
    return again_as_journalled(receipt.run, context)


def confirmed(
    plan: Plan,
    arguments: Namespace,
    context: Context,
    *,
    must_ask: bool,
    going_on: str = "",
    kept: Collection[str] = (),
) -> bool:
    """Show the plan and ask on a terminal, unless `--yes`; `going_on` is the run that is gone on with, `kept` what of it is done.

    Raises UsageError without a terminal to ask on, if `must_ask`.
    """
    was_looked_at = arguments.yes and not must_ask
    if not arguments.json and not arguments.quiet and not was_looked_at:
        colour = context.stdout_is_tty and not context.no_color
        write_out(render_plan(plan, colour=colour, columns=context.columns, has_next=False, kept=kept) + "\n")
    if arguments.yes or not plan.nodes or plan.approval_rules:
        return True  # whoever has to approve it is asked for that, and need not say yes besides
    if not context.stdin_is_tty:
        if must_ask:
            raise UsageError(
                "there is no terminal to ask on; nothing was started",
                reason=Reason.NOT_CONFIRMED,
                next="say `--yes`, or apply a plan that was looked at: `shipway plan -o plan.json`, `shipway apply plan.json`",
            )
        return True
    what = f"Go on with run {going_on}" if going_on else "Execute this plan"
    return said_yes(f"{what} on {plan.target}?")


def said_yes(question: str) -> bool:
    """Ask on the terminal; only `yes` is a yes."""
    return answered(f"{question} Type yes: ") in ("yes", "y")


def _near(path: Path, context: Context) -> str:
    """The path as one would type it from here."""
    return str(path.relative_to(context.cwd)) if path.is_relative_to(context.cwd) else str(path)
