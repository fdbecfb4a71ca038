"""The items of a gather: a list, or a product of lists with what is left out and added, as GitHub's matrix has it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product

from shipway.canonical import Json
from shipway.expressions import loosely_equal, to_text
from shipway.node_ids import MAX_KEY, escaped

MAX_ITEMS = 100_000
"""How many items a gather takes at most, whatever its `max`."""


class BadItems(ValueError):
    """Items that cannot be gathered over; the message says which, and what to do."""


def items_from(inputs: Mapping[str, Json]) -> list[Json]:
    """The items that the slots of a gather amount to: `items`, or `product` with `exclude` and `include`. Raises BadItems."""
    if "product" not in inputs:
        return _list(inputs.get("items"), "`items`")
    axes = inputs["product"]
    if not isinstance(axes, Mapping):
        raise BadItems(f"`product` takes lists by name, not {_kind(axes)}")
    lists = [_list(values, f"`{name}` of `product`") for name, values in axes.items()]
    count = 1
    for values in lists:
        count *= len(values)
    if count > MAX_ITEMS:
        raise BadItems(f"the product has {count} items; at most {MAX_ITEMS} can be gathered over")
    found: list[dict[str, Json]] = [dict(zip(axes, values, strict=True)) for values in product(*lists)]
    left_out = [_mapping(rule, "exclude") for rule in _list(inputs.get("exclude", []), "`exclude`")]
    found = [item for item in found if not any(_matches(item, rule) for rule in left_out)]
    return _with_included(found, tuple(axes), inputs.get("include", []))


def _with_included(found: list[dict[str, Json]], axes: tuple[str, ...], include: Json) -> list[Json]:
    """Each entry adds its fields to the combinations that it agrees with, or is an item of its own where it does with none.

    Source: https://docs.github.com/en/actions/how-tos/write-workflows/choose-what-workflows-do/run-job-variations
    """
    originals = [dict(item) for item in found]
    added: list[dict[str, Json]] = []
    for entry in (_mapping(rule, "include") for rule in _list(include, "`include`")):
        own = {name: value for name, value in entry.items() if name in axes}
        agreeing = [place for place, item in enumerate(originals) if _matches(item, own)]
        for place in agreeing:
            found[place].update({name: value for name, value in entry.items() if name not in axes})
        if not agreeing:
            added.append(dict(entry))
    return [*found, *added]


def _matches(item: Mapping[str, Json], rule: Mapping[str, Json]) -> bool:
    return all(name in item and loosely_equal(item[name], value) for name, value in rule.items())


def key_by_value(item: Json) -> str:
    """The key of an item that has none of its own: its text, or those of its fields. Raises BadItems for anything deeper."""
    if isinstance(item, Mapping):
        return ",".join(_key_text(value, item) for value in item.values())
    return _key_text(item, item)


def checked_key(text: str, item: Json) -> str:
    """A key as it stands in ids. Raises BadItems for one that is empty or too long."""
    if not text:
        raise BadItems(f"the item {_shown(item)} has an empty key; write `key:` with what tells the items apart")
    if len(text) > MAX_KEY:
        raise BadItems(f"the key `{text[:40]}…` is longer than {MAX_KEY} characters; write a shorter `key:`")
    return text


def check_keys(keys: Sequence[str], items: Sequence[Json]) -> None:
    """Raises BadItems naming the first two items that have the same key."""
    places: dict[str, int] = {}
    for place, key in enumerate(keys):
        before = places.setdefault(key, place)
        if before != place:
            raise BadItems(
                f"items {before + 1} and {place + 1} both have the key `{key}`; "
                "write `key:` with what tells them apart, or leave one of them out"
            )


def _key_text(value: Json, item: Json) -> str:
    if value is None or isinstance(value, (Mapping, list, tuple)):
        raise BadItems(f'no key can be made of the item {_shown(item)}; write `key: "${{{{ item.name }}}}"`')
    return escaped(to_text(value))


def _list(value: Json, what: str) -> list[Json]:
    if isinstance(value, (Mapping, str)) or not isinstance(value, Sequence):
        raise BadItems(f"{what} takes a list, not {_kind(value)}")
    if len(value) > MAX_ITEMS:
        raise BadItems(f"{what} has {len(value)} entries; at most {MAX_ITEMS} can be gathered over")
    return list(value)


def _mapping(value: Json, what: str) -> Mapping[str, Json]:
    if not isinstance(value, Mapping):
        raise BadItems(f"an entry of `{what}` is a mapping, not {_kind(value)}")
    return value


def _kind(value: Json) -> str:
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, (list, tuple)):
        return "a list"
    return "nothing" if value is None else f"`{_shown(value).strip('`')}`"


def _shown(item: Json) -> str:
    if item is None:
        return "`null`"
    text = to_text(item) if not isinstance(item, (Mapping, list, tuple)) else str(item)
    return f"`{text if len(text) <= 60 else text[:57] + '…'}`"
