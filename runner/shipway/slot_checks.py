"""Wrong actions and slots of a declaration that is refused for something else, so that all of it is told at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from shipway.action import Action
from shipway.canonical import Json, mapping
from shipway.errors import Problem, ShipwayError, did_you_mean
from shipway.outline import StageOutline, StepOutline, outline
from shipway.source import Path_, SourceTree


def slot_problems(
    tree: SourceTree, find: Callable[[str], Action | None], names: Callable[[], Iterable[str]]
) -> Iterator[Problem]:
    """What planning would say of the names of actions and slots, of data of any shape. `names` are those of all actions."""
    for stage in outline(tree.data):
        for body in stage.bodies:
            for step in body.steps:
                yield from _of_step(tree, body, step, find, names)


def _of_step(
    tree: SourceTree,
    stage: StageOutline,
    step: StepOutline,
    find: Callable[[str], Action | None],
    names: Callable[[], Iterable[str]],
) -> Iterator[Problem]:
    held, path = _call(step)
    name = held.get("uses")
    if not isinstance(name, str):
        return
    try:
        action = find(name)
    except ShipwayError:
        return  # one that cannot be loaded is told by whoever needs it
    if action is None:
        yield tree.problem((*path, "uses"), f"unknown action `{name}`", did_you_mean(name, names()))
        return
    given = held.get("with", {})
    if not isinstance(given, Mapping):
        return
    for slot in given:
        if slot not in action.slots:
            text = f"action `{name}` has no slot `{slot}` (node `{stage.id}/{step.id}`)"
            yield tree.problem((*path, "with", slot), text, did_you_mean(slot, action.slots), key=True)
    for slot, rule in action.slots.items():
        if rule.required and slot not in given and "gather" not in step.data:
            text = f"slot `{slot}` of `{stage.id}/{step.id}` is not set: it takes a {rule.type.value}"
            where = (*path, "with" if given else "uses")
            yield tree.problem(where, text, key=bool(given))


def _call(step: StepOutline) -> tuple[Mapping[str, Json], Path_]:
    """What names the action and its slots, and where that stands."""
    if isinstance(step.data.get("until"), Mapping):
        return mapping(step.data["until"]), (*step.path, "until")
    return step.data, step.path
