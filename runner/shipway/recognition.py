"""What was planned to find nothing to do, and finds nothing, before anything of a run begins. Looks, and changes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from shipway.action import ActionFailed, Done, Recognizing
from shipway.file_state import Real, remembering
from shipway.nodes import Change, Fidelity, Node
from shipway.progress import Progress, Surroundings, settle_inputs, work_of


class Recognition:
    """Asks the nodes that may end all at once, each of them once. Nothing of the run has begun as long as it asks."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._real: Real = remembering()
        self._actions: dict[str, Recognizing | None] = {}
        self._asked: set[str] = set()

    def among(self, ready: Iterable[Progress]) -> Iterator[tuple[Progress, Done]]:
        """Those of `ready` whose work is there as planned, with what `do` would return; the others may begin like any node."""
        for progress in ready:
            node = progress.node
            if node.id in self._asked:
                continue
            self._asked.add(node.id)
            action = self._asked_of(node)
            if action is None:
                continue
            settle_inputs(progress, self._around)
            try:
                done = action.recognized(work_of(progress, self._around), self._real)
            except (ActionFailed, OSError):
                continue  # its attempt will say so
            if done is not None and done.outputs == node.predicted:
                yield progress, done

    def _asked_of(self, node: Node) -> Recognizing | None:
        """The action of a node that surely changes nothing and takes nothing from anybody; None of any other."""
        if node.change is not Change.NOOP or node.fidelity is not Fidelity.EXACT or _is_bound(node):
            return None
        if node.action not in self._actions:
            action = self._around.require_action(node.action)
            self._actions[node.action] = action if isinstance(action, Recognizing) else None
        return self._actions[node.action]


def _is_bound(node: Node) -> bool:
    """Whether anything but its needs decides when and how often the node is run."""
    is_repeated = node.every_ms or node.has_gate or "[" in node.id or node.dedup is not None
    return bool(is_repeated or node.limits or node.locks or node.exclusive)
