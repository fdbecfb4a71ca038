"""What is announced while a lifecycle runs, and the bus that hands it on. Decides nothing and prints nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from msgspec import Struct

from shipway.errors import Problem


class PhaseStarted(Struct, frozen=True):
    """A phase begins; `phase` is one of load resolve validate prepare plan execute report cleanup."""

    phase: str


class PhaseFinished(Struct, frozen=True):
    """A phase ended after `duration_ms`; `error` is empty where it did not fail."""

    phase: str
    duration_ms: int
    error: str = ""


class RunStarted(Struct, frozen=True):
    """Execution begins: run id, the nodes' ids in declared order, and how many may run at once.

    `kept` more nodes have ended in an earlier execution of the run.
    """

    run: str
    nodes: tuple[str, ...]
    parallel: int
    kept: int = 0


class RunFinished(Struct, frozen=True):
    """All of a run is over, its rollback included; `outcome` is the receipt's word, `error` what failed outside any node."""

    run: str
    outcome: str
    duration_ms: int
    error: str = ""


class StageStarted(Struct, frozen=True):
    """The first node of a stage starts; of a stage that is tried again, once for each attempt."""

    stage: str


class StageFinished(Struct, frozen=True):
    """Every node of a stage has its outcome; `outcome` is the stage's word."""

    stage: str
    outcome: str


class NodeStarted(Struct, frozen=True):
    """A node starts attempt `attempt` at `at_ms` since the run began. `before` of its attempts count no more: they were made
    before a resume, or before its stage began anew.
    """

    node: str
    attempt: int
    at_ms: int
    before: int = 0


class NodesAdded(Struct, frozen=True):
    """A node added others to the run; they come behind it."""

    node: str
    added: tuple[str, ...]


class NodeRetrying(Struct, frozen=True):
    """An attempt failed and another follows after `delay_ms`; `before` is as in `NodeStarted`."""

    node: str
    attempt: int
    error: str
    delay_ms: int
    before: int = 0


class LimitsResting(Struct, frozen=True):
    """Somebody told a node to slow down: nothing more starts under these limits for `for_ms`."""

    node: str
    limits: tuple[str, ...]
    for_ms: int


class RunWaiting(Struct, frozen=True):
    """Nothing runs, and nothing can start for `for_ms`: `why` is the rate or the pause of a limit. Said once for each."""

    why: str
    for_ms: int


class NodeTakenBack(Struct, frozen=True):
    """What an attempt did was undone, so that there can be another one; `outcome` is as that of an undo."""

    node: str
    outcome: str
    duration_ms: int
    error: str = ""
    log: str = ""
    tail: str = ""


class StageRetrying(Struct, frozen=True):
    """Attempt `attempt` of `attempts` of a stage failed because `node` did: it is undone, and begins anew after `delay_ms`."""

    stage: str
    attempt: int
    attempts: int
    node: str
    error: str
    delay_ms: int


class StageReopened(Struct, frozen=True):
    """A stage begins anew: these of its nodes that had an outcome have none any more."""

    stage: str
    nodes: tuple[str, ...]


class NodeStillRunning(Struct, frozen=True):
    """A node printed nothing for a while; it has been running for `elapsed_ms`."""

    node: str
    elapsed_ms: int


class NodeOutput(Struct, frozen=True):
    """New redacted text of a running node, for a live view; only sent when a subscriber asked for it."""

    node: str
    text: str


class NodeFinished(Struct, frozen=True):
    """A node has its outcome. `duration_ms` is how long all its `attempts` took, those before a resume included, without what was
    between them. `log` is the absolute path of its redacted log or empty; `tail` its last lines.
    """

    node: str
    outcome: str
    at_ms: int
    duration_ms: int
    cause: str = ""
    error: str = ""
    warning: str = ""
    log: str = ""
    tail: str = ""
    exit_code: int | None = None
    attempts: int = 0


class Stopping(Struct, frozen=True):
    """The run admits nothing new: `why` says so; `nodes` are those being ended, at most within `grace_ms`."""

    why: str
    nodes: tuple[str, ...]
    grace_ms: int


class RollbackStarted(Struct, frozen=True):
    """Undoing begins: node ids in the order they are undone."""

    nodes: tuple[str, ...]


class NodeUndone(Struct, frozen=True):
    """One undo was tried, or one node of a compensation; `outcome` is as in the receipt's rollback."""

    node: str
    outcome: str
    duration_ms: int
    error: str = ""
    log: str = ""
    tail: str = ""


class CleanupFailed(Struct, frozen=True):
    """A registered removal raised; the others ran all the same."""

    name: str
    error: str


class Warned(Struct, frozen=True):
    """Something a person should know that changes no outcome."""

    text: str
    problem: Problem | None = None


Event: TypeAlias = (
    PhaseStarted
    | PhaseFinished
    | RunStarted
    | RunFinished
    | StageStarted
    | StageFinished
    | NodeStarted
    | NodesAdded
    | NodeRetrying
    | NodeTakenBack
    | StageRetrying
    | StageReopened
    | LimitsResting
    | RunWaiting
    | NodeStillRunning
    | NodeOutput
    | NodeFinished
    | Stopping
    | RollbackStarted
    | NodeUndone
    | CleanupFailed
    | Warned
)

Subscriber: TypeAlias = Callable[[Event], None]


class Events:
    """Hands each event to every subscriber, in the order they were registered, on the thread that emits it.

    A subscriber that raises is recorded in `faults` and does not disturb the run or the other subscribers.
    """

    def __init__(self, *subscribers: Subscriber, wants_output: bool = False) -> None:
        """`wants_output` asks for NodeOutput events, which cost a read of each running child's output."""
        self._subscribers = list(subscribers)
        self.wants_output = wants_output
        self.faults: list[str] = []

    def subscribe(self, subscriber: Subscriber) -> None:
        """Add a subscriber after those already there."""
        self._subscribers.append(subscriber)

    def emit(self, event: Event) -> None:
        """Hand `event` on."""
        for subscriber in self._subscribers:
            try:
                subscriber(event)
            except Exception as error:  # noqa: BLE001 - a broken view must never decide a deployment
                self.faults.append(f"{type(event).__name__}: {type(error).__name__}: {error}")
