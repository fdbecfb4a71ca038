"""`shipway sign`: sign a receipt that its own run's signer could not, here and in the store of the state. Runs nothing."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from shipway.attestation import Attestor, believed
from shipway.chain import Chain, claimed_digest
from shipway.commands.documents import receipt_in, write_out
from shipway.commands.setting import find_file, find_target, journal_of, repository_of
from shipway.commands.stores import open_state
from shipway.context import Context, read_context
from shipway.declaration import Declaration
from shipway.errors import EXIT_DONE, Reason, ShipwayError, UsageError, VerificationError
from shipway.loading import load_declaration
from shipway.receipt import Receipt
from shipway.registry import Registry
from shipway.render.foreign import one_line
from shipway.repository import Repository
from shipway.run_record import RunSummary
from shipway.signer import SigningTools
from shipway.workspace import Workspace, write_atomically


class _Desk(Struct, frozen=True):
    """What signing needs to know: whose signatures count, what signers are given, and where receipts are."""

    declared: Declaration
    context: Context
    repository: Repository
    secrets: Mapping[str, str]

    @property
    def tools(self) -> SigningTools:
        """What signers are given."""
        return SigningTools(self.repository.root, self.context.home, self.context.env, self.secrets)


def run(arguments: Namespace) -> int:
    """0 once the receipt is signed. Raises VerificationError (`unsigned`) where nobody could, UsageError where none may be."""
    context = read_context()
    file = find_file(arguments, context)
    repository = repository_of(file, context)
    wanted = _wanted(arguments.run, repository, context) if arguments.run else None
    target = wanted.target if wanted else find_target(arguments.target, file, repository)
    declared = load_declaration(file, root=repository.root, target=target)
    secrets = {name: context.env[name] for name in declared.secrets if context.env.get(name)}
    desk = _Desk(declared, context, repository, secrets)
    path, receipt = _found(Workspace(repository.root), declared.name, target, wanted)
    done = "is signed"
    if receipt.signatures:
        done = "is signed already,"
        _check_signed(receipt, desk)
    else:
        _check_journalled(receipt, repository, context)
        receipt = _signed(receipt, desk)
        write_atomically(path, receipt.content)
    place = _stored_too(receipt, desk)
    if not arguments.quiet:
        write_out(one_line(f"{path.name} {done} by {receipt.signatures[0].key}{place}") + "\n")
    return EXIT_DONE


def _wanted(run: str, repository: Repository, context: Context) -> RunSummary:
    known = next((each for each in journal_of(repository.root, context).runs() if each.run == run), None)
    if known is None or known.receipt is None:
        raise UsageError(
            f"the journal of this checkout knows no sealed run `{run}`",
            next="see `shipway runs`; sign it where it was run",
        )
    return known


def _found(workspace: Workspace, lifecycle: str, target: str, wanted: RunSummary | None) -> tuple[Path, Receipt]:
    """The receipt of a run, else the last one, of this checkout. Raises UsageError where it is not there, or was altered."""
    digest = wanted.receipt if wanted else Chain(workspace, lifecycle, target).last()
    for path in workspace.kept_receipts():
        try:
            receipt = receipt_in(path.read_bytes())
        except ShipwayError:
            continue  # one that was altered is `verify`'s to tell; it is not the one that is looked for
        if receipt.digest == digest and (receipt.lifecycle, receipt.target) == (lifecycle, target):
            return path, receipt
    which = f"receipt of run `{wanted.run}`" if wanted else "last receipt"
    raise UsageError(
        f"this checkout has no {which} of `{lifecycle}` on `{target}`", next="see what there is: `shipway verify`"
    )


def _check_journalled(receipt: Receipt, repository: Repository, context: Context) -> None:
    """Raises VerificationError for a receipt that no run of this checkout has sealed: a signature would make it one."""
    runs = journal_of(repository.root, context).runs()
    if all((known.run, known.receipt) != (receipt.run, receipt.digest) for known in runs):
        raise VerificationError(
            f"the journal of this checkout knows no run `{receipt.run}` with this receipt, so that it is not signed",
            reason=Reason.RECEIPT_DIGEST,
            next="sign it where it was run",
        )


def _check_signed(receipt: Receipt, desk: _Desk) -> None:
    """Raises VerificationError for a receipt whose own signature is wrong: it is not to be spread."""
    worth = believed(desk.declared.signing, Registry().make_signer, desk.tools)
    if faults := worth.ask(receipt.digest, receipt.signatures, receipt.ended).faults:
        raise VerificationError(
            f"the receipt has a signature that is wrong: {'; '.join(faults)}",
            reason=Reason.UNSIGNED,
            next="bring the receipt back from where it is kept as well: `shipway verify`",
        )


def _signed(receipt: Receipt, desk: _Desk) -> Receipt:
    attestor = Attestor(desk.declared.signing, Registry().make_signer, desk.tools)
    signed = attestor.sign(receipt)
    if not signed.signatures:
        raise VerificationError(
            f"the receipt is not signed: {'; '.join(attestor.failures) or 'nobody is declared who signs'}",
            reason=Reason.UNSIGNED,
            next="say under `signing` who does, or mend the signer: `shipway doctor`, docs/receipts.md#signing",
        )
    return signed


def _stored_too(receipt: Receipt, desk: _Desk) -> str:
    """Put the signature beside the copy in the store, where there is one that has none; what was done, for people."""
    state = open_state(desk.declared, desk.secrets, receipt.target, desk.context, desk.repository)
    if state is None:
        return ""
    try:
        for _, content in state.receipts():
            if claimed_digest(content) == receipt.digest:
                if b'"signatures":[]' in content:
                    state.add_signature(receipt.digest, receipt.signatures[0])
                return f"; in {state.place} too"
        return f"; {state.place} has no copy of it"
    finally:
        state.close()
