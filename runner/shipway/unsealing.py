"""Gives a record of a run back what was encrypted in it, where the key is there; says why not, where it is not. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable

from msgspec.structs import replace

from shipway.run_record import Recorded, RunRecord
from shipway.secrecy import NotOpened, Vault, about_attempt


def unsealed(record: RunRecord, vault: Vault | None, learn: Callable[[str, str], None]) -> tuple[RunRecord, str]:
    """The record with all that `vault` opens, and what to warn of: empty, or why something stays lost.

    `learn` is told each output that comes back, by `node.name`, before anything can show it.
    """
    run, found, fault = record.summary.run, [], ""
    for entry in record.history:
        if entry.sealed is None:
            found.append(entry)
            continue
        try:
            found.append(_opened(run, entry, vault, learn))
        except NotOpened as error:
            found.append(entry)
            fault = fault or f"what is secret in the journal of run {run} cannot be read: {error}"
    return (record if not found else replace(record, history=tuple(found))), fault


def _opened(run: str, entry: Recorded, vault: Vault | None, learn: Callable[[str, str], None]) -> Recorded:
    assert entry.sealed is not None
    if vault is None:
        raise NotOpened("it is encrypted, and `state` names no key")
    kept = json.loads(vault.open(about_attempt(run, entry.sequence, entry.node), entry.sealed))
    for name, value in kept["outputs"].items():
        learn(f"{entry.node}.{name}", value if isinstance(value, str) else json.dumps(value))
    undo = kept["undo"] if entry.is_undo_lost else entry.undo
    return replace(entry, outputs={**entry.outputs, **kept["outputs"]}, undo=undo, lost=(), is_undo_lost=False)
