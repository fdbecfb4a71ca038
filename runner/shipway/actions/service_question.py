"""The actions `service.exists`, `service.running` and `service.enabled`: questions to systemd. Change nothing."""

from __future__ import annotations

from collections.abc import Mapping

from shipway.action import PlanWork, SlotRule, Work
from shipway.declaration import OutputRule
from shipway.question import Question
from shipway.services import NAME, ROOT, ServiceState, ServiceWork


class _ServiceQuestion(Question):
    slots: Mapping[str, SlotRule] = {"name": NAME, "root": ROOT}

    def answer(self, work: PlanWork | Work) -> bool:
        """What the service's state says of it."""
        return self._of(ServiceWork.of(work).state())

    def _of(self, state: ServiceState) -> bool:
        raise NotImplementedError


class ServiceExists(_ServiceQuestion):
    """Says as output `exists` whether systemd knows the service."""

    name = "service.exists"
    outputs: Mapping[str, OutputRule] = {"exists": OutputRule("boolean")}

    def _of(self, state: ServiceState) -> bool:
        return state.exists


class ServiceRunning(_ServiceQuestion):
    """Says as output `running` whether the service runs."""

    name = "service.running"
    slots: Mapping[str, SlotRule] = {"name": NAME}
    outputs: Mapping[str, OutputRule] = {"running": OutputRule("boolean")}

    def _of(self, state: ServiceState) -> bool:
        return state.running is True


class ServiceEnabled(_ServiceQuestion):
    """Says as output `enabled` whether the service starts with the system."""

    name = "service.enabled"
    outputs: Mapping[str, OutputRule] = {"enabled": OutputRule("boolean")}

    def _of(self, state: ServiceState) -> bool:
        return state.enabled
