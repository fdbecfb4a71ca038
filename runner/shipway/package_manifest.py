"""Reads what packages a stage wants: a list of names, with managers, features and settings. Looks at no machine."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field

from shipway.canonical import Json
from shipway.errors import Position, Problem, did_you_mean
from shipway.source import Path_, SourceTree

MANAGERS = ("apt", "brew", "cask", "dnf", "npm", "pip", "port", "winget")
"""What may stand before `:`; `cask` is brew's."""

_FIELDS = ("packages", "features")
_OPTIONS = ("with", "settings")


class Asked(Struct, frozen=True):
    """One entry: `text` is the package as its manager writes it, `manager` empty for the platform's."""

    text: str
    where: Position
    manager: str = ""
    cask: bool = False
    features: tuple[str, ...] = ()
    settings: Mapping[str, Json] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Its name without a version, by which a definition goes."""
        return self.text.partition("=")[0]


class Manifest(Struct, frozen=True):
    """All entries, and the features that the manifest itself turns on or off for those that have them."""

    packages: tuple[Asked, ...]
    features: tuple[str, ...] = ()


class Page:
    """A place in a file that is read piece by piece; what is wrong with it is gathered in `problems`."""

    def __init__(self, tree: SourceTree, path: Path_ = (), problems: list[Problem] | None = None) -> None:
        self._tree = tree
        self.path = path
        self.problems: list[Problem] = [] if problems is None else problems

    def at(self, *path: str | int) -> Page:
        """A place further in."""
        return Page(self._tree, (*self.path, *path), self.problems)

    def where(self, *, key: bool = False) -> Position:
        """Its position."""
        return self._tree.locate(self.path, key)

    def report(self, text: str, hint: str = "", *, key: bool = False) -> None:
        """Note a problem with it."""
        self.problems.append(self._tree.problem(self.path, text, hint, key))

    def texts(self, value: Json, what: str) -> tuple[str, ...]:
        """A list of texts; anything else is a problem."""
        if not isinstance(value, list):
            self.report(f"{what} must be a list", "write `[a, b]`")
            return ()
        for place, item in enumerate(value):
            if not isinstance(item, str) or not item:
                self.at(place).report(f"{what} must hold texts")
        return tuple(item for item in value if isinstance(item, str))

    def mapping(self, value: Json, what: str, known: tuple[str, ...] = ()) -> Mapping[str, Json]:
        """A mapping, of `known` keys where there are any given; anything else is a problem."""
        if not isinstance(value, Mapping):
            self.report(f"{what} must be a mapping", "write `key: value`")
            return {}
        for key in value:
            if known and key not in known:
                listed = ", ".join(f"`{name}`" for name in known)
                self.at(key).report(
                    f"unknown field `{key}` in {what}", did_you_mean(key, known) or f"known fields: {listed}", key=True
                )
        return value


def read_manifest(data: Json, page: Page) -> Manifest:
    """A manifest: a mapping with `packages`, and `features` if it likes."""
    fields = page.mapping(data, "the manifest", _FIELDS)
    if isinstance(data, Mapping) and "packages" not in fields:
        page.report("the manifest has no `packages`", "write `packages: [git, jq]`")
    packages = read_packages(fields["packages"], page.at("packages")) if "packages" in fields else ()
    features = page.at("features").texts(fields["features"], "`features`") if "features" in fields else ()
    return Manifest(packages, features)


def read_packages(data: Json, page: Page) -> tuple[Asked, ...]:
    """The entries of a list: `gh`, `brew:wget`, `{neovim: {with: [lsp], settings: {theme: dark}}}`."""
    if not isinstance(data, list):
        page.report("`packages` must be a list", "write `packages: [git, jq]`")
        return ()
    found = [_entry(item, page.at(place)) for place, item in enumerate(data)]
    return tuple(entry for entry in found if entry is not None)


def _entry(item: Json, page: Page) -> Asked | None:
    if isinstance(item, str):
        return _named(item, page, {})
    if not isinstance(item, Mapping):
        page.report("a package is a name, or a name with its options", "write `gh`, or `neovim: {with: [lsp]}`")
        return None
    if len(item) != 1:
        said = f"{len(item)} names" if item else "no name"
        page.report(f"an entry is one package, and this has {said}", "begin each with `- ` of its own")
        return None
    [(name, options)] = item.items()
    inner = page.at(name)
    if options is None:
        return _named(name, inner, {})
    if not isinstance(options, Mapping):
        inner.report(
            f"the options of `{name}` must be a mapping", "write `with: [feature]`, or `settings: {key: value}`"
        )
        return None
    for key in options:
        if key not in _OPTIONS:
            hint = did_you_mean(key, _OPTIONS) or "known options: `with`, `settings`"
            inner.at(key).report(f"unknown option `{key}` of `{name}`", hint, key=True)
    return _named(name, inner, options)


def _named(text: str, page: Page, options: Mapping[str, Json]) -> Asked | None:
    prefix, colon, rest = text.partition(":")
    manager, name = (prefix, rest) if colon else ("", text)
    if not name.strip():
        page.report("the name of a package is empty", "write it, or remove the entry", key=True)
        return None
    if colon and manager not in MANAGERS:
        known = ", ".join(f"`{each}:`" for each in MANAGERS)
        hint = did_you_mean(manager, MANAGERS) or f"known are {known}; of another architecture, write `apt:{text}`"
        page.report(f"there is no package manager `{manager}`", hint, key=True)
        return None
    features = page.at("with").texts(options["with"], "`with`") if "with" in options else ()
    settings = page.at("settings").mapping(options["settings"], "`settings`") if "settings" in options else {}
    is_cask = manager == "cask"
    return Asked(name, page.where(key=True), "brew" if is_cask else manager, is_cask, features, settings)
