"""Plan and receipt as the body of a comment or job summary, without its marker line. Reaches no forge.

Whatever others wrote stands in code only, and was redacted before it came into a document. What is shown, and in which
order, does not depend on the budget but for the moves of `shorten`.
"""

from __future__ import annotations

from msgspec.structs import replace

from shipway.redaction import Redacted, trusted
from shipway.render.blocks import Links
from shipway.render.plan_comment import view_report
from shipway.render.receipt_comment import receipt_comment
from shipway.render.shorten import fit
from shipway.view import View


def body(view: View, *, budget: int, links: Links) -> Redacted:
    """What a comment or job summary shows of `view`, which has a plan or a receipt, in at most `budget` UTF-8 bytes.

    Raises ValueError for a budget below `shorten.MIN_BUDGET`.
    """
    links = replace(links, notes=(*view.notes, *links.notes))
    if view.receipt is not None:
        return receipt_comment(view.receipt, view.plan, budget=budget, links=links)
    return trusted(fit(view_report(view, budget, links), budget))
