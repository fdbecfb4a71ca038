"""How an attempt went: what its child or call left is read, masked and told as one `Ended`. Starts nothing, decides nothing."""

from __future__ import annotations

import signal
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from msgspec.structs import replace

from shipway.action import ActionFailed, Done, Drifted, NotBegun, NotUndoable, TimedOut, Verb
from shipway.attempt import Ended, Ongoing
from shipway.canonical import Json
from shipway.emission import Conflict, checked_emission
from shipway.exchange import keep_file
from shipway.nodes import Change, Outcome, Verified
from shipway.outputs import MAX_SECRET, BadOutput, take_outputs
from shipway.process import Call, StartFailed
from shipway.records import Record, redacted_record, texts_of
from shipway.redaction import MASK, Redactor
from shipway.transcript import Transcript

ERROR_BYTES = 4096
"""The longest error that is kept of an attempt, in UTF-8."""

_WORDS = {Outcome.TIMED_OUT: "timeout", Outcome.CANCELLED: "cancelled"}
_VERDICTS = {0: Verified.HOLDS, 3: Verified.GONE}


class Endings:
    """Makes the end of an attempt out of what is left of it: exit code, results in files, notes, output. All of it is masked."""

    def __init__(
        self,
        *,
        clock_ms: Callable[[], int],
        redactor: Redactor,
        directory: Path,
        transcript: Callable[[Ongoing], Transcript],
    ) -> None:
        """`directory` is the run's own, where files that are handed on are kept; `transcript` opens the log of an attempt."""
        self._clock_ms = clock_ms
        self._redactor = redactor
        self._directory = directory
        self._transcript = transcript

    def not_started(self, attempt: Ongoing, error: BaseException) -> Ended:
        """The end of an attempt whose program could not be started: there is nothing to undo."""
        return self._end(attempt, Outcome.FAILED, error=_text(error), word="start", began=False)

    def nothing_to_run(self, attempt: Ongoing) -> Ended:
        """The end of an attempt for which the action has no command."""
        match attempt.verb:
            case Verb.UNDO:
                return self._end(attempt, Outcome.NOT_UNDOABLE, error="it has no `undo`")
            case Verb.VERIFY:
                return self._end(attempt, Outcome.SUCCEEDED, verified=Verified.UNKNOWN)
            case _:
                return self._end(
                    attempt, Outcome.FAILED, error="its action has no command to run", word="start", began=False
                )

    def left_behind(self, attempt: Ongoing) -> Ended:
        """The end of a call that ignored that it should end: a thread cannot be killed."""
        return self._end(
            attempt,
            attempt.stop_outcome or Outcome.CANCELLED,
            error=attempt.why_stopped,
            warning="it ignored its end and was left behind on its thread",
        )

    def of_child(self, attempt: Ongoing, code: int) -> Ended:
        """The end of an attempt whose leader exited with `code` (negative: a signal), and whose group is gone."""
        warning = "it left processes running in the background; they were ended" if attempt.left_processes else ""
        if attempt.hands_on_a_secret:
            self._learn_written(attempt)
        if attempt.stop_outcome is not None:
            return self._end(attempt, attempt.stop_outcome, error=attempt.why_stopped, warning=warning, code=code)
        if attempt.verb is Verb.VERIFY:
            return self._end(attempt, Outcome.SUCCEEDED, verified=_VERDICTS.get(code, Verified.UNKNOWN), code=code)
        if code != 0:
            word = "exit" if code > 0 else "signal"
            return self._end(attempt, Outcome.FAILED, error=_exit_text(code), word=word, warning=warning, code=code)
        if attempt.verb is Verb.UNDO:
            return self._end(attempt, Outcome.UNDONE, warning=warning, code=code)
        return self._take_results(attempt, warning)

    def _take_results(self, attempt: Ongoing, warning: str) -> Ended:
        assert attempt.files is not None
        try:
            if attempt.files.is_empty and not attempt.outputs:
                return self._end(attempt, Outcome.SUCCEEDED, warning=warning, code=0)
            redact = self._quoted(attempt)
            outputs, dropped = take_outputs(attempt.files.outputs(redact), attempt.outputs, redact)
            outcome, cause = attempt.files.outcome()
            outputs |= self._kept_files(attempt, outputs)
            emitted = attempt.files.emitted(attempt.emitter) if attempt.emitter is not None else ()
        except BadOutput as error:
            ended = self._end(attempt, Outcome.FAILED, error=str(error), word="outputs", warning=warning, code=0)
            return replace(ended, is_permanent=isinstance(error, Conflict))
        warnings = "; ".join(filter(None, (warning, *dropped)))
        self._learn_secrets(attempt, outputs)
        ended = self._end(attempt, outcome, warning=warnings, code=0, outputs=outputs, cause=cause)
        return replace(ended, emitted=tuple(entry.to_json() for entry in emitted)) if emitted else ended

    def _quoted(self, attempt: Ongoing) -> Callable[[str], str]:
        """How a text is quoted that a step wrote for us: of one that hands on a secret not at all, since it may be of it."""
        return (lambda text: MASK) if attempt.hands_on_a_secret else self._redactor.clean

    def _kept_files(self, attempt: Ongoing, outputs: Mapping[str, Json]) -> dict[str, Json]:
        """Copies of `file` outputs under their digest, so that later changes of the file change nothing handed on."""
        kept: dict[str, Json] = {}
        for name, rule in attempt.outputs.items():
            if rule.type == "file" and name in outputs:
                kept[name] = str(keep_file(attempt.cwd / str(outputs[name]), name, self._directory / "artifacts"))
        return kept

    def _learn_written(self, attempt: Ongoing) -> None:
        """Mask the secrets that a step has written down, also one that fails or is ended after it."""
        assert attempt.files is not None
        secret = {name for name, rule in attempt.outputs.items() if rule.type == "secret"}
        for name, value in attempt.files.written_to(secret):
            self._redactor.add(f"{attempt.node}.{name}", value[:MAX_SECRET])

    def _learn_secrets(self, attempt: Ongoing, outputs: Mapping[str, Json]) -> None:
        """Mask secret outputs from now on; the node's own log is read only after this."""
        for name, rule in attempt.outputs.items():
            if rule.type == "secret" and name in outputs:
                self._redactor.add(f"{attempt.node}.{name}", str(outputs[name]))

    def _learn_made_of_secrets(self, attempt: Ongoing, outputs: Mapping[str, Json]) -> None:
        """Mask what an action that only reads made of a secret text: a rendered template that was encrypted is one itself."""
        if any(isinstance(value, str) and self._redactor.knows(value) for value in attempt.given.values()):
            for name, value in outputs.items():
                if isinstance(value, str):
                    self._redactor.add(f"{attempt.node}.{name}", value)

    def of_call(self, attempt: Ongoing, call: Call) -> Ended:
        """The end of an attempt whose call returned or raised."""
        if call.error is not None and not isinstance(call.error, (ActionFailed, NotUndoable, Drifted)):
            # What an action's author needs and its user does not: the log has it, the error only names it.
            attempt.notes.append("".join(traceback.format_exception(call.error)))
        pause_ms = call.error.retry_after_ms if isinstance(call.error, ActionFailed) else None
        if attempt.stop_outcome is not None:
            done = call.result if isinstance(call.result, Done) else Done()
            error = "; ".join(filter(None, (attempt.why_stopped, _text(call.error) if call.error else "")))
            return self._end(attempt, attempt.stop_outcome, error=error, done=done, pause_ms=pause_ms)
        if call.error is None:
            return self._call_succeeded(attempt, call.result)
        if isinstance(call.error, NotUndoable):
            return self._end(attempt, Outcome.NOT_UNDOABLE, error=_text(call.error))
        if isinstance(call.error, Drifted):
            ended = self._end(attempt, Outcome.DRIFTED, error=_text(call.error))
            return replace(ended, left=tuple(map(self._redactor.clean, call.error.left)))
        word, is_permanent = "action_error", True
        if isinstance(call.error, ActionFailed):
            word, is_permanent = call.error.code, call.error.is_permanent
        outcome = Outcome.TIMED_OUT if isinstance(call.error, TimedOut) else Outcome.FAILED
        ended = self._end(
            attempt, outcome, error=_text(call.error), word=word, is_permanent=is_permanent, pause_ms=pause_ms
        )
        return replace(ended, began=False) if isinstance(call.error, NotBegun) else ended

    def _call_succeeded(self, attempt: Ongoing, result: object) -> Ended:
        if isinstance(result, Verified):
            return self._end(attempt, Outcome.SUCCEEDED, verified=result)
        if attempt.verb is Verb.UNDO:
            return self._end(attempt, Outcome.UNDONE)
        if not isinstance(result, Done):
            error = f"the action returned {type(result).__name__} instead of Done"
            return self._end(attempt, Outcome.FAILED, error=error, word="action_error", is_permanent=True)
        return self.of_call_done(attempt, result)

    def of_call_done(self, attempt: Ongoing, result: Done) -> Ended:
        """The end of an attempt whose action says what it has done, or that there was nothing to do."""
        if result.skipped:
            return self._end(attempt, Outcome.SKIPPED, cause=result.skipped)
        self._learn_secrets(attempt, result.outputs)
        if result.change is Change.READ:
            self._learn_made_of_secrets(attempt, result.outputs)
        try:
            kept = self._kept_files(attempt, result.outputs)
            emitted = checked_emission(result.emitted, attempt.emitter)
        except BadOutput as error:
            ended = self._end(attempt, Outcome.FAILED, error=str(error), word="outputs", done=result)
            return replace(ended, is_permanent=isinstance(error, Conflict))
        if kept:
            result = replace(result, outputs={**result.outputs, **kept})
        ended = self._end(attempt, Outcome.UNCHANGED if result.unchanged else Outcome.SUCCEEDED, done=result)
        return replace(ended, emitted=tuple(entry.to_json() for entry in emitted)) if emitted else ended

    def _end(
        self,
        attempt: Ongoing,
        outcome: Outcome,
        *,
        error: str = "",
        warning: str = "",
        code: int | None = None,
        outputs: Mapping[str, Json] | None = None,
        cause: str = "",
        done: Done | None = None,
        verified: Verified = Verified.UNKNOWN,
        began: bool = True,
        pause_ms: int | None = None,
        word: str = "",
        is_permanent: bool = False,
    ) -> Ended:
        if attempt.files is not None and not attempt.files.is_empty:
            try:
                pause_ms = attempt.files.pause_ms(self._quoted(attempt))
            except BadOutput as doubt:
                warning = "; ".join(filter(None, (warning, str(doubt))))
            attempt.files.remove()
        tail = log = ""
        if attempt.notes:
            warning = "; ".join(filter(None, (warning, self._note_down(attempt))))
        if attempt.transcript is not None:
            attempt.transcript.close()
            tail = attempt.transcript.tail
            log = attempt.transcript.log_path
            warning = "; ".join(filter(None, (warning, attempt.transcript.fault)))
        return Ended(
            node=attempt.node,
            verb=attempt.verb,
            outcome=outcome,
            started_ms=attempt.started_ms,
            ended_ms=self._clock_ms(),
            error=_bounded(self._redactor.clean(error)),
            warning=self._redactor.clean(warning),
            exit_code=code,
            outputs=done.outputs if done is not None else outputs or {},
            undo=done.undo if done is not None else None,
            change=done.change if done is not None else None,
            records=self._cleaned(done.records) if done is not None and done.records else (),
            cause=self._redactor.clean(cause),
            verified=verified,
            tail=tail,
            log=log,
            began=began,
            retry_after_ms=pause_ms,
            code=word or _WORDS.get(outcome, ""),
            is_permanent=is_permanent,
        )

    def _cleaned(self, records: Sequence[Record]) -> tuple[Record, ...]:
        # To ask once about all of them is sooner done than one by one, and most hold nothing.
        texts = [texts_of(record) for record in records]
        if all(texts) and self._redactor.is_clean("\n".join(texts)):
            return tuple(records)
        return tuple(self._cleaned_record(record) for record in records)

    def _cleaned_record(self, record: Record) -> Record:
        # To ask once about all of it is sooner done than text by text, and most hold nothing.
        texts = texts_of(record)
        return record if texts and self._redactor.is_clean(texts) else redacted_record(record, self._redactor.clean)

    def _note_down(self, attempt: Ongoing) -> str:
        """Write an in-process action's notes into its log; what prevented it, if anything."""
        try:
            attempt.transcript = attempt.transcript or self._transcript(attempt)
        except OSError as error:
            return f"there is no log: {error.strerror}"
        for note in attempt.notes:
            attempt.transcript.note(note)
        return ""


def _bounded(text: str) -> str:
    """A text that is kept for every attempt, cut where it is longer than 4 KiB."""
    if len(text) <= ERROR_BYTES // 4:
        return text
    content = text.encode()
    return text if len(content) <= ERROR_BYTES else content[: ERROR_BYTES - 3].decode(errors="ignore") + "…"


def _exit_text(code: int) -> str:
    if code >= 0:
        return f"exit {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"


def _text(error: BaseException) -> str:
    if isinstance(error, (ActionFailed, StartFailed, NotUndoable, Drifted)):
        return str(error)
    return f"{type(error).__name__}: {error}"
