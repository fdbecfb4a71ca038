"""How long nodes took in earlier runs, out of the journal or the receipts. Reads only: a plan leaves both as it found them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from pathlib import Path

from shipway.canonical import Json, integer_of, items_of, object_of
from shipway.forecast import Measured
from shipway.nodes import Outcome
from shipway.workspace import Workspace

_RUNS = 8
"""How many runs are looked back at: what a step took a year ago says little."""

_ROWS = 200_000
_DONE = (Outcome.SUCCEEDED.value, Outcome.UNCHANGED.value)

_TOOK = (
    "SELECT node, run, ended_ms - started_ms FROM attempt"
    " WHERE run IN (SELECT run FROM run WHERE lifecycle=? AND target=? ORDER BY run DESC LIMIT ?)"
    " AND verb='do' AND outcome IN ('succeeded', 'unchanged') AND ended_ms >= started_ms ORDER BY run DESC LIMIT ?"
)


def measured(workspace: Workspace, lifecycle: str, target: str, runs: int = _RUNS) -> Measured:
    """What is known of the last `runs` of that lifecycle and target; nothing where none was kept, or it cannot be read."""
    return _of_journal(workspace.journal, lifecycle, target, runs) or _of_receipts(workspace, lifecycle, target, runs)


def _of_journal(path: Path, lifecycle: str, target: str, runs: int) -> Measured:
    if not path.is_file():
        return {}
    source = f"{path.absolute().as_uri()}?mode=ro"
    # Who waits for a plan does not wait for a writer.
    with suppress(sqlite3.Error), closing(sqlite3.connect(source, uri=True, timeout=1)) as connection:
        return _by_node(connection.execute(_TOOK, (lifecycle, target, runs, _ROWS)))
    return {}


def _by_node(rows: Iterable[tuple[str, int, int]]) -> Measured:
    found: dict[str, dict[int, int]] = {}
    for node, run, took in rows:
        found.setdefault(node, {})[run] = took
    return found


def _of_receipts(workspace: Workspace, lifecycle: str, target: str, runs: int) -> Measured:
    names = [path for path in workspace.kept_receipts() if path.name.startswith(f"{lifecycle}-{target}-")]
    rows: list[tuple[str, int, int]] = []
    for number, path in enumerate(names[:runs]):
        # Whether it was altered does not matter here: nothing is decided by it but what goes first.
        with suppress(OSError, ValueError, KeyError, TypeError, AttributeError, AssertionError):
            receipt = json.loads(path.read_bytes())
            if (receipt["lifecycle"], receipt["target"]) == (lifecycle, target):
                rows += [(node, -number, took) for node, took in _took(receipt["nodes"])]
    return _by_node(rows)


def _took(results: Json) -> Iterator[tuple[str, int]]:
    """Of data that nobody has checked: whoever calls this is prepared for anything."""
    for result in map(object_of, items_of(results)):
        for last in map(object_of, items_of(result["attempts"])[-1:]):
            if last["outcome"] in _DONE:
                yield str(result["id"]), max(0, integer_of(last["ended_ms"]) - integer_of(last["started_ms"]))
