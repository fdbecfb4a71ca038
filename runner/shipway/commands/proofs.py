"""What drills proved, as it is kept under `.shipway/drills`: read for a plan, added to by a drill."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from shipway.canonical import canonical_bytes, object_of
from shipway.drill import Proof, proofs_from_json, proofs_json, proven
from shipway.plan import Plan
from shipway.workspace import Workspace


def read_proofs(root: Path, lifecycle: str) -> dict[str, Proof]:
    """By node; empty where no drill was ever kept, or what is kept cannot be read."""
    try:
        return proofs_from_json(object_of(json.loads(Workspace(root).drill(lifecycle).read_bytes())))
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def keep_proofs(root: Path, lifecycle: str, found: Mapping[str, Proof]) -> None:
    """Add what a drill found to what is known. Raises UnreachableError."""
    known = {**read_proofs(root, lifecycle), **found}
    Workspace(root).write_drill(lifecycle, canonical_bytes(proofs_json(known)))


def words_of_proofs(plan: Plan, root: Path) -> dict[str, str]:
    """When each undo of the plan was last proven, in words, by node; empty where there never was a drill."""
    return {node: _words(proof) for node, proof in proven(plan.nodes, read_proofs(root, plan.lifecycle)).items()}


def _words(proof: Proof | None) -> str:
    if proof is None:
        return "never, as it is now"
    how = "" if proof.is_verified else ", by its exit code only: `verify` cannot tell"
    return f"{proof.at.partition('T')[0]} on {proof.target}{how}"
