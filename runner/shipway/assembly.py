"""Puts a receipt together from a plan and what its execution gave. Pure: redaction and times come in as values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import PurePath

from msgspec import Struct
from msgspec.structs import replace

from shipway.approvals import AccountedNode, Approval
from shipway.canonical import Json, bytes_digest, canonical_bytes, keyed_digest
from shipway.node_ids import owner_of, readable
from shipway.nodes import WHOLE, NeedKind, Node, Outcome
from shipway.plan import Plan
from shipway.policies import BreakGlass, Verdict
from shipway.receipt import (
    MAX_OUTPUT_BYTES,
    NodeResult,
    Pause,
    RanBy,
    Receipt,
    RollbackEntry,
    RunOutcome,
    without_pauses,
)
from shipway.records import LEAVES, REPLACES_EACH, STEP, Record, left_by
from shipway.redaction import redacted_value
from shipway.results import Execution
from shipway.saga import is_whole

TAIL_LINES = 30
"""How many of a node's last lines a receipt keeps; for nodes that did not fail, none."""


class RunFacts(Struct, frozen=True):
    """What of a run its execution does not know: its id, times (RFC 3339 UTC), who ran it, and what was noticed."""

    run: str
    started: str
    ended: str
    duration_ms: int
    by: RanBy
    platform: str
    shipway: str
    pauses: tuple[Pause, ...] = ()
    redactions: int = 0
    warnings: tuple[str, ...] = ()
    approved: str | None = None
    planned_with: str | None = None
    approvals: tuple[Approval, ...] = ()
    accounted: tuple[AccountedNode, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    break_glass: BreakGlass | None = None


def assemble(plan: Plan, execution: Execution, facts: RunFacts, seal: OutputSeal) -> Receipt:
    """The receipt of an execution."""
    grown = replace(plan, nodes=(*plan.nodes, *execution.added)) if execution.added else plan
    ready = _ready_times(grown, execution.results)
    results = tuple(_sealed(result, ready[result.node], grown.by_id[result.node], seal) for result in execution.results)
    ran = {result.node: result for result in results if result.started_ms is not None}
    durations = {
        node: _worked_ms(result, ready[node], facts.pauses)
        for node, result in ran.items()
        if not grown.by_id[node].is_group
    }
    path, length = grown.graph().critical_path(durations)
    wall = max(1, without_pauses(0, execution.duration_ms, facts.pauses))
    return Receipt(
        lifecycle=plan.lifecycle,
        target=plan.target,
        run=facts.run,
        plan_digest=plan.digest,
        effect=plan.effect,
        approved=facts.approved,
        approvals=facts.approvals,
        accounted=facts.accounted,
        verdicts=facts.verdicts,
        break_glass=facts.break_glass,
        started=facts.started,
        ended=facts.ended,
        duration_ms=facts.duration_ms,
        outcome=_run_outcome(execution),
        nodes=results,
        stages=execution.stages,
        rollback=tuple(_sealed_undo(entry) for entry in execution.rollback),
        by=facts.by,
        shipway=facts.shipway,
        planned_with=facts.planned_with,
        platform=facts.platform,
        source={
            "commit": plan.source.commit,
            "tree": plan.source.tree,
            "dirty": plan.source.dirty,
            "file": plan.source.file,
        },
        critical_path=tuple(node for node in path if node in durations),
        critical_path_ms=length,
        pauses=facts.pauses,
        parallelism_thousandths=sum(durations.values()) * 1000 // wall,
        redactions=facts.redactions,
        warnings=(*facts.warnings, *_left_behind(execution)),
    )


def failed_receipt(
    lifecycle: str, target: str, plan: Plan | None, outcome: RunOutcome, error: str, facts: RunFacts
) -> Receipt:
    """The receipt of a run that failed or was stopped before any node could start: no nodes, and the error."""
    return Receipt(
        lifecycle=lifecycle,
        target=target,
        run=facts.run,
        plan_digest=plan.digest if plan else None,
        effect=plan.effect if plan else None,
        verdicts=facts.verdicts,
        break_glass=facts.break_glass,
        started=facts.started,
        ended=facts.ended,
        duration_ms=facts.duration_ms,
        pauses=facts.pauses,
        outcome=outcome,
        nodes=(),
        stages=(),
        rollback=(),
        by=facts.by,
        shipway=facts.shipway,
        platform=facts.platform,
        redactions=facts.redactions,
        warnings=facts.warnings,
        error=error,
    )


class OutputSeal(Struct, frozen=True):
    """How outputs enter a receipt: `redact` masks text, `key` makes digests of secrets that nobody else can compare."""

    redact: Callable[[str], str]
    key: bytes


def _run_outcome(execution: Execution) -> RunOutcome:
    if not is_whole([entry.outcome for entry in execution.rollback]):
        return RunOutcome.NOT_UNDONE
    if execution.cancelled:
        return RunOutcome.CANCELLED
    return RunOutcome.FAILED if execution.failed else RunOutcome.SUCCEEDED


def _left_behind(execution: Execution) -> Iterable[str]:
    if execution.left_behind:
        yield "begun and left as it is: " + ", ".join(f"`{readable(node)}`" for node in execution.left_behind)


def _ready_times(plan: Plan, results: Sequence[NodeResult]) -> dict[str, int]:
    """When each node's needs were met: the latest end among them, stages included."""
    ended: dict[str, int] = {result.node: result.ended_ms or 0 for result in results}
    members: dict[str, int] = {}
    for result in results:
        stage = plan.by_id[result.node].stage
        members[stage] = max(members.get(stage, 0), ended[result.node])
    stages = plan.stages_by_id
    found = {}
    for result in results:
        node = plan.by_id[result.node]
        if not node.needs and not stages[node.stage].needs:
            found[node.id] = 0
            continue
        befores = (need for need in node.needs if need.kind is not NeedKind.WITHIN)
        ready = max((ended[owner_of(need.node)] for need in befores), default=0)
        found[node.id] = max([ready, *(members.get(stage, 0) for stage in stages[node.stage].needs)])
    return found


def _worked_ms(result: NodeResult, ready_ms: int, pauses: Sequence[Pause]) -> int:
    """How long the node took once its needs were met, which may have run anew between two of its attempts, without pauses."""
    if result.started_ms is None or result.ended_ms is None or not result.attempts:
        return result.duration_ms
    begin = max(result.started_ms, min(ready_ms, result.attempts[-1].started_ms))
    return without_pauses(begin, result.ended_ms, pauses)


_WITH_TAIL = frozenset(
    {Outcome.FAILED, Outcome.TIMED_OUT, Outcome.CANCELLED, Outcome.UNDONE, Outcome.UNDO_FAILED, Outcome.NOT_UNDOABLE}
)


def _sealed(result: NodeResult, ready_ms: int, node: Node, seal: OutputSeal) -> NodeResult:
    """The result as it may be kept: outputs redacted or as digests, the tail of a failure only, the log's name alone."""
    ready = None if result.started_ms is None else min(ready_ms, result.started_ms)
    records = (result.records or _step_record(result, node)) if node.lasting else ()
    if not (result.outputs or records or result.tail or result.log):
        return replace(result, action=node.action, ready_ms=ready, records=())
    tail = _last_lines(result.tail) if result.outcome in _WITH_TAIL else ""
    return replace(
        result,
        action=node.action,
        ready_ms=ready,
        outputs={name: _sealed_output(name, value, node, seal) for name, value in result.outputs.items()},
        records=tuple(_with_facts(record, node) for record in records),
        tail=tail,
        log=result.log and PurePath(result.log).name,
    )


def _step_record(result: NodeResult, node: Node) -> tuple[Record, ...]:
    """What lasts and names nothing it made is a thing by itself: the step. It was begun, or there is none."""
    is_begun = bool(result.attempts) and result.outcome not in _NEVER_BEGUN
    if not is_begun or not node.must_be_undone or node.is_group:
        return ()
    left = left_by(node.facts)
    return (Record(STEP, node.id),) if left is None else left


_NEVER_BEGUN = frozenset({Outcome.SKIPPED, Outcome.BLOCKED, Outcome.NOT_STARTED})


_NOT_OF_RECORDS = frozenset({LEAVES, REPLACES_EACH})


def _with_facts(record: Record, node: Node) -> Record:
    """The record with what its backend knows of the node; the action, which was there, has the last word."""
    known = {name: value for name, value in node.facts.items() if name not in _NOT_OF_RECORDS}
    return replace(record, facts={**known, **record.facts})


def _sealed_undo(entry: RollbackEntry) -> RollbackEntry:
    tail = "" if entry.outcome in WHOLE else _last_lines(entry.tail)
    return replace(entry, tail=tail, log=PurePath(entry.log).name)


def _last_lines(tail: str) -> str:
    return "\n".join(tail.splitlines()[-TAIL_LINES:])


def _sealed_output(name: str, value: Json, node: Node, seal: OutputSeal) -> Json:
    rule = node.outputs.get(name)
    if rule is not None and rule.type == "secret":
        return {"secret": keyed_digest(seal.key, str(value).encode())}
    if rule is not None and rule.type == "file":
        digest, _, file_name = str(value).rpartition("/artifacts/")[2].partition("/")
        return {"file": f"sha256:{digest}", "name": file_name}
    redacted = redacted_value(value, seal.redact)
    if isinstance(redacted, str) and len(redacted) < MAX_OUTPUT_BYTES // 8:
        return redacted  # a character takes six bytes at most
    content = canonical_bytes(redacted)
    if len(content) > MAX_OUTPUT_BYTES:
        return {"large": bytes_digest(content), "size": len(content)}
    return redacted
