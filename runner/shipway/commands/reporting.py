"""Reports of one voyage in the job itself: its summary and the annotations of its log. Reaches no forge."""

from __future__ import annotations

from shipway.ci import CiContext, Provider, file_url
from shipway.commands.documents import SUMMARY_BUDGET
from shipway.context import Context
from shipway.errors import Position, ShipwayError
from shipway.node_ids import readable
from shipway.plan import Plan
from shipway.receipt import Receipt, own_outcome
from shipway.redaction import trusted
from shipway.render import comment
from shipway.render.blocks import Links
from shipway.render.foreign import one_line
from shipway.render.preview_comment import PreviewReport, preview_body
from shipway.render.wording import outcome_word
from shipway.render.workflow import Level, WorkflowLog
from shipway.view import View

_MOST_ANNOTATIONS = 10
"""GitHub shows ten errors a step. Source: https://docs.github.com/en/rest/checks/runs"""


def summarise(view: View, context: Context, log: WorkflowLog) -> None:
    """Write the report into the job summary, within what it takes."""
    links = links_of(context.ci, view.plan) if context.ci else Links()
    log.write_summary(comment.body(view, budget=min(SUMMARY_BUDGET, log.summary_room()), links=links))


def summarise_preview(report: PreviewReport, context: Context, log: WorkflowLog) -> None:
    """Write what became of an environment into the job summary, within what it takes."""
    links = links_of(context.ci, report.plan) if context.ci else Links()
    log.write_summary(preview_body(report, budget=min(SUMMARY_BUDGET, log.summary_room()), links=links))


def annotate_error(error: ShipwayError, log: WorkflowLog) -> None:
    """Show an error at the lines of the declaration that caused it, or on the run's page."""
    for problem in error.problems[:_MOST_ANNOTATIONS]:
        hint = f"\n{problem.hint}" if problem.hint else ""
        _annotate(log, f"{problem.text}{hint}", problem.where)
    if not error.problems:
        _annotate(log, f"{error.message}\n{error.next}".strip(), error.where)


def annotate_failures(receipt: Receipt, plan: Plan | None, log: WorkflowLog) -> None:
    """Show each failed node at its step in the declaration."""
    for result in receipt.failed[:_MOST_ANNOTATIONS]:
        node = plan.by_id.get(result.node) if plan else None
        _annotate(
            log,
            f"`{readable(result.node)}` {outcome_word(own_outcome(result))}: {result.error}",
            node.position if node else None,
        )


def _annotate(log: WorkflowLog, message: str, where: Position | None) -> None:
    text = trusted("\n".join(map(one_line, message.splitlines())))
    if where is None:
        log.annotate(Level.ERROR, text, title="Shipway")
    else:
        log.annotate(Level.ERROR, text, title="Shipway", file=where.file, line=where.line, column=where.column)


def links_of(
    ci: CiContext, plan: Plan | None, *, artifact_id: str = "", artifact_url: str = "", notes: tuple[str, ...] = ()
) -> Links:
    """Where the report's facts can be looked up."""
    declaration = None
    if plan is not None and plan.source.commit and ci.repository:
        commit = ci.head_sha or plan.source.commit
        declaration = file_url(ci, commit, plan.source.file)
    return Links(
        run_url=ci.run_url or None,
        run=f"run {ci.run_id}, attempt {ci.run_attempt}",
        artifact_id=artifact_id or None,
        artifact_url=artifact_url or None,
        declaration_url=declaration,
        checks_url=checks_url(ci, ci.pull_request),
        notes=notes,
    )


def checks_url(ci: CiContext, pull_request: int | None) -> str | None:
    """The page of a pull request's checks; None where there is none, and on a forge without checks."""
    if ci.provider is not Provider.GITHUB or pull_request is None:
        return None
    return f"{ci.server_url}/{ci.repository}/pull/{pull_request}/checks"
