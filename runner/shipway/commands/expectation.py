"""How long a run is expected to take, for whoever looks at its plan: what was measured here, worked out anew each time."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from shipway.conditions import Conditions
from shipway.context import Context
from shipway.durations import format_ms
from shipway.evaluation import Evaluation
from shipway.forecast import Forecast, forecast
from shipway.plan import Plan
from shipway.process import most_children
from shipway.render.wording import plural
from shipway.schedule import bounds_of, items_of
from shipway.scheduler import default_parallel
from shipway.workspace import Workspace


def expected(plan: Plan, root: Path, context: Context) -> Forecast | None:
    """The forecast of executing `plan` on this machine; None where nothing of it was measured yet."""
    workspace = Workspace(root)
    if not plan.nodes or not workspace.directory.is_dir():
        return None
    from shipway.journal_durations import measured  # late: where nothing ever ran nobody needs SQLite

    found = measured(workspace, plan.lifecycle, plan.target)
    if not found:
        return None
    wanted = plan.parallel or default_parallel(context.processors, len(plan.nodes))
    conditions = Conditions(Evaluation(github={}, runner={}, secrets={}, known={}, root=root))
    # A plan is worth showing also where nobody can say how long it takes.
    with suppress(ValueError):
        return forecast(items_of(plan, conditions), bounds_of(plan, min(wanted, most_children())), found)
    return None


def words(plan: Plan, root: Path, context: Context) -> str:
    """The forecast in words, such as `about 4m10s (3m50s – 5m), by 7 runs`; empty where nothing was measured yet."""
    found = expected(plan, root, context)
    if found is None:
        return ""
    about, least, most = map(rounded, (found.about_ms, found.least_ms, found.most_ms))
    spread = f" ({least} – {most})" if (least, most) != (about, about) else ""
    new = f"; {plural(found.unmeasured, 'node')} never ran here" if found.unmeasured else ""
    return f"about {about}{spread}, by {plural(found.runs, 'earlier run')}{new}"


def rounded(milliseconds: int) -> str:
    """A duration no more exact than it deserves: hundreds of milliseconds, then seconds, then five of them, then minutes."""
    for longest, unit in ((10_000, 100), (60_000, 1000), (600_000, 5000)):
        if milliseconds < longest:
            return format_ms(max(unit, -(-milliseconds // unit) * unit))
    return format_ms(-(-milliseconds // 60_000) * 60_000)
