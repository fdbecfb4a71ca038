"""A `files` stage that takes back: only what the stage put there and the state knows, and folders that this leaves empty."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from shipway.builder_options import NodeHandle
from shipway.canonical import Json
from shipway.file_placing import REPLACES
from shipway.file_stage import FileStage
from shipway.node_ids import named_by_path
from shipway.nodes import Promise
from shipway.state import Entry

_NONE: Mapping[tuple[str, str], NodeHandle] = {}


def retire(
    on: FileStage, kept: Mapping[tuple[str, str], NodeHandle] = _NONE, sources: Collection[str] = ()
) -> list[str]:
    """Add a node for each file of the stage to be removed, but for the targets in `kept` and those from `sources`.

    What changed since it was put there is left alone. Returns the names of what is removed. One node comes after the other, and
    all after those that put the kept ones there: each may leave a folder empty that another one's file is in, or will be.
    """
    retired: list[str] = []
    before = list(kept.values())
    for (root, path), entry in on.own().items():
        if (root, path) in kept or entry.facts.get("source") in sources:
            continue
        place = on.roots[root]
        if not on.confine("roots", entry.name, place):
            continue
        slots: dict[str, Json | Promise] = {
            "path": entry.name,
            "prune": True,
            "prune_boundary": place.shown,
            "within": place.shown,
            "on_conflict": "skip",
        }
        # Not `file.unlink`: a file that stands in a link's place by now would be an error, and is left alone like any other.
        added = on.add(
            "file.remove",
            named_by_path(root, path),
            slots,
            needs=before,
            options=on.options(on.at("action"), _facts(entry)),
        )
        before = [added]
        retired.append(entry.name)
    return retired


def _facts(entry: Entry) -> Mapping[str, Json]:
    facts = {name: entry.facts[name] for name in ("layer", "project", "how", "source") if name in entry.facts}
    return {**facts, REPLACES: entry.fingerprint} if entry.fingerprint else facts
