"""Which scripts a platform takes, which features are on and what settings are. Pure: words in, words or a refusal out."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from msgspec import Struct, field

from shipway.canonical import Json
from shipway.errors import did_you_mean

PARTS: Mapping[str, tuple[str, ...]] = {
    "deploy": ("prepare", "install", "provision", "verify"),
    "upgrade": ("prepare", "upgrade", "migrate", "verify"),
    "decommission": ("unprovision", "uninstall", "cleanup"),
    "reconcile": ("scan", "repair", "verify"),
}
"""The parts of each lifecycle action, in their order."""

REQUIRED: Mapping[str, str] = {
    "deploy": "install",
    "upgrade": "upgrade",
    "decommission": "uninstall",
    "reconcile": "repair",
}
"""The part of each without which there is nothing to do."""

_UNIX = frozenset({"Linux", "Darwin"})


class Unfit(ValueError):
    """A choice that cannot be made; `hint` says what could be."""

    def __init__(self, text: str, hint: str = "") -> None:
        super().__init__(text)
        self.hint = hint


class SettingRule(Struct, frozen=True):
    """A setting of a package: its type word (string integer number boolean), default (None: none), and what it may be."""

    type: str = "string"
    default: Json = None
    values: tuple[Json, ...] = ()


class FeatureRule(Struct, frozen=True):
    """A feature of a package: whether it is on unless said otherwise, and the packages that it needs besides."""

    default: bool = False
    packages: tuple[str, ...] = ()


class Choice(Struct, frozen=True):
    """What was chosen for one package: features in order, settings by name in declared order."""

    features: tuple[str, ...] = ()
    settings: Mapping[str, Json] = field(default_factory=dict)


def script_order(platform: str) -> tuple[str, ...]:
    """The platforms whose scripts run on `platform`, the widest first: `Linux.Debian` → Common, Unix, Linux, Linux.Debian."""
    system, _, distribution = platform.partition(".")
    unix = ("Unix",) if system in _UNIX else ()
    return ("Common", *unix, system, *((platform,) if distribution else ()))


def supports(declared: str, platform: str) -> bool:
    """Whether what is for `declared` is for `platform`: `Linux` is for `Linux.Debian`, and not the other way round."""
    return declared in script_order(platform)


def features_of(
    rules: Mapping[str, FeatureRule], run: Sequence[str], package: Sequence[str], *, shared: Collection[str] = ()
) -> tuple[str, ...]:
    """The package's own explicit features, those of the run, then defaults in declared order; `-x` turns x off.

    Those of `shared` that the package does not have are passed over: they are for others. Raises Unfit for an unknown one.
    """
    explicit = [word for word in (*package, *run) if word.removeprefix("-") in rules or word not in shared]
    for word in explicit:
        if word.removeprefix("-") not in rules:
            known = ", ".join(f"`{name}`" for name in rules) or "none"
            hint = did_you_mean(word.removeprefix("-"), rules) or f"it has: {known}"
            raise Unfit(f"there is no feature `{word.removeprefix('-')}`", hint)
    off = {word[1:] for word in explicit if word.startswith("-")}
    wanted = [word for word in explicit if not word.startswith("-")]
    wanted += [name for name, rule in rules.items() if rule.default]
    return tuple(name for name in dict.fromkeys(wanted) if name not in off)


def settings_of(rules: Mapping[str, SettingRule], explicit: Mapping[str, Json]) -> dict[str, Json]:
    """Defaults in declared order, with what is explicit in their place. Raises Unfit for an unknown name or a wrong value."""
    for name, value in explicit.items():
        if name not in rules:
            known = ", ".join(f"`{other}`" for other in rules) or "none"
            raise Unfit(f"there is no setting `{name}`", did_you_mean(name, rules) or f"it has: {known}")
        refuse_value(name, rules[name], value)
    merged = {name: explicit.get(name, rule.default) for name, rule in rules.items()}
    return {name: value for name, value in merged.items() if value is not None}


def refuse_value(name: str, rule: SettingRule, value: Json) -> None:
    """Raises Unfit where `value` is not of the setting's type, or not one of its values."""
    if not _fits(rule.type, value):
        raise Unfit(
            f"setting `{name}` is declared {rule.type}, and is {_shown(value)}", f"write {_EXAMPLES[rule.type]}"
        )
    if rule.values and value not in rule.values:
        allowed = ", ".join(f"`{_plain(each)}`" for each in rule.values)
        hint = did_you_mean(str(value), [str(each) for each in rule.values]) or f"it may be {allowed}"
        raise Unfit(f"setting `{name}` cannot be `{_plain(value)}`", hint)


def setting_text(value: Json) -> str:
    """A setting as a script gets it."""
    return _plain(value)


_EXAMPLES = {"string": "a text", "integer": "a whole number", "number": "a number", "boolean": "`true` or `false`"}
SETTING_TYPES = tuple(_EXAMPLES)
"""What a setting may be."""


def _fits(word: str, value: Json) -> bool:
    if word == "boolean":
        return isinstance(value, bool)
    if word == "integer":
        return isinstance(value, int) and not isinstance(value, bool)
    if word == "number":
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return isinstance(value, str)


def _plain(value: Json) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _shown(value: Json) -> str:
    if isinstance(value, str):
        return f"the text `{value}`"
    return f"`{_plain(value)}`" if isinstance(value, (bool, int, float)) else "something else"
