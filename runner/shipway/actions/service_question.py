"""The actions `service.exists`, `service.running` and `service.enabled`: questions to systemd. Change nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from shipway.action import Done, PlanWork, Prediction, SlotRule, Work
from shipway.declaration import OutputRule
from shipway.file_content import unplanned
from shipway.nodes import Change, Fidelity, Verified
from shipway.services import NAME, ROOT, ServiceState, ServiceWork


class _Question:
    """Asks about one service; output `output` is the answer."""

    runs_in: Literal["thread"] = "thread"
    contract = 1
    slots: Mapping[str, SlotRule] = {"name": NAME, "root": ROOT}
    output = ""

    def plan(self, work: PlanWork) -> Prediction:
        """Foretells the answer where nothing runs before that could still change it."""
        unknown = unplanned(work, Change.READ, *self.slots)
        if unknown is not None:
            return unknown
        answer = self._of(ServiceWork.of(work).state())
        if work.node.needs:
            return Prediction(Change.READ, Fidelity.OPAQUE, why="it is asked after what it needs")
        return Prediction(Change.READ, Fidelity.EXACT, outputs={self.output: answer})

    def do(self, work: Work) -> Done:
        """Ask."""
        return Done({self.output: self._of(ServiceWork.of(work).state())}, change=Change.READ)

    def undo(self, work: Work) -> None:
        """Nothing was changed."""

    def verify(self, work: Work) -> Verified:
        """Nothing was made that could be gone."""
        return Verified.HOLDS

    def _of(self, state: ServiceState) -> bool:
        raise NotImplementedError


class ServiceExists(_Question):
    """Says as output `exists` whether systemd knows the service."""

    name, output = "service.exists", "exists"
    outputs: Mapping[str, OutputRule] = {"exists": OutputRule("boolean")}

    def _of(self, state: ServiceState) -> bool:
        return state.exists


class ServiceRunning(_Question):
    """Says as output `running` whether the service runs."""

    name, output = "service.running", "running"
    slots: Mapping[str, SlotRule] = {"name": NAME}
    outputs: Mapping[str, OutputRule] = {"running": OutputRule("boolean")}

    def _of(self, state: ServiceState) -> bool:
        return state.running is True


class ServiceEnabled(_Question):
    """Says as output `enabled` whether the service starts with the system."""

    name, output = "service.enabled", "enabled"
    outputs: Mapping[str, OutputRule] = {"enabled": OutputRule("boolean")}

    def _of(self, state: ServiceState) -> bool:
        return state.enabled
