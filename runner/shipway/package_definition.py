"""Reads the definition of a package: where it is installed from, its scripts, features and settings. Looks at no machine."""

from __future__ import annotations

import re
from collections.abc import Mapping

from msgspec import Struct, field

from shipway.canonical import Json
from shipway.errors import did_you_mean
from shipway.package_choices import PARTS, SETTING_TYPES, FeatureRule, SettingRule, Unfit, refuse_value
from shipway.package_manifest import Asked, Page, read_packages

_FIELDS = ("description", "platforms", "native", "features", "settings", "scripts", "verification")
_PLATFORM = re.compile(r"Common|Unix|Windows|Darwin|Linux|FreeBSD|Linux\.[A-Z][A-Za-z0-9]*")
_PARTS = tuple(dict.fromkeys(part for parts in PARTS.values() for part in parts))
_NAME = re.compile(r"[a-z][a-z0-9_-]*")


class Verification(Struct, frozen=True):
    """How a package proves that it is there: a command that exits 0, and a pattern in what it says (POSIX extended)."""

    command: str
    pattern: str = ""


class Definition(Struct, frozen=True):
    """A package as somebody vouches for it.

    `platforms` empty: all. `native` are the packages it is installed as, by platform. `scripts` are files, by part and platform.
    """

    platforms: tuple[str, ...] = ()
    native: Mapping[str, tuple[Asked, ...]] = field(default_factory=dict)
    features: Mapping[str, FeatureRule] = field(default_factory=dict)
    settings: Mapping[str, SettingRule] = field(default_factory=dict)
    scripts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    verification: Verification | None = None


def read_definition(data: Json, page: Page) -> Definition:
    """The definition that `package.yaml` holds; what is wrong with it is reported to `page`."""
    fields = page.mapping(data, "the definition", _FIELDS)
    read = {key: page.at(key) for key in fields}
    platforms = read["platforms"].texts(fields["platforms"], "`platforms`") if "platforms" in fields else ()
    for place, name in enumerate(platforms):
        _check_platform(name, read["platforms"].at(place))
    return Definition(
        platforms,
        _native(fields["native"], read["native"]) if "native" in fields else {},
        _features(fields["features"], read["features"]) if "features" in fields else {},
        _settings(fields["settings"], read["settings"]) if "settings" in fields else {},
        _scripts(fields["scripts"], read["scripts"]) if "scripts" in fields else {},
        _verification(fields["verification"], read["verification"]) if "verification" in fields else None,
    )


def has_function(script: str, name: str) -> bool:
    """Whether a shell script defines the function `name`."""
    form = rf"^[ \t]*(?:function[ \t]+{re.escape(name)}\b|{re.escape(name)}[ \t]*\(\))"
    return re.search(form, script, re.MULTILINE) is not None


def _native(data: Json, page: Page) -> dict[str, tuple[Asked, ...]]:
    found = {}
    for name, value in page.mapping(data, "`native`").items():
        _check_platform(name, page.at(name), key=True)
        listed = value if isinstance(value, list) else [value]
        inner = page.at(name)
        found[name] = read_packages(listed, inner if isinstance(value, list) else _Single(inner))
    return found


class _Single(Page):
    """The place of one value that is read like a list of one."""

    def __init__(self, page: Page) -> None:
        super().__init__(page._tree, page.path, page.problems)

    def at(self, *path: str | int) -> Page:
        return Page(self._tree, self.path, self.problems)


def _features(data: Json, page: Page) -> dict[str, FeatureRule]:
    found = {}
    for name, rule in page.mapping(data, "`features`").items():
        inner = page.at(name)
        _check_name(name, inner)
        fields = inner.mapping(
            rule if rule is not None else {}, f"feature `{name}`", ("default", "packages", "description")
        )
        default = fields.get("default", False)
        if not isinstance(default, bool):
            inner.at("default").report(f"`default` of feature `{name}` must be `true` or `false`")
        packages = inner.at("packages").texts(fields["packages"], "`packages`") if "packages" in fields else ()
        read_packages(list(packages), inner.at("packages"))
        found[name] = FeatureRule(default is True, packages)
    return found


def _settings(data: Json, page: Page) -> dict[str, SettingRule]:
    found = {}
    for name, value in page.mapping(data, "`settings`").items():
        inner = page.at(name)
        _check_name(name, inner)
        fields = inner.mapping(value, f"setting `{name}`", ("type", "default", "values", "description"))
        word = fields.get("type", "string")
        if word not in SETTING_TYPES:
            known = ", ".join(f"`{each}`" for each in SETTING_TYPES)
            inner.at("type").report(f"setting `{name}` has the unknown type `{word}`", f"known are {known}")
            continue
        values = fields.get("values", [])
        if not isinstance(values, list):
            inner.at("values").report(f"`values` of setting `{name}` must be a list")
            values = []
        rule = SettingRule(str(word), fields.get("default"), tuple(values))
        found[name] = rule
        if rule.default is not None:
            try:
                refuse_value(name, rule, rule.default)
            except Unfit as unfit:
                inner.at("default").report(str(unfit), unfit.hint)
    return found


def _scripts(data: Json, page: Page) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for part, files in page.mapping(data, "`scripts`").items():
        inner = page.at(part)
        if part not in _PARTS:
            listed = ", ".join(f"`{name}`" for name in _PARTS)
            inner.report(f"there is no part `{part}`", did_you_mean(part, _PARTS) or f"known are {listed}", key=True)
            continue
        for platform, file in inner.mapping(files, f"scripts of `{part}`").items():
            place = inner.at(platform)
            _check_platform(platform, place, key=True)
            if not isinstance(file, str) or not file or file.startswith("/") or ".." in file.split("/"):
                place.report("a script is a file beside the definition", "write `install.sh`")
            else:
                found.setdefault(part, {})[platform] = file
    return found


def _verification(data: Json, page: Page) -> Verification | None:
    fields = page.mapping(data, "`verification`", ("command", "pattern"))
    command, pattern = fields.get("command"), fields.get("pattern", "")
    if not isinstance(command, str) or not command:
        page.report("`verification` needs `command`", "write `command: tool --version`")
        return None
    if not isinstance(pattern, str):
        page.at("pattern").report("`pattern` must be a text", "quote it")
        return None
    return Verification(command, pattern)


def _check_platform(name: str, page: Page, *, key: bool = False) -> None:
    if not _PLATFORM.fullmatch(name):
        known = ("Common", "Unix", "Linux", "Darwin", "Windows", "FreeBSD")
        hint = (
            did_you_mean(name, known) or "known are Common, Unix, Linux, Linux.<Distribution>, Darwin, Windows, FreeBSD"
        )
        page.report(f"there is no platform `{name}`", hint, key=key)


def _check_name(name: str, page: Page) -> None:
    if not _NAME.fullmatch(name):
        page.report(f"`{name}` is no name", "use lower-case letters, digits, `-` and `_`, a letter first", key=True)
