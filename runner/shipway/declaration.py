"""The declaration as values: what a person wrote, checked and merged with its overlay. Reads nothing; see `loading`."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from fnmatch import fnmatchcase

from msgspec import Struct, field

from shipway.approvals import ApprovalRule
from shipway.canonical import Json
from shipway.errors import Position
from shipway.flow_rules import GatherRule
from shipway.hooks import HookRule
from shipway.limits import Limit
from shipway.policies import Policy
from shipway.signing import SigningRule
from shipway.source import Path_, SourceTree


class OnFailure(StrEnum):
    """What happens to the other nodes when one fails: let started ones finish, stop them, or go on."""

    DRAIN = "drain"
    CANCEL = "cancel"
    CONTINUE = "continue"


class Rollback(StrEnum):
    """What is undone when a run fails: everything begun, only the failed stages, or nothing."""

    RUN = "run"
    STAGE = "stage"
    NONE = "none"


class OnCancel(StrEnum):
    """What happens to begun work when a person or CI stops the run."""

    LEAVE = "leave"
    UNDO = "undo"


class Backoff(StrEnum):
    """How the delay between attempts grows; see `retry.delay_ms`."""

    CONSTANT = "constant"
    LINEAR = "linear"
    EXPONENTIAL = "exponential"


class Retry(Struct, frozen=True):
    """`attempts` counts the first try and is at least 1; delays are integer milliseconds; `jitter_percent` is 0 to 100."""

    attempts: int = 1
    backoff: Backoff = Backoff.EXPONENTIAL
    initial_ms: int = 1000
    max_ms: int | None = None
    jitter_percent: int = 0


class OutputRule(Struct, frozen=True):
    """A declared output: its type word (string integer number boolean list object secret file) and whether it must be written."""

    type: str
    required: bool = True


class InputRule(Struct, frozen=True):
    """A declared input of a run: type word (string integer number boolean list object), default (None: none), required."""

    type: str = "string"
    default: Json = None
    required: bool = False
    description: str = ""


class TargetRule(Struct, frozen=True):
    """One entry of `targets`; `on` holds patterns of branches and tags that may execute (empty: the default branch).

    `drill`: it is there to be broken. `after` are targets on which the same tree has to have succeeded before.
    """

    on: tuple[str, ...] = ()
    drill: bool = False
    after: tuple[str, ...] = ()


class StateStore(StrEnum):
    """Where state that outlives a run is kept: files of this machine, refs of a git remote, or a database."""

    LOCAL = "local"
    GIT = "git"
    POSTGRES = "postgres"


class StateRule(Struct, frozen=True):
    """`state:` of the declaration. `remote` is git's (empty: `origin`), `url` the name of the secret with the address.

    `key` is the name of the secret with the key to which what is secret in the journal is encrypted; empty: it is left out.
    """

    store: StateStore = StateStore.LOCAL
    remote: str = ""
    url: str = ""
    key: str = ""


class PlanCommand(Struct, frozen=True):
    """A step's read-only `plan` command; unless every name in `requires` is known when planned, the node is opaque."""

    run: str
    requires: tuple[str, ...] = ()


class UndoCommand(Struct, frozen=True):
    """A step's `undo`; `timeout_ms` and `retry` None: those of the step."""

    run: str
    timeout_ms: int | None = None
    retry: Retry | None = None


class Defaults(Struct, frozen=True):
    """`defaults:` of the declaration; None means that the built-in default of design applies."""

    timeout_ms: int | None = None
    parallel: int | None = None
    on_failure: OnFailure | None = None
    rollback: Rollback | None = None
    on_cancel: OnCancel | None = None


