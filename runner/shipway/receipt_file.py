"""A receipt read back from its file: digest, version and schema first, then its values. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec
from msgspec import Struct

from shipway import canonical
from shipway.approvals import accounted_from_json, approval_from_json
from shipway.canonical import Json, integer_of, items_of, object_of, text_or_none
from shipway.errors import Reason
from shipway.nodes import Change, Outcome
from shipway.policies import break_glass_from_json, verdict_from_json
from shipway.receipt import (
    RECEIPT_SCHEMA,
    Attempt,
    NodeResult,
    Receipt,
    RollbackEntry,
    RunOutcome,
    StageResult,
    by_from_json,
)
from shipway.records import Record
from shipway.signing import signature_from_json


def load_receipt(content: bytes, check: Callable[[Mapping[str, Json]], None]) -> Receipt:
    """The receipt in `content`: digest first, then version, then `check`. Raises like `plan_file.load_plan`."""
    data = canonical.load_sealed(content, kind="receipt", versions=(RECEIPT_SCHEMA,), reason=Reason.RECEIPT_DIGEST)
    check(data)
    receipt = _receipt(data)
    # What was just found to be sealed need not be written and digested again.
    receipt.__dict__["document"] = dict(data)
    return receipt


def _receipt(data: Mapping[str, Json]) -> Receipt:
    path = object_of(data["critical_path"])
    return Receipt(
        lifecycle=str(data["lifecycle"]),
        target=str(data["target"]),
        run=str(data["run"]),
        previous=text_or_none(data["previous"]),
        signatures=tuple(signature_from_json(item) for item in items_of(data["signatures"])),
        plan_digest=text_or_none(data["plan"]),
        effect=text_or_none(data["effect"]),
        approved=text_or_none(data["approved"]),
        approvals=tuple(approval_from_json(object_of(item)) for item in items_of(data["approvals"])),
        accounted=tuple(accounted_from_json(object_of(item)) for item in items_of(data["accounted"])),
        verdicts=tuple(verdict_from_json(object_of(item)) for item in items_of(data["verdicts"])),
        break_glass=break_glass_from_json(data["break_glass"]),
        started=str(data["started"]),
        ended=str(data["ended"]),
        duration_ms=integer_of(data["duration_ms"]),
        outcome=RunOutcome(str(data["outcome"])),
        error=str(data["error"]),
        nodes=tuple(_results(items_of(data["nodes"]))),
        stages=tuple(_stage(object_of(item)) for item in items_of(data["stages"])),
        rollback=tuple(_rollback(object_of(item)) for item in items_of(data["rollback"])),
        by=by_from_json(object_of(data["by"])),
        shipway=str(object_of(data["versions"])["shipway"]),
        planned_with=text_or_none(object_of(data["versions"])["plan"]),
        platform=str(data["platform"]),
        source=object_of(data["source"]),
        critical_path=tuple(str(node) for node in items_of(path["nodes"])),
        critical_path_ms=integer_of(path["duration_ms"]),
        parallelism_thousandths=integer_of(data["parallelism_thousandths"]),
        redactions=integer_of(data["redactions"]),
        warnings=tuple(str(text) for text in items_of(data["warnings"])),
    )


class _WrittenRecord(Struct, frozen=True):
    kind: str
    name: str
    present: bool
    fingerprint: str


class _WrittenNode(Struct, frozen=True):
    """A node as it is written, but for what may be any JSON: thousands of them are read in C."""

    id: str
    action: str
    outcome: Outcome
    attempts: tuple[Attempt, ...]
    ready_ms: int | None
    started_ms: int | None
    ended_ms: int | None
    waited_for: str
    cause: str
    error: str
    warning: str
    change: Change | None
    tail: str
    log: str
    emitted: tuple[str, ...]
    records: tuple[_WrittenRecord, ...]


def _results(written: Sequence[Json]) -> Iterator[NodeResult]:
    nodes = msgspec.convert(written, tuple[_WrittenNode, ...])
    for node, data in zip(nodes, map(object_of, written), strict=True):
        yield NodeResult(
            node.id,
            node.outcome,
            node.attempts,
            node.ready_ms,
            node.started_ms,
            node.ended_ms,
            node.waited_for,
            node.cause,
            node.error,
            node.warning,
            node.change,
            object_of(data["outputs"]),
            node.tail,
            node.log,
            node.emitted,
            node.action,
            _records(node.records, data["records"]) if node.records else (),
        )


def _records(written: Sequence[_WrittenRecord], told: Json) -> tuple[Record, ...]:
    facts = [object_of(each)["facts"] for each in items_of(told)]
    return tuple(
        [
            Record(each.kind, each.name, each.present, each.fingerprint, object_of(its))
            for each, its in zip(written, facts, strict=True)
        ]
    )


def _stage(data: Mapping[str, Json]) -> StageResult:
    return StageResult(str(data["stage"]), Outcome(str(data["outcome"])), integer_of(data["attempts"]))


def _rollback(data: Mapping[str, Json]) -> RollbackEntry:
    return RollbackEntry(
        node=str(data["node"]),
        stage=str(data["stage"]),
        outcome=Outcome(str(data["outcome"])),
        started_ms=integer_of(data["started_ms"]),
        ended_ms=integer_of(data["ended_ms"]),
        error=str(data["error"]),
        attempts=integer_of(data["attempts"]),
        tail=str(data["tail"]),
        log=str(data["log"]),
    )
