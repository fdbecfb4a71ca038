"""The draft of a run's receipt: what was executed, else what kept it from that. Linked and signed elsewhere."""

from __future__ import annotations

from datetime import datetime

from msgspec.structs import replace

from shipway import __version__
from shipway.admission import Admission
from shipway.assembly import OutputSeal, RunFacts, assemble, failed_receipt
from shipway.errors import Interrupted, ShipwayError
from shipway.gear import Gear
from shipway.logbook import Logbook, ran_by
from shipway.plan import Plan
from shipway.receipt import Receipt, RunOutcome
from shipway.results import Execution


def executed_receipt(gear: Gear, plan: Plan, execution: Execution, logbook: Logbook, admission: Admission) -> Receipt:
    """The receipt of an execution, or of the rollback of an earlier one."""
    facts = _facts(gear, logbook, admission)
    seal = OutputSeal(gear.redactor.clean, bytes.fromhex(gear.context.random_hex(32)))
    receipt = assemble(plan, execution, facts, seal)
    if fault := execution.fault or execution.refusal:
        text = fault.message if isinstance(fault, ShipwayError) else repr(fault)
        receipt = replace(receipt, error=gear.redactor.clean(f"execute: {text}"))
    if not logbook.is_taken_back:
        return receipt
    is_whole = receipt.outcome is not RunOutcome.NOT_UNDONE
    return replace(receipt, outcome=RunOutcome.ROLLED_BACK) if is_whole else receipt


def refused_receipt(
    gear: Gear, plan: Plan | None, error: ShipwayError | None, logbook: Logbook, admission: Admission
) -> Receipt:
    """The receipt of a run that came to no execution, because of `error`; `plan` None: to no plan either."""
    facts = _facts(gear, logbook, admission)
    text = gear.redactor.clean(f"{error.phase}: {error.message}") if error else ""
    outcome = RunOutcome.CANCELLED if isinstance(error, Interrupted) else RunOutcome.FAILED
    return failed_receipt(gear.declaration.name, gear.request.target, plan, outcome, text, facts)


def _facts(gear: Gear, logbook: Logbook, admission: Admission) -> RunFacts:
    context, around = gear.context, gear.around
    looked_at = gear.request.given or admission.sanction.reviewed
    return RunFacts(
        run=logbook.run or logbook.new_run_id(),
        started=rfc3339(logbook.began),
        ended=rfc3339(context.now()),
        duration_ms=(context.monotonic_ns() - logbook.began_ns) // 1_000_000,
        pauses=logbook.pauses,
        by=ran_by(context, around.repository),
        platform=f"{context.platform.os}/{context.platform.arch}",
        shipway=__version__,
        redactions=gear.redactor.count,
        warnings=tuple(around.events.faults),
        approved=looked_at.effect if looked_at else None,
        planned_with=looked_at.shipway if looked_at else None,
        approvals=admission.sanction.approvals,
        accounted=admission.sanction.accounted or admission.accounted,
        verdicts=admission.clearance.verdicts,
        break_glass=admission.clearance.broken,
    )


def rfc3339(moment: datetime) -> str:
    """A moment of UTC as documents hold it, to the millisecond: `2026-01-31T12:00:00.000Z`."""
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"
