"""Places of a declaration in words (`retry` of step `compile` of stage `build`), and step ids. Reads data of any shape."""

from __future__ import annotations

import re
from collections.abc import Mapping

from msgspec import Struct

from shipway.canonical import Json
from shipway.source import Path_

MAIN_STAGE = "main"
"""The id of the one stage that top-level `steps` are."""

_ID_LENGTH = 32
_COMPENSATING = 5
"""How long the path of a step of a compensation is: `stages`, the stage, `compensate`, `steps`, the step."""
_INNER = (("steps",), ("emits", "steps"))
"""Where the steps inside a step are, behind its path."""

_OWNERS = {"inputs": "input", "limits": "limit", "locks": "lock", "policy": "policy", "targets": "target"}
_SECTIONS = frozenset(
    [
        "approval",
        "compensate",
        "defaults",
        "emits",
        "env",
        "gather",
        "hooks",
        "inputs",
        "limits",
        "locks",
        "needs",
        "outputs",
        "plan",
        "policy",
        "reads",
        "retry",
        "secrets",
        "stages",
        "state",
        "steps",
        "targets",
        "undo",
        "until",
        "values",
        "with",
    ]
)
_ABOUT = {
    "top-level": "keys of a declaration",
    "stages": "keys of a stage",
    "compensate": "keys of a compensation",
    "approval": "keys of `approval`",
    "steps": "keys of a step",
    "targets": "keys of a target",
    "inputs": "keys of an input",
    "limits": "keys of a limit",
    "retry": "keys of `retry`",
    "state": "keys of `state`",
    "locks": "locks",
    "hooks": "keys of `hooks`",
    "gather": "keys of `gather`",
    "emits": "keys of `emits`",
    "until": "keys of `until`",
    "outputs": "outputs",
    "plan": "keys of `plan`",
    "policy": "keys of a policy",
    "undo": "keys of `undo`",
    "defaults": "keys of `defaults`",
    "expressions": "expressions",
    "needs": "needs",
}


class Finding(Struct, frozen=True):
    """Something wrong at `path` of a document, before it has a position: `is_key` where the key is at fault, not its value.

    `span` is offset and width inside the text at `path`; `anchor` is the section of docs/declaration.md that helps.
    """

    path: Path_
    text: str
    hint: str = ""
    is_key: bool = False
    anchor: str = ""
    span: tuple[int, int] | None = None


def about(anchor: str) -> str:
    """What a section of docs/declaration.md is about, in a few words; empty where it has no words of its own."""
    return _ABOUT.get(anchor, "")


def section(path: Path_) -> str:
    """The section of docs/declaration.md on the mapping or value at `path`."""
    owner, rest = _split(path)
    first = str(rest[0]) if rest else ""
    if first in _SECTIONS:
        return first
    if not owner:
        return "top-level"
    if _is_compensating(owner):
        return "compensate"
    return "steps" if owner[-2] == "steps" else str(path[0])


def place(path: Path_, data: Json) -> str:
    """`path` of the declaration `data` in words; "the declaration" for the empty path."""
    owner, rest = _split(path)
    words = [_part_words(rest[: depth + 1]) for depth in range(len(rest))]
    inner = [word for word in reversed(words) if word] + ([_owner_words(owner, data)] if owner else [])
    return " of ".join(inner) or "the declaration"


def step_of(path: Path_) -> Path_ | None:
    """The path of the step that `path` leads to or into; None elsewhere."""
    owner, _ = _split(path)
    return owner if owner and owner[-2] == "steps" else None


def derived_id(step: Mapping[str, Json]) -> str:
    """The id of a step of a list: its `id`, else words of its `name`, of the first line of `run`, or of `uses`.

    Lower-case words joined by `-`, at most 32 characters, cut at a word; empty where there is no word at all.
    """
    if isinstance(own := step.get("id"), str):
        return own
    for key in ("name", "run", "uses"):
        value = step.get(key)
        lines = str(value).strip().splitlines() if isinstance(value, (str, int, float)) else []
        if lines and (made := _slug(lines[0])):
            return made
    return ""


def step_id(step: Json, key: str | int) -> str:
    """The id of the step under `key` of its mapping or list."""
    if isinstance(key, str):
        return key
    return derived_id(step) if isinstance(step, Mapping) else ""


def at(data: Json, path: Path_) -> Json:
    """The value at `path`, None where there is none."""
    for part in path:
        if isinstance(data, Mapping) and isinstance(part, str):
            data = data.get(part)
        elif isinstance(data, list) and isinstance(part, int) and part < len(data):
            data = data[part]
        else:
            return None
    return data


def _slug(line: str) -> str:
    made = ""
    for word in re.findall("[a-z0-9]+", line.lower()):
        longer = f"{made}-{word}" if made else word[:_ID_LENGTH]
        if len(longer) > _ID_LENGTH:
            break
        made = longer
    return made


def _split(path: Path_) -> tuple[Path_, Path_]:
    """The path of the named thing that `path` leads into (step, stage, input …; empty: the declaration), and the rest."""
    length = _outer_length(path)
    while length and path[length - 2] == "steps":
        inner = next((word for word in _INNER if path[length : length + len(word)] == word), None)
        if inner is None or len(path) <= length + len(inner):
            break
        length += len(inner) + 1
    return path[:length], path[length:]


def _outer_length(path: Path_) -> int:
    if len(path) >= _COMPENSATING and path[0] == "stages" and path[2:4] == ("compensate", "steps"):
        return _COMPENSATING
    if len(path) >= 4 and path[0] == "stages" and path[2] == "steps":
        return 4
    return 2 if len(path) >= 2 and (path[0] in {"stages", "steps"} or path[0] in _OWNERS) else 0


def _is_compensating(owner: Path_) -> bool:
    return len(owner) == _COMPENSATING and owner[2] == "compensate"


def _owner_words(owner: Path_, data: Json) -> str:
    kind, key = owner[-2], owner[-1]
    if kind == "stages":
        return f"stage `{key}`"
    if kind != "steps":
        return f"{_OWNERS[str(kind)]} `{key}`"
    name = step_id(at(data, owner), key)
    words = f"step `{name}`" if name else f"step number {int(key) + 1}"
    if _is_compensating(owner):
        return f"{words} of the compensation of stage `{owner[1]}`"
    if len(owner) == 2:
        return words
    outer = _split(owner[:-1])[0]
    return f"{words} of {_owner_words(outer, data)}"


def _part_words(path: Path_) -> str:
    last = path[-1]
    return f"item {last + 1}" if isinstance(last, int) else f"`{last}`"
