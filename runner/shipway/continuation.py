"""Going on with a run: ends what survived, takes over what is done, asks `verify` about what nobody reported.

Starts nothing forward and undoes nothing; what it finds out is in the journal before anything follows from it.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from shipway.action import Verb, Work
from shipway.attempt import Ended, Grace
from shipway.canonical import Json
from shipway.errors import Interrupted, Reason, VerificationError
from shipway.evaluation import Unresolved
from shipway.events import Warned
from shipway.exchange import Exchange, file_name, keep_file
from shipway.foretold import BROKEN, broken
from shipway.interruption import Interruption
from shipway.journal import Probed, RunJournal
from shipway.nodes import DONE, Node, Outcome, Verified
from shipway.outputs import BadOutput, take_outputs
from shipway.plan import Plan
from shipway.progress import Known, Surroundings, work_where_it_stands
from shipway.receipt import RollbackEntry
from shipway.redaction import Redactor
from shipway.reopening import Fate, Reopening, Undecided, doubt_of
from shipway.replay import Standing, result_of, undos_of
from shipway.run_record import RunRecord, RunStatus
from shipway.salvage import salvage
from shipway.survivors import end, survivors_of


class Resumption(Struct, frozen=True):
    """A run to go on with: as the journal has it, how its nodes stand, and what becomes of them. `journal` is held.

    Without `accepts_drift` nothing of it is undone where `verify` does not find what it did.
    """

    record: RunRecord
    standings: Mapping[str, Standing]
    reopening: Reopening
    assumed: Mapping[str, bool]
    journal: RunJournal
    accepts_drift: bool = True


class Continuation:
    """Finds out what has to be known before a run goes on. A signal ends that, and leaves the run as it is."""

    def __init__(
        self, plan: Plan, around: Surroundings, resumption: Resumption, redactor: Redactor, interruption: Interruption
    ) -> None:
        self._plan = plan
        self._around = around
        self._resumption = resumption
        self._redactor = redactor
        self._interruption = interruption
        self._undos: list[RollbackEntry] = []

    def known(self, grace: Grace) -> dict[str, Known]:
        """What is known of each node of the plan that was begun before. Raises VerificationError where a person must look."""
        self._end_survivors(grace)
        standings, reopening = self._resumption.standings, self._resumption.reopening
        found = {
            node: self._of_fate(standing, reopening.fates[node])
            for node, standing in standings.items()
            if standing.tries or self.is_rolling_back
        }
        for node, known in found.items():
            if known.outcome is not None:
                self._around.evaluation.record(self._plan.by_id[node], known.outcome, known.result.outputs)
        if self.is_rolling_back:
            found |= self._asked_of_undos(found)
        else:
            found |= self._assumed(found)
            found |= self._probed(found)
        self._salvage()
        return found

    @property
    def is_rolling_back(self) -> bool:
        """Whether the run was killed while it undid what it had begun: then that is what goes on."""
        return self._resumption.record.summary.status is RunStatus.ROLLING_BACK

    def left_to_undo(self) -> tuple[list[str], list[RollbackEntry]]:
        """The nodes of the rollback that nothing has come of yet, in its order, and what came of the others."""
        stages = {node.id: node.stage for node in self._plan.nodes}
        before = [*undos_of(self._resumption.record, stages), *self._undos]
        told = {entry.node for entry in before}
        return [node for node in self._resumption.record.undoing if node not in told], before

    def refuse_drift(self, order: Sequence[str]) -> None:
        """Refuse to undo these nodes where `verify` of one that was done does not find its work. Raises VerificationError."""
        if self._resumption.accepts_drift:
            return
        asked = [node for node in order if node in self._resumption.standings and self._is_to_stand(node)]
        drifted = [node for node, ended in self._verify(asked).items() if ended.verified is not Verified.HOLDS]
        if drifted:
            listed = "\n".join(f"  {node}: `verify` does not find what it did" for node in asked if node in drifted)
            raise VerificationError(
                f"run `{self._run}` is not rolled back: what it did has changed since\n{listed}",
                reason=Reason.DRIFTED,
                next=f"see `shipway drift`, then undo it all the same: `shipway rollback {self._run} --drifted`",
            )

    def _is_to_stand(self, node_id: str) -> bool:
        """Whether a node's work should be there, and it can be asked whether it is."""
        node, standing = self._plan.by_id[node_id], self._resumption.standings[node_id]
        can_be_asked = "verify" in node.slots or "verify" not in self._around.require_action(node.action).slots
        return node.reversible and can_be_asked and standing.undo is None and standing.own in DONE

    def _end_survivors(self, grace: Grace) -> None:
        """Nothing may be asked or started while something of the run still works."""
        around = self._around
        found = survivors_of(self._resumption.record, around.directory)

        def pause(milliseconds: int) -> None:
            around.attempts.wait(around.clock_ms() + milliseconds)

        if found:
            shown = ", ".join(f"`{survivor.node}`" for survivor in found)
            around.events.emit(Warned(f"still running since Shipway was killed, and ended now: {shown}"))
        end(found, grace, pause)

    def _of_fate(self, standing: Standing, fate: Fate) -> Known:
        result = result_of(standing)
        directory = self._around.directory
        if result.outputs or result.log:
            result = replace(
                result,
                outputs=_relocated(standing.node, result.outputs, directory),
                log=str(directory / "logs" / result.log) if result.log else "",
            )
        last = standing.last
        if self.is_rolling_back:
            # What was tried to be undone, with whatever outcome, is not undone once more.
            is_left = standing.began and (standing.undo is None or standing.is_undo_unreported)
            outcome = standing.own if standing.is_undo_unreported else standing.outcome
            result = replace(result, outcome=outcome)
            end = last.ended() if last else None
            return Known(result, outcome, standing.order, is_left, end, result.attempts, taken_back=standing.taken_back)
        known = Known(
            result,
            order=standing.order,
            began=standing.began,
            last=last.ended() if last else None,
            tried=result.attempts,
            tried_before=len(standing.tries) - (0 if fate is Fate.OPEN else standing.counted),
            taken_back=standing.taken_back,
        )
        if fate is Fate.GIVE_UP:
            error = f"{standing.crashes} attempts ended with Shipway itself being killed"
            return replace(known, result=replace(result, outcome=Outcome.FAILED, error=error), outcome=Outcome.FAILED)
        if fate is Fate.KEEP:
            kept = result.outcome if result.outcome in DONE or result.outcome is Outcome.SKIPPED else standing.own
            return replace(known, result=replace(result, outcome=kept), outcome=kept)
        return known

    # What a person said, and what `verify` says.

    def _assumed(self, found: Mapping[str, Known]) -> dict[str, Known]:
        said = [node for node, done in self._resumption.assumed.items() if done]
        return {node: self._found_done(node, found.get(node), "a person said that it is done", 0) for node in said}

    def _probed(self, found: Mapping[str, Known]) -> dict[str, Known]:
        verdicts = self._verify(self._resumption.reopening.of(Fate.PROBE))
        unsure = [
            Undecided(node, _why(self._resumption.standings[node], ended))
            for node, ended in verdicts.items()
            if ended.verified is Verified.UNKNOWN
        ]
        if unsure:
            raise undecided(unsure, self._resumption.record.summary.run)
        for node, ended in verdicts.items():
            then = "is there: it is kept" if ended.verified is Verified.HOLDS else "is not there: it runs again"
            why = doubt_of(self._resumption.standings[node])
            self._around.events.emit(Warned(f"`{node}`: {why}; `verify` says that its work {then}"))
        return {
            node: self._found_done(node, found.get(node), "`verify` found its work", ended.exit_code)
            for node, ended in verdicts.items()
            if ended.verified is Verified.HOLDS
        }

    def _asked_of_undos(self, found: Mapping[str, Known]) -> dict[str, Known]:
        """What became of undos that were begun and never reported: `gone` is undone, `holds` is undone again."""
        asked = [node for node, standing in self._resumption.standings.items() if standing.is_undo_unreported]
        now = self._around.clock_ms()
        settled: dict[str, Known] = {}
        for node, ended in self._verify(asked).items():
            if ended.verified is Verified.HOLDS:
                continue
            gone = ended.verified is Verified.GONE
            outcome = Outcome.UNDONE if gone else Outcome.UNDO_FAILED
            why = (
                "`verify` finds nothing of it" if gone else "it was begun and never reported, and `verify` cannot tell"
            )
            self._resumption.journal.probed(self._plan.by_id[node], Probed(1, outcome, now, why, ended.exit_code))
            error = "" if gone else why
            self._undos.append(RollbackEntry(node, self._plan.by_id[node].stage, outcome, now, now, error, 1))
            result = replace(found[node].result, outcome=outcome)
            settled[node] = replace(found[node], result=result, outcome=outcome, began=False)
        return settled

    def _verify(self, nodes: Sequence[str]) -> dict[str, Ended]:
        """Ask about nodes, all at once: looking changes nothing."""
        around, attempts = self._around, self._around.attempts
        for node in nodes:
            work = self._work(self._plan.by_id[node])
            action = around.require_action(work.node.action)
            attempts.begin(action, Verb.VERIFY, work, timeout_ms=work.node.timeout_ms, outputs={})
        found: dict[str, Ended] = {}
        with self._interruption.handled_by(attempts.wake):
            while attempts.active:
                if self._interruption.is_pending:
                    attempts.kill()
                found |= {ended.node: ended for ended in attempts.wait(None)}
        if self._interruption.is_pending:
            raise Interrupted("interrupted", next="nothing was started; go on with the run again")
        return found

    def _work(self, node: Node) -> Work:
        try:
            return work_where_it_stands(self._resumption.standings[node.id], self._around)
        except Unresolved as error:
            raise undecided([Undecided(node.id, f"it cannot be asked: {error}")], self._run) from error

    @property
    def _run(self) -> str:
        return self._resumption.record.summary.run

    def _found_done(self, node_id: str, known: Known | None, why: str, exit_code: int | None) -> Known:
        """Keep a node as succeeded although it never said so; what it wrote for others may still be there."""
        node = self._plan.by_id[node_id]
        outputs = self._left_outputs(node)
        before = known or Known(result_of(self._resumption.standings[node_id]))
        now = self._around.clock_ms()
        number = len(before.tried) + 1
        error = broken(node, outputs, self._redactor.clean)
        outcome, code = (Outcome.FAILED, BROKEN) if error else (Outcome.SUCCEEDED, "")
        probed = Probed(number, outcome, now, why, exit_code, outputs, error, code)
        self._resumption.journal.probed(node, probed)
        self._around.evaluation.record(node, outcome, {} if error else outputs)
        attempt = probed.attempt()
        result = replace(
            before.result,
            outcome=outcome,
            attempts=(*before.tried, attempt),
            started_ms=before.result.started_ms if before.result.started_ms is not None else now,
            ended_ms=now,
            cause=why,
            error=error,
            outputs=outputs,
        )
        return replace(before, result=result, outcome=outcome, began=True, tried=result.attempts)

    def _left_outputs(self, node: Node) -> Mapping[str, Json]:
        """Outputs that the child wrote before or after Shipway was killed. Raises VerificationError where one is missing."""
        redact = self._redactor.clean
        try:
            outputs, _ = take_outputs(self._exchange(node).outputs(redact), node.outputs, redact)
            for name, rule in node.outputs.items():
                if rule.type == "file" and name in outputs:
                    path = self._around.root / str(outputs[name])
                    outputs[name] = str(keep_file(path, name, self._around.directory / "artifacts"))
                elif rule.type == "secret" and name in outputs:
                    self._redactor.add(f"{node.id}.{name}", str(outputs[name]))
        except BadOutput as error:
            why = f"its work is there, but what it hands on is not: {error}"
            raise undecided([Undecided(node.id, why)], self._run) from error
        return outputs

    def _exchange(self, node: Node) -> Exchange:
        return Exchange(str(self._around.directory / "io"), file_name(node.id))

    def _salvage(self) -> None:
        """Move what the survivors printed into their logs, and clear away what the next attempts must not find."""
        directory = self._around.directory
        raw = directory / "raw"
        left = sorted(os.listdir(raw)) if raw.is_dir() else []
        # Nearly always there is nothing, and then there are no names to work out for thousands of nodes.
        by_file = {file_name(node.id, verb): node for node in self._plan.nodes for verb in Verb} if left else {}
        for name in left:
            node = by_file.get(name)
            hides = node is None or any(rule.type == "secret" for rule in node.outputs.values())
            salvage(raw / name, None if hides else directory / "logs" / f"{name}.log", self._redactor)
        for path in (directory / "io").glob("*"):
            with suppress(OSError):
                path.unlink()


