"""The actions `pkg.install`, `pkg.upgrade`, `pkg.remove` and `pkg.update`: changes by a package manager, with their undo."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from shipway.action import ActionFailed, Done, NotUndoable, PlanWork, Prediction, SlotRule, SlotType, Work
from shipway.declaration import OutputRule
from shipway.file_content import unplanned
from shipway.nodes import Change, Fidelity, Verified
from shipway.package_change import changed_packages, difference, done_with, undo_packages
from shipway.package_plans import plan_install, plan_remove, plan_upgrade
from shipway.package_work import CASK, MANAGER, PREFIX, PackageWork, observe_package
from shipway.packages import Listing, Wanted
from shipway.records import Record

_SLOTS: Mapping[str, SlotRule] = {
    "packages": SlotRule(
        SlotType.LIST, required=True, description="their names, with versions as the manager writes them"
    ),
    "manager": MANAGER,
    "prefix": PREFIX,
    "cask": CASK,
}
_OUTPUTS: Mapping[str, OutputRule] = {"names": OutputRule("string"), "versions": OutputRule("object", required=False)}


class PkgInstall:
    """Installs `packages` that are not there, or are at another version than named; undo removes what was not there before."""

    runs_in: Literal["thread"] = "thread"
    name = "pkg.install"
    contract = 1
    slots: Mapping[str, SlotRule] = {
        **_SLOTS,
        "unvouched": SlotRule(
            SlotType.LIST, default=[], description="those that need consent where the manager does not know them"
        ),
        "consent": SlotRule(SlotType.LIST, default=[], description="packages that may be unknown to the manager"),
    }
    outputs = _OUTPUTS

    def plan(self, work: PlanWork) -> Prediction:
        """Versions that are there and wanted ones; what is installed as wanted stays."""
        return unplanned(work, Change.UPDATE, *self.slots) or plan_install(work)

    def do(self, work: Work) -> Done:
        """Install what is missing. Fails, and puts all back, where a version came out otherwise than named."""
        packages = PackageWork.of(work)
        wanted = packages.wanted(work.inputs["packages"])
        before = packages.installed()
        missing = [each for each in wanted if not packages.satisfied(each, before.versions)]
        if not missing:
            return done_with(packages, wanted, before, difference(before, before), Change.NOOP)

        after, found = changed_packages(
            work,
            packages,
            before,
            lambda: packages.install(missing),
            lambda now: _unsatisfied(packages, missing, now),
        )
        is_new = not any(packages.key(each) in before.versions for each in missing)
        return done_with(packages, wanted, after, found, Change.CREATE if is_new else Change.UPDATE)

    def undo(self, work: Work) -> None:
        """Remove what was not there before, dependencies included, and bring back versions that were."""
        undo_packages(work)

    def verify(self, work: Work) -> Verified:
        """Whether all are there as wanted, or none of them."""
        packages = PackageWork.of(work)
        wanted = packages.wanted(work.inputs["packages"])
        versions = packages.installed().versions
        if all(packages.satisfied(each, versions) for each in wanted):
            return Verified.HOLDS
        return Verified.UNKNOWN if any(packages.key(each) in versions for each in wanted) else Verified.GONE

    def observe(self, record: Record, root: Path, env: Mapping[str, str]) -> str | None:
        """The version that is there now."""
        return observe_package(record, root, env)


class PkgUpgrade:
    """Takes `packages` to the newest version, or the one named; undo reinstalls the old ones where the manager has them."""

    runs_in: Literal["thread"] = "thread"
    name = "pkg.upgrade"
    contract = 1
    slots = _SLOTS
    outputs = _OUTPUTS

    def plan(self, work: PlanWork) -> Prediction:
        """Versions that are there and wanted ones."""
        return unplanned(work, Change.UPDATE, *self.slots) or plan_upgrade(work)

    def do(self, work: Work) -> Done:
        """Upgrade them. Fails where one is not installed."""
        packages = PackageWork.of(work)
        wanted = packages.wanted(work.inputs["packages"])
        before = packages.installed()
        absent = [each.name for each in wanted if packages.key(each) not in before.versions]
        if absent:
            raise ActionFailed(f"not installed: {', '.join(absent)}", is_permanent=True)
        needed = [each for each in wanted if not (each.version and packages.satisfied(each, before.versions))]
        if not needed:
            return done_with(packages, wanted, before, difference(before, before), Change.NOOP)

        after, found = changed_packages(
            work,
            packages,
            before,
            lambda: packages.upgrade(needed),
            lambda now: _unsatisfied(packages, needed, now),
        )
        return done_with(packages, wanted, after, found, Change.UPDATE)

    def undo(self, work: Work) -> None:
        """Bring the old versions back."""
        undo_packages(work)

    def verify(self, work: Work) -> Verified:
        """Whether they are at the versions that it took them to."""
        packages = PackageWork.of(work)
        versions = packages.installed().versions
        reached = work.outputs.get("versions")
        if isinstance(reached, Mapping):
            return (
                Verified.HOLDS
                if all(versions.get(name) == version for name, version in reached.items())
                else Verified.GONE
            )
        wanted = packages.wanted(work.inputs["packages"])
        if all(each.version and packages.satisfied(each, versions) for each in wanted):
            return Verified.HOLDS
        return Verified.UNKNOWN

    def observe(self, record: Record, root: Path, env: Mapping[str, str]) -> str | None:
        """The version that is there now."""
        return observe_package(record, root, env)


class PkgRemove:
    """Removes `packages` that are there; undo installs only those again, at their versions."""

    runs_in: Literal["thread"] = "thread"
    name = "pkg.remove"
    contract = 1
    slots = _SLOTS
    outputs = _OUTPUTS

    def plan(self, work: PlanWork) -> Prediction:
        """Versions that are there now."""
        return unplanned(work, Change.DELETE, *self.slots) or plan_remove(work)

    def do(self, work: Work) -> Done:
        """Remove them."""
        packages = PackageWork.of(work)
        wanted = packages.wanted(work.inputs["packages"])
        before = packages.installed()
        there = [each for each in wanted if packages.key(each) in before.versions]
        if not there:
            return done_with(packages, wanted, before, difference(before, before), Change.NOOP)

        after, found = changed_packages(
            work,
            packages,
            before,
            lambda: packages.remove([each.name for each in there]),
            lambda now: _remaining(packages, there, now),
        )
        return done_with(packages, wanted, after, found, Change.DELETE)

    def undo(self, work: Work) -> None:
        """Install what was there, and what went with it, at the versions that were there."""
        undo_packages(work)

    def verify(self, work: Work) -> Verified:
        """Whether none is there, or all of them."""
        packages = PackageWork.of(work)
        versions = packages.installed().versions
        there = [packages.key(each) in versions for each in packages.wanted(work.inputs["packages"])]
        return Verified.GONE if all(there) else Verified.UNKNOWN if any(there) else Verified.HOLDS


class PkgUpdate:
    """Fetches a manager's lists of what there is. It cannot be undone; pip and npm keep no such list."""

    runs_in: Literal["thread"] = "thread"
    name = "pkg.update"
    contract = 1
    slots: Mapping[str, SlotRule] = {"manager": MANAGER, "prefix": PREFIX}
    outputs: Mapping[str, OutputRule] = {"manager": OutputRule("string")}

    def plan(self, work: PlanWork) -> Prediction:
        """What comes of it only the run tells."""
        unknown = unplanned(work, Change.UPDATE, *self.slots)
        if unknown is not None:
            return unknown
        name = PackageWork.of(work).driver.name
        return Prediction(
            Change.RUN, Fidelity.OPAQUE, why=f"what {name} offers then is not known now", outputs={"manager": name}
        )

    def do(self, work: Work) -> Done:
        """Fetch them."""
        packages = PackageWork.of(work)
        if not packages.update():
            return Done({"manager": packages.driver.name}, unchanged=True, change=Change.NOOP)
        return Done({"manager": packages.driver.name}, change=Change.RUN)

    def undo(self, work: Work) -> None:
        """The old lists are gone."""
        raise NotUndoable("the lists that were there before are gone")

    def verify(self, work: Work) -> Verified:
        """It can be done again at any time."""
        return Verified.HOLDS if work.outputs else Verified.GONE


def _unsatisfied(packages: PackageWork, wanted: list[Wanted], now: Listing) -> str:
    """What is not there as it was asked for, once the manager is done."""
    found = [
        f"{each.name} is {now.versions.get(packages.key(each), 'not installed')}, not {each.version or 'installed'}"
        for each in wanted
        if not packages.satisfied(each, now.versions)
    ]
    return f"{packages.driver.name} came to something else: {'; '.join(found)}" if found else ""


def _remaining(packages: PackageWork, unwanted: list[Wanted], now: Listing) -> str:
    left = [each.name for each in unwanted if packages.key(each) in now.versions]
    return f"still there: {', '.join(left)}" if left else ""
