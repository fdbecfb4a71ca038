"""Actions that stand where those of mode `preview` stand, for tests of what its stages become: they take the same slots."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from shipway.action import Action, Done, PlanWork, Prediction, SlotRule, SlotType, Work
from shipway.canonical import Json
from shipway.declaration import OutputRule
from shipway.nodes import Change, Fidelity, Verified
from shipway.registry import Registry

_ALL = {
    "lifecycle": SlotRule(SlotType.STRING, required=True),
    "target": SlotRule(SlotType.STRING, required=True),
    "compute": SlotRule(SlotType.OBJECT),
    "ssh": SlotRule(SlotType.OBJECT),
    "after": SlotRule(SlotType.LIST, default=()),
    "verify_script": SlotRule(SlotType.STRING, is_script=True),
    "remove": SlotRule(SlotType.BOOLEAN, default=False),
}
_SCRIPT, _TEXT = SlotRule(SlotType.STRING, is_script=True), SlotRule(SlotType.STRING)
_OBJECT, _FLAG = SlotRule(SlotType.OBJECT), SlotRule(SlotType.BOOLEAN)
_OWN: Mapping[str, Mapping[str, SlotRule]] = {
    "preview.hook": {
        "run": _SCRIPT,
        "instead": _SCRIPT,
        "where": _TEXT,
        "cache": _FLAG,
        "undo": _SCRIPT,
        "undo_where": _TEXT,
        "is_kept": _FLAG,
        "service": _TEXT,
        "action": _TEXT,
    },
    "preview.compute": {
        "create": _SCRIPT,
        "destroy": _SCRIPT,
        "list": _SCRIPT,
        "root": _TEXT,
        "host": _TEXT,
        "user": _TEXT,
        "port": SlotRule(SlotType.INTEGER),
        "path": _TEXT,
        "tree": _TEXT,
    },
    "preview.ports": {"names": SlotRule(SlotType.LIST), "fixed": _OBJECT},
    "preview.env_file": {"path": _TEXT, "entries": _OBJECT},
    "preview.infrastructure": {
        "compose_file": _TEXT,
        "project": _TEXT,
        "publish": _OBJECT,
        "variables": _OBJECT,
        "stop": _FLAG,
    },
    "preview.service": {
        "name": _TEXT,
        "path": _TEXT,
        "command": _SCRIPT,
        "env_file": _TEXT,
        "port": SlotRule(SlotType.INTEGER),
        "ready": _OBJECT,
        "stop": _FLAG,
    },
    "preview.manifest": {"values": _OBJECT, "path": _TEXT},
}
_COMPUTE = {name: OutputRule("string", required=False) for name in ("kind", "root", "host", "user")}


class StandIn:
    """An action that hands out what its node declares, and keeps what it was given in `seen`."""

    runs_in: Literal["thread"] = "thread"
    contract = 1

    def __init__(self, name: str, seen: dict[str, Work]) -> None:
        self.name = name
        self.slots: Mapping[str, SlotRule] = {**_ALL, **_OWN[name]}
        self.outputs: Mapping[str, OutputRule] = {
            "made": OutputRule("integer"),
            **(_COMPUTE if name == "preview.compute" else {}),
        }
        self._seen = seen

    def plan(self, work: PlanWork) -> Prediction:
        return Prediction(Change.CREATE, Fidelity.PREDICTED, reversible=True)

    def do(self, work: Work) -> Done:
        self._seen[work.node.id] = work
        given: dict[str, Json] = {"kind": "local", "root": "/place", "host": "there", "user": "me", "made": 1}
        numbered = [name for name in work.node.outputs if name != "made"]
        outputs: dict[str, Json] = {}
        for name, rule in work.node.outputs.items():
            port = 61_000 + numbered.index(name) if name in numbered else 0
            texts: dict[str, Json] = {"integer": port, "secret": f"hidden-{work.node.id}"}
            sample = texts.get(rule.type, f"{name}'s")
            outputs[name] = given.get(name, sample)
        return Done(outputs)

    def undo(self, work: Work) -> None:
        """Nothing was made."""

    def verify(self, work: Work) -> Verified:
        return Verified.HOLDS


class StandIns(Registry):
    """A registry whose actions of mode `preview` only keep in `seen`, by node, what they were given."""

    def __init__(self) -> None:
        super().__init__(lambda group: ())
        self.seen: dict[str, Work] = {}
        self._stand_ins: dict[str, Action] = {name: StandIn(name, self.seen) for name in _OWN}

    def find_action(self, name: str) -> Action | None:
        return self._stand_ins.get(name) or super().find_action(name)

    def put(self, *actions: StandIn) -> None:
        """Let these stand in instead."""
        self._stand_ins |= {action.name: action for action in actions}
