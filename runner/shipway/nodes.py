"""Nodes of the graph and what they are made of: slots, needs, changes, outcomes. Values only; `node_json` writes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import TypeAlias

from msgspec import Struct, field

from shipway.canonical import Json
from shipway.declaration import OnFailure, OutputRule, Retry
from shipway.errors import Position


class Change(StrEnum):
    """What a node does to the world."""

    CREATE = "create"
    UPDATE = "update"
    REPLACE = "replace"
    DELETE = "delete"
    RUN = "run"
    READ = "read"
    NOOP = "noop"


class Fidelity(StrEnum):
    """How far a planned node can be trusted: it does exactly this; it said what it would do; only running it tells."""

    EXACT = "exact"
    PREDICTED = "predicted"
    OPAQUE = "opaque"


class Outcome(StrEnum):
    """How a node ended. `unknown`: a change on the world was begun and never reported."""

    SUCCEEDED = "succeeded"
    UNCHANGED = "unchanged"
    SKIPPED = "skipped"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    BLOCKED = "blocked"
    NOT_STARTED = "not_started"
    UNDONE = "undone"
    UNDO_FAILED = "undo_failed"
    NOT_UNDOABLE = "not_undoable"
    DRIFTED = "drifted"
    UNKNOWN = "unknown"


DONE = frozenset({Outcome.SUCCEEDED, Outcome.UNCHANGED})
"""Outcomes that satisfy whoever needs the node and promises its outputs."""

FAILURES = frozenset({Outcome.FAILED, Outcome.TIMED_OUT, Outcome.UNKNOWN})
"""Outcomes that are a failure of the node itself."""


WHOLE = frozenset({Outcome.UNDONE, *DONE, Outcome.SKIPPED})
"""How an undo, or a node of a compensation, ends that did its part of a rollback."""


class Verified(StrEnum):
    """Whether a node's work is there."""

    HOLDS = "holds"
    GONE = "gone"
    UNKNOWN = "unknown"


class Immediate(Struct, frozen=True):
    """A slot whose value is known when planned."""

    value: Json


class Promise(Struct, frozen=True):
    """A slot filled with another node's output; without `output`, with all its outputs as one object."""

    node: str
    output: str | None = None


class Computed(Struct, frozen=True):
    """A slot with `${{ }}` in its text, or in texts inside its list or object, evaluated when the node starts.

    Secrets stand in it by name only.
    """

    expression: Json


class Proxy(Struct, frozen=True):
    """A slot filled with the item of the enclosing gather called `gather`, or with one `field` of it.

    It stands in templates only: a node that is planned or added has the value. A field that is not there is null.
    """

    gather: str
    field: str | None = None

    def of(self, item: Json) -> Json:
        """The value for one item."""
        if self.field is None:
            return item
        return item.get(self.field) if isinstance(item, Mapping) else None


Slot: TypeAlias = Immediate | Promise | Computed | Proxy


class NeedKind(StrEnum):
    """Why a node waits: its place in a list, `needs`, an output it takes, something it reads, `optional_needs`, its body."""

    ORDER = "order"
    NEEDS = "needs"
    PROMISE = "promise"
    RESOURCE = "resource"
    OPTIONAL = "optional"
    WITHIN = "within"


class Need(Struct, frozen=True):
    """An edge from `node` to the node that holds this need; `resource` is what that one writes and this one reads, or empty."""

    node: str
    kind: NeedKind = NeedKind.NEEDS
    resource: str = ""


WHOLE_TREE = ("**",)
"""What a node reads where nobody said."""


class Reads(Struct, frozen=True):
    """The files a node depends on: the patterns as declared and the digest of what they match (paths and contents)."""

    patterns: tuple[str, ...]
    digest: str

    @property
    def is_whole_tree(self) -> bool:
        """Whether it is every file, as where nobody said."""
        return self.patterns == WHOLE_TREE


