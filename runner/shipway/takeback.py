"""What of a run that has ended, or was killed, is still to be undone, and in which order. Pure: undoes nothing."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from shipway import saga
from shipway.action import Verb
from shipway.bodies import regrown
from shipway.declaration import Rollback
from shipway.nodes import WHOLE, Outcome
from shipway.plan import Plan
from shipway.replay import begun_of, stand
from shipway.run_record import Recorded, RunRecord, RunStatus


def to_undo(plan: Plan, record: RunRecord) -> list[str]:
    """The nodes of the run, as it was planned, to undo, and those of compensations to run, in the order of the saga; or none.

    What was undone is not undone again; what could not be undone is tried once more, since a person asks for it.
    """
    plan = regrown(plan, record, lambda action: {})
    standings = stand(plan.nodes, record)
    stages = {standing.node.stage for standing in standings.values() if standing.began}
    ran = {entry.node for entry in record.history if entry.verb is Verb.UNDO and entry.outcome in WHOLE}
    compensations = {
        stage.id: [node.id for node in stage.compensation_order() if node.id not in ran]
        for stage in plan.stages
        if stage.compensation and stage.id in stages
    }
    return saga.undo_order(list(begun_of(standings.values())), Rollback.RUN, (), compensations)


def as_rolling_back(record: RunRecord, order: Sequence[str]) -> RunRecord:
    """The record of a run that is to be rolled back in this order, as if it had only just come to that.

    What an earlier rollback tried in vain is left out, so that it is tried again; what nobody reported stays to be probed.
    """
    left = [entry for entry in record.history if entry.node not in order or not _is_in_vain(entry)]
    summary = replace(record.summary, status=RunStatus.ROLLING_BACK)
    return replace(record, summary=summary, history=left, undoing=tuple(order))


def _is_in_vain(entry: Recorded) -> bool:
    return entry.verb is Verb.UNDO and entry.outcome not in (None, Outcome.UNKNOWN, Outcome.UNDONE)
