"""Backend `preview/ssh`: an environment for each target on another host, reached by OpenSSH."""

from __future__ import annotations

from collections.abc import Mapping

from shipway.backend import Capability, Cleanups, StagePlace
from shipway.builder import GraphBuilder
from shipway.canonical import Json
from shipway.declaration import Declaration, Stage
from shipway.errors import Problem
from shipway.preview_planning import inspect_preview, plan_preview
from shipway.preview_shape import shape_faults
from shipway.state import Prior


class PreviewSsh:
    """Answers mode `preview` where `compute` names a host."""

    mode = "preview"
    name = "ssh"
    contract = 1
    capabilities = frozenset({Capability.PLAN_EXECUTE, Capability.DRY_RUN, Capability.ROLLBACK, Capability.REMOTE})

    def validate(self, stage: Stage, lifecycle: Declaration) -> list[Problem]:
        """What is wrong with `with` as written."""
        return shape_faults(stage, lifecycle, stage.with_)

    def inspect(self, stage: Stage, lifecycle: Declaration, place: StagePlace) -> list[Problem]:
        """What is wrong with it in this workspace, for this target."""
        return inspect_preview(stage, lifecycle, place)

    def prepare(self, stage: Stage, place: StagePlace, cleanups: Cleanups) -> None:
        """The place is made by a node, so that it is journalled."""

    def plan(self, stage: Stage, lifecycle: Declaration, builder: GraphBuilder, prior: Prior) -> Mapping[str, Json]:
        """The nodes of the stage, in the order in which they have to happen."""
        return plan_preview(stage, lifecycle, builder)
