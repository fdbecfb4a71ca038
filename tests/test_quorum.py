"""Which reviews count, and whether they are enough: decided without a forge."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from shipway.approvals import ApprovalRule, Permission, Review, ReviewState
from shipway.errors import VerificationError
from shipway.plan import Plan
from shipway.quorum import Ballot, check_enough, count, is_older, strictest
from tests.runs import run

AUTHOR = 1
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
RULE = ApprovalRule()


def _review(account: int | None, state: str = "APPROVED", at: str = "2026-11-22T11:00:00Z", number: int = 80) -> Review:
    return Review(number, ReviewState(state), "a" * 40, at, account, f"user-{account}")


def _count(*reviews: Review, permission: Permission = Permission.WRITE, rule: ApprovalRule = RULE) -> Ballot:
    return count(reviews, AUTHOR, rule, lambda review: permission)


@pytest.mark.parametrize(
    ("states", "counts"),
    [
        (["APPROVED"], True),
        (["CHANGES_REQUESTED", "APPROVED"], True),
        (["APPROVED", "COMMENTED"], True),
        (["APPROVED", "PENDING"], True),
        (["DISMISSED", "APPROVED"], True),
        (["APPROVED", "DISMISSED"], False),
        (["APPROVED", "CHANGES_REQUESTED"], False),
        (["COMMENTED"], False),
        ([], False),
    ],
)
def test_case_36_the_last_review_that_decides_is_the_one_that_counts(states: list[str], counts: bool) -> None:
    ballot = _count(*(_review(5, state) for state in states))
    assert bool(ballot.counted) is counts


def test_case_36_the_last_review_is_the_one_submitted_last_wherever_it_is_listed() -> None:
    approved, withdrawn = _review(5), _review(5, "CHANGES_REQUESTED", at="2026-11-22T11:00:01Z", number=79)
    assert _count(withdrawn, approved).counted == ()
    assert _count(_review(5, "CHANGES_REQUESTED", at="2026-11-22T10:59:59Z"), approved).counted == (approved,)


def test_case_36_an_author_a_deleted_account_and_a_bot_approve_nothing() -> None:
    bot = Review(82, ReviewState.APPROVED, "a" * 40, "2026-11-22T11:00:00Z", 9, "robot", is_person=False)
    lost = Review(83, ReviewState.APPROVED, "", "2026-11-22T11:00:00Z", 10, "lost")
    ballot = _count(_review(AUTHOR), _review(None, number=81), bot, lost)
    assert ballot.counted == ()
    assert [text.rpartition(": ")[2] for text in ballot.discounted] == [
        "its author wrote the change",
        "the account is gone",
        "its author is no person",
        "it names no commit",
    ]


def test_where_nobody_knows_who_wrote_the_change_nobody_can_approve_it() -> None:
    assert count([_review(5)], None, RULE, lambda review: Permission.ADMIN).counted == ()


def test_permission_is_asked_only_of_those_who_might_count() -> None:
    asked: list[int | None] = []

    def permission(review: Review) -> Permission:
        asked.append(review.account)
        return Permission.ADMIN

    count([_review(AUTHOR), _review(5), _review(6, "DISMISSED"), _review(5)], AUTHOR, RULE, permission)
    assert asked == [5]


@pytest.mark.parametrize("needed", [Permission.WRITE, Permission.MAINTAIN, Permission.ADMIN])
@pytest.mark.parametrize("has", list(Permission))
def test_who_may_do_more_may_do_less(needed: Permission, has: Permission) -> None:
    order = ["none", "read", "triage", "write", "maintain", "admin"]
    ballot = _count(_review(5), permission=has, rule=ApprovalRule(permission=needed))
    assert bool(ballot.counted) is (order.index(has.value) >= order.index(needed.value))


def test_case_31_fresh_is_held_against_the_clock_of_the_run(tmp_path: Path) -> None:
    rule, plan = ApprovalRule(fresh_ms=3_600_000), _plan(tmp_path)
    on_time, late = _review(5), _review(6, at="2026-11-22T10:59:59Z", number=81)
    assert (is_older(on_time.at, rule, NOW), is_older(late.at, rule, NOW)) == (False, True)
    assert check_enough(Ballot((on_time, late), ()), rule, plan, 7, NOW) == (on_time,)
    with pytest.raises(VerificationError) as refused:
        check_enough(Ballot((late,), ()), rule, plan, 7, NOW)
    assert (refused.value.reason, "review 81" in refused.value.message) == ("approval-expired", True)
    assert not is_older("2001-01-01T00:00:00Z", ApprovalRule(), NOW)


def test_a_time_that_is_none_approves_nothing() -> None:
    with pytest.raises(VerificationError):
        is_older("yesterday", ApprovalRule(fresh_ms=1), NOW)
    with pytest.raises(VerificationError):
        is_older("2026-11-22T11:00:00", ApprovalRule(fresh_ms=1), NOW)


def test_the_rules_of_all_stages_hold_together(tmp_path: Path) -> None:
    rule = strictest(_plan(tmp_path))
    assert rule == ApprovalRule(2, Permission.ADMIN, 3_600_000)


def _plan(tmp_path: Path) -> Plan:
    text = """
        stages:
          a: {approval: {reviews: 2, fresh: 2h}, steps: [{run: echo}]}
          b: {approval: {from: [admin], fresh: 1h}, steps: [{run: echo}]}
          c: {approval: required, steps: [{run: echo}]}
          d: {steps: [{run: echo}]}
        """
    plan = run(tmp_path, text, execute=False).finished.plan
    assert plan is not None
    return plan
