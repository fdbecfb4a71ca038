"""`shipway drill`: execute on a target that is there for it, fail after each node in turn, and see whether all is undone."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Iterator

from msgspec import Struct, field
from msgspec.structs import replace

from shipway.approval import Approver, Sanction, nobody
from shipway.commands.approving import approver
from shipway.commands.documents import write_out
from shipway.commands.proofs import keep_proofs
from shipway.commands.run import open_view, said_yes
from shipway.commands.setting import Unreported, asked_of, heeding_signals, refuse_on_windows, surroundings
from shipway.context import Context, read_context
from shipway.drill import Proof, to_drill, undo_key
from shipway.errors import EXIT_DONE, EXIT_FAILED, EXIT_INTERRUPTED, EXIT_NOT_UNDONE, Reason, UsageError
from shipway.events import Events
from shipway.executor import DRILLED
from shipway.lifecycle import run_lifecycle
from shipway.loading import load_declaration
from shipway.nodes import WHOLE, Node, Outcome, Verified
from shipway.plan import Plan
from shipway.receipt import RunOutcome
from shipway.render import terminal
from shipway.render.drill import DrillRow, render_drill
from shipway.render.foreign import one_line
from shipway.render.wording import outcome_word, plural
from shipway.repository import Repository
from shipway.undertaking import Finished, Request


class _Found(Struct, dict=True):
    """What the rounds so far came to. `undone` and `verdicts` are the worst of each node; `why` is set where it ends."""

    undone: dict[str, Outcome] = field(default_factory=dict)
    verdicts: dict[str, Verified] = field(default_factory=dict)
    rounds: int = 0
    why: str = ""
    code: int = EXIT_DONE


def run(arguments: Namespace) -> int:
    """0 where every undo that was asked for worked. Raises ShipwayError where nothing was executed."""
    context = read_context()
    refuse_on_windows(context)
    request, repository = asked_of(arguments, context)
    plan = _planned(request, repository, context)
    nodes = to_drill(plan)
    request = replace(request, approver=_approver(plan, arguments, context))
    if not arguments.yes:
        _ask(len(nodes), plan.target, context)
    found = _Found()
    for finished in _rounds(request, plan, nodes, arguments, repository, context):
        _take(finished, nodes[found.rounds], found)
        if found.why:
            break
    keep_proofs(repository.root, plan.lifecycle, _proofs(plan, found, context))
    _show(plan, found, arguments, context)
    return found.code


def _planned(request: Request, repository: Repository, context: Context) -> Plan:
    loaded = load_declaration(request.file, root=repository.root, target=request.target)
    if not loaded.target_rule(request.target).drill:
        raise UsageError(
            f"the target `{request.target}` is not there to be broken",
            reason=Reason.TARGET_REFUSED,
            next="declare one that is: `targets: {drill: {drill: true}}`, and say `--target drill`",
        )
    around = surroundings(context, repository, Events(), Unreported())
    with heeding_signals(around.interruption):
        finished = run_lifecycle(request, around)
    if finished.error is not None:
        raise finished.error
    assert finished.plan is not None
    return finished.plan


def _approver(plan: Plan, arguments: Namespace, context: Context) -> Approver:
    """Approval of the plan as it is without a drill: that each round fails on purpose needs none of its own."""
    if not plan.approval_rules:
        return nobody
    sanction = approver(arguments, context, "shipway drill")(plan, Sanction())
    return lambda drilled, earlier: sanction


def _ask(rounds: int, target: str, context: Context) -> None:
    if not context.stdin_is_tty:
        raise UsageError(
            "there is no terminal to ask on; nothing was started", reason=Reason.NOT_CONFIRMED, next="say `--yes`"
        )
    if not said_yes(f"Execute {plural(rounds, 'time')} on {target}, failing after one node each?"):
        raise UsageError("nothing was started: the drill was not confirmed", reason=Reason.NOT_CONFIRMED)


def _rounds(
    request: Request, plan: Plan, nodes: list[str], arguments: Namespace, repository: Repository, context: Context
) -> Iterator[Finished]:
    """One execution for each node, which fails once it has succeeded. Raises the error of one that came to nothing."""
    for number, node in enumerate(nodes, 1):
        if not arguments.json and not arguments.quiet:
            write_out(f"\nround {number} of {len(nodes)}: {one_line(node)} succeeds, then counts as failed\n")
        events = Events()
        around = surroundings(context, repository, events, Unreported())
        view = open_view(arguments, context)
        events.subscribe(view)
        view.expect((*plan.nodes, *plan.compensations))
        with heeding_signals(around.interruption), view:
            finished = run_lifecycle(replace(request, execute=True, fail_after=node), around)
        if finished.receipt is None or (finished.error is not None and not finished.receipt.nodes):
            assert finished.error is not None
            raise finished.error
        yield finished


def _take(finished: Finished, node: str, found: _Found) -> None:
    """Add what one round came to; say why, where it is the last one."""
    receipt = finished.receipt
    assert receipt is not None
    found.rounds += 1
    for entry in receipt.rollback:
        if found.undone.get(entry.node, Outcome.UNDONE) in WHOLE:
            found.undone[entry.node] = entry.outcome
    for name, verdict in finished.verdicts.items():
        if found.verdicts.get(name) is not Verified.HOLDS:
            found.verdicts[name] = verdict
    own = [result.node for result in receipt.failed if result.error != DRILLED]
    if receipt.outcome is RunOutcome.NOT_UNDONE or Verified.HOLDS in finished.verdicts.values():
        found.why, found.code = f"after `{node}` failed, not everything was undone", EXIT_NOT_UNDONE
    elif receipt.outcome is RunOutcome.CANCELLED:
        found.why, found.code = "interrupted", EXIT_INTERRUPTED
    elif own:
        found.why, found.code = f"`{own[0]}` failed by itself, and all was undone", EXIT_FAILED


def _proofs(plan: Plan, found: _Found, context: Context) -> dict[str, Proof]:
    at = f"{context.now():%Y-%m-%dT%H:%M:%SZ}"
    return {
        node: Proof(undo_key(plan.by_id[node]), at, plan.target, found.verdicts.get(node) is Verified.GONE)
        for node, outcome in found.undone.items()
        if node in plan.by_id and outcome is Outcome.UNDONE and found.verdicts.get(node) is not Verified.HOLDS
    }


def _show(plan: Plan, found: _Found, arguments: Namespace, context: Context) -> None:
    if arguments.json:
        nodes = [
            {
                "node": node.id,
                "undo": found.undone[node.id].value if node.id in found.undone else None,
                "verify": found.verdicts[node.id].value if node.id in found.verdicts else None,
            }
            for node in (*plan.nodes, *plan.compensations)
        ]
        facts = {"target": plan.target, "rounds": found.rounds, "error": found.why, "nodes": nodes}
        write_out(json.dumps(facts, ensure_ascii=False) + "\n")
        return
    rows = [_row(node, found) for node in (*plan.nodes, *plan.compensations) if not node.is_group]
    ending = f"{plural(found.rounds, 'time')} executed and rolled back on {plan.target}"
    stream = terminal.standard_output()
    ending = f"{ending}; the drill ended there: {found.why}" if found.why else f"{ending}: all was undone"
    write_out("\n" + render_drill(rows, ending, colour=stream.isatty() and not context.no_color))


def _row(node: Node, found: _Found) -> DrillRow:
    outcome, verdict = found.undone.get(node.id), found.verdicts.get(node.id)
    if outcome is None:
        undo = "leaves nothing behind" if not node.must_be_undone else "was never begun"
    else:
        undo = "ran" if outcome is Outcome.SUCCEEDED else outcome_word(outcome)
    words = {None: "", Verified.GONE: "gone", Verified.HOLDS: "still there", Verified.UNKNOWN: "cannot tell"}
    is_bad = (outcome is not None and outcome not in WHOLE) or verdict is Verified.HOLDS
    return DrillRow(node.id, undo, words[verdict], is_bad)