def undecided(nodes: Sequence[Undecided], run: str) -> VerificationError:
    """The refusal to go on where nobody can tell whether some node's work is there."""
    listed = "\n".join(f"  {each.node}: {each.why}" for each in nodes)
    return VerificationError(
        f"run `{run}` is not gone on with before somebody has looked:\n{listed}",
        reason=Reason.OUTCOME_UNKNOWN,
        next=f"look at it, then say {decisions(nodes, run)}",
    )


def decisions(nodes: Sequence[Undecided], run: str) -> str:
    """What a person types once they have looked at `nodes`, which are some, each choice in backticks."""
    lost = "".join(f" --assume not-done {shlex.quote(each.node)}" for each in nodes if each.is_lost)
    asked = [shlex.quote(each.node) for each in nodes if not each.is_lost]
    done = "".join(f" --assume done {node}" for node in asked)
    if not asked:
        return f"`shipway resume {run}{lost}`, to do it again"
    return f"`shipway resume {run}{lost}{done}`, or `not-done` for what is not there"


def _why(standing: Standing, ended: Ended) -> str:
    how = ended.error or (f"exit {ended.exit_code}" if ended.exit_code is not None else "it has none")
    return f"it was begun and never reported, and `verify` cannot tell ({how})"


def _relocated(node: Node, outputs: Mapping[str, Json], directory: Path) -> Mapping[str, Json]:
    """With the `file` outputs where the run's directory is now: a journal may have been carried to another place."""
    names = [name for name in outputs if name in node.outputs and node.outputs[name].type == "file"]
    if not names:
        return outputs
    moved = {
        name: str(directory / "artifacts") + "/" + str(outputs[name]).rpartition("/artifacts/")[2] for name in names
    }
    return {**outputs, **moved}
