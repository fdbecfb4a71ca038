"""What a policy's program says, who broke the glass and why, and what differs between two plans: hostile texts stay texts."""

from __future__ import annotations

from msgspec.structs import replace

from shipway.comparison import compare
from shipway.explanation import Earlier, explain
from shipway.nodes import Immediate
from shipway.plan import Plan
from shipway.policies import BreakGlass, Decision, Verdict
from shipway.policy import refusal
from shipway.receipt import Receipt
from shipway.render import failure
from shipway.render.comparison import comparison_markdown, render_comparison
from shipway.render.explanation import changed_words, render_explanation
from shipway.render.plan_comment import plan_comment
from shipway.render.plan_text import render_plan
from shipway.render.receipt_comment import receipt_comment
from shipway.render.receipt_text import render_receipt
from tests.markdown_page import read_page
from tests.test_hostile_corpus import WRITABLE, check_body, check_plain, plan_of_strings, receipt_of
from tests.test_render_markdown import ALLOWED_TAGS, COMMENT_BUDGET, LINKS, NASTY, OURS, REFERENCE

STEP = 40


def verdicts(strings: list[str]) -> tuple[Verdict, ...]:
    return tuple(
        Verdict(f"p{place}", "release" if place % 2 else "", list(Decision)[place % len(Decision)], (string, string))
        for place, string in enumerate(strings)
    )


def judged() -> list[tuple[Plan, Receipt]]:
    """Plans and receipts of the corpus, with what policies said."""
    found = []
    for start in range(0, len(WRITABLE), STEP):
        strings = WRITABLE[start : start + STEP]
        said = verdicts(strings)
        plan = plan_of_strings(["a"])
        broken = BreakGlass(strings[0], strings[-1], "admin", 5, said)
        receipt = replace(receipt_of(plan, ["a"]), verdicts=said, break_glass=broken)
        found.append((replace(plan, verdicts=said), receipt))
    return found


def test_case_59_what_policies_say_is_only_text_everywhere() -> None:
    for plan, receipt in judged():
        check_body(plan_comment(plan, budget=COMMENT_BUDGET, links=LINKS), COMMENT_BUDGET)
        body = receipt_comment(receipt, plan, budget=COMMENT_BUDGET, links=LINKS)
        page = read_page(body)
        assert not NASTY.search(body)
        assert page.faults == []
        assert page.tags <= ALLOWED_TAGS
        assert set(page.links) <= OURS
        assert [shown for shown in page.text if REFERENCE.search(shown)] == []
        assert body.startswith("### ⚠️ ")
        check_plain(render_plan(plan, colour=False, columns=80))
        check_plain(render_receipt(receipt, plan, colour=False, columns=80))
        error = refusal(plan.verdicts)
        if error is not None:  # of the few texts that are left at the end none refuses
            check_plain(failure.as_text(error))


def test_one_and_true_are_two_values() -> None:
    before = plan_of_strings(["a"])
    (node,) = before.nodes
    one, true = (replace(before, nodes=(replace(node, slots={"x": Immediate(value)}),)) for value in (1, True))
    assert one.effect != true.effect
    (change,) = compare(one, true).effect
    assert [field.name for field in change.fields] == ["slots.x"]


def test_case_59_what_differs_between_two_plans_is_only_text() -> None:
    for start in range(0, len(WRITABLE) - STEP, STEP):
        before = plan_of_strings(WRITABLE[start : start + STEP])
        swapped = WRITABLE[start : start + STEP][::-1]
        nodes = tuple(
            replace(node, env={"A": other.env[next(iter(other.env))]}, title=string, condition=string)
            for node, other, string in zip(before.nodes, before.nodes[::-1], swapped, strict=True)
        )
        comparison = compare(before, replace(before, nodes=nodes))
        check_plain(render_comparison(comparison, colour=False, columns=80))
        page = read_page(comparison_markdown(comparison))
        assert page.faults == []
        assert page.tags <= ALLOWED_TAGS
        assert page.links == []
        assert [shown for shown in page.text if REFERENCE.search(shown)] == []
        for change in comparison.effect:
            check_plain(changed_words(change))
        for node in comparison.after.nodes[:5]:
            earlier = Earlier(WRITABLE[start], comparison)
            check_plain(render_explanation(explain(comparison.after, node.id, earlier), colour=False, columns=80))
