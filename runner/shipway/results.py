"""What has become of the nodes of one execution, as it comes and as a whole. Decides nothing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

from msgspec import Struct, field

from shipway.errors import ShipwayError
from shipway.events import Event, NodeFinished, StageFinished, StageReopened, StageStarted
from shipway.nodes import WHOLE, Node, Outcome, Verified
from shipway.progress import Progress
from shipway.receipt import NodeResult, RollbackEntry, StageResult, stage_outcome


class Execution(Struct, frozen=True):
    """What came of it: one result per node of the plan in declared order, stage outcomes, and the undos in order.

    Behind a node that `added` others come the results of those. `refusal` is why a run was stopped that nothing was wrong
    with, but that it did not come out as planned. `verdicts` are what `verify` says of each undone node after
    all of a drill.
    """

    results: tuple[NodeResult, ...]
    stages: tuple[StageResult, ...]
    rollback: tuple[RollbackEntry, ...]
    left_behind: tuple[str, ...]
    cancelled: bool
    failed: bool
    duration_ms: int
    fault: Exception | None = None
    added: tuple[Node, ...] = ()
    verdicts: Mapping[str, Verified] = field(default_factory=dict)
    refusal: ShipwayError | None = None

    @property
    def found_all_done(self) -> bool:
        """Whether no node had anything to do, in its only attempt."""
        return all(result.outcome is Outcome.UNCHANGED and len(result.attempts) == 1 for result in self.results)

    @property
    def leaves_something(self) -> bool:
        """Whether there may be something that can still be undone later."""
        stopped = self.failed or self.cancelled
        return not stopped or bool(self.left_behind) or any(entry.outcome not in WHOLE for entry in self.rollback)


class Results:
    """The results of an execution as they come, announced. `by_node` holds them; whoever undoes writes there how that went."""

    def __init__(
        self, members: Mapping[str, Collection[Node]], progress: Mapping[str, Progress], emit: Callable[[Event], None]
    ) -> None:
        """`members` are the nodes of each stage; `progress` has every node that a result is of, also of those added later."""
        self.by_node: dict[str, NodeResult] = {}
        self._progress = progress
        self._emit = emit
        self._left = {stage: len(nodes) for stage, nodes in members.items()}
        self._begun: set[str] = set()

    def recall(self, node: Node, result: NodeResult) -> None:
        """What an earlier execution left: nothing is announced."""
        self.by_node[node.id] = result
        self._left[node.stage] -= 1

    def begin(self, stage: str) -> None:
        """A node of the stage begins: its first one is announced."""
        if stage not in self._begun:
            self._begun.add(stage)
            self._emit(StageStarted(stage))

    def keep(self, result: NodeResult, at_ms: int, exit_code: int | None = None) -> None:
        """A node has its outcome, and its stage with the last one."""
        self.by_node[result.node] = result
        progress = self._progress[result.node]
        self._emit(
            NodeFinished(
                node=result.node,
                outcome=result.outcome.value,
                at_ms=at_ms,
                duration_ms=result.worked_ms,
                cause=result.cause,
                error=result.error,
                warning=result.warning,
                log=result.log,
                tail=result.tail,
                exit_code=exit_code,
                attempts=len(result.attempts),
            )
        )
        stage = progress.node.stage
        self._left[stage] -= 1
        if not self._left[stage]:
            self._emit(StageFinished(stage, self.of_stage(stage).value))

    def add(self, stage: str, count: int) -> None:
        """So many nodes of a stage were added to the run."""
        self._left[stage] += count

    def reopen(self, stage: str, nodes: Iterable[str]) -> None:
        """All nodes of a stage begin anew: what had become of them stands in their attempts only."""
        again = tuple(node for node in nodes if self.by_node.pop(node, None) is not None)
        self._left[stage] += len(again)
        self._begun.discard(stage)
        self._emit(StageReopened(stage, again))

    def of_stage(self, stage: str) -> Outcome:
        """What the results of a stage come to together."""
        return stage_outcome(
            {result.outcome for node, result in self.by_node.items() if self._progress[node].node.stage == stage}
        )
