"""Which packages a stage is about: its manifest and their definitions, with what was chosen for each on this platform.

Reads files of the workspace only, and builds no node.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct, field
from msgspec.structs import replace

from shipway.builder import GraphBuilder
from shipway.canonical import Json, items_of
from shipway.declaration import Declaration, Stage
from shipway.errors import DeclarationError, Position
from shipway.package_choices import REQUIRED, Choice, Unfit, features_of, script_order, settings_of, supports
from shipway.package_definition import Definition, read_definition
from shipway.package_manifest import Asked, Manifest, Page, read_manifest, read_packages
from shipway.package_settings import PackageSettings
from shipway.registry import driver_names
from shipway.segments import platform_words
from shipway.source import MAX_BYTES, SourceTree, parse


class Package(Struct, frozen=True):
    """One entry of the manifest with what was chosen for it; without a `definition` it is native, and nobody vouches for it."""

    asked: Asked
    choice: Choice = field(default_factory=Choice)
    definition: Definition | None = None
    folder: str = ""
    page: Page | None = None
    native: tuple[Asked, ...] = ()

    def scripts(self, part: str, platform: str) -> list[tuple[str, str]]:
        """Platform and file of what runs in a part, in order."""
        files = self.definition.scripts.get(part, {}) if self.definition else {}
        return [(name, files[name]) for name in script_order(platform) if name in files]

    def to_json(self) -> Json:
        """As the context of its stage has it in a plan."""
        return {
            "name": self.asked.name,
            "manager": self.asked.manager or None,
            "is_defined": self.definition is not None,
            "features": list(self.choice.features),
            "settings": dict(self.choice.settings),
            "native": [f"{each.manager}:{each.text}" if each.manager else each.text for each in self.native],
        }


class PackageSelection:
    """Works out the packages of one stage; whatever is wrong goes to the builder's problems, each with its place."""

    def __init__(self, stage: Stage, lifecycle: Declaration, builder: GraphBuilder, settings: PackageSettings) -> None:
        self._stage = stage
        self._lifecycle = lifecycle
        self._builder = builder
        self._settings = settings
        self._root = builder.site.root
        self._trees: dict[str, SourceTree] = {}
        system, distribution = platform_words(builder.site.platform.os, builder.site.platform.distribution)
        is_told_apart = system == "Linux" and distribution
        self.platform = settings.platform or (f"{system}.{distribution}" if is_told_apart else system)

    def packages(self, known: Mapping[str, Json]) -> list[Package]:
        """Those of the manifest, or of `packages` in `known`, which is the stage's `with`; none where something is wrong."""
        manifest = self._manifest(known)
        if manifest is None:
            return []
        found = [self._package(asked, manifest) for asked in self._each_once(manifest.packages)]
        packages = [package for package in found if package is not None]
        self._refuse_unknown_features(packages)
        return [] if self._builder.problems else packages

    @property
    def patterns(self) -> tuple[str, ...]:
        """The files that decide what the stage does."""
        patterns = [self._settings.manifest] if self._settings.manifest else []
        patterns += [f"{self._settings.definitions}/**"] if self._settings.definitions else []
        return tuple(patterns)

    def _manifest(self, known: Mapping[str, Json]) -> Manifest | None:
        page = Page(self._lifecycle.source, (*self._stage.path, "with"))
        if "packages" in known:
            manifest = Manifest(read_packages(known["packages"], page.at("packages")))
            data: Json = known["packages"]
            page = page.at("packages")
        else:
            tree = self._tree(self._settings.manifest, page.at("manifest"))
            if tree is None:
                self._builder.problems += page.problems
                return None
            page, data = Page(tree), tree.data
            manifest = read_manifest(tree.data, page)
        _refuse_expressions(data, page)
        self._builder.problems += page.problems
        return manifest

    def _tree(self, file: str, named_at: Page) -> SourceTree | None:
        """A file of the workspace; None, with what is wrong reported, where it cannot be read."""
        try:
            path = (self._root / file).resolve()
            if not path.is_relative_to(self._root.resolve()):
                named_at.report(f"`{file}` leads out of the workspace", "name a file in it")
                return None
            with path.open("rb") as stream:
                tree = parse(stream.read(MAX_BYTES + 1), file)
        except OSError as error:
            named_at.report(
                f"`{file}` cannot be read: {(error.strerror or str(error)).lower()}", "write it, or correct the name"
            )
            return None
        except DeclarationError as error:
            named_at.problems.extend(error.problems)
            return None
        named_at.problems.extend(tree.problems)
        self._trees[file] = tree
        return tree

    def _problem(self, text: str, hint: str, where: Position) -> None:
        tree = self._trees.get(where.file, self._lifecycle.source)
        self._builder.problems.append(tree.problem_at(where, text, hint))

    def _each_once(self, packages: Iterable[Asked]) -> list[Asked]:
        found: dict[tuple[str, bool, str], Asked] = {}
        for asked in packages:
            key = (asked.manager, asked.cask, asked.name)
            if key in found:
                self._problem(f"`{asked.name}` is listed twice", "remove one of them", asked.where)
            found.setdefault(key, asked)
        return list(found.values())

    def _package(self, asked: Asked, manifest: Manifest) -> Package | None:
        folder = f"{self._settings.definitions}/{asked.name}" if self._settings.definitions else ""
        file = f"{folder}/package.yaml"
        if asked.manager or not folder or not (self._root / file).is_file():
            return self._native(asked)
        named_at = Page(self._lifecycle.source, (*self._stage.path, "with", "definitions"))
        tree = self._tree(file, named_at)
        if tree is None:
            self._builder.problems += named_at.problems
            return None
        page = Page(tree)
        definition = read_definition(tree.data, page)
        _refuse_expressions(tree.data, page)
        self._builder.problems += page.problems
        return None if page.problems else self._defined(asked, manifest, definition, folder, page)

    def _native(self, asked: Asked) -> Package | None:
        if asked.manager and asked.manager not in driver_names():
            known = ", ".join(f"`{name}`" for name in driver_names())
            self._problem(f"there is no driver for `{asked.manager}`", f"there are {known}", asked.where)
            return None
        if asked.features or asked.settings:
            what = "features" if asked.features else "settings"
            hint = "write one under `definitions`, or remove them"
            self._problem(f"`{asked.name}` has no definition, and so no {what}", hint, asked.where)
            return None
        return Package(asked)

    def _defined(
        self, asked: Asked, manifest: Manifest, definition: Definition, folder: str, page: Page
    ) -> Package | None:
        if definition.platforms and not any(supports(each, self.platform) for each in definition.platforms):
            text = f"`{asked.name}` is for {', '.join(definition.platforms)}, and this is {self.platform}"
            self._problem(text, "leave it out here", asked.where)
            return None
        run = (*manifest.features, *self._settings.features)
        try:
            features = features_of(definition.features, run, asked.features, shared=run)
            chosen = Choice(features, settings_of(definition.settings, asked.settings))
        except Unfit as unfit:
            self._problem(f"`{asked.name}`: {unfit}", unfit.hint, asked.where)
            return None
        listed = [
            definition.native[name] for name in reversed(script_order(self.platform)) if name in definition.native
        ]
        native = [*(listed[0] if listed else ())]
        for feature in features:
            extra = read_packages(list(definition.features[feature].packages), page.at("features", feature, "packages"))
            native += [replace(each, where=asked.where) for each in extra]
        package = Package(asked, chosen, definition, folder, page, tuple(native))
        self._refuse_without_required(package)
        return package

    def _refuse_without_required(self, package: Package) -> None:
        part = REQUIRED[self._settings.action]
        if not package.native and not package.scripts(part, self.platform):
            text = f"`{package.asked.name}` has no `{part}` for {self.platform}: neither `native` nor a script"
            self._problem(text, "add one to its definition, or leave it out here", package.asked.where)

    def _refuse_unknown_features(self, packages: Sequence[Package]) -> None:
        """A feature of the run that no package has is a slip of the pen."""
        known = {name for package in packages if package.definition for name in package.definition.features}
        for place, word in enumerate(self._settings.features):
            if word.removeprefix("-") not in known:
                where = self._lifecycle.source.locate((*self._stage.path, "with", "features", place))
                self._problem(f"no package has the feature `{word.removeprefix('-')}`", "", where)


def _refuse_expressions(data: Json, page: Page) -> None:
    """Nothing is evaluated in a manifest or a definition: secrets and the like are named by the declaration only."""
    if isinstance(data, str) and "${{" in data:
        page.report("an expression cannot stand here", "write it in the declaration's `env`, or in its `with`")
    elif isinstance(data, Mapping):
        for key, value in data.items():
            _refuse_expressions(value, page.at(key))
    elif isinstance(data, list):
        for place, item in enumerate(items_of(data)):
            _refuse_expressions(item, page.at(place))
