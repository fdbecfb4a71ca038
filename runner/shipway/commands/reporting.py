"""Reports of one voyage to GitHub: job summary, annotations, sticky comment. All drawn from the sealed documents."""

from __future__ import annotations

from shipway.ci import CiContext
from shipway.commands.documents import SUMMARY_BUDGET
from shipway.commands.handover import Handover
from shipway.context import Context
from shipway.errors import Position, ShipwayError
from shipway.forges.client import Pace
from shipway.forges.connect import connect
from shipway.forges.forge import Forge, ForgeError, Outcome, Posted
from shipway.forges.sticky import Note, Purpose, post
from shipway.plan import Plan
from shipway.receipt import Receipt, own_outcome
from shipway.redaction import Redacted, Redactor, trusted
from shipway.render import markdown
from shipway.render.foreign import one_line
from shipway.render.wording import outcome_word
from shipway.render.workflow import Level, WorkflowLog
from shipway.trigger import Work, WorkKind

_MOST_ANNOTATIONS = 10
"""GitHub shows ten errors a step. Source: https://docs.github.com/en/rest/checks/runs"""


def summarise(
    plan: Plan | None, receipt: Receipt | None, context: Context, log: WorkflowLog, notes: tuple[str, ...]
) -> None:
    """Write the report into the job summary, within what it takes."""
    links = links_of(context.ci, plan, notes=notes) if context.ci else markdown.Links(notes=notes)
    log.write_summary(_body(plan, receipt, min(SUMMARY_BUDGET, log.summary_room()), links))


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
            f"`{result.node}` {outcome_word(own_outcome(result))}: {result.error}",
            node.position if node else None,
        )


def _annotate(log: WorkflowLog, message: str, where: Position | None) -> None:
    text = trusted("\n".join(map(one_line, message.splitlines())))
    if where is None:
        log.annotate(Level.ERROR, text, title="Shipway")
    else:
        log.annotate(Level.ERROR, text, title="Shipway", file=where.file, line=where.line, column=where.column)


def post_comment(handover: Handover, context: Context, redactor: Redactor) -> Posted:
    """Post or update the sticky comment; what stands in the way is in the result, never raised."""
    ci = context.ci
    assert ci is not None
    work = Work(WorkKind.PLAN, "a stranger's code: nothing is written to the forge", is_trusted=handover.is_trusted)
    forge = connect(ci, work, Pace(context.now, context.sleep), redactor.redact)
    if isinstance(forge, Posted):
        return forge
    try:
        place = _place(forge, ci)
    except ForgeError as error:
        return Posted(Outcome.DEFERRED, why=error.message, reason=error.reason, requests=forge.requests)
    if place is None:
        return Posted(Outcome.REFUSED, why="no pull request belongs to this commit; the report is in the job summary")
    plan, receipt = handover.plan, handover.receipt
    effect = plan.effect if plan else receipt.effect if receipt else None
    document = receipt or plan
    if document is None or effect is None:
        return Posted(Outcome.REFUSED, why="there is no plan to show; the errors are in the job summary")
    number, head = place
    note = Note(
        pull_request=number,
        lifecycle=document.lifecycle,
        target=document.target,
        purpose=Purpose.RECEIPT if receipt else Purpose.PLAN,
        run=ci.run_id,
        attempt=ci.run_attempt,
        head=head,
        effect=effect,
    )
    links = links_of(
        ci,
        plan,
        artifact_id=context.env.get("SHIPWAY_ARTIFACT_ID", ""),
        artifact_url=context.env.get("SHIPWAY_ARTIFACT_URL", ""),
    )
    return post(forge, note, lambda budget: _body(plan, receipt, budget, links))


def _place(forge: Forge, ci: CiContext) -> tuple[int, str] | None:
    """The pull request to report to and its head commit: the event's, or the one this commit came from."""
    if ci.pull_request is not None:
        return ci.pull_request, ci.head_sha
    return forge.merged_from(ci.sha)


def _body(plan: Plan | None, receipt: Receipt | None, budget: int, links: markdown.Links) -> Redacted:
    if receipt is not None:
        return markdown.receipt_comment(receipt, plan, budget=budget, links=links)
    assert plan is not None
    return markdown.plan_comment(plan, budget=budget, links=links)


def links_of(
    ci: CiContext, plan: Plan | None, *, artifact_id: str = "", artifact_url: str = "", notes: tuple[str, ...] = ()
) -> markdown.Links:
    """Where the report's facts can be looked up."""
    declaration = None
    if plan is not None and plan.source.commit and ci.repository:
        commit = ci.head_sha or plan.source.commit
        declaration = f"{ci.server_url}/{ci.repository}/blob/{commit}/{plan.source.file}"
    return markdown.Links(
        run_url=ci.run_url or None,
        run=f"run {ci.run_id}, attempt {ci.run_attempt}",
        artifact_id=artifact_id or None,
        artifact_url=artifact_url or None,
        declaration_url=declaration,
        notes=notes,
    )
