"""How an environment stands now: what `verify` of each node that left something says. Looks only."""

from __future__ import annotations

from collections.abc import Mapping

from shipway.action import ActionFailed
from shipway.canonical import Json
from shipway.checkpoint_store import opened_of
from shipway.checkpoints import MADE
from shipway.drift import Answer
from shipway.environment_record import EnvironmentRecord
from shipway.execution import ExecutionTools
from shipway.inquiry import ask_left
from shipway.nodes import Verified
from shipway.plan import Plan


def sighted(plan: Plan, record: EnvironmentRecord, tools: ExecutionTools) -> dict[str, Answer]:
    """An answer for each node with a checkpoint, in the order of the plan; unknown, with the reason, where nobody can tell.

    `plan` is of the declaration that the record holds. A host that does not answer is unknown, not gone. Raises Interrupted.
    """
    left: dict[str, Mapping[str, Json]] = {}
    found: dict[str, Answer] = {}
    for node, checkpoint in record.checkpoints.items():
        if checkpoint.stale:
            found[node] = Answer(Verified.UNKNOWN, f"it is to run again: {checkpoint.stale}")
        elif node not in plan.by_id:
            found[node] = Answer(Verified.UNKNOWN, "it is not declared any more")
        try:
            left[node] = {**opened_of(tools.shelf, node, checkpoint), MADE: checkpoint.made}
        except ActionFailed as error:
            unread = Answer(Verified.UNKNOWN, str(error))
            found.setdefault(node, unread)
            # What is made of its outputs would be held against something else.
            for each in plan.nodes:
                if each.id in record.checkpoints and any(need.node == node for need in each.needs):
                    found.setdefault(each.id, unread)
    found = {**ask_left(plan, left, tools), **found}
    order = {node.id: place for place, node in enumerate(plan.nodes)}
    return {node: found[node] for node in sorted(found, key=lambda node: (order.get(node, len(order)), node))}
