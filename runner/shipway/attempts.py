"""Carries out attempts: starts a child or a call, watches time, and ends what must end; `endings` tells how it went.

Decides nothing about retries, rollback or other nodes; the executor does.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from msgspec.structs import replace

from shipway.action import (
    Action,
    Command,
    Done,
    Quick,
    ThreadAction,
    Verb,
    Work,
)
from shipway.attempt import Ended, Grace, Ongoing
from shipway.declaration import OutputRule
from shipway.endings import Endings
from shipway.exchange import Exchange, file_name
from shipway.nodes import Change, Fidelity, Node, Outcome
from shipway.process import INTERRUPT, KILL, TERMINATE, Call, StartFailed, Threads, Waiter, start
from shipway.redaction import Redactor
from shipway.transcript import Transcript

_GROUP_POLL_MS = 10
_ALL_SIGNALS = 4
_AFTER_KILL_MS = 250
"""After this long a killed group counts as gone, even if the kernel still holds on to one of its processes."""

_SLOW_MS, _RARELY = 50, 200
"""A call that takes so long is not quick, and so many after it get threads: on a busy machine anything is held up at times."""

_QUICK = frozenset({Change.NOOP, Change.CREATE})


class Attempts:
    """Attempts in progress, at most one per node. `wait` returns those that ended.

    A child gets a process group of its own, null as input, and a private raw file as output. When it is to end, its whole
    group is interrupted, then terminated, then killed. What a leader leaves running behind it is ended as well, and the
    attempt has not ended before.
    """

    def __init__(
        self,
        *,
        clock_ms: Callable[[], int],
        grace: Grace,
        redactor: Redactor,
        directory: Path,
        threads: int,
        own_path: str = "",
    ) -> None:
        """`directory` exists, private to this run: raw output in `raw/`, logs in `logs/`, exchange files in `io/`.

        `own_path` is the PATH of this process, if that is known.
        """
        self._clock_ms = clock_ms
        self._grace = grace
        self._redactor = redactor
        self._own_path = own_path
        self._waiter = Waiter()
        self._threads = Threads(self._waiter, threads)
        self._stdin = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        self._active: dict[str, Ongoing] = {}
        self._of_child: dict[int, Ongoing] = {}
        self._of_call: dict[int, Ongoing] = {}
        self._failed_to_start: list[Ended] = []
        self._quick_calls = self._slow_calls = 0
        self._quick: dict[str, bool] = {}
        self._raw, self._logs, self._io = (_made(directory / name) for name in ("raw", "logs", "io"))
        self._endings = Endings(clock_ms=clock_ms, redactor=redactor, directory=directory, transcript=self._transcript)

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
            self._not_started(attempt, error)
            return
        self._begin_child(attempt, command)

    def begin_command(
        self, node: str, verb: Verb, command: Command, *, timeout_ms: int, outputs: Mapping[str, OutputRule]
    ) -> None:
        """Start a child process that no action stands behind, such as a step's `plan` command."""
        self._begin_child(self._noted(node, verb, timeout_ms, outputs), command)

    def recognized(self, node: Node, done: Done) -> Ended:
        """The end of an attempt that had nothing to do, as was found without starting it."""
        attempt = Ongoing(node.id, Verb.DO, node.outputs, self._clock_ms(), 0)
        return self._endings.of_call_done(attempt, done)

    def _noted(self, node: str, verb: Verb, timeout_ms: int, outputs: Mapping[str, OutputRule]) -> Ongoing:
        attempt = self._active[node] = Ongoing(node, verb, outputs, self._clock_ms(), timeout_ms)
        return attempt

    def _begin_call(self, attempt: Ongoing, action: ThreadAction, work: Work) -> None:
        stopped, attempt.cwd, attempt.given = attempt.stopped, work.root, work.inputs
        work = replace(work, cancelled=lambda: stopped[0], log=attempt.notes.append)
        attempt.call = Call(_body(action, attempt.verb, work))
        self._of_call[id(attempt.call)] = attempt
        is_quick = attempt.verb is Verb.DO and self.is_quick(action, work.node)
        self._quick_calls += is_quick
        if is_quick and self._slow_calls * _RARELY < self._quick_calls:
            self._threads.carry_out(attempt.call)
            self._slow_calls += self._clock_ms() - attempt.started_ms >= _SLOW_MS
        else:
            self._threads.submit(attempt.call)

    def is_quick(self, action: Action, node: Node) -> bool:
        """Whether the work of a node takes no longer than handing it to a thread, as far as anyone can tell before."""
        if node.timeout_ms or node.fidelity is not Fidelity.EXACT or node.change not in _QUICK:
            return False
        if node.action not in self._quick:
            self._quick[node.action] = isinstance(action, Quick)
        return self._quick[node.action]

    def _begin_child(self, attempt: Ongoing, command: Command | None) -> None:
        if command is None:
            self._failed_to_start.append(self._endings.nothing_to_run(self._taken_off(attempt)))
            return
        try:
            self._start(attempt, command)
        except (StartFailed, OSError) as error:
            self._not_started(attempt, error)

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
        attempt.child = start(
            argv,
            cwd=command.cwd,
            env=env,
            stdin=self._stdin,
            output=attempt.transcript.descriptor,
            own_path=self._own_path,
        )
        self._of_child[attempt.child.pid] = attempt
        self._waiter.watch(attempt.child)

    def _not_started(self, attempt: Ongoing, error: BaseException) -> None:
        self._failed_to_start.append(self._endings.not_started(self._taken_off(attempt), error))

    def _transcript(self, attempt: Ongoing) -> Transcript:
        name = file_name(attempt.node, attempt.verb)
        raw, log = f"{self._raw}/{name}", f"{self._logs}/{name}.log"
        try:
            return Transcript(raw, log, self._redactor)
        except FileNotFoundError:
            # A step may clean the checkout of all that git ignores, and this with it.
            for place in (self._raw, self._logs, self._io):
                os.makedirs(place, mode=0o700, exist_ok=True)
            return Transcript(raw, log, self._redactor)

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
                ended.append(self._endings.of_call(self._taken_off(attempt), call))
        ended += self._on_time(self._clock_ms())
        return ended

    def wake(self) -> None:
        """Let `wait` return at once; callable from a signal handler."""
        self._waiter.wake()

    def stop(self, node: str, outcome: Outcome) -> None:
        """End an attempt in progress, by signals that grow stronger; it will be reported with `outcome`."""
        attempt = self._active.get(node)
        if attempt is not None:
            attempt.is_hurried |= outcome is Outcome.CANCELLED
        if attempt is not None and not attempt.is_to_stop and attempt.code is None:
            attempt.stop_outcome = outcome
            attempt.stopped[0] = True
            self._signal_next(attempt, self._clock_ms())

    def kill(self) -> None:
        """End everything at once; what was killed already is left to die."""
        for attempt in self._active.values():
            attempt.is_hurried = True
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
        if attempt.transcript is None or attempt.hands_on_a_secret:
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
                self._of_call.pop(id(attempt.call), None)
                ended.append(self._endings.left_behind(self._taken_off(attempt)))
            elif (
                attempt.code is not None
                and (attempt.signals_sent >= _ALL_SIGNALS or not _group_is_alive(attempt))
                and _is_read(attempt)
            ):
                ended.append(self._endings.of_child(self._taken_off(attempt), attempt.code))
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

    # Ends.

    def _leader_ended(self, attempt: Ongoing) -> list[Ended]:
        """The end of the attempt, unless others of its group live on: they are ended first, an undo must not race them."""
        assert attempt.child is not None
        attempt.code = attempt.child.reap()
        if not _group_is_alive(attempt):
            return [self._endings.of_child(self._taken_off(attempt), attempt.code)] if _is_read(attempt) else []
        if attempt.signals_sent > 2:
            attempt.next_signal_ms = self._clock_ms() + _AFTER_KILL_MS
        elif not attempt.is_to_stop:
            attempt.left_processes = True
            attempt.signals_sent = 1
            self._signal_next(attempt, self._clock_ms())
        return []

    def _taken_off(self, attempt: Ongoing) -> Ongoing:
        """The attempt, in progress no more."""
        return self._active.pop(attempt.node)


def _made(directory: Path) -> str:
    """A directory, as text: joining paths of thousands of nodes as objects takes longer than starting them."""
    directory.mkdir(mode=0o700, exist_ok=True)
    return str(directory)


def _group_is_alive(attempt: Ongoing) -> bool:
    return attempt.child is not None and attempt.child.group_is_alive()


def _is_read(attempt: Ongoing) -> bool:
    """Whether what a gone group printed can be read to its end at once; else a part of it is, and the loop turns meanwhile."""
    transcript = attempt.transcript
    if transcript is None or attempt.is_hurried or attempt.hands_on_a_secret or not transcript.is_far_behind:
        if transcript is not None and attempt.is_hurried:
            transcript.give_up()
        return True
    attempt.signals_sent, attempt.next_signal_ms = _ALL_SIGNALS, None  # its number may be another group's by now
    transcript.pump()
    return False


def _body(action: ThreadAction, verb: Verb, work: Work) -> Callable[[], object]:
    match verb:
        case Verb.UNDO:
            return lambda: action.undo(work)
        case Verb.VERIFY:
            return lambda: action.verify(work)
        case _:
            return lambda: action.do(work)
