"""What an action is: the Protocols its author implements and the values they are handed. Starts nothing itself.

An action plans, does and, where it can, undoes and verifies one node's work. It never writes to stdout or stderr, never
changes the process environment or the working directory, and keeps nothing between calls.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from enum import Enum, StrEnum
from pathlib import Path
from typing import Literal, Protocol, TypeAlias, runtime_checkable

from msgspec import Struct, field

from shipway.canonical import Json
from shipway.declaration import OutputRule
from shipway.nodes import Change, Fidelity, Node, Outcome, Verified
from shipway.notebook import Notebook
from shipway.records import Record
from shipway.shelf import Shelf


class SlotType(StrEnum):
    """Types of slots and outputs. `any` takes every JSON value; `string` keeps a number's spelling."""

    STRING = "string"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    LIST = "list"
    OBJECT = "object"
    ANY = "any"


class Access(Enum):
    """What an action does to the file whose path a slot holds: read it, or write it; `CLEARS` writes all below it as well."""

    READS = "reads"
    WRITES = "writes"
    CLEARS = "clears"


class SlotRule(Struct, frozen=True):
    """A declared input of an action. Without `required`, an absent slot takes `default` (None: stays absent).

    `access` is for slots that hold a path: two nodes that write one file without an order between them are refused when
    planned, and who reads it comes after who writes it. Nodes whose values `turns` maps to the same limit never run at once;
    its entry `""` is for a value that is left out, not known when planned, or not among the others.
    `below` is the slot that lists the names below the path that are meant, where it is not the path itself.
    No expression may stand in a slot that `is_script`.
    """

    type: SlotType
    required: bool = False
    default: Json = None
    description: str = ""
    access: Access | None = None
    turns: Mapping[str, str] | None = None
    is_script: bool = False
    below: str = ""


class Verb(StrEnum):
    """What an action is asked for."""

    PLAN = "plan"
    DO = "do"
    UNDO = "undo"
    VERIFY = "verify"


class Command(Struct, frozen=True):
    """A child process to start for a node, in a process group of its own, with exactly the environment `env`.

    `argv[0]` is looked up on `env["PATH"]`. `cwd` is absolute. `script`, if given, is written to a private file whose path
    replaces the argument `{0}`. What the child writes to `$SHIPWAY_OUTPUT` becomes the node's outputs.
    """

    argv: tuple[str, ...]
    cwd: Path
    env: Mapping[str, str]
    script: str | None = None


class Prediction(Struct, frozen=True):
    """What an action says about a node when it is planned.

    `outputs` are foretold values by output name; `waits_for` names what is missing to know more; `secret` values never
    stand in `before`, `after` or `outputs`: digest and size do. `is_settled`: what is not known yet changes nothing of it.
    """

    change: Change
    fidelity: Fidelity
    why: str = ""
    before: Json = None
    after: Json = None
    outputs: Mapping[str, Json] = field(default_factory=dict)
    reversible: bool = False
    is_settled: bool = False


class PlanWork(Struct, frozen=True):
    """What `plan` is given: the node as built so far, the slots whose values are known, and which are not.

    `inputs` holds every slot that is known (immediate, or promised by a node that predicted it); `unknown` maps the others
    to the node or context they wait for. `env` is the child environment as far as it is known, `unknown_env` its missing
    names. `root` is the directory that relative paths are in. `execute` runs a read-only command and returns its result.
    `real` gives the path of a folder without links, and remembers it: the world stands still while it is planned.
    `secret` names the slots whose value holds a secret: a plan shows none of them. `shelf` holds what earlier runs kept.
    """

    node: Node
    inputs: Mapping[str, Json]
    unknown: Mapping[str, str]
    env: Mapping[str, str]
    unknown_env: Mapping[str, str]
    root: Path
    execute: Callable[[Command], Completed]
    secret: frozenset[str] = frozenset()
    real: Callable[[str], str] = os.path.realpath
    shelf: Shelf | None = None


