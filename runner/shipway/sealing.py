"""The receipt of a run that its own process could not seal: what the journal holds of it, put together the same way.

Pure: nothing is probed, nothing guessed; what nobody reported is `unknown`.
"""

from __future__ import annotations

from datetime import UTC, datetime

from msgspec.structs import replace

from shipway import saga
from shipway.assembly import OutputSeal, RunFacts, assemble
from shipway.bodies import regrown
from shipway.canonical import Json
from shipway.declaration import Rollback
from shipway.nodes import FAILURES
from shipway.plan import Plan
from shipway.receipt import Receipt, RunOutcome, StageResult, by_from_json, stage_outcome
from shipway.replay import Standing, begun_of, last_moment_ms, pauses_of, result_of, stand, undos_of
from shipway.results import Execution
from shipway.run_record import RunRecord, RunStatus

_KILLED = "its process was gone before the run had ended"


def sealed(plan: Plan, record: RunRecord, key: bytes, *, cancelled: bool = False) -> Receipt:
    """The receipt of what `record` holds. `key` makes digests of secrets; `cancelled`: a person gave the run up."""
    grown = regrown(plan, record, lambda action: {})
    standings = stand(grown.nodes, record)
    execution = _execution(grown, record, standings, cancelled=cancelled)
    execution = replace(execution, added=tuple(node for node in grown.nodes if node.id not in plan.by_id))
    receipt = assemble(plan, execution, _facts(record), OutputSeal(lambda text: text, key))
    has_ended = record.summary.status not in (RunStatus.RUNNING, RunStatus.ROLLING_BACK)
    outcome = RunOutcome(record.summary.status.value) if has_ended else receipt.outcome
    if not has_ended and execution.left_behind and plan.rollback is Rollback.RUN:
        outcome = RunOutcome.NOT_UNDONE
    return replace(receipt, outcome=outcome, error="" if has_ended else _KILLED)


def _execution(plan: Plan, record: RunRecord, standings: dict[str, Standing], *, cancelled: bool) -> Execution:
    results = tuple(result_of(standing) for standing in standings.values())
    undos = undos_of(record, {node.id: node.stage for node in (*plan.nodes, *plan.compensations)})
    return Execution(
        results=results,
        stages=tuple(
            StageResult(stage.id, stage_outcome([standings[n.id].outcome for n in plan.nodes if n.stage == stage.id]))
            for stage in plan.stages
        ),
        rollback=tuple(undos),
        left_behind=tuple(saga.left_behind(list(begun_of(standings.values())), {undo.node for undo in undos})),
        cancelled=cancelled,
        failed=not cancelled or any(standing.own in FAILURES for standing in standings.values()),
        duration_ms=last_moment_ms(record),
    )


def _facts(record: RunRecord) -> RunFacts:
    opening = record.opening
    took = last_moment_ms(record)
    return RunFacts(
        run=opening.run,
        started=_rfc3339(opening.began_ms),
        ended=_rfc3339(record.summary.ended_ms or opening.began_ms + took),
        duration_ms=took,
        pauses=pauses_of(record),
        by=by_from_json(_with_all(opening.by)),
        platform=opening.platform,
        shipway=opening.shipway,
        approved=opening.approved,
        approvals=opening.approvals,
        accounted=opening.accounted,
        verdicts=opening.verdicts,
        break_glass=opening.break_glass,
    )


def _with_all(by: object) -> dict[str, Json]:
    assert isinstance(by, dict)
    return dict.fromkeys(_BY) | by


_BY = ("invoker", "actor", "provider", "repository", "run", "attempt", "url", "commit")


def _rfc3339(unix_ms: int) -> str:
    moment = datetime.fromtimestamp(unix_ms / 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{unix_ms % 1000:03d}Z"
