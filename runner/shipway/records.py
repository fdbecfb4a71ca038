"""Records: what an action says it made or removed, out of which the state is folded. Pure values."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from msgspec import Struct, field

from shipway.canonical import Json, items_of, object_of
from shipway.redaction import redacted_value

STEP = "step"
"""The kind of what lasts and names nothing it made: the name is then the node's id."""

SPARED = "spared"
"""The fact, true, of a resource that was as it had to be when its node began, which changed others."""

LEAVES = "leaves"
"""The fact of a planned node that says what stands, or is gone, by its work, where its action cannot know: see `leaving`."""

REPLACES_EACH = "replaces_each"
"""The fact of a planned node that makes many files: by their names, the fingerprints of what the state says stands there."""

KIND = re.compile(r"[a-z][a-z0-9-]*\Z")

_USUAL = frozenset({STEP, "file", "package"})


class Record(Struct, frozen=True):
    """One thing in the world that a node made, changed or removed.

    `kind` is a word such as `file`, `package`, `service` or `repository`; `name` tells the thing from all others of its kind
    at a target: of a file its path as the slot has it, normalised, of a package `manager:name`. `present` False: it is gone
    now. `fingerprint` changes when the thing does, and is empty where nothing can be compared. `facts` are details that
    people read: how it was made, from what, which version. Nothing of it is secret.
    """

    kind: str
    name: str
    present: bool = True
    fingerprint: str = ""
    facts: Mapping[str, Json] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if (self.kind not in _USUAL and not KIND.match(self.kind)) or not self.name:
            raise ValueError(
                f"a record needs a kind of the form `[a-z][a-z0-9-]*` and a name, not `{self.kind}`, `{self.name}`"
            )


def leaving(records: Iterable[Record]) -> dict[str, Json]:
    """The facts by which a node that runs a script leaves `records`, instead of being there as a step."""
    return {LEAVES: [record_json(record) for record in records]}


def left_by(facts: Mapping[str, Json]) -> tuple[Record, ...] | None:
    """What `leaving` was given; None where a node's facts say nothing of it."""
    said = facts.get(LEAVES)
    return None if said is None else tuple(record_from_json(object_of(each)) for each in items_of(said))


def redacted_record(record: Record, redact: Callable[[str], str]) -> Record:
    """The record with `redact` applied to every text that comes from the world."""
    facts = redacted_value(record.facts, redact)
    return Record(record.kind, redact(record.name), record.present, redact(record.fingerprint), object_of(facts))


def texts_of(record: Record) -> str:
    """All of a record that comes from the world, a line each. Empty where its facts hold more than texts, or are no dict."""
    texts = record.facts.values()
    if type(record.facts) is not dict or not all(type(text) is str for text in texts):
        return ""
    return "\n".join((record.name, record.fingerprint, *record.facts, *texts))  # type: ignore[arg-type]


def record_json(record: Record) -> dict[str, Json]:
    """`{"kind", "name", "present", "fingerprint", "facts"}`."""
    return {
        "facts": dict(record.facts),
        "fingerprint": record.fingerprint,
        "kind": record.kind,
        "name": record.name,
        "present": record.present,
    }


def record_from_json(data: Mapping[str, Json]) -> Record:
    """The record that `record_json` wrote."""
    return Record(
        kind=str(data["kind"]),
        name=str(data["name"]),
        present=data["present"] is True,
        fingerprint=str(data["fingerprint"]),
        facts=object_of(data["facts"]),
    )
