"""Approval on GitHub: the reviews of the pull request that brought a commit, each held against the plan that it was of.

Nothing is read from a comment. Where something cannot be found out, nothing is approved.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache

from msgspec import Struct

from shipway.approval import Approver, Sanction, missing
from shipway.approvals import Approval, ApprovedBy, Review
from shipway.ci import CiContext, Provider
from shipway.commands.plan_artifacts import Place, PlanArtifacts, ShownPlan, workflow_of
from shipway.commands.stores import github_of
from shipway.context import Context
from shipway.coverage import Uncovered, covered, nothing_done
from shipway.errors import Reason, VerificationError
from shipway.forges.consequences import by_hand
from shipway.forges.forge import Author, Capability, Forge, ForgeError, MergedPull, Survey
from shipway.forges.lacking import in_words
from shipway.plan import Plan
from shipway.planning import Selection
from shipway.quorum import check_enough, count, moment, of_the_latest, strictest
from shipway.view import Shown


def reviewer(context: Context, workflow: str) -> Approver:
    """Approval by the reviews of the pull request that this job's commit came from. `workflow` is the one that plans, or empty.

    What a run was begun with is not enough to go on with it: an approval may have been taken back since.
    """

    def approve(plan: Plan, earlier: Sanction) -> Sanction:
        ci = context.ci
        assert ci is not None
        if ci.provider is not Provider.GITHUB:
            # No merge can approve it there, so that is not what to do next.
            raise missing(plan, f"{ci.provider.shown} {in_words(Capability.REVIEWS)}", next=by_hand(plan))
        if ci.token is None:
            raise ForgeError(
                "who approved this cannot be asked: the job has no token",
                reason=Reason.FORGE_PERMISSION,
                next="pass the action its `token`, with `permissions: {pull-requests: read, actions: read}`",
            )
        return _Inquiry(github_of(ci, context), ci, context, plan, workflow_of(workflow, context)).sanction()

    return approve


def approved_so_far(
    forge: Forge, ci: CiContext, context: Context, plan: Plan, workflow: str, pull: MergedPull
) -> Sanction:
    """What the reviews of a pull request that is not merged yet come to, were `plan` to run. Raises as an approver does."""
    return _Inquiry(forge, ci, context, plan, workflow).by_reviews_of(pull)


_NAMED = 2
"""How many of those who approved are asked about, and named, where a plan is told of: each costs a request."""


class Sighted(Struct, frozen=True):
    """What is known already where a plan is only told of: how its pull request stands, and plans that it may have been shown.

    `history` says which runs made still earlier ones. All of it may be from anywhere: a plan counts as shown where our check has
    told its digest, which every load works out anew.
    """

    survey: Survey
    plans: tuple[Plan, ...]
    history: tuple[Shown, ...]


def standing_of(
    forge: Forge,
    ci: CiContext,
    context: Context,
    plan: Plan,
    workflow: str,
    pull: MergedPull,
    sighted: Callable[[], Sighted] | None = None,
) -> tuple[Sanction, str]:
    """The same where a plan is only told of: what is missing in words, empty where the approvals are enough.

    What was `sighted` saves requests. Nothing is executed by it: whoever executes asks for everything anew.
    """
    try:
        seen = sighted() if sighted else None
        return _Inquiry(forge, ci, context, plan, workflow, seen).by_reviews_of(pull), ""
    except (VerificationError, ForgeError) as error:
        return Sanction(), error.message


def pull_of(ci: CiContext) -> MergedPull:
    """The event's pull request as it would be merged now."""
    pull = ci.payload.get("pull_request")
    user = pull.get("user") if isinstance(pull, Mapping) else None
    number = user.get("id") if isinstance(user, Mapping) else None
    author = Author(number, str(user.get("type"))) if isinstance(user, Mapping) and isinstance(number, int) else None
    return MergedPull(ci.pull_request or 0, ci.head_sha, author, ci.base_ref)


