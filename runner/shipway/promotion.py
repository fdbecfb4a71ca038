"""Whether a tree may go to a target: only after it succeeded on those that come first. Pure: receipts in, a refusal out."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping

from shipway.declaration import Declaration
from shipway.errors import Reason, VerificationError
from shipway.links import Anchor
from shipway.receipt import Receipt, RunOutcome
from shipway.whereabouts import is_undercut


def proves(
    receipts: Iterable[Receipt], tree: str, declared: Declaration, target: str, counts: Callable[[Receipt], bool]
) -> Receipt | None:
    """The latest receipt by which all that `declared` says of `target` succeeded there, of this tree and untouched; or None.

    A run that was rolled back or gone on with since has a later receipt, and only that one is asked whether it `counts`: to be
    taken for undone needs no signature, to prove something does. Nor does one prove anything that began after a run which was
    rolled back since.
    """
    there = list(_last_of_each(receipts, declared.name, target))
    for receipt in sorted(there, key=lambda each: each.ended, reverse=True):
        if receipt.outcome is not RunOutcome.SUCCEEDED or not _is_of(receipt, tree):
            continue
        if _is_whole(receipt, declared) and not is_undercut(receipt, there) and counts(receipt):
            return receipt
    return None


def shortfall(receipts: Iterable[Receipt], tree: str, declared: Declaration, target: str) -> str:
    """What came nearest to a proof that the tree succeeded on a target, and what it lacks; empty where no receipt is of there."""
    there = sorted(_last_of_each(receipts, declared.name, target), key=lambda receipt: receipt.ended)
    if not there:
        return ""
    same = [receipt for receipt in there if receipt.source.get("tree") == tree]
    last = (same or there)[-1]
    if not same:
        commit = str(last.source.get("commit") or "")[:7]
        of = f"of the tree `{str(last.source.get('tree'))[:12]}`" + (f" of commit `{commit}`" if commit else "")
        return f"the last run there, `{last.run}`, was {of if last.source.get('tree') else 'of no commit'}"
    what = f"run `{last.run}` of that tree there"
    if last.outcome is not RunOutcome.SUCCEEDED:
        return f"{what} {_ENDS[last.outcome]}"
    if last.source.get("dirty") is not False:
        return f"{what} was made with changes that were not committed"
    return f"{what} left out parts of the lifecycle"


_ENDS = {
    RunOutcome.FAILED: "failed",
    RunOutcome.NOT_UNDONE: "failed",
    RunOutcome.CANCELLED: "was cancelled",
    RunOutcome.ROLLED_BACK: "was rolled back",
}


def _last_of_each(receipts: Iterable[Receipt], lifecycle: str, target: str) -> Iterable[Receipt]:
    """Of each run of a target its latest receipt."""
    last: dict[str, Receipt] = {}
    for receipt in receipts:
        if (receipt.lifecycle, receipt.target) == (lifecycle, target):
            before = last.get(receipt.run)
            if before is None or receipt.ended > before.ended:
                last[receipt.run] = receipt
    return last.values()


def gap_after(proof: Receipt, receipts: Iterable[Receipt], anchors: Iterable[Anchor]) -> str:
    """What is missing among the receipts of a target that may have come after `proof`; empty where nothing is.

    It may be that of a rollback, taken away so that what was undone counts again. What was lost before `proof` takes nothing
    from it.
    """
    there = list(receipts)
    known = {receipt.digest for receipt in there}
    earlier = {receipt.previous for receipt in there if receipt.ended <= proof.ended}
    for receipt in there:
        if receipt.previous is not None and receipt.previous not in known and receipt.ended > proof.ended:
            return f"`{receipt.previous}`, which that of run `{receipt.run}` names as the one before it"
    lost = (anchor for anchor in anchors if anchor.digest not in known and anchor.digest not in earlier)
    return next((f"`{anchor.digest}`, which {anchor.place} names" for anchor in lost), "")


def torn(target: str, proven: str, proof: Receipt, gap: str) -> VerificationError:
    """The refusal of a target since a receipt of the one that was to prove its tree is not there."""
    return VerificationError(
        f"`{target}` comes after `{proven}`; run `{proof.run}` succeeded there with this tree, but a receipt that may say that "
        f"it was undone since is missing: {gap}",
        reason=Reason.RECEIPT_CHAIN,
        next=f"bring it back from where it is kept as well (`shipway verify --chain --target {proven}`), or run it there again",
    )


def refused(
    target: str,
    missing: Iterable[str],
    tree: str | None,
    inputs: Mapping[str, str],
    uncounted: str | None = None,
    lack: str = "",
) -> VerificationError:
    """The refusal of a target before others have proven the tree; `tree` None: there is none to compare.

    `inputs` are those given here, as texts by name. `uncounted` is the run that would prove it for the first of `missing`, if its
    receipt were signed by somebody who counts; `lack` is what `shortfall` says of that one.
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
    on = "there" if len(names) == 1 else f"on {names[0]}"
    keep = "" if lack else "; on runners that come and go keep receipts with `state: git`"
    return VerificationError(
        f"`{target}` comes after {listed}, and the tree `{tree[:12]}` of this checkout has not succeeded {on}: "
        + (lack or f"no verified receipt of a run {on} is known here"),
        reason=Reason.NOT_PROMOTED,
        next=f"run this tree {on} first: `shipway run --target {names[0]}{given}`{keep}",
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
