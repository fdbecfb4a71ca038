"""What a plan foretold of outputs, and whether it came true. Pure; says nothing of values that may not be shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec.structs import replace

from shipway.canonical import Json, canonical_bytes
from shipway.errors import Reason, VerificationError
from shipway.nodes import Node
from shipway.plan import Plan

BROKEN = Reason.PREDICTION_BROKEN.value
"""The word that stands in an attempt's `code` where an output came out otherwise than foretold."""

_MOST_SHOWN = 200
"""Characters of a value in a message; the whole one stands in plan and receipt."""

_NEVER_FORETOLD = ("secret", "file")


def check_foretold(given: Plan, now: Plan) -> None:
    """Refuse to execute a plan that was looked at where its predictions would be others now: VerificationError."""
    found = []
    for node in now.nodes:
        before = given.by_id.get(node.id)
        for name, value in _told(before, node).items():
            if name in node.predicted and node.predicted[name] != value:
                found.append(f"  {node.id}: predicted {name} was {_shown(value)}, is {_shown(node.predicted[name])}")
    if found:
        raise VerificationError(
            "what would come of it now is not what was predicted:\n" + "\n".join(found),
            reason=Reason.PREDICTION_BROKEN,
            next="look at it with `shipway plan`, and apply the new plan",
        )


def keeping(now: Plan, before: Plan) -> Plan:
    """The plan with what the one before it foretold of the same nodes: that is what somebody looked at."""
    if now is before:
        return now
    nodes = tuple(_kept(node, before.by_id.get(node.id)) for node in now.nodes)
    if all(kept is node for kept, node in zip(nodes, now.nodes, strict=True)):
        return now
    return now.predicted(nodes, now.rollback)


def broken(node: Node, outputs: Mapping[str, Json], clean: Callable[[str], str]) -> str:
    """Which output of a node that is done came out otherwise than foretold, in words; empty where none did.

    `clean` masks what must not be shown.
    """
    for name, value in node.predicted.items():
        rule = node.outputs.get(name)
        if rule is None or rule.type in _NEVER_FORETOLD or (name in outputs and outputs[name] == value):
            continue
        came = f"came out as {_shown(outputs[name], clean)}" if name in outputs else "was not written"
        return f"output `{name}` {came}, and the plan predicted {_shown(value, clean)}"
    return ""


def refusal_of(node: Node, error: str) -> VerificationError:
    """Why the run was stopped: an output of `node` is not what the plan said it would be."""
    return VerificationError(
        f"`{node.id}` did not come out as planned: {error}",
        reason=Reason.PREDICTION_BROKEN,
        stage=node.stage,
        where=node.position,
        next="what follows was planned for another value: look at a new plan, then run that",
    )


def _kept(node: Node, before: Node | None) -> Node:
    told = _told(before, node)
    if all(name in node.predicted and node.predicted[name] == value for name, value in told.items()):
        return node
    return replace(node, predicted={**node.predicted, **told})


def _told(before: Node | None, node: Node) -> Mapping[str, Json]:
    """What a node of an earlier plan foretold of outputs that the node declares."""
    if before is None or not before.predicted or node.is_group:
        return {}
    return {
        name: value
        for name, value in before.predicted.items()
        if name in node.outputs and node.outputs[name].type not in _NEVER_FORETOLD
    }


def _shown(value: Json, clean: Callable[[str], str] = str) -> str:
    text = clean(value if isinstance(value, str) else canonical_bytes(value).decode())
    return f"`{text}`" if len(text) <= _MOST_SHOWN else f"`{text[:_MOST_SHOWN]}…`"
