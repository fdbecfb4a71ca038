"""Which event leads to which work on an environment of mode `preview`. Pure: a CI context in, a decision with its reason out."""

from __future__ import annotations

from shipway.ci import CiContext, Provider
from shipway.declaration import Declaration
from shipway.errors import Reason
from shipway.trigger import Work, WorkKind, may_execute

MODE = "preview"

BY_COMMAND = {
    "up": WorkKind.UP,
    "stop": WorkKind.STOP,
    "down": WorkKind.DOWN,
    "reset": WorkKind.RESET,
    "gc": WorkKind.GC,
}
"""What can be asked for by hand, by the word of the action's input `command`."""

WORK = frozenset(BY_COMMAND.values())

PUSH_THE_BRANCH = (
    "there is no environment for it: no hook is run and no secret is read."
    " A maintainer who has looked at the code may push the branch to the repository itself, and open a pull request from there"
)

_RUNS_WHAT_IS_HERE = ("up", "reset")
"""What carries out the declaration that is checked out. What is taken away is so by the one that was recorded."""

_UP_ACTIONS = ("opened", "reopened", "synchronize")
_SET_UP = "docs/preview.md#pull-requests"


def has_previews(declared: Declaration) -> bool:
    """Whether a lifecycle has stages of mode `preview` on the target that it was loaded for."""
    return any(stage.mode == MODE for stage in declared.stages)


def own_target(ci: CiContext) -> str:
    """`pr-7` in a job about pull request 7; empty in any other."""
    return "" if ci.pull_request is None else f"pr-{ci.pull_request}"


def preview_work(command: str, ci: CiContext, target: str, on_patterns: tuple[str, ...] = ()) -> Work | None:
    """What event and input `command` lead to for a lifecycle with previews; None where that is as for any lifecycle.

    `target` is that of the job, empty where none was named and the event names none; `on_patterns` are its own.
    """
    if command in BY_COMMAND:
        return _by_hand(command, ci, target, on_patterns)
    if command != "auto" or ci.provider is not Provider.GITHUB:
        return None
    if ci.event == "pull_request":
        return _pull_request_work(ci, target)
    if ci.event == "schedule" and _is_own(ci) and (not target or target.startswith("pr-")):
        return Work(WorkKind.GC, "what belongs to closed pull requests, is past its time or has no owner is taken away")
    return None


def refused_work(command: str, ci: CiContext) -> Work | None:
    """Why a command on an environment is refused in this job before any file is looked at; None where it may go on."""
    work = _by_hand(command, ci, own_target(ci) or "pr-1", ()) if command in BY_COMMAND else None
    return work if work is not None and work.kind is WorkKind.REFUSE else None


def _pull_request_work(ci: CiContext, target: str) -> Work | None:
    if target != own_target(ci):
        return None
    if not _is_own(ci):
        if ci.action == "closed":
            return None
        whose = "a fork's" if ci.is_fork else "Dependabot's"
        return Work(WorkKind.PLAN, f"{whose} pull request is planned only: {PUSH_THE_BRANCH}", is_trusted=False)
    if ci.action == "closed":
        return Work(WorkKind.DOWN, f"the pull request is closed: `{target}` is taken down, as it was recorded")
    if ci.action in _UP_ACTIONS:
        return Work(WorkKind.UP, f"`{ci.action}`: `{target}` is brought up at the head of the pull request")
    return None


def _by_hand(command: str, ci: CiContext, target: str, on_patterns: tuple[str, ...]) -> Work:
    if ci.event == "pull_request" and command in ("up", "down"):
        found = _pull_request_work(ci, target)
        if found is not None and (found.kind is BY_COMMAND[command] or found.kind is WorkKind.PLAN):
            return found
        return Work(WorkKind.IGNORE, f"`{command}` has nothing to do on `{ci.action}` of this pull request")
    is_fit = ci.event == "workflow_dispatch" or (ci.event == "schedule" and command == "gc")
    if is_fit and _is_own(ci):
        may, why = may_execute(ci, on_patterns)
        if command in _RUNS_WHAT_IS_HERE and not target.startswith("pr-") and not may:
            next = "start the workflow on the branch that may, or see `on` of the target"
            return Work(WorkKind.REFUSE, f"`{command}` of `{target}` is refused: {why}", Reason.TARGET_REFUSED, next)
        return Work(BY_COMMAND[command], f"`{command}` was asked for")
    return Work(
        WorkKind.REFUSE,
        f"`command: {command}` is refused on `{ci.event}`",
        Reason.EVENT_REFUSED,
        f"use `workflow_dispatch`, started by someone who may write here: {_SET_UP}",
        is_trusted=False,
    )


def _is_own(ci: CiContext) -> bool:
    return not (ci.is_fork or ci.is_dependabot)
