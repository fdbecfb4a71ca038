"""Reading of a forge's answers: members of JSON, times, and what makes two texts the same. Knows no forge and sends nothing."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from shipway.canonical import Json, mapping
from shipway.forges.forge import ForgeError


def objects(value: Json, url: str) -> list[Mapping[str, Json]]:
    """The objects of a list. Raises ForgeError where `value`, answered by `url`, is no list."""
    if not isinstance(value, list):
        raise ForgeError(f"`{url}` did not answer with a list")
    return [mapping(each) for each in value]


def text(value: Mapping[str, Json], name: str) -> str:
    """A text that must be there and not empty. Raises ForgeError."""
    found = value.get(name)
    if not isinstance(found, str) or not found:
        raise ForgeError(f"the forge's answer has no `{name}`")
    return found


def number(value: Mapping[str, Json], name: str) -> int:
    """An integer that must be there. Raises ForgeError."""
    found = number_or_none(value, name)
    if found is None:
        raise ForgeError(f"the forge's answer has no `{name}`")
    return found


def number_or_none(value: Mapping[str, Json], name: str) -> int | None:
    """An integer, or None where there is none."""
    found = value.get(name)
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def moment(value: Mapping[str, Json], name: str) -> str:
    """A time that must be there, as `YYYY-MM-DDTHH:MM:SSZ`: some forges write their own zone, and parts of a second.

    Raises ForgeError.
    """
    try:
        told = datetime.fromisoformat(text(value, name))
    except ValueError as error:
        raise ForgeError(f"the forge's answer has no time in `{name}`") from error
    told = told if told.tzinfo else told.replace(tzinfo=UTC)
    return told.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def is_same_text(one: str, other: str) -> bool:
    """Whether two bodies differ in nothing but line ends and space around them."""
    return one.replace("\r\n", "\n").strip() == other.replace("\r\n", "\n").strip()
