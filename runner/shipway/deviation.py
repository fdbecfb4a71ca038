"""How the world stands to what receipts say, entry by entry. Values only: who looks is `drift`."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from msgspec import Struct

from shipway.canonical import Json
from shipway.state import Entry


class Drift(StrEnum):
    """How the world stands to an entry. `unknown`: nobody can be asked."""

    HELD = "held"
    DRIFTED = "drifted"
    MISSING = "missing"
    UNKNOWN = "unknown"


class Found(Struct, frozen=True):
    """What came of looking at an entry; `why` says what differs, or why nobody can tell."""

    entry: Entry
    drift: Drift
    why: str = ""

    @property
    def differs(self) -> bool:
        """Whether the world is not as receipts say."""
        return self.drift in (Drift.DRIFTED, Drift.MISSING)


def found_json(found: Found) -> dict[str, Json]:
    """What came of an entry, for machines."""
    entry = found.entry
    return {
        "target": entry.identity.target,
        "kind": entry.kind,
        "name": entry.name,
        "drift": found.drift.value,
        "why": found.why,
        "run": entry.by.run if entry.by else None,
        "commit": entry.by.commit or None if entry.by else None,
        "node": entry.by.node if entry.by else None,
    }


def counts(found: Iterable[Found]) -> dict[Drift, int]:
    """How many entries of each, all four of them, in the enum's order."""
    listed = [each.drift for each in found]
    return {drift: listed.count(drift) for drift in Drift}
