"""`gather` and `emits` of a step as values, and what the schema cannot say of the forms of a step. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import Struct, field

from shipway.canonical import Json
from shipway.outline import StageOutline, StepOutline
from shipway.places import Finding, place
from shipway.source import Path_, SourceTree

DEFAULT_EMITS = 1_000
"""How many children a step may add where it does not say."""

DEFAULT_EVERY = "5s"
"""How long `until` waits before it asks again."""

_OF_SCRIPTS = ("shell", "working_directory", "outputs")
_NOT_OF_BODIES = (
    *_OF_SCRIPTS,
    "with",
    "retry",
    "timeout",
    "limits",
    "locks",
    "writes",
    "exclusive",
    "dedup",
    "privileged",
    "oidc",
    "emits",
)
_NOT_EMITTED = ("gather", "emits", "needs", "optional_needs")


class GatherRule(Struct, frozen=True):
    """`gather` as written. `slots` are `items`, or `product` with `include` and `exclude`; `max` 0 is any number.

    `on_failure` is drain, cancel, continue, or None for what holds for the stage.
    """

    slots: Mapping[str, Json] = field(default_factory=dict)
    key: str | None = None
    limit: int = 1
    max: int = 0
    on_failure: str | None = None


def gather_rule(written: Json, tree: SourceTree, path: Path_) -> GatherRule:
    """The gather written at `path`. Fractions in lists that stand there are texts, as they are spelled: `3.10`."""
    if not isinstance(written, Mapping):
        return GatherRule({"items": _spelled(written, tree, path)})
    slots = {
        name: _spelled(written[name], tree, (*path, name))
        for name in ("items", "product", "include", "exclude")
        if name in written
    }
    return GatherRule(
        slots=slots,
        key=tree.spelling((*path, "key")) if "key" in written else None,
        limit=_whole(written.get("limit"), 1),
        max=_whole(written.get("max"), 0),
        on_failure=str(written["on_failure"]) if "on_failure" in written else None,
    )


def _spelled(value: Json, tree: SourceTree, path: Path_) -> Json:
    if isinstance(value, float):
        return tree.spelling(path)
    if isinstance(value, Mapping):
        return {key: _spelled(member, tree, (*path, key)) for key, member in value.items()}
    if isinstance(value, list):
        return [_spelled(member, tree, (*path, index)) for index, member in enumerate(value)]
    return value


def _whole(value: Json, default: int) -> int:
    return int(value) if isinstance(value, (int, float)) else default


def flow_findings(data: Json, body: StageOutline) -> Iterator[Finding]:
    """Keys of steps that do not go together, and waits that might take for ever."""
    for step in body.steps:
        yield from _misplaced_keys(data, step)
        if step.templates is not None:
            for template in step.templates.steps:
                yield from _emitted_findings(data, template)


def _misplaced_keys(data: Json, step: StepOutline) -> Iterator[Finding]:
    name = place(step.path, data)
    if "steps" in step.data:
        yield from _refused(
            step, _NOT_OF_BODIES, f"belongs to the steps inside, and {name} has `steps`", "move it there"
        )
    elif "run" not in step.data and "until" not in step.data and "uses" in step.data:
        yield from _refused(step, _OF_SCRIPTS, f"belongs to `run`, and {name} has `uses`", "an action brings its own")
    if str(step.data.get("every", DEFAULT_EVERY)).strip("0smhd") == "":
        text = f"`every` of {name} is no time at all"
        yield Finding((*step.path, "every"), text, "write how long to wait, such as `every: 5s`", anchor="until")
    if "until" in step.data:
        if isinstance(step.data["until"], Mapping):
            yield from _refused(step, _OF_SCRIPTS, f"belongs to a script, and {name} asks an action", "remove it")
        yield from _refused(step, ("retry", "with"), f"does not belong to `until` of {name}", "it asks again by itself")
        yield from _refused(step, ("emits",), f"belongs to `run` or `uses`, and {name} has `until`", "remove it")
    if "gather" in step.data:
        hint = "give the step a body, `steps`, and write it there"
        yield from _refused(step, ("emits",), f"cannot stand beside `gather` of {name}", hint)


def _emitted_findings(data: Json, template: StepOutline) -> Iterator[Finding]:
    name = place(template.path, data)
    yield from _refused(template, _NOT_EMITTED, f"cannot stand in {name}, which is added by another step", "remove it")


def _refused(step: StepOutline, keys: tuple[str, ...], why: str, hint: str) -> Iterator[Finding]:
    for key in keys:
        if key in step.data:
            yield Finding((*step.path, key), f"`{key}` {why}", hint, is_key=True, anchor="steps")
