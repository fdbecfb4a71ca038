"""The last run of a lifecycle and target that was let through: its rules hold until another one is. Pure: receipts come in."""

from __future__ import annotations

from collections.abc import Iterable

from shipway.receipt import Receipt


def last_let_through(receipts: Iterable[Receipt], lifecycle: str, target: str) -> Receipt | None:
    """The first of `receipts`, the latest first, of a run that came to execute; a refused one has no source, and no node."""
    found = (each for each in receipts if (each.lifecycle, each.target) == (lifecycle, target))
    return next((each for each in found if commit_of(each)), None)


def commit_of(receipt: Receipt) -> str:
    """The commit that a run executed; empty where it was refused, or was no commit's."""
    return str(receipt.source.get("commit") or "")


def is_of_tree(receipt: Receipt, tree: str | None) -> bool:
    """Whether a run executed just this tree: then its rules are those that are there."""
    return tree is not None and receipt.source.get("tree") == tree and receipt.source.get("dirty") is False
