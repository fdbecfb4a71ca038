"""Drives npm's global packages: command lines and what it answers. Runs none of them."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence

from shipway.canonical import Json, object_of
from shipway.package_versions import compare_semver
from shipway.packages import Call, Listing, Offer, Wanted, Where

# Source: https://docs.npmjs.com/cli/v10/configuring-npm/package-json#name
_NAME = re.compile(r"(?:@[a-z0-9~-][a-z0-9._~-]*/)?[a-z0-9~][a-z0-9._~-]*")
# To npm a file of the working directory, which is the checkout. Source: isFilename in npm-package-arg
_FILE = re.compile(r"\.(tgz|tar|tar\.gz)$", re.IGNORECASE)
_QUIET = {
    "NPM_CONFIG_AUDIT": "false",
    "NPM_CONFIG_FUND": "false",
    "NPM_CONFIG_UPDATE_NOTIFIER": "false",
    "NPM_CONFIG_PROGRESS": "false",
    "NPM_CONFIG_COLOR": "false",
}


class Npm:
    """Global packages of npm, `name@version`. The prefix is where `lib/node_modules` and `bin` are."""

    name = "npm"
    program = "npm"
    needs_root = False
    keeps_versions = True
    takes_prefix = True
    asks_afar = True

    def parse(self, text: str) -> Wanted:
        """`prettier`, `prettier@3.2.5`, `@angular/cli@17.0.0`; an exact version, or none."""
        at = text.find("@", 1)
        name, version = (text, "") if at < 0 else (text[:at], text[at + 1 :])
        if not _NAME.fullmatch(name) or _FILE.search(name) or (at >= 0 and not _is_version(version)):
            raise ValueError(f"`{text}` is no package for npm: write `name` or `name@version`, the version in full")
        return Wanted(name, version)

    def key(self, name: str) -> str:
        """The name itself."""
        return name

    def compare(self, one: str, other: str) -> int:
        """By semantic versioning."""
        return compare_semver(one, other)

    def holds(self, installed: str, wanted: str) -> bool:
        """The same version, whatever its build."""
        return compare_semver(installed, wanted) == 0

    def installed(self, where: Where) -> Call:
        """Those that were asked for; each has its dependencies inside it. It exits 1 where one of them lacks something."""
        return _npm(where, "ls", "--depth=0", "--json", fine=(0, 1))

    def read_installed(self, out: str) -> Listing:
        """`{"dependencies": {name: {"version"}}}`; no `dependencies` where there are none."""
        listed = object_of(object_of(json.loads(out)).get("dependencies") or {})
        versions = {name: object_of(each).get("version") for name, each in listed.items()}
        return Listing({name: str(version) for name, version in versions.items() if version is not None})

    def offers(self, names: Sequence[str], where: Where) -> tuple[Call, ...]:
        """One call for each: the registry is asked."""
        return tuple(_npm(where, "view", "--json", "--", name, "name", "version", "versions") for name in names)

    def read_offers(self, out: str) -> Mapping[str, Offer]:
        """`{"name", "version", "versions"}`; an `error` for what is not there."""
        found = json.loads(out)
        if not isinstance(found, dict) or "version" not in found or "name" not in found:
            return {}
        return {str(found["name"]): Offer(str(found["version"]), _texts(found.get("versions")))}

    def install(self, wanted: Sequence[Wanted], where: Where) -> tuple[Call, ...]:
        """All at once."""
        return (_npm(where, "install", "--", *map(_spelled, wanted)),)

    def upgrade(self, wanted: Sequence[Wanted], where: Where) -> tuple[Call, ...]:
        """Installed again, at the newest that the tag `latest` names."""
        return (
            _npm(
                where, "install", "--", *(_spelled(each) if each.version else f"{each.name}@latest" for each in wanted)
            ),
        )

    def remove(self, names: Collection[str], where: Where) -> tuple[Call, ...]:
        """Their dependencies go with them."""
        return (_npm(where, "uninstall", "--", *names),)

    def withdraw(self, names: Collection[str], spare: Collection[str], where: Where) -> tuple[Call, ...]:
        """As it removes."""
        return self.remove(names, where)

    def update(self, where: Where) -> tuple[Call, ...]:
        """npm asks its registry each time."""
        return ()


def _npm(where: Where, command: str, *arguments: str, fine: tuple[int, ...] = (0,)) -> Call:
    prefix = (f"--prefix={where.prefix}",) if where.prefix else ()
    return Call(("npm", command, "--global", *prefix, *arguments), _QUIET, fine)


def _spelled(wanted: Wanted) -> str:
    return f"{wanted.name}@{wanted.version}" if wanted.version else wanted.name


def _texts(value: Json) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, list) else (value,) if isinstance(value, str) else ()


def _is_version(text: str) -> bool:
    try:
        compare_semver(text, text)
    except ValueError:
        return False
    return text[:1].isdigit()
