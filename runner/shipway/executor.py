"""Executes a plan: starts what the scheduler gives, judges conditions, retries, and undoes what was begun when it fails.

Decides nothing by itself: order is the scheduler's, undo order the saga's, delays `retry`'s. Writes to no terminal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from types import MappingProxyType

from msgspec.structs import replace

from shipway.action import Verb
from shipway.attempt import Ended
from shipway.bodies import Bodies, done_by, opened, rules_of
from shipway.conditions import Conditions
from shipway.declaration import OnFailure
from shipway.dedup import dedup_key
from shipway.errors import Reason, ShipwayError
from shipway.evaluation import Unresolved
from shipway.events import NodeStarted, RunStarted, Stopping
from shipway.foretold import BROKEN, broken
from shipway.growing import Growing
from shipway.journal import TAKEN_OVER, BestEffort
from shipway.judging import Judging
from shipway.lock_waits import LockWaits
from shipway.locks import LockLost
from shipway.node_ids import is_gate, owner_of
from shipway.nodes import DONE, FAILURES, Change, Node, Outcome
from shipway.pacing import Pacing
from shipway.plan import Plan
from shipway.progress import (
    ExecutionOptions,
    Known,
    Progress,
    Surroundings,
    result_as_left,
    result_of_end,
    settle_inputs,
    with_what_was_tried,
    work_of,
)
from shipway.receipt import Attempt, NodeResult, RollbackEntry, StageResult, own_outcome
from shipway.recognition import Recognition
from shipway.results import Execution, Results
from shipway.retrying import Retrying
from shipway.run_record import Decided
from shipway.schedule import bounds_of, items_of, members_of
from shipway.scheduler import Scheduler, default_parallel
from shipway.stops import code_of, is_stop, stop_of
from shipway.unwinding import Unwinding
from shipway.watching import Watching

_SETTLED_MS = 10
"""After this long without an end it pays to note in the journal which process groups there are."""

DRILLED = "it succeeded, and failed on purpose: this is a drill"
"""The error of the node that a drill lets fail."""

_INTERRUPTED = "interrupted (once more: everything is killed, nothing more is undone)"


class Executor:
    """One execution of one plan. `execute` runs it to its end, rollback included; `cancel` may come from a signal handler."""

    def __init__(
        self,
        plan: Plan,
        options: ExecutionOptions,
        around: Surroundings,
        known: Mapping[str, Known] = MappingProxyType({}),
    ) -> None:
        """`known` is what an earlier execution of the run left; its nodes with an outcome are not run again."""
        self._plan = plan
        self._options = options
        self._around = around
        self._attempts = around.attempts
        self._emit = around.events.emit
        self._conditions = Conditions(around.evaluation)
        wanted = plan.parallel or default_parallel(options.processors, len(plan.nodes))
        self._parallel = min(wanted, options.most_children)
        items = items_of(plan, self._conditions, options.usual_ms, self._is_quick)
        self._scheduler = Scheduler(items, bounds_of(plan, self._parallel))
        self._pacing = Pacing(self._scheduler, plan.limits, around.tokens, self._emit)
        self._bodies = Bodies(plan, rules_of(around.require_action))
        self._progress = {node.id: Progress(node) for node in plan.nodes}
        self._outcomes = Results(members_of(plan), self._progress, self._emit)
        self._results = self._outcomes.by_node
        self._started = 0
        self._cancellations = 0
        self._heeded = 0
        self._failed = False
        self._once: dict[str, str] = {}
        self._stops: list[str] = []
        self._recall(known)
        self._is_fresh = not known
        self._has_ungrouped = False
        self._retrying = Retrying(
            plan,
            around,
            self._scheduler,
            self._progress,
            lambda: self._cancellations,
            self._finish,
            self._outcomes.reopen,
        )
        self._judging = Judging(plan, self._scheduler, self._conditions, lambda: self.is_cancelled)
        self._locks = LockWaits(around, self._scheduler, self._progress, self._retrying.is_to_undo)
        self._growing = Growing(
            plan, around, self._scheduler, self._bodies, self._progress, self._outcomes, options.usual_ms
        )
        self._watching = Watching(around, self._progress, options.still_running_ms, self.cancel)
        self._lost: LockLost | None = None

    def lose(self, error: LockLost) -> None:
        """A lock of this run is another's by now: end what runs, and undo nothing, since that would meet the other run."""
        self._lost = error
        self.cancel()

    def cancel(self) -> None:
        """Stop the run: the first time gracefully, the second time at once."""
        self._cancellations += 1
        self._attempts.wake()

    @property
    def is_cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self._cancellations > 0

    def execute(self) -> Execution:
        """Run every node to its outcome, then undo what the policy says. Always returns the whole result.

        Where the execution itself fails (a journal that cannot be written, a bug), everything is ended, what was begun is
        undone all the same, and `fault` says what happened.
        """
        to_run = tuple(node for node in self._progress if node not in self._results)
        self._emit(RunStarted(self._around.directory.name, to_run, self._parallel, kept=len(self._results)))
        fault: Exception | None = None
        try:
            self._run_nodes()
        except Exception as error:  # noqa: BLE001 - half a deployment stands: it must be undone and told, whatever broke
            fault = error
            self._around = replace(self._around, journal=BestEffort(self._around.journal))
            self._abandon()
            try:
                self._around.journal.commit()
            except TAKEN_OVER as taken:
                fault = taken
            if isinstance(fault, TAKEN_OVER):
                return replace(self._execution(self._unwinding(self._around), []), fault=fault)
        around, journal = self._undoing_around()
        unwinding = self._unwinding(around)
        try:
            rollback = [] if self._lost else unwinding.roll_back(failed=self._failed)
        except TAKEN_OVER as taken:
            return replace(self._execution(unwinding, []), fault=taken)
        verdicts = unwinding.asked(rollback) if self._options.fail_after else {}
        fault = fault or self._lost or journal.failure
        return replace(self._execution(unwinding, rollback), fault=fault, verdicts=verdicts)

    def go_on_undoing(self, order: Sequence[str], before: Sequence[RollbackEntry]) -> Execution:
        """Undo what a killed process left of a rollback: the nodes of `order`; `before` is what it had come to."""
        self._growing.recall_groups()
        around, journal = self._undoing_around()
        unwinding = self._unwinding(around)
        rollback = [*before, *unwinding.go_on(order)]
        execution = self._execution(unwinding, rollback)
        return replace(execution, cancelled=execution.cancelled or not self._failed, fault=journal.failure)

    def _recall(self, known: Mapping[str, Known]) -> None:
        """Stand where the run stood: what has ended is not run again, and all that was begun may have to be undone."""
        for node, found in known.items():
            progress = self._progress[node]
            progress.attempts, progress.tried_before = list(found.tried), found.tried_before
            progress.order, progress.began, progress.last = found.order, found.began, found.last
            progress.taken_back = found.taken_back
            self._started = max(self._started, found.order + 1)
            if progress.node.is_group and found.outcome is Outcome.SUCCEEDED:
                continue  # it was opened; its result is that of its members
            if found.outcome is not None:
                self._outcomes.recall(progress.node, found.result)
                failed = own_outcome(found.result) in FAILURES
                if failed and is_stop(found.result):
                    self._stops.append(node)
                self._failed = self._failed or (failed and (not progress.node.allow_failure or node in self._stops))
        self._scheduler.recall({node: each.outcome for node, each in known.items() if each.outcome is not None})
        if self._stops:
            self._scheduler.stop(retries=True)

    def _undoing_around(self) -> tuple[Surroundings, BestEffort]:
        """What undoing works in: a store that cannot be written any more keeps nothing from being undone."""
        journal = BestEffort(self._around.journal)
        return replace(self._around, journal=journal), journal

    def _unwinding(self, around: Surroundings) -> Unwinding:
        return Unwinding(
            self._plan,
            around,
            self._options.on_cancel,
            self._progress,
            self._results,
            struck=lambda: 2 if self._lost else self._cancellations,
        )

    def _run_nodes(self) -> None:
        self._pacing.begin(self._around.clock_ms())
        if self._is_fresh and not (self._options.fail_after or self._options.checks_each):
            self._end_recognized()
        while not self._scheduler.finished:
            self._heed_cancellation()
            self._take_decisions()
            self._judge()
            self._dispatch()
            self._take_decisions()
            if self._attempts.active or self._retrying.is_pending or self._waits:
                self._step()
            elif not self._scheduler.finished:
                self._settle()
        self._take_decisions()
        self._around.journal.commit()

    def _end_recognized(self) -> None:
        """Before anything begins: what was planned to find nothing to do, and finds nothing, has ended; in one commit."""
        recognition = Recognition(self._around, self._note, self._keep)
        while not self.is_cancelled:
            found = recognition.end(self._progress[node] for node in self._scheduler.ready())
            if not found:
                break
            self._scheduler.recall(found)
            self._take_decisions()
        self._around.journal.commit()

    def _abandon(self) -> None:
        """End what runs, and give every node that has none an outcome: cancelled, unknown if begun, else not started."""
        self._failed = True
        self._attempts.kill()
        while self._attempts.active:
            for ended in self._attempts.wait(None):
                if self._retrying.is_undoing(ended.node):
                    self._retrying.drop(ended)
                    continue
                progress = self._progress[ended.node]
                progress.take(ended)
                self._around.journal.ended(progress.node, progress.attempts[-1].number, ended)
        for node, progress in self._progress.items():
            if node not in self._results:
                self._keep(self._left(progress))

    def _left(self, progress: Progress) -> NodeResult:
        """The result of a node whose end was not dealt with."""
        if not progress.attempts:
            return self._untried(NodeResult(progress.node.id, Outcome.NOT_STARTED))
        result = result_as_left(progress)
        progress.began = progress.began or result.outcome is Outcome.UNKNOWN
        return result

    # One turn of the loop.

    def _step(self) -> None:
        until = self._next_moment()
        if self._has_ungrouped:
            until = min(until, self._around.clock_ms() + _SETTLED_MS)
        found = self._attempts.wait(until)
        for ended in found:
            if self._retrying.is_undoing(ended.node):
                self._retrying.ended(ended)
                self._give_back_locks(self._progress[ended.node])
            else:
                self._forward_ended(ended)
        if self._has_ungrouped and not found:
            self._around.journal.groups(self._attempts.groups())
            self._has_ungrouped = False
        now = self._around.clock_ms()
        self._retrying.on_time(now)
        self._locks.on_time(now)
        self._watching.on_time(now, is_cancelled=self.is_cancelled)

    def _next_moment(self) -> int:
        retry = self._retrying.next_moment_ms
        token = self._pacing.next_moment_ms(self._around.clock_ms(), idle=not self._attempts.active)
        lock = self._locks.next_moment_ms
        return min(moment for moment in (self._watching.next_moment_ms, retry, token, lock) if moment is not None)

    @property
    def _waits(self) -> bool:
        """Whether something is to come though nothing runs: a token of a limit, or a lock."""
        return self._locks.is_pending or self._scheduler.next_moment(self._around.clock_ms()) is not None

    def _heed_cancellation(self) -> None:
        if self._heeded == self._cancellations:
            return
        self._heeded = self._cancellations
        self._scheduler.stop()
        running = self._running()
        if self._cancellations == 1:
            why = self._lost.message if self._lost else _INTERRUPTED
            self._emit(Stopping(why, running, self._options.grace.total_ms))
            for node in running:
                self._attempts.stop(node, Outcome.CANCELLED)
        else:
            self._scheduler.pace.lift()
            self._emit(Stopping("interrupted again", running, 0))
            self._attempts.kill()
        self._give_up_retries()

    def _give_up_retries(self) -> None:
        """Nodes that waited for another attempt which will not come end as their last one did."""
        self._retrying.stop()
        if not self._scheduler.tries_again:
            for progress in self._locks.stop():
                if progress.node.id not in self._results:
                    self._give_up(progress)
        while waiting := self._scheduler.abandoned():
            self._give_up(self._progress[waiting[0]])

    def _give_up(self, progress: Progress) -> None:
        """The node waited for a lock or for another attempt, and will have neither: it ends as its last attempt did."""
        if progress.last is None:
            self._decide(progress.node, Outcome.NOT_STARTED, "")
        else:
            self._finish(progress, replace(progress.last, warning="not tried again: the run was stopped"))

    def _running(self) -> tuple[str, ...]:
        """The nodes that run forward: what is undone before it is tried again is not to be stopped half-way."""
        return tuple(node for node in self._attempts.running() if not self._retrying.is_undoing(node))

    def _settle(self) -> None:
        if self._scheduler.stopping:
            self._scheduler.settle()
        if not self._scheduler.finished and not self._scheduler.has_ready:
            left = self._scheduler.unfinished()
            raise ShipwayError(
                f"{len(left)} of {len(self._plan.nodes)} nodes never became ready: {', '.join(left[:5])}",
                reason=Reason.BUG,
            )

    # Outcomes without an attempt.

    def _judge(self) -> None:
        while nodes := self._scheduler.unjudged():
            for node_id in nodes:
                progress = self._progress[node_id]
                decided = self._judging.decided(progress.node)
                if decided is None:
                    self._scheduler.admit(node_id)
                else:
                    progress.resolve_error = decided.error
                    self._decide(progress.node, decided.outcome, decided.cause, decided.error)
            # What a judgement ends may be the last of a body, whose outputs the next one asks for.
            self._take_decisions()

    def _decide(self, node: Node, outcome: Outcome, cause: str, error: str = "") -> None:
        """An outcome without an attempt: the scheduler is told, the result is kept and announced."""
        self._scheduler.finish(node.id, outcome)
        self._keep(self._untried(NodeResult(node.id, outcome, cause=cause, error=error)))
        if outcome in FAILURES and not node.allow_failure:
            self._node_failed(node)

    def _skip(self, node: Node, cause: str) -> None:
        self._decide(node, Outcome.SKIPPED, cause)

    def _take_decisions(self) -> None:
        for decision in self._scheduler.decided():
            if is_gate(decision.id):
                self._close(self._progress[owner_of(decision.id)], decision.cause)
                continue
            self._keep(self._untried(NodeResult(decision.id, decision.outcome, cause=decision.cause)))

    def _untried(self, result: NodeResult) -> NodeResult:
        """The result of a node that was not tried, at least not in this attempt of its stage."""
        progress = self._progress[result.node]
        self._around.evaluation.record(progress.node, result.outcome, {})
        self._around.journal.decided(result.node, Decided(result.outcome, result.cause, result.error))
        return with_what_was_tried(result, progress)

    # Attempts, forward.

    def _dispatch(self) -> None:
        """Start what may start now; first, in one commit, all that ended meanwhile and what is about to start."""
        starting = self._with_locks()
        try:
            for dispatch in self._pacing.dispatch(self._around.clock_ms()):
                progress = self._progress[dispatch.id]
                if self._cancellations > 1:
                    # The second signal ends everything: not even what outlives a failure is begun any more.
                    self._decide(progress.node, Outcome.NOT_STARTED, "")
                    continue
                if not self._locks.admits(progress):
                    continue
                if self._retrying.begins(dispatch.id):
                    continue
                progress.waited_for = progress.waited_for or dispatch.waited_for
                self._note(progress)
                starting.append(progress)
            self._around.journal.commit()
        except Exception:
            for progress in starting:
                progress.attempts.pop()  # it was noted and will not begin: it must not be taken for begun
            raise
        with self._around.notebook.held() if self._are_noting(starting) else nullcontext():
            for progress in starting:
                self._begin(progress)
        self._has_ungrouped = self._has_ungrouped or bool(starting)

    def _are_noting(self, starting: Sequence[Progress]) -> bool:
        """Whether many will each note something, one after the other on this thread."""
        first = starting[0].node if len(starting) > 1 else None
        return first is not None and first.change is Change.CREATE and self._is_quick(first)

    def _with_locks(self) -> list[Progress]:
        """What got the locks that it asked for, to be begun."""
        found = []
        for progress, refusal in self._locks.answered():
            outlives = self._conditions.outlives_failure(progress.node.condition)
            if refusal:
                self._decide(progress.node, Outcome.FAILED, "", refusal)
            elif self._scheduler.stopping and not progress.attempts and not outlives:
                self._locks.give_back(progress)
                self._give_up(progress)
            elif not self._retrying.begins(progress.node.id):
                self._note(progress)
                found.append(progress)
        return found

    def _note(self, progress: Progress) -> None:
        """Write down that an attempt is about to begin."""
        node = progress.node
        number = len(progress.attempts) + 1
        progress.undone = None
        if len(progress.attempts) == progress.tried_before:
            progress.order = self._started
            self._started += 1
            self._outcomes.begin(node.stage)
        now = self._around.clock_ms()
        progress.attempts.append(Attempt(number, Outcome.UNKNOWN, now, now))
        self._around.journal.begun(node, number, now)

    def _is_quick(self, node: Node) -> bool:
        return not node.is_group and self._attempts.is_quick(self._around.require_action(node.action), node)

    def _begin(self, progress: Progress) -> None:
        node = progress.node
        number, now = len(progress.attempts), self._around.clock_ms()
        self._emit(NodeStarted(node.id, number, now, progress.tried_before))
        if node.is_group:
            self._forward_ended(opened(node, self._bodies, self._around.evaluation, now))
            return
        first = self._first_of(node)
        if first is not None:
            self._forward_ended(done_by(first, node, now))
            return
        is_final = node.must_be_undone and not node.reversible
        if (is_final or self._options.checks_each) and self._is_refused(node, now):
            return
        try:
            settle_inputs(progress, self._around)
            work = work_of(progress, self._around)
        except Unresolved as error:
            progress.resolve_error = str(error)
            self._forward_ended(
                Ended(node.id, Verb.DO, Outcome.FAILED, now, now, error=str(error), began=False, code="inputs")
            )
            return
        action = self._around.require_action(node.action)
        self._attempts.begin(action, Verb.DO, work, timeout_ms=node.timeout_ms, outputs=node.outputs)

    def _first_of(self, node: Node) -> NodeResult | None:
        """The result of the node that was done in place of this one; None where this one is the one to be done."""
        key = dedup_key(node)
        if key is None:
            return None
        result = self._results.get(self._once.get(key, ""))
        if result is not None and result.outcome in DONE:
            return result
        self._once[key] = node.id
        return None

    def _forward_ended(self, ended: Ended) -> None:
        progress = self._progress[ended.node]
        if self._lost is not None and ended.outcome is Outcome.CANCELLED:
            ended = replace(ended, error=f"lease_lost: {self._lost.message}")
        if ended.emitted and ended.outcome in DONE:
            ended = self._growing.grown(progress.node, ended, self._skip)
        if ended.node == self._options.fail_after and ended.outcome in DONE:
            ended = replace(ended, outcome=Outcome.FAILED, error=DRILLED, code="drill", is_permanent=True)
        if progress.node.predicted and ended.outcome in DONE:
            ended = self._as_foretold(progress.node, ended)
        progress.take(ended)
        self._around.journal.ended(progress.node, progress.attempts[-1].number, ended)
        self._pacing.heed(progress.node.limits, ended.node, ended.retry_after_ms, self._around.clock_ms())
        if ended.node in self._stops or not self._retrying.takes(progress, ended):
            self._finish(progress, ended)
            self._retrying.look(progress.node.stage)
        self._give_back_locks(progress)

    def _as_foretold(self, node: Node, ended: Ended) -> Ended:
        """The end of a node, which has failed where an output is not what its plan said: nothing may be built on that."""
        error = "" if node.is_group else broken(node, ended.outputs, self._attempts.clean)
        if not error:
            return ended
        self._stop(node)
        return replace(ended, outcome=Outcome.FAILED, error=error, code=BROKEN, is_permanent=True)

    def _stop(self, node: Node) -> None:
        """Start nothing more because of this node, whatever tolerates its failure."""
        self._stops.append(node.id)
        self._scheduler.stop(retries=True)

    def _is_refused(self, node: Node, now_ms: int) -> bool:
        """Whether a node is not to begin any more; its attempt has ended then."""
        try:
            self._around.check_head()
        except ShipwayError as error:
            self._stop(node)
            text = self._attempts.clean(error.message)
            self._forward_ended(
                Ended(node.id, Verb.DO, Outcome.FAILED, now_ms, now_ms, error=text, began=False, code=code_of(error))
            )
            return True
        return False

    def _give_back_locks(self, progress: Progress) -> None:
        """Unless what the attempt did is being undone right now: that is under the same locks."""
        if not self._retrying.is_undoing(progress.node.id):
            self._locks.give_back(progress)

    def _finish(self, progress: Progress, ended: Ended) -> None:
        node = progress.node
        if node.is_group and ended.outcome is Outcome.SUCCEEDED:
            self._scheduler.finish(node.id, ended.outcome)  # it is over when its members are: `_close`
            return
        is_refused = node.id in self._stops
        self._around.evaluation.record(node, ended.outcome, {} if is_refused else ended.outputs)
        self._scheduler.finish(node.id, ended.outcome)
        self._keep(result_of_end(progress, ended, self._bodies.added_by(node.id)), ended.exit_code)
        if ended.outcome in FAILURES and (is_refused or not node.allow_failure):
            self._node_failed(node)

    def _node_failed(self, node: Node) -> None:
        self._failed = True
        policy = self._scheduler.policy_for(node.id)
        if policy is OnFailure.CONTINUE and node.id not in self._stops:
            return
        self._give_up_retries()
        if policy is OnFailure.CANCEL and self._attempts.active:
            running = self._running()
            self._emit(Stopping(f"`{node.id}` failed", running, self._options.grace.total_ms))
            for other in running:
                self._attempts.stop(other, Outcome.CANCELLED)

    def _close(self, progress: Progress, cause: str) -> None:
        """All members of a node have ended, and so has it."""
        result = self._growing.closed(progress, cause)
        if result is not None:
            self._keep(self._untried(result) if result.outcome is Outcome.NOT_STARTED else result)

    def _keep(self, result: NodeResult, exit_code: int | None = None) -> None:
        self._outcomes.keep(result, self._around.clock_ms(), exit_code)

    # The whole.

    def _execution(self, unwinding: Unwinding, rollback: list[RollbackEntry]) -> Execution:
        stopped = self._failed or self._cancellations > 0
        return Execution(
            results=tuple(self._results[node.id] for node in self._bodies.nodes),
            added=tuple(node for node in self._bodies.nodes if node.id not in self._plan.by_id),
            stages=tuple(
                StageResult(stage.id, self._outcomes.of_stage(stage.id), self._retrying.stage_attempts[stage.id])
                for stage in self._plan.stages
            ),
            rollback=tuple(rollback),
            left_behind=unwinding.left_behind(rollback) if stopped else (),
            cancelled=self._cancellations > 0,
            failed=self._failed,
            duration_ms=self._around.clock_ms(),
            refusal=next((stop_of(self._progress[node].node, self._results[node]) for node in self._stops), None),
        )
