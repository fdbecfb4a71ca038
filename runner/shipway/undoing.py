"""How one node is undone, and how one node of a compensation is run: what is asked for, and what its end means.

Starts nothing itself: it asks for one attempt or pause after the other and is told how each went, so that it serves a
rollback, where nothing else runs, and a retry, where everything else goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import TypeAlias

from msgspec import Struct

from shipway import expressions
from shipway.action import Verb, Work
from shipway.attempt import Ended
from shipway.canonical import Json
from shipway.declaration import OutputRule
from shipway.environment import output_variables
from shipway.evaluation import Unresolved
from shipway.journal import Undone
from shipway.nodes import FAILURES, Node, Outcome, Verified
from shipway.progress import Progress, Surroundings, settle_inputs, work_of
from shipway.receipt import RollbackEntry
from shipway.retry import has_another, wait_ms


class Ask(Struct, frozen=True):
    """Begin one attempt, and send back how it ended."""

    verb: Verb
    work: Work
    timeout_ms: int

    @property
    def outputs(self) -> Mapping[str, OutputRule]:
        """What it may write to `$SHIPWAY_OUTPUT`: nothing, unless it is a compensation."""
        return self.work.node.outputs if self.verb is Verb.DO else {}


class Pause(Struct, frozen=True):
    """Wait so long, or until the run is struck for the second time, and send back None."""

    milliseconds: int


Steps: TypeAlias = Generator[Ask | Pause, Ended | None, RollbackEntry]
"""What it takes to undo one node or to run one of a compensation, and in the end the entry for the receipt."""


class Undoing:
    """Undoes nodes and runs compensations of one run. `struck` counts the cancellations so far: the second ends it at once."""

    def __init__(self, around: Surroundings, struck: Callable[[], int]) -> None:
        self._around = around
        self._struck = struck

    def undo(self, progress: Progress, outcome: Outcome, outputs: Mapping[str, Json]) -> Steps:
        """Undo a node whose `do` ended with `outcome`, trying again as its policy says.

        What `verify` still finds afterwards was not undone.
        """
        node, started = progress.node, self._around.clock_ms()
        if not node.reversible:
            return self._entry(node, Outcome.NOT_UNDOABLE, "it has no `undo`", started)
        if self._struck() > 1:
            return self._entry(node, Outcome.UNDO_FAILED, "interrupted before it was undone", started)
        try:
            work = self.undo_work(progress, outcome, outputs)
        except Unresolved as unresolved:
            return self._entry(node, Outcome.UNDO_FAILED, str(unresolved), started)
        self._around.journal.undo_begun(node, started)
        ended, tries = yield from self._tried(Verb.UNDO, work)
        how, error = ended.outcome, ended.error
        if how in FAILURES or how is Outcome.CANCELLED:
            how, error = Outcome.UNDO_FAILED, error or how.value
        elif how is Outcome.UNDONE and (yield from self._still_holds(work)):
            how, error = Outcome.UNDO_FAILED, "`undo` exited 0, but `verify` still finds the work"
        now = self._around.clock_ms()
        self._around.journal.undo_ended(node, Undone(how, now, error, tries, ended.tail, ended.log, left=ended.left))
        return self._entry(node, how, error, started, tries, ended)

    def compensate(self, progress: Progress, outcome: Outcome) -> Steps:
        """Run a node of a compensation; `outcome` is that of its stage. Its outputs are recorded for those behind it."""
        node, started = progress.node, self._around.clock_ms()
        if self._struck() > 1:
            return self._entry(node, Outcome.CANCELLED, "interrupted before it was run", started)
        try:
            work = self._compensation_work(progress, outcome)
        except Unresolved as error:
            return self._entry(node, Outcome.FAILED, str(error), started)
        self._around.journal.undo_begun(node, started)
        ended, tries = yield from self._tried(Verb.DO, work)
        self._around.evaluation.record(node, ended.outcome, ended.outputs)
        now, why = self._around.clock_ms(), ended.error or ended.cause
        self._around.journal.undo_ended(
            node, Undone(ended.outcome, now, why, tries, ended.tail, ended.log, ended.outputs)
        )
        return self._entry(node, ended.outcome, ended.error or ended.cause, started, tries, ended)

    def _tried(self, verb: Verb, work: Work) -> Generator[Ask | Pause, Ended | None, tuple[Ended, int]]:
        node, tries = work.node, 0
        retry, timeout_ms = (
            (node.retry, node.timeout_ms) if verb is Verb.DO else (node.undo_retry, node.undo_timeout_ms)
        )
        while True:
            tries += 1
            ended = yield Ask(verb, work, timeout_ms)
            assert ended is not None
            if ended.outcome not in FAILURES or ended.is_permanent or not has_another(retry, tries):
                return ended, tries
            yield Pause(wait_ms(retry, tries, ended.retry_after_ms, self._around.fraction()))
            if self._struck() > 1:
                return ended, tries

    def _still_holds(self, work: Work) -> Generator[Ask | Pause, Ended | None, bool]:
        ended = yield Ask(Verb.VERIFY, work, work.node.timeout_ms)
        return ended is not None and ended.verified is Verified.HOLDS

    def undo_work(self, progress: Progress, outcome: Outcome, outputs: Mapping[str, Json]) -> Work:
        """What an undo, or the `verify` behind it, is given. Raises Unresolved."""
        if not progress.env:  # it was begun by an earlier execution of the run
            settle_inputs(progress, self._around)
        texts = {name: expressions.to_text(value) for name, value in outputs.items()}
        more = {**output_variables(texts), "SHIPWAY_OUTCOME": outcome.value}
        state = progress.last.undo if progress.last else None
        return work_of(progress, self._around, more_env=more, outcome=outcome, outputs=outputs, state=state)

    def _compensation_work(self, progress: Progress, outcome: Outcome) -> Work:
        settle_inputs(progress, self._around)
        return work_of(progress, self._around, more_env={"SHIPWAY_OUTCOME": outcome.value})

    def _entry(
        self, node: Node, outcome: Outcome, error: str, started: int, tries: int = 0, ended: Ended | None = None
    ) -> RollbackEntry:
        tail, log, left = (ended.tail, ended.log, ended.left) if ended else ("", "", ())
        stage = node.stage.partition(".")[0]
        return RollbackEntry(node.id, stage, outcome, started, self._around.clock_ms(), error, tries, tail, log, left)
