"""Executes a plan: starts what the scheduler gives, judges conditions, retries, and undoes what was begun when it fails.

Decides nothing by itself: order is the scheduler's, undo order the saga's, delays `retry`'s. Writes to no terminal.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from shipway import expressions, saga
from shipway.action import Action, Verb, Work
from shipway.attempts import Attempts, Ended, Grace
from shipway.canonical import Json
from shipway.declaration import OnCancel, OnFailure, Rollback
from shipway.environment import output_variables
from shipway.errors import Reason, ShipwayError
from shipway.evaluation import Evaluation, Unresolved
from shipway.events import (
    Events,
    NodeFinished,
    NodeOutput,
    NodeRetrying,
    NodeStarted,
    NodeStillRunning,
    NodeUndone,
    RollbackStarted,
    RunStarted,
    StageFinished,
    StageStarted,
    Stopping,
)
from shipway.journal import Journal
from shipway.nodes import DONE, FAILURES, Immediate, Need, NeedKind, Node, Outcome, Verified
from shipway.plan import Plan, PlannedStage
from shipway.receipt import Attempt, NodeResult, RollbackEntry, StageResult
from shipway.retry import delay_ms, has_another
from shipway.scheduler import Bounds, Item, Scheduler, default_parallel

STILL_RUNNING_MS = 60_000
"""After this long without output a running node is announced once more, and again after as long."""

_LIVE_TICK_MS = 100
_QUIET_TICK_MS = 1_000
_OUTLIVING = frozenset({"always", "failure", "cancelled"})


@dataclass(frozen=True, slots=True)
class ExecutionOptions:
    """How to run: on how many processors, with which grace when something is ended, and what a cancellation does."""

    processors: int
    grace: Grace
    on_cancel: OnCancel
    still_running_ms: int = STILL_RUNNING_MS


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What an execution works with: directories, actions by name, base environment, clock, randomness, and who listens.

    `directory` is private to the run and on the workspace's file system. `clock_ms` counts from the start of the run;
    `fraction()` is random in [0, 1). `passed` gives the variables that `env_from` patterns let through.
    """

    root: Path
    directory: Path
    require_action: Callable[[str], Action]
    base_env: Mapping[str, str]
    passed: Callable[[tuple[str, ...]], Mapping[str, str]]
    clock_ms: Callable[[], int]
    fraction: Callable[[], float]
    evaluation: Evaluation
    attempts: Attempts
    events: Events
    journal: Journal
    started_unix_ms: int


@dataclass(frozen=True, slots=True)
class Execution:
    """What came of it: one result per node of the plan in declared order, stage outcomes, and the undos in order."""

    results: tuple[NodeResult, ...]
    stages: tuple[StageResult, ...]
    rollback: tuple[RollbackEntry, ...]
    left_behind: tuple[str, ...]
    cancelled: bool
    failed: bool
    duration_ms: int


@dataclass(slots=True)
class _Progress:
    """A node on its way: what has been tried, and what its undo will need."""

    node: Node
    attempts: list[Attempt] = field(default_factory=list)
    order: int = -1
    waited_for: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    inputs: Mapping[str, Json] = field(default_factory=dict)
    last: Ended | None = None
    resolve_error: str = ""


