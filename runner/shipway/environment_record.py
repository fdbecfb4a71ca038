"""What is known of one environment: its state, where it lives, what was made of it and when. Pure; JSON in and out."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from enum import StrEnum

from msgspec import Struct, field
from msgspec.structs import replace

from shipway.canonical import Json, canonical_bytes

SCHEMA = 1
MOST_HAPPENINGS = 100
"""How much of its history an environment keeps; the receipts have all of it."""


class EnvironmentState(StrEnum):
    """What an environment is. `gone` is one that was: its history stays, what it held does not."""

    CREATING = "creating"
    READY = "ready"
    FAILED = "failed"
    STOPPED = "stopped"
    DESTROYING = "destroying"
    GONE = "gone"


class Checkpoint(Struct, frozen=True):
    """What a node left when it was made last.

    `key` is the digest of what decided that, `parts` short digests of what is in it, by name. `outputs` lack those that are
    `secret` where they are not kept in plain text: `sealed` holds these, encrypted, in base64; empty where they are nowhere.
    `made` is greater each time the node was really made anew. `stale` says why it has to run again, whatever its key; one that
    is not `is_cached` runs each time, and its outputs may be others each time.
    """

    key: str
    outputs: Mapping[str, Json] = field(default_factory=dict)
    sealed: str = ""
    made: int = 1
    at_ms: int = 0
    stale: str = ""
    secret: tuple[str, ...] = ()
    parts: Mapping[str, str] = field(default_factory=dict)
    is_cached: bool = True

    @property
    def has_secrets(self) -> bool:
        """Whether its secret outputs can still be had."""
        return bool(self.sealed) or all(name in self.outputs for name in self.secret)


class Happening(Struct, frozen=True):
    """One line of an environment's history: what happened when, by whom, in which run, at which commit, and why."""

    at_ms: int
    what: str
    actor: str = ""
    run: str = ""
    commit: str = ""
    cause: str = ""


class EnvironmentRecord(Struct, frozen=True):
    """The environment of one lifecycle and target. Times are Unix milliseconds, UTC; texts are empty where nothing is known.

    `run` is at it, or was last, and `actor` began that. `stuck` says of nodes why a `down` could not take them away.
    `declaration` is the canonical JSON of the merged declaration that it was made from, `file` where that was written, from the
    root of the repository. `made` is the last number that a
    checkpoint was given. `ttl_ms` None: it has no end. `history` has the latest last.
    """

    lifecycle: str
    target: str
    state: EnvironmentState = EnvironmentState.CREATING
    cause: str = ""
    run: str = ""
    actor: str = ""
    pull_request: int | None = None
    branch: str = ""
    base: str = ""
    commit: str = ""
    backend: str = ""
    host: str = ""
    root: str = ""
    created_ms: int = 0
    touched_ms: int = 0
    ttl_ms: int | None = None
    urls: Mapping[str, str] = field(default_factory=dict)
    checkpoints: Mapping[str, Checkpoint] = field(default_factory=dict)
    stuck: Mapping[str, str] = field(default_factory=dict)
    declaration: str = ""
    history: tuple[Happening, ...] = ()
    deployment: str = ""
    made: int = 0
    file: str = ""

    @property
    def is_alive(self) -> bool:
        """Whether anything of it may be there."""
        return self.state is not EnvironmentState.GONE


def with_checkpoint(record: EnvironmentRecord, node: str, checkpoint: Checkpoint) -> EnvironmentRecord:
    """The record once `node` was made; nothing of it is stuck any more."""
    stuck = {name: why for name, why in record.stuck.items() if name != node}
    found = {**record.checkpoints, node: checkpoint}
    return replace(record, checkpoints=found, stuck=stuck, made=max(record.made, checkpoint.made))


def without_checkpoint(record: EnvironmentRecord, node: str) -> EnvironmentRecord:
    """The record once what `node` made is gone."""
    return replace(
        record,
        checkpoints={name: each for name, each in record.checkpoints.items() if name != node},
        stuck={name: why for name, why in record.stuck.items() if name != node},
    )


def with_stuck(record: EnvironmentRecord, node: str, cause: str) -> EnvironmentRecord:
    """The record once what `node` made could not be taken away: it is kept, so that the next `down` tries again."""
    return replace(record, stuck={**record.stuck, node: cause})


def marked_stale(record: EnvironmentRecord, nodes: Collection[str], why: str) -> EnvironmentRecord:
    """The record with those of `nodes` that have a checkpoint to be run again, because of `why`."""
    found = {node: replace(each, stale=why) if node in nodes else each for node, each in record.checkpoints.items()}
    return replace(record, checkpoints=found)


def in_state(
    record: EnvironmentRecord, state: EnvironmentState, happening: Happening, *, cause: str = ""
) -> EnvironmentRecord:
    """The record in another state, with a line more of history. Of what is `gone` history stays, and why it went."""
    history = (*record.history, happening)[-MOST_HAPPENINGS:]
    found = replace(record, state=state, cause=cause, history=history)
    is_gone = state is EnvironmentState.GONE
    return replace(found, checkpoints={}, urls={}, stuck={}, deployment="") if is_gone else found


