"""Whether a tree may go to a target: only after it succeeded on those that come first. Pure: receipts in, a refusal out."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping

from shipway.declaration import Declaration
from shipway.errors import Reason, VerificationError
from shipway.receipt import Receipt, RunOutcome


def proves(
    receipts: Iterable[Receipt], tree: str, declared: Declaration, target: str, counts: Callable[[Receipt], bool]
) -> str | None:
    """The run by which all that `declared` says of `target` succeeded there, of this tree and untouched; None where none did.

    A run that was rolled back or gone on with since has a later receipt, and only that one is asked whether it `counts`: to be
    taken for undone needs no signature, to prove something does.
    """
    last: dict[str, Receipt] = {}
    for receipt in receipts:
        if (receipt.lifecycle, receipt.target) == (declared.name, target):
            before = last.get(receipt.run)
            if before is None or receipt.ended > before.ended:
                last[receipt.run] = receipt
    for receipt in last.values():
        if receipt.outcome is not RunOutcome.SUCCEEDED or not _is_of(receipt, tree):
            continue
        if _is_whole(receipt, declared) and counts(receipt):
            return receipt.run
    return None


def refused(
    target: str, missing: Iterable[str], tree: str | None, inputs: Mapping[str, str], uncounted: str | None = None
) -> VerificationError:
    """The refusal of a target before others have proven the tree; `tree` None: there is none to compare.

    `inputs` are those given here, as texts by name. `uncounted` is the run that would prove it for the first of `missing`, if its
    receipt were signed by somebody who counts.
    """
    names = list(missing)
    listed = ", ".join(f"`{name}`" for name in names)
    if tree is None:
        why = "and files that are no clean checkout of a commit prove nothing: commit them"
        return VerificationError(f"`{target}` comes after {listed}, {why}", reason=Reason.NOT_PROMOTED)
    given = "".join(f" --input {shlex.quote(f'{name}={text}')}" for name, text in inputs.items())
    if uncounted is not None:
        return VerificationError(
            f"`{target}` comes after {listed}; run `{uncounted}` succeeded there with this tree, but its receipt is signed by "
            "nobody who counts",
            reason=Reason.NOT_PROMOTED,
            next=f"`shipway verify` says who signed; run it there again with a key that counts: `shipway run --target {names[0]}"
            f"{given}`",
        )
    return VerificationError(
        f"`{target}` comes after {listed}, and no receipt that can be verified says that the tree `{tree[:12]}` succeeded there",
        reason=Reason.NOT_PROMOTED,
        next=f"run it there first: `shipway run --target {names[0]}{given}`; on runners that come and go keep receipts with "
        "`state: git`",
    )


def _is_of(receipt: Receipt, tree: str) -> bool:
    return receipt.source.get("tree") == tree and receipt.source.get("dirty") is False


def _is_whole(receipt: Receipt, declared: Declaration) -> bool:
    """Whether nothing was left out: every stage, and every step of those that are made of steps."""
    stages = {result.stage for result in receipt.stages}
    nodes = set(receipt.by_id)
    return all(
        stage.id in stages and all(f"{stage.id}/{step.id}" in nodes for step in stage.steps)
        for stage in declared.stages
    )
