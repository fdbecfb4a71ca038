"""Carries out attempts: starts a child or a call, watches time, ends what must end, and says how it went.

Decides nothing about retries, rollback or other nodes; the executor does.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from shipway.action import Action, ActionFailed, Command, Done, Drifted, NotUndoable, ThreadAction, Verb, Work
from shipway.canonical import Json
from shipway.declaration import OutputRule
from shipway.exchange import Exchange, keep_file
from shipway.nodes import Change, Outcome, Verified
from shipway.outputs import BadOutput, take_outputs
from shipway.process import INTERRUPT, KILL, TERMINATE, Call, Child, StartFailed, Threads, Waiter, start
from shipway.redaction import Redactor
from shipway.transcript import Transcript

_VERDICTS = {0: Verified.HOLDS, 3: Verified.GONE}


@dataclass(frozen=True, slots=True)
class Grace:
    """How long a process group has after the interrupt, and after the terminate, before the next stronger signal."""

    interrupt_ms: int
    terminate_ms: int

    @property
    def total_ms(self) -> int:
        """The longest that ending a node can take."""
        return self.interrupt_ms + self.terminate_ms


@dataclass(frozen=True, slots=True)
class Ended:
    """How one attempt went. Times are on the runner's clock. `undo` is the state for a later undo; `log` empty without output."""

    node: str
    verb: Verb
    outcome: Outcome
    started_ms: int
    ended_ms: int
    error: str = ""
    warning: str = ""
    exit_code: int | None = None
    outputs: Mapping[str, Json] = field(default_factory=dict)
    undo: Json = None
    change: Change | None = None
    cause: str = ""
    verified: Verified = Verified.UNKNOWN
    tail: str = ""
    log: str = ""


class _Attempt:
    """One attempt in progress."""

    __slots__ = (
        "call",
        "child",
        "cwd",
        "deadline_ms",
        "files",
        "heard_ms",
        "next_signal_ms",
        "node",
        "notes",
        "outputs",
        "signals_sent",
        "started_ms",
        "stop_outcome",
        "stopped",
        "transcript",
        "verb",
    )

    def __init__(self, node: str, verb: Verb, started_ms: int, timeout_ms: int) -> None:
        self.node = node
        self.verb = verb
        self.started_ms = started_ms
        self.deadline_ms = started_ms + timeout_ms if timeout_ms else None
        self.heard_ms = started_ms
        self.child: Child | None = None
        self.cwd = Path()
        self.call: Call | None = None
        self.transcript: Transcript | None = None
        self.files: Exchange | None = None
        self.outputs: Mapping[str, OutputRule] = {}
        self.stop_outcome: Outcome | None = None
        self.signals_sent = 0
        self.next_signal_ms: int | None = None
        self.stopped = [False]
        self.notes: list[str] = []


