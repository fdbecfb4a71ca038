"""Drives apt: command lines for apt-get, apt-cache and dpkg-query, and what they answer. Runs none of them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from shipway.package_versions import compare_debian
from shipway.packages import Call, Listing, Offer, Wanted, Where

# Source: https://www.debian.org/doc/debian-policy/ch-controlfields.html#source. Whatever ends in `-` would remove.
_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]*(?<!-)(?::[a-z0-9-]+(?<!-))?")
_VERSION = re.compile(r"[A-Za-z0-9.+~:-]+(?<!-)")
_QUIET = {"DEBIAN_FRONTEND": "noninteractive", "APT_LISTCHANGES_FRONTEND": "none", "NEEDRESTART_MODE": "l"}
_OPTIONS = (
    "--yes",
    "--quiet",
    "--option=DPkg::Lock::Timeout=60",
    # Else a name that it does not know is an expression to it: `lib.` would be hundreds of packages.
    "--option=APT::Cmd::Pattern-Only=true",
    # Nobody is there to be asked about a changed configuration file: it stays as it is.
    "--option=Dpkg::Options::=--force-confdef",
    "--option=Dpkg::Options::=--force-confold",
)
_FORMAT = "--showformat=${db:Status-Abbrev}\\t${Package}\\t${Architecture}\\t${Version}\\n"


class Apt:
    """Packages of Debian and what descends from it, `name=version`. The prefix is the root of another system."""

    name = "apt"
    program = "apt-get"
    needs_root = True
    keeps_versions = True
    takes_prefix = True
    asks_afar = False

    def parse(self, text: str) -> Wanted:
        """`hello`, `hello=2.10-3`, `libc6:i386`."""
        name, equals, version = text.partition("=")
        if not _NAME.fullmatch(name) or (equals and not _VERSION.fullmatch(version)):
            raise ValueError(f"`{text}` is no package for apt: write `name` or `name=version`")
        return Wanted(name, version)

    def key(self, name: str) -> str:
        """The name itself; of a foreign architecture with that behind."""
        return name

    def compare(self, one: str, other: str) -> int:
        """As dpkg does."""
        return compare_debian(one, other)

    def holds(self, installed: str, wanted: str) -> bool:
        """The same version, however it is written."""
        return compare_debian(installed, wanted) == 0

    def installed(self, where: Where) -> Call:
        """Every package that dpkg knows of, with its status."""
        root = (f"--root={where.prefix}",) if where.prefix else ()
        return Call(("dpkg-query", *root, "--show", _FORMAT), fine=(0, 1))

    def read_installed(self, out: str) -> Listing:
        """Installed ones, and those of which the configuration is left; an architecture where it is not the system's."""
        found = [line.split("\t") for line in out.splitlines()]
        if any(len(fields) != 4 for fields in found):
            raise ValueError("dpkg-query did not answer as it was asked to")
        present = [fields for fields in found if fields[0][1:2] == "i"]
        native = next((arch for _, name, arch, _ in present if name == "dpkg"), None)
        common = Counter(arch for _, _, arch, _ in present if arch != "all").most_common(1)
        native = native or (common[0][0] if common else None)
        keys = {
            name if arch in ("all", native) else f"{name}:{arch}": (status[1:2], version)
            for status, name, arch, version in found
        }
        return Listing(
            {key: version for key, (status, version) in keys.items() if status == "i"},
            frozenset(key for key, (status, _) in keys.items() if status == "c"),
        )

    def offers(self, names: Sequence[str], where: Where) -> tuple[Call, ...]:
        """One call for all: apt says nothing of those that it does not know."""
        return (Call(("apt-cache", *_root(where), "policy", "--", *names)),) if names else ()

    def read_offers(self, out: str) -> Mapping[str, Offer]:
        """The candidate of each, and its version table."""
        found: dict[str, Offer] = {}
        name = newest = ""
        for line in out.splitlines():
            if line and not line[0].isspace() and line.endswith(":"):
                name, newest = line[:-1], ""
            elif line.startswith("  Candidate:"):
                newest = line.split()[-1]
                if newest != "(none)":
                    found[name] = Offer(newest)
            elif found.get(name) and (version := re.match(r" (?:\*\*\*|   ) (\S+) -?\d+", line)):
                found[name] = Offer(newest, (*found[name].versions, version[1]))
        return found

    def install(self, wanted: Sequence[Wanted], where: Where) -> tuple[Call, ...]:
        """All at once, so that apt finds versions that go together."""
        down = ("--allow-downgrades", "--allow-change-held-packages") if any(each.version for each in wanted) else ()
        return (_get(where, *down, "install", "--", *map(_spelled, wanted)),)

    def upgrade(self, wanted: Sequence[Wanted], where: Where) -> tuple[Call, ...]:
        """Installs the newest, of what is there only."""
        return (_get(where, "--only-upgrade", "install", "--", *map(_spelled, wanted)),)

    def remove(self, names: Collection[str], where: Where) -> tuple[Call, ...]:
        """Their configuration files stay, as apt leaves them."""
        return (_get(where, "remove", "--", *names),)

    def withdraw(self, names: Collection[str], spare: Collection[str], where: Where) -> tuple[Call, ...]:
        """By dpkg, which refuses where others depend on them, while apt would remove those as well."""
        root = (f"--root={where.prefix}", "--force-script-chrootless") if where.prefix else ()
        purged = [name for name in names if name not in spare]
        calls = [Call(("dpkg", *root, "--remove", *names), _QUIET)]
        return (*calls, Call(("dpkg", *root, "--purge", *purged), _QUIET)) if purged else tuple(calls)

    def update(self, where: Where) -> tuple[Call, ...]:
        """Fetch the package lists."""
        return (_get(where, "update"),)


def _get(where: Where, *arguments: str) -> Call:
    return Call(("apt-get", *_OPTIONS, *_root(where), *arguments), _QUIET)


def _root(where: Where) -> tuple[str, ...]:
    """Another system's root: its lists and sources for apt, its database and files for dpkg."""
    if not where.prefix:
        return ()
    status = f"{where.prefix}/var/lib/dpkg/status"
    options = (f"Dir={where.prefix}", f"Dir::State::status={status}", f"DPkg::Options::=--root={where.prefix}")
    return (*(f"--option={option}" for option in options), "--option=DPkg::Chroot-Directory=")


def _spelled(wanted: Wanted) -> str:
    return f"{wanted.name}={wanted.version}" if wanted.version else wanted.name
