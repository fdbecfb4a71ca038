"""Plans made before: in a file, or of a run, the last or one that is named; and which files changed between two of them."""

from __future__ import annotations

from collections.abc import Iterator

from shipway.commands.documents import read_document, receipt_in
from shipway.commands.setting import journal_of, root_here
from shipway.commands.stores import fetch_runs, open_state
from shipway.context import Context
from shipway.declaration import Declaration, StateStore
from shipway.errors import Reason, UsageError
from shipway.plan import Plan
from shipway.receipt import Receipt
from shipway.repository import Repository
from shipway.workspace import Workspace


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


def last_receipt(
    lifecycle: str, target: str, declared: Declaration | None, context: Context, repository: Repository
) -> Receipt | None:
    """The receipt sealed last of a lifecycle and target, of a run that began something: in the store declared, else here.

    Raises StoreError where the store cannot be read.
    """
    for receipt in (*_in_store(declared, target, context, repository), *_kept(lifecycle, target, repository)):
        if receipt.nodes and (receipt.lifecycle, receipt.target) == (lifecycle, target):
            return receipt
    return None


def _in_store(declared: Declaration | None, target: str, context: Context, repository: Repository) -> Iterator[Receipt]:
    """The receipts in the store, the latest first; the journal of the last run is brought along."""
    if declared is None or declared.state.store is StateStore.LOCAL:
        return
    fetch_runs(declared, target, context, repository)
    secrets = {name: context.env[name] for name in declared.secrets if context.env.get(name)}
    state = open_state(declared, secrets, target, context, repository)
    assert state is not None
    try:
        for _, content in state.receipts():
            yield receipt_in(content)
    finally:
        state.close()


def _kept(lifecycle: str, target: str, repository: Repository) -> Iterator[Receipt]:
    for path in Workspace(repository.root).kept_receipts():
        if path.name.startswith(f"{lifecycle}-{target}-"):
            document = read_document(path)
            if isinstance(document, Receipt):
                yield document


def files_between(before: Plan, after: Plan, repository: Repository, *, is_now: bool = False) -> tuple[str, ...] | None:
    """The paths that differ between what two plans were made of; None where that cannot be told here.

    `is_now`: the later one was made of the work tree as it is. Of another one that was made of files that were not committed
    it can be told only while these are in the work tree as they were.
    """
    old, new = before.source, after.source
    if old.commit is None or new.commit is None or (old.dirty and (new.dirty or is_now)):
        return None
    if is_now or (new.dirty and _stands(after, repository)):
        return repository.changed_between(old.commit, None)
    if old.dirty and _stands(before, repository):
        return repository.changed_between(new.commit, None)
    return None if old.dirty or new.dirty else repository.changed_between(old.commit, new.commit)


def _stands(plan: Plan, repository: Repository) -> bool:
    """Whether the files that the nodes of a plan read are in the work tree as they were when it was made."""
    for reads in {node.reads.patterns: node.reads for node in plan.nodes}.values():
        withouts = ((), plan.source.files or (plan.source.file,)) if reads.is_whole_tree else ((),)
        if not any(repository.digest_of(reads.patterns, without) == reads.digest for without in withouts):
            return False
    return True
