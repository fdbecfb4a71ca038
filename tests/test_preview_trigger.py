"""Which event brings an environment up, takes it down, sweeps, or only plans; and for whom it does none of that."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from msgspec.structs import replace

from shipway.canonical import Json
from shipway.ci import CiContext, Provider
from shipway.errors import Reason
from shipway.preview_trigger import own_target, preview_work, refused_work
from shipway.trigger import WorkKind
from tests.test_context import job

REPOSITORY: Mapping[str, Json] = {"repository": {"id": 1, "default_branch": "main"}}


def pulled(action: str, head: int = 1) -> CiContext:
    body: dict[str, Json] = {
        "action": action,
        "pull_request": {"number": 42, "head": {"repo": {"id": head}}, "base": {"repo": {"id": 1}}},
        **REPOSITORY,
    }
    return job("pull_request", "refs/pull/42/merge", body=body)


def kind(command: str, ci: CiContext, target: str) -> WorkKind | None:
    work = preview_work(command, ci, target)
    return work.kind if work else None


@pytest.mark.parametrize("action", ["opened", "reopened", "synchronize"])
def test_case_93_a_pull_request_of_the_repository_itself_brings_its_own_target_up(action: str) -> None:
    ci = pulled(action)
    assert own_target(ci) == "pr-42"
    assert kind("auto", ci, "pr-42") is WorkKind.UP
    assert kind("up", ci, "pr-42") is WorkKind.UP
    assert kind("plan", ci, "pr-42") is None, "a plan may be all that is asked for"
    for other in ("prod", "pr-4", "pr-420"):
        assert kind("auto", ci, other) is None, "another target is planned, as ever"


def test_what_is_only_said_of_a_pull_request_brings_nothing_up() -> None:
    for action in ("edited", "labeled", "ready_for_review", "assigned", ""):
        assert kind("auto", pulled(action), "pr-42") is None
        assert kind("up", pulled(action), "pr-42") is WorkKind.IGNORE


def test_case_95_a_closed_pull_request_takes_its_own_target_down() -> None:
    assert kind("auto", pulled("closed"), "pr-42") is WorkKind.DOWN
    assert kind("down", pulled("closed"), "pr-42") is WorkKind.DOWN
    assert kind("up", pulled("closed"), "pr-42") is WorkKind.IGNORE
    assert kind("auto", pulled("closed"), "prod") is None


@pytest.mark.parametrize("action", ["opened", "reopened", "synchronize"])
@pytest.mark.parametrize("command", ["auto", "up"])
def test_case_100_a_strangers_pull_request_is_planned_only_and_told_the_way(action: str, command: str) -> None:
    fork, bot = pulled(action, head=2), replace(pulled(action), is_dependabot=True)
    for ci in (fork, bot):
        work = preview_work(command, ci, "pr-42")
        assert work is not None
        assert (work.kind, work.is_trusted) == (WorkKind.PLAN, False)
        assert "maintainer" in work.why
        assert "push the branch to the repository itself" in work.why
    assert kind("auto", pulled("closed", head=2), "pr-42") is None, "nothing was made for it"
    assert kind("down", pulled("closed", head=2), "pr-42") is WorkKind.IGNORE


def test_case_96_a_schedule_sweeps_unless_another_target_is_named() -> None:
    ci = job("schedule", "refs/heads/main", body=REPOSITORY)
    assert kind("auto", ci, "") is WorkKind.GC
    assert kind("gc", ci, "") is WorkKind.GC
    assert kind("drift", ci, "") is None
    assert kind("auto", ci, "prod") is None, "that one is looked at for drift"


@pytest.mark.parametrize("command", ["up", "stop", "down", "reset", "gc"])
def test_all_is_had_by_hand_and_by_no_other_event(command: str) -> None:
    by_hand = job("workflow_dispatch", "refs/heads/main", body=REPOSITORY)
    assert kind(command, by_hand, "pr-42") is WorkKind(command)
    assert kind("auto", by_hand, "pr-42") is None
    for event in ("push", "merge_group", "issue_comment", "pull_request_target", "workflow_run", "repository_dispatch"):
        ci = job(event, "refs/heads/main", body=REPOSITORY)
        work = preview_work(command, ci, "pr-42")
        assert work is not None
        assert (work.kind, work.reason, work.is_trusted) == (WorkKind.REFUSE, Reason.EVENT_REFUSED, False)
        assert refused_work(command, ci) == work
    assert refused_work(command, by_hand) is None
    assert refused_work("auto", by_hand) is None


@pytest.mark.parametrize("command", ["stop", "reset", "gc"])
def test_a_pull_request_asks_for_nothing_else(command: str) -> None:
    assert kind(command, pulled("opened"), "pr-42") is WorkKind.REFUSE


def test_other_forges_bring_nothing_up_by_themselves() -> None:
    ci = replace(pulled("opened"), provider=Provider.FORGEJO)
    assert kind("auto", ci, "pr-42") is None


def test_by_hand_another_target_than_a_pull_requests_is_brought_up_from_where_it_may_be_only() -> None:
    topic = job("workflow_dispatch", "refs/heads/topic", body=REPOSITORY)
    assert kind("up", topic, "pr-42") is WorkKind.UP
    for command in ("up", "reset"):
        refused = preview_work(command, topic, "demo")
        assert refused is not None
        assert (refused.kind, refused.reason) == (WorkKind.REFUSE, Reason.TARGET_REFUSED)
        allowed = preview_work(command, topic, "demo", ("topic",))
        assert allowed is not None and allowed.kind is WorkKind(command)
    assert kind("up", job("workflow_dispatch", "refs/heads/main", body=REPOSITORY), "demo") is WorkKind.UP
    assert kind("down", topic, "demo") is WorkKind.DOWN, "what was recorded is taken away, whatever is checked out"
