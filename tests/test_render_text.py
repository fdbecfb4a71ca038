"""Plan and receipt as plain text: complete, within the columns, and free of what others wanted the terminal to do."""

from __future__ import annotations

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from shipway.declaration import Rollback
from shipway.errors import UsageError
from shipway.limits import Limit, Rate
from shipway.nodes import Change, Outcome
from shipway.plan import Plan
from shipway.receipt import Attempt, Receipt, RunOutcome
from shipway.render.blocks import Links
from shipway.render.columns import NARROWEST, cut, width, wrap
from shipway.render.difference import diff_lines
from shipway.render.failure import as_text
from shipway.render.foreign import clean, one_line
from shipway.render.plan_text import render_plan
from shipway.render.receipt_comment import receipt_comment
from shipway.render.receipt_text import render_receipt
from tests.hostile import hostile_plans, hostile_receipts, hostile_text, obeyed, values
from tests.render_samples import failed_receipt, good_receipt, large_plan, mixed_plan, small_plan

SGR = re.compile(r"\x1b\[[0-9;]*m")
CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
quick = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


def plain(text: str) -> str:
    return "\n".join(line.rstrip() for line in SGR.sub("", text).split("\n"))


def test_a_plan_says_how_much_its_limits_let_run_and_how_fast() -> None:
    limits = {"docker": Limit(2), "registry": Limit(4, Rate(10, 60_000, 3)), "slow": Limit(1, Rate(1, 86_400_000))}
    text = render_plan(replace(small_plan(), limits=limits), colour=False, columns=80)
    assert "  limits     docker: 2 at once · registry: 4 at once, 10 in 1m, 3 saved up ·\n" in text
    assert "             slow: 1 at once, 1 in 1d\n" in text


@quick
@given(hostile_plans(), st.integers(NARROWEST, 120))
def test_c048_no_plan_writes_beyond_its_columns_or_controls_the_terminal(plan: Plan, columns: int) -> None:
    text = render_plan(plan, colour=False, columns=columns)
    assert obeyed(text) == []
    assert CONTROL.search(text) is None
    assert [line for line in text.split("\n") if width(line) > columns] == []
    assert plain(render_plan(plan, colour=True, columns=columns)) == text


@quick
@given(st.data(), st.integers(NARROWEST, 120))
def test_c048_no_receipt_writes_beyond_its_columns_or_controls_the_terminal(data: st.DataObject, columns: int) -> None:
    plan = data.draw(hostile_plans())
    receipt = data.draw(hostile_receipts(plan))
    text = render_receipt(receipt, plan, colour=False, columns=columns)
    assert obeyed(text) == []
    assert CONTROL.search(text) is None
    assert [line for line in text.split("\n") if width(line) > columns] == []
    assert plain(render_receipt(receipt, plan, colour=True, columns=columns)) == text


def test_c048_every_node_stands_in_the_receipt_with_outcome_and_cause() -> None:
    text = render_receipt(failed_receipt(), mixed_plan(), colour=False, columns=80)
    for result in failed_receipt().nodes:
        assert re.search(rf"^  . {re.escape(result.node.split('/')[1])} ", text, re.MULTILINE), result.node
    assert "blocked by release/rollout-eu-2" in text
    assert "not started" in text
    assert "failed, undone: exit 3" in text


def test_c043_a_receipt_shows_critical_path_and_parallelism() -> None:
    text = render_receipt(failed_receipt(), None, colour=False, columns=80)
    assert "54s of 1m4s" in text
    assert "1.4 nodes on average" in text


def test_a_failure_shows_its_last_lines_its_place_and_what_is_still_there() -> None:
    text = render_receipt(failed_receipt(), mixed_plan(), colour=False, columns=80)
    assert "  | error: /healthz answered 503\n" in text
    assert "shipway.yml:12:9" in text
    assert "Not undone: release/rollout-us-1." in text
    assert "undo failed: exit 1: no route to host" in text
    assert text.rstrip().endswith("--target prod, to begin anew")


