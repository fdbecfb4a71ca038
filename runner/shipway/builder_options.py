"""What a call to the builder takes and gives, and what the builder sees beyond its stage. Values only."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypedDict

from msgspec import Struct, field

from shipway.action import Action
from shipway.canonical import Json
from shipway.declaration import OnFailure, OutputRule, Retry
from shipway.errors import Position
from shipway.nodes import Need, Node, Promise, Reads
from shipway.site import Site


class NodeHandle(Struct, frozen=True):
    """A node already added. `handle.output("name")` fills another node's slot with what this one gives."""

    id: str
    stage: str

    def output(self, name: str | None = None) -> Promise:
        """A promise of the output `name`, or of all outputs as one object."""
        return Promise(self.id, name)


class NodeOptions(Struct, frozen=True):
    """How a node is run, apart from what it does; the words are those of the declaration's steps.

    `undo_retry` and `undo_timeout_ms` None: as for the node itself. `facts` are details that no effect depends on: of which
    project, out of which layer. `reads_commit`: it works on a checkout of the commit, so what is not committed is
    nothing to it. `slot_place` says where a slot was written, or would belong; for an empty
    name where the action was, if anybody knows.
    """

    title: str = ""
    tags: tuple[str, ...] = ()
    condition: str | None = None
    outputs: Mapping[str, OutputRule] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    env_from: tuple[str, ...] = ()
    lasting: bool = True
    retry: Retry = field(default_factory=Retry)
    timeout_ms: int = 0
    undo_retry: Retry | None = None
    undo_timeout_ms: int | None = None
    limits: tuple[str, ...] = ()
    locks: tuple[str, ...] = ()
    exclusive: bool = False
    allow_failure: bool = False
    reads: tuple[str, ...] | None = None
    reads_commit: bool = False
    writes: tuple[str, ...] = ()
    position: Position | None = None
    every_ms: int = 0
    privileged: bool = False
    dedup: str | None = None
    oidc: tuple[str, ...] = ()
    facts: Mapping[str, Json] = field(default_factory=dict)
    slot_place: Callable[[str], Position] | None = None


class Beside(TypedDict, total=False):
    """What every call for an action takes beside its slots."""

    needs: Iterable[Need | NodeHandle]
    options: NodeOptions


class GatherOptions(Struct, frozen=True):
    """How a node, or a body of nodes, is run once per item.

    `slots` are `items`, or `product` with `include` and `exclude`: lists, or texts that come to lists. `key` is a text with
    `${{ item }}`; None takes the value. `max` 0 means any number.
    """

    slots: Mapping[str, object]
    key: str | None = None
    limit: int = 1
    max: int = 0
    on_failure: OnFailure | None = None


DEFAULT_OPTIONS = NodeOptions()


class BuilderScope(Struct, frozen=True):
    """What a builder sees beyond its stage: planned contexts, actions by name, nodes of stages planned before, file digests,
    and the machine. `read_commit` gives digests of files as the commit has them; None: `read` does for those too.
    """

    known: Mapping[str, Json]
    find_action: Callable[[str], Action | None]
    action_names: Callable[[], Iterable[str]]
    planned: Mapping[str, Sequence[Node]]
    read: Callable[[tuple[str, ...] | None], Reads]
    site: Site = Site()
    read_commit: Callable[[tuple[str, ...] | None], Reads] | None = None
