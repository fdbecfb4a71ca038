"""How approvals are told: in a plan that needs them, and in a receipt that relied on them."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from shipway.approval import Sanction
from shipway.approvals import AccountedNode, Approval, ApprovalRule, ApprovedBy, Permission
from shipway.canonical import canonical_bytes
from shipway.commands.documents import receipt_in
from shipway.plan import Plan
from shipway.render.blocks import Links
from shipway.render.plan_words import approval_words
from shipway.render.receipt_comment import receipt_comment
from shipway.render.receipt_text import render_receipt
from shipway.render.receipt_words import approved_words
from tests.render_samples import good_receipt
from tests.runs import Setting, run

EFFECT = "sha256:" + "1" * 64
REVIEW = Approval(EFFECT, ApprovedBy.REVIEW, "ana", "2026-11-22T08:00:00Z", 5, 80, "1f2e3d4c" * 5, 7, "77", 41)
TEXT = """
    stages:
      release: {approval: required, steps: [{id: tag, run: 'echo tag=2 >> "$SHIPWAY_OUTPUT"', outputs: {tag: string}}]}
    """


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (ApprovalRule(), "approval"),
        (ApprovalRule(2, Permission.MAINTAIN, 604_800_000), "2 approvals by maintain, at most 7d old"),
        (ApprovalRule(permission=Permission.ADMIN), "approval by admin"),
    ],
)
def test_a_rule_is_said_in_words(rule: ApprovalRule, words: str) -> None:
    assert approval_words(rule) == words


@pytest.mark.parametrize(
    ("approval", "words"),
    [
        (REVIEW, "by ana, review 80 of #7 at 1f2e3d4"),
        (Approval(EFFECT, ApprovedBy.OPTION, "ana", "2026-11-22T08:00:00Z"), "by ana, with `--approve`"),
        (Approval(EFFECT, ApprovedBy.TERMINAL, None, "2026-11-22T08:00:00Z"), "by somebody, typed at the terminal"),
    ],
)
def test_an_approval_says_who_and_how(approval: Approval, words: str) -> None:
    assert approved_words(approval) == words


def test_a_receipt_names_its_approvals_and_what_was_left_out_wherever_it_is_shown() -> None:
    accounted = AccountedNode("build/image", "succeeded in run 1")
    receipt = replace(good_receipt(), approvals=(REVIEW,), accounted=(accounted,))
    text = render_receipt(receipt, None, colour=False, columns=100)
    assert "approved   by ana, review 80 of #7 at 1f2e3d4" in text
    assert "left out   build/image: succeeded in run 1" in text
    comment = receipt_comment(receipt, None, budget=60_000, links=Links())
    assert "approved by ana, review 80 of `#7` at `1f2e3d4`" in comment
    assert "Approved, and not part of this run: `build/image: succeeded in run 1`" in comment
    read = receipt_in(canonical_bytes(receipt.document))
    assert (read.approvals, read.accounted) == ((REVIEW,), (accounted,))


def test_a_name_that_would_be_markup_stays_text() -> None:
    hostile = "@org/team <img src=x> [x](y)\n::error::\x1b[31m"
    receipt = replace(
        good_receipt(), approvals=(replace(REVIEW, by=hostile),), accounted=(AccountedNode("<b>", "`x`"),)
    )
    comment = receipt_comment(receipt, None, budget=60_000, links=Links())
    assert "approved by `@org/team` `<img` `src=x>` `[x](y)` ::error::, review 80" in comment
    assert "`` <b>: `x` ``" in comment
    assert "\x1b" not in comment
    assert "\n::error::" not in comment
    assert "\n::error::" not in render_receipt(receipt, None, colour=False, columns=100)


def test_case_24_the_versions_that_planned_and_that_executed_are_both_in_the_receipt(tmp_path: Path) -> None:
    reviewed: list[Plan] = []

    def approver(plan: Plan, earlier: Sanction) -> Sanction:
        reviewed.append(replace(plan, shipway="0.0.9"))
        return Sanction((replace(REVIEW, effect=plan.effect),), reviewed=reviewed[0])

    ran = run(tmp_path, TEXT, Setting(approver=approver))
    assert ran.exit_code == 0
    assert (ran.receipt.planned_with, ran.receipt.shipway != "0.0.9") == ("0.0.9", True)
    assert ran.receipt.approved == ran.receipt.effect == reviewed[0].effect


def test_case_75_a_run_is_held_to_what_the_reviewed_plan_predicted(tmp_path: Path) -> None:
    def approver(plan: Plan, earlier: Sanction) -> Sanction:
        [node] = plan.nodes
        foretold = plan.predicted((replace(node, predicted={"tag": "1"}),), plan.rollback)
        return Sanction((replace(REVIEW, effect=plan.effect),), reviewed=foretold)

    ran = run(tmp_path, TEXT, Setting(approver=approver))
    assert ran.error.reason == "prediction-broken"
