"""Delivery of one view to the forge: comment, check and deployment. What stands in the way is said, never raised."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from threading import Thread
from urllib.parse import urlencode

from msgspec import Struct
from msgspec.structs import replace

from shipway.approval import Sanction
from shipway.ci import CiContext, Provider
from shipway.commands.handover import Handover
from shipway.commands.plan_artifacts import workflow_of
from shipway.commands.reporting import links_of
from shipway.commands.reviewing import Sighted, pull_of, standing_of
from shipway.commands.standing import tell_fresh
from shipway.context import Context
from shipway.errors import Reason, ShipwayError, UsageError
from shipway.events import Event, NodeStarted
from shipway.forges import limits
from shipway.forges.client import Pace, impatient
from shipway.forges.connect import connect
from shipway.forges.forge import Check, Deployment, DeploymentState, Forge, ForgeError, Outcome, Posted
from shipway.forges.sticky import Body, Note, Purpose, Surveyor, post
from shipway.nodes import change_counts
from shipway.plan import Plan
from shipway.receipt import Receipt, RunOutcome
from shipway.redaction import Redacted, Redactor
from shipway.render import comment
from shipway.render.blocks import Links
from shipway.render.check import check_summary, check_title
from shipway.render.foreign import one_line
from shipway.render.plan_words import plan_counts
from shipway.render.receipt_words import ending
from shipway.trigger import Work, WorkKind
from shipway.view import View

_STRANGER = "a stranger's code: nothing is written to the forge"
_PATIENCE_AT_END_S = 30.0
"""What a short run waits for the answer to its announcement, so that it can be concluded."""

_CANCELLED_PATIENCE_S = 1.0


class Delivered(Struct, frozen=True):
    """What became of comment and check; `deployment` is empty, or why its end could not be told.

    `fresh` is what became of the check that says whether the plan holds, None where there is none to tell.
    """

    comment: Posted
    check: Posted
    deployment: str = ""
    fresh: Posted | None = None


def view_of(handover: Handover, ci: CiContext) -> View:
    """What is reported of the documents that the first part handed over."""
    document, facts = handover.receipt or handover.plan, handover.facts
    assert document is not None
    return View(
        document.lifecycle,
        document.target,
        handover.plan,
        handover.receipt,
        error=ShipwayError(facts.said, reason=Reason(facts.reason)) if facts.reason else None,
        needed=facts.said,
        head=ci.head_sha if ci.pull_request is not None else "",
        previous=handover.previous,
        history=facts.history,
        changed=facts.changed,
        runs_url=f"{ci.server_url}/{ci.repository}/actions/runs",
        expected=facts.expected,
        proven=facts.proven,
        notes=facts.notes,
    )


def deliver(handover: Handover, context: Context, redact: Callable[[str], Redacted], *, comment: bool) -> Delivered:
    """Post or update the comment and the check, and say how the deployment ended."""
    ci = context.ci
    assert ci is not None
    forge = open_forge(ci, context, redact, is_trusted=handover.facts.is_trusted)
    if isinstance(forge, Posted):
        return Delivered(forge, forge)
    view, links = view_of(handover, ci), _links(handover, context, ci)
    surveyed = Surveyor(forge, ci.pull_request or 0, view.name, reviewed=view.awaits_approval)
    # Drawn once the pull request was looked at for the comment: its reviews are seen by the same look.
    whole = cache(lambda: _reviewed(forge, ci, view, context, surveyed))

    def commented() -> Posted:
        began = handover.facts.started_at
        return _comment(forge, ci, view, lambda budget: _drawn(whole(), links, budget), began, surveyed)

    return Delivered(
        guarded(forge, commented) if comment else Posted(Outcome.REFUSED, why="off"),
        guarded(forge, lambda: _check(forge, ci, whole(), links)),
        _concluded(forge, ci, view, handover.facts.deployment),
        _fresh(forge, ci, view, surveyed),
    )


def comment_body(handover: Handover, context: Context) -> str:
    """The comment as it would be posted, but for its marker line; ends with a line end."""
    ci = context.ci
    assert ci is not None
    view, links = view_of(handover, ci), _links(handover, context, ci)
    return f"{comment.body(view, budget=limits.COMMENT_BYTES - limits.MARKER_BYTES, links=links)}\n"


def _links(handover: Handover, context: Context, ci: CiContext) -> Links:
    return links_of(
        ci,
        handover.plan,
        artifact_id=context.env.get("SHIPWAY_ARTIFACT_ID", ""),
        artifact_url=context.env.get("SHIPWAY_ARTIFACT_URL", ""),
    )


def deliver_failure(error: ShipwayError, lifecycle: str, target: str, context: Context) -> Posted:
    """Say in the check that nothing could be planned, with the lines that are the cause."""
    ci = context.ci
    assert ci is not None
    forge = open_forge(ci, context, Redactor(_token(ci)).redact, is_trusted=True)
    if isinstance(forge, Posted):
        return forge
    view = View(lifecycle, target, error=error)
    return guarded(forge, lambda: _check(forge, ci, view, links_of(ci, None)))


def open_forge(
    ci: CiContext, context: Context, redact: Callable[[str], Redacted], *, is_trusted: bool, is_hasty: bool = False
) -> Forge | Posted:
    """The job's forge, or what is to be recorded instead. A hasty one gives up after a moment instead of waiting."""
    work = Work(WorkKind.PLAN, _STRANGER, is_trusted=is_trusted)
    if is_hasty:
        return connect(ci, work, impatient(Pace(context.now, context.sleep)), redact, limits.HASTY_TIMEOUT_S)
    return connect(ci, work, Pace(context.now, context.sleep), redact)


