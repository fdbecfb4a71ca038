"""What a schema's refusal means, in words: which key, what was found, what to write instead. Validates nothing itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

from shipway.canonical import Json
from shipway.errors import did_you_mean, nearest
from shipway.places import Finding, place, section
from shipway.source import Path_


class Refusal(Struct, frozen=True):
    """One error of a validator: the `keyword` with its `value`, the `instance` at `path`, and the `rules` around the keyword."""

    kind: str
    path: Path_
    keyword: str
    value: Any
    instance: Any
    rules: Mapping[str, Any]


_TYPES = {
    "object": "a mapping",
    "array": "a list",
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "`true` or `false`",
    "null": "null",
}
_FORMS = {
    "duration": ("a duration", "write a number and a unit, such as `250ms`, `30s`, `1m30s`, `2h`"),
    "rate": ("a rate", "write a number and a duration, such as `10/1m` or `2/s`"),
    "text": ("a text", ""),
    "name": ("a name", "use lower-case letters, digits and `-`"),
    "target": ("the name of a target", "use lower-case letters, digits, `-` and `.`; `*` makes it a pattern"),
    "property": ("a name", "use letters, digits, `_` and `-`, with a letter or `_` first"),
    "variable": ("the name of an environment variable", "use letters, digits and `_`, with a letter or `_` first"),
    "variable pattern": ("the name of an environment variable", "use letters, digits and `_`; `*` makes it a pattern"),
    "zone": ("the name of a time zone", "write it like `Europe/Berlin` or `UTC`"),
    "version": ("a version", "write it like `0.1` or `0.1.2`"),
    "percentage": ("a percentage", "write it like `10%`"),
    "action": (
        "the name of an action",
        "write a dotted name such as `file.write`; GitHub's actions stay in the workflow",
    ),
    "gather": (
        "a list, an expression or a mapping",
        'write `gather: [a, b]`, `gather: "${{ values.hosts }}"`, or a mapping with `items`',
    ),
    "items": ("a list or an expression", 'write `[a, b]`, or `"${{ values.hosts }}"`'),
    "until": ("a script or a mapping", "write `until: ./ready`, or `until: {uses: file.exists, with: {path: x}}`"),
    "retry": ("a number of attempts or a mapping", "write `retry: 3`, or `retry: {attempts: 3, initial: 1s}`"),
    "undo": ("a script or a mapping", "write `undo: ./script`, or `undo: {run: ./script, timeout: 5m, retry: 3}`"),
    "approval": (
        "`required` or a mapping",
        "write `approval: required`, or `approval: {reviews: 2, from: [maintain]}`",
    ),
    "locks": ("a list or a mapping", "write `locks: [db]`, or `locks: {db: run, mirror: step}`"),
    "state": ("`local`, `git` or a mapping", "for a database: `state: {store: postgres, url: DATABASE_URL}`"),
    "hook": ("a script or a mapping", "write `node_failed: ./notify`, or `node_failed: {run: ./notify, timeout: 30s}`"),
    "hook name": ("the name of a hook", "use letters, digits, `_`, `-` and `.`, with a letter or `_` first"),
    "plan": ("a script or a mapping", "write `plan: ./script`, or `plan: {run: ./script, requires: [TAG]}`"),
}
_BOOLEANS = {
    "true": True,
    "yes": True,
    "on": True,
    "True": True,
    "TRUE": True,
    "false": False,
    "no": False,
    "off": False,
    "False": False,
    "FALSE": False,
}
_OTHER_NAMES = {
    "jobs": "stages",
    "depends_on": "needs",
    "dependsOn": "needs",
    "script": "run",
    "command": "run",
    "cmd": "run",
    "environment": "env",
    "continue-on-error": "allow_failure",
    "timeout-minutes": "timeout",
    "timeout_minutes": "timeout",
    "rollback_on_failure": "rollback",
    "vars": "values",
    "variables": "values",
    "concurrency": "parallel",
    "cwd": "working_directory",
}
_HOLDERS = {
    "top-level": ("defaults", frozenset({"on_cancel", "on_failure", "parallel", "rollback", "timeout"})),
    "steps": ("retry", frozenset({"attempts", "backoff", "initial", "jitter", "max"})),
}
_LATER = {
    "stages": frozenset({"locks"}),
    "steps": frozenset(
        {
            "approval",
            "cache",
        }
    ),
}
"""Keys that a later version will know: refused like any other, but not as a slip of the pen."""


_FORMS_OF_STEPS = ("uses", "until", "steps", "run", "deny_delete", "only_actions", "deny_opaque", "freeze")


def explain(refusal: Refusal, data: Json) -> Iterator[Finding]:
    """The findings that `refusal` of the document `data` amounts to; none where another refusal says the same."""
    explainer = _EXPLAINERS.get(refusal.keyword)
    if explainer is None:
        yield Finding(refusal.path, f"{_subject(refusal, data)} breaks the rule `{refusal.keyword}` of the schema")
        return
    yield from explainer(refusal, data)


def _unknown_keys(refusal: Refusal, data: Json) -> Iterator[Finding]:
    known = refusal.rules.get("properties", {})
    anchor = _anchor(refusal)
    for key in refusal.instance:
        if key in known:
            continue
        if key in _LATER.get(anchor, ()):
            text, hint = f"`{key}`{_of(refusal, data)} is not part of this version", "remove it"
        else:
            text, hint = f"unknown key `{key}`{_in(refusal, data)}", _guess(key, known, anchor)
        yield Finding((*refusal.path, key), text, hint, is_key=True, anchor=anchor)


def _meant(keys: Iterable[str], known: Mapping[str, Any]) -> set[str]:
    """The known keys that the unknown ones among `keys` seem to stand for; these need not be called missing."""
    return {meant for key in keys if key not in known and (meant := _OTHER_NAMES.get(key) or nearest(key, known))}


def _guess(key: str, known: Mapping[str, Any], anchor: str) -> str:
    if (other := _OTHER_NAMES.get(key)) in known:
        return f"it is called `{other}` here"
    holder, inner = _HOLDERS.get(anchor, ("", frozenset()))
    if key in inner:
        return f"it belongs into `{holder}`"
    return did_you_mean(key, known) or ("known keys: " + _listed(sorted(known)) if known else "")


def _wrong_type(refusal: Refusal, data: Json) -> Iterator[Finding]:
    wanted, hint = _form(refusal)
    types = [refusal.value] if isinstance(refusal.value, str) else list(refusal.value)
    wanted = wanted or _either([_TYPES[name] for name in types])
    subject = _subject(refusal, data)
    if refusal.instance is None:
        text = f"{subject} has no value; it must be {wanted}"
    else:
        text = f"{subject} must be {wanted}, not {_shown(refusal.instance)}"
    yield Finding(refusal.path, text, _type_hint(refusal, types) or hint, anchor=_anchor(refusal))


def _type_hint(refusal: Refusal, types: Sequence[str]) -> str:
    value, key = refusal.instance, refusal.path[-1] if refusal.path else ""
    is_scalar = isinstance(value, (str, bool, int, float))
    title = refusal.rules.get("title")
    if types == ["boolean"] and isinstance(value, str) and value in _BOOLEANS:
        return f"write `{'true' if _BOOLEANS[value] else 'false'}`, without quotes"
    if title == "duration" and isinstance(value, int) and not isinstance(value, bool):
        return f"write a unit: `{value}s`, or `{value}m`" if value else "write `0s`"
    if title == "rate" and isinstance(value, int) and not isinstance(value, bool):
        return f"write in which time: `{value}/1m`"
    if title == "percentage" and isinstance(value, int) and not isinstance(value, bool):
        return f"write `{value}%`"
    if types == ["array"] and is_scalar and isinstance(key, str):
        return f"write `{key}: [{value}]`"
    if types == ["string"] and is_scalar:
        return f'quote it: `"{json.dumps(value)}"`'
    if types == ["object"] and value is None and "required" not in refusal.rules and "oneOf" not in refusal.rules:
        return f"write `{key}: {{}}` for an empty one"
    if title == "text" and value is None and "minLength" not in refusal.rules:
        return 'write `""` for an empty text'
    return ""


def _missing_key(refusal: Refusal, data: Json) -> Iterator[Finding]:
    known = refusal.rules.get("properties", {})
    meant = _meant(refusal.instance, known)
    for key in refusal.value:
        if key not in refusal.instance and key not in meant:
            name = place(refusal.path, data) if refusal.kind == "declaration" else _json_path(refusal.path)
            hint = "write `version: 1`" if key == "version" and not refusal.path else ""
            yield Finding(refusal.path, f"{name} needs `{key}`", hint, is_key=True, anchor=_anchor(refusal))


def _not_one_of(refusal: Refusal, data: Json) -> Iterator[Finding]:
    allowed = [json.dumps(value).strip('"') for value in refusal.value]
    hint = did_you_mean(refusal.instance, allowed) if isinstance(refusal.instance, str) else ""
    text = f"{_subject(refusal, data)} must be one of {_listed(allowed)}, not {_shown(refusal.instance)}"
    yield Finding(refusal.path, text, hint, anchor=_anchor(refusal))


def _not_constant(refusal: Refusal, data: Json) -> Iterator[Finding]:
    text = f"{_subject(refusal, data)} must be `{json.dumps(refusal.value).strip(chr(34))}`, not {_shown(refusal.instance)}"
    hint = "remove the quotes" if refusal.instance == str(refusal.value) else ""
    yield Finding(refusal.path, text, hint, anchor=_anchor(refusal))


def _not_in_form(refusal: Refusal, data: Json) -> Iterator[Finding]:
    wanted, hint = _form(refusal)
    if not wanted:
        wanted = f"a text like {refusal.rules.get('pattern', 'the schema says')}"
    is_long = refusal.keyword == "maxLength"
    text = (
        f"{_shown(refusal.instance)} is too long for {wanted}"
        if is_long
        else f"{_shown(refusal.instance)} is not {wanted}"
    )
    if refusal.instance == "":
        text = f"{_subject(refusal, data)} is empty"
    if is_long:
        hint = f"use at most {refusal.value} characters"
    # A key that is refused is the last of the path of nothing: the path leads to the mapping around it.
    is_key = isinstance(refusal.instance, str) and _value_is_mapping(data, refusal.path)
    path = (*refusal.path, refusal.instance) if is_key else refusal.path
    yield Finding(path, text, hint, is_key=is_key, anchor=_anchor(refusal))


def _value_is_mapping(data: Json, path: Path_) -> bool:
    value: Any = data
    for part in path:
        value = value[part]
    return isinstance(value, Mapping)


def _out_of_range(refusal: Refusal, data: Json) -> Iterator[Finding]:
    bound = "at least" if refusal.keyword == "minimum" else "at most"
    text = f"{_subject(refusal, data)} must be {bound} {refusal.value}, not {_shown(refusal.instance)}"
    yield Finding(refusal.path, text, anchor=_anchor(refusal))


def _too_few(refusal: Refusal, data: Json) -> Iterator[Finding]:
    yield Finding(
        refusal.path, f"{_subject(refusal, data)} is empty", "it needs at least one entry", anchor=_anchor(refusal)
    )


def _not_exactly_one(refusal: Refusal, data: Json) -> Iterator[Finding]:
    """Alternatives are written in the schemas as `oneOf` over `required`, one key each."""
    keys = [branch["required"][0] for branch in refusal.value if branch.get("required")]
    if not isinstance(refusal.instance, Mapping) or len(keys) != len(refusal.value):
        return
    present = [key for key in keys if key in refusal.instance]
    anchor = _anchor(refusal)
    if not present and not _meant(refusal.instance, refusal.rules.get("properties", {})).isdisjoint(keys):
        return
    kind = {
        "steps": "a step",
        "stages": "a stage",
        "compensate": "a step",
        "gather": "a gather",
        "policy": "a policy",
    }.get(anchor, "a declaration")
    of = f": {place(refusal.path, data)}" if refusal.path else ""
    what = "both" if len(present) > 1 else "none"
    text = (
        f"{kind} needs exactly one of {_listed(keys)}{of} has {what}"
        if of
        else f"{kind} needs exactly one of {_listed(keys)}"
    )
    hint = "remove one of them" if present else ""
    yield Finding((*refusal.path, *present[1:2]), text, hint, is_key=True, anchor=anchor)


def _belongs_to(refusal: Refusal, data: Json) -> Iterator[Finding]:
    form = next((form for form in _FORMS_OF_STEPS if form in refusal.instance), None)
    for key, needed in refusal.value.items():
        missing = [other for other in needed if other not in refusal.instance]
        if key in refusal.instance and missing and form is not None:
            text = f"`{key}` belongs to `{missing[0]}`, and {place(refusal.path, data)} has `{form}`"
            hint = "an action brings its own" if form == "uses" else "remove it"
            yield Finding((*refusal.path, key), text, hint, is_key=True, anchor=_anchor(refusal))


_EXPLAINERS: dict[str, Callable[[Refusal, Json], Iterator[Finding]]] = {
    "additionalProperties": _unknown_keys,
    "unevaluatedProperties": _unknown_keys,
    "type": _wrong_type,
    "required": _missing_key,
    "enum": _not_one_of,
    "const": _not_constant,
    "pattern": _not_in_form,
    "minLength": _not_in_form,
    "maxLength": _not_in_form,
    "minimum": _out_of_range,
    "maximum": _out_of_range,
    "minItems": _too_few,
    "minProperties": _too_few,
    "oneOf": _not_exactly_one,
    "dependentRequired": _belongs_to,
}


def _form(refusal: Refusal) -> tuple[str, str]:
    return _FORMS.get(str(refusal.rules.get("title", "")), ("", ""))


def _anchor(refusal: Refusal) -> str:
    return section(refusal.path) if refusal.kind == "declaration" else ""


def _subject(refusal: Refusal, data: Json) -> str:
    if refusal.kind != "declaration":
        return _json_path(refusal.path)
    return place(refusal.path, data)


def _in(refusal: Refusal, data: Json) -> str:
    return f" in {_subject(refusal, data)}" if refusal.path else ""


def _of(refusal: Refusal, data: Json) -> str:
    return f" of {_subject(refusal, data)}" if refusal.path else ""


def _json_path(path: Path_) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return f"`{text.removeprefix('.')}`" if text else "the document"


def _shown(value: Json) -> str:
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, str):
        shown = value.split("\n")[0]
        cut = shown if len(shown) <= 60 and shown == value else shown[:59] + "…"
        return f"the text `{cut}`" if value else "the empty text"
    return f"`{json.dumps(value)}`"


def _either(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _listed(words: Sequence[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)
