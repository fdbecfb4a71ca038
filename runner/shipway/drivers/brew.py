"""Drives Homebrew: command lines and what it answers. Runs none of them."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence

from shipway.canonical import Json, items_of, object_of
from shipway.package_versions import compare_homebrew
from shipway.packages import Call, Listing, Offer, Wanted, Where

_NAME = re.compile(r"(?:[a-z0-9][a-z0-9_.-]*/[a-z0-9][a-z0-9_.-]*/)?[A-Za-z0-9][A-Za-z0-9_.+@-]*")
# Source: https://docs.brew.sh/Manpage#environment
_QUIET = {
    "HOMEBREW_NO_AUTO_UPDATE": "1",
    "HOMEBREW_NO_ENV_HINTS": "1",
    "HOMEBREW_NO_ANALYTICS": "1",
    "HOMEBREW_NO_COLOR": "1",
    "NONINTERACTIVE": "1",
}


class Brew:
    """Formulae, or casks, of Homebrew. It installs the version it has: `name=version` only says which one it must be."""

    name = "brew"
    program = "brew"
    needs_root = False
    keeps_versions = False
    takes_prefix = False
    asks_afar = False

    def parse(self, text: str) -> Wanted:
        """`wget`, `node@22`, `owner/tap/tool`, `wget=1.24.5`."""
        name, equals, version = text.partition("=")
        if not _NAME.fullmatch(name) or bool(equals) != bool(version) or version.startswith("="):
            raise ValueError(f"`{text}` is no package for brew: write `name` or `name=version`")
        return Wanted(name, version)

    def key(self, name: str) -> str:
        """Without its tap: that is how brew lists it."""
        return name.rpartition("/")[2].lower()

    def compare(self, one: str, other: str) -> int:
        """As formulae are."""
        return compare_homebrew(one, other)

    def holds(self, installed: str, wanted: str) -> bool:
        """The same version; a revision counts only where it was asked for."""
        mine = installed if re.search(r"_\d+$", wanted) else re.sub(r"_\d+$", "", installed)
        return compare_homebrew(mine, wanted) == 0

    def installed(self, where: Where) -> Call:
        """Formulae, or casks."""
        return _brew("list", _kind(where), "--versions")

    def read_installed(self, out: str) -> Listing:
        """`name version …` in each line, the newest of a formula last."""
        rows = [line.split() for line in out.splitlines() if line.strip()]
        return Listing({row[0].lower(): row[-1] for row in rows if len(row) > 1})

    def offers(self, names: Sequence[str], where: Where) -> tuple[Call, ...]:
        """One call for each: brew refuses all where it does not know one."""
        return tuple(_brew("info", "--json=v2", _kind(where), name) for name in names)

    def read_offers(self, out: str) -> Mapping[str, Offer]:
        """`{"formulae": [{"name", "versions": {"stable"}, "revision"}], "casks": [{"token", "version"}]}`."""
        found = object_of(json.loads(out))
        formulae = [object_of(each) for each in items_of(found.get("formulae") or [])]
        casks = [object_of(each) for each in items_of(found.get("casks") or [])]
        offered = {str(each["name"]).lower(): _stable(each) for each in formulae}
        offered |= {str(each["token"]).lower(): str(each["version"]) for each in casks}
        return {name: Offer(version, (version,)) for name, version in offered.items() if version}

    def install(self, wanted: Sequence[Wanted], where: Where) -> tuple[Call, ...]:
        """All at once."""
        return (_brew("install", _kind(where), *(each.name for each in wanted)),)

    def upgrade(self, wanted: Sequence[Wanted], where: Where) -> tuple[Call, ...]:
        """All at once."""
        return (_brew("upgrade", _kind(where), *(each.name for each in wanted)),)

    def remove(self, names: Collection[str], where: Where) -> tuple[Call, ...]:
        """Without what they needed."""
        return (_brew("uninstall", _kind(where), *names),)

    def withdraw(self, names: Collection[str], spare: Collection[str], where: Where) -> tuple[Call, ...]:
        """As it removes: brew refuses where others depend on them."""
        return self.remove(names, where)

    def update(self, where: Where) -> tuple[Call, ...]:
        """Fetch the newest formulae."""
        return (_brew("update"),)


def _brew(*arguments: str) -> Call:
    return Call(("brew", *arguments), _QUIET)


def _kind(where: Where) -> str:
    return "--cask" if where.cask else "--formula"


def _stable(formula: Mapping[str, Json]) -> str:
    version = object_of(formula["versions"]).get("stable")
    revision = formula.get("revision")
    return f"{version}_{revision}" if version and revision else str(version or "")
