"""The comment: within its budget, closed, and with nothing foreign in it but code. Read by GitHub's own Markdown parser."""

from __future__ import annotations

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from shipway.forges.gitlab import without_quick_actions
from shipway.forges.limits import COMMENT_BYTES
from shipway.nodes import Change, Fidelity, Outcome
from shipway.plan import Plan
from shipway.receipt import Attempt
from shipway.render.blocks import Links
from shipway.render.comment import body as draw
from shipway.render.escape import prose
from shipway.render.mermaid import MAX_NODES
from shipway.render.plan_comment import plan_comment, plan_report
from shipway.render.receipt_comment import receipt_comment
from shipway.render.shorten import MIN_BUDGET, MOVES, Folding, Form, Row, assemble, fit
from shipway.view import Shown, View
from tests.hostile import hostile_plans, hostile_receipts, hostile_text, nasty_plan
from tests.markdown_page import Page, read_page
from tests.render_samples import failed_receipt, large_plan, mixed_plan, small_plan

COMMENT_BUDGET = COMMENT_BYTES
SUMMARY_BUDGET = 900_000
LINKS = Links(
    run_url="https://github.com/acme/shop/actions/runs/4711",
    run="run 4711, attempt 1",
    artifact_id="998877",
    artifact_url="https://github.com/acme/shop/actions/runs/4711/artifacts/998877",
    declaration_url="https://github.com/acme/shop/blob/1f2e3d4/shipway.yml",
)
OURS = {LINKS.run_url, LINKS.artifact_url, LINKS.declaration_url}
ALLOWED_TAGS = {"h3", "p", "code", "pre", "table", "thead", "tbody", "tr", "th", "td"}
ALLOWED_TAGS |= {"ul", "li", "strong", "em", "a", "details", "summary", "blockquote"}
REFERENCE = re.compile(
    r"@\w|#\d|\bGH-\d|\b[0-9a-f]{7,40}\b|://|www\.|(?<!\w)[!&$]\d|[~%]\w|\[\w+:\d|_TOC_", re.IGNORECASE
)
"""What GitHub, Gitea or GitLab makes links of."""
NASTY = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\U000e0000-\U000e007f]")

hostile = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
budgets = st.integers(MIN_BUDGET, 9_000) | st.just(COMMENT_BUDGET)


def check_safe(body: str, budget: int) -> Page:
    assert len(body.encode()) <= budget
    assert not NASTY.search(body)
    assert "<!-" not in body
    page = read_page(body)
    assert page.faults == []
    assert page.tags <= ALLOWED_TAGS
    assert set(page.links) <= OURS
    assert [text for text in page.text if REFERENCE.search(text)] == []
    assert len(page.headings) >= 1 and page.headings[0].lstrip("✅❌⏹↩\ufe0f ").startswith("Shipway ")
    assert body.count("\n### ") == 0
    return page


@hostile
@given(hostile_plans(), budgets)
def test_case_2_any_plan_fits_and_shows_foreign_text_as_code_only(plan: Plan, budget: int) -> None:
    body = plan_comment(plan, budget=budget, links=LINKS)
    check_safe(body, budget)
    assert plan.effect[:19] in body
    counts = f"{sum(node.change is Change.RUN for node in plan.nodes)} run"
    assert counts in body or counts.startswith("0")


@hostile
@given(hostile_plans(), budgets)
def test_no_line_is_a_quick_action_of_gitlab(plan: Plan, budget: int) -> None:
    body = without_quick_actions(plan_comment(plan, budget=budget, links=LINKS))
    assert not re.search(r"^/", body.replace("\r", ""), re.MULTILINE)
    assert without_quick_actions(body) == body


@hostile
@given(st.data(), budgets)
def test_any_receipt_fits_and_shows_foreign_text_as_code_only(data: st.DataObject, budget: int) -> None:
    plan = data.draw(hostile_plans())
    receipt = data.draw(hostile_receipts(plan))
    check_safe(receipt_comment(receipt, plan, budget=budget, links=LINKS), budget)
    check_safe(receipt_comment(receipt, None, budget=budget, links=LINKS), budget)


