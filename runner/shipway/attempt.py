"""One attempt: what is known of it while it goes on, and how it ended. Starts nothing, signals nothing, decides nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct, field

from shipway.action import Verb
from shipway.canonical import Json
from shipway.declaration import OutputRule
from shipway.durations import format_ms
from shipway.exchange import Exchange
from shipway.nodes import Change, Node, Outcome, Verified
from shipway.process import Call, Child
from shipway.records import Record
from shipway.transcript import Transcript


class Grace(Struct, frozen=True):
    """How long a process group has after the interrupt, and after the terminate, before the next stronger signal."""

    interrupt_ms: int
    terminate_ms: int

    @property
    def total_ms(self) -> int:
        """The longest that ending a node can take."""
        return self.interrupt_ms + self.terminate_ms


class Ended(Struct, frozen=True):
    """How one attempt went. Times are on the runner's clock. `undo` is the state for a later undo; `log` empty without output.

    `began` is False where the program could not even be started, so that there is nothing to undo.
    `retry_after_ms` is how long the step asked for a rest, whatever its outcome; None where it asked for none. `code` is a
    word for what failed (docs/exit-codes.md), empty where nothing did; `is_permanent`: trying again is of no use.
    `emitted` are the children it asked for, `records` what it says it made, redacted; `left` what an undo left alone of it.
    """

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
    began: bool = True
    retry_after_ms: int | None = None
    emitted: tuple[Json, ...] = ()
    code: str = ""
    is_permanent: bool = False
    records: tuple[Record, ...] = ()
    left: tuple[str, ...] = ()


_NOWHERE = Path()


class Ongoing:
    """One attempt in progress. `code` is the exit code of a leader that has ended, while others of its group have not.

    `is_hurried`: it is ended with its run, so that what it printed too much of is not waited for.
    """

    __slots__ = (
        "call",
        "child",
        "code",
        "cwd",
        "deadline_ms",
        "emitter",
        "files",
        "given",
        "heard_ms",
        "is_hurried",
        "left_processes",
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

    def __init__(
        self, node: str, verb: Verb, outputs: Mapping[str, OutputRule], started_ms: int, timeout_ms: int
    ) -> None:
        self.node = node
        self.verb = verb
        self.outputs = outputs
        self.started_ms = started_ms
        self.deadline_ms = started_ms + timeout_ms if timeout_ms else None
        self.heard_ms = started_ms
        self.child: Child | None = None
        self.code: int | None = None
        self.is_hurried = False
        self.left_processes = False
        self.cwd = _NOWHERE
        self.given: Mapping[str, Json] = {}
        self.call: Call | None = None
        self.emitter: Node | None = None
        self.transcript: Transcript | None = None
        self.files: Exchange | None = None
        self.stop_outcome: Outcome | None = None
        self.signals_sent = 0
        self.next_signal_ms: int | None = None
        self.stopped = [False]
        self.notes: list[str] = []

    @property
    def is_to_stop(self) -> bool:
        """Whether it was told to end before it did."""
        return self.stop_outcome is not None

    @property
    def hands_on_a_secret(self) -> bool:
        """Whether an output of it is one: until that is known, nothing that it prints can be masked."""
        return any(rule.type == "secret" for rule in self.outputs.values())

    @property
    def due_ms(self) -> int | None:
        """When its time is over, as long as it matters: not once it ends anyway."""
        return None if self.is_to_stop or self.code is not None else self.deadline_ms

    @property
    def why_stopped(self) -> str:
        """What to say of it where it was told to end."""
        if self.stop_outcome is Outcome.TIMED_OUT and self.deadline_ms is not None:
            return f"its time of {format_ms(self.deadline_ms - self.started_ms)} was over"
        return ""