def test_a_node_took_what_its_attempts_took_and_not_the_pause_before_a_resume() -> None:
    receipt = good_receipt()
    tried = (Attempt(1, Outcome.FAILED, 0, 2_000), Attempt(2, Outcome.SUCCEEDED, 28_800_000, 28_803_000))
    result = replace(receipt.nodes[0], attempts=tried, started_ms=0, ended_ms=28_803_000)
    receipt = replace(receipt, nodes=(result, *receipt.nodes[1:]))
    text = render_receipt(receipt, None, colour=False, columns=80)
    assert re.search(r" 2 attempts +5s\n", text)
    assert "| 2 | 5s |" in receipt_comment(receipt, None, budget=9_000, links=Links())


def test_a_run_that_was_stopped_is_not_said_to_have_failed_where_not_everything_was_undone() -> None:
    receipt = replace(good_receipt(), outcome=RunOutcome.NOT_UNDONE)
    stopped = replace(receipt.nodes[0], outcome=Outcome.UNDO_FAILED, attempts=(Attempt(1, Outcome.CANCELLED, 0, 9),))
    text = render_receipt(replace(receipt, nodes=(stopped, *receipt.nodes[1:])), None, colour=False, columns=80)
    assert text.startswith("hello → default: cancelled, not everything was undone")


def test_a_run_of_which_nothing_began_is_begun_anew_and_not_gone_on_with() -> None:
    receipt = replace(failed_receipt(), outcome=RunOutcome.FAILED, nodes=(), stages=(), rollback=())
    shown = plain(render_receipt(receipt, None, colour=False, columns=200))
    assert f"shipway run --target {receipt.target}, once the cause is gone" in shown
    assert "resume" not in shown


def test_a_good_run_ends_without_alarm() -> None:
    text = render_receipt(good_receipt(), small_plan(), colour=True, columns=80)
    assert "\x1b[31m" not in text
    assert "failed" not in text


def test_a_plan_shows_secrets_by_name_and_never_an_environment_value() -> None:
    text = render_plan(mixed_plan(), colour=False, columns=80)
    assert "env        HOST, TAG, TOKEN, AWS_* · secrets TOKEN" in text
    assert "eu-1\n" not in text.replace("rollout-eu-1", "")
    assert "${{" not in text


def test_a_plan_says_what_rollback_does_and_what_stays() -> None:
    text = render_plan(mixed_plan(), colour=False, columns=80)
    assert "undo config, rollout-us-1, rollout-eu-2, rollout-eu-1, migrate" in text
    assert "stays: prune" in text
    assert "Once release/prune has begun, not everything can be undone." in text


@pytest.mark.parametrize(
    ("rollback", "said"),
    [
        (Rollback.NONE, "nothing is undone"),
        (Rollback.STAGE, "the failed stage is undone"),
        (Rollback.RUN, "the last stage first"),
    ],
)
def test_each_rollback_policy_is_said_in_words(rollback: Rollback, said: str) -> None:

    assert said in " ".join(render_plan(replace(mixed_plan(), rollback=rollback), colour=False, columns=80).split())


def test_what_is_created_is_not_said_besides_to_be_not_made_yet() -> None:
    plan = small_plan()
    for change, is_told in ((Change.CREATE, False), (Change.RUN, True)):
        nodes = tuple(replace(node, change=change, why="not made yet") for node in plan.nodes)
        assert ("not made yet" in render_plan(replace(plan, nodes=nodes), colour=False, columns=80)) == is_told


def test_a_plan_ends_with_what_to_type() -> None:
    text = render_plan(small_plan(), colour=False, columns=80)
    assert "shipway run --target default\n" in text
    assert "shipway apply plan.json\n" in text


def test_a_plan_shown_before_it_is_run_tells_nobody_to_type() -> None:
    assert "shipway" not in render_plan(small_plan(), colour=False, columns=80, has_next=False).replace(
        "shipway.yml", ""
    )


def test_a_plan_command_is_quoted() -> None:
    text = render_plan(mixed_plan(), colour=False, columns=80)
    assert "says       0041_add_currency\n                 0042_drop_legacy_prices\n" in text


def test_a_plan_that_changes_nothing_says_so() -> None:

    plan = mixed_plan()
    text = render_plan(replace(plan, nodes=plan.nodes[-2:]), colour=False, columns=80)
    assert "Nothing would change." in text
    assert "shipway run" not in text


def test_long_differences_are_bounded() -> None:

    plan = small_plan()
    node = replace(plan.nodes[1], after={"content": "line\n" * 300})
    text = render_plan(replace(plan, nodes=(plan.nodes[0], node)), colour=False, columns=80)
    assert "more lines, all in the plan file" in text
    assert text.count("  line\n") < 60


