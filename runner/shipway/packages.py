"""What a driver of a package manager is, and the values it deals in. Starts nothing: a driver says what to run and reads it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from msgspec import Struct, field


class Wanted(Struct, frozen=True):
    """A package somebody asked for; `version` empty: whichever is there, else the newest."""

    name: str
    version: str = ""


class Where(Struct, frozen=True):
    """Where a manager acts: in `prefix` (an absolute path, the manager's own place where empty), and whether among casks."""

    prefix: str = ""
    cask: bool = False


HERE = Where()


class Call(Struct, frozen=True):
    """A program to run, looked up on the PATH of its environment, with what is added to that.

    `fine` are the exit codes that are an answer.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    fine: tuple[int, ...] = (0,)


class Listing(Struct, frozen=True):
    """What is installed: version by key. `leftovers` are keys of what is not, but of which settings are still there."""

    versions: Mapping[str, str]
    leftovers: frozenset[str] = frozenset()


class Offer(Struct, frozen=True):
    """What a manager could install of a package: its `newest` version, and all it has where it lists them."""

    newest: str
    versions: tuple[str, ...] = ()

    def has(self, version: str) -> bool:
        """Whether a version is among those; where none are listed it may be."""
        return not self.versions or version in self.versions


class Driver(Protocol):
    """One package manager: which command lines ask it, change it, and what its answers mean. All of it pure.

    Whoever uses it runs the calls one after the other, with English as language (`LC_ALL=C.UTF-8`), and gives what the
    program wrote to stdout to the `read_…` method beside. Names are what `key` makes of them: the same package has one key.
    `needs_root`: changes outside a prefix need privilege. `keeps_versions`: a version that was there once can mostly be had
    again. `asks_afar`: `offers` needs the network.
    """

    name: str
    program: str
    needs_root: bool
    keeps_versions: bool
    takes_prefix: bool
    asks_afar: bool

    def parse(self, text: str) -> Wanted:
        """What `text` asks for, in the manager's own spelling of a version. Raises ValueError, saying what it would be."""

    def key(self, name: str) -> str:
        """The name under which the package is listed."""

    def compare(self, one: str, other: str) -> int:
        """-1, 0 or 1 by the manager's own rules. Raises ValueError for what is no version."""

    def holds(self, installed: str, wanted: str) -> bool:
        """Whether an installed version is the one that was asked for."""

    def installed(self, where: Where) -> Call:
        """Lists what is installed. Read-only."""

    def read_installed(self, out: str) -> Listing:
        """What the listing says. Raises ValueError where the answer has another form."""

    def offers(self, names: Sequence[str], where: Where) -> tuple[Call, ...]:
        """Ask what could be installed. Read-only. A call that fails offers nothing."""

    def read_offers(self, out: str) -> Mapping[str, Offer]:
        """Offers by key; what the manager does not know is left out."""

    def install(self, wanted: Sequence[Wanted], where: Where) -> tuple[Call, ...]:
        """Install each, at its version where it names one, which may be older than what is there."""

    def upgrade(self, wanted: Sequence[Wanted], where: Where) -> tuple[Call, ...]:
        """Take each, all of them installed, to its version, else to the newest."""

    def remove(self, names: Collection[str], where: Where) -> tuple[Call, ...]:
        """Remove each."""

    def withdraw(self, names: Collection[str], spare: Collection[str], where: Where) -> tuple[Call, ...]:
        """Take back an installation: remove these and nothing else, with their settings but for those of `spare`.

        The call fails where something else needs one of them.
        """

    def update(self, where: Where) -> tuple[Call, ...]:
        """Fetch the lists of what there is; none where the manager asks each time."""
