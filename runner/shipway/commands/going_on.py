"""What has to be looked at before a run can be gone on with, for what is shown to be typed next. Starts nothing."""

from __future__ import annotations

from collections.abc import Sequence

from shipway.commands.setting import journal_of, root_here
from shipway.context import Context
from shipway.node_ids import readable
from shipway.plan import Plan
from shipway.receipt import Receipt, RunOutcome
from shipway.render.foreign import one_line
from shipway.reopening import Reopening, Wish
from shipway.run_record import RunRecord
from shipway.workspace import Workspace

_MOST_LOOKS = 3


def reopening_of(plan: Plan, record: RunRecord, wish: Wish, context: Context) -> Reopening:
    """What would become of each node of a run, as it was planned, if it were gone on with here and now."""
    from shipway.bodies import regrown  # late: most runs succeed
    from shipway.registry import Registry
    from shipway.takeover import foreseen

    workspace = Workspace(root_here(context))
    return foreseen(
        regrown(plan, record, lambda action: {}),
        record,
        wish,
        Registry(),
        workspace.run_directory(record.summary.run),
        same_workspace=record.opening.workspace == workspace.identity(lambda: context.random_hex(16)),
    )


def going_on(receipt: Receipt, plan: Plan | None, context: Context) -> Sequence[str]:
    """In words, what keeps the run of `receipt` from being gone on with as it is, and what to type; empty where nothing does.

    `plan` is what it executed, where that is at hand.
    """
    if receipt.outcome in (RunOutcome.SUCCEEDED, RunOutcome.ROLLED_BACK):
        return ()
    from shipway.continuation import decisions  # late: most runs succeed

    journal = journal_of(root_here(context), context)
    if not any(summary.run == receipt.run for summary in journal.runs()):
        return ()
    found = reopening_of(journal.plan(receipt.run, plan), journal.read(receipt.run), Wish(), context).undecided
    if not found:
        return ()
    looks = [one_line(f"look at {readable(each.node)}: {each.why}") for each in found[:_MOST_LOOKS]]
    more = [f"look at {len(found) - _MOST_LOOKS} more that `shipway resume` names"] if len(found) > _MOST_LOOKS else []
    typed = one_line(decisions(found, receipt.run).replace("`", ""))
    if len(found) > 1:  # what does not fit on a line is still one command, as it is pasted
        typed = typed.replace(" --assume ", " \\\n--assume ")
    return [*looks, *more, *typed.split("\n")]
