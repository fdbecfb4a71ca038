"""Shows what a gather does: a step, or a body, once per item, with ids by key, in turn, undone in reverse."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from textwrap import indent

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipway.errors import DeclarationError
from shipway.events import NodeFinished, NodeStarted
from shipway.node_ids import escaped, turns_of, written_as
from shipway.nodes import Immediate, Outcome
from shipway.products import BadItems, items_from, key_by_value
from shipway.render.folding import folded_nodes, name
from shipway.render.mermaid import flowchart
from shipway.render.plan_text import render_plan
from shipway.render.receipt_text import render_receipt
from tests.runs import Setting, run, stage


def _echo(more: str = "") -> str:
    return f"""
- id: each
  gather: {{items: [a, b, c]{more}}}
  env: {{X: "${{{{ item }}}}"}}
  run: echo "$X" >> seen; echo "said=<$X>" >> "$SHIPWAY_OUTPUT"
  outputs: {{said: string}}
"""


# What runs.


def test_c043_an_item_of_which_nothing_began_has_no_start_and_begins_when_its_stage_is_tried_again(
    tmp_path: Path,
) -> None:
    steps = """
    each:
      gather: {items: [a, b], limit: 2}
      steps: [{id: x, run: test -e again}, {id: y, run: "true"}]
    """
    done = run(tmp_path, stage(steps, defaults="parallel: 1"))
    assert done.outcomes["each[a]"] == "failed"
    for node in ("each[b]", "each[b]/x", "each[b]/y"):
        result = done[f"main/{node}"]
        assert (result.outcome, result.attempts) == (Outcome.NOT_STARTED, ()), node
        assert (result.started_ms, result.ended_ms) == (None, None), node
    again = steps.replace("test -e again", "test -e again || ( touch again; exit 1 )")
    head = "defaults: {parallel: 1}\nstages:\n  main:\n    lasting: false\n    retry: 2\n    steps:\n"
    assert set(run(tmp_path, head + indent(again, "    ")).outcomes.values()) == {"succeeded"}


def test_g053_over_nothing_a_gather_gives_nothing_and_what_follows_goes_on(tmp_path: Path) -> None:
    steps = (
        _echo().replace("[a, b, c]", "[]")
        + '- {id: after, run: "test \\"$ALL\\" = []", env: {ALL: "${{ toJSON(steps.each.outputs.said) }}"}}'
    )
    done = run(tmp_path, stage(steps))
    assert done.outcomes == {"each": "succeeded", "after": "succeeded"}
    assert done["main/each"].outputs == {"said": []}


def test_g053_results_come_in_the_order_of_the_items_whatever_finished_first(tmp_path: Path) -> None:
    steps = """
    - id: each
      gather: {items: [c, b, a], limit: 3}
      env: {X: "${{ item }}"}
      run: |
        case "$X" in b) while ! test -e done-a; do sleep 0.01; done;; c) while ! test -e done-b; do sleep 0.01; done;; esac
        touch "done-$X"; echo "said=<$X>" >> "$SHIPWAY_OUTPUT"
      outputs: {said: string}
    - {id: after, run: 'echo "$ALL"', env: {ALL: "${{ join(steps.each.outputs.said, ' ') }}"}}
    """
    done = run(tmp_path, stage(steps))
    assert done["main/each"].outputs == {"said": ["<c>", "<b>", "<a>"]}
    assert done.log("main/after") == "<c> <b> <a>\n"


def test_g054_never_more_than_the_limit_at_once_and_all_are_done(tmp_path: Path) -> None:
    steps = "{each: {gather: {items: [1, 2, 3, 4, 5], limit: 3}, run: sleep 0.05}}"
    done = run(tmp_path, f"defaults: {{parallel: 8}}\nsteps: {steps}\n")
    assert _most_members(done.events) == 3
    assert set(done.outcomes.values()) == {"succeeded"}


def test_g054_without_a_limit_it_is_one_at_a_time_in_order(tmp_path: Path) -> None:
    done = run(tmp_path, "defaults: {parallel: 8}\n" + stage(_echo()))
    assert (tmp_path / "seen").read_text() == "a\nb\nc\n"
    assert _most_members(done.events) == 1


def test_g054_an_iteration_is_over_when_its_whole_body_is(tmp_path: Path) -> None:
    steps = """
    - id: each
      gather: [a, b]
      steps:
        one: {run: 'echo "one $X" >> seen', env: {X: "${{ item }}"}}
        two: {run: 'echo "two $X" >> seen', env: {X: "${{ item }}"}, needs: [one]}
    """
    run(tmp_path, stage(steps))
    assert (tmp_path / "seen").read_text() == "one a\ntwo a\none b\ntwo b\n"


def _most_members(events: Sequence[object]) -> int:
    running = most = 0
    for event in events:
        if isinstance(event, NodeStarted | NodeFinished) and "[" in event.node and event.node.endswith("]"):
            running += 1 if isinstance(event, NodeStarted) else -1
            most = max(most, running)
    return most


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ('gather: "${{ values.host }}", run: x', "`items` takes a list, not `eu`"),
        ('gather: "${{ values.none }}", run: x', "`items` takes a list, not nothing"),
        ("gather: [{a: 1}, {a: 1}], run: x", "items 1 and 2 both have the key `1`"),
        ("gather: [[1]], run: x", "no key can be made of the item"),
        ("gather: [null], run: x", "no key can be made of the item `null`"),
        ('gather: [""], run: x', "has an empty key"),
        ("gather: {items: [1, 2], max: 1}, run: x", "there are 2 items, and `max` is 1"),
        ('gather: {items: [a], key: "${{ steps.out.outcome }}"}, run: x', "does not tell its items apart"),
        ("gather: [a], uses: no.action", "unknown action `no.action`"),
        (
            'gather: {items: [{p: [1]}], key: "${{ item.p[0] }}"}, uses: file.exists, with: {path: "${{ item.p }}"}',
            "takes a string, not a list",
        ),
    ],
)
def test_g055_what_cannot_be_gathered_over_is_refused_when_planned(tmp_path: Path, keys: str, text: str) -> None:
    done = run(
        tmp_path,
        f"values: {{host: eu, none: null}}\nsteps:\n  - {{id: out, run: x}}\n  - {{id: each, {keys}}}\n",
        execute=False,
    )
    assert isinstance(done.error, DeclarationError)
    assert any(text in problem.text for problem in done.error.problems), done.error.problems


def test_g055_a_list_of_text_is_a_list_and_a_number_keeps_its_spelling(tmp_path: Path) -> None:
    steps = '- {id: each, gather: [3.10, 3.9, true], run: "echo $X", env: {X: "${{ item }}"}}'
    done = run(tmp_path, stage(steps))
    assert [done.log(f"main/each[{key}]") for key in ("3.10", "3.9", "true")] == ["3.10\n", "3.9\n", "true\n"]


def test_g059_three_items_run_the_body_three_times_and_not_four(tmp_path: Path) -> None:
    done = run(tmp_path, stage(_echo()))
    assert (tmp_path / "seen").read_text().splitlines() == ["a", "b", "c"]
    assert done.started == ["each", "each[a]", "each[b]", "each[c]"]


# Failure.

_FAILS = """
- id: each
  gather: {{items: [a, b, c, d], limit: {limit}{more}}}
  env: {{X: "${{{{ item }}}}"}}
  run: |
    echo "$X" >> seen
    {script}
