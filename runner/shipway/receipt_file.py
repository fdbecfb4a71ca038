"""A receipt read back from its file: digest, version and schema first, then its values. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from shipway import canonical
from shipway.approvals import accounted_from_json, approval_from_json
from shipway.canonical import Json, integer_of, items_of, object_of, text_or_none
from shipway.errors import Reason
from shipway.nodes import Outcome
from shipway.policies import break_glass_from_json, verdict_from_json
from shipway.receipt import (
    RECEIPT_SCHEMA,
    NodeResult,
    Pause,
    Receipt,
    RollbackEntry,
    RunOutcome,
    StageResult,
    by_from_json,
)
from shipway.signing import signature_from_json


def load_receipt(content: bytes, check: Callable[[Mapping[str, Json]], None]) -> Receipt:
    """The receipt in `content`: digest first, then version, then `check`. Raises like `plan_file.load_plan`."""
    data = canonical.load_sealed(content, kind="receipt", versions=(RECEIPT_SCHEMA,), reason=Reason.RECEIPT_DIGEST)
    check(data)
    receipt = _receipt(data)
    # What was just found to be sealed need not be written and digested again.
    receipt.__dict__.update(document=data, digest=data["digest"])
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
        nodes=msgspec.convert(data["nodes"], tuple[NodeResult, ...]),
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
        pauses=msgspec.convert(data["pauses"], tuple[Pause, ...]),
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
        left=tuple(map(str, items_of(data["left"]))),
    )
