"""What a run's record says: how far it is, how it was opened, what was tried and what came of it. Values only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum

from msgspec import Struct, field

from shipway.action import Verb
from shipway.approvals import AccountedNode, Approval
from shipway.attempt import Ended
from shipway.canonical import Json
from shipway.nodes import Change, Outcome
from shipway.policies import BreakGlass, Verdict
from shipway.receipt import Attempt
from shipway.records import Record

CRASHED = "crashed"
"""The code of an attempt whose end nobody reported, because the process that carried it out was gone."""


class RunStatus(StrEnum):
    """How far a run is. `running` and `rolling_back` say what its owner was doing, also where that is gone."""

    RUNNING = "running"
    ROLLING_BACK = "rolling_back"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    NOT_UNDONE = "not_undone"
    CANCELLED = "cancelled"
    ROLLED_BACK = "rolled_back"


UNFINISHED = frozenset({RunStatus.RUNNING, RunStatus.ROLLING_BACK})
"""A run with one of these whose owner is gone has crashed."""


class Owner(Struct, frozen=True):
    """The process that carries a run out. `started` is `process_identity.start_of` it, `token` is random and its alone."""

    machine: str
    pid: int
    started: int | None
    token: str


class Opening(Struct, frozen=True):
    """What is known of a run before anything of it happens: all that resuming it, or sealing it for a killed one, takes.

    `inputs` are as they were given, `file` is the declaration relative to the root, `stages` and `skipped` the part that
    was asked for; of a run that brings back what drifted `reconciled` is what was asked to be left out of that, else None. `by`
    is who ran it as in a receipt. `began_ms` is Unix time. `workspace` names the folder that it works in,
    so that a journal which was carried elsewhere can be told from one that was not.
    """

    run: str
    lifecycle: str
    target: str
    file: str
    began_ms: int
    inputs: Mapping[str, str] = field(default_factory=dict)
    stages: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    reconciled: tuple[str, ...] | None = None
    approved: str | None = None
    approvals: tuple[Approval, ...] = ()
    accounted: tuple[AccountedNode, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    break_glass: BreakGlass | None = None
    by: Mapping[str, Json] = field(default_factory=dict)
    shipway: str = ""
    platform: str = ""
    workspace: str = ""


class Decided(Struct, frozen=True):
    """An outcome without an attempt: blocked, skipped, not started, or failed before it could be tried."""

    outcome: Outcome
    cause: str = ""
    error: str = ""


class Recorded(Struct, frozen=True):
    """One attempt as it is on disk, in the order in which attempts began (`sequence`, unique in the run).

    `verb` is do or undo; `number` counts a node's attempts from 1, of an undo it is how often it was tried. `outcome` and
    `ended_ms` are None where it was begun and never reported. `outputs` are the real values, without those that are or
    hold a secret: `lost` names them, and `is_undo_lost` says the same of `undo`; `sealed` is what a vault made of all that,
    JSON with `outputs` and `undo`, or None. `emitted` are the children it asked for, `records` what it says it made, `left`
    what an undo left alone of that. `group` is the process group of its child, `group_started` when that started; `log` is
    the name of its log.
    """

    sequence: int
    node: str
    verb: Verb
    number: int
    execution: int
    started_ms: int
    ended_ms: int | None = None
    outcome: Outcome | None = None
    began: bool = True
    error: str = ""
    warning: str = ""
    cause: str = ""
    code: str = ""
    exit_code: int | None = None
    change: Change | None = None
    outputs: Mapping[str, Json] = field(default_factory=dict)
    lost: tuple[str, ...] = ()
    undo: Json = None
    is_undo_lost: bool = False
    sealed: bytes | None = None
    tail: str = ""
    log: str = ""
    group: int | None = None
    group_started: int | None = None
    emitted: tuple[Json, ...] = ()
    records: tuple[Record, ...] = ()
    left: tuple[str, ...] = ()

    def attempt(self, number: int) -> Attempt:
        """As it stands in a receipt."""
        outcome = self.outcome or Outcome.UNKNOWN
        error = self.error or self.code if outcome is Outcome.UNKNOWN else self.error
        ended_ms = self.ended_ms if self.ended_ms is not None else self.started_ms
        return Attempt(number, outcome, self.started_ms, ended_ms, error, self.exit_code, self.code)

    def ended(self) -> Ended:
        """As the attempt reported its end; unknown where it never did."""
        return Ended(
            node=self.node,
            verb=self.verb,
            outcome=self.outcome or Outcome.UNKNOWN,
            started_ms=self.started_ms,
            ended_ms=self.ended_ms or self.started_ms,
            error=self.error,
            warning=self.warning,
            code=self.code,
            exit_code=self.exit_code,
            outputs=self.outputs,
            undo=self.undo,
            change=self.change,
            cause=self.cause,
            tail=self.tail,
            log=self.log,
            began=self.began,
            emitted=self.emitted,
            records=self.records,
        )


class RunSummary(Struct, frozen=True):
    """A run as the list of runs shows it. Times are Unix time in milliseconds; `receipt` is its digest once it is sealed.

    `is_alive` says that its owner still carries it out; `executions` how often it was begun or resumed.
    """

    run: str
    lifecycle: str
    target: str
    status: RunStatus
    is_alive: bool
    effect: str
    began_ms: int
    ended_ms: int | None
    executions: int
    owner: Owner
    receipt: str | None

    @property
    def has_crashed(self) -> bool:
        """Whether it was never finished and nobody carries it out any more."""
        return self.status in UNFINISHED and not self.is_alive


class RunRecord(Struct, frozen=True):
    """All that is known of one run but its plan, which is large and rarely asked for.

    `opened` says of nodes that were opened again from which place in `history` on their attempts count. `undoing` are the
    nodes of the last rollback, in its order, `files` the digest of all files as the run left them, where that is known.
    `is_taken_back`: somebody asked for that rollback later. `announced` nodes may have begun without an attempt, if
    `is_after_restart`: the machine went down with the run.
    """

    summary: RunSummary
    opening: Opening
    history: Sequence[Recorded] = ()
    decided: Mapping[str, Decided] = field(default_factory=dict)
    opened: Mapping[str, int] = field(default_factory=dict)
    undoing: tuple[str, ...] = ()
    files: str | None = None
    is_taken_back: bool = False
    announced: tuple[str, ...] = ()
    is_after_restart: bool = False
