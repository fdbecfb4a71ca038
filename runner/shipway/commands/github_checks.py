"""`shipway doctor --github`: the workflow files of this checkout, and the repository's settings by the API. Reads only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote

from shipway import source
from shipway.canonical import Json
from shipway.checkup import Check, Verdict
from shipway.commands.forge_checks import reached_by, refuse_to_wait
from shipway.context import Context
from shipway.declaration import Declaration, StateStore
from shipway.errors import Reason, ShipwayError
from shipway.preview_trigger import has_previews
from shipway.redaction import Redactor
from shipway.repository import Repository
from shipway.settings_review import (
    Told,
    check_actions,
    check_branch,
    check_default_token,
    check_fork_approval,
    check_required,
)
from shipway.workflow_review import Teller, WorkflowReview

if TYPE_CHECKING:
    from shipway.forges.client import Client

_WORKFLOWS = ".github/workflows"


def github_checks(context: Context, repository: Repository, declared: Declaration, target: str) -> Iterator[Check]:
    """What of workflows and settings is missing or dangerous for this lifecycle and target."""
    reviews = []
    for path in sorted((repository.root / _WORKFLOWS).glob("*.y*ml")):
        name = path.relative_to(repository.root).as_posix()
        try:
            tree = source.parse(path.read_bytes(), name)
        except OSError as error:
            yield Check("workflow", Verdict.LOOK, f"{name} cannot be read: {error.strerror}", "see why")
        except ShipwayError as error:
            first = error.problems[0] if error.problems else None
            where = f"{first.where}: {first.text}" if first else f"{name}: {error.message}"
            yield Check("workflow", Verdict.LOOK, f"{where}; the file was not looked at", "look at it yourself")
        else:
            is_git = declared.state.store is StateStore.GIT
            review = WorkflowReview(tree, state_is_git=is_git, has_previews=has_previews(declared))
            reviews.append(review)
            yield from review.checks()
    yield from _set(reviews, needs_previews=has_previews(declared))
    yield from _settings(context, repository, f"shipway/{declared.name}/{target}", reviews)


def _set(reviews: list[WorkflowReview], *, needs_previews: bool) -> Iterator[Check]:
    """Whether the workflows together plan, execute and publish."""
    done = {command for review in reviews for command in review.uses()}
    if not done:
        yield Check(
            "workflows", Verdict.LOOK, f"none below {_WORKFLOWS} uses Shipway", "write them with `shipway init`"
        )
        return
    if needs_previews and "preview" not in done:
        text = "no job brings previews up under `pull_request`"
        yield Check("workflows", Verdict.LOOK, text, "write the workflow of docs/preview.md#from-nothing")
    if done == {"preview"}:
        return
    for command, text, next in (
        ("plan", "no job plans a pull request", "`command: plan` in a job under `pull_request`"),
        ("run", "no job executes what is merged", "`command: run` in a job under `push`"),
        (
            "publish",
            "a fork's pull request gets no comment with its plan",
            "`shipway init --forks` writes the workflows for it",
        ),
    ):
        if command not in done:
            yield Check("workflows", Verdict.LOOK, text, next)
    planning = [review.file for review in reviews if "plan" in review.uses()]
    for review in reviews:
        yield from review.unnamed(planning)
    if hosted := [job for review in reviews for job in review.hosted()]:
        who = ", ".join(hosted)
        text = f"on the runner of {who} a step may become root, and read all that the job can: the boundary is the job"
        yield Check("boundary", Verdict.LOOK, text, "give the job no more than its steps may have")


def _settings(
    context: Context, repository: Repository, wanted: str, reviews: Sequence[WorkflowReview]
) -> Iterator[Check]:
    """What the API tells, at most six requests."""
    token, api_url, slug = reached_by(context, context.ci, repository)
    if token is None or not slug:
        text = (
            "the settings on GitHub were not asked for: there is no token"
            if slug or token is None
            else "there is no remote"
        )
        next = "`GITHUB_TOKEN=$(gh auth token) shipway doctor --github`, with a token that may read the administration"
        yield Check("settings", Verdict.LOOK, text, next)
        return
    from shipway.forges.client import Client, Pace  # late: requests takes 100 ms, and only a token needs it

    redact = Redactor({"GITHUB_TOKEN": token.value}).redact
    client = Client(api_url=api_url, token=token, pace=Pace(now=context.now, sleep=refuse_to_wait), redact=redact)
    try:
        about = client.get(f"/repos/{slug}").json()
    except ShipwayError as error:
        yield Check("settings", Verdict.BAD, error.message, error.next or "see that the token may read the repository")
        return
    branch = str(about.get("default_branch") or "") if isinstance(about, dict) else ""
    is_private = isinstance(about, dict) and about.get("private") is True
    yield from _about_actions(client, slug, is_private=is_private)
    tellers = {teller for review in reviews for teller in review.tells()}
    if is_private:
        tellers.add(Teller.FORKS)  # strangers cannot fork it
    unplanned = tuple(where for review in reviews for where in review.unplanned())
    told = Told(frozenset(tellers), unplanned, any("merge_group" in review.events for review in reviews))
    yield from _about_branch(client, slug, branch, wanted, told)


def _about_actions(client: Client, slug: str, *, is_private: bool) -> Iterator[Check]:
    told = _asked(client, f"/repos/{slug}/actions/permissions/workflow")
    yield from [told] if isinstance(told, Check) else check_default_token(told, slug)
    told = _asked(client, f"/repos/{slug}/actions/permissions")
    yield from [told] if isinstance(told, Check) else check_actions(told, slug)
    if not is_private:
        told = _asked(client, f"/repos/{slug}/actions/permissions/fork-pr-contributor-approval")
        yield told if isinstance(told, Check) else check_fork_approval(told, slug)


def _about_branch(client: Client, slug: str, branch: str, wanted: str, told: Told) -> Iterator[Check]:
    """Rulesets are told to everyone who may read; branch protection to administrators, and as 404 where there is none."""
    escaped = quote(branch, safe="")
    rules = _asked(client, f"/repos/{slug}/rules/branches/{escaped}")
    if isinstance(rules, Check):
        yield rules
        return
    asked = _asked(client, f"/repos/{slug}/branches/{escaped}/protection", absent=True)
    protection = None if isinstance(asked, Check) else asked
    found = list(check_branch(rules, protection, branch, slug))
    if isinstance(asked, Check) and any(check.verdict is not Verdict.GOOD for check in found):
        yield asked  # what the rulesets do not say may be said there
        return
    yield from found
    yield from check_required(rules, protection, wanted, branch, slug, told)


def _asked(client: Client, path: str, *, absent: bool = False) -> Json | Check:
    """The answer; None for what there is not, where that is an answer; a check where it may not be asked for."""
    try:
        return client.get(path).json()
    except ShipwayError as error:
        status = getattr(error, "status", 0)
        if absent and status == 404:
            return None
        next = "use a token that may: a person's, or an App's with `administration: read`"
        is_denied = error.reason is Reason.FORGE_PERMISSION
        return Check("settings", Verdict.LOOK, error.message, next if is_denied else error.next or "call this again")
