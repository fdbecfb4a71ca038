"""Which event leads to which work, and which commit may be executed. Pure: a CI context in, a decision with its reason out."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from shipway.ci import CiContext, Provider
from shipway.errors import Reason
from shipway.globs import match_globs

QUEUE_BRANCHES = "gh-readonly-queue/"
"""Where a merge queue keeps its temporary branches; each push of one is a `push` event too.

Source: https://github.blog/changelog/2022-08-18-merge-group-webhook-event-and-github-actions-workflow-trigger/
"""

_SET_UP = "docs/github.md#forks"

_USE_INSTEAD = {
    "pull_request_target": "`pull_request`: it plans without credentials where the code is a fork's",
    "issue_comment": "`pull_request` to plan and `push` to run: no text of a comment decides anything",
    "repository_dispatch": "`workflow_dispatch`, started by someone who may write here",
    "workflow_run": "`pull_request` to plan and `push` to run",
}

_READ_ONLY_EVENTS = frozenset({"merge_group", "schedule", "workflow_dispatch"})

# GitLab's words for what GitHub calls otherwise. Source: https://docs.gitlab.com/ci/jobs/job_rules/#ci_pipeline_source-predefined-variable
_GITLAB_EVENTS = {
    "merge_request_event": "pull_request",
    "push": "push",
    "web": "workflow_dispatch",
    "schedule": "schedule",
}


class WorkKind(StrEnum):
    """`plan` and report; `run`: plan, compare and execute; `closed` and `ignore`: nothing to do; `refuse`: exit 2."""

    PLAN = "plan"
    RUN = "run"
    CLOSED = "closed"
    IGNORE = "ignore"
    REFUSE = "refuse"


class Work(Struct, frozen=True):
    """What an event leads to. `why` is a sentence for the log; `next` says what to use instead of what was refused.

    `is_trusted` is False for a fork's or Dependabot's code: no credentials are used and nothing is written to the forge.
    """

    kind: WorkKind
    why: str
    reason: Reason | None = None
    next: str = ""
    is_trusted: bool = True


def may_execute(ci: CiContext, on_patterns: tuple[str, ...]) -> tuple[bool, str]:
    """Whether this commit may be executed, and why: on the default branch, or only where `on_patterns` match.

    The patterns are globs over branch and tag names. A pull request, a fork, an unnamed ref and, without patterns, an
    unknown default branch may not, whatever the event is called.
    """
    if ci.pull_request is not None:
        return False, f"pull request #{ci.pull_request} is planned, never executed"
    if ci.is_fork or ci.is_dependabot:
        return False, "code from a fork or from Dependabot is never executed"
    name = ci.branch or ci.tag
    if not name:
        return False, "the run names no branch and no tag"
    if on_patterns:
        if match_globs(name, on_patterns):
            return True, f"`{name}` matches `on` of the target"
        return False, f"`{name}` matches none of `on` of the target: {', '.join(f'`{p}`' for p in on_patterns)}"
    if not ci.default_branch:
        return False, "the default branch is not known"
    if ci.branch == ci.default_branch:
        return True, f"`{name}` is the default branch"
    return False, f"`{name}` is not the default branch `{ci.default_branch}`, and the target has no `on`"


def event_work(ci: CiContext, on_patterns: tuple[str, ...] = ()) -> Work:
    """What the event of this job leads to, for a target with these `on` patterns; the whole map is in docs/github.md."""
    event = _GITLAB_EVENTS.get(ci.event, "") if ci.provider is Provider.GITLAB else ci.event
    if event == "pull_request":
        return _pull_request_work(ci)
    if event == "push":
        return _push_work(ci, on_patterns)
    if event in _READ_ONLY_EVENTS:
        return Work(
            WorkKind.PLAN, f"`{ci.event}` plans only: it is read-only and never executes", is_trusted=_is_own(ci)
        )
    if event == "workflow_run" and ci.is_fork:
        return Work(
            WorkKind.REFUSE,
            "this `workflow_run` follows a run of a fork's code, with this repository's credentials",
            Reason.FORK_CODE,
            f"plan under `pull_request`, which has no credentials, and publish in a second job: {_SET_UP}",
            is_trusted=False,
        )
    instead = _USE_INSTEAD.get(event, "`pull_request` to plan and `push` to run")
    return Work(
        WorkKind.REFUSE,
        f"Shipway does nothing on `{ci.event}`",
        Reason.EVENT_REFUSED,
        f"use {instead}",
        is_trusted=False,
    )


def _pull_request_work(ci: CiContext) -> Work:
    if ci.action == "closed":
        return Work(
            WorkKind.CLOSED, "the pull request is closed: there is nothing left to do here", is_trusted=_is_own(ci)
        )
    if ci.is_fork:
        return Work(WorkKind.PLAN, f"a fork's pull request is planned without credentials: {_SET_UP}", is_trusted=False)
    if ci.is_dependabot:
        return Work(WorkKind.PLAN, "Dependabot's pull request is planned without credentials", is_trusted=False)
    return Work(WorkKind.PLAN, "a pull request is planned and reported")


def _push_work(ci: CiContext, on_patterns: tuple[str, ...]) -> Work:
    if (ci.branch or "").startswith(QUEUE_BRANCHES):
        return Work(WorkKind.IGNORE, f"`{ci.branch}` is a temporary branch of the merge queue")
    if ci.payload.get("deleted") is True:
        return Work(WorkKind.IGNORE, f"`{ci.branch or ci.tag}` was deleted")
    may, why = may_execute(ci, on_patterns)
    return Work(WorkKind.RUN if may else WorkKind.IGNORE, why, is_trusted=_is_own(ci))


def _is_own(ci: CiContext) -> bool:
    return not (ci.is_fork or ci.is_dependabot)
