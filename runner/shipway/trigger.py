"""Which event leads to which work, and which commit may be executed. Pure: a CI context in, a decision with its reason out."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from shipway.canonical import Json
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
    "workflow_run": "`pull_request` to plan and `push` to run; behind a `pull_request` run, `command: publish`",
}

_STRANGERS_EVENTS = frozenset({"pull_request_target", "issue_comment"})
"""Here the job has this repository's credentials, and whoever began it need not be anyone who may write here. Source:
https://docs.github.com/en/actions/reference/security/securely-using-pull_request_target"""

_ON_GITLAB = "`merge_request_event` to plan and `push` to run"

_READ_ONLY_EVENTS = frozenset({"merge_group", "schedule", "workflow_dispatch"})

# GitLab's words for what GitHub calls otherwise. Source: https://docs.gitlab.com/ci/jobs/job_rules/#ci_pipeline_source-predefined-variable
_GITLAB_EVENTS = {
    "merge_request_event": "pull_request",
    "push": "push",
    "web": "workflow_dispatch",
    "schedule": "schedule",
}


class WorkKind(StrEnum):
    """`plan` and report; `drift`: look whether what exists is as receipts say; `run`: plan, compare and execute;
    `publish`: post the plan that another run made, as data;
    `review`: say in the check how reviews stand; `closed` and `ignore`: nothing to do; `refuse`: exit 2.
    `up`, `stop`, `down`, `reset` and `gc` are of environments of mode `preview`."""

    PLAN = "plan"
    DRIFT = "drift"
    RUN = "run"
    PUBLISH = "publish"
    REVIEW = "review"
    CLOSED = "closed"
    IGNORE = "ignore"
    REFUSE = "refuse"
    UP = "up"
    STOP = "stop"
    DOWN = "down"
    RESET = "reset"
    GC = "gc"


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
    if event == "pull_request_review":
        return _review_work(ci)
    if event == "push":
        return _push_work(ci, on_patterns)
    if event == "schedule" and ci.provider is Provider.GITHUB:
        return _drift_work(ci)
    if event in _READ_ONLY_EVENTS:
        return Work(
            WorkKind.PLAN, f"`{ci.event}` plans only: it is read-only and never executes", is_trusted=_is_own(ci)
        )
    if event == "workflow_run" and _run_before(ci).get("event") == "pull_request":
        return _publisher_work(ci)
    if event == "workflow_run" and ci.is_fork:
        return _fork_code()
    return _no_work(ci)


def commanded_work(command: str, ci: CiContext, on_patterns: tuple[str, ...] = ()) -> Work:
    """What the event leads to, narrowed by the action's input `command`: it can ask for less than the event, never for more.

    Decided by the event and its payload alone: whatever was checked out, and however, changes nothing.
    """
    work = event_work(ci, on_patterns)
    if work.kind is WorkKind.PUBLISH and command not in ("auto", "publish"):
        return _fork_code() if ci.is_fork else _no_work(ci)
    if work.kind in (WorkKind.REFUSE, WorkKind.PUBLISH) or command == "auto":
        return work
    if command == "publish":
        return Work(
            WorkKind.REFUSE,
            f"`command: publish` is refused on `{ci.event}`: it posts what a run before it has planned",
            Reason.EVENT_REFUSED,
            f"use `workflow_run`, behind the workflow that plans under `pull_request`: {_SET_UP}",
        )
    if command == "drift":
        return _drift_work(ci)
    if command == "run":
        allowed, why = may_execute(ci, on_patterns)
        if allowed and work.is_trusted:
            return Work(WorkKind.RUN, why)
        return Work(
            WorkKind.REFUSE,
            f"`command: run` is refused: {why}",
            Reason.TARGET_REFUSED,
            "plan here; run on a push to the branch that may",
        )
    return work if work.kind in (WorkKind.CLOSED, WorkKind.IGNORE) else replace(work, kind=WorkKind.PLAN)