@hostile
@given(hostile_text, hostile_text, hostile_plans(max_nodes=2))
def test_notes_and_the_plan_before_are_no_way_in(note: str, name: str, previous: Plan) -> None:
    links = replace(LINKS, notes=(note, "stale: head moved to `abc`"), run=name)
    plan = replace(mixed_plan(), lifecycle=previous.lifecycle, target=previous.target)
    check_safe(plan_comment(plan, budget=COMMENT_BUDGET, links=links, previous=previous), COMMENT_BUDGET)


@pytest.mark.parametrize("form", MOVES)
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(plan=hostile_plans())
def test_every_form_is_closed_and_safe_by_itself(form: Form, plan: Plan) -> None:
    body = assemble(plan_report(plan, COMMENT_BUDGET, LINKS), form)
    check_safe(body, len(body.encode()))


def test_case_1_five_megabytes_of_traps_become_one_comment() -> None:
    plan = nasty_plan(5_000_000)
    body = plan_comment(plan, budget=COMMENT_BUDGET, links=LINKS)
    check_safe(body, COMMENT_BUDGET)
    assert plan.digest in body
    assert f"{len(plan.nodes) // 3} noop" in body
    assert set(read_page(body).links) == OURS
    assert "details of" in body.lower()
    summary = plan_comment(plan, budget=SUMMARY_BUDGET, links=LINKS)
    check_safe(summary, SUMMARY_BUDGET)
    assert len(summary) > len(body)


def test_case_5_two_nodes_leave_nothing_out() -> None:
    body = plan_comment(small_plan(), budget=COMMENT_BUDGET, links=LINKS)
    assert "artifact.*" not in body
    assert "left out" not in body
    assert body.count("<details>") == 2
    assert "```mermaid" in body


def form_of(plan: Plan, budget: int) -> int:
    report = plan_report(plan, budget, LINKS)
    body = fit(report, budget)
    return next(place for place, form in enumerate(MOVES) if assemble(report, form) == body)


def test_case_5_moves_apply_in_order_as_a_plan_grows_node_by_node() -> None:
    # From 81 nodes on the graph is drawn by stage whatever the budget: then there is room again.
    drawn = [form_of(large_plan(count), 7_000) for count in range(2, MAX_NODES + 1)]
    beyond = [form_of(large_plan(count), 7_000) for count in range(MAX_NODES + 1, 400, 8)]
    assert drawn[0] == 0
    assert drawn == sorted(drawn)
    assert beyond == sorted(beyond)
    assert beyond[-1] >= MOVES.index(next(form for form in MOVES if form.folding is Folding.USUAL))


def folded_deletes(body: str) -> int:
    folded = [line for line in body.split("\n") if line.startswith("| … |")]
    return sum(int(count) for line in folded for count in re.findall(r"(\d+) delete", line))


def test_case_5_what_deletes_or_stays_is_folded_last() -> None:
    plan = large_plan(400)
    weighty = {node.step for node in plan.nodes if node.change is Change.DELETE}
    seen = []
    for budget in (60_000, 50_000, 40_000, 30_000, 20_000, 12_000, *range(9_000, MIN_BUDGET - 1, -500)):
        body = plan_comment(plan, budget=budget, links=LINKS)
        rows = [line for line in body.split("\n") if line.startswith("| `")]
        deletes = sum("**delete**" in row for row in rows)
        if deletes < 8:
            assert len(rows) == deletes, "an ordinary row outlived a delete row"
            assert deletes + folded_deletes(body) == 8 or "| node |" not in body
        seen.append((deletes, len(rows)))
    assert weighty
    assert (8, 8) in seen, "there is no budget at which only what deletes has rows of its own"


