"""What a backend is, what it can be required to do, and how that is derived. Calls no backend itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Protocol, runtime_checkable

from msgspec import Struct, field

from shipway.builder import GraphBuilder
from shipway.canonical import Json
from shipway.declaration import Declaration, Stage
from shipway.errors import Problem
from shipway.preview_settings import names_host
from shipway.state import Prior


class Capability(StrEnum):
    """What a backend can do. A closed list: a backend that declares another word is refused when it is registered."""

    PLAN_EXECUTE = "plan-execute"
    RECONCILE = "reconcile"
    IMPACT_ANALYSIS = "impact-analysis"
    CLUSTER_AUTH = "cluster-auth"
    REMOTE = "remote"
    CONTAINER = "container"
    DRY_RUN = "dry-run"
    ROLLBACK = "rollback"
    FORGE_AUTH = "forge-auth"
    STRUCTURED_PROGRESS = "structured-progress"


class StageFacts(Struct, frozen=True):
    """What of a stage decides which capabilities it needs. `rollback` : it writes `rollback:` or compensates.

    `remote`: what it is about lives on another host, as some stage of the lifecycle says.
    """

    mode: str
    requires: tuple[str, ...] = ()
    with_: Mapping[str, Json] = field(default_factory=dict)
    approval: bool = False
    rollback: bool = False
    records_deployment: bool = False
    remote: bool = False


def facts_of(stage: Stage, lifecycle: Declaration) -> StageFacts:
    """The facts of a declared stage."""
    return StageFacts(
        stage.mode,
        stage.requires,
        stage.with_,
        approval=stage.approval is not None,
        rollback=stage.rollback is not None or stage.compensation is not None,
        remote=stage.mode == "preview" and names_host(lifecycle),
    )


_DERIVATION: tuple[tuple[Capability, Callable[[StageFacts], bool]], ...] = (
    (Capability.PLAN_EXECUTE, lambda stage: True),
    (Capability.RECONCILE, lambda stage: stage.mode in ("gitops", "compose", "playbooks")),
    (Capability.IMPACT_ANALYSIS, lambda stage: stage.mode == "gitops" and stage.with_.get("scope") == "impacted"),
    (Capability.CLUSTER_AUTH, lambda stage: stage.mode == "gitops" and "cluster" in stage.with_),
    (Capability.REMOTE, lambda stage: stage.remote),
    (Capability.DRY_RUN, lambda stage: stage.approval),
    (Capability.ROLLBACK, lambda stage: stage.rollback),
    (Capability.FORGE_AUTH, lambda stage: stage.records_deployment),
    (Capability.STRUCTURED_PROGRESS, lambda stage: stage.with_.get("output") == "live"),
)
"""Which capability a stage needs when; in the order in which they are listed to people."""


def derive_required(stage: StageFacts) -> tuple[Capability, ...]:
    """The capabilities that a stage needs, each once, in derivation order; `requires` comes behind `reconcile`.

    `requires` holds known capability words: the declaration has been checked for that.
    """
    named = [Capability(word) for word in stage.requires]
    derived = [capability for capability, needed in _DERIVATION if needed(stage)]
    head = [capability for capability in derived if capability in (Capability.PLAN_EXECUTE, Capability.RECONCILE)]
    return tuple(dict.fromkeys([*head, *named, *derived]))


class StagePlace(Struct, frozen=True):
    """Where a stage is prepared: the directory relative paths are in, and the target."""

    root: Path
    target: str


class Cleanups(Protocol):
    """Where `prepare` registers the removal of each ephemeral thing, before it makes it."""

    def register(self, name: str, remove: Callable[[], None]) -> None:
        """Run `remove` in phase cleanup, last registered first, whatever happens in between."""

    def register_path(self, name: str, path: Path) -> None:
        """Remove `path`, a file or a whole folder, in phase cleanup; where Shipway is killed, `runs repair` removes it."""


class Backend(Protocol):
    """Turns a stage into nodes. Made afresh for each stage of each run, and never asked to execute.

    It never writes to stdout or stderr, never changes the process environment or the working directory, and keeps no state
    outside itself: what a node needs to run stands in the plan, so that another process on another machine can apply it.
    `contract` rises when the same stage would do something else.
    """

    mode: str
    name: str
    contract: int
    capabilities: frozenset[Capability]

    def validate(self, stage: Stage, lifecycle: Declaration) -> list[Problem]:
        """Everything wrong with the stage that the declaration's own checks cannot know: actions, slots, files, tools."""

    def prepare(self, stage: Stage, place: StagePlace, cleanups: Cleanups) -> None:
        """Make ephemeral things (credentials files, worktrees); register each removal first."""

    def plan(self, stage: Stage, lifecycle: Declaration, builder: GraphBuilder, prior: Prior) -> Mapping[str, Json]:
        """Add the stage's nodes to `builder`. Read-only and deterministic. Returns the stage's context for the plan.

        `prior()` is what exists in this lifecycle and target, as verified receipts tell: part of the world that a plan is of, as
        files are. Reading receipts takes time; who does not ask pays nothing. It raises ShipwayError where one cannot be
        verified: pass that on.
        """


@runtime_checkable
class Inspecting(Protocol):
    """A backend whose checks look at the workspace and the target too. It is no part of what a backend must have."""

    def inspect(self, stage: Stage, lifecycle: Declaration, place: StagePlace) -> list[Problem]:
        """Everything wrong with the stage there; what `validate` finds may be among it. Read-only."""
