"""Whether `with` of a `preview` stage has the form it must have: keys, types, words, names. Looks at no file.

Texts with `${{ }}` pass, except in scripts: what they come to is looked at again once it is known.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from shipway.canonical import Json, mapping
from shipway.declaration import Declaration, Stage
from shipway.durations import parse_ms
from shipway.errors import Problem, did_you_mean
from shipway.package_manifest import Page
from shipway.preview_names import NAME
from shipway.preview_settings import Doing, Role

_PROVISIONER = ("role", "before", "compute", "services", "after")
_RUNNER = ("role", "before", "infrastructure", "deploy", "destroy", "services", "after", "domain", "ttl", "quota")
_DERIVED = ("action", "service", "manifest", "checkout")
_HOOK = ("run", "cache", "timeout", "env", "verify")
_OWNED_HOOKS = ("init", "seed", "reset", "destroy")
_READY = ("tcp", "http", "run")
_TYPES = ("string", "integer", "secret")
_VARIABLE = re.compile("[A-Za-z_][A-Za-z0-9_]*")
_DOMAIN = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*(:[0-9]{1,5})?")
_MAX_PORT = 65_535

_Check = Callable[[Page, Json, str], None]


def shape_faults(stage: Stage, lifecycle: Declaration, data: Mapping[str, Json]) -> list[Problem]:
    """Everything wrong with the form of `with`, each with its place."""
    page = Page(lifecycle.source, (*stage.path, "with"))
    of = f"stage `{stage.id}`"
    if "role" not in data:
        where = page if data else Page(lifecycle.source, (*stage.path, "mode"), page.problems)
        where.report(f"`with` of {of} needs `role`", "write `role: provisioner`, or `role: runner`", key=True)
        return page.problems
    if data["role"] not in list(Role):
        page.at("role").report(f"`role` of {of} must be `provisioner` or `runner`, not {_shown(data['role'])}")
        return page.problems
    is_provisioner = data["role"] == Role.PROVISIONER
    known = _PROVISIONER if is_provisioner else _RUNNER
    derived = _DERIVED if _is_derived(lifecycle) else ()
    _keys(page, data, (*known, *derived), f"`with` of {of}", _of_the_other(known))
    checks: dict[str, _Check] = {
        **dict.fromkeys(("before", "after", "deploy", "destroy"), _hook),
        "compute": _compute,
        "services": _owned_services if is_provisioner else _services,
        "infrastructure": _infrastructure,
        "domain": _domain,
        "ttl": _duration,
        "quota": _quota,
        "action": _action,
    }
    for key, value in data.items():
        if key in (*known, *derived) and key in checks:
            checks[key](page.at(key), value, f"`{key}` of {of}")
    return page.problems


def _is_derived(lifecycle: Declaration) -> bool:
    """Whether it was made by Shipway out of another, and lies among what is Shipway's."""
    return lifecycle.file.startswith(".shipway/")


def _of_the_other(known: tuple[str, ...]) -> Mapping[str, str]:
    other, role = (_RUNNER, Role.RUNNER) if known is _PROVISIONER else (_PROVISIONER, Role.PROVISIONER)
    hints = {key: f"it belongs to a stage with `role: {role}`" for key in other if key not in known}
    return {**hints, "action": "`shipway preview down`, `stop` and the like do that", "manifest": "remove it"}


def _keys(page: Page, data: Mapping[str, Json], known: tuple[str, ...], what: str, hints: Mapping[str, str]) -> None:
    for key in data:
        if key not in known:
            listed = "known keys: " + ", ".join(f"`{name}`" for name in known if name not in _DERIVED)
            hint = hints.get(key) or did_you_mean(key, known) or listed
            page.at(key).report(f"unknown key `{key}` in {what}", hint, key=True)


def _mapping(page: Page, value: Json, what: str) -> Mapping[str, Json]:
    if isinstance(value, Mapping):
        return value
    page.report(f"{what} must be a mapping, not {_shown(value)}")
    return {}


def _is_open(value: Json) -> bool:
    return isinstance(value, str) and "${{" in value


def _text(page: Page, value: Json, what: str) -> None:
    if value == "" or isinstance(value, bool | None) or not isinstance(value, str | int | float):
        page.report(f"{what} must be a text, not {_shown(value)}")


def _script(page: Page, value: Json, what: str) -> None:
    if not isinstance(value, str) or not value.strip():
        page.report(f"{what} must be a script, not {_shown(value)}")
    elif "${{" in value:
        page.report(f"an expression inside the script {what}", 'write it in `env`, and use the variable: "$NAME"')