def test_case_5_of_five_thousand_nodes_as_many_as_fit_of_those_folded_last_are_named() -> None:
    plan = large_plan(5_000)
    kinds = ((Change.DELETE, True), (Change.RUN, False), (Change.RUN, True))
    for deletes, budget in ((300, COMMENT_BUDGET), (3_000, COMMENT_BUDGET), (3_000, 12_000)):
        nodes = tuple(
            replace(node, change=kinds[0 if place < deletes else 1 + place % 2][0], fidelity=Fidelity.OPAQUE)
            for place, node in enumerate(reversed(plan.nodes))
        )
        body = plan_comment(replace(plan, nodes=nodes), budget=budget, links=LINKS)
        check_safe(body, budget)
        rows = [line for line in body.split("\n") if line.startswith("| `")]
        named = sum("**delete**" in row for row in rows)
        assert named == min(deletes, len(rows)), "a row that deletes was folded before another"
        assert named == deletes or budget - len(body.encode()) < max(map(len, rows)) + 10, (
            "another one would have fitted"
        )
        assert named + folded_deletes(body) == deletes


def test_what_stands_for_a_gather_is_counted_by_its_nodes_once_it_is_folded() -> None:
    row = Row("s", "run", "| `x[…] × 40` |", nodes=40)
    report = replace(plan_report(small_plan(), COMMENT_BUDGET, LINKS), rows=(row, replace(row, nodes=2)))
    body = assemble(report, Form(folding=Folding.USUAL))
    assert "42 run" in body and "42 nodes are not shown" in body


@pytest.mark.parametrize("budget", [MIN_BUDGET, 3_000, 5_000, 10_000, 20_000, 60_000])
def test_case_4_each_move_is_announced_with_its_number(budget: int) -> None:
    plan = large_plan(400)
    body = plan_comment(plan, budget=budget, links=LINKS)
    own_rows = sum(line.startswith("| `") for line in body.split("\n"))
    left_out = len(plan.nodes) - own_rows
    if left_out:
        assert f"{left_out} nodes are not shown one by one here" in body
        assert f"{left_out} left out" in body or budget == MIN_BUDGET
    assert "the whole plan is in the artifact" in body


def test_the_head_alone_remains_where_nothing_else_fits() -> None:
    report = plan_report(large_plan(400), MIN_BUDGET, LINKS)
    body = assemble(replace(report, lead=()), MOVES[-1])
    assert body.startswith(report.head)
    assert len(body.encode()) < MIN_BUDGET


def test_a_budget_that_the_head_may_not_fit_in_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 2000 bytes"):
        plan_comment(small_plan(), budget=MIN_BUDGET - 1, links=LINKS)


def test_a_plan_says_what_differs_from_the_one_before() -> None:
    plan = mixed_plan()
    changed = replace(plan, nodes=(replace(plan.nodes[0], limits=()), *plan.nodes[1:-1]))
    body = plan_comment(changed, budget=COMMENT_BUDGET, links=LINKS, previous=plan)
    assert "- `build/image`: `limits`" in body
    assert "- `report/banner`: it is no longer declared" in body
    assert "Same effect" in plan_comment(plan, budget=COMMENT_BUDGET, links=LINKS, previous=plan)


def test_a_view_shows_how_it_stands_how_long_it_takes_what_was_proven_and_what_was_before() -> None:
    plan = mixed_plan()
    history = tuple(Shown(str(run), "c" * 40, plan.effect, ("3 create", "1 delete")) for run in range(9, 0, -1))
    view = View(
        plan.lifecycle,
        plan.target,
        plan,
        head="abcdef0" + "0" * 33,
        history=history,
        runs_url="https://github.com/acme/shop/actions/runs",
        stands="stale: head moved to `1234567`",
        needed="approval of `release` is missing",
        expected="about 4m10s, by 7 earlier runs",
        proven={"release/migrate": "2026-11-20 on staging", "release/config": "never, as it is now"},
    )
    body_text = draw(view, budget=COMMENT_BUDGET, links=LINKS)
    page = read_page(body_text)
    assert page.faults == []
    assert page.tags <= ALLOWED_TAGS
    title, facts = body_text.split("\n")[0], " ".join(body_text.split("\n")[2:5])
    assert title == "### Shipway plan: shop → prod (stale: head moved to `1234567`)"
    assert "for `abcdef0`" in facts and "takes about 4m10s, by 7 earlier runs" in facts
    assert "**approval of `release` is missing**" in body_text
    assert "| undo, last proven |" in body_text
    assert "| yes, 2026-11-20 |" in body_text and "| yes, never |" in body_text
    assert "proven    2026-11-20 on staging" in body_text
    assert "<summary>9 earlier plans</summary>" in body_text
    assert page.links.count("https://github.com/acme/shop/actions/runs/9") == 1
    assert body_text.index("9 earlier plans") > body_text.rindex("```")


