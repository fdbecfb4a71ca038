"""Whether single values of `with` of a `preview` stage have the form they must have: texts, scripts, durations, hooks, outputs.

Each check notes what is wrong on the page that it is given; `what` is what the value is called.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from shipway.canonical import Json, mapping
from shipway.durations import parse_ms
from shipway.errors import did_you_mean
from shipway.package_manifest import Page

_HOOK = ("run", "cache", "timeout", "env", "verify")
_TYPES = ("string", "integer", "secret")
_VARIABLE = re.compile("[A-Za-z_][A-Za-z0-9_]*")

Check = Callable[[Page, Json, str], None]
"""Looks at one value: where it stands, what it is, and what it is called."""


def check_keys(
    page: Page, data: Mapping[str, Json], known: tuple[str, ...], what: str, hints: Mapping[str, str]
) -> None:
    """Refuse keys that are none of `known`, with the nearest one or what `hints` say of it."""
    for key in data:
        if key not in known:
            listed = "known keys: " + ", ".join(f"`{name}`" for name in known)
            hint = hints.get(key) or did_you_mean(key, known) or listed
            page.at(key).report(f"unknown key `{key}` in {what}", hint, key=True)


def members(page: Page, value: Json, what: str) -> Mapping[str, Json]:
    """The value where it is a mapping; else an empty one, and a problem."""
    if isinstance(value, Mapping):
        return value
    page.report(f"{what} must be a mapping, not {shown(value)}")
    return {}


def is_open(value: Json) -> bool:
    """Whether a value is known only later."""
    return isinstance(value, str) and "${{" in value


def check_text(page: Page, value: Json, what: str) -> None:
    """Refuse what is no text."""
    if value == "" or isinstance(value, bool | None) or not isinstance(value, str | int | float):
        page.report(f"{what} must be a text, not {shown(value)}")


def check_script(page: Page, value: Json, what: str) -> None:
    """Refuse what is no script, and one with an expression in it."""
    if not isinstance(value, str) or not value.strip():
        page.report(f"{what} must be a script, not {shown(value)}")
    elif "${{" in value:
        page.report(f"an expression inside the script {what}", 'write it in `env`, and use the variable: "$NAME"')


def check_flag(page: Page, value: Json, what: str) -> None:
    """Refuse what is neither true nor false."""
    if not isinstance(value, bool) and not is_open(value):
        page.report(f"{what} must be `true` or `false`, not {shown(value)}")


def check_duration(page: Page, value: Json, what: str) -> None:
    """Refuse what is no duration."""
    if is_open(value):
        return
    try:
        parse_ms(str(value) if isinstance(value, str) else "")
    except ValueError:
        hint = f"write a unit: `{value}s`" if isinstance(value, int) and not isinstance(value, bool) else ""
        page.report(f"{what} must be a duration such as `90s`, not {shown(value)}", hint)


def check_texts(page: Page, value: Json, what: str) -> None:
    """Refuse what is no list of texts."""
    page.texts(value, what)


def check_whole(page: Page, value: Json, what: str, most: int) -> None:
    """Refuse what is no whole number from 1 to `most`."""
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    if not is_open(value) and not (is_whole and 0 < int(str(value)) <= most):
        page.report(f"{what} must be a whole number from 1 to {most}, not {shown(value)}")


def check_hook(page: Page, value: Json, what: str) -> None:
    """Refuse what is no hook: a script, or a mapping with one."""
    if not isinstance(value, Mapping):
        check_script(page, value, what)
        return
    check_keys(
        page, value, _HOOK, what, {"command": "it is called `run` here", "allow_cache": "it is called `cache` here"}
    )
    if "run" not in value:
        page.report(f"{what} needs `run`", "write `run: ./script`", key=True)
    checks: dict[str, Check] = {
        "run": check_script,
        "verify": check_script,
        "cache": check_flag,
        "timeout": check_duration,
        "env": check_env,
    }
    for key, inner in value.items():
        if key in checks:
            checks[key](page.at(key), inner, f"`{key}` of {what}")


def check_env(page: Page, value: Json, what: str) -> None:
    """Refuse what are no variables with a text each."""
    for name, text in members(page, value, what).items():
        inner = page.at(name)
        if not _VARIABLE.fullmatch(name):
            inner.report(f"`{name}` is no name of a variable", "use letters, digits and `_`", key=True)
        elif name.startswith("SHIPWAY_"):
            inner.report(f"`{name}` is Shipway's own to set", "give it another name", key=True)
        if text is None:
            inner.report(f"`{name}` in {what} has no value", 'write `""` for an empty text')
        elif isinstance(text, Mapping | list):
            inner.report(f"`{name}` in {what} must be a text, not {shown(text)}")


def check_outputs(page: Page, value: Json, what: str) -> None:
    """Refuse what are no outputs with a type each."""
    for name, rule in members(page, value, what).items():
        inner = page.at(name)
        if not _VARIABLE.fullmatch(name) or name == "made":
            inner.report(f"`{name}` is no name of an output", "use letters, digits and `_`", key=True)
        kind = mapping(rule).get("type") if isinstance(rule, Mapping) else rule
        if isinstance(rule, Mapping):
            check_keys(inner, rule, ("type", "required"), f"output `{name}`", {})
        if kind not in _TYPES:
            listed = ", ".join(f"`{word}`" for word in _TYPES)
            inner.report(f"the type of output `{name}` must be one of {listed}, not {shown(kind)}")


def shown(value: Json) -> str:
    """A value as problems show it."""
    match value:
        case None:
            return "nothing"
        case Mapping():
            return "a mapping"
        case list():
            return "a list"
        case str():
            line = value.splitlines()[0] if value.strip() else ""
            return f"`{line if len(line) <= 60 else line[:59] + '…'}`" if line else "the empty text"
        case _:
            return f"`{str(value).lower()}`"