def _flag(page: Page, value: Json, what: str) -> None:
    if not isinstance(value, bool) and not _is_open(value):
        page.report(f"{what} must be `true` or `false`, not {_shown(value)}")


def _duration(page: Page, value: Json, what: str) -> None:
    if _is_open(value):
        return
    try:
        parse_ms(str(value) if isinstance(value, str) else "")
    except ValueError:
        hint = f"write a unit: `{value}s`" if isinstance(value, int) and not isinstance(value, bool) else ""
        page.report(f"{what} must be a duration such as `90s`, not {_shown(value)}", hint)


def _texts(page: Page, value: Json, what: str) -> None:
    page.texts(value, what)


def _whole(page: Page, value: Json, what: str, most: int) -> None:
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    if not _is_open(value) and not (is_whole and 0 < int(str(value)) <= most):
        page.report(f"{what} must be a whole number from 1 to {most}, not {_shown(value)}")


def _quota(page: Page, value: Json, what: str) -> None:
    _whole(page, value, what, 10_000)


def _action(page: Page, value: Json, what: str) -> None:
    if value not in list(Doing):
        page.report(f"{what} must be one of {', '.join(f'`{each}`' for each in Doing)}, not {_shown(value)}")


def _domain(page: Page, value: Json, what: str) -> None:
    if not _is_open(value) and not (isinstance(value, str) and _DOMAIN.fullmatch(value)):
        page.report(f"{what} must be a domain such as `previews.example.com`, not {_shown(value)}")


def _hook(page: Page, value: Json, what: str) -> None:
    if not isinstance(value, Mapping):
        _script(page, value, what)
        return
    _keys(page, value, _HOOK, what, {"command": "it is called `run` here", "allow_cache": "it is called `cache` here"})
    if "run" not in value:
        page.report(f"{what} needs `run`", "write `run: ./script`", key=True)
    checks: dict[str, _Check] = {"run": _script, "verify": _script, "cache": _flag, "timeout": _duration, "env": _env}
    for key, inner in value.items():
        if key in checks:
            checks[key](page.at(key), inner, f"`{key}` of {what}")


def _env(page: Page, value: Json, what: str) -> None:
    for name, text in _mapping(page, value, what).items():
        inner = page.at(name)
        if not _VARIABLE.fullmatch(name):
            inner.report(f"`{name}` is no name of a variable", "use letters, digits and `_`", key=True)
        elif name.startswith("SHIPWAY_"):
            inner.report(f"`{name}` is Shipway's own to set", "give it another name", key=True)
        if text is None:
            inner.report(f"`{name}` in {what} has no value", 'write `""` for an empty text')
        elif isinstance(text, Mapping | list):
            inner.report(f"`{name}` in {what} must be a text, not {_shown(text)}")


def _outputs(page: Page, value: Json, what: str) -> None:
    for name, rule in _mapping(page, value, what).items():
        inner = page.at(name)
        if not _VARIABLE.fullmatch(name) or name == "made":
            inner.report(f"`{name}` is no name of an output", "use letters, digits and `_`", key=True)
        kind = mapping(rule).get("type") if isinstance(rule, Mapping) else rule
        if isinstance(rule, Mapping):
            _keys(inner, rule, ("type", "required"), f"output `{name}`", {})
        if kind not in _TYPES:
            listed = ", ".join(f"`{word}`" for word in _TYPES)
            inner.report(f"the type of output `{name}` must be one of {listed}, not {_shown(kind)}")


def _compute(page: Page, value: Json, what: str) -> None:
    data = _mapping(page, value, what)
    known = ("create", "destroy", "list", "outputs", "host", "user", "port", "root", "ssh")
    _keys(page, data, known, what, {})
    checks: dict[str, _Check] = {
        **dict.fromkeys(("create", "destroy", "list"), _hook),
        **dict.fromkeys(("host", "user", "root"), _text),
        "outputs": _outputs,
        "port": lambda place, number, of: _whole(place, number, of, _MAX_PORT),
        "ssh": _ssh,
    }
    for key, inner in data.items():
        if key in checks:
            checks[key](page.at(key), inner, f"`{key}` of {what}")


