"""Publishing: the plans that a run under `pull_request` left as artifacts, checked as anybody's data, go to its pull request.

Nothing of that run is checked out, executed or unpacked to a disk. What its artifacts say about themselves decides nothing:
whose plan it is, is asked of the API, by the run's id, its head commit and the id of the repository that has it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache

from msgspec import Struct
from msgspec.structs import replace

from shipway.archive import HostileArchive
from shipway.canonical import Json, mapping, parse
from shipway.ci import CiContext, Provider
from shipway.commands.delivery import check_of, guarded, reviewed, sighted_by
from shipway.commands.handover import PULL_REQUEST_FILE
from shipway.commands.plan_archive import open_plan, plan_name
from shipway.commands.previous import plan_before
from shipway.commands.reporting import checks_url
from shipway.commands.reviewing import standing_of
from shipway.commands.standing import tell_fresh
from shipway.commands.stores import github_of
from shipway.context import Context
from shipway.errors import Reason, ShipwayError, VerificationError
from shipway.forges.forge import Artifact, Capability, Check, CiRun, Forge, ForgeError, Outcome, Posted, PullRequest
from shipway.forges.lacking import in_words
from shipway.forges.sticky import Note, Purpose, Surveyor, post
from shipway.plan import Plan
from shipway.render import comment
from shipway.render.blocks import Links
from shipway.render.escape import prose
from shipway.view import View

PLANS_MAX = 20
"""Plans of one run that are published: each has a comment of its own, and a stranger chooses how many there are."""

_NEVER = (
    "a stage needs approval, and what a fork's run planned cannot be approved: open a pull request with these commits from a "
    "branch of this repository"
)

_FROM_A_FORK = (
    "From a fork, planned without credentials: this is what that run handed over. It is shown and never executed; "
    "what is merged is planned anew."
)

_PATH = re.compile(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*")


class Published(Struct, frozen=True):
    """What became of one plan: `pull_request` is None where no open one has the run's head any more.

    `before` is why the plan before it is not shown, empty where it is or there is none.
    """

    lifecycle: str
    target: str
    pull_request: int | None
    posted: Posted
    mismatch: str = ""
    before: str = ""
    check: Posted = Posted(Outcome.REFUSED, why="the plan is shown nowhere any more")
    fresh: Posted = Posted(Outcome.REFUSED, why="the plan is shown nowhere any more")


class _Found(Struct, frozen=True):
    """A plan as it was found in an artifact, whole and sealed; `hint` is the pull request that the artifact names."""

    artifact: Artifact
    plan: Plan
    hint: int | None


def publish(context: Context, workflow: str) -> tuple[str, Sequence[Published]]:
    """Post the plans of the run that this job follows; gives what to say where there is nothing to post, and what was posted.

    `workflow` is the path of the workflow that plans, empty for any. Every artifact is checked before anything is written.
    Raises VerificationError (`artifact-invalid`, `artifact-foreign`) or ForgeError where the run cannot be asked about.
    """
    ci = context.ci
    assert ci is not None
    if ci.provider is not Provider.GITHUB:
        raise ForgeError(
            f"nothing is published: {ci.provider.shown} {in_words(Capability.FOREIGN_RUNS)}",
            reason=Reason.CAPABILITY_MISSING,
            next="a pull request's own job plans it there: docs/other-forges.md",
        )
    if ci.token is None:
        raise ForgeError(
            "the artifacts of another run cannot be asked for: the job has no token",
            reason=Reason.FORGE_PERMISSION,
            next="pass the action its `token`, with `permissions: {actions: read, pull-requests: write}`",
        )
    before = _member(ci.payload, "workflow_run")
    forge = github_of(ci, context)
    run = forge.ci_run(str(before.get("id") or 0))
    if before.get("run_attempt") != run.attempt:
        return f"attempt {run.attempt} of run {run.id} has begun: its plan is published when it ends", ()
    _check_run(run, before, workflow)
    if run.conclusion != "success":
        return f"run {run.id} ended as `{run.conclusion or 'unknown'}`: its log says why there is no plan", ()
    found = list(_plans(forge, run))
    if not found:
        return f"run {run.id} left no plan", ()
    candidates = [
        pull
        for pull in forge.pulls_from(run.owner, run.branch)
        if pull.head == run.head and pull.repository is not None and pull.repository == run.repository
    ]
    return "", [_posted(forge, context, run, one, candidates) for one in found]


def published_lines(nothing: str, published: Sequence[Published]) -> Iterator[str]:
    """What became of each plan, one line of Markdown each; names in it are restricted by the schema."""
    if nothing:
        yield f"nothing is posted: {nothing}"
    for one in published:
        place = f"on pull request {one.pull_request}" if one.pull_request else "nowhere"
        why = f": {one.posted.why}" if one.posted.why else ""
        url = f" {one.posted.url}" if one.posted.url else ""
        yield f"`{one.lifecycle}` → `{one.target}` {place}: {one.posted.outcome.value}{why}{url}"
        if one.pull_request:
            for name, told in (("", one.check), ("/fresh", one.fresh)):
                check_why = f": {told.why}" if told.why else ""
                yield f"check `shipway/{one.lifecycle}/{one.target}{name}`: {told.outcome.value}{check_why}"
        if one.before:
            yield f"`{one.lifecycle}` → `{one.target}`: {prose(one.before)}"
        if one.mismatch:
            yield f"`{one.lifecycle}` → `{one.target}`: {one.mismatch}"


def comment_output(published: Sequence[Published]) -> str:
    """The output `comment`: the outcome of each plan, in order, or `none` where there was nothing to post."""
    return ", ".join(one.posted.outcome.value for one in published) or "none"


def _check_run(run: CiRun, before: Mapping[str, Json], workflow: str) -> None:
    """Refuse a run that is not the one whose end began this job: by the API's answer, whatever the event says."""
    told = (before.get("head_sha"), _member(before, "head_repository").get("id"))
    if run.event != "pull_request":
        raise _foreign(f"run {run.id} was begun by `{run.event}`, not by `pull_request`")
    if (run.head, run.repository) != told:
        raise _foreign(f"run {run.id} is of another commit or repository than the event says")
    if workflow and run.path != workflow:
        raise _foreign(f"run {run.id} is of the workflow `{run.path}`, not of `{workflow}`")


