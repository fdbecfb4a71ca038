"""What `with` of a `packages` stage says, checked key by key with its place, and as values. Looks at no machine."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field

from shipway.canonical import Json, items_of, mapping
from shipway.declaration import Declaration, Stage
from shipway.errors import Problem, did_you_mean
from shipway.package_choices import PARTS
from shipway.package_manifest import MANAGERS, Page

_KEYS = (
    "packages",
    "manifest",
    "action",
    "definitions",
    "features",
    "update",
    "consent",
    "prefixes",
    "platform",
    "privileged",
)


class PackageSettings(Struct, frozen=True):
    """A `packages` stage as written. `manifest` is a file, `definitions` a folder, both empty where not given.

    `prefixes` are by manager. `update`: the lists of the platform's manager are fetched first. `consent` names packages that
    nobody vouches for and their manager need not know. `privileged`: changes to the system, and scripts, need it.
    """

    manifest: str = ""
    action: str = "deploy"
    definitions: str = ""
    features: tuple[str, ...] = ()
    update: bool = False
    consent: tuple[str, ...] = ()
    prefixes: Mapping[str, str] = field(default_factory=dict)
    platform: str = ""
    privileged: bool = False


def settings_from(data: Mapping[str, Json]) -> PackageSettings:
    """The settings that checked and folded data amounts to; all of it has passed `setting_faults`."""
    return PackageSettings(
        manifest=str(data.get("manifest", "")),
        action=str(data.get("action", "deploy")),
        definitions=str(data.get("definitions", "")).rstrip("/"),
        features=_texts(data.get("features", [])),
        update=data.get("update") is True,
        consent=_texts(data.get("consent", [])),
        prefixes={name: str(prefix) for name, prefix in mapping(data.get("prefixes")).items()},
        platform=str(data.get("platform", "")),
        privileged=data.get("privileged") is True,
    )


def setting_faults(stage: Stage, lifecycle: Declaration, data: Mapping[str, Json]) -> list[Problem]:
    """Everything wrong with `with`, each with its place, but for the packages themselves. Texts with `${{ }}` pass."""
    page = Page(lifecycle.source, (*stage.path, "with"))
    of = f"`with` of stage `{stage.id}`"
    for key in data:
        if key not in _KEYS:
            listed = ", ".join(f"`{name}`" for name in _KEYS)
            page.at(key).report(
                f"unknown key `{key}` in {of}", did_you_mean(key, _KEYS) or f"known keys: {listed}", key=True
            )
    given = [key for key in ("packages", "manifest") if key in data]
    if len(given) != 1:
        what = "both" if given else "none"
        where = page if data else Page(lifecycle.source, (*stage.path, "mode"), page.problems)
        where.report(f"{of} needs one of `packages` and `manifest`, and has {what}", "write `packages: [git, jq]`")
    for key in ("features", "consent"):
        if key in data and not _is_expression(data[key]):
            page.at(key).texts(data[key], f"`{key}`")
    for key in ("update", "privileged"):
        if key in data and not isinstance(data[key], bool) and not _is_expression(data[key]):
            page.at(key).report(f"`{key}` must be `true` or `false`")
    for key in ("manifest", "definitions", "platform"):
        if key in data and (not isinstance(data[key], str) or not data[key]):
            page.at(key).report(f"`{key}` must be a text")
    _check_action(data, page)
    _check_prefixes(data, page)
    if stage.compensation is not None:
        text = f"stage `{stage.id}` has parts, each of which is undone by itself, and no `compensate`"
        Page(lifecycle.source, (*stage.path, "compensate"), page.problems).report(
            text, "write it in a stage of steps behind this one", key=True
        )
    return page.problems


def _check_action(data: Mapping[str, Json], page: Page) -> None:
    action = data.get("action", "deploy")
    if action not in PARTS and not _is_expression(action):
        known = ", ".join(f"`{name}`" for name in PARTS)
        page.at("action").report(
            f"there is no action `{action}`", did_you_mean(str(action), PARTS) or f"known are {known}"
        )


def _check_prefixes(data: Mapping[str, Json], page: Page) -> None:
    managers = [name for name in MANAGERS if name != "cask"]
    for name, prefix in page.at("prefixes").mapping(data.get("prefixes", {}), "`prefixes`").items():
        inner = page.at("prefixes", name)
        if name not in managers:
            inner.report(f"there is no package manager `{name}`", did_you_mean(name, managers), key=True)
        if not isinstance(prefix, str) or not prefix:
            inner.report(f"the prefix of {name} must be a path")


def _is_expression(value: Json) -> bool:
    return isinstance(value, str) and "${{" in value


def _texts(value: Json) -> tuple[str, ...]:
    return tuple(str(item) for item in items_of(value))
