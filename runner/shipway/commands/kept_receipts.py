"""The receipts of a lifecycle, from the checkout and the store of its state: verified, and what is wrong with the others."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path

from msgspec import Struct, field

from shipway.attestation import believed
from shipway.canonical import Json, bytes_digest
from shipway.chain import Chain, covered_by
from shipway.commands.documents import receipt_in
from shipway.commands.stores import open_store
from shipway.context import Context
from shipway.declaration import Declaration, StateStore
from shipway.errors import Reason, UsageError, VerificationError
from shipway.registry import Registry
from shipway.repository import Repository
from shipway.shared_state import SharedState, saved_targets
from shipway.signer import SigningTools
from shipway.signing import SigningPolicy
from shipway.state_fold import Telling, in_chain_order
from shipway.verification import AskSigned
from shipway.workspace import DIRECTORY, Workspace

_NAME = re.compile(r"(?P<of>[a-z0-9-]+)-\d{8}T\d{6}Z-\d{8}T\d{6}-[0-9a-f]+(\.[0-9a-z]+)?\.json")
"""What receipts are called, as `receipt.file_name` and who keeps several of one run say: other files are none."""


class Finding(Struct, frozen=True):
    """What stands where a receipt should, and cannot be counted: where that is, why in a word, and in a sentence."""

    place: str
    reason: Reason
    text: str


class Gathered(Struct, frozen=True):
    """Verified receipts in the order of their chains, and what was found wrong. `places` is the digest of what is where."""

    tellings: tuple[Telling, ...] = ()
    findings: tuple[Finding, ...] = ()
    places: Mapping[str, str] = field(default_factory=dict)


class Source(Struct, frozen=True):
    """What may be a receipt: what to call its place, a text that changes when it does, and its bytes, when they are asked for."""

    place: str
    stamp: str
    read: Callable[[], bytes]


class Archive:
    """The receipts of a lifecycle, or of all that ran in the checkout where `declared` is None; of one target if named."""

    def __init__(
        self, declared: Declaration | None, target: str | None, context: Context, repository: Repository
    ) -> None:
        self._declared = declared
        self._target = target
        self._context = context
        self._repository = repository
        self.workspace = Workspace(repository.root)
        self._ask = self._vouching()

    @property
    def scope(self) -> str:
        """Tells apart what archives are about: lifecycle and target. Empty where more than bytes decides what counts."""
        return "" if self._ask else f"{self._declared.name if self._declared else ''}@{self._target or ''}"

    def sources(self) -> Iterator[Source]:
        """Everything that stands where receipts do. Raises StoreError where the store cannot be read."""
        yield from self._here()
        declared = self._declared
        if declared is None or declared.state.store is StateStore.LOCAL:
            return
        secrets = {name: self._context.env[name] for name in declared.secrets if self._context.env.get(name)}
        store = open_store(declared.state, secrets, self._context, self._repository, writes=False)
        try:
            for name in [self._target] if self._target else saved_targets(store, declared.name):
                for document, content in SharedState(store, declared.name, name).receipts():
                    yield Source(f"{store.name}: {document}", bytes_digest(content), partial(bytes, content))
        finally:
            store.close()

    def read(self, source: Source) -> Telling | Finding | None:
        """The receipt in it, or why it does not count; None where it is of something else."""
        try:
            receipt = receipt_in(source.read())
        except (VerificationError, UsageError) as error:
            return Finding(source.place, error.reason, error.message)
        except OSError as error:
            return Finding(source.place, Reason.DOCUMENT_INVALID, f"it cannot be read: {error.strerror}")
        declared = self._declared
        if self._target not in (None, receipt.target) or (declared is not None and declared.name != receipt.lifecycle):
            return None
        return Telling(receipt.digest, receipt)

    def unbelieved(self, tellings: Iterable[Telling]) -> Mapping[str, str]:
        """Those that do not count for want of a signature, by digest, and why; none where no signature is required.

        What came before the first signature of a target was made before signatures were required, and counts: that signature
        covers it, since each receipt's digest covers that of the one before it.
        """
        if self._ask is None:
            return {}
        receipts = [telling.receipt for telling in tellings]
        asked = [(each, self._ask(each.digest, each.signatures, each.ended)) for each in receipts]
        signed = [receipt for receipt, found in asked if found.by and not found.faults]  # one copy of it is enough
        covered = covered_by({receipt.digest for receipt in signed}, {each.digest: each.previous for each in receipts})
        begun = {(receipt.lifecycle, receipt.target) for receipt in signed}
        return {
            receipt.digest: "; ".join(found.faults)
            or f"nobody who is believed has signed it: `shipway sign {receipt.run}`"
            for receipt, found in asked
            if found.faults or (receipt.digest not in covered and (receipt.lifecycle, receipt.target) in begun)
        }

    def missing(self, tellings: Iterable[Telling], known: Collection[str]) -> Iterator[Finding]:
        """What others name, or the notes of this workspace, and what is not among the digests `known`."""
        for telling in tellings:
            receipt, before = telling.receipt, telling.receipt.previous
            if before is not None and before not in known:
                text = f"the receipt before that of run {receipt.run} is missing: `{before}`"
                yield Finding(f"{receipt.lifecycle}, {receipt.target}", Reason.RECEIPT_CHAIN, text)
        for lifecycle, target in self.workspace.heads_of(self._declared.name if self._declared else None):
            if self._target in (None, target):
                last = Chain(self.workspace, lifecycle, target).last()
                if last is not None and last not in known:
                    text = f"the last receipt is missing: `{last}`"
                    yield Finding(f"{lifecycle}, {target}", Reason.RECEIPT_CHAIN, text)

    def _here(self) -> Iterator[Source]:
        try:
            entries = sorted(os.scandir(self.workspace.receipts), key=lambda entry: entry.name)
        except OSError:
            return
        for entry in entries:
            named = _NAME.fullmatch(entry.name)
            if named and _may_be_of(named["of"], self._declared, self._target) and entry.is_file():
                seen = entry.stat()
                # A file that was changed and given its old times back has another ctime.
                stamp = f"{seen.st_size} {seen.st_mtime_ns} {seen.st_ctime_ns} {seen.st_ino}"
                yield Source(f"{DIRECTORY}/receipts/{entry.name}", stamp, partial(_bytes_of, entry.path))

    def _vouching(self) -> AskSigned | None:
        """Who says whether a signature counts; None where the declaration does not require any."""
        rule = self._declared.signing if self._declared else None
        if rule is None or not rule.is_declared or rule.policy is not SigningPolicy.REQUIRE:
            return None
        tools = SigningTools(self._repository.root, self._context.home, self._context.env, {})
        return believed(rule, Registry().make_signer, tools).ask


def gather(declared: Declaration | None, target: str | None, context: Context, repository: Repository) -> Gathered:
    """Every receipt of the lifecycle, or of all that ran in the checkout where `declared` is None; of one target if named.

    Raises ShipwayError where the store cannot be read: what is not known must not be taken for nothing.
    """
    archive = Archive(declared, target, context, repository)
    return gathered(archive, archive.sources())


def gathered(archive: Archive, sources: Iterable[Source]) -> Gathered:
    """All of an archive, read and verified."""
    found = {source.place: archive.read(source) for source in sources}
    read = {place: each for place, each in found.items() if isinstance(each, Telling)}
    unbelieved = archive.unbelieved(read.values())
    places = {place: each.digest for place, each in read.items() if each.digest not in unbelieved}
    ordered = in_chain_order(read[place] for place in places)
    findings = [each for each in found.values() if isinstance(each, Finding)]
    findings += [
        Finding(place, Reason.UNSIGNED, unbelieved[each.digest])
        for place, each in read.items()
        if each.digest in unbelieved
    ]
    return Gathered(
        tuple(ordered), (*findings, *archive.missing(ordered, {each.digest for each in read.values()})), places
    )


def _bytes_of(path: str) -> bytes:
    return Path(path).read_bytes()


def finding_json(finding: Finding) -> dict[str, Json]:
    """A finding for machines."""
    return {"place": finding.place, "reason": finding.reason.value, "text": finding.text}


def _may_be_of(of: str, declared: Declaration | None, target: str | None) -> bool:
    """Whether a file of that name may be a receipt of them; names may hold `-` themselves, so that the document decides."""
    if declared is not None and not of.startswith(f"{declared.name}-"):
        return False
    return target is None or of.endswith(f"-{target}")
