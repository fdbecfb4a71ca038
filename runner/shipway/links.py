"""Whether receipts hang together: each behind the one that it names, none between missing, none named twice. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum

from msgspec import Struct


class Link(Struct, frozen=True):
    """A receipt in a chain: what it is called, its digest, and the digest of the one before it (None: it begins one)."""

    name: str
    digest: str
    previous: str | None


class Anchor(Struct, frozen=True):
    """A place outside the chain that remembers a receipt of it: that has to be there. `place` is for people."""

    place: str
    digest: str


class Flaw(StrEnum):
    """What can be wrong with a chain."""

    MISSING = "missing"
    FORKED = "forked"
    BEGINS_AGAIN = "begins-again"


class Finding(Struct, frozen=True):
    """One thing wrong: `digest` is the missing receipt's, or that which is named twice; empty where nothing is."""

    flaw: Flaw
    digest: str
    text: str


class ChainReport(Struct, frozen=True):
    """The receipts of one lifecycle and target: how many there are, how many begin a chain, which come last, what is wrong."""

    lifecycle: str
    target: str
    receipts: int
    begins: int
    last: tuple[str, ...]
    findings: tuple[Finding, ...] = ()
    anchors: tuple[Anchor, ...] = ()


def report(
    lifecycle: str, target: str, links: Sequence[Link], anchors: Sequence[Anchor] = (), *, is_whole: bool = False
) -> ChainReport:
    """What there is to say of the receipts of one lifecycle and target; see `check_chain`."""
    found = tuple(check_chain(links, anchors, is_whole=is_whole))
    count = len({link.digest for link in links})
    return ChainReport(lifecycle, target, count, beginnings(links), tuple(tips(links)), found, tuple(anchors))


def check_chain(links: Sequence[Link], anchors: Iterable[Anchor] = (), *, is_whole: bool = False) -> list[Finding]:
    """What is wrong with the receipts of one lifecycle and target. Two of one digest are one receipt.

    `is_whole`: they are all there ever were, in one store; there only one of them may begin a chain.
    """
    named: dict[str | None, list[Link]] = {}
    found: list[Finding] = []
    known: dict[str, Link] = {}
    for link in links:
        if known.setdefault(link.digest, link) is link:
            named.setdefault(link.previous, []).append(link)
    for digest, after in named.items():
        names = " and ".join(f"`{link.name}`" for link in after)
        if digest is None:
            if is_whole and len(after) > 1:
                found.append(
                    Finding(Flaw.BEGINS_AGAIN, "", f"the chain begins more than once: {names} name no receipt before")
                )
            continue
        if digest not in known:
            found.append(
                Finding(Flaw.MISSING, digest, f"the receipt {digest} is missing: {names} names it as the one before")
            )
        if len(after) > 1:
            found.append(
                Finding(Flaw.FORKED, digest, f"the chain is forked: {names} name the same receipt before, {digest}")
            )
    for anchor in anchors:
        if anchor.digest not in known:
            found.append(
                Finding(Flaw.MISSING, anchor.digest, f"the receipt {anchor.digest} is missing: {anchor.place} names it")
            )
    return found


def beginnings(links: Sequence[Link]) -> int:
    """How many of the receipts begin a chain."""
    return len({link.digest for link in links if link.previous is None})


def tips(links: Sequence[Link]) -> list[str]:
    """The digests of the receipts that no other one names: one, where nothing is wrong."""
    before = {link.previous for link in links}
    return list(dict.fromkeys(link.digest for link in links if link.digest not in before))
