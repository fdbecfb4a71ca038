"""Whether a node whose needs have ended is begun: conditions of its stage and its own, and failures above it. Starts nothing."""

from __future__ import annotations

from collections.abc import Callable

from shipway.conditions import Conditions
from shipway.evaluation import Unresolved
from shipway.nodes import Node, Outcome
from shipway.plan import Plan, PlannedStage
from shipway.run_record import Decided
from shipway.scheduler import Scheduler


class Judging:
    """Judges nodes of one execution. The condition of a stage is judged once, with the first of its nodes."""

    def __init__(
        self, plan: Plan, scheduler: Scheduler, conditions: Conditions, is_cancelled: Callable[[], bool]
    ) -> None:
        self._stages = plan.stages_by_id
        self._scheduler = scheduler
        self._conditions = conditions
        self._is_cancelled = is_cancelled
        self._stage_holds: dict[str, bool] = {}

    def decided(self, node: Node) -> Decided | None:
        """The outcome of a node that is not begun, and why; None for one that is."""
        failed_above = self._scheduler.failed_above(node.id)
        try:
            if not self._stage_condition_holds(self._stages[node.stage], node):
                return Decided(Outcome.SKIPPED, f"`if` of stage `{node.stage}` is false")
            if failed_above and not self._conditions.asks_status(node.condition):
                return Decided(Outcome.BLOCKED, failed_above)
            if node.condition is None or self._holds(node.condition, node, failed_above):
                return None
        except Unresolved as error:
            return Decided(Outcome.FAILED, error=str(error))
        return Decided(Outcome.SKIPPED, "`if` is false")

    def _stage_condition_holds(self, stage: PlannedStage, node: Node) -> bool:
        if stage.condition is None:
            return True
        held = self._stage_holds.get(stage.id)
        if held is None:
            failed = next(filter(None, map(self._scheduler.failed_above, stage.needs)), "")
            held = self._stage_holds[stage.id] = self._holds(stage.condition, node, failed)
        return held

    def _holds(self, condition: str, node: Node, failed_above: str) -> bool:
        return self._conditions.holds(condition, node, failed_above=failed_above, cancelled=self._is_cancelled())
