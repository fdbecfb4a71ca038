"""What is where: of each target the last run that stands, and the last one at all. Pure: receipts in, values out."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from shipway.canonical import Json
from shipway.receipt import Receipt, RunOutcome


class Whereabouts(Struct, frozen=True):
    """Of one target: the receipt of the last run that succeeded and was not undone since, and that of the last run."""

    succeeded: Receipt | None = None
    last: Receipt | None = None


_TAKEN_BACK = frozenset({RunOutcome.ROLLED_BACK, RunOutcome.NOT_UNDONE})


def is_undercut(receipt: Receipt, others: Iterable[Receipt]) -> bool:
    """Whether a run of the same target that began earlier was taken back since: what this one found, or built on, went with it."""
    return any(
        other.outcome in _TAKEN_BACK
        and other.run != receipt.run
        and other.started <= receipt.started
        and receipt.ended <= other.ended
        for other in others
    )


def whereabouts(receipts: Iterable[Receipt]) -> dict[str, Whereabouts]:
    """By target, in order. A run that was undone or gone on with since has a later receipt, and that one counts."""
    runs: dict[tuple[str, str], Receipt] = {}
    for receipt in receipts:
        before = runs.get((receipt.target, receipt.run))
        if before is None or receipt.ended > before.ended:
            runs[receipt.target, receipt.run] = receipt
    found: dict[str, Whereabouts] = {}
    for receipt in sorted(runs.values(), key=lambda each: (each.target, each.ended)):
        known = found.get(receipt.target, Whereabouts())
        there = (each for each in runs.values() if each.target == receipt.target)
        is_whole = receipt.outcome is RunOutcome.SUCCEEDED and not is_undercut(receipt, there)
        found[receipt.target] = Whereabouts(receipt if is_whole else known.succeeded, receipt)
    return found


def whereabouts_json(found: Whereabouts) -> dict[str, Json]:
    """Both runs for machines, null where there is none."""
    return {"succeeded": _run_json(found.succeeded), "last": _run_json(found.last)}


def _run_json(receipt: Receipt | None) -> Json:
    if receipt is None:
        return None
    return {
        "run": receipt.run,
        "outcome": receipt.outcome.value,
        "ended": receipt.ended,
        "commit": receipt.source.get("commit"),
        "tree": receipt.source.get("tree"),
        "dirty": receipt.source.get("dirty"),
    }
