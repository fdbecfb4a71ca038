"""Carries out attempts: starts a child or a call, watches time, ends what must end, and says how it went.

Decides nothing about retries, rollback or other nodes; the executor does.
"""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from msgspec.structs import replace

from shipway.action import (
    Action,
    ActionFailed,
    Command,
    Done,
    Drifted,
    NotBegun,
    NotUndoable,
    Quick,
    ThreadAction,
    TimedOut,
    Verb,
    Work,
)
from shipway.attempt import Ended, Grace, Ongoing
from shipway.canonical import Json
from shipway.declaration import OutputRule
from shipway.emission import Conflict, checked_emission
from shipway.exchange import Exchange, file_name, keep_file
from shipway.nodes import Change, Fidelity, Node, Outcome, Verified
from shipway.outputs import BadOutput, take_outputs
from shipway.process import INTERRUPT, KILL, TERMINATE, Call, StartFailed, Threads, Waiter, start
from shipway.records import Record, redacted_record
from shipway.redaction import MASK, Redactor
from shipway.transcript import Transcript

_GROUP_POLL_MS = 10
_AFTER_KILL_MS = 250
"""After this long a killed group counts as gone, even if the kernel still holds on to one of its processes."""

_SLOW_MS = 50
_QUICK = frozenset({Change.NOOP, Change.CREATE})

ERROR_BYTES = 4096
"""The longest error that is kept of an attempt, in UTF-8."""

_WORDS = {Outcome.TIMED_OUT: "timeout", Outcome.CANCELLED: "cancelled"}
_VERDICTS = {0: Verified.HOLDS, 3: Verified.GONE}


