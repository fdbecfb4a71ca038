"""Takes a run over from whoever carried it out before: refuses what is another run by now, and opens its nodes again.

Looks only at the journal, the plan and the run's directory; asks no step and starts nothing.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from msgspec import Struct, field
from msgspec.structs import replace

from shipway.conditions import outlives
from shipway.continuation import Resumption, undecided
from shipway.effect_differences import Difference, differences
from shipway.errors import Reason, UsageError, VerificationError, did_you_mean
from shipway.exchange import file_name
from shipway.journal import Journals
from shipway.nodes import Node, Outcome
from shipway.plan import Plan
from shipway.registry import Registry
from shipway.reopening import Fate, Reopening, Wish, reopen
from shipway.replay import Standing, stand
from shipway.run_record import RunRecord, RunStatus
from shipway.secrecy import Secrecy
from shipway.takeback import as_rolling_back, to_undo


class GoOn(Struct, frozen=True):
    """Which run is to be gone on with, and what a person said about its nodes.

    `undo`: it is rolled back; `accepts_drift`: also where what it did has changed since, or something else came after it.
    """

    run: str
    wish: Wish = field(default_factory=Wish)
    undo: bool = False
    accepts_drift: bool = False


class Ground(Struct, frozen=True):
    """Where a run is taken over. `workspace` names the folder, `directory` is the run's, the others are as in `Journals`."""

    registry: Registry
    directory: Path
    workspace: str
    secrecy: Secrecy
    blind: Mapping[str, bool]


def check_last(record: RunRecord, journals: Journals) -> None:
    """Refuse to go on with a run that another one of its lifecycle and target came after. Raises VerificationError.

    One that began nothing does not count.
    """
    summary = record.summary
    for later in journals.runs():
        if later.run == summary.run:
            return
        is_other = (later.lifecycle, later.target) != (summary.lifecycle, summary.target)
        if not is_other and journals.read(later.run).history:
            raise VerificationError(
                f"run `{later.run}` came after `{summary.run}`: what the older one left may be as it was or not",
                reason=Reason.RUN_SUPERSEDED,
                next="`shipway run` begins a new one",
            )


def check_same(record: RunRecord, plan: Plan, before: Plan) -> str:
    """Refuse to go on with a run that would do something else by now: VerificationError with the differing nodes.

    A node that names no `reads` reads every file, and steps write files: that they are other files than the run began with
    is no difference where they are those that it left. Of a killed run nobody can tell, and outside git a cause that was
    removed cannot be told from a change of what is done. Returns what to warn of, or an empty text.
    """
    if record.summary.effect == plan.effect:
        return ""
    left = record.files if plan.source.commit is not None else None
    found = differences(before, plan)
    if before.source.commit == plan.source.commit:
        found = tuple(difference for difference in found if not _is_left_by_run(difference, plan, left))
    if not found:
        return "" if left else "files changed since the run began: by its own steps, or by somebody else"
    listed = "\n".join(f"  {difference}" for difference in found)
    raise VerificationError(
        f"run `{record.summary.run}` was begun with another effect:\n{listed}",
        reason=Reason.PLAN_DIFFERS,
        next=f"restore what it was begun with, or undo it (`shipway rollback {record.summary.run}`) and run anew",
    )


def _is_left_by_run(difference: Difference, plan: Plan, files: str | None) -> bool:
    node = plan.by_id.get(difference.subject)
    if difference.fields != ("reads",) or node is None or not node.reads.is_whole_tree:
        return False
    return files in (None, node.reads.digest)


def take_over(plan: Plan, record: RunRecord, wish: Wish, journals: Journals, ground: Ground) -> Resumption:
    """The run, held by this process from now on, with the fate of each of its nodes.

    Raises VerificationError (`outcome-unknown`) where a person has to look first, UsageError for a node that is not in
    it, UnreachableError (`lock-held`) where somebody else carries it out. Nothing is changed then.
    """
    for node in (*wish.assumed, *filter(None, [wish.start_from])):
        if node not in plan.by_id:
            raise UsageError(f"there is no node `{node}` in the plan", next=did_you_mean(node, plan.by_id))
    standings = stand(plan.nodes, record)
    traces = _traces(record, standings, ground.directory)
    if record.summary.status is RunStatus.ROLLING_BACK:
        reopening = Reopening(dict.fromkeys(standings, Fate.KEEP))
    else:
        reopening = _reopened(plan, record, standings, wish, ground, traces)
    opened = [node for node in reopening.of(Fate.OPEN) if _counts_anew(standings[node], wish)]
    journal = journals.resume(record, opened, traces, ground.secrecy, ground.blind)
    return Resumption(record, standings, reopening, wish.assumed, journal)