- {{id: after, run: "true"}}
"""


def test_g056_in_turn_the_first_failure_is_named_and_the_others_are_not_started(tmp_path: Path) -> None:
    done = run(tmp_path, stage(_FAILS.format(limit=1, more="", script="exit 7")))
    assert done.outcomes == {
        "each": "failed",
        "each[a]": "failed",
        "each[b]": "not_started",
        "each[c]": "not_started",
        "each[d]": "not_started",
        "after": "blocked",
    }
    assert done["main/each"].error == "`main/each[a]`: exit 7"
    assert done["main/after"].cause == "main/each[a]"
    assert (tmp_path / "seen").read_text() == "a\n"


def test_g057_at_once_no_new_one_starts_and_the_first_declared_failure_is_named(tmp_path: Path) -> None:
    script = 'case "$X" in b) while ! test -e d; do sleep 0.01; done; exit 3;; d) touch d; exit 4;; esac'
    steps = _FAILS.format(limit=2, more="", script=script).replace("[a, b, c, d]", "[a, b, d, c, e]")
    done = run(tmp_path, stage(steps))
    assert done["main/each[b]"].outcome is Outcome.FAILED
    assert done["main/each[d]"].outcome is Outcome.FAILED
    assert done["main/each[c]"].outcome is Outcome.NOT_STARTED
    assert done["main/each"].error == "`main/each[b]`: exit 3"
    assert done["main/after"].cause == "main/each[b]"


def test_where_it_is_said_so_the_other_items_are_worked_on_all_the_same(tmp_path: Path) -> None:
    script = 'test "$X" != b'
    done = run(tmp_path, stage(_FAILS.format(limit=1, more=", on_failure: continue", script=script)))
    assert (tmp_path / "seen").read_text() == "a\nb\nc\nd\n"
    assert done["main/each[b]"].outcome is Outcome.FAILED
    assert done["main/after"].outcome is Outcome.BLOCKED


def test_an_allowed_failure_of_an_item_is_null_in_the_lists(tmp_path: Path) -> None:
    steps = """
    - id: each
      gather: [a, b]
      allow_failure: true
      env: {X: "${{ item }}"}
      run: test "$X" = b && echo "v=$X" >> "$SHIPWAY_OUTPUT"
      outputs: {v: string}
    - {id: after, run: "test \\"$ALL\\" = ',b'", env: {ALL: "${{ join(steps.each.outputs.v, ',') }}"}}
    """
    done = run(tmp_path, stage(steps))
    assert done["main/each"].outputs == {"v": [None, "b"]}
    assert done.exit_code == 0


def test_g058_iterations_are_undone_in_reverse_and_so_are_the_nodes_of_each(tmp_path: Path) -> None:
    steps = """
    - id: each
      gather: [a, b, c]
      env: {X: "${{ item }}"}
      steps:
        - {id: one, run: 'touch "one-$X"', undo: 'rm "one-$X"; echo "one $X" >> undone'}
        - {id: two, run: 'touch "two-$X"; test "$X" != c', undo: 'rm "two-$X"; echo "two $X" >> undone'}
    """
    done = run(tmp_path, stage(steps, lasting=True))
    assert (tmp_path / "undone").read_text() == "two c\none c\ntwo b\none b\ntwo a\none a\n"
    assert not list(tmp_path.glob("one-*")) and not list(tmp_path.glob("two-*"))
    assert done.exit_code == 1


# Ids.


def test_g060_each_iteration_has_ids_outcomes_events_and_tries_of_its_own(tmp_path: Path) -> None:
    steps = """
    - id: each
      gather: {items: [{name: eu/1, n: 1}, {name: us 2, n: 2}], key: "${{ item.name }}"}
      env: {N: "${{ item.n }}"}
      run: test "$N" = 1 || { test -e tried || { touch tried; false; }; }
      retry: {attempts: 2, initial: 1ms}
    """
    done = run(tmp_path, stage(steps))
    assert list(done.outcomes) == ["each", "each[eu%2F1]", "each[us%202]"]
    assert [len(done[f"main/each[{key}]"].attempts) for key in ("eu%2F1", "us%202")] == [1, 2]
    assert "main/each[us%202]" in [event.node for event in done.events if isinstance(event, NodeStarted)]
    assert done.finished.plan is not None
    assert [node.id for node in done.finished.plan.nodes] == ["main/each", "main/each[eu%2F1]", "main/each[us%202]"]


def test_g060_an_item_more_changes_no_id_of_the_others(tmp_path: Path) -> None:
    before, after = (
        run(tmp_path, stage(_echo().replace("[a, b, c]", items)), execute=False).finished.plan
        for items in ("[b, c]", "[a, b, c]")
    )
    assert before is not None and after is not None
    assert {node.id for node in before.nodes} < {node.id for node in after.nodes}


@given(st.text(min_size=1, max_size=20))
def test_g060_a_key_is_safe_in_ids_and_names_and_no_two_texts_share_one(text: str) -> None:
    key = escaped(text)
    assert (key.isascii() and not set(key) & set('/[]*?"<>|: \n\0') and key not in ("", ".", "..")) or text in (
        ".",
        "..",
    )
    if text.isascii():
        assert escaped(text + "x") != key
    assert written_as(f"main/each[{key}]/a") == "main/each[?]/a"
    assert list(turns_of(f"main/each[{key}]/in[{key}]")) == [
        ("main/each", f"main/each[{key}]"),
        (f"main/each[{key}]/in", f"main/each[{key}]/in[{key}]"),
    ]


def test_logs_of_keys_that_differ_in_capitals_are_two_files_on_any_disk(tmp_path: Path) -> None:
    done = run(tmp_path, stage('- {id: each, gather: [A, a], run: "echo $X", env: {X: "${{ item }}"}}'))
    logs = {done["main/each[A]"].log.lower(), done["main/each[a]"].log.lower()}
    assert len(logs) == 2
    assert done.log("main/each[A]") == "A\n"


def test_a_long_key_has_a_file_all_the_same(tmp_path: Path) -> None:
    item = "x" * 128
    done = run(
        tmp_path,
        stage(
            f"- {{id: each, gather: [{item}], steps: "
            f'[{{id: in, gather: [{item}], run: "echo $X", env: {{X: "${{{{ item }}}}"}}}}]}}'
        ),
    )
    assert done.log(f"main/each[{item}]/in[{item}]") == item + "\n"


# Nested.


def test_g061_a_body_takes_from_outside_and_each_item_is_that_of_its_gather(tmp_path: Path) -> None:
    steps = """
    - {id: out, run: 'echo "tag=v1" >> "$SHIPWAY_OUTPUT"', outputs: {tag: string}}
    - id: region
      gather: [eu, us]
      steps:
        - id: host
          gather: {items: [1, 2], limit: 2}
          env: {R: "${{ items.region }}", H: "${{ item }}", I: "${{ items.host }}", TAG: "${{ steps.out.outputs.tag }}"}
          run: echo "name=$R-$H-$I-$TAG" >> "$SHIPWAY_OUTPUT"
          outputs: {name: string}
        - id: all
          run: echo "names=$N" >> "$SHIPWAY_OUTPUT"
          outputs: {names: string}
          env: {N: "${{ join(steps.host.outputs.name, ' ') }}"}
    - {id: after, run: 'echo "$ALL"', env: {ALL: "${{ join(steps.region.outputs.names, ' / ') }}"}}
    """
    done = run(tmp_path, stage(steps))
    assert done.log("main/after") == "eu-1-1-v1 eu-2-2-v1 / us-1-1-v1 us-2-2-v1\n"
    assert done["main/region"].outputs["name"] == [["eu-1-1-v1", "eu-2-2-v1"], ["us-1-1-v1", "us-2-2-v1"]]


def test_g061_the_inner_items_may_be_those_of_the_outer_item(tmp_path: Path) -> None:
    steps = """
    - id: region
      gather: {items: [{name: eu, hosts: [a, b]}, {name: us, hosts: [c]}], key: "${{ item.name }}"}
      steps: [{id: host, gather: "${{ item.hosts }}", run: 'echo "$X"', env: {X: "${{ items.region.name }}-${{ item }}"}}]
    """
    done = run(tmp_path, stage(steps))
    assert done.log("main/region[us]/host[c]") == "us-c\n"
    assert done.finished.plan is not None
    assert [node.id for node in done.finished.plan.nodes if not node.is_group] == [
        "main/region[eu]/host[a]",
        "main/region[eu]/host[b]",
        "main/region[us]/host[c]",
    ]


def test_no_text_of_an_item_is_ever_read_as_an_expression(tmp_path: Path) -> None:
    steps = """
    - {id: find, run: 'echo "evil=[\\"a $""{{ secrets.S }}\\"]" >> "$SHIPWAY_OUTPUT"', outputs: {evil: list}}
    - id: each
      gather: {items: "${{ steps.find.outputs.evil }}", key: "k${{ item != 1 }}"}
      env: {A: "${{ item }}", B: "x${{ item }}y", C: "${{ item }} ${{ secrets.S }}"}
      run: printf '%s|%s|%s' "$A" "$B" "$C"
    """
    done = run(tmp_path, stage(steps, more="secrets: [S]"), Setting(env={"S": "hidden-secret"}))
    said = "a ${{ secrets.S }}|xa ${{ secrets.S }}y|a ${{ secrets.S }} "
    assert done.log("main/each[ktrue]").startswith(said)
    assert "hidden" not in done.log("main/each[ktrue]")


# Conditions, products, items known when run.


def test_a_condition_without_the_item_is_asked_once_and_one_with_it_for_each(tmp_path: Path) -> None:
    steps = """
    - {id: none, if: "target == 'prod'", gather: [a, b], run: touch never}
    - {id: some, if: "item != 'a'", gather: [a, b], run: "true"}
    """
    done = run(tmp_path, stage(steps))
    assert done.outcomes == {
        "none": "skipped",
        "none[a]": "skipped",
        "none[b]": "skipped",
        "some": "succeeded",
        "some[a]": "skipped",
        "some[b]": "succeeded",
    }


def test_g053_a_matrix_is_a_gather_over_a_product() -> None:
    axes = {"os": ["debian", "alpine"], "py": ["3.10", "3.11"]}
    found = items_from(
        {
            "product": axes,
            "exclude": [{"os": "alpine", "py": "3.10"}],
            "include": [{"os": "alpine", "py": "3.11", "slow": True}, {"os": "macos", "py": "3.12"}, {"flag": 1}],
        }
    )
    assert [
        key_by_value({name: item[name] for name in axes if name in item}) for item in found if isinstance(item, dict)
    ] == [
        "debian,3.10",
        "debian,3.11",
        "alpine,3.11",
        "macos,3.12",
    ]
    assert found[2] == {"os": "alpine", "py": "3.11", "slow": True, "flag": 1}
    assert found[3] == {"os": "macos", "py": "3.12"}


def test_a_product_larger_than_can_be_gathered_over_is_refused_before_it_is_made() -> None:
    with pytest.raises(BadItems, match="1000000000 items"):
        items_from({"product": {name: list(range(1000)) for name in "abc"}})


def test_items_known_only_when_run_are_expanded_then_and_shown_in_the_plan_by_their_template(tmp_path: Path) -> None:
    steps = """
    - {id: find, run: "echo 'hosts=[\\"a\\",\\"b\\"]' >> \\"$SHIPWAY_OUTPUT\\"", outputs: {hosts: list}}
    - id: each
      gather: {items: "${{ steps.find.outputs.hosts }}", limit: 2}
      env: {X: "${{ item }}"}
      run: echo "up=$X" >> "$SHIPWAY_OUTPUT"
      undo: echo "$X" >> undone
      outputs: {up: string}
    - {id: after, run: "false", env: {ALL: "${{ join(steps.each.outputs.up) }}"}}
    """
    done = run(tmp_path, stage(steps, lasting=True))
    plan = done.finished.plan
    assert plan is not None
    assert [node.id for node in plan.nodes] == ["main/find", "main/each", "main/after"]
    assert [node.id for node in plan.by_id["main/each"].templates["each"]] == ["main/each[?]"]
    assert plan.by_id["main/each"].why == "its items wait for `main/find`"
    assert [result.node for result in done.receipt.nodes] == [
        "main/find",
        "main/each",
        "main/each[a]",
        "main/each[b]",
        "main/after",
    ]
    assert done["main/each"].outputs == {"up": ["a", "b"]}
    assert done["main/each"].emitted == ("main/each[a]", "main/each[b]")
    assert (tmp_path / "undone").read_text() == "b\na\n"


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ('["a","a"]', "items 1 and 2 both have the key `a`"),
        ('["a","b","c"]', "there are 3 items, and `max` is 2"),
        ('{"a":1}', "is declared list"),
    ],
)
def test_items_that_make_no_sense_fail_the_gather_when_it_is_run(tmp_path: Path, written: str, text: str) -> None:
    steps = f"""
    - {{id: find, run: "echo 'hosts={written.replace('"', chr(92) + '"')}' >> \\"$SHIPWAY_OUTPUT\\"", outputs: {{hosts: list}}}}
    - {{id: each, gather: {{items: "${{{{ steps.find.outputs.hosts }}}}", max: 2}}, run: "true", retry: 3}}
    """
    done = run(tmp_path, stage(steps))
    failed = next(result for result in done.receipt.nodes if result.outcome is Outcome.FAILED)
    assert text in failed.error
    assert len(failed.attempts) == 1
    assert done.exit_code == 1


def test_a_gather_is_planned_with_what_is_known_of_each_item(tmp_path: Path) -> None:
    steps = '- {id: each, gather: [a, b], uses: file.write, with: {path: "out/${{ item }}.txt", content: "for ${{ item }}\\n"}}'
    done = run(tmp_path, stage(steps, lasting=True))
    assert done.finished.plan is not None
    assert done.finished.plan.by_id["main/each[b]"].slots["path"] == Immediate("out/b.txt")
    assert (tmp_path / "out/b.txt").read_text() == "for b\n"


def test_a_part_of_a_gather_can_be_left_out(tmp_path: Path) -> None:
    from shipway.planning import Selection, select

    plan = run(tmp_path, stage(_echo() + "- {id: after, run: x}\n"), execute=False).finished.plan
    assert plan is not None
    _, nodes = select(plan.stages, plan.nodes, Selection(skip=("main/each",)))
    assert [(node.id, node.needs) for node in nodes] == [("main/after", ())]
    _, nodes = select(plan.stages, plan.nodes, Selection(skip=("main/each[b]",)))
    assert [node.id for node in nodes] == ["main/each", "main/each[a]", "main/each[c]", "main/after"]


def test_the_fleet_example_really_runs(tmp_path: Path) -> None:
    shutil.copytree(Path(__file__).resolve().parent.parent / "examples/fleet", tmp_path, dirs_exist_ok=True)
    done = run(tmp_path)
    assert done.exit_code == 0
    assert {result.outcome for result in done.receipt.nodes} == {Outcome.SUCCEEDED}
    assert [result.node for result in done.receipt.nodes if result.node.startswith("rollout/apps")] == [
        "rollout/apps",
        "rollout/apps[web]",
        "rollout/apps[api]",
    ]
    assert done.log("rollout/report") == "up: https://eu-1\nup: https://eu-2\nup: https://us-1\n"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["canary", "eu-1", "eu-2", "us-1"]


def test_a_large_gather_is_shown_by_what_its_iterations_have_in_common(tmp_path: Path) -> None:
    items = ", ".join(map(str, range(20)))
    gather = f"gather: {{items: [{items}], on_failure: continue}}"
    steps = f'- {{id: each, {gather}, run: test "$N" != 7, env: {{N: "${{{{ item }}}}"}}}}'
    done = run(tmp_path, stage(steps))
    plan = done.finished.plan
    assert plan is not None
    assert [(name(alike[0].id, len(alike))) for alike in folded_nodes(plan.nodes)] == ["main/each", "main/each[…] × 20"]
    shown = render_receipt(done.receipt, plan, colour=False, columns=100)
    nodes = shown.partition("longest")[0]  # whichever took longest is named there
    assert "each[…] × 19" in nodes and "each[7]" in nodes and "each[8]" not in nodes
    assert [result.node for result in done.receipt.failed] == ["main/each[7]"]
    assert "each[…] × 20" in render_plan(plan, colour=False, columns=100)
    assert '"each[…] × 20"' in flowchart(plan)
