"""Which part of a lifecycle brings back what drifted or is missing. Pure: a plan and what was found in, a selection out."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Sequence

from msgspec import Struct

from shipway.canonical import Json
from shipway.deviation import Found
from shipway.node_ids import bodies_of, owner_of
from shipway.nodes import Immediate, NeedKind, Slot
from shipway.plan import Plan
from shipway.planning import Selection
from shipway.state import Entry

_PUTTING = frozenset({"file.link", "file.links", "file.copy", "file.write"})


class WayBack(Struct, frozen=True):
    """What to leave out of a plan so that only what differs is done again, and what no node of it would bring back."""

    selection: Selection
    lost: tuple[Found, ...] = ()


def way_back(plan: Plan, found: Iterable[Found], selection: Selection) -> WayBack:
    """Of `plan`, which is whole, the nodes that made what differs, and those whose outputs they take; within `selection`."""
    wanted: set[str] = set()
    lost: list[Found] = []
    by_path = _by_path(plan)
    for each in found:
        if not each.differs:
            continue
        node = _maker(plan, each.entry) or by_path.get((_stage_of(each.entry), each.entry.name), "")
        if node:
            wanted.add(node)
        else:
            lost.append(each)
    waiting = sorted(wanted)
    while waiting:
        for node in _needed(plan, waiting.pop()):
            if node not in wanted:
                wanted.add(node)
                waiting.append(node)
    skip = [node for node in plan.by_id if node not in wanted]
    return WayBack(Selection(selection.stages, tuple(dict.fromkeys((*selection.skip, *skip)))), tuple(lost))


def _maker(plan: Plan, entry: Entry) -> str:
    """The node of the plan that made it last; empty where there is none.

    What stands as another action of its backend left it, an upgrade, is brought back by what made it before.
    """
    told = [entry.by] if entry.by else []
    return next((each.node for each in (*told, *reversed(entry.history)) if each.node in plan.by_id), "")


def _by_path(plan: Plan) -> dict[tuple[str, str], str]:
    """The nodes of `files` stages that put files there, by stage and path.

    There a file is linked by a node of its own or together with others, as many as there are at the time.
    """
    stages = {stage.id for stage in plan.stages if stage.mode == "files"}
    found: dict[tuple[str, str], str] = {}
    for node in plan.nodes:
        path, names = (_known(node.slots.get(name)) for name in ("path", "names"))
        if node.stage not in stages or node.action not in _PUTTING or not isinstance(path, str):
            continue
        for name in names if isinstance(names, list) else [""]:
            found[node.stage, posixpath.normpath(posixpath.join(path, str(name)))] = node.id
    return found


def _stage_of(entry: Entry) -> str:
    """The stage that made a file; empty for anything else."""
    return entry.by.node.partition("/")[0] if entry.by and entry.kind == "file" else ""


def _known(slot: Slot | None) -> Json:
    return slot.value if isinstance(slot, Immediate) else None


def _needed(plan: Plan, node_id: str) -> Sequence[str]:
    """What has to be in a plan with this node: what it is inside of, and whose outputs it takes, with all that is in those.

    So does what a backend put before it for its sake, under its own name: `home+.zshrc=backup` makes room for `home+.zshrc`.
    """
    found = [body for body in bodies_of(node_id) if body in plan.by_id]
    for need in plan.by_id[node_id].needs:
        if need.node.startswith(f"{node_id}=") and need.node in plan.by_id:
            found.append(need.node)
        if need.kind is NeedKind.PROMISE and (owner := owner_of(need.node)) in plan.by_id:
            found += [owner, *(other for other in plan.by_id if other.startswith((f"{owner}[", f"{owner}/")))]
    return found
