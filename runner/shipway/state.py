"""What exists now, as verified receipts tell it: an entry for each resource, with its history. Values only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import NamedTuple, TypeAlias

from msgspec import Struct, field

from shipway.canonical import Json
from shipway.nodes import Change, Outcome


class Standing(StrEnum):
    """Whether a resource is there, as far as receipts can tell. `uncertain`: it was there, and then something was not told."""

    EXISTS = "exists"
    UNCERTAIN = "uncertain"
    GONE = "gone"


class Identity(NamedTuple):
    """What an entry is about. The same file of two targets is two entries."""

    lifecycle: str
    target: str
    kind: str
    name: str


class HistoryRecord(Struct, frozen=True):
    """What one node did to one resource. `at_ms` is the node's own time (Unix, UTC): its end, or that of its undo.

    `outcome` is the node's; `present` whether it left the resource there, had it worked. `receipt` is the digest of the one that
    told it first.
    """

    at_ms: int
    receipt: str
    run: str
    commit: str
    node: str
    action: str
    outcome: Outcome
    standing: Standing | None
    change: Change | None = None
    present: bool = True
    fingerprint: str = ""
    facts: Mapping[str, Json] = field(default_factory=dict)


class Entry(Struct, frozen=True):
    """A resource, how it stands, and the record by which it stands so: None where it never was there.

    `history` is by time; records of one time stand in the order of their receipts.
    """

    identity: Identity
    standing: Standing
    by: HistoryRecord | None = None
    history: tuple[HistoryRecord, ...] = ()

    @property
    def kind(self) -> str:
        """`file`, `package`, `service`, `step`, …"""
        return self.identity.kind

    @property
    def name(self) -> str:
        """Its identity inside kind and target."""
        return self.identity.name

    @property
    def exists(self) -> bool:
        """Whether it has to be reckoned with: it is there, or may be."""
        return self.standing is not Standing.GONE

    @property
    def fingerprint(self) -> str:
        """What the action that made it found right after; empty where none is known."""
        return self.by.fingerprint if self.by else ""

    @property
    def facts(self) -> Mapping[str, Json]:
        """What is known of it: `how`, `source`, `layer`, `project`, `version`, …; the action's own words."""
        return self.by.facts if self.by else {}

    @property
    def last_action(self) -> str:
        """The dotted name of the action that made it as it is; empty where there is no history."""
        return self.by.action if self.by else ""

    @property
    def is_linked(self) -> bool:
        """Whether it is a file that is a link."""
        return self.facts.get("how") == "link"

    @property
    def is_copied(self) -> bool:
        """Whether it is a file that was written, not linked."""
        return self.facts.get("how") in ("copy", "render", "decrypt", "write")


class State(Struct, frozen=True):
    """Entries by lifecycle, target, kind and name, and how many receipts told of them."""

    entries: tuple[Entry, ...] = ()
    receipts: int = 0

    def existing(self, kind: str = "") -> tuple[Entry, ...]:
        """What is there or may be: of that kind, else of any."""
        return tuple(entry for entry in self.entries if entry.exists and kind in ("", entry.kind))

    def find(self, kind: str, name: str) -> Entry | None:
        """The entry of that name, there or gone; None where no receipt names it."""
        return next((entry for entry in self.entries if (entry.kind, entry.name) == (kind, name)), None)

    @property
    def projects(self) -> tuple[str, ...]:
        """The projects that anything there belongs to, sorted, each once."""
        found = {str(entry.facts["project"]) for entry in self.existing() if entry.facts.get("project")}
        return tuple(sorted(found))

    def of_project(self, project: str) -> tuple[Entry, ...]:
        """What is there of a project; nothing for an unknown one."""
        return tuple(entry for entry in self.existing() if entry.facts.get("project") == project)


Prior: TypeAlias = Callable[[], State]
"""Gives what existed in this lifecycle and target before the run. It is folded when first asked for, and only then."""


class Wanted(Struct, frozen=True):
    """Which part of the records to fold: None is any. Times are Unix milliseconds, both of them included.

    `tool` is a dotted action or what stands before its dot; `project` the fact of that name.
    """

    since_ms: int | None = None
    until_ms: int | None = None
    lifecycle: str | None = None
    target: str | None = None
    kind: str | None = None
    tool: str | None = None
    project: str | None = None

    def takes(self, identity: Identity, record: HistoryRecord) -> bool:
        """Whether the record is part of it."""
        return (
            (self.since_ms is None or record.at_ms >= self.since_ms)
            and (self.until_ms is None or record.at_ms <= self.until_ms)
            and self.lifecycle in (None, identity.lifecycle)
            and self.target in (None, identity.target)
            and self.kind in (None, identity.kind)
            and self.tool in (None, *_tools(record.action))
            and (self.project is None or record.facts.get("project") == self.project)
        )


def _tools(action: str) -> tuple[str, ...]:
    """What an action is asked for by; who asks for links asks for those too that are made many at once."""
    kind = action.partition(".")[0]
    return (action, "file.link", kind) if action == "file.links" else (action, kind)


EVERYTHING = Wanted()


def entry_json(entry: Entry, *, with_history: bool) -> dict[str, Json]:
    """An entry for machines: its identity, how it stands and by what; `history` where that is asked for, else null."""
    identity = entry.identity
    return {
        "lifecycle": identity.lifecycle,
        "target": identity.target,
        "kind": identity.kind,
        "name": identity.name,
        "standing": entry.standing.value,
        "by": None if entry.by is None else history_json(entry.by),
        "history": [history_json(record) for record in entry.history] if with_history else None,
    }


def history_json(record: HistoryRecord) -> dict[str, Json]:
    """A record of a history for machines."""
    return {
        "at_ms": record.at_ms,
        "receipt": record.receipt,
        "run": record.run,
        "commit": record.commit or None,
        "node": record.node,
        "action": record.action,
        "outcome": record.outcome.value,
        "change": None if record.change is None else record.change.value,
        "present": record.present,
        "fingerprint": record.fingerprint,
        "facts": dict(record.facts),
    }