def _ssh(page: Page, value: Json, what: str) -> None:
    data = _mapping(page, value, what)
    _keys(page, data, ("key", "known_hosts"), what, {})
    for name, text in data.items():
        _text(page.at(name), text, f"`{name}` of {what}")
    if "known_hosts" not in data:
        page.report(f"{what} needs `known_hosts`", "name a file of the repository: no host is trusted unseen", key=True)
    key = data.get("key")
    if isinstance(key, str) and not re.fullmatch(r"\s*\$\{\{\s*secrets\.[A-Za-z_][A-Za-z0-9_]*\s*\}\}\s*", key):
        page.at("key").report(f"`key` of {what} must name a secret", 'write `key: "${{ secrets.PREVIEW_KEY }}"`')


def _names(page: Page, data: Mapping[str, Json]) -> None:
    for name in data:
        if not NAME.fullmatch(name):
            page.at(name).report(
                f"`{name}` is no name of a service", "use lower-case letters, digits, `-` and `_`", key=True
            )


def _owned_services(page: Page, value: Json, what: str) -> None:
    data = _mapping(page, value, what)
    _names(page, data)
    for name, rule in data.items():
        inner, of = page.at(name), f"service `{name}`"
        fields = _mapping(inner, rule, of)
        _keys(inner, fields, ("outputs", *_OWNED_HOOKS), of, {})
        if "outputs" not in fields and isinstance(rule, Mapping):
            inner.report(f"{of} needs `outputs`", "write `outputs: {DSN: {type: secret}}`", key=True)
        elif fields.get("outputs") and "seed" not in fields:
            text = f"{of} hands out outputs, and needs `seed`, which makes it and writes them"
            inner.report(text, "write `seed: ./script`, here or in the overlay of the target", key=True)
        for key, inner_value in fields.items():
            if key == "outputs":
                _outputs(inner.at(key), inner_value, f"`outputs` of {of}")
            elif key in _OWNED_HOOKS:
                _hook(inner.at(key), inner_value, f"`{key}` of {of}")


def _services(page: Page, value: Json, what: str) -> None:
    data = _mapping(page, value, what)
    _names(page, data)
    checks: dict[str, _Check] = {
        "path": _text,
        "command": _script,
        "needs": _texts,
        "env": _env,
        "env_file": _text,
        "ready": _ready,
        "port": lambda place, number, of: _whole(place, number, of, _MAX_PORT),
    }
    hints = {"depends_on": "it is called `needs` here", "run": "it is called `command` here"}
    for name, rule in data.items():
        inner, of = page.at(name), f"service `{name}`"
        fields = _mapping(inner, rule, of)
        _keys(inner, fields, tuple(checks), of, hints)
        if "path" not in fields and isinstance(rule, Mapping):
            inner.report(f"{of} needs `path`", "name its folder in the repository: `path: services/api`", key=True)
        if "ready" in fields and "command" not in fields:
            text = f"`ready` of {of} asks for what nothing starts"
            inner.at("ready").report(text, "say how it is started: `command: ./serve`", key=True)
        for key, inner_value in fields.items():
            if key in checks:
                checks[key](inner.at(key), inner_value, f"`{key}` of {of}")


def _ready(page: Page, value: Json, what: str) -> None:
    data = _mapping(page, value, what)
    _keys(page, data, (*_READY, "within", "every"), what, {})
    given = [key for key in _READY if key in data]
    if len(given) != 1 and isinstance(value, Mapping):
        page.report(f"{what} needs exactly one of `tcp`, `http` and `run`", "write `ready: {http: /healthz}`", key=True)
    if data.get("tcp", True) is not True:
        page.at("tcp").report(f"`tcp` of {what} must be `true`")
    if "http" in data and not str(data["http"]).startswith("/"):
        page.at("http").report(f"`http` of {what} must be a path such as `/healthz`")
    if "run" in data:
        _script(page.at("run"), data["run"], f"`run` of {what}")
    for key in ("within", "every"):
        if key in data:
            _duration(page.at(key), data[key], f"`{key}` of {what}")


def _infrastructure(page: Page, value: Json, what: str) -> None:
    data = _mapping(page, value, what)
    _keys(page, data, ("compose_file",), what, {})
    if "compose_file" not in data and isinstance(value, Mapping):
        page.report(f"{what} needs `compose_file`", "write `infrastructure: {compose_file: compose.yaml}`", key=True)
    elif "compose_file" in data:
        _text(page.at("compose_file"), data["compose_file"], f"`compose_file` of {what}")


def _shown(value: Json) -> str:
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
