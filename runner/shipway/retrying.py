"""Tries nodes and stages again: takes back what the failed attempt did, waits, lets them start anew.

Decides nothing about order, room or delays: those are the scheduler's and `retry`'s. What is undone here is not undone again.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from shipway.attempt import Ended
from shipway.declaration import OnFailure
from shipway.events import NodeRetrying, NodeTakenBack, StageRetrying
from shipway.nodes import DONE, FAILURES, WHOLE, Outcome
from shipway.plan import Plan
from shipway.progress import Progress, Surroundings
from shipway.receipt import RollbackEntry
from shipway.retry import has_another, wait_ms
from shipway.scheduler import Scheduler
from shipway.undoing import Ask, Steps, Undoing

_Then: TypeAlias = Callable[[RollbackEntry], None]


class _Held(Struct):
    """A stage whose attempt failed: `failed` are the nodes that ended badly, `left` those still to be undone (None: not yet
    known), `undoing` the one whose undo waits for room or runs. `is_broken`: an undo failed, so that it is not tried again.
    """

    due_ms: int
    failed: list[str]
    left: list[str] | None = None
    undoing: str = ""
    is_broken: bool = False


class _Timer(Struct, order=True):
    due_ms: int
    sequence: int
    ring: Callable[[], None]
    is_of_undo: bool


class Retrying:
    """What is between two attempts in one execution. `takes` each end of an attempt that it has something to do with.

    `finish` gives a node its last outcome; `reopened` is told which nodes begin anew with their stage.
    """

    def __init__(
        self,
        plan: Plan,
        around: Surroundings,
        scheduler: Scheduler,
        progress: dict[str, Progress],
        struck: Callable[[], int],
        finish: Callable[[Progress, Ended], None],
        reopened: Callable[[str, Iterable[str]], None],
    ) -> None:
        self._plan = plan
        self._around = around
        self._scheduler = scheduler
        self._progress = progress
        self._struck = struck
        self._finish = finish
        self._reopened = reopened
        self._undoing = Undoing(around, struck)
        self._timers: list[_Timer] = []
        self._sequence = 0
        self._waiting: dict[str, int] = {}
        self._undos: dict[str, tuple[Steps, _Then]] = {}
        self._held: dict[str, _Held] = {}
        self.stage_attempts: dict[str, int] = {stage.id: 1 for stage in plan.stages}

    @property
    def is_pending(self) -> bool:
        """Whether something is still to come, though nothing may run."""
        return bool(self._timers or self._undos or self._held)

    @property
    def next_moment_ms(self) -> int | None:
        """When `on_time` has something to do, or None."""
        return self._timers[0].due_ms if self._timers else None

    def is_undoing(self, node: str) -> bool:
        """Whether what runs of the node now is its undo."""
        return node in self._undos

    def is_to_undo(self, node: str) -> bool:
        """Whether the node waits for its room only to be undone, as its stage is tried again."""
        held = self._held.get(self._progress[node].node.stage)
        return held is not None and held.undoing == node

    def on_time(self, now_ms: int) -> None:
        """Do what is due."""
        while self._timers and self._timers[0].due_ms <= now_ms:
            heapq.heappop(self._timers).ring()

    def begins(self, node: str) -> bool:
        """Whether a node that was dispatched got its room for an undo, which is begun then; else its attempt is to begin."""
        held = self._held.get(self._progress[node].node.stage)
        if held is None or held.undoing != node:
            self._waiting.pop(node, None)
            return False
        progress = self._progress[node]
        assert progress.last is not None
        steps = self._undoing.undo(progress, progress.last.outcome, progress.last.outputs)
        self._undo(node, steps, lambda entry: self._stage_node_undone(progress, entry))
        return True

    def takes(self, progress: Progress, ended: Ended) -> bool:
        """Whether the node is tried again, or its stage may be, so that this end is not its last word."""
        if ended.outcome in DONE or ended.outcome is Outcome.SKIPPED:
            return False
        stage = progress.node.stage
        if stage in self._held:
            self._scheduler.pause(progress.node.id)
            self._held[stage].failed.append(progress.node.id)
            self.look(stage)
        elif self._may_try_node(progress, ended):
            self._try_node(progress, ended)
        elif self._may_try_stage(progress, ended):
            self._hold(progress, ended)
        else:
            return False
        return True

    def ended(self, ended: Ended) -> None:
        """An attempt at an undo, or the `verify` behind it, has ended."""
        self._go_on(ended.node, ended)

    def drop(self, ended: Ended) -> None:
        """The execution itself broke, and an undo was killed with it: it is not tried again, and neither is its node."""
        del self._undos[ended.node]
        progress = self._progress[ended.node]
        why = "interrupted before it was undone"
        progress.undone = RollbackEntry(
            ended.node, progress.node.stage, Outcome.UNDO_FAILED, ended.started_ms, ended.ended_ms, why, 1
        )

    def look(self, stage: str) -> None:
        """Begin to undo a held stage, once nothing of it runs any more."""
        held = self._held.get(stage)
        if held is None or held.left is not None or not self._scheduler.is_quiet(stage):
            return
        mine = [progress for progress in self._progress.values() if progress.node.stage == stage]
        mine.sort(key=lambda progress: -progress.order)
        held.left = [progress.node.id for progress in mine if _is_taken_back(progress)]
        self._undo_next(stage)

    def stop(self) -> None:
        """The scheduler was stopped: no stage is tried again, and no node where it says so. An undo that runs is let finish."""
        if self._struck() > 1:
            urgent = [timer for timer in self._timers if timer.is_of_undo]
            self._timers = [timer for timer in self._timers if not timer.is_of_undo]
            heapq.heapify(self._timers)
            for timer in urgent:
                timer.ring()
        for stage, held in list(self._held.items()):
            if held.undoing not in self._undos:
                self._give_up(stage)
        if not self._scheduler.tries_again:
            for node in [node for node in self._waiting if node not in self._undos]:
                del self._waiting[node]
                self._finish_untried(node, "not tried again: the run was stopped")

    # Nodes.

    def _may_try_node(self, progress: Progress, ended: Ended) -> bool:
        return (
            _can_be_retried(progress, ended)
            and self._scheduler.tries_again
            and has_another(progress.node.retry, len(progress.attempts) - progress.tried_before)
        )

    def _try_node(self, progress: Progress, ended: Ended) -> None:
        node = progress.node
        tries = len(progress.attempts) - progress.tried_before
        delay = wait_ms(node.retry, tries, ended.retry_after_ms, self._around.fraction())
        due = self._around.clock_ms() + delay
        self._around.events.emit(
            NodeRetrying(node.id, len(progress.attempts), ended.error, delay, progress.tried_before)
        )
        self._sequence += 1
        self._waiting[node.id] = self._sequence
        if _is_taken_back(progress):
            # The node keeps its room: its undo is under the same limits and locks as what it undoes.
            steps = self._undoing.undo(progress, ended.outcome, ended.outputs)
            self._undo(node.id, steps, lambda entry: self._node_undone(progress, entry, due))
        else:
            self._wake_at(due, node.id)

    def _node_undone(self, progress: Progress, entry: RollbackEntry, due_ms: int) -> None:
        node = progress.node
        self._note(progress, entry)
        held = self._held.get(node.stage)
        if held is not None:
            del self._waiting[node.id]
            self._scheduler.pause(node.id)
            held.failed.append(node.id)
            held.is_broken = held.is_broken or entry.outcome not in WHOLE
            self.look(node.stage)
        elif entry.outcome in WHOLE and self._scheduler.tries_again:
            self._wake_at(due_ms, node.id)
        else:
            del self._waiting[node.id]
            why = "the run was stopped" if entry.outcome in WHOLE else "what the attempt did could not be undone"
            self._finish_untried(node.id, f"not tried again: {why}")
            self.look(node.stage)

    def _wake_at(self, due_ms: int, node: str) -> None:
        self._scheduler.pause(node)
        turn = self._waiting[node]

        def wake() -> None:
            if self._waiting.get(node) == turn:
                self._scheduler.wake(node)

        self._at(due_ms, wake)

    def _finish_untried(self, node: str, why: str) -> None:
        progress = self._progress[node]
        assert progress.last is not None
        warning = "; ".join(filter(None, (progress.last.warning, why)))
        self._finish(progress, replace(progress.last, warning=warning))

    # Stages.

    def _may_try_stage(self, progress: Progress, ended: Ended) -> bool:
        stage = self._plan.stages_by_id[progress.node.stage]
        return (
            has_another(stage.retry, self.stage_attempts[stage.id])
            and _can_be_retried(progress, ended)
            and not progress.node.allow_failure
            and not self._scheduler.stopping
            and (progress.undone is None or progress.undone.outcome in WHOLE)
        )

    def _hold(self, progress: Progress, ended: Ended) -> None:
        """The stage's attempt has failed: start nothing more of it, and take it back once nothing of it runs."""
        stage = self._plan.stages_by_id[progress.node.stage]
        tries = self.stage_attempts[stage.id]
        delay = wait_ms(stage.retry, tries, ended.retry_after_ms, self._around.fraction())
        held = self._held[stage.id] = _Held(self._around.clock_ms() + delay, [progress.node.id])
        self._scheduler.pause(progress.node.id)
        self._scheduler.hold(stage.id)
        self._around.events.emit(
            StageRetrying(stage.id, tries, stage.retry.attempts, progress.node.id, ended.error, delay)
        )
        mine = [node for node in self._waiting if self._progress[node].node.stage == stage.id]
        for node in mine:
            if node not in self._undos:
                del self._waiting[node]
                held.failed.append(node)
        if self._scheduler.policy_of(stage.id) is OnFailure.CANCEL:
            for node in self._around.attempts.running():
                if self._progress[node].node.stage == stage.id and node not in self._undos:
                    self._around.attempts.stop(node, Outcome.CANCELLED)
        self.look(stage.id)

    def _undo_next(self, stage: str) -> None:
        held = self._held[stage]
        held.undoing = ""
        if held.is_broken or self._scheduler.stopping:
            self._give_up(stage)
        elif held.left:
            held.undoing = held.left.pop(0)
            self._scheduler.revive(held.undoing)
        else:
            self._at(held.due_ms, lambda: self._reopen(stage, held))

    def _stage_node_undone(self, progress: Progress, entry: RollbackEntry) -> None:
        stage = progress.node.stage
        self._note(progress, entry)
        self._scheduler.pause(progress.node.id)
        self._held[stage].is_broken = entry.outcome not in WHOLE
        self._undo_next(stage)

    def _reopen(self, stage: str, held: _Held) -> None:
        if self._held.get(stage) is not held:
            return
        del self._held[stage]
        self.stage_attempts[stage] += 1
        mine = [progress for progress in self._progress.values() if progress.node.stage == stage]
        for progress in mine:
            progress.tried_before = len(progress.attempts)
            progress.order = -1
        self._reopened(stage, [progress.node.id for progress in mine])
        self._scheduler.reopen(stage)

    def _give_up(self, stage: str) -> None:
        """The stage's last attempt was its last: what failed in it has failed."""
        held = self._held.pop(stage)
        why = "what it had done could not be undone" if held.is_broken else "the run was stopped"
        self._scheduler.give_up(stage, "" if self._scheduler.stopping else held.failed[0])
        for node in held.failed:
            self._finish_untried(node, f"its stage was not tried again: {why}")

    # Undos, one attempt after the other.

    def _undo(self, node: str, steps: Steps, then: _Then) -> None:
        self._undos[node] = steps, then
        self._go_on(node, None)

    def _go_on(self, node: str, answer: Ended | None) -> None:
        steps, then = self._undos[node]
        try:
            wanted = steps.send(answer)
        except StopIteration as end:
            del self._undos[node]
            then(end.value)
            return
        if isinstance(wanted, Ask):
            action = self._around.require_action(wanted.work.node.action)
            self._around.attempts.begin(
                action, wanted.verb, wanted.work, timeout_ms=wanted.timeout_ms, outputs=wanted.outputs
            )
            if self._struck() > 1:
                self._around.attempts.kill()
        else:
            due = self._around.clock_ms() + wanted.milliseconds
            self._at(due, lambda: self._go_on(node, None), is_of_undo=True)

    def _note(self, progress: Progress, entry: RollbackEntry) -> None:
        progress.undone = entry
        progress.attempts[-1] = replace(progress.attempts[-1], undo=entry.outcome)
        if entry.outcome is Outcome.UNDONE:
            progress.began = False
            progress.taken_back = len(progress.attempts)
        took = entry.ended_ms - entry.started_ms
        self._around.events.emit(
            NodeTakenBack(entry.node, entry.outcome.value, took, entry.error, log=entry.log, tail=entry.tail)
        )

    def _at(self, due_ms: int, ring: Callable[[], None], *, is_of_undo: bool = False) -> None:
        self._sequence += 1
        heapq.heappush(self._timers, _Timer(due_ms, self._sequence, ring, is_of_undo))


def _can_be_retried(progress: Progress, ended: Ended) -> bool:
    return ended.outcome in FAILURES and not progress.resolve_error and not ended.is_permanent


def _is_taken_back(progress: Progress) -> bool:
    """Whether a retry undoes first what the node did; what has no undo is simply done again."""
    return progress.left_something and progress.node.reversible and progress.undone is None
