"""Which folders of a tree are for this machine: `nvim.Darwin.arm64` is project `nvim`, on macOS, on ARM. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field

from shipway.errors import did_you_mean

FAMILIES: Mapping[str, frozenset[str]] = {"Unix": frozenset({"Darwin", "Linux"})}
"""Words that stand for several operating systems; Windows and the BSDs are in none."""

OVERRIDE = "SHIPWAY_SEGMENT_"
"""An environment variable of this beginning sets the declared segment whose name follows."""


class Machine(Struct, frozen=True):
    """What a folder's suffixes are compared with. `os` is `Linux` or `Darwin`; `distribution`, such as `Debian`, may be empty.

    `custom` holds the declared segments by name; None: declared, and set to nothing.
    """

    os: str
    arch: str
    distribution: str = ""
    custom: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def words(self) -> frozenset[str]:
        """Every suffix that is true here."""
        families = (name for name, members in FAMILIES.items() if self.os in members)
        own = (self.os, self.arch, self.distribution, *(word or "" for word in self.custom.values()))
        return frozenset(filter(None, (*own, *families)))


class Segmented(Struct, frozen=True):
    """The name of a folder, taken apart."""

    project: str
    suffixes: tuple[str, ...]

    @property
    def specificity(self) -> int:
        """How many suffixes it has: of two folders that fit, the one with more of them wins."""
        return len(self.suffixes)

    def fits(self, words: frozenset[str]) -> bool:
        """Whether every suffix is one of the `words` of a machine."""
        return words.issuperset(self.suffixes)


class UnknownSegment(Exception):
    """Raised where a segment is set that nobody declared; `hint` says which one may be meant."""

    def __init__(self, name: str, hint: str) -> None:
        super().__init__(f"there is no segment `{name}`")
        self.hint = hint


def take_apart(folder: str) -> Segmented:
    """`all.Darwin.arm64` is project `all` with two suffixes; a dot in front belongs to the name."""
    lead = "." if folder.startswith(".") else ""
    project, *suffixes = folder.removeprefix(".").split(".")
    return Segmented(lead + project, tuple(filter(None, suffixes)))


def platform_words(os: str, distribution: str) -> tuple[str, str]:
    """Operating system and distribution as suffixes spell them: `("linux", "debian")` is `("Linux", "Debian")`."""
    return {"freebsd": "FreeBSD", "openbsd": "OpenBSD", "netbsd": "NetBSD"}.get(os, os.capitalize()), (
        distribution[:1].upper() + distribution[1:]
    )


def settled(
    declared: Mapping[str, str | None], given: Mapping[str, str | None], env: Mapping[str, str]
) -> dict[str, str | None]:
    """The declared segments with what a run sets: `given` by name, then the environment, which wins.

    Raises UnknownSegment for a given one that is not declared. A variable for one that is not is nobody's business.
    """
    for name in given:
        if name not in declared:
            raise UnknownSegment(name, did_you_mean(name, declared))
    merged = {**declared, **given}
    return {name: env.get(OVERRIDE + name) or value for name, value in merged.items()}