class _Inquiry:
    """What the forge is asked about one plan."""

    def __init__(
        self,
        forge: Forge,
        ci: CiContext,
        context: Context,
        plan: Plan,
        workflow: str,
        sighted: Sighted | None = None,
    ) -> None:
        self._sighted = sighted
        self._forge = forge
        self._ci = ci
        self._context = context
        self._plan = plan
        self._rule = strictest(plan)
        place = Place(plan.lifecycle, plan.target, workflow, ci.repository_id, running=ci.run_id)
        self._plans = PlanArtifacts(forge, place, self._rule, context)
        self._reviewed: Plan | None = None
        self._permission = cache(forge.permission)

    def sanction(self) -> Sanction:
        """The approvals that are enough. Raises VerificationError or ForgeError.

        A commit may have merged several pull requests, where one held the commits of another: one of them has to suffice.
        """
        self._check_head()
        pulls = self._pulls()
        for pull in pulls[:-1]:
            with suppress(VerificationError):
                return self.by_reviews_of(pull)
        return self.by_reviews_of(pulls[-1])

    def by_reviews_of(self, pull: MergedPull) -> Sanction:
        """The approvals of one pull request. Raises VerificationError where they are not enough, ForgeError.

        Where a plan is only told of, few are asked about who approved it, if they suffice.
        """
        reviews = self._reviews(pull.number)
        if self._sighted is not None:
            few = of_the_latest(reviews, max(self._rule.reviews, _NAMED))
            if len(few) < len(reviews):
                with suppress(VerificationError):
                    return self._of(few, pull)
        return self._of(reviews, pull)

    def _of(self, given: Sequence[Review], pull: MergedPull) -> Sanction:
        author = pull.author.id if pull.author else None
        ballot = count(given, author, self._rule, self._permission)
        reviews = check_enough(ballot, self._rule, self._plan, pull.number, self._context.now())
        approvals: list[Approval] = []
        refusals: list[VerificationError] = []
        for review in reviews:
            try:
                approvals.append(self._approval(review, pull))
            except VerificationError as error:
                refusals.append(error)
        if len(approvals) < self._rule.reviews:
            raise refusals[-1]
        return Sanction(tuple(approvals), reviewed=self._reviewed)

    def _check_head(self) -> None:
        """Refuse to execute what is not the head of its branch any more: what came after it is executed by its own run."""
        ci = self._ci
        if not ci.branch:
            return
        head = self._forge.branch_head(ci.branch)
        if head != ci.sha:
            raise VerificationError(
                f"`{ci.branch}` is at {head[:7]} by now, and this run is of {ci.sha[:7]}",
                reason=Reason.HEAD_MOVED,
                next="the run of the later commit executes it, if that was approved",
            )

    def _pulls(self) -> Sequence[MergedPull]:
        ci = self._ci
        found = [pull for pull in self._forge.merged_pulls(ci.sha) if ci.branch in (None, pull.base)]
        if not found:
            next = f"if one was a moment ago, run this job again; else {_here(self._plan)}"
            raise missing(self._plan, f"no pull request was merged as {ci.sha[:7]}", next=next)
        return found

    def _reviews(self, number: int) -> Sequence[Review]:
        seen = self._sighted.survey.reviews if self._sighted else None
        return self._forge.reviews(number) if seen is None else seen

    def _approval(self, review: Review, pull: MergedPull) -> Approval:
        """A review as an approval of what would run. Raises VerificationError where it is of anything else."""
        shown = self._sighted_by(review, pull.number) or self._plans.shown_to(review, pull.number, pull.base)
        try:
            covered(shown.plan, self._plan, Selection(), nothing_done)
        except VerificationError as error:
            raise self._refusal(error, review, pull, shown.plan) from error
        self._reviewed = shown.plan
        return Approval(
            effect=shown.plan.effect,
            given=ApprovedBy.REVIEW,
            by=review.by,
            account=review.account,
            at=review.at,
            review=review.id,
            commit=review.commit,
            pull_request=pull.number,
            run=shown.run,
            artifact=shown.artifact,
        )

    def _sighted_by(self, review: Review, number: int) -> ShownPlan | None:
        """The plan that a review saw, where our check has told of one plan only on its commit, and did so before the review.

        Where it told of several, of another pull request or of a run that came later, the artifacts say which one it was.
        """
        if self._sighted is None or self._rule.fresh_ms is not None:
            return None
        told = self._sighted.survey.told.get(review.commit, ())
        digests = {each.plan for each in told}
        if len(digests) != 1 or min(moment(each.at) for each in told) > moment(review.at):
            return None
        (digest,) = digests  # empty, and of no plan, where an older version told it
        at_hand = next((ShownPlan(plan) for plan in self._sighted.plans if plan.digest == digest), None)
        runs = [shown.run for shown in self._sighted.history if shown.commit == review.commit]
        return at_hand or (self._plans.of_run(runs[0], digest, number) if runs else None)

    def _refusal(self, error: VerificationError, review: Review, pull: MergedPull, approved: Plan) -> Uncovered:
        """Why what was approved is not what would run. A merge makes another commit, which says nothing about that."""
        is_stale = review.commit != pull.head
        reason = Reason.PLAN_DIFFERS if error.reason is Reason.HEAD_MOVED else error.reason
        whose = f"review {review.id} by {review.by} of {review.commit[:7]}"
        text = f"{whose} approved another plan: #{pull.number} came to {pull.head[:7]}" if is_stale else whose
        return Uncovered(
            f"{text}: {error.message}",
            reason=Reason.APPROVAL_STALE if is_stale else reason,
            next="open a pull request whose plan is this one, and have that approved",
            approved=approved,
            now=self._plan,
        )


def _here(plan: Plan) -> str:
    return f"merge a pull request that was approved, or {by_hand(plan)}"
