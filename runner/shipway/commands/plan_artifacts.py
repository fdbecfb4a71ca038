"""The plan that a pull request was shown for a commit: found by its CI run, checked as anybody's data, opened by its seals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime

from msgspec import Struct

from shipway.approvals import ApprovalRule, Review
from shipway.archive import HostileArchive
from shipway.canonical import Json
from shipway.commands.plan_archive import asked_in, open_plan, plan_name
from shipway.context import Context
from shipway.errors import Reason, ShipwayError, UsageError, VerificationError
from shipway.forges.forge import Artifact, CiRun, Forge, ForgeError
from shipway.plan import Plan
from shipway.quorum import is_older, moment

_MOST_FOREIGN = 5
"""Runs of a commit that are not its plan run, and are looked at only to say so."""


class Place(Struct, frozen=True):
    """Whose plans are looked for: of a lifecycle and target, made by one workflow (its path) of one repository (its id).

    `source` is the id of a fork whose commits are looked at, None for the repository's own: only those can be approved.
    `running` is the run that asks: what it has uploaded already is a plan too, where it is one of a plan.
    """

    lifecycle: str
    target: str
    workflow: str
    repository: int | None
    source: int | None = None
    running: str = ""


class ShownPlan(Struct, frozen=True):
    """A plan as it was shown, sealed and whole, with the run and the artifact that hold it, None where it was found elsewhere."""

    plan: Plan
    run: str | None = None
    artifact: int | None = None


class _Opened(Struct, frozen=True):
    """What an artifact holds: the plan, and of which pull request it was made, upon which branch."""

    plan: Plan
    number: Json
    base: Json


class _Candidate(Struct, frozen=True):
    artifact: Artifact
    run: CiRun
    attempt: int


class PlanArtifacts:
    """The plans of a pull request's commits, as its plan runs left them; what was asked once is not asked again."""

    def __init__(self, forge: Forge, place: Place, rule: ApprovalRule, context: Context) -> None:
        self._forge = forge
        self._place = place
        self._rule = rule
        self._now = context.now()
        self._candidates: dict[str, Sequence[_Candidate]] = {}
        self._opened: dict[int, _Opened] = {}

    def shown_to(self, review: Review, number: int, base: str) -> ShownPlan:
        """The plan that a review's commit had when it was reviewed: the last made before it, else the first made after it.

        Only plans of this pull request: whoever may push can open another one of the same commit, upon a branch of theirs.
        It could be put upon such a branch for a while, too: what was made after the review has to be upon `base`.

        Raises VerificationError where there is none (`approval-stale`), where only others than its plan run made one
        (`artifact-foreign`), where it is too old or gone (`plan-expired`) or not what was sealed (`plan-digest`); ForgeError
        where that cannot be found out.
        """
        whose = f"review {review.id} by {review.by} is of commit"
        for chosen in _preferred(self._of(review.commit, whose), review):
            opened = self._open(chosen)
            if self._is_of(opened, number) and (_was_seen(chosen, review) or opened.base == base):
                return ShownPlan(opened.plan, chosen.run.id, chosen.artifact.id)
        raise _others(review.commit, number)

    def latest(self, commit: str, number: int) -> ShownPlan:
        """The plan that a pull request was shown last of a commit. Raises VerificationError and ForgeError, as `shown_to` does."""
        for chosen in sorted(self._of(commit, "the head is"), key=_made, reverse=True):
            opened = self._open(chosen)
            if self._is_of(opened, number):
                return ShownPlan(opened.plan, chosen.run.id, chosen.artifact.id)
        raise _others(commit, number)

    def of_run(self, run: str, digest: str, number: int) -> ShownPlan | None:
        """The plan of a pull request with this digest, where a run left it last, whoever named that run; None if it is not."""
        wanted = f"{self._place.lifecycle}-{self._place.target}"
        with suppress(HostileArchive, ShipwayError):
            named = ((plan_name(artifact), artifact) for artifact in self._forge.artifacts(run))
            found = [
                (name.attempt, artifact.id, artifact) for name, artifact in named if name and name.subject == wanted
            ]
            if found:
                *_, artifact = max(found, key=lambda each: each[:2])
                plan, members = open_plan(self._forge, artifact)
                is_it = (plan.digest, asked_in(members).get("number")) == (digest, number)
                return ShownPlan(plan, run, artifact.id) if is_it else None
        return None

    def _is_of(self, opened: _Opened, number: int) -> bool:
        """Names of lifecycles and targets may have hyphens, so that two artifacts may be called alike."""
        plan, place = opened.plan, self._place
        return (plan.lifecycle, plan.target, opened.number) == (place.lifecycle, place.target, number)

    def _open(self, chosen: _Candidate) -> _Opened:
        artifact, run = chosen.artifact, chosen.run
        if (artifact.run, artifact.head, artifact.repository) != (run.id, run.head, run.repository):
            text = f"artifact {artifact.id} is not of run {run.id}, or of another commit or repository than that is"
            raise _foreign(text)
        started = run.started_at if chosen.attempt == run.attempt else run.began
        if artifact.is_expired:
            raise _expired(f"the plan of run {run.id} is not kept any more", run)
        if is_older(started, self._rule, self._now):
            raise _expired(f"the plan that was approved is of {started}, older than `fresh` allows", run)
        if artifact.id not in self._opened:
            self._opened[artifact.id] = _opened(self._forge, artifact)
        return self._opened[artifact.id]

    def _of(self, commit: str, whose: str) -> Sequence[_Candidate]:
        place = self._place
        if commit not in self._candidates:
            runs = self._forge.runs_of(commit)
            own = [run for run in runs if not _why_foreign(run, place, commit)]
            found = [found for run in own for found in _candidates(self._forge, run, place)]
            if not found:
                raise _none(self._forge, place, commit, whose, runs)
            self._candidates[commit] = found
        return self._candidates[commit]


