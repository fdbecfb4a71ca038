"""What a workflow that brings previews up needs besides any other: its events, and grants. Pure; values in, findings out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from shipway.canonical import Json, mapping
from shipway.source import Path_

GRANTS = {"contents": "read", "pull-requests": "write", "checks": "write", "deployments": "write", "actions": "read"}
"""What a preview's job has to be able to do: it comments, announces a deployment, and is a check."""

GROUP = "{group: \"preview-${{ github.event.number || 'gc' }}\", queue: max, cancel-in-progress: false}"
_COMMANDS = ("auto", "up", "down", "gc")
_TYPES = ("opened", "reopened", "synchronize", "closed")
_BY_DEFAULT = ("opened", "synchronize", "reopened")
"""What `pull_request` without `types` is for. Source:
https://docs.github.com/en/actions/reference/workflows-and-actions/events-that-trigger-workflows#pull_request"""


class Missing(Struct, frozen=True):
    """One thing that a workflow lacks: where, what comes of that, and what to add."""

    path: Path_
    text: str
    next: str


def is_preview_job(command: str, events: frozenset[str]) -> bool:
    """Whether a job of a lifecycle with previews has to do with them; `command` is the action's input as it is written."""
    words = command.replace("'", " ").split()
    return "pull_request" in events and any(word in words for word in _COMMANDS)


def missing_events(on: Json) -> Iterator[Missing]:
    """The events that a workflow of previews does not hear of: each leaves something behind."""
    told = mapping(mapping(on).get("pull_request"))
    types = told.get("types", list(_BY_DEFAULT))
    given = (
        [str(each) for each in types] if isinstance(types, Sequence) and not isinstance(types, str) else [str(types)]
    )
    lacking = [each for each in _TYPES if each not in given]
    if lacking:
        at: Path_ = ("on", "pull_request") if isinstance(on, Mapping) else ("on",)
        what = "an environment outlives its pull request" if "closed" in lacking else "an environment is not brought up"
        listed = ", ".join(f"`{each}`" for each in lacking)
        yield Missing(at, f"{what}: {listed} is not heard of", f"write `types: [{', '.join(_TYPES)}]`")
    if not isinstance(on, Mapping) or "schedule" not in on:
        text = "no `schedule`: what a lost `closed` or a past `ttl` leaves is never swept"
        yield Missing(("on",), text, 'add `schedule: [{cron: "17 * * * *"}]`')