class Step(Struct, frozen=True):
    """One step as written. Texts may hold `${{ }}` in `condition`, `env` and `with_` only; `path` locates it in the source.

    `action` is the dotted name (`run:` is short for `shell.exec`; its script is in `run`, else `run` is None).
    `needs` and `optional_needs` are step ids of the same stage. In a list of steps each needs the one before it: that
    edge is NOT in `needs`; see `Stage.ordered`. `reads` None means: the stage's, else the whole tree. A step with a `body`
    has no action. `every_ms` above 0: it is an `until`. `templates` are what it may emit, at most `emits` of them.
    """

    id: str
    action: str
    path: Path_
    where: Position
    name: str = ""
    tags: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    optional_needs: tuple[str, ...] = ()
    condition: str | None = None
    run: str | None = None
    shell: str | None = None
    working_directory: str | None = None
    plan: PlanCommand | None = None
    undo: UndoCommand | None = None
    verify: str | None = None
    outputs: Mapping[str, OutputRule] = field(default_factory=dict)
    with_: Mapping[str, Json] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    env_from: tuple[str, ...] = ()
    reads: tuple[str, ...] | None = None
    writes: tuple[str, ...] = ()
    lasting: bool | None = None
    retry: Retry | None = None
    timeout_ms: int | None = None
    limits: tuple[str, ...] = ()
    locks: tuple[str, ...] = ()
    exclusive: bool = False
    allow_failure: bool = False
    gather: GatherRule | None = None
    body: Body | None = None
    every_ms: int = 0
    emits: int = 0
    templates: tuple[Step, ...] = ()
    privileged: bool = False
    dedup: str | None = None
    oidc: tuple[str, ...] = ()


class Body(Struct, frozen=True):
    """Steps inside a step, or those of `compensate`. `ordered` is True where they were a list."""

    steps: tuple[Step, ...]
    ordered: bool


class Stage(Struct, frozen=True):
    """One stage as written: `steps` (mode `steps`) or another `mode` with its `with_`. `needs` are stage ids.

    `ordered` is True where `steps` was a list: each step then needs the one before it.
    """

    id: str
    path: Path_
    where: Position
    mode: str = "steps"
    backend: str | None = None
    requires: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    condition: str | None = None
    with_: Mapping[str, Json] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    env_from: tuple[str, ...] = ()
    lasting: bool | None = None
    on_failure: OnFailure | None = None
    rollback: Rollback | None = None
    parallel: int | None = None
    timeout_ms: int | None = None
    reads: tuple[str, ...] | None = None
    ordered: bool = False
    steps: tuple[Step, ...] = ()
    compensation: Body | None = None
    retry: Retry | None = None
    approval: ApprovalRule | None = None
    policies: tuple[Policy, ...] = ()


class Declaration(Struct, frozen=True):
    """A whole lifecycle for one target, overlay merged in. `file` is relative to the repository root, `files` all that were read.

    `source` finds positions and spellings by path (`("stages", "build", "steps", 0, "run")`).
    `targets` is None where the declaration gives no closed list. `locks` are held for the whole run, as is that of lifecycle
    and target unless `is_locked` is False; `step_locks` by the steps that name them.
    """

    name: str
    file: str
    files: tuple[str, ...]
    source: SourceTree
    stages: tuple[Stage, ...]
    targets: Mapping[str, TargetRule] | None = None
    inputs: Mapping[str, InputRule] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    values: Mapping[str, Json] = field(default_factory=dict)
    defaults: Defaults = field(default_factory=Defaults)
    limits: Mapping[str, Limit] = field(default_factory=dict)
    locks: tuple[str, ...] = ()
    step_locks: tuple[str, ...] = ()
    is_locked: bool = True
    state: StateRule = field(default_factory=StateRule)
    policies: tuple[Policy, ...] = ()
    hooks: tuple[HookRule, ...] = ()
    signing: SigningRule = field(default_factory=SigningRule)

    def target_rule(self, target: str) -> TargetRule:
        """What is declared of a target: under its name, else under the first pattern that matches it."""
        rules = self.targets or {}
        name = target if target in rules else next((name for name in rules if fnmatchcase(target, name)), None)
        return TargetRule() if name is None else rules[name]
