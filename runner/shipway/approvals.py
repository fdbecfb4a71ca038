"""Approvals as values: what a stage asks for, and who gave what. Pure; decides nothing about either."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct

from shipway.canonical import Json, integer_of, integer_or_none, items_of, object_of, text_or_none
from shipway.durations import parse_ms


class Permission(StrEnum):
    """What a person may do in a repository, the least first; who may do more may do less.

    Source: https://docs.github.com/en/organizations/managing-user-access-to-your-organizations-repositories/managing-repository-roles/repository-roles-for-an-organization
    """

    NONE = "none"
    READ = "read"
    TRIAGE = "triage"
    WRITE = "write"
    MAINTAIN = "maintain"
    ADMIN = "admin"

    def covers(self, needed: Permission) -> bool:
        """Whether it is at least `needed`."""
        order = tuple(Permission)
        return order.index(self) >= order.index(needed)


class ApprovalRule(Struct, frozen=True):
    """`approval:` of a stage: by how many, what each of them may do at least, and how old it may be (None: any age)."""

    reviews: int = 1
    permission: Permission = Permission.WRITE
    fresh_ms: int | None = None

    def stricter(self, other: ApprovalRule) -> ApprovalRule:
        """What both of the two rules ask for."""
        ages = [age for age in (self.fresh_ms, other.fresh_ms) if age is not None]
        permission = self.permission if self.permission.covers(other.permission) else other.permission
        return ApprovalRule(max(self.reviews, other.reviews), permission, min(ages, default=None))


def approval_rule(written: Json) -> ApprovalRule | None:
    """The rule as declared, after the schema has found nothing wrong with it; None where there is none."""
    if written is None:
        return None
    if not isinstance(written, Mapping):
        return ApprovalRule()
    named = [Permission(str(word)) for word in items_of(written.get("from", ["write"]))]
    return ApprovalRule(
        reviews=int(str(written.get("reviews", 1)).partition(".")[0]),
        permission=next(permission for permission in Permission if permission in named),
        fresh_ms=parse_ms(str(written["fresh"])) or None if "fresh" in written else None,
    )


def rule_json(rule: ApprovalRule | None) -> Json:
    """`{"reviews", "from", "fresh_ms"}`, or None."""
    if rule is None:
        return None
    return {"reviews": rule.reviews, "from": rule.permission.value, "fresh_ms": rule.fresh_ms}


def rule_from_json(data: Json) -> ApprovalRule | None:
    """The rule that `rule_json` wrote."""
    if data is None:
        return None
    found = object_of(data)
    return ApprovalRule(
        integer_of(found["reviews"]), Permission(str(found["from"])), integer_or_none(found["fresh_ms"])
    )


class ReviewState(StrEnum):
    """What a review on a forge says. Source: https://docs.github.com/en/rest/pulls/reviews"""

    APPROVED = "APPROVED"
    CHANGES_REQUESTED = "CHANGES_REQUESTED"
    COMMENTED = "COMMENTED"
    DISMISSED = "DISMISSED"
    PENDING = "PENDING"


class Review(Struct, frozen=True):
    """One review as the forge tells it: by whom, of which commit, when (RFC 3339 UTC). Its text is not among it.

    `account` is the numeric id, None of an account that is gone; `is_person` is False of a bot.
    """

    id: int
    state: ReviewState
    commit: str
    at: str
    account: int | None
    by: str
    is_person: bool = True


class ApprovedBy(StrEnum):
    """How an approval was given: a review on a forge, a digest on the command line, or typed when asked."""

    REVIEW = "review"
    OPTION = "option"
    TERMINAL = "terminal"


class Approval(Struct, frozen=True):
    """One approval of one effect. `by` is a name for people, `account` the forge's numeric id of whoever gave it.

    `at` is RFC 3339 UTC. Of a review: its id, the commit it names, its pull request, and the CI run and build artifact that
    hold the plan which was reviewed. They are None for an approval that was given here.
    """

    effect: str
    given: ApprovedBy
    by: str | None
    at: str
    account: int | None = None
    review: int | None = None
    commit: str | None = None
    pull_request: int | None = None
    run: str | None = None
    artifact: int | None = None


class AccountedNode(Struct, frozen=True):
    """A node that was approved and is not in the plan that runs, and why that keeps the approval."""

    node: str
    why: str


def approval_json(approval: Approval) -> dict[str, Json]:
    """An approval as it stands in a receipt and in the journal."""
    return {
        "effect": approval.effect,
        "given": approval.given.value,
        "by": approval.by,
        "account": approval.account,
        "at": approval.at,
        "review": approval.review,
        "commit": approval.commit,
        "pull_request": approval.pull_request,
        "run": approval.run,
        "artifact": approval.artifact,
    }


def approval_from_json(data: Mapping[str, Json]) -> Approval:
    """The approval that `approval_json` wrote."""
    return Approval(
        effect=str(data["effect"]),
        given=ApprovedBy(str(data["given"])),
        by=text_or_none(data["by"]),
        at=str(data["at"]),
        account=integer_or_none(data["account"]),
        review=integer_or_none(data["review"]),
        commit=text_or_none(data["commit"]),
        pull_request=integer_or_none(data["pull_request"]),
        run=text_or_none(data["run"]),
        artifact=integer_or_none(data["artifact"]),
    )


def accounted_json(node: AccountedNode) -> dict[str, Json]:
    """`{"node", "why"}`."""
    return {"node": node.node, "why": node.why}


def accounted_from_json(data: Mapping[str, Json]) -> AccountedNode:
    """What `accounted_json` wrote."""
    return AccountedNode(str(data["node"]), str(data["why"]))
