"""What of an approved plan was done already, by the journal of this checkout and the receipts that are kept. Reads only."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from shipway.approvals import Approval
from shipway.attestation import Endorsement
from shipway.commands.documents import read_document
from shipway.commands.setting import journal_of
from shipway.context import Context
from shipway.loading import load_declaration
from shipway.nodes import DONE, Outcome
from shipway.plan import Plan
from shipway.receipt import Receipt
from shipway.registry import Registry
from shipway.replay import is_done, stand
from shipway.repository import Repository
from shipway.signer import SigningTools
from shipway.workspace import Workspace


def done_under(effect: str, plan: Plan, file: Path, context: Context, repository: Repository) -> Mapping[str, str]:
    """The nodes that runs of what was approved have done, each with which run says so, by journal or verified receipt.

    A receipt is signed as the declaration in `file` asks for. Only up to the last run of that lifecycle and target that was
    of anything else: what that one left, nobody can tell.
    Raises VerificationError for a receipt whose seal is broken.
    """
    root, lifecycle, target = repository.root, plan.lifecycle, plan.target
    by_journal = _journalled(effect, lifecycle, target, context, root)
    if by_journal:
        return by_journal
    declared = load_declaration(file, root=root, target=target)
    tools = SigningTools(root, context.home, context.env, {})
    counts = Endorsement([(declared.signing, None)], Registry().make_signer, tools).counts
    return _receipted(effect, lifecycle, target, root, counts)


def _journalled(effect: str, lifecycle: str, target: str, context: Context, root: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    seen: set[str] = set()
    journal = journal_of(root, context)
    for summary in journal.runs():
        if (summary.lifecycle, summary.target) != (lifecycle, target):
            continue
        record = journal.read(summary.run)
        if not record.history:
            continue
        if not _belongs(effect, summary.effect, record.opening.approvals):
            break
        for node, standing in stand(journal.plan(summary.run).nodes, record).items():
            # The last run that did something says how it stands: an earlier success may have been undone since. One that only
            # found it done built on an earlier one, which may have been undone since as well.
            if not standing.tries or node in seen:
                continue
            if standing.outcome is not Outcome.UNCHANGED:
                seen.add(node)
            if is_done(standing):
                found.setdefault(node, f"succeeded in run {summary.run}")
            else:
                found.pop(node, None)
    return found


def _receipted(
    effect: str, lifecycle: str, target: str, root: Path, counts: Callable[[Receipt], bool]
) -> dict[str, str]:
    found: dict[str, str] = {}
    seen: set[str] = set()
    for receipt in _receipts(root):
        if (receipt.lifecycle, receipt.target) != (lifecycle, target) or not receipt.nodes:
            continue
        if not _belongs(effect, receipt.effect, receipt.approvals):
            break
        is_proof: bool | None = None
        for result in receipt.nodes:
            if not result.attempts or result.node in seen:
                continue
            if result.outcome is not Outcome.UNCHANGED:
                seen.add(result.node)
            if result.outcome not in DONE:
                found.pop(result.node, None)
                continue
            is_proof = counts(receipt) if is_proof is None else is_proof
            if is_proof:
                found.setdefault(result.node, f"succeeded in run {receipt.run}, by its receipt")
            else:
                seen.add(result.node)
    return found


def _receipts(root: Path) -> Iterator[Receipt]:
    """The receipts kept here, the latest first."""
    for path in Workspace(root).kept_receipts():
        document = read_document(path)
        if isinstance(document, Receipt):
            yield document


def _belongs(effect: str, own: str | None, approvals: tuple[Approval, ...]) -> bool:
    """Whether a run was of what was approved, or of a part of it."""
    return own == effect or any(approval.effect == effect for approval in approvals)
