"""What the name of a file in a tree says is done with it: `config.yaml.template.sops` is decrypted, rendered, copied. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from fnmatch import fnmatchcase

from msgspec import Struct

from shipway.redaction import strip_control


class Making(StrEnum):
    """One step on the way from a source to the content of its target."""

    DECRYPT = "decrypt"
    RENDER = "render"


_MAKINGS = {
    ".sops": Making.DECRYPT,
    ".age": Making.DECRYPT,
    ".j2": Making.RENDER,
    ".template": Making.RENDER,
}

PACKAGES = frozenset({"packages-manifest.yaml", "packages-manifest.yml", "packages-manifest.json"})
"""Files that say which packages to install: they are not put anywhere."""


class Destined(Struct, frozen=True):
    """What a name comes to: the `target`'s name and what is done to the content first, in order; none: as it is.

    Something decrypted is a secret: only its owner may read it.
    """

    target: str
    makings: tuple[Making, ...] = ()

    @property
    def is_secret(self) -> bool:
        """Whether its content was encrypted."""
        return Making.DECRYPT in self.makings


def destined(name: str, plain: Sequence[str] = ()) -> Destined:
    """The target of a file by its name: its last suffix is dealt with first, then the one before it.

    A name that matches a pattern of `plain` is taken as it is, and so is one that is nothing but a suffix.
    """
    makings: list[Making] = []
    target = name
    while not any(fnmatchcase(target, pattern) for pattern in plain):
        suffix = next((suffix for suffix in _MAKINGS if target.endswith(suffix) and target != suffix), None)
        if suffix is None:
            break
        target = target.removesuffix(suffix)
        makings.append(_MAKINGS[suffix])
    return Destined(target, tuple(makings))


def fault_of_name(source: str) -> str:
    """Why no plan or receipt could tell of a file under its name; empty where they can."""
    if source.isascii() and source.isprintable():
        return ""
    try:
        source.encode()
    except UnicodeEncodeError:
        return "is no UTF-8"
    return "" if strip_control(source) == source else "holds control characters, or others that nobody sees"
