"""Where a receipt that was altered says what cannot be: against itself, or against what a journal holds of its run. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

from shipway import canonical
from shipway.canonical import Json, items_of, mapping
from shipway.nodes import DONE, Outcome
from shipway.receipt import RunOutcome, file_name

_MOST = 5
_CLOCKS_DIFFER_MS = 2_000
_KNOWN = ("lifecycle", "target", "run", "plan", "effect", "started", "by", "platform", "outcome", "rollback")
"""What a journal holds exactly as the receipt has it, beside the nodes."""

_KNOWN_OF_NODES = ("id", "outcome", "attempts", "started_ms", "ended_ms", "error", "warning", "cause", "change")


def contradictions(data: Mapping[str, Json], name: str) -> list[str]:
    """What in a receipt does not fit the rest of it, or the name of its file. `data` has passed the schema."""
    found = [*_against_name(data, name), *_in_times(data), *_in_nodes(data), *_in_outcome(data)]
    return found[:_MOST]


def differing(data: Mapping[str, Json], known: Mapping[str, Json]) -> list[str]:
    """The fields in which a receipt says otherwise than the journal of its run."""
    found = [f"`{key}` is not what the journal says" for key in _KNOWN if data.get(key) != known.get(key)]
    ours, theirs = items_of(data["nodes"]), items_of(known["nodes"])
    if len(ours) != len(theirs):
        found.append(f"`nodes` has {len(ours)} nodes, and the journal {len(theirs)}")
    for number, (one, other) in enumerate(zip(map(mapping, ours), map(mapping, theirs), strict=False)):
        found += [
            f"`nodes[{number}].{key}` (`{other.get('id')}`) is not what the journal says"
            for key in _KNOWN_OF_NODES
            if one.get(key) != other.get(key)
        ]
    if not found and canonical.digest(known) != data.get("digest"):
        return []
    return found[:_MOST]


def _against_name(data: Mapping[str, Json], name: str) -> Iterator[str]:
    # A name like that of another document was given by somebody, and says nothing.
    wanted = file_name(str(data["lifecycle"]), str(data["target"]), str(data["started"]), str(data["run"]))
    stem = wanted.removesuffix(".json")
    if name.endswith(".json") and "Z-" in name and not name.startswith(stem):
        yield f"`lifecycle`, `target`, `started` or `run` is not that of the file's name (it would be `{wanted}`)"


def _in_times(data: Mapping[str, Json]) -> Iterator[str]:
    try:
        began, ended = (datetime.fromisoformat(str(data[key])) for key in ("started", "ended"))
    except ValueError:
        yield "`started` or `ended` is no time"
        return
    took_ms = (ended - began).total_seconds() * 1000
    if abs(took_ms - _integer(data["duration_ms"])) > _CLOCKS_DIFFER_MS:
        yield "`started`, `ended` and `duration_ms` do not fit"


def _in_nodes(data: Mapping[str, Json]) -> Iterator[str]:
    names = set()
    for number, node in enumerate(map(mapping, items_of(data["nodes"]))):
        place, attempts = f"nodes[{number}]", [mapping(attempt) for attempt in items_of(node["attempts"])]
        names.add(str(node["id"]))
        if [attempt["number"] for attempt in attempts] != list(range(1, len(attempts) + 1)):
            yield f"the attempts of `{place}` are not counted from 1"
        if attempts and Outcome(str(node["outcome"])) in DONE and attempts[-1]["outcome"] != node["outcome"]:
            yield f"`{place}.outcome` is not that of its last attempt"
        for attempt in attempts:
            if _integer(attempt["ended_ms"]) < _integer(attempt["started_ms"]):
                yield f"an attempt of `{place}` ends before it starts"
    for node_id in items_of(mapping(data["critical_path"])["nodes"]):
        if node_id not in names:
            yield f"`critical_path` names `{node_id}`, which is not among `nodes`"


def _in_outcome(data: Mapping[str, Json]) -> Iterator[str]:
    outcome = RunOutcome(str(data["outcome"]))
    outcomes = {str(mapping(stage)["outcome"]) for stage in items_of(data["stages"])}
    bad = {Outcome.FAILED.value, Outcome.TIMED_OUT.value, Outcome.UNDO_FAILED.value}
    if outcome is RunOutcome.SUCCEEDED and outcomes & bad:
        yield "`outcome` is `succeeded`, and a stage is not"
    if outcome is not RunOutcome.SUCCEEDED and outcomes and outcomes <= {"succeeded", "skipped"} and not data["error"]:
        yield f"`outcome` is `{outcome.value}`, and no stage failed"


def _integer(value: Json) -> int:
    return value if isinstance(value, int) else 0
