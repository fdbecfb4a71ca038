"""A drill: which runs prove that undos work, and what is kept of what they proved. Pure; runs nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct
from msgspec.structs import replace

from shipway import canonical
from shipway.canonical import Json, object_of
from shipway.declaration import OnCancel, OnFailure, Retry, Rollback
from shipway.node_json import slot_json
from shipway.nodes import Node
from shipway.plan import Plan

_DECISIVE = ("run", "undo", "verify", "shell", "working_directory")
"""The slots of a script that decide how it is undone; what it is given as environment may differ from target to target."""


class Proof(Struct, frozen=True):
    """An undo that worked: of what (`key`), when (RFC 3339), on which target, and whether `verify` found nothing after it."""

    key: str
    at: str
    target: str
    is_verified: bool


def drilled(plan: Plan, node: str) -> Plan:
    """The plan for a run in which `node` fails once it has succeeded: whatever its policies say, all is undone then."""
    return replace(
        plan,
        rollback=Rollback.RUN,
        on_failure=OnFailure.DRAIN,
        on_cancel=OnCancel.UNDO,
        stages=tuple(replace(stage, rollback=None, on_failure=OnFailure.DRAIN, retry=Retry()) for stage in plan.stages),
        nodes=tuple(replace(each, allow_failure=False) if each.id == node else each for each in plan.nodes),
    )


def to_drill(plan: Plan) -> list[str]:
    """The nodes to fail after, one run each, in the order in which they run."""
    order = plan.graph().topological_order()
    return [node for node in order if node in plan.by_id and not plan.by_id[node].is_group]


def undo_key(node: Node) -> str:
    """What a proof is about: the same for nodes that do, undo and verify the same, whatever their target."""
    slots = {name: slot_json(slot) for name, slot in node.slots.items() if name in _DECISIVE}
    return canonical.digest({"id": node.id, "action": node.action, "slots": slots})


def proven(nodes: Iterable[Node], proofs: Mapping[str, Proof]) -> dict[str, Proof | None]:
    """The proof of each node whose undo may have to work, or None; empty where there never was a drill."""
    if not proofs:
        return {}
    found = {node.id: proofs.get(node.id) for node in nodes if node.must_be_undone and node.reversible}
    keys = {node.id: undo_key(node) for node in nodes if node.id in found}
    return {node: proof if proof and proof.key == keys[node] else None for node, proof in found.items()}


def proofs_json(proofs: Mapping[str, Proof]) -> Json:
    """`{node: {"key", "at", "target", "is_verified"}}`."""
    return {
        node: {"key": proof.key, "at": proof.at, "target": proof.target, "is_verified": proof.is_verified}
        for node, proof in proofs.items()
    }


def proofs_from_json(data: Mapping[str, Json]) -> dict[str, Proof]:
    """What `proofs_json` wrote; raises KeyError or ValueError for anything else."""
    return {node: _proof(object_of(written)) for node, written in data.items()}


def _proof(data: Mapping[str, Json]) -> Proof:
    return Proof(str(data["key"]), str(data["at"]), str(data["target"]), data["is_verified"] is True)
