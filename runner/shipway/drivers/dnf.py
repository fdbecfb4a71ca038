"""Drives dnf: command lines for dnf and rpm, and what they answer. Runs none of them."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

from shipway.package_versions import compare_rpm
from shipway.packages import Call, Listing, Offer, Wanted, Where

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")
_VERSION = re.compile(r"(?:\d+:)?[A-Za-z0-9._+~^]+(?:-[A-Za-z0-9._+~^]+)?")
_ROW = re.compile(r"(?P<name>\S+)\t(?P<epoch>\d+|\(none\)):(?P<version>[^\s-]+)-(?P<release>[^\s-]+)")


class Dnf:
    """Packages of Fedora and what descends from it, `name=version`, with or without epoch and release."""

    name = "dnf"
    program = "dnf"
    needs_root = True
    keeps_versions = True
    takes_prefix = True
    asks_afar = True

    def parse(self, text: str) -> Wanted:
        """`wget`, `wget=1.24.5`, `wget=1.24.5-2.fc40`, `bind=32:9.18.1-1.fc40`."""
        name, equals, version = text.partition("=")
        if not _NAME.fullmatch(name) or (equals and not _VERSION.fullmatch(version)):
            raise ValueError(f"`{text}` is no package for dnf: write `name` or `name=version`")
        return Wanted(name, version)

    def key(self, name: str) -> str:
        """The name itself."""
        return name

    def compare(self, one: str, other: str) -> int:
        """As rpm does."""
        return compare_rpm(one, other)

    def holds(self, installed: str, wanted: str) -> bool:
        """The same version; epoch and release count only where they were asked for."""
        mine = installed if ":" in wanted else installed.rpartition(":")[2]
        return compare_rpm(mine, wanted) == 0

    def installed(self, where: Where) -> Call:
        """All packages that rpm has."""
        root = (f"--root={where.prefix}",) if where.prefix else ()
        return Call(("rpm", *root, "--query", "--all", "--queryformat=%{NAME}\\t%{EPOCHNUM}:%{VERSION}-%{RELEASE}\\n"))

    def read_installed(self, out: str) -> Listing:
        """`name`, tab, `epoch:version-release`; an epoch of 0 is left out. Of several versions the newest, as of kernels."""
        return Listing(_newest(out))

    def offers(self, names: Sequence[str], where: Where) -> tuple[Call, ...]:
        """One call for all: dnf says nothing of those that it does not know."""
        form = "--queryformat=%{name}\\t%{epoch}:%{version}-%{release}\\n"
        return (Call(("dnf", "--quiet", *_root(where), "repoquery", form, "--", *names)),) if names else ()

    def read_offers(self, out: str) -> Mapping[str, Offer]:
        """Every version in the same form, one in each line."""
        versions: dict[str, list[str]] = {}
        for name, version in _rows(out):
            if version not in versions.setdefault(name, []):
                versions[name].append(version)
        newest = _newest(out)
        return {name: Offer(newest[name], tuple(listed)) for name, listed in versions.items()}

    def install(self, wanted: Sequence[Wanted], where: Where) -> tuple[Call, ...]:
        """All at once; dnf goes down to a version that is named."""
        return (_dnf(where, "install", *map(_spelled, wanted)),)

    def upgrade(self, wanted: Sequence[Wanted], where: Where) -> tuple[Call, ...]:
        """All at once."""
        return (_dnf(where, "upgrade", *map(_spelled, wanted)),)

    def remove(self, names: Collection[str], where: Where) -> tuple[Call, ...]:
        """With what only they needed, as dnf is set up."""
        return (_dnf(where, "remove", *names),)

    def withdraw(self, names: Collection[str], spare: Collection[str], where: Where) -> tuple[Call, ...]:
        """By rpm, which refuses where others depend on them, while dnf would remove those as well."""
        root = (f"--root={where.prefix}",) if where.prefix else ()
        return (Call(("rpm", *root, "--erase", "--", *names)),)

    def update(self, where: Where) -> tuple[Call, ...]:
        """Fetch the metadata of the repositories."""
        return (Call(("dnf", "--assumeyes", "--quiet", *_root(where), "makecache")),)


def _dnf(where: Where, command: str, *names: str) -> Call:
    return Call(("dnf", "--assumeyes", "--quiet", *_root(where), command, "--", *names))


def _root(where: Where) -> tuple[str, ...]:
    return (f"--installroot={where.prefix}",) if where.prefix else ()


def _rows(out: str) -> list[tuple[str, str]]:
    found = []
    for line in filter(None, (line.strip() for line in out.splitlines())):
        row = _ROW.fullmatch(line)
        if row is None:
            raise ValueError(f"`{line}` is no row of `name`, tab, `epoch:version-release`")
        epoch = "" if row["epoch"] in ("0", "(none)") else f"{row['epoch']}:"
        found.append((row["name"], f"{epoch}{row['version']}-{row['release']}"))
    return found


def _newest(out: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, version in _rows(out):
        if name not in found or compare_rpm(version, found[name]) > 0:
            found[name] = version
    return found


def _spelled(wanted: Wanted) -> str:
    return f"{wanted.name}-{wanted.version}" if wanted.version else wanted.name
