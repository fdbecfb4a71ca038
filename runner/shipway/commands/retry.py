"""`shipway retry RUN NODE`: go on with a run from a node that failed; see `resume`, which does it."""

from __future__ import annotations

from argparse import Namespace

from shipway.bodies import regrown
from shipway.commands.resume import go_on
from shipway.errors import UsageError, did_you_mean
from shipway.journal_file import JournalFile
from shipway.node_ids import meant
from shipway.nodes import FAILURES, Outcome
from shipway.reopening import Wish
from shipway.replay import stand
from shipway.run_record import RunRecord


def run(arguments: Namespace) -> int:
    """The exit code of the run. Raises ShipwayError where it cannot be gone on with, or where the node has not failed."""
    return go_on(arguments, lambda journal, name: _failed(journal, journal.read(name), arguments.node))


def _failed(journal: JournalFile, record: RunRecord, node: str) -> Wish:
    """Run the node again whatever came of it, with all that waits for it. Raises UsageError where it has not failed."""
    plan = regrown(journal.plan(record.summary.run), record, lambda action: {})
    node = meant(node, plan.by_id)
    if node not in plan.by_id:
        raise UsageError(
            f"there is no node `{node}` in run `{record.summary.run}`",
            next=did_you_mean(node, plan.by_id) or f"see `shipway show {record.summary.run}`",
        )
    standing = stand(plan.nodes, record)[node]
    if standing.own not in FAILURES | {Outcome.CANCELLED}:
        word = standing.outcome.value.replace("_", " ")
        raise UsageError(
            f"`{node}` has not failed (it is `{word}`): there is nothing to retry",
            next=f"`shipway resume {record.summary.run} --from {node}` runs it and all behind it again",
        )
    return Wish({node: False})
