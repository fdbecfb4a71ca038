"""`shipway plan`: what would be done, how sure that is, and what undoes it. Changes nothing."""

from __future__ import annotations

import shlex
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from msgspec.structs import replace

from shipway.commands import expectation
from shipway.commands.again import options_as_typed
from shipway.commands.documents import show_document, write_out
from shipway.commands.notes import noting
from shipway.commands.proofs import words_of_proofs
from shipway.commands.setting import Unreported, asked_of, heeding_signals, surroundings
from shipway.context import Context, read_context
from shipway.errors import EXIT_CHANGES, EXIT_DONE, UsageError
from shipway.lifecycle import run_lifecycle
from shipway.plan import Plan
from shipway.render import terminal
from shipway.workspace import write_atomically


def run(arguments: Namespace) -> int:
    """0, or 3 with --detailed-exitcode where there are changes. Raises what planning raised."""
    if arguments.workflow and not arguments.check:
        raise UsageError("`--workflow` belongs to `--check`", next="add `--check`, or leave `--workflow` out")
    context = read_context()
    request, repository = asked_of(arguments, context)
    if arguments.output:
        repository = replace(repository, aside=context.cwd / arguments.output)
    around = surroundings(context, repository, noting(arguments, context), Unreported())
    if arguments.check:
        from shipway.commands.staleness_check import check  # late: a plan alone asks no forge

        return check(request, around, arguments.workflow or "", as_json=arguments.json)
    again = options_as_typed(arguments)
    if arguments.reconcile:
        from shipway.commands.reconciling import reconciled  # late: a plan alone looks at no receipt

        request = reconciled(request, arguments, context, repository).request
        # Whoever keeps the plan is told to apply it with the same part left out.
        arguments.skip = list(request.selection.skip)
        again = f"--reconcile {again}"
    with heeding_signals(around.interruption):
        finished = run_lifecycle(request, around)
    if finished.error is not None:
        raise finished.error
    assert finished.plan is not None
    form = arguments.format or ("json" if arguments.json else "text")
    if arguments.output:
        path = context.cwd / arguments.output
        if arguments.format in (None, "json"):
            write_atomically(path, finished.plan.content, 0o644)
        else:
            write_atomically(
                path, show_document(finished.plan, form, context, terminal.standard_output()).encode(), 0o644
            )
    is_asked_for = arguments.json or (arguments.format is not None and not arguments.output)
    is_wanted = not arguments.quiet and not (arguments.format and arguments.output)
    if is_asked_for or is_wanted:
        write_out(_shown(finished.plan, form, arguments, context, repository.root, again))
    return EXIT_CHANGES if arguments.detailed_exitcode and finished.plan.has_changes else EXIT_DONE


def _shown(plan: Plan, form: str, arguments: Namespace, context: Context, root: Path, again: str) -> str:
    stream = terminal.standard_output()
    if form != "text":
        return show_document(plan, form, context, stream)
    from shipway.render.plan_text import render_plan  # late: other forms need none of it

    return render_plan(
        plan,
        colour=stream.isatty() and not context.no_color,
        columns=context.columns,
        expected=expectation.words(plan, root, context),
        proven=words_of_proofs(plan, root),
        file=shlex.quote(arguments.file) if arguments.file else "",
        options=again,
        kept_options=options_as_typed(arguments),
        kept_as=shlex.quote(arguments.output) if arguments.output else "",
        without=_without(plan, context),
    )


def _without(plan: Plan, context: Context) -> Sequence[str]:
    if context.ci is None:
        return ()
    from shipway.forges.consequences import told  # late: only a job has a forge

    return told(plan, context.ci.provider)
