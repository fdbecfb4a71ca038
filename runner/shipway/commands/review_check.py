"""After a review: whether what was approved so far would let the plan run, said in its check. Plans and executes nothing."""

from __future__ import annotations

from shipway.approval import Sanction
from shipway.approvals import ApprovalRule
from shipway.ci import CiContext
from shipway.commands.delivery import check_of, guarded, open_forge, reviewed
from shipway.commands.plan_artifacts import Place, PlanArtifacts, workflow_of
from shipway.commands.reporting import links_of
from shipway.commands.reviewing import approved_so_far, pull_of
from shipway.context import Context
from shipway.errors import VerificationError
from shipway.forges.forge import Forge, Outcome, Posted
from shipway.redaction import Redactor
from shipway.view import View


def tell_reviews(lifecycle: str, target: str, workflow: str, context: Context) -> Posted:
    """Hold the reviews of this event's pull request against the plan of its head, and say in the check how they stand."""
    ci = context.ci
    assert ci is not None
    redact = Redactor({"GITHUB_TOKEN": ci.token.value} if ci.token else {}).redact
    forge = open_forge(ci, context, redact, is_trusted=True)
    if isinstance(forge, Posted):
        return forge
    place = Place(lifecycle, target, workflow_of(workflow, context), ci.repository_id)
    return guarded(forge, lambda: _told(forge, ci, context, place))


def _told(forge: Forge, ci: CiContext, context: Context, place: Place) -> Posted:
    try:
        shown = PlanArtifacts(forge, place, ApprovalRule(), context).latest(ci.head_sha, ci.pull_request or 0)
    except VerificationError as error:
        return Posted(Outcome.REFUSED, why=error.message, reason=error.reason)
    plan = shown.plan
    if not plan.approval_rules:
        return Posted(Outcome.REFUSED, why="no stage of the plan needs approval")
    sanction, needed = Sanction(), ""
    try:
        sanction = approved_so_far(forge, ci, context, plan, place.workflow, pull_of(ci))
    except VerificationError as error:
        needed = error.message
    view = View(plan.lifecycle, plan.target, plan, head=ci.head_sha)
    links = links_of(ci, plan, artifact_id=str(shown.artifact))
    return forge.post_check(check_of(reviewed(view, sanction, needed), links, ci.head_sha))