def test_rows_that_delete_replace_or_stay_come_first_then_declared_order() -> None:
    body = plan_comment(mixed_plan(), budget=COMMENT_BUDGET, links=LINKS)
    rows = [line.split("`")[1] for line in body.split("\n") if line.startswith("| `")]
    assert rows[:2] == ["config", "prune"]
    assert rows[2:] == [
        "image",
        "test",
        "backup",
        "migrate",
        "rollout-eu-1",
        "rollout-eu-2",
        "rollout-us-1",
        "status",
        "banner",
    ]


def test_secrets_are_shown_by_name() -> None:
    body = plan_comment(mixed_plan(), budget=COMMENT_BUDGET, links=LINKS)
    assert "secrets DB_URL" in body
    assert "${{" not in body


def test_a_failed_receipt_shows_what_failed_first_and_what_was_not_undone() -> None:
    body = receipt_comment(failed_receipt(), mixed_plan(), budget=COMMENT_BUDGET, links=LINKS)
    assert body.index("**Failed**: `release/rollout-eu-2`") < body.index("| node |")
    assert "error: /healthz answered 503" in body
    assert "**undo failed**: `exit 1: no route to host`" in body
    assert "`by release/rollout-eu-2`" in body
    assert "2 redactions" in body


def test_what_nobody_reported_is_not_said_to_have_failed_and_a_cause_stands_where_a_phone_shows_it() -> None:
    receipt = failed_receipt()
    nodes = [replace(each, attempts=(Attempt(1, Outcome.UNKNOWN, 5, 5),)) for each in receipt.nodes[:1]]
    body = receipt_comment(replace(receipt, nodes=(*nodes, *receipt.nodes[1:])), None, budget=9_000, links=LINKS)
    assert f"**Never reported**: `{nodes[0].node}`: it was begun" in body
    assert "It printed nothing" not in body and f"**Failed**: `{nodes[0].node}`" not in body
    assert "| **failed, undone**: `exit 3` | 3 |" in body and "| blocked `by release/rollout-eu-2` | – |" in body


def test_only_web_addresses_become_links() -> None:
    links = Links(
        run="run 1",
        run_url="javascript:alert(1)",
        artifact_id="7",
        artifact_url="https://e/(x) y",
        declaration_url=None,
    )
    page = read_page(plan_comment(small_plan(), budget=COMMENT_BUDGET, links=links))
    assert page.links == ["https://e/%28x%29%20y"]


def test_what_ends_a_clause_stands_behind_the_code_and_not_in_it() -> None:
    said = "it came to 1a2b3c4: what would run, `of 2`, is #7."
    assert prose(said) == "it came to `1a2b3c4`: what would run, `of 2`, is `#7`."


@pytest.mark.parametrize("name", ["gh-7", "gh-7gh-7", "fix-gh-7-again", "deadbee", "release-20261122", "x-0123abc-y"])
def test_a_name_with_a_reference_anywhere_in_it_is_shown_as_code(name: str) -> None:
    plan = replace(small_plan(), lifecycle=name, target=name)
    check_safe(plan_comment(plan, budget=COMMENT_BUDGET, links=LINKS), COMMENT_BUDGET)