def environment_json(record: EnvironmentRecord) -> dict[str, Json]:
    """The record as it is kept: `{"kind": "environment", "schema": 1, …}`."""
    return {
        "kind": "environment",
        "schema": SCHEMA,
        "lifecycle": record.lifecycle,
        "target": record.target,
        "state": record.state.value,
        "cause": record.cause,
        "run": record.run,
        "actor": record.actor,
        "pull_request": record.pull_request,
        "branch": record.branch,
        "base": record.base,
        "commit": record.commit,
        "backend": record.backend,
        "host": record.host,
        "root": record.root,
        "created_ms": record.created_ms,
        "touched_ms": record.touched_ms,
        "ttl_ms": record.ttl_ms,
        "urls": dict(record.urls),
        "checkpoints": {node: _checkpoint_json(each) for node, each in record.checkpoints.items()},
        "stuck": dict(record.stuck),
        "declaration": record.declaration,
        "history": [_happening_json(each) for each in record.history],
        "deployment": record.deployment,
        "made": record.made,
        "file": record.file,
    }


def environment_bytes(record: EnvironmentRecord) -> bytes:
    """The record as a store keeps it, in canonical form: equal records are equal bytes."""
    return canonical_bytes(environment_json(record)) + b"\n"


def load_environment(content: bytes) -> EnvironmentRecord:
    """The record that `environment_bytes` wrote. Raises ValueError for anything else, that of a later version included."""
    try:
        data: Json = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"it is no JSON: {error}") from error
    if not isinstance(data, Mapping) or data.get("kind") != "environment":
        raise ValueError("it is no record of an environment")
    if data.get("schema") != SCHEMA:
        raise ValueError(f"its schema is {data.get('schema')!r}, and this version knows {SCHEMA}")
    try:
        return _record(data)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"it is not whole: {error}") from error


def _record(data: Mapping[str, Json]) -> EnvironmentRecord:
    return EnvironmentRecord(
        lifecycle=_text(data["lifecycle"]),
        target=_text(data["target"]),
        state=EnvironmentState(_text(data["state"])),
        cause=_text(data["cause"]),
        run=_text(data["run"]),
        actor=_text(data["actor"]),
        pull_request=_integer_or_none(data["pull_request"]),
        branch=_text(data["branch"]),
        base=_text(data["base"]),
        commit=_text(data["commit"]),
        backend=_text(data["backend"]),
        host=_text(data["host"]),
        root=_text(data["root"]),
        created_ms=_integer(data["created_ms"]),
        touched_ms=_integer(data["touched_ms"]),
        ttl_ms=_integer_or_none(data["ttl_ms"]),
        urls=_texts(data["urls"]),
        checkpoints={node: _checkpoint(_object(each)) for node, each in _object(data["checkpoints"]).items()},
        stuck=_texts(data["stuck"]),
        declaration=_text(data["declaration"]),
        history=tuple(_happening(_object(each)) for each in _list(data["history"])),
        deployment=_text(data["deployment"]),
        made=_integer(data["made"]),
        file=_text(data.get("file", "")),
    )


def _checkpoint_json(checkpoint: Checkpoint) -> dict[str, Json]:
    return {
        "key": checkpoint.key,
        "outputs": dict(checkpoint.outputs),
        "sealed": checkpoint.sealed,
        "made": checkpoint.made,
        "at_ms": checkpoint.at_ms,
        "stale": checkpoint.stale,
        "secret": list(checkpoint.secret),
        "parts": dict(checkpoint.parts),
        "is_cached": checkpoint.is_cached,
    }


def _checkpoint(data: Mapping[str, Json]) -> Checkpoint:
    return Checkpoint(
        key=_text(data["key"]),
        outputs=_object(data["outputs"]),
        sealed=_text(data["sealed"]),
        made=_integer(data["made"]),
        at_ms=_integer(data["at_ms"]),
        stale=_text(data["stale"]),
        secret=tuple(_text(name) for name in _list(data["secret"])),
        parts=_texts(data["parts"]),
        is_cached=data["is_cached"] is True,
    )


def _happening_json(happening: Happening) -> dict[str, Json]:
    return {
        "at_ms": happening.at_ms,
        "what": happening.what,
        "actor": happening.actor,
        "run": happening.run,
        "commit": happening.commit,
        "cause": happening.cause,
    }


def _happening(data: Mapping[str, Json]) -> Happening:
    return Happening(
        at_ms=_integer(data["at_ms"]),
        what=_text(data["what"]),
        actor=_text(data["actor"]),
        run=_text(data["run"]),
        commit=_text(data["commit"]),
        cause=_text(data["cause"]),
    )


def _text(value: Json) -> str:
    if not isinstance(value, str):
        raise ValueError(f"`{value}` is no text")
    return value


def _integer(value: Json) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"`{value}` is no integer")
    return value


def _integer_or_none(value: Json) -> int | None:
    return None if value is None else _integer(value)


def _object(value: Json) -> Mapping[str, Json]:
    if not isinstance(value, Mapping):
        raise ValueError(f"`{value}` is no object")
    return value


def _list(value: Json) -> list[Json]:
    if not isinstance(value, list):
        raise ValueError(f"`{value}` is no list")
    return value


def _texts(value: Json) -> dict[str, str]:
    return {name: _text(each) for name, each in _object(value).items()}
