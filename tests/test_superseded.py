"""Case 94: a run whose pull request has moved on stops between two nodes, ends none that runs, and leaves all to the later run."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from shipway.ci import ci_context
from shipway.commands.preview_head import KEPT_MS, PullHead, Superseded
from shipway.context import Context
from shipway.errors import EXIT_UNVERIFIED, Reason, UnreachableError, VerificationError
from shipway.forges.previews import PullState
from shipway.plan import Plan
from tests.runs import Setting, context_of, environment, run, stage

HEAD, LATER = "a" * 40, "b" * 40
STEPS = """
first: {run: 'echo first >> mark', undo: 'echo undone >> mark', verify: 'true'}
second: {needs: [first], run: 'echo second >> mark', undo: 'echo undone >> mark'}
third: {needs: [second], run: 'echo third >> mark', lasting: false}
"""


def superseded_at(turn: int) -> Setting:
    """A run that another one takes over when it is asked for this time; the first time is before anything starts."""
    asked: list[str] = []

    def check(plan: Plan) -> None:
        asked.append(plan.target)
        if len(asked) == turn:
            raise VerificationError("the head is another one", reason=Reason.RUN_SUPERSEDED)

    return Setting(check_head=check, checks_each=True)


def test_case_94_what_was_begun_is_left_to_the_later_run(tmp_path: Path) -> None:
    ran = run(tmp_path, stage(STEPS, lasting=True), superseded_at(3))
    assert (tmp_path / "mark").read_text().split() == ["first"], "not undone, and nothing more begun"
    assert ran.outcomes == {"first": "succeeded", "second": "failed", "third": "blocked"}
    assert ran.error.reason is Reason.RUN_SUPERSEDED
    assert ran.error.exit_code == EXIT_UNVERIFIED
    assert "stopped before `main/second`" in ran.error.message
    assert ran["main/second"].attempts[0].code == "superseded"
    assert any("`main/first`" in warning for warning in ran.receipt.warnings)


def test_case_94_what_is_superseded_before_it_starts_starts_nothing(tmp_path: Path) -> None:
    ran = run(tmp_path, stage(STEPS, lasting=True), superseded_at(1))
    assert ran.error.reason is Reason.RUN_SUPERSEDED
    assert not (tmp_path / "mark").exists()


def test_without_being_asked_for_only_what_cannot_be_undone_asks(tmp_path: Path) -> None:
    setting = superseded_at(2)
    setting.checks_each = False
    ran = run(tmp_path, stage(STEPS, lasting=True), setting)
    assert ran.receipt.exit_code == 0, ran.outcomes


class Clock:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.ms = 0

    def __call__(self) -> int:
        return self.ms * 1_000_000


def job(tmp_path: Path, clock: Clock) -> Context:
    payload = {"pull_request": {"number": 7, "head": {"sha": HEAD}}}
    ci = ci_context({"GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": "pull_request"}, payload)  # type: ignore[arg-type]
    return replace(context_of(tmp_path, environment()), ci=ci, monotonic_ns=clock)


def test_the_forge_is_asked_again_only_after_a_while(tmp_path: Path) -> None:
    clock, asked = Clock(), []
    states = iter([PullState(7, HEAD, True), PullState(7, LATER, True)])

    def ask() -> PullState:
        asked.append(clock.ms)
        return next(states)

    watch, plan = PullHead(job(tmp_path, clock), print, ask), run(tmp_path, stage("a: {run: 'true'}")).finished.plan
    assert plan is not None
    watch(plan)
    clock.ms += KEPT_MS - 1
    watch(plan)
    assert len(asked) == 1
    clock.ms += 1
    with pytest.raises(Superseded, match="is at bbbbbbb"):
        watch(plan)


def test_a_closed_pull_request_supersedes_and_a_silent_forge_is_said_once(tmp_path: Path) -> None:
    clock, said = Clock(), list[str]()
    context = job(tmp_path, clock)
    with pytest.raises(Superseded, match="#7 is closed"):
        PullHead(context, said.append, lambda: PullState(7, HEAD, False)).check()

    def silent() -> PullState:
        raise UnreachableError("no answer")

    watch = PullHead(context, said.append, silent)
    watch.check()
    watch.check()
    assert said == ["whether aaaaaaa is still the head is not known: no answer"]
