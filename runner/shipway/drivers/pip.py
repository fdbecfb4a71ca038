"""Drives pip: command lines and what it answers. Runs none of them."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence

from shipway.canonical import items_of, object_of
from shipway.package_versions import compare_python
from shipway.packages import Call, Listing, Offer, Wanted, Where

# Source: https://packaging.python.org/en/latest/specifications/name-normalization/
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?(?:\[[A-Za-z0-9._, -]+\])?")
# To pip a file of the working directory, which is the checkout. Source: ARCHIVE_EXTENSIONS in pip/_internal/utils/filetypes.py
_FILE = re.compile(r"\.(zip|whl|tar|tgz|tbz|txz|tlz|tar\.(gz|bz2|xz|lz|lzma))(\[|$)", re.IGNORECASE)
_QUIET = {
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_NO_INPUT": "1",
    "PIP_NO_COLOR": "1",
    "PIP_ROOT_USER_ACTION": "ignore",
}

_LIST = """
import importlib.metadata, json
found = {}
for each in importlib.metadata.distributions():
    name, version = each.metadata["Name"], each.version
    if name and version:
        found.setdefault(name, version)
print(json.dumps([{"name": name, "version": version} for name, version in sorted(found.items())]))
"""
"""What is found first is what is imported."""


class Pip:
    """Python packages, `name==version`. The prefix is a virtual environment; without one they are those of `python3`."""

    name = "pip"
    program = "python3"
    needs_root = False
    keeps_versions = True
    takes_prefix = True
    asks_afar = True

    def parse(self, text: str) -> Wanted:
        """`ruff`, `ruff==0.4.1`, `coverage[toml]`; an exact version, or none."""
        name, equals, version = text.partition("==")
        if not _NAME.fullmatch(name) or _FILE.search(name) or (equals and not _is_version(version)):
            raise ValueError(f"`{text}` is no package for pip: write `name` or `name==version`")
        return Wanted(name, version)

    def key(self, name: str) -> str:
        """In lower case, with `-` for `_` and `.`, without extras."""
        return re.sub(r"[-_.]+", "-", name.partition("[")[0]).lower()

    def compare(self, one: str, other: str) -> int:
        """By the version specifiers' specification."""
        return compare_python(one, other)

    def holds(self, installed: str, wanted: str) -> bool:
        """The same version; a local part counts only where it was asked for."""
        mine = installed if "+" in wanted else installed.partition("+")[0]
        return compare_python(mine, wanted) == 0

    def installed(self, where: Where) -> Call:
        """All distributions, by Python's own metadata: pip itself takes ten times as long to say the same."""
        return Call((_python(where), "-I", "-c", _LIST))

    def read_installed(self, out: str) -> Listing:
        """`[{"name", "version"}]`."""
        rows = [object_of(row) for row in items_of(json.loads(out))]
        return Listing({self.key(str(row["name"])): str(row["version"]) for row in rows})

    def offers(self, names: Sequence[str], where: Where) -> tuple[Call, ...]:
        """One call for each: the index is asked."""
        return tuple(_pip(where, "index", "versions", "--", name.partition("[")[0]) for name in names)

    def read_offers(self, out: str) -> Mapping[str, Offer]:
        """`name (newest)`, then the list of versions."""
        head = re.search(r"^(\S+) \(([^)]+)\)$", out, re.MULTILINE)
        if head is None:
            return {}
        listed = re.search(r"^Available versions: (.+)$", out, re.MULTILINE)
        return {self.key(head[1]): Offer(head[2], tuple(listed[1].split(", ")) if listed else ())}

    def install(self, wanted: Sequence[Wanted], where: Where) -> tuple[Call, ...]:
        """All at once, so that pip finds versions that go together."""
        return (_pip(where, "install", "--", *map(_spelled, wanted)),)

    def upgrade(self, wanted: Sequence[Wanted], where: Where) -> tuple[Call, ...]:
        """The newest of each; their dependencies only as far as they need it."""
        return (_pip(where, "install", "--upgrade", "--", *map(_spelled, wanted)),)

    def remove(self, names: Collection[str], where: Where) -> tuple[Call, ...]:
        """Without what they needed."""
        return (_pip(where, "uninstall", "--yes", "--", *(name.partition("[")[0] for name in names)),)

    def withdraw(self, names: Collection[str], spare: Collection[str], where: Where) -> tuple[Call, ...]:
        """As it removes."""
        return self.remove(names, where)

    def update(self, where: Where) -> tuple[Call, ...]:
        """pip asks its index each time."""
        return ()


def _pip(where: Where, *arguments: str) -> Call:
    # Isolated: no module of the working directory, which is the checkout, stands in for one of pip's.
    return Call((_python(where), "-I", "-m", "pip", *arguments), _QUIET)


def _python(where: Where) -> str:
    return f"{where.prefix}/bin/python" if where.prefix else "python3"


def _spelled(wanted: Wanted) -> str:
    return f"{wanted.name}=={wanted.version}" if wanted.version else wanted.name


def _is_version(text: str) -> bool:
    try:
        compare_python(text, text)
    except ValueError:
        return False
    return True
