"""Stages, steps and outputs of declaration data, read whatever its shape: for checks that run beside the schema's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import Struct
from msgspec.structs import replace

from shipway.canonical import Json, mapping
from shipway.places import MAIN_STAGE, step_id
from shipway.source import Path_


class StepOutline(Struct, frozen=True):
    """A step that is a mapping; `outputs` are None where only the registry knows them (`uses`).

    `body` are the steps inside it, `templates` those under its `emits`, each read like a stage of the same id.
    """

    id: str
    path: Path_
    data: Mapping[str, Json]
    outputs: tuple[str, ...] | None
    body: StageOutline | None = None
    templates: StageOutline | None = None


class StageOutline(Struct, frozen=True):
    """A stage; `path` is `()` for top-level steps. `is_ordered` where `steps` is a list; of two equal ids the first counts.

    `compensation` is its `compensate`, read like a stage of the same id; that has `compensates`, the steps it may refer to.
    A body of a step is read like one too; `inside` then says of which step, behind its name.
    """

    id: str
    path: Path_
    data: Mapping[str, Json]
    steps: tuple[StepOutline, ...]
    is_ordered: bool
    step_by_id: Mapping[str, StepOutline]
    compensation: StageOutline | None = None
    compensates: Mapping[str, StepOutline] | None = None
    inside: str = ""

    @property
    def words(self) -> str:
        """Where its steps are, behind their names: ` of stage `x``; empty for the one stage of top-level steps."""
        if self.compensates is not None:
            return f" of the compensation of stage `{self.id}`"
        is_main = not self.path or self.path[0] == "steps"
        return self.inside + ("" if is_main else f" of stage `{self.id}`")

    @property
    def bodies(self) -> Iterator[StageOutline]:
        """All that has steps of its own: the stage, the bodies of its steps, and its compensation."""
        yield self
        for step in self.steps:
            for inner in (step.body, step.templates):
                if inner is not None:
                    yield from inner.bodies
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
    elif isinstance(value, (dict, list, Mapping)):
        for key, member in enumerate(value) if isinstance(value, list) else value.items():
            if isinstance(member, str):
                yield (*path, key), member
            else:
                yield from leaves(member, (*path, key))


def _stage(name: str, path: Path_, data: Mapping[str, Json], inside: str = "") -> StageOutline:
    written = data.get("steps")
    members: list[tuple[str | int, Json]] = []
    if isinstance(written, list):
        members.extend(enumerate(written))
    elif isinstance(written, Mapping):
        members.extend(written.items())
    steps = tuple(
        _step(name, inside, key, (*path, "steps", key), step) for key, step in members if isinstance(step, Mapping)
    )
    by_id = {step.id: step for step in reversed(steps)}
    compensation = None
    if not inside and isinstance(body := data.get("compensate"), Mapping):
        compensation = replace(_stage(name, (*path, "compensate"), {"steps": body.get("steps")}), compensates=by_id)
    return StageOutline(name, path, data, steps, isinstance(written, list), by_id, compensation, inside=inside)


def _step(stage: str, inside: str, key: str | int, path: Path_, data: Mapping[str, Json]) -> StepOutline:
    name = step_id(data, key)
    within = f" of step `{name}`{inside}"
    body = _stage(stage, path, data, within) if "steps" in data else None
    emits = data.get("emits")
    templates = _stage(stage, (*path, "emits"), emits, within) if isinstance(emits, Mapping) else None
    return StepOutline(name, path, data, _outputs(data, body), body, templates)


def _outputs(data: Mapping[str, Json], body: StageOutline | None) -> tuple[str, ...] | None:
    if body is not None:
        return body.outputs if body.steps else ()
    if "uses" in data or isinstance(data.get("until"), Mapping):
        return None
    return tuple(mapping(data.get("outputs")))