def _plans(forge: Forge, run: CiRun) -> Iterator[_Found]:
    """The plans of this attempt, whole and sealed, each for another lifecycle and target."""
    named = [(artifact, name) for artifact in forge.artifacts(run.id) if (name := plan_name(artifact))]
    ours = [(artifact, name.subject) for artifact, name in named if (name.run, name.attempt) == (run.id, run.attempt)]
    if len(ours) > PLANS_MAX:
        raise _invalid(f"run {run.id} left {len(ours)} plans, more than {PLANS_MAX}")
    seen: set[str] = set()
    for artifact, subject in ours:
        if subject in seen:
            raise _invalid(f"run {run.id} left two plans for the same lifecycle and target")
        seen.add(subject)
        yield _taken(forge, artifact, subject)


def _taken(forge: Forge, artifact: Artifact, subject: str) -> _Found:
    """What is in an artifact: digest, archive, canonical bytes, seal, schema, and whether it is what its name says."""
    label = f"artifact {artifact.id}"
    try:
        plan, members = open_plan(forge, artifact)
        hint = _hint(members.get(PULL_REQUEST_FILE))
    except ForgeError as error:
        if error.reason is not Reason.ARTIFACT_INVALID:
            raise
        raise _invalid(f"{label}: {error.message}") from error
    except HostileArchive as error:
        raise _invalid(f"{label} is not an archive of the action: {error}") from error
    except (ShipwayError, ValueError, RecursionError) as error:
        raise _invalid(f"{label} holds no plan that was sealed: {error}") from error
    if subject != f"{plan.lifecycle}-{plan.target}":
        raise _invalid(f"{label} holds another plan than its name says")
    return _Found(artifact, plan, hint)


def _hint(content: bytes | None) -> int | None:
    """The number in `pull-request.json`. Raises ValueError for anything else."""
    if content is None:
        return None
    number = mapping(parse(content)).get("number")
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise ValueError(f"`{PULL_REQUEST_FILE}` names no pull request")
    return number


