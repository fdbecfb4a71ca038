"""What a check run says of a view: one line of title, and a summary of header and table. Reaches no forge."""

from __future__ import annotations

from msgspec.structs import replace

from shipway.redaction import Redacted, trusted
from shipway.render.blocks import Links
from shipway.render.columns import cut
from shipway.render.escape import code, name, prose
from shipway.render.foreign import lines_of, one_line
from shipway.render.plan_comment import view_report
from shipway.render.plan_words import plan_counts
from shipway.render.receipt_comment import receipt_report
from shipway.render.receipt_words import ending, receipt_counts
from shipway.render.shorten import fit
from shipway.view import View

TITLE_CELLS = 200
"""The most that is read of a title beside the name of a check."""
_MAX_PROBLEMS = 20


def check_title(view: View) -> Redacted:
    """What is to be read beside the check's name: how it stands, then the counts."""
    said = view.error.message if view.error else view.stands or view.needed or _refused(view)
    if not said and view.receipt is not None:
        broken = "break-glass, " if view.receipt.break_glass else ""
        said = f"{broken}{ending(view.receipt)}: {', '.join(receipt_counts(view.receipt))}"
    elif view.plan is not None and not view.error:
        approval = f"needs approval: {', '.join(view.plan.approval_rules)}" if view.plan.approval_rules else ""
        given = ", ".join(one_line(each.by or "somebody") for each in view.approvals if not view.needed)
        by = f"approved by {given}" if given else ""
        said = "; ".join(part for part in (by, said, ", ".join(plan_counts(view.plan)), approval) if part)
    return trusted(cut(one_line(said), TITLE_CELLS))


def _refused(view: View) -> str:
    """Which policies do not let a plan run; empty where all do."""
    verdicts = view.plan.verdicts if view.plan is not None and view.receipt is None else ()
    against = [verdict.words.replace("`", "") for verdict in verdicts if verdict.refuses]
    return f"not let through by policy {', '.join(against)}" if against else ""


def check_summary(view: View, links: Links, budget: int) -> Redacted:
    """Header and table in at most `budget` UTF-8 bytes, or what was wrong where nothing could be planned."""
    links = replace(links, checks_url=None)  # it stands in that check
    if view.receipt is not None:
        report = receipt_report(view.receipt, view.plan, budget, links)
    elif view.plan is not None:
        report = view_report(view, budget, links)
    else:
        return trusted(_problems(view))
    return trusted(fit(replace(report, graphs=("", ""), details=(), after=(), history=""), budget))


def _problems(view: View) -> str:
    error = view.error
    assert error is not None
    head = f"### Shipway: {name(view.lifecycle)} → {name(view.target)}: nothing was planned"
    lines = [
        f"- {code(str(each.where) if each.where else '', 80)}: {code(each.text, 300)}"
        for each in error.problems[:_MAX_PROBLEMS]
    ]
    left = len(error.problems) - len(lines)
    lines += [f"- … and {left} more"] if left > 0 else []
    said = [code(line, 300) for line in lines_of(error.message)[:_MAX_PROBLEMS]]
    return "\n\n".join(part for part in (head, "  \n".join(said), "\n".join(lines), prose(error.next, 300)) if part)
