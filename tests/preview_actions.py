"""Actions that stand where those of mode `preview` stand, for tests of what its stages become: they take the same slots."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from shipway.action import Action, Done, PlanWork, Prediction, Work
from shipway.canonical import Json
from shipway.nodes import Change, Fidelity, Verified
from shipway.registry import Registry

PLACE: Mapping[str, Json] = {
    "kind": "local",
    "root": "/place",
    "managed": True,
    "host": "there",
    "user": "me",
    "port": 22,
}
"""What the stand-in for `preview.compute` says of the place."""


class StandIn:
    """An action that hands out what its node declares, and keeps what it was given in `seen`."""

    runs_in: Literal["thread"] = "thread"
    contract = 1

    def __init__(self, name: str, seen: dict[str, Work]) -> None:
        self.name = name
        real = Registry(lambda group: ()).require_action(name)
        self.slots, self.outputs = real.slots, real.outputs
        self._seen = seen

    def plan(self, work: PlanWork) -> Prediction:
        return Prediction(Change.CREATE, Fidelity.PREDICTED, reversible=True)

    def do(self, work: Work) -> Done:
        self._seen[work.node.id] = work
        given: dict[str, Json] = {**(PLACE if self.name == "preview.compute" else {}), "made": 1}
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
        self._stand_ins: dict[str, Action] = {}

    def find_action(self, name: str) -> Action | None:
        if name.startswith("preview.") and name not in self._stand_ins:
            self._stand_ins[name] = StandIn(name, self.seen)
        return self._stand_ins.get(name) or super().find_action(name)

    def put(self, *actions: StandIn) -> None:
        """Let these stand in instead."""
        self._stand_ins |= {action.name: action for action in actions}
