"""The receipts of a lifecycle, from the checkout and the store of its state: verified, and what is wrong with the others."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from msgspec import Struct

from shipway.canonical import Json
from shipway.commands.documents import receipt_in
from shipway.commands.stores import open_store
from shipway.context import Context
from shipway.declaration import Declaration, StateStore
from shipway.errors import Reason, UsageError, VerificationError
from shipway.repository import Repository
from shipway.shared_state import SharedState, saved_targets
from shipway.state import State
from shipway.state_fold import Telling, fold, in_chain_order
from shipway.workspace import Workspace

_NAME = re.compile(r"(?P<of>[a-z0-9-]+)-\d{8}T\d{6}Z-\d{8}T\d{6}-[0-9a-f]+(\.[0-9a-z]+)?\.json")
"""What receipts are called, as `receipt.file_name` and who keeps several of one run say: other files are none."""


class Finding(Struct, frozen=True):
    """What stands where a receipt should, and cannot be counted: where that is, why in a word, and in a sentence."""

    place: str
    reason: Reason
    text: str


class Gathered(Struct, frozen=True):
    """Verified receipts in the order of their chains, and what was found wrong."""

    tellings: tuple[Telling, ...] = ()
    findings: tuple[Finding, ...] = ()


def gather(declared: Declaration | None, target: str | None, context: Context, repository: Repository) -> Gathered:
    """Every receipt of the lifecycle, or of all that ran in the checkout where `declared` is None; of one target if named.

    Raises ShipwayError where the store cannot be read: what is not known must not be taken for nothing.
    """
    tellings: list[Telling] = []
    findings: list[Finding] = []
    seen: set[bytes] = set()
    for name, content in _contents(declared, target, context, repository):
        if content in seen:
            continue
        seen.add(content)
        try:
            receipt = receipt_in(content)
        except (VerificationError, UsageError) as error:
            findings.append(Finding(name, error.reason, error.message))
            continue
        if target in (None, receipt.target) and (declared is None or declared.name == receipt.lifecycle):
            tellings.append(Telling(receipt.digest, receipt))
    ordered = in_chain_order(tellings)
    return Gathered(tuple(ordered), (*findings, *_missing(ordered)))


def prior_state(declared: Declaration, target: str, context: Context, repository: Repository) -> State:
    """What exists in a target before a run. Raises VerificationError where a receipt cannot be counted: it may have removed it."""
    found = gather(declared, target, context, repository)
    if found.findings:
        raise VerificationError(
            f"what exists is not known: {found.findings[0].place}: {found.findings[0].text}",
            reason=found.findings[0].reason,
            next="see `shipway state`, and bring the receipt back from where it is kept as well",
        )
    return fold(found.tellings)


def finding_json(finding: Finding) -> dict[str, Json]:
    """A finding for machines."""
    return {"place": finding.place, "reason": finding.reason.value, "text": finding.text}


def _contents(
    declared: Declaration | None, target: str | None, context: Context, repository: Repository
) -> Iterator[tuple[str, bytes]]:
    for path in sorted(Workspace(repository.root).kept_receipts()):
        named = _NAME.fullmatch(path.name)
        if named and _may_be_of(named["of"], declared, target):
            yield str(path.relative_to(repository.root)), path.read_bytes()
    if declared is None or declared.state.store is StateStore.LOCAL:
        return
    secrets = {name: context.env[name] for name in declared.secrets if context.env.get(name)}
    store = open_store(declared.state, secrets, context, repository, writes=False)
    try:
        for name in [target] if target else saved_targets(store, declared.name):
            for document, content in SharedState(store, declared.name, name).receipts():
                yield f"{store.name}: {document}", content
    finally:
        store.close()


def _may_be_of(of: str, declared: Declaration | None, target: str | None) -> bool:
    """Whether a file of that name may be a receipt of them; names may hold `-` themselves, so that the document decides."""
    if declared is not None and not of.startswith(f"{declared.name}-"):
        return False
    return target is None or of.endswith(f"-{target}")


def _missing(tellings: Iterable[Telling]) -> Iterator[Finding]:
    """Receipts that others name as the one before them and that are nowhere."""
    found = list(tellings)
    known = {telling.digest for telling in found}
    for telling in found:
        before = telling.receipt.previous
        if before is not None and before not in known:
            yield Finding(
                f"{telling.receipt.lifecycle}, {telling.receipt.target}",
                Reason.RECEIPT_CHAIN,
                f"the receipt before that of run {telling.receipt.run} is missing: `{before}`",
            )
