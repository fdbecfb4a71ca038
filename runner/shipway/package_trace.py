"""What the scripts of a package leave behind, as the state has it, so that its removal retires all of it."""

from __future__ import annotations

import re
from collections.abc import Mapping

from shipway.canonical import Json
from shipway.package_choices import PARTS, REQUIRED
from shipway.package_selection import Package
from shipway.records import STEP, Record, leaving
from shipway.state import Entry, Prior

_REMOVING = PARTS["decommission"]
_MAKING = frozenset(REQUIRED.values()) - frozenset(_REMOVING)


def slug(name: str) -> str:
    """The name of a package as it may begin a node's id."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "package"


def script_node(package: Package, platform: str) -> str:
    """The name of the node of its script for a platform."""
    return f"{slug(package.asked.name)}-{platform.lower()}"


class PackageTrace:
    """What the state tells of the packages of a stage that scripts take care of: as packages, or as steps besides.

    `platform` is the one that is planned for, such as `Linux.Debian`. Only a removal asks `prior`.
    """

    def __init__(self, stage: str, platform: str, prior: Prior) -> None:
        self._stage = stage
        self._platform = platform
        self._prior = prior

    def is_gone(self, package: Package) -> bool:
        """Whether its scripts left something once, and nothing of that is there any more."""
        known = self._known(package)
        return bool(known) and not any(entry.exists for entry in known)

    def facts(self, part: str, package: Package, *, is_last: bool) -> Mapping[str, Json]:
        """What a script of `part` leaves: the last that makes a package, that; the last that removes it, nothing at all.

        Others that make something are there as steps. `is_last`: of the scripts of its part.
        """
        if part in _MAKING and is_last:
            return leaving([Record("package", package.asked.name)])
        if part not in _REMOVING:
            return {}
        last = next(each for each in reversed(_REMOVING) if package.scripts(each, self._platform))
        if part != last or not is_last:
            return leaving([])
        left = {(entry.kind, entry.name) for entry in self._known(package) if entry.exists}
        if package.scripts(REQUIRED["decommission"], self._platform):
            left.add(("package", package.asked.name))
        return leaving([Record(kind, name, present=False) for kind, name in sorted(left)])

    def _known(self, package: Package) -> list[Entry]:
        names = [("package", package.asked.name)]
        for part, files in (package.definition.scripts if package.definition else {}).items():
            names += [(STEP, f"{self._stage}.{part}/{script_node(package, platform)}") for platform in files]
        state = self._prior()
        found = [state.find(kind, name) for kind, name in names]
        return [entry for entry in found if entry is not None]
