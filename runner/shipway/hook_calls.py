"""Tells hooks what happens while a plan is executed, beside the run: none of them can delay it, fail it or change it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryFile
from typing import IO

from msgspec import Struct
from msgspec.structs import asdict, replace

from shipway.durations import format_ms
from shipway.events import Event
from shipway.hook import Hook, HookEvent, told, words_of
from shipway.hooks import HookRule
from shipway.process import KILL, TERMINATE, Child, StartFailed, Waiter, start

LAST_MS = 60_000
"""How long a run waits, once all is over, for its hooks to be told of what they were not told yet."""

LAST_INTERRUPTED_MS = 1_000
"""The same for a run that is to stop: CI kills soon, and the receipt has to be written."""

_SHELL = ("bash", "--noprofile", "--norc", "-eo", "pipefail", "-c")
_END_MS = 500
_TICK_MS = 50
_MOST_FAULTS = 5
_MOST_TAIL_BYTES = 4096
_TAIL_LINES = 5


class HookSetting(Struct, frozen=True):
    """What calling hooks takes. `common` is what every event of the run says, `env` all that a command is given.

    `clean` strips and masks a text; `stamp` gives the time of an event, RFC 3339.
    """

    common: HookEvent
    env: Mapping[str, str]
    root: Path
    clean: Callable[[str], str]
    clock_ms: Callable[[], int]
    stamp: Callable[[], str]


class HookCalls:
    """Calls hooks, in the order in which they are declared, one event after the other, on a thread of its own.

    To be subscribed to the events of a run. A hook that raises, hangs or fails is recorded in `faults`.
    """

    def __init__(self, hooks: Sequence[tuple[HookRule, Hook | None]], setting: HookSetting) -> None:
        """`hooks` are the declared ones, each with what it uses, None for a command."""
        self._setting = setting
        self._callees = [
            _Callee(rule, frozenset((rule.event,) if hook is None else hook.events), hook) for rule, hook in hooks
        ]
        self._wanted = frozenset().union(*(callee.words for callee in self._callees))
        self._queue: SimpleQueue[tuple[Event, tuple[str, ...], str] | None] = SimpleQueue()
        self._is_closing = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def __call__(self, event: Event) -> None:
        """Note an event to be told of; returns at once."""
        words = words_of(event)
        if words and not self._wanted.isdisjoint(words) and not self._is_closing.is_set():
            self._queue.put((event, words, self._setting.stamp()))

    @property
    def faults(self) -> tuple[str, ...]:
        """What to record of hooks that failed, in the order in which they are declared."""
        return tuple(fault for callee in self._callees for fault in callee.shown())

    def close(self, wait_ms: Callable[[], int]) -> None:
        """Wait until every hook was told of everything, at most `wait_ms()`. Again, this does nothing.

        It is asked again and again: a signal may come meanwhile.
        """
        began = self._setting.clock_ms()
        self._queue.put(None)
        while self._thread.is_alive() and self._setting.clock_ms() - began < wait_ms():
            self._thread.join(_TICK_MS / 1000)
        self._is_closing.set()
        self._thread.join(2 * _END_MS / 1000)

    def _work(self) -> None:
        waiter = Waiter()  # made here: on the main thread it would be the one that signals wake
        while (found := self._queue.get()) is not None:
            self._tell(*found, waiter)
        waiter.close()

    def _tell(self, event: Event, words: tuple[str, ...], at: str, waiter: Waiter) -> None:
        for callee in self._callees:
            word = next((word for word in words if word in callee.words), "")
            if not word or callee.is_over:
                continue
            if self._is_closing.is_set():
                callee.untold += 1
                continue
            made = told(event, replace(self._setting.common, event=word, at=at))
            copy = _redacted(made, self._setting.clean)
            fault = self._in_process(callee, callee.hook, copy) if callee.hook else self._command(callee, copy, waiter)
            if fault:
                about = [word] * bool(callee.hook) + [f"`{copy.node or copy.stage}`"] * bool(copy.node or copy.stage)
                callee.note(": ".join((*about, self._setting.clean(fault))))

    def _in_process(self, callee: _Callee, hook: Hook, event: HookEvent) -> str:
        """Why telling a hook of this process failed; empty where it did not. One that hangs is left behind, and told no more."""
        raised: list[str] = []

        def call() -> None:
            try:
                hook.on_event(event)
            except BaseException as error:  # noqa: BLE001 - whatever a hook raises decides nothing here
                raised.append(f"{type(error).__name__}: {error}")

        thread = threading.Thread(target=call, daemon=True)
        thread.start()
        began = self._setting.clock_ms()
        while thread.is_alive() and self._setting.clock_ms() - began < callee.rule.timeout_ms:
            thread.join(_TICK_MS / 1000)
            if self._is_closing.is_set():
                break
        if thread.is_alive():
            return self._hung(callee)
        return raised[0] if raised else ""

    def _command(self, callee: _Callee, event: HookEvent, waiter: Waiter) -> str:
        """Why a command failed, with the end of what it printed; empty where it did not."""
        with TemporaryFile() as given, TemporaryFile() as said:
            given.write(json.dumps(event.to_json()).encode() + b"\n")
            given.seek(0)
            argv, root, env = (*_SHELL, callee.rule.run), self._setting.root, self._setting.env
            try:
                child = start(argv, cwd=root, env=env, stdin=given.fileno(), output=said.fileno())
            except StartFailed as error:
                return str(error)
            waiter.watch(child)
            if not (is_over := self._ends(child, callee.rule.timeout_ms, waiter)):
                child.signal_group(TERMINATE)
                self._ends(child, _END_MS, waiter, is_last=True)
            child.signal_group(KILL)  # what it left in the background as well
            code = child.reap()
            if not is_over:
                return self._hung(callee)
            return "" if code == 0 else ": ".join((f"exit {code}", *_tail(said)))

    def _ends(self, child: Child, within_ms: int, waiter: Waiter, *, is_last: bool = False) -> bool:
        """Whether a child ends in time; where the run does not wait any more, only if it `is_last`."""
        until = self._setting.clock_ms() + within_ms
        while (left := until - self._setting.clock_ms()) > 0 and (is_last or not self._is_closing.is_set()):
            if child in waiter.wait(min(left, _TICK_MS)):
                return True
        return False

    def _hung(self, callee: _Callee) -> str:
        if self._is_closing.is_set():
            return "it was ended, since the run was over"
        callee.is_over = True
        return f"it took longer than {format_ms(callee.rule.timeout_ms)}, and is told nothing more"


class _Callee:
    """One hook, and what went wrong with it."""

    def __init__(self, rule: HookRule, words: Collection[str], hook: Hook | None) -> None:
        self.rule = rule
        self.words = words
        self.hook = hook
        self.is_over = False
        self.untold = 0
        self._faults: list[str] = []
        self._more = 0

    def note(self, text: str) -> None:
        """Record that telling it failed; of many the first few."""
        if len(self._faults) < _MOST_FAULTS:
            self._faults.append(text)
        else:
            self._more += 1

    def shown(self) -> list[str]:
        """What to say of it in the receipt."""
        found = [f"{self.rule.words}: {fault}" for fault in self._faults]
        if self._more:
            found.append(f"{self.rule.words}: failed {_counted(self._more, 'more time')}")
        if self.untold:
            events = _counted(self.untold, "more event")
            found.append(f"{self.rule.words}: was not told of {events}: there was no time left")
        return found


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")


def _redacted(event: HookEvent, clean: Callable[[str], str]) -> HookEvent:
    texts = {name: clean(value) for name, value in asdict(event).items() if isinstance(value, str)}
    return replace(event, nodes=tuple(map(clean, event.nodes)), **texts)


def _tail(said: IO[bytes]) -> list[str]:
    """The last lines of what was printed. A line that is not there whole is left out: half a secret could not be masked."""
    size = said.seek(0, 2)
    start_at = max(0, size - _MOST_TAIL_BYTES)
    said.seek(start_at)
    lines = said.read().decode(errors="replace").splitlines()[1 if start_at else 0 :]
    return [line for line in lines if line.strip()][-_TAIL_LINES:]
