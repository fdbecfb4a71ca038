"""Rolls back what a run began when it fails or is stopped: in the saga's order, one after the other, each at most once.

Starts nothing forward but compensations and decides no order of its own; failures never stop the unwinding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from msgspec.structs import replace

from shipway import saga
from shipway.action import Verb
from shipway.attempt import Ended
from shipway.conditions import Conditions
from shipway.declaration import OnCancel, Rollback
from shipway.errors import ShipwayError
from shipway.evaluation import Unresolved
from shipway.events import NodeUndone, RollbackStarted, RunWaiting
from shipway.lock_waits import LOOK_MS
from shipway.locks import KeptBy
from shipway.nodes import FAILURES, WHOLE, Node, Outcome, Verified
from shipway.pace import wait_ms
from shipway.plan import COMPENSATION_PART, Plan
from shipway.progress import Progress, Surroundings
from shipway.receipt import NodeResult, RollbackEntry, stage_outcome
from shipway.stops import is_stop, is_superseded
from shipway.undoing import Ask, Steps, Undoing

_LOOK_AGAIN_MS = 1_000


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
        self._undoing = Undoing(around, struck)
        self._conditions = Conditions(around.evaluation)
        self._compensations = {node.id: node for node in plan.compensations}
        self._missed: set[str] = set()

    def roll_back(self, *, failed: bool) -> list[RollbackEntry]:
        """Undo what the policies say of a run that `failed` or was cancelled; nothing of one that did neither."""
        failed_stages = self._failed_stages()
        done = self._done_already()
        order = self._order(failed, failed_stages)
        if not order:
            return done
        self._around.journal.rolling_back(order)
        self._register_compensations()
        self._around.events.emit(RollbackStarted(tuple(order)))
        return [*done, *(self._roll_back(node) for node in order)]

    def go_on(self, order: Sequence[str]) -> list[RollbackEntry]:
        """Undo these nodes of a run that has ended, or that a killed process had still to undo, in this order."""
        self._around.journal.rolling_back(order)
        self._register_compensations()
        if order:
            self._around.events.emit(RollbackStarted(tuple(order)))
        return [self._roll_back(node) for node in order]

    def asked(self, rollback: Sequence[RollbackEntry]) -> dict[str, Verified]:
        """What `verify` says of each node that was undone, now that all of it was; unknown where there is none."""
        found = {}
        for entry in rollback:
            if entry.outcome is Outcome.UNDONE and entry.node in self._progress:
                result = self._results[entry.node]
                work = self._undoing.undo_work(self._progress[entry.node], result.outcome, result.outputs)
                found[entry.node] = self._attempt(Ask(Verb.VERIFY, work, work.node.timeout_ms)).verified
        return found

    def _register_compensations(self) -> None:
        for stage in self._plan.stages:
            if stage.compensation:
                self._around.evaluation.compensates(f"{stage.id}.{COMPENSATION_PART}", stage.id)

    def _done_already(self) -> list[RollbackEntry]:
        """What was undone for a retry that never came, and is not undone twice; its nodes get that outcome."""
        entries = [progress.undone for progress in self._progress.values() if progress.undone is not None]
        for entry in entries:
            self._results[entry.node] = replace(self._results[entry.node], outcome=entry.outcome)
        return sorted(entries, key=lambda entry: entry.started_ms)

    def left_behind(self, rollback: Sequence[RollbackEntry]) -> tuple[str, ...]:
        """Lasting nodes that were begun and that this rollback did not touch, in order of start."""
        return tuple(saga.left_behind(self._begun(), {entry.node for entry in rollback}))

    def _begun(self) -> list[saga.Begun]:
        return [
            saga.Begun(progress.node.id, progress.node.stage, progress.order, self._is_to_undo(progress))
            for progress in self._progress.values()
            if progress.order >= 0
        ]

    def _is_to_undo(self, progress: Progress) -> bool:
        return progress.left_something and progress.undone is None

    def _order(self, failed: bool, failed_stages: Sequence[str]) -> list[str]:
        if not failed and (not self._struck() or self._on_cancel is OnCancel.LEAVE):
            return []
        if any(map(is_superseded, self._results.values())):
            return []  # a later run is to go on from there
        policies = {stage: self._plan.stages_by_id[stage].rollback or self._plan.rollback for stage in failed_stages}
        policy = self._plan.rollback if not policies else Rollback.STAGE
        if Rollback.RUN in policies.values():
            policy = Rollback.RUN
        chosen = {stage for stage, wanted in policies.items() if wanted is Rollback.STAGE}
        return saga.undo_order(self._begun(), policy, chosen, self._to_compensate())

    def _to_compensate(self) -> dict[str, list[str]]:
        """By stage, the compensations of those that were begun."""
        begun = {
            progress.node.stage for progress in self._progress.values() if progress.began or progress.undone is not None
        }
        return {
            stage.id: [node.id for node in stage.compensation_order()]
            for stage in self._plan.stages
            if stage.compensation and stage.id in begun
        }

    def _failed_stages(self) -> list[str]:
        return list(
            dict.fromkeys(
                self._progress[node].node.stage
                for node, result in self._results.items()
                if result.outcome in FAILURES and (is_stop(result) or not self._progress[node].node.allow_failure)
            )
        )

    def _roll_back(self, node: str) -> RollbackEntry:
        if node in self._compensations:
            entry = self._compensate(self._compensations[node])
        else:
            result = self._results[node]
            progress = self._progress[node]
            entry = self._locked(progress.node, self._undoing.undo(progress, result.outcome, result.outputs))
            self._results[node] = replace(result, outcome=entry.outcome)
        took = entry.ended_ms - entry.started_ms
        self._around.events.emit(
            NodeUndone(entry.node, entry.outcome.value, took, entry.error, log=entry.log, tail=entry.tail)
        )
        return entry

    def _compensate(self, node: Node) -> RollbackEntry:
        """Run a node of a compensation, unless one that it needs failed, or its condition is false."""
        missed = next((need.node for need in node.needs if need.node in self._missed), "")
        try:
            if missed and not self._conditions.asks_status(node.condition):
                entry = self._not_run(node, Outcome.BLOCKED, f"by {missed}")
            elif node.condition is not None and not self._holds(node.condition, node, missed):
                entry = self._not_run(node, Outcome.SKIPPED, "`if` is false")
            else:
                stage = node.stage.partition(".")[0]
                outcomes = [self._results[each.id].outcome for each in self._plan.nodes if each.stage == stage]
                entry = self._locked(node, self._undoing.compensate(Progress(node), stage_outcome(outcomes)))
        except Unresolved as error:
            entry = self._not_run(node, Outcome.FAILED, str(error))
        if entry.outcome not in WHOLE:
            self._missed.add(node.id)
        return entry

    def _holds(self, condition: str, node: Node, missed: str) -> bool:
        return self._conditions.holds(condition, node, failed_above=missed, cancelled=False)

    def _not_run(self, node: Node, outcome: Outcome, why: str) -> RollbackEntry:
        now = self._around.clock_ms()
        self._around.evaluation.record(node, outcome, {})
        return RollbackEntry(node.id, node.stage.partition(".")[0], outcome, now, now, why)

    def _locked(self, node: Node, steps: Steps) -> RollbackEntry:
        """Carry the steps out while the node's locks are its own."""
        held = self._wait_for_locks(node) if node.locks else ""
        if held:
            return self._not_run(node, Outcome.UNDO_FAILED, held)
        entry = self._alone(steps)
        self._around.step_locks.give_back(node.locks)
        return entry

    def _wait_for_locks(self, node: Node) -> str:
        """Wait for other runs to give them back; what stands in the way for good, else empty."""
        locks = self._around.step_locks
        while not locks.ask(node.id, node.locks):
            while not (answers := locks.answers()):
                if self._struck() > 1:
                    return "interrupted before it was undone"
                self._around.attempts.wait(None)
            held, error = answers[0].held, answers[0].error
            if error is not None:
                return error.message
            if held is None:
                return ""
            if held.lock.kept_by is KeptBy.HAND or self._struck() > 1:
                return held.message
            self._wait(LOOK_MS)
        return ""

    def _alone(self, steps: Steps) -> RollbackEntry:
        """Carry the steps out with nothing else running."""
        answer: Ended | None = None
        while True:
            try:
                wanted = steps.send(answer)
            except StopIteration as end:
                entry: RollbackEntry = end.value
                return entry
            if isinstance(wanted, Ask):
                answer = self._attempt(wanted)
            else:
                answer = None
                self._wait(wanted.milliseconds)

    def _attempt(self, wanted: Ask) -> Ended:
        """One attempt; only a second cancellation ends it early."""
        work, attempts = wanted.work, self._around.attempts
        if work.node.limits and wanted.verb is not Verb.VERIFY:
            self._await_turn(work.node.limits)
        action = self._around.require_action(work.node.action)
        attempts.begin(action, wanted.verb, work, timeout_ms=wanted.timeout_ms, outputs=wanted.outputs)
        while True:
            if self._struck() > 1:
                attempts.kill()
            ended = attempts.wait(None)
            if ended:
                if ended[0].retry_after_ms and work.node.limits:
                    with suppress(ShipwayError):
                        self._around.tokens.rest(work.node.limits, ended[0].retry_after_ms)
                return ended[0]

    def _await_turn(self, limits: Sequence[str]) -> None:
        """Wait until something may start under these limits; how much at once is no question where one is undone at a time."""
        rates = {name: self._plan.limits[name].rate for name in limits if name in self._plan.limits}
        wanted = {name: rate for name, rate in rates.items() if rate is not None}
        is_said = False
        while self._struck() < 2:
            try:
                waits = wait_ms(self._around.tokens.look(rates), wanted)
                if not waits and self._around.tokens.claim(wanted)[0]:
                    return
            except ShipwayError:
                return  # the record of limits cannot be read: that stops no undo
            if waits >= _LOOK_AGAIN_MS and not is_said:
                is_said = True
                self._around.events.emit(RunWaiting(f"limits {', '.join(limits)}", waits))
            self._wait(min(max(waits, 1), _LOOK_AGAIN_MS))  # other runs take from the same limits

    def _wait(self, milliseconds: int) -> None:
        due = self._around.clock_ms() + milliseconds
        while self._around.clock_ms() < due and self._struck() < 2:
            self._around.attempts.wait(due)
