"""The action `json.set`: one value in a JSON file. Owns the reading and writing of that file, and plans nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from shipway.action import ActionFailed, Done, Drifted, PlanWork, Prediction, SlotRule, SlotType, Work
from shipway.canonical import Json
from shipway.declaration import OutputRule
from shipway.nodes import Change, Fidelity, Verified


class JsonSet:
    """Sets `key` in the JSON object in `path` to `value`. A key `a.b` is member `b` of member `a`."""

    runs_in: Literal["thread"] = "thread"
    name = "json.set"
    contract = 1
    slots: Mapping[str, SlotRule] = {
        "path": SlotRule(SlotType.STRING, required=True, description="the JSON file, relative to the workspace"),
        "key": SlotRule(SlotType.STRING, required=True, description="which member; a dot goes one level down"),
        "value": SlotRule(SlotType.ANY, required=True, description="its new value"),
    }
    outputs: Mapping[str, OutputRule] = {}

    def plan(self, work: PlanWork) -> Prediction:
        """Exact where the value is known and no secret."""
        if work.unknown:
            name, source = next(iter(work.unknown.items()))
            return Prediction(Change.UPDATE, Fidelity.OPAQUE, why=f"`{name}` waits for {source}", reversible=True)
        if work.secret:
            return Prediction(Change.UPDATE, Fidelity.OPAQUE, why="it is made of a secret", reversible=True)
        found = _member(_read(_place(work)), _keys(work))
        if found == [work.inputs["value"]]:
            return Prediction(Change.NOOP, Fidelity.EXACT)
        change = Change.UPDATE if found else Change.CREATE
        before: Json = {"value": found[0]} if found else None
        return Prediction(change, Fidelity.EXACT, before=before, after={"value": work.inputs["value"]}, reversible=True)

    def do(self, work: Work) -> Done:
        """Write the file anew, all other members as they were."""
        place = _place(work)
        document = _read(place)
        found = _member(document, _keys(work))
        if found == [work.inputs["value"]]:
            return Done(unchanged=True, change=Change.NOOP)
        before = place.read_text()
        after = json.dumps(_with_member(document, _keys(work), work.inputs["value"]), indent=2) + "\n"
        _write(place, after)
        change = Change.UPDATE if found else Change.CREATE
        return Done(undo={"before": before, "after": after}, change=change)

    def undo(self, work: Work) -> None:
        """Put the file back as it was, unless somebody changed it since."""
        if not isinstance(work.state, Mapping):
            return
        place = _place(work)
        now = place.read_text() if place.is_file() else ""
        if now == work.state["before"]:
            return
        if now != work.state["after"]:
            raise Drifted(f"`{work.inputs['path']}` was changed since; it is left alone")
        _write(place, str(work.state["before"]))

    def verify(self, work: Work) -> Verified:
        """Whether the member has the value."""
        try:
            found = _member(_read(_place(work)), _keys(work))
        except ActionFailed:
            return Verified.UNKNOWN
        return Verified.HOLDS if found == [work.inputs["value"]] else Verified.GONE


def _place(work: PlanWork | Work) -> Path:
    place = (work.root / str(work.inputs["path"])).resolve()
    if not place.is_relative_to(work.root.resolve()):
        raise ActionFailed(f"`path` `{work.inputs['path']}` leads out of the workspace")
    return place


def _keys(work: PlanWork | Work) -> list[str]:
    return str(work.inputs["key"]).split(".")


def _read(place: Path) -> Mapping[str, Json]:
    try:
        document: Json = json.loads(place.read_text())
    except (OSError, ValueError) as error:
        raise ActionFailed(f"`{place.name}` cannot be read as JSON: {error}") from error
    if not isinstance(document, Mapping):
        raise ActionFailed(f"`{place.name}` holds no JSON object")
    return document


def _member(document: Json, keys: list[str]) -> list[Json]:
    """The value in a list of one, or an empty list where there is none."""
    for key in keys:
        if not isinstance(document, Mapping) or key not in document:
            return []
        document = document[key]
    return [document]


def _with_member(document: Json, keys: list[str], value: Json) -> Json:
    if not keys:
        return value
    members = dict(document) if isinstance(document, Mapping) else {}
    return {**members, keys[0]: _with_member(members.get(keys[0]), keys[1:], value)}


def _write(place: Path, text: str) -> None:
    """Replace the file at once: whoever reads meanwhile sees the old one or the new one."""
    new = place.with_name(f".{place.name}.new")
    new.write_text(text)
    new.chmod(place.stat().st_mode)
    new.replace(place)
