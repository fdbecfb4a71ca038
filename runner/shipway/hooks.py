"""Hooks as values: who is told of what happens while a plan is executed. Pure; calls nobody."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import Struct

from shipway.canonical import Json, integer_of, items_of, mapping, text_or_none
from shipway.durations import parse_ms
from shipway.errors import Position
from shipway.outline import texts
from shipway.source import SourceTree

HOOK_EVENTS = (
    "run_started",
    "run_finished",
    "run_failed",
    "stage_started",
    "stage_finished",
    "stage_failed",
    "stage_retrying",
    "node_started",
    "node_finished",
    "node_failed",
    "node_skipped",
    "node_retrying",
    "node_taken_back",
    "nodes_added",
    "rollback_started",
    "node_undone",
)
"""What a hook can be told of. `…_failed` and `node_skipped` are those of the `…_finished` that ended so."""

DEFAULT_HOOK_TIMEOUT_MS = 10_000
"""How long a hook may take to be told of one event, where it does not say."""


class HookRule(Struct, frozen=True):
    """One hook: an installed one by the name that it `uses`, else the command `run`, told of one `event`."""

    position: Position
    uses: str = ""
    event: str = ""
    run: str = ""
    timeout_ms: int = DEFAULT_HOOK_TIMEOUT_MS

    @property
    def words(self) -> str:
        """The hook in a few words, with its name in backticks."""
        return f"hook `{self.uses}`" if self.uses else f"hook on `{self.event}`"


def declared_hooks(tree: SourceTree) -> tuple[HookRule, ...]:
    """`hooks:` of a declaration that the schema found nothing wrong with, in the order in which they are told."""
    return tuple(_declared(tree))


def _declared(tree: SourceTree) -> Iterator[HookRule]:
    data = mapping(mapping(tree.data).get("hooks"))
    for path, name in texts(data, ("hooks",), "uses"):
        yield HookRule(tree.locate(path), uses=name)
    for event, written in mapping(data.get("on")).items():
        path = ("hooks", "on", event)
        at = tree.locate(path, key=True)
        if not isinstance(written, Mapping):
            yield HookRule(at, event=event, run=tree.spelling(path))
            continue
        timeout = written.get("timeout")
        timeout_ms = DEFAULT_HOOK_TIMEOUT_MS if timeout is None else parse_ms(str(timeout)) or DEFAULT_HOOK_TIMEOUT_MS
        yield HookRule(at, event=event, run=tree.spelling((*path, "run")), timeout_ms=timeout_ms)


def hook_effect(hook: HookRule) -> dict[str, Json]:
    """All of a hook but where it stands: as it is part of a plan's effect."""
    return {
        "uses": hook.uses or None,
        "event": hook.event or None,
        "run": hook.run or None,
        "timeout_ms": hook.timeout_ms,
    }


def hook_json(hook: HookRule) -> dict[str, Json]:
    """A hook as it stands in a plan."""
    at = hook.position
    return {**hook_effect(hook), "position": [at.file, at.line, at.column]}


def hook_from_json(data: Mapping[str, Json]) -> HookRule:
    """The hook that `hook_json` wrote."""
    file, line, column = items_of(data["position"])
    return HookRule(
        Position(str(file), integer_of(line), integer_of(column)),
        uses=text_or_none(data["uses"]) or "",
        event=text_or_none(data["event"]) or "",
        run=text_or_none(data["run"]) or "",
        timeout_ms=integer_of(data["timeout_ms"]),
    )
