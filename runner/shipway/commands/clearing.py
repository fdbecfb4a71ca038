"""Ends what a killed run left running and seals its receipt from the journal. Goes on with nothing and undoes nothing."""

from __future__ import annotations

from pathlib import Path

from shipway.commands.documents import KeptReceipts
from shipway.commands.setting import GRACE_AT_TERMINAL, GRACE_IN_CI
from shipway.context import Context
from shipway.journal import RunStatus, RunSummary
from shipway.journal_file import JournalFile
from shipway.sealing import sealed
from shipway.survivors import end, survivors_of
from shipway.workspace import Workspace


def seal_killed(
    journal: JournalFile, summary: RunSummary, root: Path, context: Context, *, cancelled: bool = False
) -> Path | None:
    """The receipt of a run that nobody carries out any more. Raises UnreachableError where something of it cannot be ended."""
    workspace = Workspace(root)
    record = journal.read(summary.run)
    held = journal.resume(record, None)
    try:
        grace = GRACE_IN_CI if context.ci else GRACE_AT_TERMINAL
        survivors = survivors_of(record, workspace.run_directory(summary.run))
        end(survivors, grace, lambda milliseconds: context.sleep(milliseconds / 1000))
        plan = journal.plan(summary.run)
        receipt = sealed(plan, record, bytes.fromhex(context.random_hex(32)), cancelled=cancelled)
        keeper = KeptReceipts(root)
        keeper.report(plan, receipt)
        if summary.has_crashed:
            held.finished(RunStatus(receipt.outcome.value), int(context.now().timestamp() * 1000))
        held.sealed(receipt.digest)
    finally:
        held.close()
    workspace.remove_scratch(summary.run)
    return keeper.path
