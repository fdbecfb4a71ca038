"""`shipway sign`: sign the last receipt of a target, which its signer could not. Runs nothing."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from shipway import declaration
from shipway.attestation import Attestor
from shipway.canonical import canonical_bytes
from shipway.chain import Chain
from shipway.commands.documents import receipt_in, write_out
from shipway.commands.setting import find_file, find_target, journal_of, repository_of
from shipway.context import Context, read_context
from shipway.declaration import Declaration
from shipway.errors import EXIT_DONE, Reason, ShipwayError, UsageError, VerificationError
from shipway.receipt import Receipt
from shipway.registry import Registry
from shipway.render.foreign import one_line
from shipway.repository import Repository
from shipway.signer import SigningTools
from shipway.workspace import Workspace, write_atomically


def run(arguments: Namespace) -> int:
    """0 once the last receipt is signed. Raises VerificationError (`unsigned`) where nobody could, UsageError where none may be."""
    context = read_context()
    file = find_file(arguments, context)
    repository = repository_of(file, context)
    target = find_target(arguments.target, file, repository)
    declared = declaration.load(file, root=repository.root, target=target)
    path, receipt = _last(Workspace(repository.root), declared.name, target)
    if receipt.signatures:
        text = f"{path.name} is signed already, by {receipt.signatures[0].key}"
    else:
        _check_journalled(receipt, repository, context)
        signed = _signed(receipt, declared, repository, context)
        write_atomically(path, canonical_bytes(signed.document))
        text = f"{path.name} is signed by {signed.signatures[0].key}"
    if not arguments.quiet:
        write_out(one_line(text) + "\n")
    return EXIT_DONE


def _last(workspace: Workspace, lifecycle: str, target: str) -> tuple[Path, Receipt]:
    """The last receipt of this checkout. Raises UsageError where there is none, or where it is not what was sealed."""
    last = Chain(workspace, lifecycle, target).last()
    for path in workspace.kept_receipts():
        try:
            receipt = receipt_in(path.read_bytes())
        except ShipwayError:
            continue  # one that was altered is `verify`'s to tell; it is not the one that is looked for
        if receipt.digest == last and (receipt.lifecycle, receipt.target) == (lifecycle, target):
            return path, receipt
    raise UsageError(
        f"this checkout has no last receipt of `{lifecycle}` on `{target}`", next="see what there is: `shipway verify`"
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


def _signed(receipt: Receipt, declared: Declaration, repository: Repository, context: Context) -> Receipt:
    secrets = {name: context.env[name] for name in declared.secrets if context.env.get(name)}
    tools = SigningTools(repository.root, context.home, context.env, secrets)
    attestor = Attestor(declared.signing, Registry().make_signer, tools)
    signed = attestor.sign(receipt)
    if not signed.signatures:
        raise VerificationError(
            f"the receipt is not signed: {'; '.join(attestor.failures) or 'nobody is declared who signs'}",
            reason=Reason.UNSIGNED,
            next="say under `signing` who does, or mend the signer: `shipway validate`, docs/receipts.md#signing",
        )
    return signed