def workflow_of(named: str, context: Context) -> str:
    """The path of the workflow that plans: the one named, else the one this job is of. Raises UsageError where none is known."""
    ci = context.ci
    own = context.env.get("GITHUB_WORKFLOW_REF", "").partition("@")[0]
    path = named or (own.removeprefix(f"{ci.repository}/") if ci else "")
    if not path:
        raise UsageError("nobody says which workflow plans", next="name its file with the input `workflow`")
    return path


def _candidates(forge: Forge, run: CiRun, place: Place) -> Iterator[_Candidate]:
    """The artifacts of a run that are called as those of the plan are, of all its attempts."""
    for artifact in forge.artifacts(run.id, expired=True):
        name = plan_name(artifact)
        if name is not None and (name.subject, name.run) == (f"{place.lifecycle}-{place.target}", run.id):
            yield _Candidate(artifact, run, name.attempt)


def _preferred(candidates: Sequence[_Candidate], review: Review) -> Iterator[_Candidate]:
    """The plans that could be seen when the review was given, the latest first; then those made later, the first first."""
    ordered = sorted(candidates, key=_made)
    seen = [each for each in ordered if _was_seen(each, review)]
    yield from reversed(seen)
    yield from ordered[len(seen) :]


def _was_seen(candidate: _Candidate, review: Review) -> bool:
    return moment(candidate.artifact.created_at) <= moment(review.at)


def _made(candidate: _Candidate) -> tuple[datetime, int]:
    return moment(candidate.artifact.created_at), candidate.artifact.id


def _why_foreign(run: CiRun, place: Place, commit: str) -> str:
    """Why a run is not the plan run of a commit of this repository; empty where it is."""
    own = place.repository if place.repository is not None else run.host
    if run.host != own or run.repository != (own if place.source is None else place.source):
        return "is of another repository's code"
    if run.event != "pull_request":
        return f"was begun by `{run.event}`"
    if run.path != place.workflow:
        return f"is of the workflow `{run.path}`, not of `{place.workflow}`"
    if run.head != commit:
        return "is of another commit"
    if run.id == place.running and not run.conclusion:
        return ""
    return "" if run.conclusion == "success" else f"ended as `{run.conclusion or 'not yet'}`"


def _none(forge: Forge, place: Place, commit: str, whose: str, runs: Sequence[CiRun]) -> VerificationError:
    """The refusal where the plan run of a commit left no plan: it names other runs that did."""
    foreign = [(run, why) for run in runs if (why := _why_foreign(run, place, commit))]
    found = [f"  run {run.id} {why}" for run, why in foreign[:_MOST_FOREIGN] if any(_candidates(forge, run, place))]
    short = commit[:7]
    if found:
        return _foreign(f"the only plans of commit {short} are not by its plan run:\n" + "\n".join(found))
    told = "".join(f"\n  run {run.id} {why}" for run, why in foreign[:_MOST_FOREIGN])
    return VerificationError(
        f"{whose} {short}, which has no sealed plan{told}",
        reason=Reason.APPROVAL_STALE,
        next="see that the pull request is planned, have the plan approved, then run this job again",
    )


def _opened(forge: Forge, artifact: Artifact) -> _Opened:
    """The plan in an artifact: digest of the archive, then the archive, then seal and schema of the document."""
    label = f"artifact {artifact.id}"
    try:
        plan, members = open_plan(forge, artifact)
        asked = asked_in(members)
        return _Opened(plan, asked.get("number"), asked.get("base"))
    except HostileArchive as error:
        raise _altered(f"{label} is not what was uploaded: {error}") from error
    except ForgeError as error:
        if error.reason is not Reason.ARTIFACT_INVALID:
            raise
        raise _altered(f"{label}: {error.message}") from error
    except VerificationError as error:
        error.message = f"{label}: {error.message}"
        raise
    except UsageError as error:
        text = f"{label} holds no plan that was sealed: {error.message}"
        raise VerificationError(text, reason=Reason.ARTIFACT_INVALID, next="find out who made it") from error


def _others(commit: str, number: int) -> VerificationError:
    text = f"the plans of commit {commit[:7]} are of other lifecycles or targets, or were not shown on #{number}"
    return _foreign(text)


def _expired(text: str, run: CiRun) -> VerificationError:
    # Source: https://docs.github.com/en/actions/how-tos/manage-workflow-runs/re-run-workflows-and-jobs
    late = "GitHub runs nothing again after 30 days: then open the change in a new pull request"
    again = f"plan again (`gh run rerun {run.id}`; {late}), have it approved again, then run this job again"
    return VerificationError(text, reason=Reason.PLAN_EXPIRED, next=again)


def _altered(text: str) -> VerificationError:
    next = "plan again, have that approved, and find out who altered it"
    return VerificationError(text, reason=Reason.PLAN_DIGEST, next=next)


def _foreign(text: str) -> VerificationError:
    next = "a plan counts only by its own workflow's run on a branch of this repository: see docs/approval.md#on-github"
    return VerificationError(text, reason=Reason.ARTIFACT_FOREIGN, next=next)