class Executor:
    """One execution of one plan. `execute` runs it to its end, rollback included; `cancel` may come from a signal handler."""

    def __init__(self, plan: Plan, options: ExecutionOptions, around: Surroundings) -> None:
        self._plan = plan
        self._options = options
        self._around = around
        self._attempts = around.attempts
        self._emit = around.events.emit
        self._conditions: dict[str, expressions.Expression] = {}
        outliving = {stage.id for stage in plan.stages if self._outlives(stage.condition)}
        self._parallel = plan.parallel or default_parallel(options.processors, len(plan.nodes))
        self._scheduler = Scheduler(self._items(outliving), self._bounds())
        self._progress = {node.id: _Progress(node) for node in plan.nodes}
        self._results: dict[str, NodeResult] = {}
        self._stage_holds: dict[str, bool] = {}
        self._members = {stage: [node.id for node in nodes] for stage, nodes in _members(plan).items()}
        self._stage_left = {stage: len(nodes) for stage, nodes in self._members.items()}
        self._stages_started: set[str] = set()
        self._retries: list[tuple[int, int, str]] = []
        self._started = 0
        self._cancellations = 0
        self._heeded = 0
        self._failed = False
        self._next_tick = 0
        self._announced: dict[str, int] = {}

    def cancel(self) -> None:
        """Stop the run: the first time gracefully, the second time at once."""
        self._cancellations += 1
        self._attempts.wake()

    def execute(self) -> Execution:
        """Run every node to its outcome, then undo what the policy says. Always returns the whole result."""
        self._emit(RunStarted(self._around.directory.name, tuple(self._progress), self._parallel))
        while not self._scheduler.finished:
            self._heed_cancellation()
            self._judge()
            self._dispatch()
            self._take_decisions()
            if self._attempts.active or self._retries:
                self._step()
            elif not self._scheduler.finished:
                self._settle()
        self._take_decisions()
        rollback = self._roll_back()
        return self._execution(rollback)

    # The scheduler's view of the plan.

    def _items(self, outliving_stages: set[str]) -> list[Item]:
        needed = {need for stage in self._plan.stages for need in stage.needs}
        members = _members(self._plan)
        items = [
            self._item(node, self._plan.stages_by_id[node.stage], node.stage in outliving_stages)
            for node in self._plan.nodes
        ]
        for stage in self._plan.stages:
            if stage.id in needed:
                inner = {need.node for node in members[stage.id] for need in node.needs}
                ends = [Need(node.id, NeedKind.ORDER) for node in members[stage.id] if node.id not in inner]
                items.append(Item(stage.id, tuple(ends or map(Need, stage.needs)), stage.id, gate=True))
        return items

    def _item(self, node: Node, stage: PlannedStage, stage_outlives: bool) -> Item:
        kind = NeedKind.OPTIONAL if stage_outlives else NeedKind.NEEDS
        is_root = not any(need.node.startswith(node.stage + "/") for need in node.needs)
        gates = tuple(Need(before, kind) for before in stage.needs) if is_root else ()
        return Item(
            id=node.id,
            needs=(*node.needs, *gates),
            stage=node.stage,
            limits=node.limits,
            exclusive=node.exclusive,
            conditional=stage.condition is not None or node.condition is not None,
            outlives_failure=stage_outlives or self._outlives(node.condition),
            allow_failure=node.allow_failure,
        )

    def _bounds(self) -> Bounds:
        return Bounds(
            parallel=self._parallel,
            stage_parallel={stage.id: stage.parallel for stage in self._plan.stages if stage.parallel},
            limits=self._plan.limits,
            on_failure=self._plan.on_failure,
            stage_policies={stage.id: stage.on_failure for stage in self._plan.stages},
        )

    def _outlives(self, condition: str | None) -> bool:
        return condition is not None and not _OUTLIVING.isdisjoint(self._parsed(condition).functions)

    def _parsed(self, condition: str) -> expressions.Expression:
        found = self._conditions.get(condition)
        if found is None:
            found = self._conditions[condition] = expressions.parse(condition, rendered=True)
        return found

    # One turn of the loop.

    def _step(self) -> None:
        for ended in self._attempts.wait(self._next_moment()):
            self._forward_ended(ended)
        now = self._around.clock_ms()
        while self._retries and self._retries[0][0] <= now:
            self._scheduler.wake(heapq.heappop(self._retries)[2])
        if now >= self._next_tick:
            self._tick(now)

    def _next_moment(self) -> int:
        tick = _LIVE_TICK_MS if self._around.events.wants_output else _QUIET_TICK_MS
        self._next_tick = self._next_tick or self._around.clock_ms() + tick
        return min([self._next_tick, *(due for due, _, _ in self._retries[:1])])

    def _tick(self, now: int) -> None:
        """Read what running nodes printed; say which have been silent for long."""
        self._next_tick = 0
        for node in self._attempts.running():
            fresh = self._attempts.hear(node)
            if fresh and self._around.events.wants_output:
                self._emit(NodeOutput(node, fresh))
            silent_since = max(self._attempts.silent_since(node), self._announced.get(node, 0))
            if now - silent_since >= self._options.still_running_ms:
                self._announced[node] = now
                self._emit(NodeStillRunning(node, now - self._progress[node].attempts[-1].started_ms))

    def _heed_cancellation(self) -> None:
        if self._heeded == self._cancellations:
            return
        self._heeded = self._cancellations
        self._scheduler.stop()
        running = tuple(self._attempts.running())
        if self._cancellations == 1:
            self._emit(Stopping("interrupted", running, self._options.grace.total_ms))
            for node in running:
                self._attempts.stop(node, Outcome.CANCELLED)
        else:
            self._emit(Stopping("interrupted again", running, 0))
            self._attempts.kill()
        self._give_up_retries()

    def _give_up_retries(self) -> None:
        """Nodes that waited for another attempt end as their last one did."""
        waiting, self._retries = self._retries, []
        for _, _, node in waiting:
            progress = self._progress[node]
            assert progress.last is not None
            self._finish(progress, replace(progress.last, warning="not tried again: the run was stopped"))

    def _settle(self) -> None:
        if self._scheduler.stopping:
            self._scheduler.settle()
        if not self._scheduler.finished and not self._scheduler.has_ready:
            left = self._scheduler.unfinished()
            raise ShipwayError(
                f"{len(left)} of {len(self._plan.nodes)} nodes never became ready: {', '.join(left[:5])}",
                reason=Reason.BUG,
            )

    # Conditions.

    def _judge(self) -> None:
        while nodes := self._scheduler.unjudged():
            for node_id in nodes:
                self._judge_one(self._progress[node_id])

    def _judge_one(self, progress: _Progress) -> None:
        node = progress.node
        try:
            if not self._stage_condition_holds(self._plan.stages_by_id[node.stage], node):
                self._decide(node, Outcome.SKIPPED, f"`if` of stage `{node.stage}` is false")
            elif self._scheduler.failed_above(node.id) and not self._asks_status(node.condition):
                self._decide(node, Outcome.BLOCKED, self._scheduler.failed_above(node.id))
            elif node.condition is None or self._condition_holds(
                node.condition, node, self._scheduler.failed_above(node.id)
            ):
                self._scheduler.admit(node.id)
            else:
                self._decide(node, Outcome.SKIPPED, "`if` is false")
        except Unresolved as error:
            progress.resolve_error = str(error)
            self._decide(node, Outcome.FAILED, "", str(error))

    def _stage_condition_holds(self, stage: PlannedStage, node: Node) -> bool:
        if stage.condition is None:
            return True
        held = self._stage_holds.get(stage.id)
        if held is None:
            failed = next(filter(None, map(self._scheduler.failed_above, stage.needs)), "")
            held = self._stage_holds[stage.id] = self._condition_holds(stage.condition, node, failed)
        return held

    def _asks_status(self, condition: str | None) -> bool:
        return condition is not None and self._parsed(condition).uses_status

    def _condition_holds(self, condition: str, node: Node, failed_above: str) -> bool:
        cancelled = self._cancellations > 0
        succeeding = not failed_above and not cancelled
        if not succeeding and not self._asks_status(condition):
            return False
        functions: dict[str, Callable[..., expressions.Value]] = {
            "success": lambda: succeeding,
            "failure": lambda: bool(failed_above) and not cancelled,
            "always": lambda: True,
            "cancelled": lambda: cancelled,
        }
        refers_to_env = any(reference.path[0] == "env" for reference in self._parsed(condition).references)
        env = self._around.evaluation.environment(node) if refers_to_env else {}
        return self._around.evaluation.holds(condition, node, env, functions)

    def _decide(self, node: Node, outcome: Outcome, cause: str, error: str = "") -> None:
        """An outcome without an attempt: the scheduler is told, the result is kept and announced."""
        self._scheduler.finish(node.id, outcome)
        self._keep(NodeResult(node.id, outcome, cause=cause, error=error))
        if outcome in FAILURES and not node.allow_failure:
            self._node_failed(node)

    def _take_decisions(self) -> None:
        for decision in self._scheduler.decided():
            self._keep(NodeResult(decision.id, decision.outcome, cause=decision.cause))

    # Attempts, forward.

    def _dispatch(self) -> None:
        for dispatch in self._scheduler.dispatch():
            progress = self._progress[dispatch.id]
            progress.waited_for = progress.waited_for or dispatch.waited_for
            self._begin(progress)

    def _begin(self, progress: _Progress) -> None:
        node = progress.node
        number = len(progress.attempts) + 1
        if progress.order < 0:
            progress.order = self._started
            self._started += 1
            if node.stage not in self._stages_started:
                self._stages_started.add(node.stage)
                self._emit(StageStarted(node.stage))
        now = self._around.clock_ms()
        progress.attempts.append(Attempt(number, Outcome.UNKNOWN, now, now))
        self._around.journal.begun(node.id, number)
        self._emit(NodeStarted(node.id, number, now))
        try:
            work = self._work(progress)
        except Unresolved as error:
            progress.resolve_error = str(error)
            self._forward_ended(Ended(node.id, Verb.DO, Outcome.FAILED, now, now, error=str(error)))
            return
        action = self._around.require_action(node.action)
        self._attempts.begin(action, Verb.DO, work, timeout_ms=node.timeout_ms, outputs=node.outputs)

    def _work(self, progress: _Progress) -> Work:
        node = progress.node
        evaluation = self._around.evaluation
        declared = evaluation.environment(node) if node.env else {}
        progress.env = {**self._around.base_env, **self._around.passed(node.env_from), **declared}
        if all(type(slot) is Immediate for slot in node.slots.values()):
            progress.inputs = {name: slot.value for name, slot in node.slots.items() if isinstance(slot, Immediate)}
        else:
            progress.inputs = evaluation.inputs(node, declared)
        return Work(
            node, progress.inputs, progress.env, self._around.root, self._around.directory / "scratch" / node.id
        )

    def _scratch(self, node: Node) -> Path:
        return self._around.directory / "scratch" / node.id

    def _unix_ms(self) -> int:
        return self._around.started_unix_ms + self._around.clock_ms()

    def _forward_ended(self, ended: Ended) -> None:
        progress = self._progress[ended.node]
        progress.last = ended
        progress.attempts[-1] = _attempt(progress.attempts[-1], ended)
        self._around.journal.ended(ended.node, progress.attempts[-1].number, ended.outcome)
        if self._may_retry(progress, ended):
            delay = delay_ms(progress.node.retry, len(progress.attempts), self._around.fraction())
            self._emit(NodeRetrying(ended.node, len(progress.attempts), ended.error, delay))
            self._scheduler.pause(ended.node)
            heapq.heappush(self._retries, (self._around.clock_ms() + delay, progress.order, ended.node))
        else:
            self._finish(progress, ended)

    def _may_retry(self, progress: _Progress, ended: Ended) -> bool:
        return (
            ended.outcome in FAILURES
            and not progress.resolve_error
            and not self._scheduler.stopping
            and has_another(progress.node.retry, len(progress.attempts))
        )

    def _finish(self, progress: _Progress, ended: Ended) -> None:
        node = progress.node
        self._around.evaluation.record(node, ended.outcome, ended.outputs)
        self._scheduler.finish(node.id, ended.outcome)
        self._keep(
            NodeResult(
                node=node.id,
                outcome=ended.outcome,
                attempts=tuple(progress.attempts),
                started_ms=progress.attempts[0].started_ms,
                ended_ms=ended.ended_ms,
                waited_for=progress.waited_for,
                cause=ended.cause,
                error=ended.error,
                warning=ended.warning,
                change=ended.change,
                outputs=ended.outputs,
                tail=ended.tail,
                log=ended.log,
            ),
            ended.exit_code,
        )
        if ended.outcome in FAILURES and not node.allow_failure:
            self._node_failed(node)

    def _node_failed(self, node: Node) -> None:
        self._failed = True
        policy = self._scheduler.policy_of(node.stage)
        if policy is OnFailure.CONTINUE:
            return
        self._give_up_retries()
        if policy is OnFailure.CANCEL and self._attempts.active:
            running = tuple(self._attempts.running())
            self._emit(Stopping(f"`{node.id}` failed", running, self._options.grace.total_ms))
            for other in running:
                self._attempts.stop(other, Outcome.CANCELLED)

    def _keep(self, result: NodeResult, exit_code: int | None = None) -> None:
        self._results[result.node] = result
        node = self._progress[result.node].node
        if not result.attempts:
            self._around.evaluation.record(node, result.outcome, {})
        self._emit(
            NodeFinished(
                node=result.node,
                outcome=result.outcome.value,
                at_ms=self._around.clock_ms(),
                duration_ms=result.duration_ms,
                cause=result.cause,
                error=result.error,
                warning=result.warning,
                log=result.log,
                tail=result.tail,
                exit_code=exit_code,
            )
        )
        self._stage_left[node.stage] -= 1
        if not self._stage_left[node.stage]:
            self._emit(StageFinished(node.stage, self._stage_outcome(node.stage).value))

    # Undoing.

    def _roll_back(self) -> list[RollbackEntry]:
        order = self._undo_order()
        if not order:
            return []
        self._emit(RollbackStarted(tuple(order)))
        return [self._undo(self._progress[node]) for node in order]

    def _begun(self) -> list[saga.Begun]:
        return [
            saga.Begun(progress.node.id, progress.node.stage, progress.order, self._left_something(progress))
            for progress in self._progress.values()
            if progress.order >= 0
        ]

    def _left_something(self, progress: _Progress) -> bool:
        """Whether there may be something to undo: not after an attempt that never began its work, or that changed nothing."""
        outcome = self._results[progress.node.id].outcome
        return (
            progress.node.must_be_undone
            and not progress.resolve_error
            and outcome not in (Outcome.UNCHANGED, Outcome.SKIPPED)
        )

    def _undo_order(self) -> list[str]:
        if self._cancellations and self._options.on_cancel is OnCancel.LEAVE and not self._failed:
            return []
        if not self._failed and not self._cancellations:
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

    def _undo(self, progress: _Progress) -> RollbackEntry:
        """Undo one node, trying again as its `retry` says; what `verify` still finds afterwards was not undone."""
        node = progress.node
        started = self._around.clock_ms()
        if not node.reversible:
            return self._undone(progress, Outcome.NOT_UNDOABLE, "it has no `undo`", started, 0)
        if self._cancellations > 1:
            return self._undone(progress, Outcome.UNDO_FAILED, "interrupted before it was undone", started, 0)
        self._around.journal.undo_begun(node.id)
        tries = 0
        while True:
            tries += 1
            ended = self._run_alone(progress, Verb.UNDO)
            if ended.outcome not in FAILURES or not has_another(node.retry, tries) or self._cancellations > 1:
                break
            self._pause_alone(delay_ms(node.retry, tries, self._around.fraction()))
        outcome, error = ended.outcome, ended.error
        if outcome in FAILURES or outcome is Outcome.CANCELLED:
            outcome, error = Outcome.UNDO_FAILED, error or outcome.value
        elif outcome is Outcome.UNDONE and self._still_holds(progress):
            outcome, error = Outcome.UNDO_FAILED, "`undo` exited 0, but `verify` still finds the work"
        self._around.journal.undo_ended(node.id, outcome)
        return self._undone(progress, outcome, error, started, tries, ended)

    def _still_holds(self, progress: _Progress) -> bool:
        action = self._around.require_action(progress.node.action)
        if action.runs_in == "process" and action.command(Verb.VERIFY, self._undo_work(progress)) is None:
            return False
        return self._run_alone(progress, Verb.VERIFY).verified is Verified.HOLDS

    def _run_alone(self, progress: _Progress, verb: Verb) -> Ended:
        """One attempt with nothing else running; only a second cancellation ends it early."""
        node = progress.node
        action = self._around.require_action(node.action)
        self._attempts.begin(action, verb, self._undo_work(progress), timeout_ms=node.timeout_ms, outputs={})
        while True:
            ended = self._attempts.wait(None)
            if ended:
                return ended[0]
            if self._cancellations > 1 and self._heeded < self._cancellations:
                self._heeded = self._cancellations
                self._attempts.kill()

    def _undo_work(self, progress: _Progress) -> Work:
        node = progress.node
        result = self._results[node.id]
        texts = {name: expressions.to_text(value) for name, value in result.outputs.items()}
        env = {**progress.env, **output_variables(texts), "SHIPWAY_OUTCOME": result.outcome.value}
        return Work(
            node,
            progress.inputs,
            env,
            self._around.root,
            self._scratch(node),
            started_ms=self._unix_ms(),
            outcome=result.outcome,
            outputs=result.outputs,
            state=progress.last.undo if progress.last else None,
        )

    def _pause_alone(self, milliseconds: int) -> None:
        due = self._around.clock_ms() + milliseconds
        while self._around.clock_ms() < due and self._cancellations < 2:
            self._attempts.wait(due)

    def _undone(
        self, progress: _Progress, outcome: Outcome, error: str, started: int, tries: int, ended: Ended | None = None
    ) -> RollbackEntry:
        node = progress.node
        now = self._around.clock_ms()
        self._results[node.id] = replace(self._results[node.id], outcome=outcome)
        self._emit(
            NodeUndone(
                node.id,
                outcome.value,
                now - started,
                error,
                log=ended.log if ended else "",
                tail=ended.tail if ended else "",
            )
        )
        return RollbackEntry(node.id, node.stage, outcome, started, now, error, tries)

    # The whole.

    def _stage_outcome(self, stage: str) -> Outcome:
        outcomes = {
            result.outcome for node, result in self._results.items() if self._progress[node].node.stage == stage
        }
        order = (
            Outcome.UNDO_FAILED,
            Outcome.NOT_UNDOABLE,
            Outcome.DRIFTED,
            Outcome.FAILED,
            Outcome.TIMED_OUT,
            Outcome.UNDONE,
            Outcome.CANCELLED,
            Outcome.BLOCKED,
            Outcome.NOT_STARTED,
        )
        worst = next((outcome for outcome in order if outcome in outcomes), None)
        if worst is not None:
            return worst
        return Outcome.SUCCEEDED if outcomes & DONE or not outcomes else Outcome.SKIPPED

    def _execution(self, rollback: list[RollbackEntry]) -> Execution:
        undone = {entry.node for entry in rollback}
        stopped = self._failed or self._cancellations > 0
        return Execution(
            results=tuple(self._results[node.id] for node in self._plan.nodes),
            stages=tuple(StageResult(stage.id, self._stage_outcome(stage.id)) for stage in self._plan.stages),
            rollback=tuple(rollback),
            left_behind=tuple(saga.left_behind(self._begun(), undone)) if stopped else (),
            cancelled=self._cancellations > 0,
            failed=self._failed,
            duration_ms=self._around.clock_ms(),
        )


def _members(plan: Plan) -> dict[str, list[Node]]:
    found: dict[str, list[Node]] = {stage.id: [] for stage in plan.stages}
    for node in plan.nodes:
        found[node.stage].append(node)
    return found


def _attempt(begun: Attempt, ended: Ended) -> Attempt:
    return Attempt(begun.number, ended.outcome, begun.started_ms, ended.ended_ms, ended.error, ended.exit_code)