GATHER, CHOOSE = "flow.gather", "flow.choose"
"""What stands as action where a node only opens its members: constructs of the document, which no registry has."""

_GROUPS = frozenset({GATHER, CHOOSE})


class Gather(Struct, frozen=True):
    """How a node runs its template once per item: at most `limit` iterations at once, in the order of `keys`.

    `keys` is None where the items are known only when run; then there are at most `max` (0: any number). `key` is the text
    that an iteration's key is worked out from, None for its value. `on_failure` None is the stage's.
    """

    keys: tuple[str, ...] | None = None
    limit: int = 1
    key: str | None = None
    max: int = 0
    on_failure: OnFailure | None = None


class Node(Struct, frozen=True):
    """One unit of work. `slots` and `env` are what it is given; `predicted` holds outputs its plan foretold.

    `before` and `after` describe the world around an `exact` change (keys are the action's own). `reversible` says whether
    the action can undo it; `waits_for` names what made it less than exact. `condition` is the text of `if`, already without
    what was known when planned; `timeout_ms` 0 means none. `undo_retry` and `undo_timeout_ms` hold for its undo. `oidc` is the
    audience of the identity token that it is given, if any. `facts` is what a
    backend knows besides, such as the layer a file is of: people read it, and the records of what the node makes hold it.
    """

    id: str
    stage: str
    action: str
    position: Position
    title: str = ""
    tags: tuple[str, ...] = ()
    slots: Mapping[str, Slot] = field(default_factory=dict)
    env: Mapping[str, Slot] = field(default_factory=dict)
    env_from: tuple[str, ...] = ()
    needs: tuple[Need, ...] = ()
    condition: str | None = None
    outputs: Mapping[str, OutputRule] = field(default_factory=dict)
    change: Change = Change.RUN
    fidelity: Fidelity = Fidelity.OPAQUE
    why: str = ""
    before: Json = None
    after: Json = None
    predicted: Mapping[str, Json] = field(default_factory=dict)
    lasting: bool = True
    reversible: bool = False
    retry: Retry = field(default_factory=Retry)
    timeout_ms: int = 0
    undo_retry: Retry = field(default_factory=Retry)
    undo_timeout_ms: int = 0
    limits: tuple[str, ...] = ()
    exclusive: bool = False
    allow_failure: bool = False
    reads: Reads = field(default_factory=lambda: Reads((), ""))
    locks: tuple[str, ...] = ()
    gather: Gather | None = None
    templates: Mapping[str, tuple[Node, ...]] = field(default_factory=dict)
    emits: int = 0
    every_ms: int = 0
    privileged: bool = False
    dedup: str | None = None
    oidc: tuple[str, ...] = ()
    facts: Mapping[str, Json] = field(default_factory=dict)

    @property
    def is_group(self) -> bool:
        """Whether it does nothing by itself: it is over when all of its members are."""
        return self.action in _GROUPS

    @property
    def has_gate(self) -> bool:
        """Whether what comes after it waits for its members too."""
        return self.is_group or self.emits > 0

    def all_templates(self) -> Iterator[Node]:
        """The nodes of its templates, and of theirs."""
        for nodes in self.templates.values():
            for node in nodes:
                yield node
                yield from node.all_templates()

    @property
    def must_be_undone(self) -> bool:
        """Whether a rollback has to care about this node once it was begun."""
        return self.lasting and self.change not in (Change.READ, Change.NOOP)

    @property
    def step(self) -> str:
        """The id without its stage."""
        return self.id.removeprefix(self.stage + "/")


def fidelity_counts(nodes: Sequence[Node]) -> dict[Fidelity, int]:
    """How many nodes of each fidelity, zero included."""
    return {kind: sum(node.fidelity is kind for node in nodes) for kind in Fidelity}


def change_counts(nodes: Sequence[Node]) -> dict[Change, int]:
    """How many nodes of each change, zero included."""
    return {kind: sum(node.change is kind for node in nodes) for kind in Change}