def test_many_nodes_are_all_shown() -> None:
    text = render_plan(large_plan(), colour=False, columns=80)
    assert text.count("  - delete ") == 8
    assert text.count("stage region-") == 8


@quick
@given(hostile_text)
def test_cleaned_text_has_no_control_and_cleaning_twice_changes_nothing(text: str) -> None:
    assert CONTROL.search(clean(text)) is None
    assert clean(clean(text)) == clean(text)
    assert "\n" not in one_line(text)


def test_an_error_on_a_terminal_is_broken_between_words_and_a_list_stays_one() -> None:
    error = UsageError(f"run `x` is not gone on with:\n  {'a/b: why it is ' * 4}", next="look at it, then " * 5)
    lines = as_text(error, columns=40).splitlines()
    assert max(map(len, lines)) <= 40 and " ".join(" ".join(lines).split()) == " ".join(as_text(error).split())
    assert [line for line in lines if line.startswith("  ")] == lines[1:3]


def test_g090_an_error_that_quotes_a_command_gives_the_runner_no_command() -> None:
    error = UsageError(
        "its `plan` command failed: exit 1\n::add-mask::x\n  ##[error]y", next="look\n::set-output name=a::b"
    )
    assert obeyed(error.message) == ["add-mask", "error"]
    assert obeyed(as_text(error)) == []


@quick
@given(st.text(max_size=80), st.integers(1, 40))
def test_cut_text_fits(text: str, cells: int) -> None:
    shown = cut(one_line(text), cells)
    assert width(shown) <= cells
    assert shown == one_line(text) or shown.endswith("…")


@quick
@given(st.text(max_size=120), st.integers(10, 40))
def test_wrapped_text_fits_and_loses_nothing(text: str, cells: int) -> None:
    lines = wrap(one_line(text), cells, "  a ", "    ")
    assert all(width(line) <= cells for line in lines)
    assert "".join(lines).replace(" ", "") == ("a" + one_line(text)).replace(" ", "")


@quick
@given(values, values)
def test_a_difference_is_empty_exactly_for_equal_values(before: object, after: object) -> None:
    lines = diff_lines(before, after)  # type: ignore[arg-type]
    assert all(sign in "+- " and "\n" not in text for sign, text in lines)
    if before == after and type(before) is type(after):
        assert lines == []


def test_a_changed_line_of_a_text_is_shown_with_its_neighbours() -> None:
    before = "".join(f"line {place}\n" for place in range(20))
    lines = diff_lines({"content": before}, {"content": before.replace("line 9\n", "other\n")})
    assert ("-", "  line 9") in lines
    assert ("+", "  other") in lines
    assert (" ", "  line 8") in lines
    assert (" ", "  line 3") not in lines


def test_texts_that_look_like_other_values_are_quoted() -> None:
    assert diff_lines({"mode": 420}, {"mode": "420"}) == [("-", "mode: 420"), ("+", 'mode: "420"')]
    assert diff_lines(None, {"on": "yes", "off": ""}) == [("+", "on: yes"), ("+", 'off: ""')]


def test_of_a_long_list_of_texts_only_what_came_and_went_is_shown() -> None:
    old = [f"f{number}" for number in range(20)]
    new = [*old[:5], *old[6:], "7"]
    assert diff_lines({"names": old}, {"names": new}) == [(" ", "names:"), ("-", "  f5"), ("+", '  "7"')]
    turned = [line[:20] for _, line in diff_lines({"names": old}, {"names": old[::-1]})]
    assert turned == ['names: ["f0", "f1", ', 'names: ["f19", "f18"'], "another order is shown whole"
    assert diff_lines({"names": ["a"]}, {"names": ["b"]}) == [("-", 'names: ["a"]'), ("+", 'names: ["b"]')]


def test_no_outcome_is_without_words() -> None:
    base = failed_receipt()
    nodes = tuple(result for result in base.nodes[:1])
    words = {Outcome.NOT_UNDOABLE: "cannot be undone", Outcome.UNKNOWN: "undo not reported"}
    for outcome in Outcome:
        receipt: Receipt = replace(base, nodes=(replace(nodes[0], outcome=outcome),))
        said = words.get(outcome, outcome.value.split("_")[0])
        assert said in render_receipt(receipt, None, colour=False, columns=80)
