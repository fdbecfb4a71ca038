"""What has to be looked at before a run can be gone on with, for what is shown to be typed next. Starts nothing."""

from __future__ import annotations

from collections.abc import Sequence

from shipway.commands.setting import journal_of, root_here
from shipway.context import Context
from shipway.receipt import Receipt, RunOutcome
from shipway.render.foreign import one_line

_MOST_LOOKS = 3


def going_on(receipt: Receipt, context: Context) -> Sequence[str]:
    """In words, what keeps the run of `receipt` from being gone on with as it is, and what to type; empty where nothing does."""
    if receipt.outcome in (RunOutcome.SUCCEEDED, RunOutcome.ROLLED_BACK):
        return ()
    from shipway.bodies import regrown  # late: most runs succeed
    from shipway.continuation import decisions
    from shipway.registry import Registry
    from shipway.takeover import obstacles
    from shipway.workspace import Workspace

    root = root_here(context)
    journal = journal_of(root, context)
    if not any(summary.run == receipt.run for summary in journal.runs()):
        return ()
    record = journal.read(receipt.run)
    grown = regrown(journal.plan(receipt.run), record, lambda action: {})
    found = obstacles(grown, record, Registry(), Workspace(root).run_directory(receipt.run))
    if not found:
        return ()
    looks = [one_line(f"look at {each.node}: {each.why}") for each in found[:_MOST_LOOKS]]
    more = [f"look at {len(found) - _MOST_LOOKS} more that `shipway resume` names"] if len(found) > _MOST_LOOKS else []
    return [*looks, *more, one_line(decisions(found, receipt.run).replace("`", ""))]
