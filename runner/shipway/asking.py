"""Attempts of `until`: asked again and again until it holds, its time is over, or it is told to end. Decides nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec import Struct
from msgspec.structs import replace

from shipway.action import Action, Verb, Work
from shipway.attempt import Ended
from shipway.attempts import Attempts
from shipway.declaration import OutputRule
from shipway.durations import format_ms
from shipway.nodes import DONE, Outcome

_FIRST_ERROR = 126
"""From this exit code on a shell says that there was nothing to ask: it could not start the program, or a signal ended it."""


class _Asked(Struct):
    """One node that is asked: how, since when, until when (None: for ever), and when again (None: just now)."""

    action: Action
    work: Work
    outputs: Mapping[str, OutputRule]
    started_ms: int
    timeout_ms: int
    due_ms: int | None = None
    last: Ended | None = None

    @property
    def deadline_ms(self) -> int | None:
        return self.started_ms + self.timeout_ms if self.timeout_ms else None


class Asking(Attempts):
    """Attempts, of which those of nodes with `every_ms` are made of many: one that does not hold is followed by another.

    All together they are one attempt, with one start, one timeout and one end.
    """

    _asked: dict[str, _Asked]
    _told: list[Ended]

    def watch(self, clock_ms: Callable[[], int]) -> Asking:
        """Begin with nothing asked; the clock is that of the attempts."""
        self._now = clock_ms
        self._asked = {}
        self._told = []
        return self

    @property
    def active(self) -> int:
        """How many attempts are in progress, wait to be asked again, or wait to be reported."""
        return super().active + len(self._told) + sum(asked.due_ms is not None for asked in self._asked.values())

    def begin(
        self, action: Action, verb: Verb, work: Work, *, timeout_ms: int, outputs: Mapping[str, OutputRule]
    ) -> None:
        """Start an attempt; its end, also one that could not be started, comes from `wait`."""
        if verb is Verb.DO and work.node.every_ms:
            self._asked[work.node.id] = _Asked(action, work, outputs, self._now(), timeout_ms)
        super().begin(action, verb, work, timeout_ms=timeout_ms, outputs=outputs)

    def wait(self, until_ms: int | None) -> list[Ended]:
        """Attempts that ended, waiting until one does, until `until_ms` on the clock, or until `wake`."""
        if self._told:
            told, self._told = self._told, []
            return told
        if not self._asked:
            return super().wait(until_ms)
        waiting = [asked for asked in self._asked.values() if asked.due_ms is not None]
        moments = [moment for asked in waiting for moment in (asked.due_ms, asked.deadline_ms) if moment is not None]
        found = super().wait(min([*moments, *([] if until_ms is None else [until_ms])], default=None))
        ended = [last for each in found if (last := self._heard(each)) is not None]
        return ended + self._ask_again()

    def stop(self, node: str, outcome: Outcome) -> None:
        """End an attempt in progress; it will be reported with `outcome`."""
        asked = self._asked.get(node)
        if asked is None or asked.due_ms is None:
            super().stop(node, outcome)
        else:
            self._told.append(self._over(asked, outcome))

    def kill(self) -> None:
        """End everything at once."""
        for asked in list(self._asked.values()):
            if asked.due_ms is not None:
                self._told.append(self._over(asked, Outcome.CANCELLED))
        super().kill()

    def running(self) -> list[str]:
        """Nodes with an attempt in progress."""
        return [*super().running(), *(node for node, asked in self._asked.items() if asked.due_ms is not None)]

    def silent_since(self, node: str) -> int:
        """When the node last printed something, on the clock; its start where it never did."""
        asked = self._asked.get(node)
        return super().silent_since(node) if asked is None or asked.due_ms is None else asked.started_ms

    def hear(self, node: str) -> str:
        """New cleaned output of a running node, moved into its log."""
        asked = self._asked.get(node)
        return super().hear(node) if asked is None or asked.due_ms is None else ""

    def _heard(self, ended: Ended) -> Ended | None:
        """The end of the whole, or None where it did not hold and is asked again."""
        asked = self._asked.get(ended.node)
        if asked is None or ended.verb is not Verb.DO:
            return ended
        if _does_not_hold(ended, asked.outputs):
            asked.last = ended
            asked.due_ms = self._now() + asked.work.node.every_ms
            return None
        del self._asked[ended.node]
        error = _time_over(asked) if ended.outcome is Outcome.TIMED_OUT else ended.error
        return replace(ended, started_ms=asked.started_ms, error=error)

    def _ask_again(self) -> list[Ended]:
        now = self._now()
        over: list[Ended] = []
        for asked in list(self._asked.values()):
            if asked.due_ms is None:
                continue
            deadline = asked.deadline_ms
            if deadline is not None and now >= deadline:
                over.append(self._over(asked, Outcome.TIMED_OUT))
            elif now >= asked.due_ms:
                asked.due_ms = None
                left = deadline - now if deadline is not None else 0
                super().begin(asked.action, Verb.DO, asked.work, timeout_ms=left, outputs=asked.outputs)
        return over

    def _over(self, asked: _Asked, outcome: Outcome) -> Ended:
        """The end of what was waiting to be asked again."""
        assert asked.last is not None
        del self._asked[asked.last.node]
        error = _time_over(asked) if outcome is Outcome.TIMED_OUT else ""
        now = self._now()
        return replace(asked.last, outcome=outcome, started_ms=asked.started_ms, ended_ms=now, error=error, outputs={})


def _does_not_hold(ended: Ended, outputs: Mapping[str, OutputRule]) -> bool:
    if ended.outcome is Outcome.FAILED:
        return ended.exit_code is not None and 0 < ended.exit_code < _FIRST_ERROR
    answers = [ended.outputs.get(name) for name, rule in outputs.items() if rule.type == "boolean"]
    return ended.outcome in DONE and ended.exit_code is None and answers == [False]


def _time_over(asked: _Asked) -> str:
    return f"it did not hold within {format_ms(asked.timeout_ms)}"
