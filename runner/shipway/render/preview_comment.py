"""The comment about one environment of mode `preview`, without its marker line: addresses first, what was done folded below.

Whatever others wrote stands in code only. Whole blocks are left out where the budget ends, and nothing is cut inside one.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from msgspec import Struct

from shipway.durations import format_ms
from shipway.environment_record import EnvironmentRecord, EnvironmentState
from shipway.node_ids import readable
from shipway.plan import Plan
from shipway.receipt import Receipt
from shipway.redaction import Redacted, trusted
from shipway.render import wording
from shipway.render.blocks import Links
from shipway.render.escape import code, code_cell, link, name, prose
from shipway.render.plan_comment import plan_report
from shipway.render.previews import ends_ms
from shipway.render.receipt_comment import receipt_report
from shipway.render.shorten import MIN_BUDGET, fit
from shipway.render.wording import moment

_SIGNS = {
    EnvironmentState.CREATING: "⏳",
    EnvironmentState.READY: "✅",
    EnvironmentState.FAILED: "❌",
    EnvironmentState.STOPPED: "⏸",
    EnvironmentState.DESTROYING: "⏳",
    EnvironmentState.GONE: "⏹",
}
_MOST_SERVICES = 30
_MOST_STUCK = 10
_FRAME = len("\n\n<details><summary></summary>\n\n\n\n</details>") + 80


class PreviewReport(Struct, frozen=True):
    """What is told of an environment: its record now, and the run that brought it there with its plan, where there was one.

    `why` is a sentence of Shipway's own about what was done, names in backticks, empty where the state says it all.
    `head` is the commit under discussion.
    """

    record: EnvironmentRecord
    head: str
    plan: Plan | None = None
    receipt: Receipt | None = None
    why: str = ""


def preview_body(report: PreviewReport, *, budget: int, links: Links) -> Redacted:
    """The comment in at most `budget` UTF-8 bytes. Raises ValueError for a budget below `shorten.MIN_BUDGET`."""
    if budget < MIN_BUDGET:
        raise ValueError(f"a report takes at least {MIN_BUDGET} bytes, not {budget}")
    text = _head(report)
    for block in (*_blocks(report, budget), _run_link(links)):
        if block and len(f"{text}\n\n{block}".encode()) <= budget:
            text += f"\n\n{block}"
    room = budget - len(text.encode()) - _FRAME
    folded = _folded(report, room, links) if room >= MIN_BUDGET else ""
    return trusted(text + (f"\n\n{folded}" if folded else ""))


def _head(report: PreviewReport) -> str:
    record = report.record
    title = f"### {_SIGNS[record.state]} Shipway preview: {name(record.lifecycle)} → {name(record.target)}: {record.state.value}"
    facts = [f"commit {code(wording.short_commit(record.commit or report.head))}"]
    if report.head and record.commit and record.commit != report.head:
        facts.append(f"the pull request is at {code(wording.short_commit(report.head))}")
    end = ends_ms(record)
    if end is not None and record.ttl_ms is not None:
        facts.append(f"ends {format_ms(record.ttl_ms)} after the last push, so at {moment(end)[:16]} UTC")
    if record.host:
        facts.append(f"on {code(record.host, 80)}")
    said = f"\n\n{prose(report.why)}" if report.why else ""
    return f"{title}\n\n{' · '.join(facts)}{said}"


def _blocks(report: PreviewReport, budget: int) -> Iterable[str]:
    record = report.record
    yield _services(record)
    yield _shell(record)
    has_failed = report.receipt is not None and bool(report.receipt.failed)
    is_told = has_failed or record.cause in report.why
    if record.cause and not is_told and record.state is not EnvironmentState.GONE:
        yield f"**Why**: {code(record.cause, 300)}"
    yield _stuck(record)
    if report.receipt is not None and has_failed:
        shown = receipt_report(report.receipt, report.plan, budget // 2, Links())
        yield from (*shown.lead, *shown.after)


def _services(record: EnvironmentRecord) -> str:
    if not record.urls or record.state not in (
        EnvironmentState.READY,
        EnvironmentState.FAILED,
        EnvironmentState.CREATING,
    ):
        return ""
    rows = [f"| {code_cell(service)} | {_address(url)} |" for service, url in sorted(record.urls.items())]
    more = [f"| … and {len(rows) - _MOST_SERVICES} more | |"] if len(rows) > _MOST_SERVICES else []
    return "\n".join(["| service | address |", "| :--- | :--- |", *rows[:_MOST_SERVICES], *more])


def _address(url: str) -> str:
    return link(code_cell(url, 200), url)


def _shell(record: EnvironmentRecord) -> str:
    """How somebody gets into it; nobody does into what is gone."""
    if record.state not in (EnvironmentState.READY, EnvironmentState.FAILED, EnvironmentState.STOPPED):
        return ""
    target = shlex.quote(record.target)
    where = f"on {code(record.host, 80)}" if record.host else "on the machine that it runs on"
    return (
        f"A shell in it, {where}: {code(f'shipway preview exec --target {target} -- sh')}"
        f" · a checkout of your own instead of its own: {code(f'shipway preview attach --target {target} PATH')}"
        f" · how each part stands: {code(f'shipway preview status --target {target}')}"
    )


def _stuck(record: EnvironmentRecord) -> str:
    if not record.stuck:
        return ""
    lines = [f"- {code(readable(node), 80)}: {code(why, 200)}" for node, why in record.stuck.items()]
    more = [f"- … and {len(lines) - _MOST_STUCK} more"] if len(lines) > _MOST_STUCK else []
    head = "**Not removed**, and tried again by the next `shipway preview down` or sweep:"
    return "\n".join([head, "", *lines[:_MOST_STUCK], *more])


def _run_link(links: Links) -> str:
    return link(prose(links.run, 80) or "run", links.run_url) if links.run or links.run_url else ""


def _folded(report: PreviewReport, room: int, links: Links) -> str:
    """The run's own report, or that of the plan where nothing was run."""
    if report.receipt is not None:
        shown, title = receipt_report(report.receipt, report.plan, room, links), "What the run did"
    elif report.plan is not None:
        shown, title = plan_report(report.plan, room, links), "What is planned"
    else:
        return ""
    return f"<details><summary>{title}</summary>\n\n{fit(shown, room)}\n\n</details>"