def strangers_work(ci: CiContext) -> Work | None:
    """Why a command that is called by itself, without the action, may not read a lifecycle in this job; None where it may."""
    if ci.provider is Provider.GITLAB:
        return None
    if ci.event in _STRANGERS_EVENTS:
        return _no_work(ci)
    if ci.event == "workflow_run" and ci.is_fork:
        return _fork_code()
    return None


def _drift_work(ci: CiContext) -> Work:
    """On a schedule or by hand: those events come from the default branch, or from who may write here."""
    if ci.event in ("schedule", "workflow_dispatch") and _is_own(ci):
        return Work(WorkKind.DRIFT, "what exists is compared with what receipts say; nothing is changed")
    return Work(
        WorkKind.REFUSE,
        f"`command: drift` is refused on `{ci.event}`: it tells of the targets, not of a change",
        Reason.EVENT_REFUSED,
        "use `schedule` or `workflow_dispatch`",
    )


def _publisher_work(ci: CiContext) -> Work:
    """Behind a run of `pull_request`, whoever's code it was: its artifact is data, and no code of it is looked at."""
    if ci.action != "completed":
        return Work(WorkKind.IGNORE, "the run before has not ended: its plan is published when it has")
    return Work(WorkKind.PUBLISH, "what a `pull_request` run planned is posted as data; no code of it is looked at")


def _run_before(ci: CiContext) -> Mapping[str, Json]:
    run = ci.payload.get("workflow_run")
    return run if isinstance(run, Mapping) else {}


def _fork_code() -> Work:
    return Work(
        WorkKind.REFUSE,
        "this `workflow_run` follows a run of a fork's code, with this repository's credentials",
        Reason.FORK_CODE,
        f"plan under `pull_request`, which has no credentials, and publish in a second workflow: {_SET_UP}",
        is_trusted=False,
    )


def _no_work(ci: CiContext) -> Work:
    instead = _USE_INSTEAD.get(ci.event, "`pull_request` to plan and `push` to run")
    return Work(
        WorkKind.REFUSE,
        f"Shipway does nothing on `{ci.event}`",
        Reason.EVENT_REFUSED,
        f"use {_ON_GITLAB if ci.provider is Provider.GITLAB else instead}",
        is_trusted=False,
    )


def _pull_request_work(ci: CiContext) -> Work:
    if ci.action == "closed":
        return Work(
            WorkKind.CLOSED, "the pull request is closed: nothing is planned or executed for it", is_trusted=_is_own(ci)
        )
    if ci.is_fork:
        return Work(WorkKind.PLAN, f"a fork's pull request is planned without credentials: {_SET_UP}", is_trusted=False)
    if ci.is_dependabot:
        return Work(WorkKind.PLAN, "Dependabot's pull request is planned without credentials", is_trusted=False)
    return Work(WorkKind.PLAN, "a pull request is planned and reported")


def _review_work(ci: CiContext) -> Work:
    if not _is_own(ci):
        return Work(WorkKind.IGNORE, "a review of a stranger's code: its plan is never executed", is_trusted=False)
    return Work(WorkKind.REVIEW, "the reviews are held against the plan that was shown; nothing is planned or executed")


def _push_work(ci: CiContext, on_patterns: tuple[str, ...]) -> Work:
    if (ci.branch or "").startswith(QUEUE_BRANCHES):
        return Work(WorkKind.IGNORE, f"`{ci.branch}` is a temporary branch of the merge queue")
    if ci.payload.get("deleted") is True:
        return Work(WorkKind.IGNORE, f"`{ci.branch or ci.tag}` was deleted")
    may, why = may_execute(ci, on_patterns)
    return Work(WorkKind.RUN if may else WorkKind.IGNORE, why, is_trusted=_is_own(ci))


def _is_own(ci: CiContext) -> bool:
    return not (ci.is_fork or ci.is_dependabot)