class Completed(Struct, frozen=True):
    """How a child process ended: exit code (negative: the signal), its declared outputs, last lines, and a fault in them."""

    exit_code: int
    outputs: Mapping[str, Json] = field(default_factory=dict)
    tail: str = ""
    error: str = ""


class Work(Struct, frozen=True):
    """What `do`, `undo` and `verify` are given. All slots are resolved; `env` is the declared child environment.

    `root` is the workspace; `recovery` is where the run keeps what may be put back, each node below its id, on the same file
    system as `.shipway`. `started_ms` is when this attempt began (Unix time, UTC). `cancelled()` turns True when the node
    should stop. `shelf` is where to keep what later runs of this lifecycle and target need; None where nothing is kept.
    `notebook` is where all nodes of the run note what a killed process would else not have told; None: it is not in a run.
    For `undo`: `outcome` is how `do` ended, `outputs` what it gave, `state` the undo state it left (None: it gave none).
    """

    node: Node
    inputs: Mapping[str, Json]
    env: Mapping[str, str]
    root: Path
    recovery: Path
    cancelled: Callable[[], bool] = lambda: False
    log: Callable[[str], None] = lambda text: None
    started_ms: int = 0
    outcome: Outcome | None = None
    outputs: Mapping[str, Json] = field(default_factory=dict)
    state: Json = None
    shelf: Shelf | None = None
    notebook: Notebook | None = None

    @property
    def scratch(self) -> Path:
        """A private directory of this node, the same for `do`, `undo` and `verify`, which may not be there yet.

        Replaced things may be moved aside into it: it is kept as long as they may be undone.
        """
        return self.recovery / self.node.id


class Done(Struct, frozen=True):
    """What `do` returns. `undo` is JSON-safe state for `undo`; `unchanged`: nothing needed doing; `skipped` says why.

    `records` are the things that are there, or gone, by this node's work, also where nothing needed doing. `emitted` is what an
    Emitting action adds to the run: mappings with the keys of a line of `$SHIPWAY_EMIT` (docs/declaration.md#emits).
    """

    outputs: Mapping[str, Json] = field(default_factory=dict)
    undo: Json = None
    unchanged: bool = False
    skipped: str = ""
    change: Change | None = None
    records: tuple[Record, ...] = ()
    emitted: tuple[Mapping[str, Json], ...] = ()


PLAN_COMMAND_FAILED = "plan_command_failed"
"""The code of a plan that failed because a command which was to say what would be done did."""


class ActionFailed(Exception):
    """Raised by an action whose work failed; its text is shown to the user. A built-in action leaves nothing half-done.

    `code` is one word that machines may match on, such as `provider_unavailable`; without a text the cause's is shown, else
    the code. It is tried again as its node's `retry` says, unless it is `is_permanent`, as any other exception is taken to be:
    no second try cures a bug. `retry_after_ms` is how long whoever refused it wants to be left alone: a 429 with
    `Retry-After: 7` is 7000.
    """

    def __init__(
        self,
        text: str = "",
        *,
        code: str = "action_failed",
        is_permanent: bool = False,
        retry_after_ms: int | None = None,
    ) -> None:
        super().__init__(text)
        self.code = code
        self.is_permanent = is_permanent
        self.retry_after_ms = retry_after_ms

    def __str__(self) -> str:
        return super().__str__() or (str(self.__cause__) if self.__cause__ else "") or self.code


class TimedOut(ActionFailed):
    """Raised by an action that waited for as long as it may: its node is `timed_out`."""

    def __init__(self, text: str) -> None:
        super().__init__(text, code="timeout")


class NotBegun(ActionFailed):
    """Raised by `do` that failed before it changed anything: there is nothing to undo."""


class NotUndoable(Exception):
    """Raised by `undo` that cannot undo, saying why; the node becomes `not_undoable`."""


