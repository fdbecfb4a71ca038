"""Backend `packages/system`: a manifest becomes parts of a stage, with one call for all that goes to one manager."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from shipway.backend import Capability, Cleanups, StagePlace
from shipway.builder import GraphBuilder
from shipway.builder_options import NodeHandle, NodeOptions
from shipway.canonical import Json
from shipway.declaration import Declaration, Retry, Stage
from shipway.errors import Position, Problem
from shipway.nodes import Need
from shipway.package_choices import (
    PARTS,
    setting_text,
)
from shipway.package_definition import has_function
from shipway.package_manifest import Asked, Page
from shipway.package_selection import Package, PackageSelection
from shipway.package_settings import PackageSettings, setting_faults, settings_from
from shipway.package_trace import PackageTrace, script_node, slug
from shipway.state import Prior

_ACTIONS = {"install": "pkg.install", "upgrade": "pkg.upgrade", "uninstall": "pkg.remove", "repair": "pkg.install"}
"""The action by which a manager carries out a part."""

_LEAVES_NOTHING = frozenset({"scan", "verify"})
_SYSTEM = frozenset({"", "apt", "dnf"})
"""Managers whose changes outside a prefix need privilege."""

_LISTS = ("", "apt", "dnf", "brew", "winget")
"""Managers that keep lists of what there is."""

_VERIFY = """\
said="$(bash -c "$VERIFICATION_COMMAND" 2>&1)" || { printf '%s\\n' "$said"; exit 1; }
printf '%s\\n' "$said"
[[ -z "$VERIFICATION_PATTERN" || "$said" =~ $VERIFICATION_PATTERN ]] || {
    printf 'what `%s` says does not match `%s`\\n' "$VERIFICATION_COMMAND" "$VERIFICATION_PATTERN" >&2
    exit 1
}
"""


class PackagesSystem:
    """Answers mode `packages`: apt, pip, npm, brew, dnf and winget are its drivers, and a manifest may mix them."""

    mode = "packages"
    name = "system"
    contract = 1
    capabilities = frozenset({Capability.PLAN_EXECUTE, Capability.DRY_RUN, Capability.ROLLBACK, Capability.RECONCILE})

    def validate(self, stage: Stage, lifecycle: Declaration) -> list[Problem]:
        """What is wrong with `with` as written."""
        return setting_faults(stage, lifecycle, stage.with_)

    def prepare(self, stage: Stage, place: StagePlace, cleanups: Cleanups) -> None:
        """Packages need nothing made beforehand."""

    def plan(self, stage: Stage, lifecycle: Declaration, builder: GraphBuilder, prior: Prior) -> Mapping[str, Json]:
        """The parts of the action, in their order; those that hold nothing are left out."""
        where = lifecycle.source.locate((*stage.path, "with"), key=True)
        known = {key: builder.folded(value, where) for key, value in stage.with_.items()}
        if not builder.problems:
            builder.problems += setting_faults(stage, lifecycle, known)
        if builder.problems:
            return {}
        return _Lifecycle(stage, lifecycle, builder, settings_from(known), prior).plan(known)


class _Lifecycle:
    def __init__(
        self, stage: Stage, lifecycle: Declaration, builder: GraphBuilder, settings: PackageSettings, prior: Prior
    ) -> None:
        self._stage = stage
        self._lifecycle = lifecycle
        self._builder = builder
        self._settings = settings
        self._root = builder.site.root
        self._selection = PackageSelection(stage, lifecycle, builder, settings)
        self._platform = self._selection.platform
        self._trace = PackageTrace(stage.id, self._platform, prior)
        timeouts = (stage.timeout_ms, lifecycle.defaults.timeout_ms)
        self._timeout_ms = next((each for each in timeouts if each is not None), 0)

    def plan(self, known: Mapping[str, Json]) -> Mapping[str, Json]:
        self._builder.reading(self._selection.patterns)
        packages = self._selection.packages(known)
        if self._builder.problems:
            return {}
        for part in PARTS[self._settings.action]:
            self._part(part, packages)
        self._builder.problems += [each for package in packages if package.page for each in package.page.problems]
        return {
            "action": self._settings.action,
            "platform": self._platform,
            "packages": [package.to_json() for package in packages],
        }

    # What is built.

    def _part(self, part: str, packages: Sequence[Package]) -> None:
        batches = self._batches(part, packages)
        scripts = [(package, self._scripts(part, package)) for package in packages]
        proofs = [
            package
            for package in packages
            if part == "verify" and package.definition and package.definition.verification
        ]
        updated = self._updated(part, packages)
        if not (batches or proofs or updated or any(found for _, found in scripts)):
            return
        builder = self._builder.part(part)
        for manager, where in updated.items():
            options = self._options(where, privileged=self._needs_privilege(manager))
            slots = {"manager": manager or None, "prefix": self._settings.prefixes.get(manager)}
            builder.add("pkg.update", manager or "system", slots, options=options)
        for (manager, cask), batch in batches.items():
            self._batch(builder, part, manager, cask, batch)
        for package, found in scripts:
            last = self._script_nodes(builder, part, package, found)
            if package in proofs:
                self._proof(builder, package, last)

    def _scripts(self, part: str, package: Package) -> list[tuple[str, str]]:
        """Platform and file of what runs; nothing where all that it takes away is known to be gone."""
        if self._settings.action == "decommission" and self._trace.is_gone(package):
            return []
        return package.scripts(part, self._platform)

    def _batches(self, part: str, packages: Sequence[Package]) -> dict[tuple[str, bool], list[tuple[Asked, bool]]]:
        """What goes to each manager in one call, and whether somebody vouches for it. There is none in a part of scripts only."""
        found: dict[tuple[str, bool], list[tuple[Asked, bool]]] = {}
        if part not in _ACTIONS:
            return found
        for package in packages:
            if package.definition is None and part != "repair":
                found.setdefault((package.asked.manager, package.asked.cask), []).append((package.asked, False))
            for native in package.native:
                found.setdefault((native.manager, native.cask), []).append((native, True))
        return found

    def _batch(
        self, builder: GraphBuilder, part: str, manager: str, cask: bool, batch: Sequence[tuple[Asked, bool]]
    ) -> None:
        texts = list(dict.fromkeys(asked.text for asked, _ in batch))
        slots: dict[str, object] = {
            "packages": texts,
            "manager": manager or None,
            "prefix": self._settings.prefixes.get(manager),
            "cask": cask,
        }
        unvouched = list(dict.fromkeys(asked.text for asked, is_vouched in batch if not is_vouched))
        if _ACTIONS[part] == "pkg.install" and unvouched:
            slots |= {"unvouched": unvouched, "consent": list(self._settings.consent)}
        name = ("cask" if cask else manager) or "system"
        title = f"{part} {', '.join(texts)}"
        options = self._options(batch[0][0].where, title=title, privileged=self._needs_privilege(manager))
        builder.add(_ACTIONS[part], name, slots, options=options)

    def _script_nodes(
        self, builder: GraphBuilder, part: str, package: Package, scripts: Sequence[tuple[str, str]]
    ) -> NodeHandle | None:
        before: NodeHandle | None = None
        for platform, file in scripts:
            assert package.page is not None
            place = package.page.at("scripts", part, platform)
            path = f"{package.folder}/{file}"
            text = self._script(path, place)
            if text is None:
                continue
            if not has_function(text, part):
                place.report(f"`{path}` has no function `{part}`", f"define `{part}() {{ … }}`: it is what runs")
                continue
            before = builder.shell_exec(
                script_node(package, platform),
                f'. "$PACKAGE_SCRIPT"\n{part}\n',
                undo=_calling(text, f"undo_{part}"),
                verify=_calling(text, f"verify_{part}"),
                plan=_calling(text, f"plan_{part}"),
                needs=[before] if before is not None else [],
                options=self._options(
                    package.asked.where,
                    title=f"{part} {package.asked.name} ({platform})",
                    privileged=self._settings.privileged,
                    env={**_environment(package), "PACKAGE_SCRIPT": f"./{path}"},
                    lasting=part not in _LEAVES_NOTHING,
                    facts=self._trace.facts(part, package, is_last=platform == scripts[-1][0]),
                ),
            )
        return before

    def _script(self, file: str, place: Page) -> str | None:
        try:
            path = Path(self._root / file).resolve()
            if not path.is_relative_to(self._root.resolve()):
                place.report(f"`{file}` leads out of the workspace", "name a file beside the definition")
                return None
            return path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            place.report(f"`{file}` cannot be read: {why.lower()}", "write it, or correct the name")
            return None

    def _proof(self, builder: GraphBuilder, package: Package, last: NodeHandle | None) -> None:
        assert package.definition is not None and package.definition.verification is not None
        asked = package.definition.verification
        builder.shell_exec(
            f"{slug(package.asked.name)}-verification",
            _VERIFY,
            needs=[Need(last.id)] if last is not None else [],
            options=self._options(
                package.asked.where,
                title=asked.command,
                env={
                    **_environment(package),
                    "VERIFICATION_COMMAND": asked.command,
                    "VERIFICATION_PATTERN": asked.pattern,
                },
                lasting=False,
            ),
        )

    def _updated(self, part: str, packages: Sequence[Package]) -> dict[str, Position]:
        """The managers whose lists are fetched in this part; each by itself."""
        if part != "prepare" or not self._settings.update:
            return {}
        native = [each for package in packages for each in (package.native if package.definition else (package.asked,))]
        return {each.manager: each.where for each in reversed(native) if each.manager in _LISTS}

    def _needs_privilege(self, manager: str) -> bool:
        return self._settings.privileged and manager in _SYSTEM and manager not in self._settings.prefixes

    def _options(
        self,
        where: Position,
        *,
        title: str = "",
        privileged: bool = False,
        env: Mapping[str, str] | None = None,
        lasting: bool = True,
        facts: Mapping[str, Json] | None = None,
    ) -> NodeOptions:
        return NodeOptions(
            title=title,
            position=where if where.file == self._lifecycle.file else self._stage.where,
            lasting=lasting and self._stage.lasting is not False,
            retry=Retry(),
            timeout_ms=self._timeout_ms,
            privileged=privileged,
            env=env or {},
            facts=facts or {},
        )


def _environment(package: Package) -> dict[str, str]:
    """What a script knows of its package."""
    settings = {
        f"SETTING_{name.upper().replace('-', '_')}": setting_text(value)
        for name, value in package.choice.settings.items()
    }
    return {"PACKAGE": package.asked.name, "FEATURES": " ".join(package.choice.features), **settings}


def _calling(script: str, function: str) -> str | None:
    return f'. "$PACKAGE_SCRIPT"\n{function}\n' if has_function(script, function) else None
