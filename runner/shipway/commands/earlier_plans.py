"""Plans made before: in a file, or of a run whose receipt or id is named; and which files changed between two of them."""

from __future__ import annotations

from shipway.commands.documents import read_document
from shipway.commands.setting import journal_of, root_here
from shipway.context import Context
from shipway.errors import Reason, UsageError
from shipway.plan import Plan
from shipway.receipt import Receipt
from shipway.repository import Repository


def plan_named(name: str, context: Context) -> Plan:
    """The plan in a file, or the plan of a run that a receipt in a file, or an id, names: the journal here holds that.

    Raises UsageError where there is none, VerificationError where a seal is broken.
    """
    path = context.cwd / name
    if path.is_file():
        document = read_document(path)
        return document if isinstance(document, Plan) else plan_of_receipt(document, context)
    journal = journal_of(root_here(context), context)
    try:
        return journal.plan(journal.find(name).run)
    except UsageError as error:
        raise UsageError(
            f"`{name}` is neither a file nor a run of this checkout", reason=error.reason, next=error.next
        ) from error


def plan_of_receipt(receipt: Receipt, context: Context) -> Plan:
    """The plan that a receipt is of. A receipt holds its digest only: raises UsageError where the journal here has it not."""
    journal = journal_of(root_here(context), context)
    if any(summary.run == receipt.run for summary in journal.runs()):
        plan = journal.plan(receipt.run)
        if plan.digest == receipt.plan_digest:
            return plan
    raise UsageError(
        f"the plan of run {receipt.run} is not in the journal of this checkout, and a receipt holds its digest only",
        reason=Reason.DOCUMENT_INVALID,
        next="name the plan itself: the artifact of the plan, or what `shipway plan -o FILE` wrote",
    )


def files_between(before: Plan, after: Plan, repository: Repository) -> tuple[str, ...] | None:
    """The paths that differ between what two plans were made of; None where that cannot be told here."""
    old, new = before.source, after.source
    if old.commit is None or new.commit is None or old.dirty or new.dirty:
        return None
    return repository.changed_between(old.commit, new.commit)