def _posted(forge: Forge, context: Context, run: CiRun, found: _Found, candidates: Sequence[PullRequest]) -> Published:
    plan, ci = found.plan, context.ci
    assert ci is not None
    numbers = [pull.number for pull in candidates]
    number = found.hint if found.hint in numbers else numbers[0] if len(numbers) == 1 else None
    mismatch = ""
    if number is not None and found.hint is not None and found.hint != number:
        mismatch = f"the artifact names pull request {found.hint}; the run's head is that of {number}"
    if number is None:
        why = (
            "no open pull request has this run's head" if not numbers else "several pull requests have this run's head"
        )
        return Published(plan.lifecycle, plan.target, None, Posted(Outcome.SUPERSEDED, why=why))
    note = Note(
        pull_request=number,
        lifecycle=plan.lifecycle,
        target=plan.target,
        purpose=Purpose.PLAN,
        run=run.id,
        attempt=run.attempt,
        head=run.head,
        effect=plan.effect,
    )
    links = _links(ci, run, found, mismatch, number)
    pull = next(pull for pull in candidates if pull.number == number)
    untold: list[str] = []
    is_ours = run.repository == ci.repository_id
    previous = plan_before(forge, run, number, pull.opened, plan.lifecycle, plan.target, untold.append, is_ours=is_ours)
    view = View(
        plan.lifecycle,
        plan.target,
        plan,
        head=run.head,
        previous=previous.plan if previous else None,
        history=previous.history if previous else (),
        runs_url=f"{ci.server_url}/{ci.repository}/actions/runs",
    )
    surveyed = Surveyor(forge, number, view.name, reviewed=is_ours and view.awaits_approval)
    # Not asked of what is not written: another run may have been later.
    whole = cache(lambda: _reviewed(forge, context, run, view, number, surveyed, is_ours=is_ours))
    posted = post(forge, note, lambda budget: comment.body(whole(), budget=budget, links=links), surveyed)
    before = "; ".join(untold)
    if posted.outcome is Outcome.SUPERSEDED:
        return Published(plan.lifecycle, plan.target, number, posted, mismatch, before)
    told = guarded(forge, lambda: forge.post_check(_check(run, whole(), links, is_ours=is_ours)))
    url = links.run_url or ""
    fresh = guarded(
        forge,
        lambda: tell_fresh(
            forge, view, number, run.head, pull.base, url, base_head=surveyed().base_head, is_ours=is_ours
        ),
    )
    return Published(plan.lifecycle, plan.target, number, posted, mismatch, before, told, fresh)


def _reviewed(
    forge: Forge, context: Context, run: CiRun, view: View, number: int, surveyed: Surveyor, *, is_ours: bool
) -> View:
    """The view with who approved its plan so far, or what is missing, where a stage wants that."""
    plan, ci = view.plan, context.ci
    assert plan is not None and ci is not None
    if not view.awaits_approval:
        return view
    if not is_ours:
        return replace(view, needed=_NEVER)
    try:
        pull = forge.pull_to_merge(number)
    except ForgeError as error:
        return replace(view, needed=error.message)
    return reviewed(view, *standing_of(forge, ci, context, plan, run.path, pull, sighted_by(surveyed, view)))


def _check(run: CiRun, view: View, links: Links, *, is_ours: bool) -> Check:
    """The check on the run's head: planned, and approved as far as a stage wants it."""
    check = check_of(view, links, run.head)
    # A stranger's word for an effect is bound to nothing.
    return check if is_ours else replace(check, external_id="", plan="")


def _links(ci: CiContext, run: CiRun, found: _Found, mismatch: str, number: int) -> Links:
    address = f"{ci.server_url}/{ci.repository}/actions/runs/{run.id}"
    file = found.plan.source.file
    is_plain = _PATH.fullmatch(file) is not None and ".." not in file  # else the address could lead to another page
    notes = [_FROM_A_FORK] if run.repository != ci.repository_id else []
    return Links(
        run_url=address,
        run=f"run {run.id}, attempt {run.attempt}",
        artifact_id=str(found.artifact.id),
        artifact_url=f"{address}/artifacts/{found.artifact.id}",
        declaration_url=f"{ci.server_url}/{ci.repository}/blob/{run.head}/{file}" if is_plain else None,
        checks_url=checks_url(ci, number),
        notes=(*notes, *([mismatch] if mismatch else [])),
    )


def _invalid(text: str) -> VerificationError:
    return VerificationError(
        f"{text}; nothing was posted",
        reason=Reason.ARTIFACT_INVALID,
        next="look at the run that uploaded it; a plan that the action uploads is taken",
    )


def _foreign(text: str) -> VerificationError:
    return VerificationError(
        f"{text}; nothing was posted",
        reason=Reason.ARTIFACT_FOREIGN,
        next="name the workflow that plans in `on.workflow_run.workflows` and in the input `workflow`",
    )


def _member(value: Mapping[str, Json], name: str) -> Mapping[str, Json]:
    return mapping(value.get(name))