class Announcement:
    """The deployment of one run: announced beside it once its first node starts, so that the run waits for no forge.

    A subscriber of the run's events. `plan` is set before anything starts; `result` waits for the forge's answer.
    """

    def __init__(self, context: Context) -> None:
        self.plan: Plan | None = None
        self._context = context
        self._thread: Thread | None = None
        self._result = ("", "")

    def __call__(self, event: Event) -> None:
        """Announce the deployment at the first start of a node."""
        if isinstance(event, NodeStarted) and self._thread is None and self.plan is not None:
            self._thread = Thread(target=self._announce, args=(self.plan,), name="shipway-deployment", daemon=True)
            self._thread.start()

    def result(self, *, is_cancelled: bool) -> tuple[str, str]:
        """The deployment's id, and why there is none, if so; both empty where nothing was started."""
        if self._thread is not None:
            # A job that is cancelled is killed some seconds later, and has its receipt to hand over.
            self._thread.join(_CANCELLED_PATIENCE_S if is_cancelled else _PATIENCE_AT_END_S)
            if self._thread.is_alive():
                return "", "the forge had not answered when the run had ended"
        return self._result

    def _announce(self, plan: Plan) -> None:
        ci = self._context.ci
        assert ci is not None
        forge = open_forge(ci, self._context, Redactor(_token(ci)).redact, is_trusted=True, is_hasty=True)
        if isinstance(forge, Posted):
            self._result = "", forge.why
            return
        try:
            number = forge.deploy(_deployment(ci, plan), f"executing: {', '.join(plan_counts(plan))}")
        except ForgeError as error:
            self._result = "", _why(error)
        else:
            self._result = number, "" if number else "this job has one by its `environment:`"


def environment_url(ci: CiContext, plan: Plan, receipt: Receipt | None = None) -> str:
    """The run's page, with the effect and the counts of what is executed, for who has to approve it there.

    Once there is a receipt, its digest besides: so the forge remembers which was the last, wherever receipts are kept.
    """
    counts = {change.value: count for change, count in change_counts(plan.nodes).items() if count}
    sealed = {"lifecycle": plan.lifecycle, "receipt": receipt.digest} if receipt else {}
    return f"{ci.run_url}?{urlencode({'effect': plan.effect, **counts, **sealed})}"


def post_view(forge: Forge, ci: CiContext, view: View, links: Links) -> Posted:
    """Post or update the comment of `view`."""
    return guarded(forge, lambda: _comment(forge, ci, view, lambda budget: _drawn(view, links, budget)))


def _drawn(view: View, links: Links, budget: int) -> Redacted:
    return comment.body(view, budget=budget, links=links)


def _comment(
    forge: Forge, ci: CiContext, view: View, body: Body, started_at: str = "", surveyed: Surveyor | None = None
) -> Posted:
    """`started_at` is when this attempt of the CI run started, empty to ask for it; `surveyed` is of the event's pull request."""
    place = _place(forge, ci, view)
    if place is None:
        return Posted(Outcome.REFUSED, why="no pull request belongs to this commit; the report is in the job summary")
    number, head = place
    note = Note(
        pull_request=number,
        lifecycle=view.lifecycle,
        target=view.target,
        purpose=Purpose.RECEIPT if view.receipt else Purpose.PLAN,
        run=ci.run_id,
        attempt=ci.run_attempt,
        head=head,
        effect=view.effect,
        started_at=started_at,
    )
    if not view.effect:
        return Posted(Outcome.REFUSED, why="there is no plan to show; the errors are in the job summary")
    return post(forge, note, body, surveyed if number == ci.pull_request else None)


