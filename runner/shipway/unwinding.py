"""Undoes what a run began when it fails or is stopped: in the saga's order, one node after the other, each at most once.

Starts nothing forward and decides no order of its own; failures of an undo never stop the unwinding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from shipway import expressions, saga
from shipway.action import Verb, Work
from shipway.attempt import Ended
from shipway.declaration import OnCancel, Rollback
from shipway.environment import output_variables
from shipway.events import NodeUndone, RollbackStarted
from shipway.nodes import FAILURES, Outcome, Verified
from shipway.plan import Plan
from shipway.progress import Progress, Surroundings
from shipway.receipt import NodeResult, RollbackEntry
from shipway.retry import delay_ms, has_another


class Unwinding:
    """The rollback of one run whose nodes have all ended. `results` gets the outcome of each undo.

    `struck` counts the cancellations so far: one lets the unwinding go on, the second ends it at once.
    """

    def __init__(
        self,
        plan: Plan,
        around: Surroundings,
        on_cancel: OnCancel,
        progress: Mapping[str, Progress],
        results: dict[str, NodeResult],
        struck: Callable[[], int],
    ) -> None:
        self._plan = plan
        self._around = around
        self._on_cancel = on_cancel
        self._progress = progress
        self._results = results
        self._struck = struck

    def roll_back(self, *, failed: bool) -> list[RollbackEntry]:
        """Undo what the policies say of a run that `failed` or was cancelled; nothing of one that did neither."""
        order = self._order(failed)
        if not order:
            return []
        self._around.events.emit(RollbackStarted(tuple(order)))
        return [self._undo(self._progress[node]) for node in order]

    def left_behind(self, rollback: Sequence[RollbackEntry]) -> tuple[str, ...]:
        """Lasting nodes that were begun and that this rollback did not touch, in order of start."""
        return tuple(saga.left_behind(self._begun(), {entry.node for entry in rollback}))

    def _begun(self) -> list[saga.Begun]:
        return [
            saga.Begun(progress.node.id, progress.node.stage, progress.order, self._left_something(progress))
            for progress in self._progress.values()
            if progress.order >= 0
        ]

    def _left_something(self, progress: Progress) -> bool:
        """Whether there may be something to undo: not where no attempt began its work, or the only one changed nothing."""
        outcome = self._results[progress.node.id].outcome
        changed_nothing = len(progress.attempts) == 1 and outcome in (Outcome.UNCHANGED, Outcome.SKIPPED)
        return progress.node.must_be_undone and progress.began and not changed_nothing

    def _order(self, failed: bool) -> list[str]:
        if not failed and (not self._struck() or self._on_cancel is OnCancel.LEAVE):
            return []
        policies = {
            stage: self._plan.stages_by_id[stage].rollback or self._plan.rollback for stage in self._failed_stages()
        }
        if not policies:
            return saga.undo_order(self._begun(), self._plan.rollback)
        if Rollback.RUN in policies.values():
            return saga.undo_order(self._begun(), Rollback.RUN)
        chosen = {stage for stage, policy in policies.items() if policy is Rollback.STAGE}
        return saga.undo_order(self._begun(), Rollback.STAGE, chosen)

    def _failed_stages(self) -> list[str]:
        return list(
            dict.fromkeys(
                self._progress[node].node.stage
                for node, result in self._results.items()
                if result.outcome in FAILURES and not self._progress[node].node.allow_failure
            )
        )

    def _undo(self, progress: Progress) -> RollbackEntry:
        """Undo one node, trying again as its `retry` says; what `verify` still finds afterwards was not undone."""
        node = progress.node
        started = self._around.clock_ms()
        if not node.reversible:
            return self._undone(progress, Outcome.NOT_UNDOABLE, "it has no `undo`", started, 0)
        if self._struck() > 1:
            return self._undone(progress, Outcome.UNDO_FAILED, "interrupted before it was undone", started, 0)
        self._around.journal.undo_begun(node.id)
        tries = 0
        while True:
            tries += 1
            ended = self._run_alone(progress, Verb.UNDO)
            if ended.outcome not in FAILURES or not has_another(node.retry, tries) or self._struck() > 1:
                break
            self._pause_alone(delay_ms(node.retry, tries, self._around.fraction()))
        outcome, error = ended.outcome, ended.error
        if outcome in FAILURES or outcome is Outcome.CANCELLED:
            outcome, error = Outcome.UNDO_FAILED, error or outcome.value
        elif outcome is Outcome.UNDONE and self._still_holds(progress):
            outcome, error = Outcome.UNDO_FAILED, "`undo` exited 0, but `verify` still finds the work"
        self._around.journal.undo_ended(node.id, outcome)
        return self._undone(progress, outcome, error, started, tries, ended)

    def _still_holds(self, progress: Progress) -> bool:
        return self._run_alone(progress, Verb.VERIFY).verified is Verified.HOLDS

    def _run_alone(self, progress: Progress, verb: Verb) -> Ended:
        """One attempt with nothing else running; only a second cancellation ends it early."""
        node = progress.node
        action = self._around.require_action(node.action)
        attempts = self._around.attempts
        attempts.begin(action, verb, self._work(progress), timeout_ms=node.timeout_ms, outputs={})
        while True:
            if self._struck() > 1:
                attempts.kill()
            ended = attempts.wait(None)
            if ended:
                return ended[0]

    def _work(self, progress: Progress) -> Work:
        node = progress.node
        result = self._results[node.id]
        texts = {name: expressions.to_text(value) for name, value in result.outputs.items()}
        env = {**progress.env, **output_variables(texts), "SHIPWAY_OUTCOME": result.outcome.value}
        return Work(
            node,
            progress.inputs,
            env,
            self._around.root,
            self._around.scratch(node.id),
            started_ms=self._around.unix_ms(),
            outcome=result.outcome,
            outputs=result.outputs,
            state=progress.last.undo if progress.last else None,
        )

    def _pause_alone(self, milliseconds: int) -> None:
        due = self._around.clock_ms() + milliseconds
        while self._around.clock_ms() < due and self._struck() < 2:
            self._around.attempts.wait(due)

    def _undone(
        self, progress: Progress, outcome: Outcome, error: str, started: int, tries: int, ended: Ended | None = None
    ) -> RollbackEntry:
        node = progress.node
        now = self._around.clock_ms()
        self._results[node.id] = replace(self._results[node.id], outcome=outcome)
        self._around.events.emit(
            NodeUndone(
                node.id,
                outcome.value,
                now - started,
                error,
                log=ended.log if ended else "",
                tail=ended.tail if ended else "",
            )
        )
        tail, log = (ended.tail, ended.log) if ended else ("", "")
        return RollbackEntry(node.id, node.stage, outcome, started, now, error, tries, tail, log)
