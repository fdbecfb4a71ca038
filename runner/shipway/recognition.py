"""Ends what was planned to find nothing to do, and finds nothing, before anything of a run begins. Looks, and changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from shipway.action import ActionFailed, Done, Recognizing
from shipway.events import NodeStarted
from shipway.file_state import Real, remembering
from shipway.nodes import Change, Fidelity, Node, Outcome
from shipway.progress import Progress, Surroundings, result_of_end, settle_inputs, work_of
from shipway.receipt import NodeResult


class Recognition:
    """Asks the nodes that may end all at once, each of them once. Nothing of the run has begun as long as it asks."""

    def __init__(
        self, around: Surroundings, note: Callable[[Progress], None], keep: Callable[[NodeResult], None]
    ) -> None:
        """`note` writes down that an attempt is about to begin; `keep` is told the result of each that has ended."""
        self._around = around
        self._note = note
        self._keep = keep
        self._real: Real = remembering()
        self._actions: dict[str, Recognizing | None] = {}
        self._asked: set[str] = set()

    def end(self, ready: Iterable[Progress]) -> dict[str, Outcome]:
        """End those of `ready` whose work is there as planned; their outcomes. The others may begin like any node."""
        return {progress.node.id: self._ended(progress, done) for progress, done in self._among(ready)}

    def _ended(self, progress: Progress, done: Done) -> Outcome:
        node, around = progress.node, self._around
        self._note(progress)
        begun = progress.attempts[-1]
        around.events.emit(NodeStarted(node.id, begun.number, begun.started_ms))
        ended = around.attempts.recognized(node, done)
        progress.take(ended)
        around.journal.ended(node, begun.number, ended)
        around.evaluation.record(node, ended.outcome, ended.outputs)
        self._keep(result_of_end(progress, ended, ()))
        return ended.outcome

    def _among(self, ready: Iterable[Progress]) -> Iterator[tuple[Progress, Done]]:
        """Those of `ready` whose work is there, with what `do` would return."""
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
    """Whether anything but its needs decides when and how often the node is run, or it wants a token for it."""
    is_repeated = node.every_ms or node.oidc or node.has_gate or "[" in node.id or node.dedup is not None
    return bool(is_repeated or node.limits or node.locks or node.exclusive)
