"""Which reviews of a pull request count as approvals, and whether they are enough. Pure: permissions and times come in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import reduce

from msgspec import Struct

from shipway.approval import missing
from shipway.approvals import ApprovalRule, Permission, Review, ReviewState
from shipway.durations import format_ms
from shipway.errors import Reason, VerificationError
from shipway.plan import Plan

_DECISIVE = frozenset({ReviewState.APPROVED, ReviewState.CHANGES_REQUESTED, ReviewState.DISMISSED})
"""What takes the place of an earlier review of the same person; a mere comment does not."""


class Ballot(Struct, frozen=True):
    """The approving reviews that count, one of each person, in their order; and in words why others do not."""

    counted: tuple[Review, ...]
    discounted: tuple[str, ...]


def strictest(plan: Plan) -> ApprovalRule:
    """What all stages of a plan that need approval ask for together: a plan is approved as a whole."""
    return reduce(ApprovalRule.stricter, plan.approval_rules.values())


def count(
    reviews: Sequence[Review], author: int | None, rule: ApprovalRule, permission: Callable[[Review], Permission]
) -> Ballot:
    """The reviews that count: of each person the last one that decides, if it approves, and is not by who wrote the change.

    `permission` is asked only of those that are left. An account that is gone, and a bot, approve nothing. The last is the one
    submitted last, since forges may list a review where it was begun. Raises VerificationError for a time that is none.
    """
    counted: list[Review] = []
    discounted: list[str] = []
    for review in _last_of_each(reviews):
        why = _why_not(review, author)
        if not why and not (has := permission(review)).covers(rule.permission):
            why = f"its author may only `{has.value}` here, not `{rule.permission.value}`"
        if why:
            discounted.append(f"review {review.id} by {review.by or 'a deleted account'}: {why}")
        else:
            counted.append(review)
    return Ballot(tuple(counted), tuple(discounted))


def of_the_latest(reviews: Sequence[Review], most: int) -> tuple[Review, ...]:
    """The reviews of those people who approved last, so many of them at most. Raises VerificationError, as `count` does."""
    approved = [review.account for review in _last_of_each(reviews) if review.state is ReviewState.APPROVED]
    return tuple(review for review in reviews if review.account in approved[-most:])


def _last_of_each(reviews: Sequence[Review]) -> list[Review]:
    """Of each person the last review that decides, in the order in which they were submitted."""
    last: dict[int | None, Review] = {}
    for review in sorted(reviews, key=lambda review: moment(review.at)):
        if review.state in _DECISIVE:
            last.pop(review.account, None)
            last[review.account] = review
    return list(last.values())


def _why_not(review: Review, author: int | None) -> str:
    if review.state is ReviewState.DISMISSED:
        return "it was dismissed"
    if review.state is ReviewState.CHANGES_REQUESTED:
        return "it requests changes"
    if review.account is None:
        return "the account is gone"
    if author is None or review.account == author:
        return "its author wrote the change" if author is not None else "nobody knows who wrote the change"
    if not review.is_person:
        return "its author is no person"
    return "" if review.commit else "it names no commit"


def check_enough(
    ballot: Ballot, rule: ApprovalRule, plan: Plan, pull_request: int, now: datetime
) -> tuple[Review, ...]:
    """The reviews that count and are not too old. Raises VerificationError where they are too few."""
    if len(ballot.counted) < rule.reviews:
        by = f", by {' and '.join(each.by for each in ballot.counted)}" if ballot.counted else ""
        listed = "".join(f"\n  {text}" for text in ballot.discounted)
        raise missing(
            plan,
            f"pull request #{pull_request} has {len(ballot.counted)} of {rule.reviews}{by}{listed}",
            next=f"have it approved by somebody who may `{rule.permission.value}` here, then run this job again",
        )
    fresh = tuple(review for review in ballot.counted if not is_older(review.at, rule, now))
    if len(fresh) < rule.reviews:
        old = [f"  review {each.id} by {each.by} of {each.at}" for each in ballot.counted if each not in fresh]
        raise VerificationError(
            f"approvals of pull request #{pull_request} are older than {format_ms(rule.fresh_ms or 0)}:\n"
            + "\n".join(old),
            reason=Reason.APPROVAL_EXPIRED,
            next="have it approved again, then run this job again",
        )
    return fresh


def is_older(at: str, rule: ApprovalRule, now: datetime) -> bool:
    """Whether a moment (RFC 3339) lies further back than `fresh` allows."""
    return rule.fresh_ms is not None and (now - moment(at)).total_seconds() * 1000 > rule.fresh_ms


def moment(at: str) -> datetime:
    """A time as a forge tells it. Raises VerificationError for anything else."""
    try:
        found = datetime.fromisoformat(at)
    except ValueError as error:
        raise _no_time(at) from error
    if found.tzinfo is None:
        raise _no_time(at)
    return found


def _no_time(at: str) -> VerificationError:
    return VerificationError(f"the forge tells a time that is none: `{at[:40]}`", reason=Reason.APPROVAL_MISSING)
