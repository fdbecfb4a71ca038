"""Stages, steps and outputs of declaration data, read whatever its shape: for checks that run beside the schema's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from shipway.canonical import Json
from shipway.places import MAIN_STAGE, step_id
from shipway.source import Path_


@dataclass(frozen=True, slots=True)
class StepOutline:
    """A step that is a mapping; `outputs` are None where only the registry knows them (`uses`)."""

    id: str
    path: Path_
    data: Mapping[str, Json]
    outputs: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class StageOutline:
    """A stage; `path` is `()` for top-level steps. `is_ordered` where `steps` is a list; of two equal ids the first counts.

    `compensation` is its `compensate`, read like a stage of the same id; that has `compensates`, the steps it may refer to.
    """

    id: str
    path: Path_
    data: Mapping[str, Json]
    steps: tuple[StepOutline, ...]
    is_ordered: bool
    step_by_id: Mapping[str, StepOutline]
    compensation: StageOutline | None = None
    compensates: Mapping[str, StepOutline] | None = None

    @property
    def words(self) -> str:
        """Where its steps are, behind their names: ` of stage `x``; empty for the one stage of top-level steps."""
        if self.compensates is not None:
            return f" of the compensation of stage `{self.id}`"
        return f" of stage `{self.id}`" if self.path else ""

    @property
    def bodies(self) -> Iterator[StageOutline]:
        """All that has steps of its own: the stage, and its compensation."""
        yield self
        if self.compensation is not None:
            yield self.compensation

    @property
    def outputs(self) -> tuple[str, ...] | None:
        """The outputs of all steps; None where not all of them are known here."""
        if not self.steps or any(step.outputs is None for step in self.steps):
            return None
        return tuple(name for step in self.steps for name in step.outputs or ())


def outline(data: Json) -> tuple[StageOutline, ...]:
    """The stages of `data` in the order written; what has the wrong shape is left out."""
    if not isinstance(data, Mapping):
        return ()
    if "steps" in data:
        return (_stage(MAIN_STAGE, (), {"steps": data["steps"]}),)
    stages = mapping(data.get("stages"))
    return tuple(_stage(key, ("stages", key), stage) for key, stage in stages.items() if isinstance(stage, Mapping))


def mapping(value: Json) -> Mapping[str, Json]:
    """`value` where it is a mapping, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def texts(holder: Mapping[str, Json], path: Path_, key: str) -> Iterator[tuple[Path_, str]]:
    """The texts of the list under `key` of `holder`, which stands at `path`; each with its own path."""
    found = holder.get(key)
    for index, item in enumerate(found if isinstance(found, list) else ()):
        if isinstance(item, str):
            yield (*path, key, index), item


def leaves(value: Json, path: Path_ = ()) -> Iterator[tuple[Path_, str]]:
    """Every text inside `value`, with its path below `path`."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for key, member in value.items():
            yield from leaves(member, (*path, key))
    elif isinstance(value, list):
        for index, member in enumerate(value):
            yield from leaves(member, (*path, index))


def _stage(name: str, path: Path_, data: Mapping[str, Json]) -> StageOutline:
    written = data.get("steps")
    members: list[tuple[str | int, Json]] = []
    if isinstance(written, list):
        members.extend(enumerate(written))
    elif isinstance(written, Mapping):
        members.extend(written.items())
    steps = tuple(_step(key, (*path, "steps", key), step) for key, step in members if isinstance(step, Mapping))
    by_id = {step.id: step for step in reversed(steps)}
    compensation = None
    if isinstance(body := data.get("compensate"), Mapping):
        compensation = replace(_stage(name, (*path, "compensate"), {"steps": body.get("steps")}), compensates=by_id)
    return StageOutline(name, path, data, steps, isinstance(written, list), by_id, compensation)


def _step(key: str | int, path: Path_, data: Mapping[str, Json]) -> StepOutline:
    outputs = None if "uses" in data else tuple(mapping(data.get("outputs")))
    return StepOutline(step_id(data, key), path, data, outputs)
