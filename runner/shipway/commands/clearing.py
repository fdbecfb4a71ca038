"""Ends what a killed run left running and seals its receipt from the journal. Goes on with nothing and undoes nothing."""

from __future__ import annotations

from pathlib import Path

from shipway import declaration
from shipway.chain import Chain
from shipway.commands.documents import KeptReceipts
from shipway.commands.setting import GRACE_AT_TERMINAL, GRACE_IN_CI
from shipway.commands.stores import open_state
from shipway.context import Context
from shipway.errors import UsageError
from shipway.journal import Opening, RunStatus, RunSummary
from shipway.journal_file import JournalFile
from shipway.plan import Plan
from shipway.receipt import Receipt
from shipway.repository import open_repository
from shipway.sealing import sealed
from shipway.shared_state import SharedState
from shipway.survivors import end, survivors_of
from shipway.workspace import Workspace


def seal_killed(
    journal: JournalFile,
    summary: RunSummary,
    root: Path,
    context: Context,
    *,
    cancelled: bool = False,
) -> Path | None:
    """The receipt of a run that nobody carries out any more; where its declaration keeps the state in a store, there as well.

    Raises UnreachableError where something of the run cannot be ended, StoreError where the state cannot be written.
    """
    workspace = Workspace(root)
    record = journal.read(summary.run)
    state = _state_of(record.opening, root, context)
    held = journal.resume(record, None)
    try:
        grace = GRACE_IN_CI if context.ci else GRACE_AT_TERMINAL
        survivors = survivors_of(record, workspace.run_directory(summary.run))
        end(survivors, grace, lambda milliseconds: context.sleep(milliseconds / 1000))
        plan = journal.plan(summary.run)
        receipt = sealed(plan, record, bytes.fromhex(context.random_hex(32)), cancelled=cancelled)
        keeper = KeptReceipts(root)
        chain = Chain(workspace, receipt.lifecycle, receipt.target, state)
        kept: list[Receipt] = []
        chain.add(receipt, lambda draft: draft, lambda final: _keep(final, plan, keeper, kept))
        if summary.has_crashed:
            held.finished(RunStatus(receipt.outcome.value), int(context.now().timestamp() * 1000))
        held.sealed(kept[0].digest)
    finally:
        held.close()
        if state is not None:
            state.close()
    workspace.remove_scratch(summary.run)
    return keeper.path


def _keep(receipt: Receipt, plan: Plan, keeper: KeptReceipts, kept: list[Receipt]) -> None:
    kept.append(receipt)
    keeper.report(plan, receipt)


def _state_of(opening: Opening, root: Path, context: Context) -> SharedState | None:
    """Where the declaration of a run keeps the state, as it says now; None where that is here, or it can be read no more."""
    try:
        declared = declaration.load(root / opening.file, root=root, target=opening.target)
    except UsageError:
        return None
    secrets = {name: context.env[name] for name in declared.secrets if context.env.get(name)}
    return open_state(declared, secrets, opening.target, context, open_repository(root, context.env))
