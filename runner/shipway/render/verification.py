"""What verifying documents and chains came to, as plain text. Decides nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from shipway.links import ChainReport
from shipway.render.columns import Colour, pad, paint, width, wrap
from shipway.render.foreign import one_line
from shipway.verification import Checked, Standing

_MOST = 20
"""How many documents are listed one by one where nothing is wrong with any."""

_COLOURS = {
    Standing.VALID: Colour.GREEN,
    Standing.UNSIGNED: Colour.YELLOW,
    Standing.INVALID: Colour.RED,
    Standing.MISSING: Colour.RED,
}
_WIDTH = max(len(standing.value) for standing in Standing) + 2


def render_verified(
    documents: Sequence[Checked], chains: Sequence[ChainReport], *, verbose: bool, colour: bool, columns: int
) -> str:
    """A line for each document, what is wrong with it below, then the chains; ends with a line end.

    Of many documents only those are listed that something is to be said of, unless `verbose`.
    """
    listed = [each for each in documents if verbose or len(documents) <= _MOST or each.findings or each.notes]
    lines = [line for each in listed for line in _document(each, verbose, colour, columns)]
    for chain in chains:
        lines += _chain(chain, colour, columns)
    counts = Counter(document.standing for document in documents)
    missing = sum(bool(found.digest) and found.flaw.value == "missing" for chain in chains for found in chain.findings)
    counts[Standing.MISSING] += missing
    total = ", ".join(f"{counts[standing]} {standing.value}" for standing in Standing if counts[standing])
    return "\n".join([*lines, total or "nothing"]) + "\n"


def _document(each: Checked, verbose: bool, colour: bool, columns: int) -> Iterator[str]:
    word = paint(pad(each.standing.value, _WIDTH), _COLOURS[each.standing], colour)
    facts = [f"{each.lifecycle} → {each.target}" if each.lifecycle else "", each.outcome.replace("_", " ")]
    facts += [f"signed by {', '.join(each.signed_by)}"] if each.signed_by else []
    name, told = one_line(each.name), one_line(", ".join(filter(None, facts)))
    if _WIDTH + width(f"{name}  {told}") <= columns:
        yield f"{word}{name}  {told}".rstrip()
    else:
        yield f"{word}{name}"
        yield from wrap(told, columns, " " * _WIDTH)
    for text in (*each.findings, *each.notes):
        yield from wrap(one_line(text), columns, " " * _WIDTH)
    if verbose:
        yield from wrap(f"digest {each.digest}", columns, " " * _WIDTH, _DEEPER)
        yield from wrap(f"object {each.object}", columns, " " * _WIDTH, _DEEPER)


_DEEPER = "    "
"""Before a digest that has a line of its own: it is 71 columns wide."""


def _chain(chain: ChainReport, colour: bool, columns: int) -> Iterator[str]:
    count = f"{chain.receipts} receipt{'s' if chain.receipts != 1 else ''}"
    begins = f", which begins {chain.begins} times" if chain.begins > 1 else ""
    head = one_line(f"chain {chain.lifecycle} → {chain.target}: {count}{begins}")
    if chain.findings:
        yield f"{head}, {paint('broken', Colour.RED, colour)}"
        for found in chain.findings:
            yield from wrap(one_line(found.text), columns, "  ")
        return
    last = one_line(f"the last is {', '.join(chain.last)}")
    whole = f"{head}, {paint('whole', Colour.GREEN, colour)}"
    if width(f"{head}, whole; {last}") <= columns:
        yield f"{whole}; {last}"
    else:
        yield f"{whole};"
        yield from wrap(last, columns, "  ", _DEEPER)