class Attempts:
    """Attempts in progress, at most one per node. `wait` returns those that ended.

    A child gets a process group of its own, null as input, and a private raw file as output. When it is to end, its whole
    group is interrupted, then terminated, then killed. What a leader leaves running behind it is ended as well, and the
    attempt has not ended before.
    """

    def __init__(
        self, *, clock_ms: Callable[[], int], grace: Grace, redactor: Redactor, directory: Path, threads: int
    ) -> None:
        """`directory` exists, private to this run: raw output in `raw/`, logs in `logs/`, exchange files in `io/`."""
        self._clock_ms = clock_ms
        self._grace = grace
        self._redactor = redactor
        self._directory = directory
        self._waiter = Waiter()
        self._threads = Threads(self._waiter, threads)
        self._stdin = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        self._active: dict[str, Ongoing] = {}
        self._of_child: dict[int, Ongoing] = {}
        self._of_call: dict[int, Ongoing] = {}
        self._failed_to_start: list[Ended] = []
        self._may_be_quick = True
        self._quick: dict[str, bool] = {}
        self._raw, self._logs, self._io = (_made(directory / name) for name in ("raw", "logs", "io"))

    @property
    def active(self) -> int:
        """How many attempts are in progress or wait to be reported."""
        return len(self._active) + len(self._failed_to_start)

    def begin(
        self, action: Action, verb: Verb, work: Work, *, timeout_ms: int, outputs: Mapping[str, OutputRule]
    ) -> None:
        """Start an attempt; its end, also one that could not be started, comes from `wait`."""
        attempt = self._noted(work.node.id, verb, timeout_ms, outputs)
        if work.node.emits and verb is Verb.DO:
            attempt.emitter = work.node
        if action.runs_in == "thread":
            self._begin_call(attempt, action, work)
            return
        try:
            command = action.command(verb, work)
        except Exception as error:  # noqa: BLE001 - the edge to an action: whatever it raises is its node's failure
            self._not_started(attempt, _text(error))
            return
        self._begin_child(attempt, command)

    def begin_command(
        self, node: str, verb: Verb, command: Command, *, timeout_ms: int, outputs: Mapping[str, OutputRule]
    ) -> None:
        """Start a child process that no action stands behind, such as a step's `plan` command."""
        self._begin_child(self._noted(node, verb, timeout_ms, outputs), command)

    def _noted(self, node: str, verb: Verb, timeout_ms: int, outputs: Mapping[str, OutputRule]) -> Ongoing:
        attempt = self._active[node] = Ongoing(node, verb, outputs, self._clock_ms(), timeout_ms)
        return attempt

    def _begin_call(self, attempt: Ongoing, action: ThreadAction, work: Work) -> None:
        stopped, attempt.cwd, attempt.given = attempt.stopped, work.root, work.inputs
        work = replace(work, cancelled=lambda: stopped[0], log=attempt.notes.append)
        attempt.call = Call(_body(action, attempt.verb, work))
        self._of_call[id(attempt.call)] = attempt
        if self._may_be_quick and attempt.deadline_ms is None and self._is_quick(attempt.verb, action, work.node):
            self._threads.carry_out(attempt.call)
            self._may_be_quick = self._clock_ms() - attempt.started_ms < _SLOW_MS
        else:
            self._threads.submit(attempt.call)

    def _is_quick(self, verb: Verb, action: ThreadAction, node: Node) -> bool:
        if verb is not Verb.DO or node.fidelity is not Fidelity.EXACT or node.change not in _QUICK:
            return False
        if node.action not in self._quick:
            self._quick[node.action] = isinstance(action, Quick)
        return self._quick[node.action]

    def _begin_child(self, attempt: Ongoing, command: Command | None) -> None:
        if command is None:
            self._failed_to_start.append(self._nothing_to_run(attempt))
            return
        try:
            self._start(attempt, command)
        except (StartFailed, OSError) as error:
            self._not_started(attempt, _text(error))

    def _start(self, attempt: Ongoing, command: Command) -> None:
        attempt.files = files = Exchange(self._io, file_name(attempt.node, attempt.verb))
        attempt.transcript = self._transcript(attempt)
        attempt.cwd = command.cwd
        argv = command.argv
        if command.script is not None:
            files.write_script(command.script)
            argv = tuple(word.replace("{0}", files.script) for word in argv)
        env = {
            **command.env,
            "SHIPWAY_OUTPUT": files.output,
            "SHIPWAY_STATUS": files.status,
            "SHIPWAY_RETRY_AFTER": files.retry_after,
        }
        if attempt.emitter is not None:
            env["SHIPWAY_EMIT"] = files.emit
        attempt.child = start(argv, cwd=command.cwd, env=env, stdin=self._stdin, output=attempt.transcript.descriptor)
        self._of_child[attempt.child.pid] = attempt
        self._waiter.watch(attempt.child)

    def _not_started(self, attempt: Ongoing, error: str) -> None:
        self._failed_to_start.append(self._end(attempt, Outcome.FAILED, error=error, word="start", began=False))

    def _nothing_to_run(self, attempt: Ongoing) -> Ended:
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

    def _transcript(self, attempt: Ongoing) -> Transcript:
        if not os.path.isdir(self._raw):
            # A step may clean the checkout of all that git ignores, and this with it.
            for place in (self._raw, self._logs, self._io):
                os.makedirs(place, mode=0o700, exist_ok=True)
        name = file_name(attempt.node, attempt.verb)
        return Transcript(f"{self._raw}/{name}", f"{self._logs}/{name}.log", self._redactor)

    def wait(self, until_ms: int | None) -> list[Ended]:
        """Attempts that ended, waiting until one does, until `until_ms` on the clock, or until `wake`."""
        if self._failed_to_start:
            ended, self._failed_to_start = self._failed_to_start, []
            return ended
        children = self._waiter.wait(self._timeout(until_ms), self._threads.has_done)
        ended = [gone for child in children for gone in self._leader_ended(self._of_child.pop(child.pid))]
        for call in self._threads.done():
            attempt = self._of_call.pop(id(call), None)
            if attempt is not None:
                ended.append(self._call_ended(attempt, call))
        ended += self._on_time(self._clock_ms())
        return ended

    def wake(self) -> None:
        """Let `wait` return at once; callable from a signal handler."""
        self._waiter.wake()

    def stop(self, node: str, outcome: Outcome) -> None:
        """End an attempt in progress, by signals that grow stronger; it will be reported with `outcome`."""
        attempt = self._active.get(node)
        if attempt is not None and not attempt.is_to_stop and attempt.code is None:
            attempt.stop_outcome = outcome
            attempt.stopped[0] = True
            self._signal_next(attempt, self._clock_ms())

    def kill(self) -> None:
        """End everything at once; what was killed already is left to die."""
        for attempt in self._active.values():
            if attempt.code is None:
                attempt.stop_outcome = attempt.stop_outcome or Outcome.CANCELLED
                attempt.stopped[0] = True
            if attempt.signals_sent <= 2:
                attempt.signals_sent = 2
                self._signal_next(attempt, self._clock_ms())

    def groups(self) -> dict[str, int]:
        """The process group of each child in progress, by its node."""
        return {attempt.node: attempt.child.pid for attempt in self._active.values() if attempt.child is not None}

    def running(self) -> list[str]:
        """Nodes with an attempt in progress."""
        return list(self._active)

    def silent_since(self, node: str) -> int:
        """When the node last printed something, on the clock; its start where it never did."""
        return self._active[node].heard_ms

    def hear(self, node: str) -> str:
        """New cleaned output of a running node, moved into its log.

        Nothing of a node that declares a secret output: until it has ended, that secret is not known and not masked.
        """
        attempt = self._active[node]
        if attempt.transcript is None or _hands_on_a_secret(attempt):
            return ""
        fresh = attempt.transcript.pump()
        if fresh:
            attempt.heard_ms = self._clock_ms()
        return fresh

    def clean(self, text: str) -> str:
        """A text as it may be shown and kept: secrets masked."""
        return self._redactor.clean(text)

    def close(self) -> None:
        """End what is still running, then give everything back."""
        self.kill()
        while self.active:
            self.wait(None)
        self._threads.close()
        self._waiter.close()
        os.close(self._stdin)

    # Time.

    def _timeout(self, until_ms: int | None) -> int | None:
        moments = [until_ms]
        for attempt in self._active.values():
            moments += (attempt.due_ms, attempt.next_signal_ms)
            if attempt.code is not None:
                # Nobody tells when the last process of a group has ended: it has to be asked for.
                moments.append(self._clock_ms() + _GROUP_POLL_MS)
        known = [moment for moment in moments if moment is not None]
        return max(0, min(known) - self._clock_ms()) if known else None

    def _on_time(self, now: int) -> list[Ended]:
        """Do what is due to every attempt; those that have come to their end by it."""
        ended: list[Ended] = []
        for attempt in list(self._active.values()):
            if attempt.due_ms is not None and now >= attempt.due_ms:
                self.stop(attempt.node, Outcome.TIMED_OUT)
            elif attempt.next_signal_ms is not None and now >= attempt.next_signal_ms:
                self._signal_next(attempt, now)
            if attempt.signals_sent > 2 and attempt.call is not None:
                ended.append(self._given_up(attempt, attempt.call))
            elif attempt.code is not None and (attempt.signals_sent > 3 or not _group_is_alive(attempt)):
                ended.append(self._child_ended(attempt, attempt.code))
        return ended

    def _signal_next(self, attempt: Ongoing, now: int) -> None:
        if attempt.child is not None:
            attempt.child.signal_group((INTERRUPT, TERMINATE, KILL)[min(attempt.signals_sent, 2)])
        attempt.signals_sent += 1
        waits = {1: self._grace.interrupt_ms, 2: self._grace.terminate_ms}
        if attempt.call is not None:
            waits[3] = 0
        elif attempt.code is not None:
            waits[3] = _AFTER_KILL_MS
        wait = waits.get(attempt.signals_sent)
        attempt.next_signal_ms = now + wait if wait is not None else None

    def _given_up(self, attempt: Ongoing, call: Call) -> Ended:
        """The end of a call that ignored that it should end: a thread cannot be killed."""
        self._of_call.pop(id(call), None)
        return self._end(
            attempt,
            attempt.stop_outcome or Outcome.CANCELLED,
            error=attempt.why_stopped,
            warning="it ignored its end and was left behind on its thread",
        )

    # Ends.

    def _leader_ended(self, attempt: Ongoing) -> list[Ended]:
        """The end of the attempt, unless others of its group live on: they are ended first, an undo must not race them."""
        assert attempt.child is not None
        attempt.code = attempt.child.reap()
        if not _group_is_alive(attempt):
            return [self._child_ended(attempt, attempt.code)]
        if attempt.signals_sent > 2:
            attempt.next_signal_ms = self._clock_ms() + _AFTER_KILL_MS
        elif not attempt.is_to_stop:
            attempt.left_processes = True
            attempt.signals_sent = 1
            self._signal_next(attempt, self._clock_ms())
        return []

    def _child_ended(self, attempt: Ongoing, code: int) -> Ended:
        warning = "it left processes running in the background; they were ended" if attempt.left_processes else ""
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
        return (lambda text: MASK) if _hands_on_a_secret(attempt) else self._redactor.clean

    def _kept_files(self, attempt: Ongoing, outputs: Mapping[str, Json]) -> dict[str, Json]:
        """Copies of `file` outputs under their digest, so that later changes of the file change nothing handed on."""
        kept: dict[str, Json] = {}
        for name, rule in attempt.outputs.items():
            if rule.type == "file" and name in outputs:
                kept[name] = str(keep_file(attempt.cwd / str(outputs[name]), name, self._directory / "artifacts"))
        return kept

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

    def _call_ended(self, attempt: Ongoing, call: Call) -> Ended:
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
            return self._end(attempt, Outcome.DRIFTED, error=_text(call.error))
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
        del self._active[attempt.node]
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

    def _cleaned(self, records: Iterable[Record]) -> tuple[Record, ...]:
        return tuple(redacted_record(record, self._redactor.clean) for record in records)

    def _note_down(self, attempt: Ongoing) -> str:
        """Write an in-process action's notes into its log; what prevented it, if anything."""
        try:
            attempt.transcript = attempt.transcript or self._transcript(attempt)
        except OSError as error:
            return f"there is no log: {error.strerror}"
        for note in attempt.notes:
            attempt.transcript.note(note)
        return ""


def _made(directory: Path) -> str:
    """A directory, as text: joining paths of thousands of nodes as objects takes longer than starting them."""
    directory.mkdir(mode=0o700, exist_ok=True)
    return str(directory)


def _hands_on_a_secret(attempt: Ongoing) -> bool:
    return any(rule.type == "secret" for rule in attempt.outputs.values())


def _group_is_alive(attempt: Ongoing) -> bool:
    return attempt.child is not None and attempt.child.group_is_alive()


def _body(action: ThreadAction, verb: Verb, work: Work) -> Callable[[], object]:
    match verb:
        case Verb.UNDO:
            return lambda: action.undo(work)
        case Verb.VERIFY:
            return lambda: action.verify(work)
        case _:
            return lambda: action.do(work)


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
