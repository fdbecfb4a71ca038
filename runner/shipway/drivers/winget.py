"""Drives winget: command lines and what it answers. Runs none of them."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

from shipway.package_versions import compare_winget
from shipway.packages import Call, Listing, Offer, Wanted, Where

# Source: https://learn.microsoft.com/en-us/windows/package-manager/winget/
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
_SILENT = ("--accept-source-agreements", "--disable-interactivity")
_CHANGING = ("--accept-package-agreements", *_SILENT, "--silent")


class Winget:
    """Packages of winget by their exact id, `Git.Git` or `Git.Git=2.45.1`."""

    name = "winget"
    program = "winget"
    needs_root = False
    keeps_versions = True
    takes_prefix = False
    asks_afar = True

    def parse(self, text: str) -> Wanted:
        """An id, and a version."""
        name, equals, version = text.partition("=")
        if not _NAME.fullmatch(name) or bool(equals) != bool(_NAME.fullmatch(version)):
            raise ValueError(f"`{text}` is no package for winget: write `Id` or `Id=version`")
        return Wanted(name, version)

    def key(self, name: str) -> str:
        """The id itself."""
        return name

    def compare(self, one: str, other: str) -> int:
        """As winget does."""
        return compare_winget(one, other)

    def holds(self, installed: str, wanted: str) -> bool:
        """The same version."""
        return compare_winget(installed, wanted) == 0

    def installed(self, where: Where) -> Call:
        """What winget can tell the id of."""
        return Call(("winget", "list", *_SILENT))

    def read_installed(self, out: str) -> Listing:
        """A table, whose head says where each column begins."""
        lines = out.replace("\r\n", "\n").split("\n")
        rule = next((place for place, line in enumerate(lines) if re.fullmatch("-{10,}", line.strip())), 0)
        head = lines[rule - 1].rpartition("\r")[2] if rule else ""
        if not {"Id", "Version"} <= set(head.split()):
            raise ValueError("winget list did not answer with a table of `Id` and `Version`")
        columns = [found.start() for found in re.finditer(r"\S+", head)]
        titles = head.split()
        rows = [_cells(line, columns) for line in lines[rule + 1 :] if line.strip()]
        place, version = titles.index("Id"), titles.index("Version")
        return Listing({row[place]: row[version] for row in rows if row[place] and row[version]})

    def offers(self, names: Sequence[str], where: Where) -> tuple[Call, ...]:
        """One call for each."""
        return tuple(Call(("winget", "show", "--exact", "--id", name, *_SILENT)) for name in names)

    def read_offers(self, out: str) -> Mapping[str, Offer]:
        """`Found Name [Id]`, then `Version: …`."""
        found = re.search(r"^Found .+ \[([^\]]+)\]\s*$", out, re.MULTILINE)
        version = re.search(r"^Version:\s*(\S+)", out, re.MULTILINE)
        return {found[1]: Offer(version[1])} if found and version else {}

    def install(self, wanted: Sequence[Wanted], where: Where) -> tuple[Call, ...]:
        """One call for each."""
        return tuple(
            _winget("install", *_chosen(each), "--force") if each.version else _winget("install", *_chosen(each))
            for each in wanted
        )

    def upgrade(self, wanted: Sequence[Wanted], where: Where) -> tuple[Call, ...]:
        """One call for each."""
        return tuple(_winget("upgrade", *_chosen(each)) for each in wanted)

    def remove(self, names: Collection[str], where: Where) -> tuple[Call, ...]:
        """One call for each."""
        return tuple(Call(("winget", "uninstall", "--exact", "--id", name, *_SILENT, "--silent")) for name in names)

    def withdraw(self, names: Collection[str], spare: Collection[str], where: Where) -> tuple[Call, ...]:
        """As it removes."""
        return self.remove(names, where)

    def update(self, where: Where) -> tuple[Call, ...]:
        """Fetch the sources."""
        return (Call(("winget", "source", "update", "--disable-interactivity")),)


def _winget(command: str, *arguments: str) -> Call:
    return Call(("winget", command, *arguments, *_CHANGING))


def _chosen(wanted: Wanted) -> tuple[str, ...]:
    return ("--exact", "--id", wanted.name, *(("--version", wanted.version) if wanted.version else ()))


def _cells(line: str, columns: Sequence[int]) -> list[str]:
    ends = [*columns[1:], None]
    return [line[start:end].strip() for start, end in zip(columns, ends, strict=True)]
