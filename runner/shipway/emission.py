"""What a step adds to its run: lines of JSON that name one of its templates, read and checked. Pure; reads no file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from shipway.canonical import Json, NotCanonical, canonical_bytes, json_fault
from shipway.errors import did_you_mean
from shipway.growth import Emitted
from shipway.node_ids import MAX_KEY, escaped
from shipway.nodes import Node
from shipway.outputs import BadOutput

CONFLICT = "emit_conflict"
"""What the error of a step begins with that added two different things under one key; it is not tried again."""

_KEYS = ("step", "key", "values", "needs")


class Conflict(BadOutput):
    """Two different things were added under one key: a failure that trying again does not cure."""


def read_emission(text: str, node: Node) -> tuple[Emitted, ...]:
    """The entries that `node` wrote, in order, each once. Raises BadOutput with the line's number.

    A line is an object: `step` is the template (it may be left out where there is one), `key` what its id ends with
    (else a number, `001`), `values` what the template sees as `item`, `needs` keys of other entries or ids of steps.
    """
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    places = ((f"line {number} of $SHIPWAY_EMIT", line) for number, line in lines)
    return _entries([(place, _read(line, place)) for place, line in places], node, "$SHIPWAY_EMIT")


def checked_emission(emitted: Sequence[Mapping[str, Json]], node: Node | None) -> tuple[Emitted, ...]:
    """The entries that the action of `node` returned, in order, each once. Raises BadOutput with the entry's number.

    Without a `node`, which has no `emits` then, there may be none.
    """
    if not emitted:
        return ()
    if node is None:
        raise BadOutput("its action adds steps to the run, and the step declares none under `emits`")
    places = [f"entry {number} of `Done.emitted`" for number in range(1, len(emitted) + 1)]
    return _entries(list(zip(places, emitted, strict=True)), node, "its action")


def _entries(found: Sequence[tuple[str, Json]], node: Node, source: str) -> tuple[Emitted, ...]:
    entries: dict[str, Emitted] = {}
    unnamed = 0
    for place, value in found:
        data = _object(value, place)
        if "key" not in data:
            unnamed += 1
        entry = _entry(data, node, place, f"{unnamed:03d}")
        before = entries.setdefault(entry.key, entry)
        if before != entry:
            raise Conflict(f"{CONFLICT}: {place} adds `{entry.key}` once more, and not the same")
        if len(entries) > node.emits:
            raise BadOutput(
                f"{source} adds more than {node.emits}, the `max` of `emits`: raise it, or let the step add fewer"
            )
    return tuple(entries.values())


def _read(line: str, place: str) -> Json:
    try:
        data: Json = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadOutput(f"{place} is not JSON: {json_fault(error)}") from None
    return data


def _object(data: Json, place: str) -> Mapping[str, Json]:
    try:
        canonical_bytes(data)
    except (NotCanonical, RecursionError) as error:
        raise BadOutput(f"{place} is not JSON: {json_fault(error)}") from None
    if not isinstance(data, Mapping):
        raise BadOutput(f'{place} is no object: write {{"step": …, "values": …}}')
    for name in data:
        if name not in _KEYS:
            hint = did_you_mean(name, _KEYS) or "known: " + ", ".join(f"`{key}`" for key in _KEYS)
            raise BadOutput(f"{place}: unknown key `{name}`; {hint}")
    return data


def _entry(data: Mapping[str, Json], node: Node, place: str, numbered: str) -> Emitted:
    templates = list(node.templates)
    step = data.get("step", templates[0] if len(templates) == 1 else None)
    if not isinstance(step, str) or step not in templates:
        named = "names no step" if step is None else f"names `{step}`, which is not declared under `emits`"
        hint = did_you_mean(str(step), templates) or "declared: " + ", ".join(f"`{name}`" for name in templates)
        raise BadOutput(f"{place} {named}; {hint}")
    key = data.get("key", numbered)
    if isinstance(key, bool) or not isinstance(key, (str, int)) or key == "":
        raise BadOutput(f"{place}: `key` is a text")
    made = escaped(str(key))
    if len(made) > MAX_KEY:
        raise BadOutput(f"{place}: `key` is longer than {MAX_KEY} characters")
    needs = data.get("needs", [])
    if not isinstance(needs, list) or not all(isinstance(need, str) for need in needs):
        raise BadOutput(f"{place}: `needs` is a list of texts")
    return Emitted(step, made, data.get("values"), tuple(str(need) for need in needs))