class Drifted(Exception):
    """Raised by `undo` when the target changed since `do`, saying what differs; nothing was undone.

    An action that made many things may take back all but some of them: `left` names those, as its records do.
    """

    def __init__(self, text: str = "", *, left: tuple[str, ...] = ()) -> None:
        super().__init__(text)
        self.left = left


class ThreadAction(Protocol):
    """An action carried out in this process, on a worker thread.

    `slots` are its declared inputs; `outputs` its declared outputs. `change` is what it does unless `plan` says otherwise.
    `contract` rises when the same node would do something else; it is part of what an approval is bound to.
    """

    runs_in: Literal["thread"]
    name: str
    contract: int
    slots: Mapping[str, SlotRule]
    outputs: Mapping[str, OutputRule]

    def plan(self, work: PlanWork) -> Prediction:
        """Say what `do` would do. Read-only and deterministic. Raises ActionFailed for slots that make no sense together."""

    def do(self, work: Work) -> Done:
        """Do it. Raises ActionFailed with nothing left half-done."""

    def undo(self, work: Work) -> None:
        """Put back what `do` changed. Raises NotUndoable, Drifted or ActionFailed."""

    def verify(self, work: Work) -> Verified:
        """Whether what `do` made is there. Read-only."""


class ProcessAction(Protocol):
    """An action carried out by a child process that the executor starts, watches and ends.

    `plan` says what will be done; `command` gives the child process for a verb, or None where the node has none for it.
    Outputs come from the file `$SHIPWAY_OUTPUT`; their types from the node. Exit 0 is success; for `verify` 0 holds, 3 gone.
    """

    runs_in: Literal["process"]
    name: str
    contract: int
    slots: Mapping[str, SlotRule]
    outputs: Mapping[str, OutputRule]

    def plan(self, work: PlanWork) -> Prediction:
        """Say what `do` would do. Read-only and deterministic. Raises ActionFailed for slots that make no sense together."""

    def command(self, verb: Verb, work: Work) -> Command | None:
        """The child process for `verb`. Quick and free of effects: it runs on the executor's own thread."""


@runtime_checkable
class Observing(Protocol):
    """An action that finds again what it recorded, without the plan that made it: only then can drift be told where that is lost.

    It is no part of what an action must have. Files are found without it where their fingerprint is Shipway's own.
    """

    def observe(self, record: Record, root: Path, env: Mapping[str, str]) -> str | None:
        """The fingerprint of what stands now where `record` says, None where nothing does. Read-only.

        `root` is the workspace, `env` the base of every child environment. Raises ActionFailed where it cannot be told.
        """


@runtime_checkable
class Quick(Protocol):
    """A thread's action whose work takes no longer than handing it to a thread, where what was planned is exact.

    Its `do` then touches a few names and no content. Nodes without a timeout that make something, or find it made, are carried
    out in the executor's own thread, until one of them lets it wait: then whatever they touch is slow, and the others get threads.
    """

    is_quick: Literal[True]


@runtime_checkable
class Recognizing(Protocol):
    """A thread's action that can tell of itself, by a look at a few names, that nothing has to be done.

    Thousands of nodes that were planned to change nothing are asked together before a run begins anything, and those that find
    their work done have ended with that: no attempt is handed to a thread for them.
    """

    def recognized(self, work: Work, real: Callable[[str], str]) -> Done | None:
        """What `do` would return, where it would find all done; None where it would change something, or has to read more.

        Read-only. `real` is as in `PlanWork`. Raises ActionFailed or OSError where it cannot be told.
        """


@runtime_checkable
class Emitting(Protocol):
    """A thread's action whose `do` may add nodes to the run, by `Done.emitted`: only its steps may have `emits`.

    A process's action may always: its child writes to `$SHIPWAY_EMIT`.
    """

    is_emitting: Literal[True]


Action: TypeAlias = ThreadAction | ProcessAction
