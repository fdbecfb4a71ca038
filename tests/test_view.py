"""What every sink is given: how it stands, and what is said at which line."""

from __future__ import annotations

from msgspec.structs import replace

from shipway.approvals import ApprovalRule
from shipway.errors import DeclarationError, Position, Problem, Reason, UsageError
from shipway.render.blocks import Links
from shipway.render.check import check_summary, check_title
from shipway.view import ANNOTATIONS_MAX, Conclusion, View, Weight
from tests.render_samples import failed_receipt, good_receipt, large_plan, mixed_plan, plan_of, stage

PLAN = mixed_plan()


def view(**more: object) -> View:
    return replace(View("shop", "prod", PLAN), **more)


def test_a_plan_stands_well_unless_a_person_has_to_do_something_or_it_counts_no_more() -> None:
    assert view().conclusion is Conclusion.SUCCESS
    assert view(needed="approval of `release` is missing").conclusion is Conclusion.ACTION_REQUIRED
    assert view(stands="stale: head moved to `abc`").conclusion is Conclusion.ACTION_REQUIRED
    assert view(error=UsageError("x", reason=Reason.PLAN_DIFFERS)).conclusion is Conclusion.ACTION_REQUIRED
    assert view(error=UsageError("x")).conclusion is Conclusion.FAILURE
    assert view(receipt=good_receipt()).conclusion is Conclusion.SUCCESS
    assert view(receipt=failed_receipt()).conclusion is Conclusion.FAILURE


def test_what_deletes_comes_before_what_stays_and_nodes_of_one_line_are_one_annotation() -> None:
    lines = {node.id: Position("shipway.yml", place + 1, 1) for place, node in enumerate(PLAN.nodes)}
    nodes = tuple(replace(node, position=lines[node.id]) for node in PLAN.nodes)
    stays = replace(nodes[0], lasting=True)
    found = view(plan=replace(PLAN, nodes=(stays, *nodes[1:]))).annotations()
    assert [(each.weight, str(each.title)) for each in found] == [
        (Weight.WARNING, "release/config"),
        (Weight.WARNING, "release/prune"),
        (Weight.NOTICE, "build/image"),
    ]
    assert found[1].text == "release/prune: deletes what is there, and cannot be undone: a rollback leaves it as it is"
    (one,) = [each for each in view(plan=large_plan(400)).annotations() if "deletes" in each.text]
    assert "and 7 more of this step" in one.text


def test_annotations_are_bounded() -> None:
    node = PLAN.by_id["release/prune"]
    many = [replace(node, id=f"release/p{line}", position=Position("s.yml", line, 1)) for line in range(1, 300)]
    assert len(view(plan=replace(PLAN, nodes=tuple(many))).annotations()) == ANNOTATIONS_MAX


def test_what_failed_and_what_was_not_undone_are_annotated_once_each_in_plain_text() -> None:
    results = tuple(
        replace(each, error="exit 3\x1b[31m\u202e") if each.node == "release/rollout-eu-2" else each
        for each in failed_receipt().nodes
    )
    found = view(receipt=replace(failed_receipt(), nodes=results)).annotations()
    assert [str(each.title) for each in found] == ["release/rollout-eu-2", "release/rollout-us-1"]
    assert {each.weight for each in found} == {Weight.FAILURE}
    assert found[0].text == "failed, undone: exit 3"


def test_each_problem_of_a_declaration_is_annotated_where_it_is() -> None:
    problems = [Problem("unknown key `attemps`", Position("shipway.yml", 16, 17), hint="did you mean `attempts`?")]
    error = DeclarationError("the declaration has 1 problem", problems=problems)
    (found,) = View("shop", "prod", error=error).annotations()
    assert (found.where.line, found.weight) == (16, Weight.FAILURE)
    assert found.text == "unknown key `attemps`\ndid you mean `attempts`?"
    summary = check_summary(View("shop", "prod", error=error), Links(), 60_000)
    assert "nothing was planned" in summary and "unknown key" in summary


def test_a_title_is_one_line_without_control_characters() -> None:
    assert check_title(view()) == "1 update, 1 replace, 1 delete, 6 run, 1 read, 1 noop, 5 opaque"
    asks = replace(PLAN, stages=(PLAN.stages[0], replace(PLAN.stages[1], approval=ApprovalRule()), PLAN.stages[2]))
    assert check_title(view(plan=asks)).endswith("5 opaque; needs approval: release")
    assert check_title(view(stands="closed")).startswith("closed; 1 update")
    assert check_title(view(receipt=good_receipt())) == "succeeded: 2 succeeded"
    error = UsageError("two\nlines\x1b[2J and @org/team")
    assert check_title(View("shop", "prod", error=error)) == "two lines and @org/team"


def test_a_summary_keeps_to_what_a_check_may_have_and_has_neither_graph_nor_details() -> None:
    summary = check_summary(View("shop", "prod", large_plan(5_000)), Links(), 60_000)
    assert len(summary) <= 65_535
    assert "mermaid" not in summary and "<details>" not in summary
    assert "| node | stage |" in summary


def test_a_plan_without_nodes_says_so() -> None:
    empty = View("shop", "prod", plan_of((stage("main"),), ()))
    assert check_title(empty) == "no nodes"
    assert empty.annotations() == ()
