"""Whether what is added to a run may touch what others touch: the same rule as when planned, for slots that are known by then."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from shipway.accesses import accesses_of, settled
from shipway.action import Action
from shipway.bodies import Conflict
from shipway.conflicts import Accesses
from shipway.emission import CONFLICT
from shipway.nodes import Node
from shipway.plan import PlannedStage


def refuse_conflicts(
    children: Sequence[Node],
    nodes: Sequence[Node],
    stages: Sequence[PlannedStage],
    require_action: Callable[[str], Action],
    root: Path,
) -> None:
    """Refuse children of which one writes what another node of the run, in no order with it, writes. Raises Conflict.

    What a step only declares under `writes` is known when planned, and not here.
    """
    touched = _accesses(children, require_action)
    if not any(access.writes for access in touched.values()):
        return
    found = {**_accesses(nodes, require_action), **touched}
    _, problems = settled(stages, [*nodes, *children], found, root)
    for problem in problems:
        if any(f"`{child}`" in problem.text for child in touched):
            raise Conflict(f"{CONFLICT}: {problem.text}")


def _accesses(nodes: Sequence[Node], require_action: Callable[[str], Action]) -> dict[str, Accesses]:
    made = (
        (node.id, accesses_of(require_action(node.action), node.slots, (), ())) for node in nodes if not node.is_group
    )
    return {name: access for name, access in made if access is not None}
