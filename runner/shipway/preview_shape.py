"""Whether `with` of a `preview` stage has the form it must have: keys, types, words, names. Looks at no file.

Texts with `${{ }}` pass, except in scripts: what they come to is looked at again once it is known.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from shipway.canonical import Json
from shipway.declaration import Declaration, Stage
from shipway.errors import Problem
from shipway.package_manifest import Page
from shipway.preview_fields import (
    Check,
    check_duration,
    check_env,
    check_hook,
    check_keys,
    check_outputs,
    check_script,
    check_text,
    check_texts,
    check_whole,
    is_open,
    members,
    shown,
)
from shipway.preview_names import NAME
from shipway.preview_settings import Doing, Role

_PROVISIONER = ("role", "before", "compute", "services", "after")
_RUNNER = ("role", "before", "infrastructure", "deploy", "destroy", "services", "after", "domain", "ttl", "quota")
_DERIVED = ("action", "service", "manifest", "checkout")
_OWNED_HOOKS = ("init", "seed", "reset", "destroy")
_READY = ("tcp", "http", "run")
_DOMAIN = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*(:[0-9]{1,5})?")
_MAX_PORT = 65_535


def known_keys(role: Role) -> tuple[str, ...]:
    """The keys that a person may write in `with` of a stage of this role."""
    return _PROVISIONER if role is Role.PROVISIONER else _RUNNER


def shape_faults(stage: Stage, lifecycle: Declaration, data: Mapping[str, Json]) -> list[Problem]:
    """Everything wrong with the form of `with`, each with its place."""
    page = Page(lifecycle.source, (*stage.path, "with"))
    of = f"stage `{stage.id}`"
    if "role" not in data:
        where = page if data else Page(lifecycle.source, (*stage.path, "mode"), page.problems)
        where.report(f"`with` of {of} needs `role`", "write `role: provisioner`, or `role: runner`", key=True)
        return page.problems
    if data["role"] not in list(Role):
        page.at("role").report(f"`role` of {of} must be `provisioner` or `runner`, not {shown(data['role'])}")
        return page.problems
    is_provisioner = data["role"] == Role.PROVISIONER
    known = known_keys(Role(str(data["role"])))
    derived = _DERIVED if _is_derived(lifecycle) else ()
    check_keys(page, data, (*known, *derived), f"`with` of {of}", _of_the_other(known))
    checks: dict[str, Check] = {
        **dict.fromkeys(("before", "after", "deploy", "destroy"), check_hook),
        "compute": _compute,
        "services": _owned_services if is_provisioner else _services,
        "infrastructure": _infrastructure,
        "domain": _domain,
        "ttl": check_duration,
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


def _quota(page: Page, value: Json, what: str) -> None:
    check_whole(page, value, what, 10_000)


def _action(page: Page, value: Json, what: str) -> None:
    if value not in list(Doing):
        page.report(f"{what} must be one of {', '.join(f'`{each}`' for each in Doing)}, not {shown(value)}")


def _domain(page: Page, value: Json, what: str) -> None:
    if not is_open(value) and not (isinstance(value, str) and _DOMAIN.fullmatch(value)):
        page.report(f"{what} must be a domain such as `previews.example.com`, not {shown(value)}")


def _compute(page: Page, value: Json, what: str) -> None:
    data = members(page, value, what)
    known = ("create", "destroy", "list", "outputs", "host", "user", "port", "root", "ssh")
    check_keys(page, data, known, what, {})
    checks: dict[str, Check] = {
        **dict.fromkeys(("create", "destroy", "list"), check_hook),
        **dict.fromkeys(("host", "user", "root"), check_text),
        "outputs": check_outputs,
        "port": lambda place, number, of: check_whole(place, number, of, _MAX_PORT),
        "ssh": _ssh,
    }
    for key, inner in data.items():
        if key in checks:
            checks[key](page.at(key), inner, f"`{key}` of {what}")


def _ssh(page: Page, value: Json, what: str) -> None:
    data = members(page, value, what)
    check_keys(page, data, ("key", "known_hosts"), what, {})
    for name, text in data.items():
        check_text(page.at(name), text, f"`{name}` of {what}")
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
    data = members(page, value, what)
    _names(page, data)
    for name, rule in data.items():
        inner, of = page.at(name), f"service `{name}`"
        fields = members(inner, rule, of)
        check_keys(inner, fields, ("outputs", *_OWNED_HOOKS), of, {})
        if "outputs" not in fields and isinstance(rule, Mapping):
            inner.report(f"{of} needs `outputs`", "write `outputs: {DSN: {type: secret}}`", key=True)
        elif fields.get("outputs") and "seed" not in fields:
            text = f"{of} hands out outputs, and needs `seed`, which makes it and writes them"
            inner.report(text, "write `seed: ./script`, here or in the overlay of the target", key=True)
        for key, inner_value in fields.items():
            if key == "outputs":
                check_outputs(inner.at(key), inner_value, f"`outputs` of {of}")
            elif key in _OWNED_HOOKS:
                check_hook(inner.at(key), inner_value, f"`{key}` of {of}")


def _services(page: Page, value: Json, what: str) -> None:
    data = members(page, value, what)
    _names(page, data)
    checks: dict[str, Check] = {
        "path": check_text,
        "command": check_script,
        "needs": check_texts,
        "env": check_env,
        "env_file": check_text,
        "ready": _ready,
        "port": lambda place, number, of: check_whole(place, number, of, _MAX_PORT),
    }
    hints = {"depends_on": "it is called `needs` here", "run": "it is called `command` here"}
    for name, rule in data.items():
        inner, of = page.at(name), f"service `{name}`"
        fields = members(inner, rule, of)
        check_keys(inner, fields, tuple(checks), of, hints)
        if "path" not in fields and isinstance(rule, Mapping):
            inner.report(f"{of} needs `path`", "name its folder in the repository: `path: services/api`", key=True)
        if "ready" in fields and "command" not in fields:
            text = f"`ready` of {of} asks for what nothing starts"
            inner.at("ready").report(text, "say how it is started: `command: ./serve`", key=True)
        for key, inner_value in fields.items():
            if key in checks:
                checks[key](inner.at(key), inner_value, f"`{key}` of {of}")


def _ready(page: Page, value: Json, what: str) -> None:
    data = members(page, value, what)
    check_keys(page, data, (*_READY, "within", "every"), what, {})
    given = [key for key in _READY if key in data]
    if len(given) != 1 and isinstance(value, Mapping):
        page.report(f"{what} needs exactly one of `tcp`, `http` and `run`", "write `ready: {http: /healthz}`", key=True)
    if data.get("tcp", True) is not True:
        page.at("tcp").report(f"`tcp` of {what} must be `true`")
    if "http" in data and not str(data["http"]).startswith("/"):
        page.at("http").report(f"`http` of {what} must be a path such as `/healthz`")
    if "run" in data:
        check_script(page.at("run"), data["run"], f"`run` of {what}")
    for key in ("within", "every"):
        if key in data:
            check_duration(page.at(key), data[key], f"`{key}` of {what}")


def _infrastructure(page: Page, value: Json, what: str) -> None:
    data = members(page, value, what)
    check_keys(page, data, ("compose_file",), what, {})
    if "compose_file" not in data and isinstance(value, Mapping):
        page.report(f"{what} needs `compose_file`", "write `infrastructure: {compose_file: compose.yaml}`", key=True)
    elif "compose_file" in data:
        check_text(page.at("compose_file"), data["compose_file"], f"`compose_file` of {what}")
