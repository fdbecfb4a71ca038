"""Backend `files/tree`: trees of files in layers, put where they belong, taken back from there, or filled from there."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from shipway.backend import Capability, Cleanups, StagePlace
from shipway.builder import GraphBuilder
from shipway.canonical import Json
from shipway.declaration import Declaration, Stage
from shipway.errors import Problem
from shipway.file_adoption import adopt
from shipway.file_deployment import Deployment
from shipway.file_retirement import retire
from shipway.file_settings import Doing, faults, settings_of
from shipway.file_stage import FileStage
from shipway.state import Prior


class FilesTree:
    """Answers mode `files`."""

    mode = "files"
    name = "tree"
    contract = 1
    capabilities = frozenset({Capability.PLAN_EXECUTE, Capability.DRY_RUN, Capability.ROLLBACK, Capability.RECONCILE})

    def validate(self, stage: Stage, lifecycle: Declaration) -> list[Problem]:
        """What is wrong with `with` as written."""
        return faults(stage, lifecycle)

    def prepare(self, stage: Stage, place: StagePlace, cleanups: Cleanups) -> None:
        """Files need nothing made beforehand."""

    def plan(self, stage: Stage, lifecycle: Declaration, builder: GraphBuilder, prior: Prior) -> Mapping[str, Json]:
        """Nodes in the order of roots and paths, each under an id that its path decides."""
        where = lifecycle.source.locate((*stage.path, "with"), key=True)
        known = {key: builder.folded(value, where) for key, value in stage.with_.items()}
        if not builder.problems:
            builder.problems += faults(replace(stage, with_=known), lifecycle)
        if builder.problems:
            return {}
        on = FileStage(stage, lifecycle, builder, settings_of(known), prior)
        match on.settings.action:
            case Doing.DECOMMISSION:
                return {"retired": list(retire(on)), "roots": {name: place.shown for name, place in on.roots.items()}}
            case Doing.ADOPT:
                return adopt(on)
        return Deployment(on).plan()
