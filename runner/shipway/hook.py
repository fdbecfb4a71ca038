"""What a hook is told: one frozen value for each event. Maps what is announced to it; calls nobody."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Protocol

from msgspec import Struct
from msgspec.structs import asdict, replace

from shipway.canonical import Json
from shipway.events import (
    Event,
    NodeFinished,
    NodeRetrying,
    NodesAdded,
    NodeStarted,
    NodeTakenBack,
    NodeUndone,
    RollbackStarted,
    RunFinished,
    RunStarted,
    StageFinished,
    StageRetrying,
    StageStarted,
)
from shipway.node_ids import turns_of
from shipway.nodes import FAILURES, Outcome
from shipway.plan import COMPENSATION_PART
from shipway.receipt import RunOutcome

EVENT_SCHEMA = 1

_GOOD_RUNS = frozenset({RunOutcome.SUCCEEDED.value, RunOutcome.ROLLED_BACK.value})
_FAILED = frozenset(outcome.value for outcome in FAILURES)


class HookEvent(Struct, frozen=True):
    """What happened, redacted; a copy, of which nothing that runs depends. Texts are empty and numbers 0 where they say nothing.

    `event` is the word that the hook asked for. `gather` is the step of which the node is an iteration, `key` its item.
    `at` is when it was announced, RFC 3339 UTC. `nodes` are ids, in order. `exit_code` is None where no child has ended.
    """

    event: str
    lifecycle: str = ""
    target: str = ""
    run: str = ""
    at: str = ""
    stage: str = ""
    node: str = ""
    gather: str = ""
    key: str = ""
    attempt: int = 0
    attempts: int = 0
    outcome: str = ""
    error: str = ""
    cause: str = ""
    warning: str = ""
    tail: str = ""
    exit_code: int | None = None
    duration_ms: int = 0
    delay_ms: int = 0
    nodes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Json]:
        """The event as a command reads it: every member, with `kind` and `schema` in front."""
        return {"kind": "event", "schema": EVENT_SCHEMA, **asdict(self), "nodes": list(self.nodes)}


class Hook(Protocol):
    """Somebody who is told of events in this process. Made without arguments, once for each run, under its entry point's name.

    `events` are the words it wants to be told of, out of `HOOK_EVENTS`; an event is told once, under the narrowest of them.
    """

    @property
    def events(self) -> Collection[str]:
        """The words to be told of."""

    def on_event(self, event: HookEvent) -> None:
        """Be told. Called on a thread of its own, one event at a time. What it raises is recorded, and changes nothing."""


def words_of(event: Event) -> tuple[str, ...]:
    """The words under which hooks are told of an event, the narrowest first; none for one that they are not told of."""
    match event:
        case NodeFinished(_, outcome) if outcome in _FAILED:
            return ("node_failed", "node_finished")
        case NodeFinished(_, outcome) if outcome == Outcome.SKIPPED:
            return ("node_skipped", "node_finished")
        case StageFinished(_, outcome) if outcome not in (Outcome.SUCCEEDED, Outcome.SKIPPED):
            return ("stage_failed", "stage_finished")
        case RunFinished(_, outcome) if outcome not in _GOOD_RUNS:
            return ("run_failed", "run_finished")
        case _:
            return _WORDS.get(type(event), ())


_WORDS: dict[type[Event], tuple[str, ...]] = {
    RunStarted: ("run_started",),
    RunFinished: ("run_finished",),
    StageStarted: ("stage_started",),
    StageFinished: ("stage_finished",),
    StageRetrying: ("stage_retrying",),
    NodeStarted: ("node_started",),
    NodeFinished: ("node_finished",),
    NodeRetrying: ("node_retrying",),
    NodeTakenBack: ("node_taken_back",),
    NodesAdded: ("nodes_added",),
    RollbackStarted: ("rollback_started",),
    NodeUndone: ("node_undone",),
}


def told(event: Event, common: HookEvent) -> HookEvent:
    """`common` (which says of which run, when and under which word) with what `event` says; nothing in it is redacted yet."""
    return replace(common, **dict(_members(event)))


def _members(event: Event) -> Iterator[tuple[str, object]]:
    match event:
        case RunStarted():
            yield "nodes", event.nodes
        case RunFinished():
            yield "outcome", event.outcome
            yield "error", event.error
            yield "duration_ms", event.duration_ms
        case StageStarted():
            yield "stage", event.stage
        case StageFinished():
            yield from (("stage", event.stage), ("outcome", event.outcome))
        case StageRetrying():
            yield from (("stage", event.stage), ("attempt", event.attempt), ("attempts", event.attempts))
            yield from (("cause", event.node), ("error", event.error), ("delay_ms", event.delay_ms))
        case RollbackStarted():
            yield "nodes", event.nodes
        case _:
            yield from _of_node(event)


def _of_node(event: Event) -> Iterator[tuple[str, object]]:
    match event:
        case NodeStarted():
            yield "attempt", event.attempt
        case NodesAdded():
            yield "nodes", event.added
        case NodeRetrying():
            yield from (("attempt", event.attempt), ("error", event.error), ("delay_ms", event.delay_ms))
        case NodeTakenBack() | NodeUndone() | NodeFinished():
            yield from (("outcome", event.outcome), ("error", event.error), ("tail", event.tail))
            yield "duration_ms", event.duration_ms
        case _:
            return
    if isinstance(event, NodeFinished):
        yield from (("cause", event.cause), ("warning", event.warning), ("exit_code", event.exit_code))
    yield from _place(event.node)


def _place(node: str) -> Iterator[tuple[str, str]]:
    yield "node", node
    yield "stage", node.partition("/")[0].removesuffix(f".{COMPENSATION_PART}")
    for gather, iteration in turns_of(node):  # the innermost is the last
        yield "gather", gather
        yield "key", iteration[len(gather) + 1 : -1]