def take_back(
    plan: Plan, record: RunRecord, order: Sequence[str], go_on: GoOn, journals: Journals, ground: Ground
) -> Resumption:
    """The run, held by this process from now on to be rolled back in this order. `plan` has what the run added to itself.

    Raises UnreachableError where somebody carries it out.
    """
    journal = journals.resume(record, None, (), ground.secrecy, ground.blind, is_taken_back=True)
    rolling_back = as_rolling_back(record, order)
    standings = stand(plan.nodes, rolling_back)
    reopening = Reopening(dict.fromkeys(standings, Fate.KEEP))
    return Resumption(rolling_back, standings, reopening, {}, journal, accepts_drift=go_on.accepts_drift)


def check_uncovered(record: RunRecord, journals: Journals) -> None:
    """Refuse to roll back a run where a later one of the same lifecycle and target left something: VerificationError."""
    same = (record.summary.lifecycle, record.summary.target)
    for summary in journals.runs():
        if summary.run == record.summary.run:
            return
        if (summary.lifecycle, summary.target) != same:
            continue
        if to_undo(journals.plan(summary.run), journals.read(summary.run)):
            raise VerificationError(
                f"run `{summary.run}` came after it, and what that did stands",
                reason=Reason.RUN_SUPERSEDED,
                next=f"roll that back first: `shipway rollback {summary.run}`; or say `--drifted`",
            )


def _reopened(
    plan: Plan,
    record: RunRecord,
    standings: Mapping[str, Standing],
    wish: Wish,
    ground: Ground,
    traces: Collection[str],
) -> Reopening:
    is_same = record.opening.workspace == ground.workspace
    found = _fates(plan, standings, wish, ground.registry, traces, same_workspace=is_same)
    if found.undecided:
        raise undecided(found.undecided, record.summary.run)
    return found


def _fates(
    plan: Plan,
    standings: Mapping[str, Standing],
    wish: Wish,
    registry: Registry,
    traces: Collection[str],
    *,
    same_workspace: bool,
) -> Reopening:
    outliving = {stage.id for stage in plan.stages if outlives(stage.condition)}
    return reopen(
        plan,
        standings,
        wish,
        same_workspace=same_workspace,
        has_verify={node.id for node in plan.nodes if can_be_asked(node, registry)},
        reacts={node.id for node in plan.nodes if node.stage in outliving or outlives(node.condition)},
        traces=traces,
    )


def foreseen(
    plan: Plan, record: RunRecord, wish: Wish, registry: Registry, directory: Path, *, same_workspace: bool
) -> Reopening:
    """What would become of each node if the run were gone on with; what is sealed counts as kept. Nothing is refused.

    Its `plan` has what the run added to itself. A run that was killed in its rollback only goes on with that.
    """
    if record.summary.status is RunStatus.ROLLING_BACK:
        return Reopening({node.id: Fate.KEEP for node in plan.nodes})
    kept = [replace(entry, lost=()) if entry.sealed else entry for entry in record.history]
    standings = stand(plan.nodes, replace(record, history=kept))
    traces = _traces(record, standings, directory)
    return _fates(plan, standings, wish, registry, traces, same_workspace=same_workspace)


def _counts_anew(standing: Standing, wish: Wish) -> bool:
    """Whether its attempts so far count no more: not those of a node that Shipway was killed with, unless a person said so."""
    is_wished = standing.node.id in wish.assumed or wish.start_from is not None
    return bool(standing.tries) and (is_wished or standing.outcome is not Outcome.UNKNOWN)


def can_be_asked(node: Node, registry: Registry) -> bool:
    """Whether the node has a `verify` that tells whether its work is there."""
    if node.is_group:
        return True  # it does nothing by itself
    action = registry.require_action(node.action)
    return "verify" not in action.slots or "verify" in node.slots


def _traces(record: RunRecord, standings: Mapping[str, Standing], directory: Path) -> list[str]:
    """Nodes that may have begun although the journal knows no attempt of theirs, since it lost what came last.

    They were announced before the machine went down, or a child of theirs wrote something here.
    """
    if not record.summary.has_crashed:
        return []
    announced = record.announced if record.is_after_restart else ()
    names: set[str] = set()
    for place in ("raw", "io", "logs"):
        if (directory / place).is_dir():
            names |= {name.partition(".log")[0] for name in os.listdir(directory / place)}
    names |= {name.rpartition(".")[0] for name in names}
    return [
        node
        for node, standing in standings.items()
        if not standing.tries and (node in announced or file_name(node) in names)
    ]
