"""Ends what a killed run left running and seals its receipt from the journal. Goes on with nothing and undoes nothing."""

from __future__ import annotations

from pathlib import Path

from shipway.attestation import Attestor
from shipway.chain import Chain
from shipway.commands.documents import KeptReceipts
from shipway.commands.setting import GRACE_AT_TERMINAL, GRACE_IN_CI
from shipway.commands.stores import open_state
from shipway.context import Context
from shipway.declaration import Declaration
from shipway.errors import UsageError
from shipway.journal_file import JournalFile
from shipway.loading import load_declaration
from shipway.plan import Plan
from shipway.receipt import Receipt
from shipway.registry import Registry
from shipway.repository import open_repository
from shipway.run_record import Opening, RunStatus, RunSummary
from shipway.sealing import sealed
from shipway.signer import SigningTools
from shipway.signing import SigningRule
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

    Raises UnreachableError where something of the run cannot be ended, StoreError where the state cannot be written, and, once
    it is kept, VerificationError (`unsigned`) where it was to be signed and is not.
    """
    workspace = Workspace(root)
    record = journal.read(summary.run)
    declared = _declared(record.opening, root)
    secrets = {name: context.env[name] for name in declared.secrets if context.env.get(name)} if declared else {}
    repository = open_repository(root, context.env)
    state = open_state(declared, secrets, summary.target, context, repository) if declared else None
    tools = SigningTools(root, context.home, context.env, secrets)
    attestor = Attestor(declared.signing if declared else SigningRule(), Registry().make_signer, tools)
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
        chain.add(receipt, attestor.sign, lambda final: _keep(final, plan, keeper, kept))
        if summary.has_crashed:
            held.finished(RunStatus(receipt.outcome.value), int(context.now().timestamp() * 1000))
        held.sealed(kept[0].digest)
    finally:
        held.close()
        if state is not None:
            state.close()
    workspace.remove_scratch(summary.run)
    if refusal := attestor.refusal():
        raise refusal
    return keeper.path


def _keep(receipt: Receipt, plan: Plan, keeper: KeptReceipts, kept: list[Receipt]) -> None:
    kept.append(receipt)
    keeper.report(plan, receipt)


def _declared(opening: Opening, root: Path) -> Declaration | None:
    """The declaration of a run as it is now; None where it can be read no more."""
    try:
        return load_declaration(root / opening.file, root=root, target=opening.target)
    except UsageError:
        return None