class Attempts:
    """Attempts in progress, at most one per node. `wait` returns those that ended.

    A child gets a process group of its own, null as input, and a private raw file as output. When it is to end, its whole
    group is interrupted, then terminated, then killed. What a leader leaves running behind it is ended as well.
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
        self._active: dict[str, _Attempt] = {}
        self._of_child: dict[int, _Attempt] = {}
        self._of_call: dict[int, _Attempt] = {}
        self._lingering: list[tuple[Child, int]] = []
        self._failed_to_start: list[Ended] = []
        for name in ("raw", "logs", "io"):
            (directory / name).mkdir(mode=0o700, exist_ok=True)

    @property
    def active(self) -> int:
        """How many attempts are in progress or wait to be reported."""
        return len(self._active) + len(self._failed_to_start)

    def begin(
        self, action: Action, verb: Verb, work: Work, *, timeout_ms: int, outputs: Mapping[str, OutputRule]
    ) -> None:
        """Start an attempt; its end, also one that could not be started, comes from `wait`."""
        attempt = _Attempt(work.node.id, verb, self._clock_ms(), timeout_ms)
        attempt.outputs = outputs
        self._active[attempt.node] = attempt
        try:
            if action.runs_in == "thread":
                self._begin_call(attempt, action, work)
            else:
                self._begin_child(attempt, action.command(verb, work))
        except (ActionFailed, StartFailed, OSError) as error:
            self._failed_to_start.append(self._end(attempt, Outcome.FAILED, error=_text(error)))

    def begin_command(
        self, node: str, verb: Verb, command: Command, *, timeout_ms: int, outputs: Mapping[str, OutputRule]
    ) -> None:
        """Start a child process that no action stands behind, such as a step's `plan` command."""
        attempt = _Attempt(node, verb, self._clock_ms(), timeout_ms)
        attempt.outputs = outputs
        self._active[node] = attempt
        try:
            self._begin_child(attempt, command)
        except (StartFailed, OSError) as error:
            self._failed_to_start.append(self._end(attempt, Outcome.FAILED, error=_text(error)))

    def _begin_call(self, attempt: _Attempt, action: ThreadAction, work: Work) -> None:
        stopped = attempt.stopped
        work = replace(work, cancelled=lambda: stopped[0], log=attempt.notes.append)
        attempt.call = Call(_body(action, attempt.verb, work))
        self._of_call[id(attempt.call)] = attempt
        self._threads.submit(attempt.call)

    def _begin_child(self, attempt: _Attempt, command: Command | None) -> None:
        if command is None:
            self._failed_to_start.append(self._end(attempt, Outcome.NOT_UNDOABLE, error="it has no `undo`"))
            return
        attempt.files = files = Exchange(self._directory / "io", _file_name(attempt.node))
        attempt.transcript = self._transcript(attempt)
        attempt.cwd = command.cwd
        argv = command.argv
        if command.script is not None:
            files.write_script(command.script)
            argv = tuple(word.replace("{0}", str(files.script)) for word in argv)
        env = {**command.env, "SHIPWAY_OUTPUT": str(files.output), "SHIPWAY_STATUS": str(files.status)}
        attempt.child = start(argv, cwd=command.cwd, env=env, stdin=self._stdin, output=attempt.transcript.descriptor)
        self._of_child[attempt.child.pid] = attempt
        self._waiter.watch(attempt.child)

    def _transcript(self, attempt: _Attempt) -> Transcript:
        name = _file_name(attempt.node)
        log = self._directory / "logs" / f"{name}{_suffix(attempt.verb)}.log"
        return Transcript(self._directory / "raw" / name, log, self._redactor)

    def wait(self, until_ms: int | None) -> list[Ended]:
        """Attempts that ended, waiting until one does, until `until_ms` on the clock, or until `wake`."""
        if self._failed_to_start:
            ended, self._failed_to_start = self._failed_to_start, []
            return ended
        children = self._waiter.wait(self._timeout(until_ms))
        ended = [self._child_ended(self._of_child.pop(child.pid)) for child in children]
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
        if attempt is not None and attempt.stop_outcome is None:
            attempt.stop_outcome = outcome
            attempt.stopped[0] = True
            self._signal_next(attempt, self._clock_ms())

    def kill(self) -> None:
        """End everything at once."""
        for attempt in self._active.values():
            attempt.stop_outcome = attempt.stop_outcome or Outcome.CANCELLED
            attempt.signals_sent = 2
            self._signal_next(attempt, self._clock_ms())

    def running(self) -> list[str]:
        """Nodes with an attempt in progress."""
        return list(self._active)

    def silent_since(self, node: str) -> int:
        """When the node last printed something, on the clock; its start where it never did."""
        return self._active[node].heard_ms

    def hear(self, node: str) -> str:
        """New cleaned output of a running node, moved into its log."""
        attempt = self._active[node]
        if attempt.transcript is None:
            return ""
        fresh = attempt.transcript.pump()
        if fresh:
            attempt.heard_ms = self._clock_ms()
        return fresh

    def close(self) -> None:
        """Wait for what leaders left behind to be gone, then give everything back."""
        while self._lingering:
            self._waiter.wait(20)
            self._end_lingering(self._clock_ms())
        self._threads.close()
        self._waiter.close()
        os.close(self._stdin)

    # Time.

    def _timeout(self, until_ms: int | None) -> int | None:
        moments = [until_ms] if until_ms is not None else []
        for attempt in self._active.values():
            moments += [moment for moment in (attempt.deadline_ms, attempt.next_signal_ms) if moment is not None]
        moments += [moment for _, moment in self._lingering]
        return max(0, min(moments) - self._clock_ms()) if moments else None

    def _on_time(self, now: int) -> list[Ended]:
        """Do what is due; calls that ignore their end are given up, since a thread cannot be killed."""
        given_up: list[Ended] = []
        for attempt in list(self._active.values()):
            if attempt.deadline_ms is not None and now >= attempt.deadline_ms and attempt.stop_outcome is None:
                self.stop(attempt.node, Outcome.TIMED_OUT)
            elif attempt.next_signal_ms is not None and now >= attempt.next_signal_ms:
                self._signal_next(attempt, now)
            if attempt.call is not None and attempt.signals_sent > 2:
                self._of_call.pop(id(attempt.call), None)
                given_up.append(
                    self._end(
                        attempt,
                        self._stopped_as(attempt),
                        warning="it ignored its end and was left behind on its thread",
                    )
                )
        self._end_lingering(now)
        return given_up

    def _signal_next(self, attempt: _Attempt, now: int) -> None:
        number = (INTERRUPT, TERMINATE, KILL)[min(attempt.signals_sent, 2)]
        if attempt.child is not None:
            attempt.child.signal_group(number)
        attempt.signals_sent += 1
        waits = {1: self._grace.interrupt_ms, 2: self._grace.terminate_ms}
        wait = waits.get(attempt.signals_sent)
        attempt.next_signal_ms = now + wait if wait is not None else None

    def _end_lingering(self, now: int) -> None:
        left: list[tuple[Child, int]] = []
        for child, due in self._lingering:
            if now >= due:
                child.signal_group(KILL)
                due = now + 50
            if child.group_is_alive():
                left.append((child, due))
        self._lingering = left

    # Ends.

    def _child_ended(self, attempt: _Attempt) -> Ended:
        assert attempt.child is not None
        code = attempt.child.reap()
        warning = ""
        if attempt.child.group_is_alive():
            attempt.child.signal_group(TERMINATE)
            self._lingering.append((attempt.child, self._clock_ms() + self._grace.terminate_ms))
            warning = "it left processes running in the background; they were ended"
        if attempt.stop_outcome is not None:
            return self._end(
                attempt, self._stopped_as(attempt), error=self._why_stopped(attempt), warning=warning, code=code
            )
        if attempt.verb is Verb.VERIFY:
            return self._end(attempt, Outcome.SUCCEEDED, verified=_VERDICTS.get(code, Verified.UNKNOWN), code=code)
        if code != 0:
            return self._end(attempt, Outcome.FAILED, error=_exit_text(code), warning=warning, code=code)
        if attempt.verb is Verb.UNDO:
            return self._end(attempt, Outcome.UNDONE, warning=warning, code=code)
        return self._take_results(attempt, warning)

    def _take_results(self, attempt: _Attempt, warning: str) -> Ended:
        assert attempt.files is not None
        try:
            outputs, dropped = take_outputs(attempt.files.outputs(), attempt.outputs)
            outcome, cause = attempt.files.outcome()
            outputs |= self._kept_files(attempt, outputs)
        except BadOutput as error:
            return self._end(attempt, Outcome.FAILED, error=str(error), warning=warning, code=0)
        warnings = "; ".join(filter(None, (warning, *dropped)))
        for name, rule in attempt.outputs.items():
            if rule.type == "secret" and name in outputs:
                # Learnt before the rest of the log is read: what was already shown live cannot be taken back.
                self._redactor.add(f"{attempt.node}.{name}", str(outputs[name]))
        return self._end(attempt, outcome, warning=warnings, code=0, outputs=outputs, cause=cause)

    def _kept_files(self, attempt: _Attempt, outputs: Mapping[str, Json]) -> dict[str, Json]:
        """Copies of `file` outputs under their digest, so that later changes of the file change nothing handed on."""
        kept: dict[str, Json] = {}
        for name, rule in attempt.outputs.items():
            if rule.type == "file" and name in outputs:
                kept[name] = str(keep_file(attempt.cwd / str(outputs[name]), name, self._directory / "artifacts"))
        return kept

    def _call_ended(self, attempt: _Attempt, call: Call) -> Ended:
        if attempt.stop_outcome is not None:
            done = call.result if isinstance(call.result, Done) else Done()
            return self._end(attempt, self._stopped_as(attempt), error=self._why_stopped(attempt), done=done)
        if call.error is None:
            return self._call_succeeded(attempt, call.result)
        if isinstance(call.error, NotUndoable):
            return self._end(attempt, Outcome.NOT_UNDOABLE, error=_text(call.error))
        if isinstance(call.error, Drifted):
            return self._end(attempt, Outcome.DRIFTED, error=_text(call.error))
        return self._end(attempt, Outcome.FAILED, error=_text(call.error))

    def _call_succeeded(self, attempt: _Attempt, result: object) -> Ended:
        if isinstance(result, Verified):
            return self._end(attempt, Outcome.SUCCEEDED, verified=result)
        if attempt.verb is Verb.UNDO:
            return self._end(attempt, Outcome.UNDONE)
        if not isinstance(result, Done):
            return self._end(
                attempt, Outcome.FAILED, error=f"the action returned {type(result).__name__} instead of Done"
            )
        if result.skipped:
            return self._end(attempt, Outcome.SKIPPED, cause=result.skipped)
        return self._end(attempt, Outcome.UNCHANGED if result.unchanged else Outcome.SUCCEEDED, done=result)

    def _stopped_as(self, attempt: _Attempt) -> Outcome:
        assert attempt.stop_outcome is not None
        return attempt.stop_outcome

    def _why_stopped(self, attempt: _Attempt) -> str:
        if attempt.stop_outcome is Outcome.TIMED_OUT and attempt.deadline_ms is not None:
            return f"timed out after {attempt.deadline_ms - attempt.started_ms} ms"
        return ""

    def _end(
        self,
        attempt: _Attempt,
        outcome: Outcome,
        *,
        error: str = "",
        warning: str = "",
        code: int | None = None,
        outputs: Mapping[str, Json] | None = None,
        cause: str = "",
        done: Done | None = None,
        verified: Verified = Verified.UNKNOWN,
    ) -> Ended:
        del self._active[attempt.node]
        if attempt.files is not None:
            attempt.files.remove()
        tail = log = ""
        if attempt.notes:
            attempt.transcript = attempt.transcript or self._transcript(attempt)
            for note in attempt.notes:
                attempt.transcript.note(note)
        if attempt.transcript is not None:
            attempt.transcript.close()
            tail = attempt.transcript.tail
            log = str(attempt.transcript.log_path or "")
            warning = "; ".join(filter(None, (warning, attempt.transcript.fault)))
        return Ended(
            node=attempt.node,
            verb=attempt.verb,
            outcome=outcome,
            started_ms=attempt.started_ms,
            ended_ms=self._clock_ms(),
            error=self._redactor.clean(error),
            warning=self._redactor.clean(warning),
            exit_code=code,
            outputs=done.outputs if done is not None else outputs or {},
            undo=done.undo if done is not None else None,
            change=done.change if done is not None else None,
            cause=self._redactor.clean(cause),
            verified=verified,
            tail=tail,
            log=log,
        )


def _body(action: ThreadAction, verb: Verb, work: Work) -> Callable[[], object]:
    match verb:
        case Verb.UNDO:
            return lambda: action.undo(work)
        case Verb.VERIFY:
            return lambda: action.verify(work)
        case _:
            return lambda: action.do(work)


def _file_name(node: str) -> str:
    """The id as a file name of its own: no part of an id has a dot, so that no two become one."""
    return node.replace("/", ".")


def _suffix(verb: Verb) -> str:
    return "" if verb is Verb.DO else f".{verb.value}"


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
