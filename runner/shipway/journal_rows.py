"""Rows of the journal as values, and back. Opens no file and decides nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from msgspec.structs import asdict

from shipway.action import Verb
from shipway.approvals import accounted_from_json, accounted_json, approval_from_json, approval_json
from shipway.canonical import Json, integer_of, items_of, object_of, text_or_none
from shipway.nodes import Change, Outcome
from shipway.policies import break_glass_from_json, break_glass_json, verdict_from_json, verdict_json
from shipway.records import record_from_json
from shipway.run_record import Opening, Recorded

ATTEMPTS = (
    "SELECT sequence, node, verb, number, execution, started_ms, ended_ms, outcome, began, error, warning, cause, code,"
    " exit_code, change, outputs, lost, undo, tail, log, child, child_started, emitted, sealed, records FROM attempt WHERE run=?"
    " ORDER BY sequence"
)
"""What `recorded` takes, of one run, in the order in which attempts began."""


def opening_json(opening: Opening) -> str:
    """What is known of a run before it begins, as its row holds it."""
    told = asdict(opening) | {
        "approvals": [approval_json(approval) for approval in opening.approvals],
        "accounted": [accounted_json(node) for node in opening.accounted],
        "verdicts": [verdict_json(verdict) for verdict in opening.verdicts],
        "break_glass": break_glass_json(opening.break_glass),
    }
    return json.dumps(told, ensure_ascii=False)


def opening_from_json(data: Mapping[str, Json]) -> Opening:
    """What `opening_json` wrote."""
    return Opening(
        run=str(data["run"]),
        lifecycle=str(data["lifecycle"]),
        target=str(data["target"]),
        file=str(data["file"]),
        began_ms=integer_of(data["began_ms"]),
        inputs={name: str(text) for name, text in object_of(data["inputs"]).items()},
        stages=tuple(map(str, items_of(data["stages"]))),
        skipped=tuple(map(str, items_of(data["skipped"]))),
        reconciled=_texts_or_none(data.get("reconciled")),
        approved=text_or_none(data["approved"]),
        approvals=tuple(approval_from_json(object_of(item)) for item in items_of(data.get("approvals", []))),
        accounted=tuple(accounted_from_json(object_of(item)) for item in items_of(data.get("accounted", []))),
        verdicts=tuple(verdict_from_json(object_of(item)) for item in items_of(data.get("verdicts", []))),
        break_glass=break_glass_from_json(data.get("break_glass")),
        by=object_of(data["by"]),
        shipway=str(data["shipway"]),
        platform=str(data["platform"]),
        workspace=str(data["workspace"]),
    )


def _texts_or_none(data: Json) -> tuple[str, ...] | None:
    return None if data is None else tuple(map(str, items_of(data)))


def recorded(row: Sequence[object]) -> Recorded:
    """An attempt out of a row of `ATTEMPTS`."""
    (
        sequence,
        node,
        verb,
        number,
        execution,
        started,
        ended,
        outcome,
        began,
        error,
        warning,
        cause,
        code,
        exit_code,
    ) = row[:14]
    change, outputs, lost, undo, tail, log, child, child_started, emitted, sealed, records = row[14:]
    names = () if lost is None else json.loads(str(lost))
    told = () if records is None else json.loads(str(records))
    is_undo = verb == Verb.UNDO.value  # which records nothing but the names of what it left
    return Recorded(
        sequence=integer(sequence),
        node=str(node),
        verb=Verb(str(verb)),
        number=integer(number),
        execution=integer(execution),
        started_ms=integer(started),
        ended_ms=None if ended is None else integer(ended),
        outcome=None if outcome is None else Outcome(str(outcome)),
        began=began is None or bool(began),
        error=_text(error),
        warning=_text(warning),
        cause=_text(cause),
        code=_text(code),
        exit_code=None if exit_code is None else integer(exit_code),
        change=None if change is None else Change(str(change)),
        outputs={} if outputs is None else json.loads(str(outputs)),
        lost=tuple(name for name in names if name),
        is_undo_lost="" in names,
        sealed=sealed if isinstance(sealed, bytes) else None,
        undo=None if undo is None else json.loads(str(undo)),
        tail=_text(tail),
        log=_text(log),
        group=None if child is None else integer(child),
        group_started=None if child_started is None else integer(child_started),
        emitted=() if emitted is None else tuple(json.loads(str(emitted))),
        records=() if is_undo else tuple(map(record_from_json, told)),
        left=tuple(map(str, told)) if is_undo else (),
    )


def integer(value: object) -> int:
    """A value that the table holds as an integer."""
    assert isinstance(value, int)
    return value


def _text(value: object) -> str:
    return "" if value is None else str(value)
