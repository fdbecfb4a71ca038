"""The plans that a pull request was shown before: from the artifacts of its earlier runs, and never from a comment.

Each plan artifact carries the header facts of those before it, so that the whole history costs no more than the one plan
before. All of it is shown and decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from shipway.archive import HostileArchive
from shipway.ci import CiContext
from shipway.commands.delivery import open_forge
from shipway.commands.handover import HISTORY_FILE
from shipway.commands.plan_archive import asked_in, open_plan, plan_name
from shipway.context import Context
from shipway.errors import ShipwayError
from shipway.forges.forge import Artifact, Capability, CiRun, Forge, Posted
from shipway.plan import Plan
from shipway.redaction import Redacted
from shipway.render.plan_words import plan_counts
from shipway.view import HISTORY_MAX, Shown

_RUNS_LOOKED_AT = 2
"""Earlier runs whose artifacts are asked for: each costs a request."""

_ENDED = ("success", "failure")
"""Conclusions of a run that may have left a plan: a cancelled one was overtaken."""


class Previous(Struct, frozen=True):
    """A plan that was shown, and the header facts of it and those before it, the latest first; `run` and `artifact` are ids.

    `began` is when this attempt of the run that asks started, by the forge's clock; empty where it was not told.
    """

    plan: Plan
    history: tuple[Shown, ...]
    run: str
    artifact: int
    began: str = ""


Say = Callable[[str], None]
"""Is told on one line why a plan that there may be was not had."""


def find_previous(
    lifecycle: str, target: str, context: Context, redact: Callable[[str], Redacted], say: Say
) -> Previous | None:
    """The latest plan that another head of this pull request was shown; None where there is none, or it cannot be had now."""
    ci = context.ci
    if ci is None or ci.pull_request is None or not ci.head_ref:
        return None
    forge = open_forge(ci, context, redact, is_trusted=True, is_hasty=True)
    if isinstance(forge, Posted):
        return None
    return _latest(forge, ci, lifecycle, target, lambda own, run: run.head != own.head, say)


def plan_of_head(forge: Forge, ci: CiContext, lifecycle: str, target: str, say: Say) -> Previous | None:
    """The latest plan of this pull request's head, by another run; None where there is none, or it cannot be had now."""
    return _latest(forge, ci, lifecycle, target, lambda own, run: run.head == own.head, say)


def plan_before(
    forge: Forge, own: CiRun, number: int, opened: str, lifecycle: str, target: str, say: Say, *, is_ours: bool
) -> Previous | None:
    """The latest plan that a run before `own` made for another head of its branch, for the pull request `number`, `opened` then.

    Unless the run `is_ours`, what the artifact says of still earlier plans is a stranger's word, and left out.
    """
    found = _guarded(
        forge,
        lambda: _of_runs(
            forge, _earlier_runs(forge.runs_from(own.branch), own, opened, _is_other_head), number, lifecycle, target
        ),
        say,
    )
    return found if found is None or is_ours else replace(found, history=found.history[:1])


def _is_other_head(own: CiRun, run: CiRun) -> bool:
    return run.head != own.head


def _latest(
    forge: Forge, ci: CiContext, lifecycle: str, target: str, is_wanted: Callable[[CiRun, CiRun], bool], say: Say
) -> Previous | None:
    def found() -> Previous | None:
        runs = forge.runs_from(ci.head_ref)
        own = next((run for run in runs if run.id == ci.run_id), None)
        if own is None or own.repository != ci.repository_id:
            return None
        before = _of_runs(forge, _earlier_runs(runs, own, _opened(ci), is_wanted), ci.pull_request, lifecycle, target)
        is_told = before is not None and own.attempt == ci.run_attempt
        return replace(before, began=own.started_at) if before is not None and is_told else before

    return _guarded(forge, found, say)


def _of_runs(forge: Forge, runs: Sequence[CiRun], number: int | None, lifecycle: str, target: str) -> Previous | None:
    for run in runs[:_RUNS_LOOKED_AT]:
        artifact = _plan_artifact(forge.artifacts(run.id), run, lifecycle, target)
        if artifact is not None and (found := _taken(forge, artifact, run, number, lifecycle, target)):
            return found
    return None


def _guarded(forge: Forge, find: Callable[[], Previous | None], say: Say) -> Previous | None:
    if forge.lacks & {Capability.FOREIGN_RUNS, Capability.ARTIFACTS}:
        return None
    try:
        return find()
    except (HostileArchive, ShipwayError, ValueError, RecursionError) as error:
        # It is shown where it can be had; a plan without it says no less of what will be done.
        next = error.next if isinstance(error, ShipwayError) and error.next else ""
        say("the plan before is not shown: " + "; ".join(filter(None, (str(error), next))))
    return None


def _earlier_runs(
    runs: Sequence[CiRun], own: CiRun, opened: str, is_wanted: Callable[[CiRun, CiRun], bool]
) -> list[CiRun]:
    """Ended runs of the same branch, repository and workflow that are wanted beside `own`, the latest first."""
    found = (
        run
        for run in runs
        if (run.event, run.path, run.host) == (own.event, own.path, own.host)
        and run.repository is not None
        and run.repository == own.repository
        and int(run.id) < int(own.id)
        and is_wanted(own, run)
        and run.conclusion in _ENDED
        and run.began >= opened
    )
    return sorted(found, key=lambda run: int(run.id), reverse=True)


def _opened(ci: CiContext) -> str:
    """When the pull request was opened: a branch may have had others before."""
    pull = ci.payload.get("pull_request")
    at = pull.get("created_at") if isinstance(pull, Mapping) else None
    return at if isinstance(at, str) and at.endswith("Z") else ""


def _plan_artifact(artifacts: Sequence[Artifact], run: CiRun, lifecycle: str, target: str) -> Artifact | None:
    """The plan of the run's latest attempt that left one."""
    found = [
        (name.attempt, -name.job, artifact)
        for artifact in artifacts
        if (name := plan_name(artifact))
        and (name.subject, name.run) == (f"{lifecycle}-{target}", run.id)
        and (artifact.run, artifact.head, artifact.repository) == (run.id, run.head, run.repository)
    ]
    return max(found, key=lambda each: each[:2])[2] if found else None


def _taken(
    forge: Forge, artifact: Artifact, run: CiRun, number: int | None, lifecycle: str, target: str
) -> Previous | None:
    """The plan in an artifact; None where it is another one's, or was made for another pull request of the branch."""
    plan, members = open_plan(forge, artifact)
    if (plan.lifecycle, plan.target) != (lifecycle, target) or asked_in(members).get("number", number) != number:
        return None
    before = history_in(members.get(HISTORY_FILE, b"[]"))
    shown = Shown(run=run.id, commit=run.head, effect=plan.effect, counts=tuple(plan_counts(plan)))
    return Previous(plan, (shown, *before)[:HISTORY_MAX], run.id, artifact.id)


def history_in(content: bytes) -> tuple[Shown, ...]:
    """The header facts in bytes from anywhere. Raises ValueError where they are none."""
    found = msgspec.json.decode(content, type=tuple[Shown, ...])
    if len(found) > HISTORY_MAX:
        raise ValueError(f"a history of {len(found)} plans")
    return found
