"""The backend `settings/json`: each member to set becomes one node. Plans only; touches no file."""

from __future__ import annotations

from collections.abc import Mapping

from shipway.backend import Capability, Cleanups, StagePlace
from shipway.builder import GraphBuilder
from shipway.builder_options import NodeHandle, NodeOptions
from shipway.canonical import Json
from shipway.declaration import Declaration, Stage
from shipway.errors import Problem, did_you_mean
from shipway.state import Prior


class SettingsJson:
    """Answers mode `settings`. Keys of `with`: `file`, the JSON file, and `set`, a mapping of dotted keys to values."""

    mode = "settings"
    name = "json"
    contract = 1
    capabilities = frozenset({Capability.PLAN_EXECUTE, Capability.DRY_RUN, Capability.ROLLBACK})

    def validate(self, stage: Stage, lifecycle: Declaration) -> list[Problem]:
        """All that is wrong with `with`, each where it stands."""
        where = (*stage.path, "with")
        problem = lifecycle.source.problem
        found = [
            problem((*where, key), f"`{key}` is no key of mode settings", did_you_mean(key, ("file", "set")), key=True)
            for key in stage.with_
            if key not in ("file", "set")
        ]
        if not isinstance(stage.with_.get("file"), str):
            found.append(problem((*where, "file"), "`file` names no JSON file"))
        if not isinstance(stage.with_.get("set"), Mapping) or not stage.with_["set"]:
            found.append(problem((*where, "set"), "`set` is no mapping of keys to values"))
        return found

    def prepare(self, stage: Stage, place: StagePlace, cleanups: Cleanups) -> None:
        """Nothing has to be made beforehand."""

    def plan(self, stage: Stage, lifecycle: Declaration, builder: GraphBuilder, prior: Prior) -> Mapping[str, Json]:
        """One node for each member, one after the other: they write the same file."""
        members = stage.with_["set"]
        assert isinstance(members, Mapping)
        before: list[NodeHandle] = []
        for key, value in members.items():
            slots = {"path": stage.with_["file"], "key": key, "value": value}
            position = lifecycle.source.locate((*stage.path, "with", "set", key), key=True)
            options = NodeOptions(title=f"set {key}", position=position)
            before = [builder.add("json.set", key.lower(), slots, needs=before, options=options)]
        return {"file": stage.with_["file"]}
