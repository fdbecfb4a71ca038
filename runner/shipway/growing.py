"""Nodes with members in one execution: what one adds to the run, and how it ends once all of its members have.

Starts nothing, and tells of nothing but what was added; the executor keeps the results.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec.structs import replace

from shipway.attempt import Ended
from shipway.bodies import Bodies, Conflict, ended_as
from shipway.conditions import Conditions
from shipway.events import NodesAdded
from shipway.growth import Emitted
from shipway.growth_conflicts import refuse_conflicts
from shipway.node_ids import gate_of
from shipway.nodes import DONE, FAILURES, Node, Outcome
from shipway.plan import Plan
from shipway.products import BadItems
from shipway.progress import Progress, Surroundings
from shipway.receipt import NodeResult, own_outcome
from shipway.results import Results
from shipway.schedule import growth_items
from shipway.scheduler import Scheduler


class Growing:
    """Adds to `bodies`, the scheduler, `progress` and `results` what comes up in the run, to all of them or to none."""

    def __init__(
        self,
        plan: Plan,
        around: Surroundings,
        scheduler: Scheduler,
        bodies: Bodies,
        progress: dict[str, Progress],
        results: Results,
        usual_ms: Mapping[str, int],
    ) -> None:
        """`usual_ms` is what nodes took in earlier runs, by id, where that is known."""
        self._plan = plan
        self._around = around
        self._scheduler = scheduler
        self._bodies = bodies
        self._progress = progress
        self._results = results
        self._usual_ms = usual_ms
        self._conditions = Conditions(around.evaluation)

    def grown(self, node: Node, ended: Ended, skip: Callable[[Node, str], None]) -> Ended:
        """Add what the node asked for to the run; its attempt has failed, and adds nothing, where that cannot be.

        `skip` is told of the nodes that an earlier attempt added and this one did not, and why they are skipped.
        """
        entries = [Emitted.from_json(each) for each in ended.emitted]
        try:
            children = self._bodies.children(node, entries)
            refuse_conflicts(
                children, self._bodies.nodes, self._plan.stages, self._around.require_action, self._around.root
            )
            growth = growth_items(self._plan, node, children, self._conditions, self._usual_ms)
            self._scheduler.grow(gate_of(node.id), growth.items, growth.ends, growth.gathers)
        except (BadItems, ValueError) as error:
            return replace(
                ended,
                outcome=Outcome.FAILED,
                error=str(error),
                outputs={},
                emitted=(),
                code="outputs",
                is_permanent=isinstance(error, Conflict),
            )
        for stale in self._bodies.stale(node, entries):
            skip(self._progress[stale].node, f"`{node.id}` did not add it again")
        self._bodies.add(node, children)
        self._progress.update((child.id, Progress(child)) for child in children)
        self._results.add(node.stage, len(children))
        self._around.events.emit(NodesAdded(node.id, tuple(child.id for child in children)))
        return ended

    def closed(self, progress: Progress, cause: str) -> NodeResult | None:
        """The result of a node all of whose members have ended; None where it ended before they could begin.

        `cause` is the member to blame, or empty. Where none of them began, neither did it: the result has no attempt.
        """
        node, results = progress.node, self._results.by_node
        if not node.is_group or node.id in results:
            return None
        members = self._bodies.members(node.id)
        outcome, error = ended_as([results[member] for member in members], cause, results)
        if outcome is Outcome.NOT_STARTED:
            progress.attempts.pop()  # it was opened and none of it began: what never ran has no start
            return NodeResult(node.id, outcome, error=error)
        outputs = self._around.evaluation.outputs_of(node, members) if outcome in DONE else {}
        self._around.evaluation.record(node, outcome, outputs)
        now = self._around.clock_ms()
        progress.attempts[-1] = replace(progress.attempts[-1], outcome=outcome, ended_ms=now, error=error)
        return NodeResult(
            node=node.id,
            outcome=outcome,
            attempts=tuple(progress.attempts),
            started_ms=progress.attempts[0].started_ms,
            ended_ms=now,
            error=error,
            outputs=outputs,
            emitted=self._bodies.added_by(node.id),
        )

    def recall_groups(self) -> None:
        """Give nodes that were opened, and never end in this execution, the outcome that their members had."""
        results = self._results.by_node
        for node in reversed(self._bodies.nodes):  # members stand behind the node that they belong to
            if not node.is_group or node.id in results:
                continue
            members = [results[member] for member in self._bodies.members(node.id)]
            cause = next((member.node for member in members if own_outcome(member) in FAILURES), "")
            outcome, error = ended_as(members, cause, results)
            tried = tuple(self._progress[node.id].attempts)
            results[node.id] = NodeResult(
                node.id,
                outcome,
                attempts=tried,
                started_ms=tried[0].started_ms if tried else None,
                ended_ms=max((member.ended_ms or 0 for member in members), default=None) if tried else None,
                error=error,
                emitted=self._bodies.added_by(node.id),
            )