def _place(forge: Forge, ci: CiContext, view: View) -> tuple[int, str] | None:
    """The pull request to report to and its head: the event's; of a run, the one that its commit came from."""
    if ci.pull_request is not None:
        return ci.pull_request, ci.head_sha
    return forge.merged_from(ci.sha) if view.receipt else None


def _reviewed(forge: Forge, ci: CiContext, view: View, context: Context, surveyed: Surveyor) -> View:
    """The view with who approved its plan so far, or what is missing, where a stage wants that and the forge tells it."""
    if ci.provider is not Provider.GITHUB or ci.pull_request is None or not view.awaits_approval:
        return view
    assert view.plan is not None
    sighted = sighted_by(surveyed, view)
    try:
        workflow = workflow_of("", context)
        return reviewed(view, *standing_of(forge, ci, context, view.plan, workflow, pull_of(ci), sighted))
    except UsageError as error:
        return replace(view, needed=error.message)


def sighted_by(surveyed: Surveyor, view: View) -> Callable[[], Sighted]:
    """What is known of the reviews of a plan that is told of, once it is asked for: by the look that the whole report has."""
    plans = tuple(filter(None, (view.plan, view.previous)))
    return lambda: Sighted(surveyed(), plans, view.history)


def reviewed(view: View, sanction: Sanction, needed: str) -> View:
    """The view of a plan that needs approval: who gave it so far, or what is missing."""
    return replace(view, needed=needed, approvals=sanction.approvals)


def _check(forge: Forge, ci: CiContext, view: View, links: Links) -> Posted:
    if ci.pull_request is None and view.receipt is None and view.error is None:
        return Posted(Outcome.REFUSED, why=f"a plan on `{ci.event}` is about no pull request")
    return forge.post_check(check_of(view, links, ci.head_sha if ci.pull_request is not None else ci.sha))


def _fresh(forge: Forge, ci: CiContext, view: View, surveyed: Surveyor) -> Posted | None:
    """The verdict on a plan of a pull request's head; none where nothing could be planned, and where nobody would renew it."""
    is_plan = view.plan is not None and view.receipt is None and view.error is None
    if ci.provider is not Provider.GITHUB or ci.pull_request is None or not is_plan:
        return None
    number, head, base = ci.pull_request, ci.head_sha, ci.base_ref
    return guarded(
        forge, lambda: tell_fresh(forge, view, number, head, base, ci.run_url, base_head=surveyed().base_head)
    )


def check_of(view: View, links: Links, commit: str) -> Check:
    """What the check on `commit` says of `view`."""
    return Check(
        name=view.name,
        commit=commit,
        conclusion=view.conclusion,
        external_id=view.effect,
        title=check_title(view),
        summary=check_summary(view, links, limits.CHECK_BUDGET),
        url=links.run_url or "",
        annotations=view.annotations(),
        plan=view.plan.digest if view.plan and not view.receipt else "",
    )


def _concluded(forge: Forge, ci: CiContext, view: View, number: str) -> str:
    if not number or view.plan is None:
        return ""
    is_good = view.receipt is not None and view.receipt.outcome is RunOutcome.SUCCEEDED
    state = DeploymentState.SUCCESS if is_good else DeploymentState.FAILURE
    said = ending(view.receipt) if view.receipt else view.needed or "nothing was executed"
    try:
        forge.conclude(number, _deployment(ci, view.plan, view.receipt), state, one_line(said))
    except ForgeError as error:
        return _why(error)
    return ""


def _deployment(ci: CiContext, plan: Plan, receipt: Receipt | None = None) -> Deployment:
    return Deployment(
        commit=ci.sha,
        environment=plan.target,
        lifecycle=plan.lifecycle,
        effect=plan.effect,
        run=ci.run_id,
        run_url=ci.run_url,
        url=environment_url(ci, plan, receipt),
        is_transient=plan.target.startswith("pr-"),
    )


def guarded(forge: Forge, deliver: Callable[[], Posted]) -> Posted:
    """What came of a delivery: deferred where the forge prevented it."""
    try:
        return deliver()
    except (ForgeError, UsageError) as error:
        return Posted(Outcome.DEFERRED, why=_why(error), reason=error.reason, requests=forge.requests)


def _why(error: ShipwayError) -> str:
    return f"{error.message}; {error.next}" if error.next else error.message


def _token(ci: CiContext) -> Mapping[str, str]:
    return {"GITHUB_TOKEN": ci.token.value} if ci.token else {}
