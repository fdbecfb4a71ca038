"""Looks where the nodes of a plan will write: when it is planned, and again right before it is executed. Changes nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from msgspec.structs import replace

from shipway.action import Access, Action
from shipway.canonical import Json, items_of, object_of
from shipway.file_linking import kinds_below
from shipway.file_placing import REPLACES
from shipway.file_state import Kind, describe, describe_link, kind_of, link_at, link_fingerprint, mode_of
from shipway.nodes import Change, Immediate, Node
from shipway.plan import Plan
from shipway.preflight import Finding, Stands, Status, described, refuse_changed
from shipway.records import REPLACES_EACH

_REMOVING = frozenset({"file.remove", "file.unlink"})

_LINKS = frozenset({Stands.OUR_LINK, Stands.OTHER_LINK})

MODE = "files"
"""The mode whose stages are looked ahead for."""


def looked_ahead(plan: Plan, find_action: Callable[[str], Action]) -> Plan:
    """The plan with a finding for each path that a node of a `files` stage writes, by what its action said of it."""
    stages = {stage.id for stage in plan.stages if stage.mode == MODE}
    if not stages:
        return plan
    rules: dict[str, tuple[str, ...]] = {}
    found: list[Finding] = []
    for node in plan.nodes:
        if node.stage in stages:
            found += _findings(node, _written(node.action, rules, find_action))
    return plan.looked_ahead(tuple(found))


def refuse_other_world(plan: Plan, root: Path) -> None:
    """Raises VerificationError where something else stands where the plan writes than when it was made."""
    if plan.preflight:
        refuse_changed(plan.preflight, _again(plan, root))


def _again(plan: Plan, root: Path) -> Iterator[Finding]:
    for finding in plan.preflight:
        if finding.names and _stand_alike(root, finding):
            yield finding
            continue
        for each in finding.each():
            try:
                stands, size, target, fingerprint = described(_described(root, each))
            except OSError:
                stands, size, target, fingerprint = Stands.UNREADABLE, None, None, ""
            if stands is Stands.OTHER_LINK and each.stands is Stands.OUR_LINK:
                stands = Stands.OUR_LINK
            yield Finding(each.node, each.path, stands, None, each.policy, size, target, fingerprint)


def _stand_alike(root: Path, finding: Finding) -> bool:
    """Whether each of the names of a finding is as it was; where that cannot be seen they are looked at one by one."""
    folder = os.path.join(root, finding.path)
    try:
        if finding.stands is Stands.NONE:
            return not kinds_below(folder, finding.names)
        return all(link_at(f"{folder}/{name}") == f"{finding.target}/{name}" for name in finding.names)
    except OSError:
        return False


def _described(root: Path, finding: Finding) -> Json:
    """What stands at its path; of a file only as much as it takes to see that it is another."""
    path = os.path.join(root, finding.path)
    if finding.stands in _LINKS and (led := link_at(path)) is not None:
        return describe_link(led)
    kind = kind_of(path)
    if finding.stands is Stands.NONE:
        return {"kind": "other"} if kind is not Kind.ABSENT else None
    if finding.stands is Stands.DIRECTORY and kind is Kind.DIRECTORY:
        return {"kind": "directory", "mode": mode_of(Path(path))}
    return describe(path, kind=kind)


def _written(action: str, rules: dict[str, tuple[str, ...]], find_action: Callable[[str], Action]) -> tuple[str, ...]:
    """The slots of an action that name a path which it writes."""
    found = rules.get(action)
    if found is None:
        slots = find_action(action).slots
        found = rules[action] = tuple(
            name for name, rule in slots.items() if rule.access in (Access.WRITES, Access.CLEARS)
        )
    return found


def _findings(node: Node, written: tuple[str, ...]) -> Iterator[Finding]:
    slot = node.slots.get("path") if "path" in written else None
    if isinstance(slot, Immediate) and isinstance(slot.value, str):
        names = _value(node, "names")
        if isinstance(names, list) and isinstance(node.after, Mapping):
            yield from _findings_below(node, slot.value, [str(name) for name in names])
        else:
            yield _finding(node, slot.value)


def _findings_below(node: Node, folder: str, names: Sequence[str]) -> Iterator[Finding]:
    """What stands where a node makes many links: those that are there, then those that are not, each together; then all else."""
    before, wanted = object_of(node.before or {}), object_of(object_of(node.after)["entries"])
    stands, alike = object_of(before.get("entries", {})), items_of(before.get("alike", []))
    policy, known = _policy(node), object_of(node.facts.get(REPLACES_EACH, {}))
    linked = tuple(name for name in names if name in stands and stands[name] == wanted[name])
    missing = tuple(name for name in names if name not in stands)
    if linked:
        target = str(wanted[linked[0]]).removesuffix(f"/{linked[0]}")
        yield Finding(node.id, folder, Stands.OUR_LINK, Status.LINKED, policy, target=target, names=linked)
    if missing:
        yield Finding(node.id, folder, Stands.NONE, Status.MISSING, policy, names=missing)
    for name, found in stands.items():
        if found == wanted[name]:
            continue
        one = replace(
            node,
            change=Change.NOOP if name in alike else Change.UPDATE,
            before={"kind": "link", "target": found} if isinstance(found, str) else found,
            after={"kind": "link", "target": wanted[name]},
            facts={REPLACES: known[name]} if name in known else {},
        )
        yield _finding(one, name if folder == "." else f"{folder}/{name}")


def _value(node: Node, name: str) -> Json:
    slot = node.slots.get(name)
    return slot.value if isinstance(slot, Immediate) else None


def _policy(node: Node) -> str:
    return str(_value(node, "on_conflict") or "")


def _finding(node: Node, path: str) -> Finding:
    stands, size, target, fingerprint = described(node.before)
    policy = _policy(node)
    status = _status(node, stands, _told(stands, target, fingerprint)) if policy else None
    is_ours = stands is Stands.OTHER_LINK and status in (Status.LINKED, Status.STALE)
    return Finding(node.id, path, Stands.OUR_LINK if is_ours else stands, status, policy, size, target, fingerprint)


def _status(node: Node, stands: Stands, fingerprint: str) -> Status | None:
    before = node.before
    if stands is Stands.NONE:
        return None if node.action in _REMOVING else Status.MISSING
    if node.change is Change.NOOP and not (isinstance(before, Mapping) and before.get("left_alone")):
        return Status.LINKED if stands is Stands.OTHER_LINK else Status.COPIED
    known = node.facts.get(REPLACES)
    if known is None:
        return Status.CONFLICT
    if node.action in _REMOVING:
        return Status.ORPHAN if known == fingerprint else Status.MODIFIED
    wanted = _wanted(node)
    if known == fingerprint:
        if any(need.node == f"{node.id}=adopt" for need in node.needs):
            return Status.TO_ADOPT
        return Status.STALE if wanted else Status.COPIED
    return Status.MODIFIED if wanted == known else Status.BOTH_CHANGED


def _wanted(node: Node) -> str:
    """The fingerprint of what the node will put there; empty where that is not known yet."""
    after = node.after
    if not isinstance(after, Mapping) or (after.get("kind") == "file" and "digest" not in after):
        return ""
    stands, _, target, fingerprint = described(object_of(after))
    return _told(stands, target, fingerprint)


def _told(stands: Stands, target: str | None, fingerprint: str) -> str:
    """A fingerprint as records have it: of a link the digest of its target."""
    return link_fingerprint(target) if stands is Stands.OTHER_LINK and target is not None else fingerprint
