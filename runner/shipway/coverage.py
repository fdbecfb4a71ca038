"""Whether what would run now is what was approved: the same effect, or less of it where the rest is done. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

from msgspec.structs import replace

from shipway.approvals import AccountedNode
from shipway.declaration import Rollback
from shipway.errors import Reason, UsageError, VerificationError
from shipway.limits import Limit
from shipway.nodes import Change, Fidelity, Node
from shipway.plan import Plan
from shipway.planning import Selection, select
from shipway.staleness import check_given

Accounting: TypeAlias = Callable[[str], Mapping[str, str]]
"""The nodes that were done under an effect and stand as they were left, each with where that is recorded."""

_WORSE = frozenset({Change.REPLACE, Change.DELETE})
_IDLE = "nothing to do, it is so already"


class Uncovered(VerificationError):
    """What would run is not what was approved; both plans are here, so that whoever shows this can say how they differ."""

    def __init__(self, message: str, *, reason: Reason, next: str, approved: Plan, now: Plan) -> None:
        super().__init__(message, reason=reason, next=next)
        self.approved = approved
        self.now = now


def nothing_done(effect: str) -> Mapping[str, str]:
    """The accounting of who keeps no records."""
    return {}


def idle(approved: Plan, whole: Plan) -> Mapping[str, str]:
    """The approved nodes for which there is nothing to do, by `whole`: the same plan, made anew without leaving anything out."""
    if whole.effect != approved.effect:
        return {}
    return {node.id: _IDLE for node in whole.nodes if node.change is Change.NOOP and node.fidelity is Fidelity.EXACT}


def covered(approved: Plan, now: Plan, selection: Selection, accounting: Accounting) -> tuple[AccountedNode, ...]:
    """The approved nodes that `now` lacks because `selection` leaves them out, each with why nothing is left to do for it.

    Raises VerificationError with what differs where `now` is another plan, also where it is only part of what was approved
    and the rest is not done: a node that is gone from the declaration was approved, and is not accounted for by that.
    """
    part = approved if approved.effect == now.effect else _part(approved, now, selection)
    check_given(part, now)
    worse = list(_worse(part, now))
    if worse:
        listed = "\n".join(f"  {text}" for text in worse)
        raise _differs(f"the world has changed, so that it would be done otherwise than approved:\n{listed}")
    lacking = [node.id for node in approved.nodes if node.id not in part.by_id]
    if not lacking:
        return ()
    done = accounting(approved.effect)
    missing = [
        f"  {node}: left out, and no run of what was approved has done it" for node in lacking if node not in done
    ]
    if missing:
        raise _differs("what would run is only a part of what was approved:\n" + "\n".join(missing))
    return tuple(AccountedNode(node, done[node]) for node in lacking)


def _part(approved: Plan, now: Plan, selection: Selection) -> Plan:
    """What `selection` takes of a plan, which may have been made with the same one, beside `now`, which was."""
    names = {*approved.stages_by_id, *approved.by_id}
    wanted = Selection(
        tuple(stage for stage in selection.stages if stage in names),
        tuple(name for name in selection.skip if name in names),
    )
    try:
        stages, nodes = select(approved.stages, approved.nodes, wanted)
    except UsageError:
        return approved  # a part that could not be planned: the whole is compared, and differs
    if (len(stages), len(nodes)) == (len(approved.stages), len(approved.nodes)):
        return approved
    part = replace(approved, stages=tuple(stages), nodes=tuple(nodes))
    return replace(part, rollback=_rollback(part, now), limits=_limits(part, now))


def _rollback(part: Plan, now: Plan) -> Rollback:
    """Where nothing of a part can be undone, planning says `none` of it by itself, and there is nothing that this leaves out."""
    can_undo = any(each.reversible for node in part.nodes for each in (node, *node.all_templates()))
    return part.rollback if can_undo or part.compensations else now.rollback


def _limits(part: Plan, now: Plan) -> dict[str, Limit]:
    """The limits, but for those that only the actions of what is left out brought along: no node of the part is under them."""
    every = (*part.nodes, *part.compensations)
    used = {limit for node in every for each in (node, *node.all_templates()) for limit in each.limits}
    return {name: limit for name, limit in part.limits.items() if name in used or name in now.limits}


def _worse(approved: Plan, now: Plan) -> Iterator[str]:
    """Nodes that would do to the world what nobody saw: replace or delete, or leave something else behind.

    Of an opaque one nobody was told what it would do, and it was approved as that.
    """
    for node in now.nodes:
        before = approved.by_id[node.id]
        if before.fidelity is Fidelity.OPAQUE:
            continue
        if node.change in _WORSE and node.change is not before.change:
            yield f"{node.id}: {before.change.value} became {node.change.value}"
        elif _is_exact(before) and _is_exact(node) and node.after != before.after:
            yield f"{node.id}: after"


def _is_exact(node: Node) -> bool:
    return node.fidelity is Fidelity.EXACT and not node.is_group and node.after is not None


def _differs(text: str) -> VerificationError:
    return VerificationError(
        text, reason=Reason.PLAN_DIFFERS, next="look at the plan as it is now, and have that approved"
    )
