"""Asks the receipts of the targets that come first whether this tree succeeded there, before it goes to one that comes after."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from shipway.declaration import Declaration
from shipway.gear import Gear
from shipway.loading import load_declaration
from shipway.promotion import gap_after, proves, refused, shortfall, torn
from shipway.receipt import Receipt


def check_promoted(gear: Gear) -> None:
    """Refuse a target before the same tree succeeded on those that come first. What was begun may be ended."""
    target, request = gear.request.target, gear.request
    wanted = (*gear.declaration.target_rule(target).after, *gear.held.after)
    if not wanted or request.go_on is not None:
        return
    repository = gear.around.repository
    tree = None if repository.changed else repository.tree
    counts = gear.endorsement.counts
    missing = [name for name in dict.fromkeys(wanted) if tree is None or not _proof(gear, name, tree, counts)]
    if missing:
        uncounted = _proof(gear, missing[0], tree, lambda receipt: True) if tree else None
        lack = _lack(gear, missing[0], tree) if tree else ""
        raise refused(target, missing, tree, request.inputs, uncounted.run if uncounted else None, lack)


def _proof(gear: Gear, target: str, tree: str, counts: Callable[[Receipt], bool]) -> Receipt | None:
    declared = _declared(gear, target)
    kept = _kept(gear, declared, target)
    proof = proves(kept, tree, declared, target, counts)
    if proof is not None and gear.endorsement.is_required:
        gap = gap_after(proof, kept, gear.around.anchors(gear.held.recorded(declared), target))
        if gap:
            raise torn(gear.request.target, target, proof, gap)
    return proof


def _lack(gear: Gear, target: str, tree: str) -> str:
    declared = _declared(gear, target)
    return shortfall(_kept(gear, declared, target), tree, declared, target)


def _declared(gear: Gear, target: str) -> Declaration:
    return load_declaration(gear.request.file, root=gear.around.repository.root, target=target)


def _kept(gear: Gear, declared: Declaration, target: str) -> Sequence[Receipt]:
    return list(gear.around.receipts(gear.held.recorded(declared), target))
