"""The actions `pkg.installed`, `pkg.not_installed` and `pkg.version_gte`: questions to a package manager. Change nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from shipway.action import ActionFailed, Done, PlanWork, Prediction, SlotRule, SlotType, Work
from shipway.declaration import OutputRule
from shipway.file_content import unplanned
from shipway.nodes import Change, Fidelity, Verified
from shipway.package_work import CASK, MANAGER, PREFIX, PackageWork

_SLOTS: Mapping[str, SlotRule] = {
    "name": SlotRule(SlotType.STRING, required=True, description="the package"),
    "manager": MANAGER,
    "prefix": PREFIX,
    "cask": CASK,
}


class _Question:
    """Asks about one package; output `output` is the answer."""

    runs_in: Literal["thread"] = "thread"
    contract = 1
    slots = _SLOTS
    output = ""

    def plan(self, work: PlanWork) -> Prediction:
        """Foretells the answer where nothing runs before that could still change it."""
        unknown = unplanned(work, Change.READ, *self.slots)
        if unknown is not None:
            return unknown
        answer = self._answer(work)
        if work.node.needs:
            return Prediction(Change.READ, Fidelity.OPAQUE, why="it is asked after what it needs")
        return Prediction(Change.READ, Fidelity.EXACT, outputs={self.output: answer})

    def do(self, work: Work) -> Done:
        """Ask."""
        return Done({self.output: self._answer(work)}, change=Change.READ)

    def undo(self, work: Work) -> None:
        """Nothing was changed."""

    def verify(self, work: Work) -> Verified:
        """Nothing was made that could be gone."""
        return Verified.HOLDS

    def _answer(self, work: PlanWork | Work) -> bool:
        raise NotImplementedError


class PkgInstalled(_Question):
    """Says as output `installed` whether a package is there, at the version named behind it, if any."""

    name = "pkg.installed"
    output = "installed"
    outputs: Mapping[str, OutputRule] = {"installed": OutputRule("boolean")}

    def _answer(self, work: PlanWork | Work) -> bool:
        packages = PackageWork.of(work)
        return packages.satisfied(packages.wanted([work.inputs["name"]])[0], packages.installed().versions)


class PkgNotInstalled(_Question):
    """Says as output `not_installed` whether a package is not there."""

    name = "pkg.not_installed"
    output = "not_installed"
    outputs: Mapping[str, OutputRule] = {"not_installed": OutputRule("boolean")}

    def _answer(self, work: PlanWork | Work) -> bool:
        packages = PackageWork.of(work)
        return not packages.satisfied(packages.wanted([work.inputs["name"]])[0], packages.installed().versions)


class PkgVersionGte(_Question):
    """Says as output `version_gte` whether a package is there at `version` or a later one, by the manager's own rules."""

    name = "pkg.version_gte"
    output = "version_gte"
    slots: Mapping[str, SlotRule] = {
        **_SLOTS,
        "version": SlotRule(SlotType.STRING, required=True, description="the oldest that will do"),
    }
    outputs: Mapping[str, OutputRule] = {"version_gte": OutputRule("boolean")}

    def _answer(self, work: PlanWork | Work) -> bool:
        packages = PackageWork.of(work)
        wanted = packages.wanted([work.inputs["name"]])[0]
        version = packages.installed().versions.get(packages.key(wanted))
        try:
            compared = packages.driver.compare(version or str(work.inputs["version"]), str(work.inputs["version"]))
        except ValueError as error:
            raise ActionFailed(f"`version`: {error}", is_permanent=True) from None
        return version is not None and compared >= 0
