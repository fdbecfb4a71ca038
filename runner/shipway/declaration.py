"""The declaration as values: what a person wrote, checked and merged with its overlay. Reads files, starts nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from shipway.canonical import Json
from shipway.errors import Position
from shipway.source import SourceTree

Path_ = tuple[str | int, ...]


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


@dataclass(frozen=True, slots=True)
class Retry:
    """`attempts` counts the first try and is at least 1; delays are integer milliseconds; `jitter_percent` is 0 to 100."""

    attempts: int = 1
    backoff: Backoff = Backoff.EXPONENTIAL
    initial_ms: int = 1000
    max_ms: int | None = None
    jitter_percent: int = 0


@dataclass(frozen=True, slots=True)
class OutputRule:
    """A declared output: its type word (string integer number boolean list object secret file) and whether it must be written."""

    type: str
    required: bool = True


@dataclass(frozen=True, slots=True)
class InputRule:
    """A declared input of a run: type word (string integer number boolean list object), default (None: none), required."""

    type: str = "string"
    default: Json = None
    required: bool = False
    description: str = ""


@dataclass(frozen=True, slots=True)
class TargetRule:
    """One entry of `targets`; `on` holds patterns of branches and tags that may execute (empty: the default branch)."""

    on: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PlanCommand:
    """A step's read-only `plan` command; unless every name in `requires` is known when planned, the node is opaque."""

    run: str
    requires: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Defaults:
    """`defaults:` of the declaration; None means that the built-in default of design applies."""

    timeout_ms: int | None = None
    parallel: int | None = None
    on_failure: OnFailure | None = None
    rollback: Rollback | None = None
    on_cancel: OnCancel | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One step as written. Texts may hold `${{ }}` in `condition`, `env` and `with_` only; `path` locates it in the source.

    `action` is the dotted name (`run:` is short for `shell.exec`; its script is in `run`, else `run` is None).
    `needs` and `optional_needs` are step ids of the same stage. In a list of steps each needs the one before it: that
    edge is NOT in `needs`; see `Stage.ordered`. `reads` None means: the stage's, else the whole tree.
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
    undo: str | None = None
    verify: str | None = None
    outputs: Mapping[str, OutputRule] = field(default_factory=dict)
    with_: Mapping[str, Json] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    env_from: tuple[str, ...] = ()
    reads: tuple[str, ...] | None = None
    lasting: bool | None = None
    retry: Retry | None = None
    timeout_ms: int | None = None
    limits: tuple[str, ...] = ()
    exclusive: bool = False
    allow_failure: bool = False


@dataclass(frozen=True, slots=True)
class Stage:
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


@dataclass(frozen=True, slots=True)
class Declaration:
    """A whole lifecycle for one target, overlay merged in. `file` is relative to the repository root, `files` all that were read.

    `source` finds positions and spellings by path (`("stages", "build", "steps", 0, "run")`).
    `targets` is None where the declaration gives no closed list. `limits` maps a name to how many at once.
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
    limits: Mapping[str, int] = field(default_factory=dict)
