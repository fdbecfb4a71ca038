"""Where the effects of two plans differ, by the names of what does: what refuses one for the other. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from shipway.canonical import Json, object_of
from shipway.plan import Plan


class Difference(Struct, frozen=True):
    """One node (or stage, or `plan` itself) in which two plans differ; `fields` are the names of what differs in it.

    `fields` is `("added",)` or `("removed",)` where only one of the plans has it.
    """

    subject: str
    fields: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.subject}: {', '.join(self.fields)}"


def differences(old: Plan, new: Plan) -> tuple[Difference, ...]:
    """Where the effects of two plans differ, node by node, in declared order of `new`, then what only `old` has."""
    before, after = old.effect_json(), new.effect_json()
    found: list[Difference] = []
    own = tuple(key for key in after if key not in ("nodes", "stages") and before[key] != after[key])
    if own:
        found.append(Difference("plan", own))
    for part in ("stages", "nodes"):
        found += _part_differences(object_of(before[part]), object_of(after[part]))
    return tuple(found)


def _part_differences(old: Mapping[str, Json], new: Mapping[str, Json]) -> list[Difference]:
    found = []
    for subject, value in new.items():
        if subject not in old:
            found.append(Difference(subject, ("added",)))
        elif value != old[subject]:
            had, has = object_of(old[subject]), object_of(value)
            found.append(Difference(subject, tuple(key for key in has if has[key] != had.get(key))))
    return found + [Difference(subject, ("removed",)) for subject in old if subject not in new]
