"""`shipway why NODE`: which file, input, output or fact put a node into the plan, and what changed it since."""

from __future__ import annotations

import json
from argparse import Namespace

from shipway.commands.documents import read_plan, write_out
from shipway.commands.earlier_plans import files_between, last_receipt, plan_named, plan_of_receipt
from shipway.commands.notes import noting
from shipway.commands.setting import Unreported, asked_of, heeding_signals, root_here, surroundings
from shipway.comparison import Comparison, compare
from shipway.context import Context, read_context
from shipway.declaration import Declaration
from shipway.errors import EXIT_DONE, UsageError
from shipway.explanation import Earlier, Explanation, explain
from shipway.lifecycle import run_lifecycle
from shipway.loading import load_declaration
from shipway.node_ids import meant
from shipway.plan import Plan
from shipway.redaction import trusted
from shipway.reference_sites import reference_sites
from shipway.render import terminal
from shipway.render.explanation import explanation_json, render_explanation
from shipway.render.receipt_words import ending
from shipway.repository import Repository, open_repository


def run(arguments: Namespace) -> int:
    """0. Raises what planning raised, and UsageError for a node that is in no plan."""
    context = read_context()
    if arguments.plan:
        plan, declared = read_plan(context.cwd / arguments.plan), None
        repository = open_repository(root_here(context), context.env)
    else:
        plan, declared, repository = _planned(arguments, context)
    arguments.node = meant(arguments.node, plan.by_id)
    earlier, note = _earlier(arguments, plan, declared, context, repository)
    explained = _explained(arguments.node, plan, declared, earlier)
    if arguments.json:
        write_out(json.dumps(explanation_json(explained), ensure_ascii=False) + "\n")
        return EXIT_DONE
    stream = terminal.standard_output()
    colour = stream.isatty() and not context.no_color
    write_out(render_explanation(explained, colour=colour, columns=context.columns))
    if note and not arguments.quiet:
        terminal.write(terminal.standard_error(), trusted(f"{note}\n"))
    return EXIT_DONE


def _planned(arguments: Namespace, context: Context) -> tuple[Plan, Declaration, Repository]:
    request, repository = asked_of(arguments, context)
    around = surroundings(context, repository, noting(arguments, context), Unreported())
    with heeding_signals(around.interruption):
        finished = run_lifecycle(request, around)
    if finished.error is not None:
        raise finished.error
    assert finished.plan is not None
    return finished.plan, load_declaration(request.file, root=repository.root, target=request.target), repository


def _explained(name: str, plan: Plan, declared: Declaration | None, earlier: Earlier | None) -> Explanation:
    node = plan.by_id.get(name) or next((node for node in plan.compensations if node.id == name), None)
    sites = reference_sites(declared, plan, node) if declared is not None and node is not None else {}
    return explain(plan, name, earlier, sites)


def _earlier(
    arguments: Namespace, plan: Plan, declared: Declaration | None, context: Context, repository: Repository
) -> tuple[Earlier | None, str]:
    """What to compare with: what was named, else what the last sealed receipt is of; and a note where there is nothing."""

    def compared(before: Plan) -> Comparison:
        return compare(before, plan, files_between(before, plan, repository, is_now=declared is not None))

    if arguments.against:
        return Earlier(f"`{arguments.against}`", compared(plan_named(arguments.against, context))), ""
    receipt = last_receipt(plan.lifecycle, plan.target, declared, context, repository)
    if receipt is None:
        return None, "no receipt of this lifecycle and target is here: `--against PLAN` names a plan to compare with"
    try:
        before = plan_of_receipt(receipt, context)
    except UsageError as error:
        same = (
            "has the same effect as this plan" if receipt.effect == plan.effect else "has another effect than this plan"
        )
        return None, f"the last receipt, of run {receipt.run}, {same}; {error.message}"
    result = receipt.by_id.get(arguments.node)
    name = f"run {receipt.run}, which {ending(receipt)}"
    return Earlier(name, compared(before), result.outcome if result else None), ""
