"""The actions `pkg.installed`, `pkg.not_installed` and `pkg.version_gte`: questions to a package manager. Change nothing."""

from __future__ import annotations

from collections.abc import Mapping

from shipway.action import ActionFailed, PlanWork, SlotRule, SlotType, Work
from shipway.declaration import OutputRule
from shipway.package_work import CASK, MANAGER, PREFIX, PackageWork
from shipway.question import Question

_SLOTS: Mapping[str, SlotRule] = {
    "name": SlotRule(SlotType.STRING, required=True, description="the package"),
    "manager": MANAGER,
    "prefix": PREFIX,
    "cask": CASK,
}


class _PackageQuestion(Question):
    slots = _SLOTS


class PkgInstalled(_PackageQuestion):
    """Says as output `installed` whether a package is there, at the version named behind it, if any."""

    name = "pkg.installed"
    outputs: Mapping[str, OutputRule] = {"installed": OutputRule("boolean")}

    def answer(self, work: PlanWork | Work) -> bool:
        """Whether it is."""
        return _is_installed(work)


class PkgNotInstalled(_PackageQuestion):
    """Says as output `not_installed` whether a package is not there."""

    name = "pkg.not_installed"
    outputs: Mapping[str, OutputRule] = {"not_installed": OutputRule("boolean")}

    def answer(self, work: PlanWork | Work) -> bool:
        """Whether it is not."""
        return not _is_installed(work)


class PkgVersionGte(_PackageQuestion):
    """Says as output `version_gte` whether a package is there at `version` or a later one, by the manager's own rules."""

    name = "pkg.version_gte"
    slots: Mapping[str, SlotRule] = {
        **_SLOTS,
        "version": SlotRule(SlotType.STRING, required=True, description="the oldest that will do"),
    }
    outputs: Mapping[str, OutputRule] = {"version_gte": OutputRule("boolean")}

    def answer(self, work: PlanWork | Work) -> bool:
        """Whether it is. Fails for a version that the manager cannot read."""
        packages = PackageWork.of(work)
        wanted = packages.wanted([work.inputs["name"]])[0]
        version = packages.installed().versions.get(packages.key(wanted))
        try:
            compared = packages.driver.compare(version or str(work.inputs["version"]), str(work.inputs["version"]))
        except ValueError as error:
            raise ActionFailed(f"`version`: {error}", is_permanent=True) from None
        return version is not None and compared >= 0


def _is_installed(work: PlanWork | Work) -> bool:
    packages = PackageWork.of(work)
    return packages.satisfied(packages.wanted([work.inputs["name"]])[0], packages.installed().versions)
