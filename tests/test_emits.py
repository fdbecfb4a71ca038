"""Shows steps that a step adds to its run: all of them with its success, or none, and each under it in the receipt."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shipway.action import Done, Work
from shipway.additions import additions
from shipway.canonical import Json, canonical_bytes
from shipway.events import NodesAdded
from shipway.nodes import Fidelity, Need, NeedKind, Outcome
from shipway.plan_file import load_plan
from shipway.reopening import Wish
from shipway.room import Bounds, Item
from shipway.scheduler import Scheduler
from shipway.takeover import GoOn
from tests.kills import Mortals
from tests.runs import Ran, journal_of, run, stage
from tests.test_executor import Thing, with_actions
from tests.test_resume import resume


@pytest.fixture(scope="module")
def mortals() -> Iterator[Mortals]:
    with Mortals() as found:
        yield found


def _emitting(*lines: object, more: str = "", script: str = "true", most: int = 10) -> str:
    written = "\n    ".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    return f"""
- id: find
  run: |
    cat >> "$SHIPWAY_EMIT" <<'END'
    {written}
    END
    {script}
  emits:
    max: {most}
    steps:
      deploy: {{run: 'echo "deploy $N" >> told', undo: 'echo "undo $N" >> told', env: {{N: "${{{{ item.n }}}}"}}}}
      check: {{run: 'echo "check $N" >> told', env: {{N: "${{{{ item }}}}"}}, lasting: false}}
{more}
"""


def _run(root: Path, *lines: object, **keys: object) -> Ran:
    return run(root, stage(_emitting(*lines, **keys)))  # type: ignore[arg-type]


def _tried(attempts: int, steps: str) -> str:
    return steps.replace("  emits:", f"  retry: {{attempts: {attempts}, initial: 1ms}}\n  emits:")


def _told(root: Path) -> list[str]:
    path = root / "told"
    return path.read_text().splitlines() if path.exists() else []


# What is added.


def test_d029_after_the_step_its_children_are_there_run_and_are_listed_by_it(tmp_path: Path) -> None:
    done = _run(tmp_path, {"step": "deploy", "key": "eu/1", "values": {"n": 1}}, {"step": "check", "values": "x"})
    assert done.outcomes == {"find": "succeeded", "find[eu%2F1]": "succeeded", "find[001]": "succeeded"}
    assert done["main/find"].emitted == ("main/find[eu%2F1]", "main/find[001]")
    assert sorted(_told(tmp_path)) == ["check x", "deploy 1"]
    assert [event.added for event in done.events if isinstance(event, NodesAdded)] == [done["main/find"].emitted]
    assert done.exit_code == 0


def test_case_52_a_receipt_has_what_was_planned_and_added_each_once_and_says_what_blocked(tmp_path: Path) -> None:
    more = """
- {id: left-out, run: 'true', if: 'false'}
- {id: fails, run: exit 1, lasting: false}
- {id: waits, run: 'true'}
- {id: waits-on, run: 'true'}
"""
    done = _run(tmp_path, {"step": "deploy", "values": {"n": 1}}, {"step": "check", "values": "x"}, more=more)
    plan = done.finished.plan
    assert plan is not None
    listed = [result.node for result in done.receipt.nodes]
    assert len(listed) == len(set(listed))
    assert set(listed) == {node.id for node in plan.nodes} | set(done["main/find"].emitted)
    assert len(done["main/find"].emitted) == 2
    assert all(isinstance(result.outcome, Outcome) for result in done.receipt.nodes)
    blocked = {result.node: result.cause for result in done.receipt.nodes if result.outcome is Outcome.BLOCKED}
    assert blocked == {"main/waits": "main/fails", "main/waits-on": "main/fails"}


def test_d030_without_an_id_they_are_numbered_and_without_needs_ready_at_once(tmp_path: Path) -> None:
    done = _run(tmp_path, *({"step": "check", "values": n} for n in range(3)))
    assert list(done.outcomes) == ["find", "find[001]", "find[002]", "find[003]"]


def test_d030_a_child_may_need_the_step_that_adds_it_its_siblings_and_steps_beside_it(tmp_path: Path) -> None:
    steps = _emitting(
        {"step": "check", "key": "last", "values": 3, "needs": ["first", "find", "slow"]},
        {"step": "check", "key": "first", "values": 1},
    )
    mapping = "find:" + steps.split("- id: find", 1)[1] + 'slow: {run: "sleep 0.1; echo slow >> told"}\n'
    done = run(tmp_path, "defaults: {parallel: 4}\n" + stage(mapping))
    assert done.outcomes["find[last]"] == "succeeded", done["main/find"].error
    assert _told(tmp_path)[-1] == "check 3"


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (
            {"step": "deplo"},
            "line 1 of $SHIPWAY_EMIT names `deplo`, which is not declared under `emits`; did you mean `deploy`?",
        ),
        ({"values": 1}, "line 1 of $SHIPWAY_EMIT names no step; declared: `deploy`, `check`"),
        ({"step": "check", "ky": 1}, "line 1 of $SHIPWAY_EMIT: unknown key `ky`; did you mean `key`?"),
        ({"step": "check", "key": ""}, "line 1 of $SHIPWAY_EMIT: `key` is a text"),
        ({"step": "check", "key": "x" * 129}, "line 1 of $SHIPWAY_EMIT: `key` is longer than 128 characters"),
        ({"step": "check", "needs": "a"}, "line 1 of $SHIPWAY_EMIT: `needs` is a list of texts"),
        (["check"], 'line 1 of $SHIPWAY_EMIT is no object: write {"step": …, "values": …}'),
        ("no json", "line 1 of $SHIPWAY_EMIT is not JSON"),
        ('{"step": "check", "values": NaN}', "line 1 of $SHIPWAY_EMIT is not JSON"),
        ({"step": "check", "needs": ["nobody"]}, "`needs` names `nobody`, which is no node of this run"),
    ],
)
def test_d030_d034_a_line_that_makes_no_sense_fails_the_step_and_nothing_is_added(
    tmp_path: Path, line: object, error: str
) -> None:
    done = _run(tmp_path, line)
    assert done["main/find"].outcome is Outcome.FAILED
    assert error in done["main/find"].error
    assert list(done.outcomes) == ["find"]


def test_d031_a_failure_drops_the_children_with_the_outputs(tmp_path: Path) -> None:
    done = _run(tmp_path, {"step": "check", "values": 1}, script="exit 3")
    assert done.outcomes == {"find": "failed"}
    assert _told(tmp_path) == []


def test_d031_what_an_attempt_added_that_failed_is_not_added_by_the_next(tmp_path: Path) -> None:
    script = "test -e tried || { touch tried; exit 1; }"
    steps = _tried(2, _emitting({"step": "check", "values": 1}, script=script))
    done = run(tmp_path, stage(steps))
    assert done.outcomes == {"find": "succeeded", "find[001]": "succeeded"}


@pytest.mark.parametrize("name", ["commit.begin", "commit.written", "commit.done"])
def test_d032_killed_around_the_commit_there_is_no_child_or_all_of_them_and_none_twice(
    tmp_path: Path, mortals: Mortals, name: str
) -> None:
    text = stage(_emitting({"step": "check", "key": "a", "values": 1}, {"step": "check", "key": "b", "values": 2}))
    for number in count(1):
        root = tmp_path / f"{name}-{number}"
        root.mkdir()
        (root / "shipway.yml").write_text("version: 1\nname: test\n" + text)
        if not mortals.run(root, number, at=name).was_killed:
            assert number > 3, "the start, the end with its children, and the ends of these"
            break
        again = resume(root)
        assert again.outcomes == {"find": "succeeded", "find[a]": "succeeded", "find[b]": "succeeded"}, (
            again.finished.error
        )
        assert again["main/find"].emitted or len(again["main/find"].attempts) == 1
        assert sorted(set(_told(root))) == ["check 1", "check 2"]


def test_d032_on_resume_what_was_added_is_there_and_what_succeeded_is_not_done_again(tmp_path: Path) -> None:
    lines = [{"step": "deploy", "key": key, "values": {"n": key}} for key in "ab"]
    more = "- {id: after, run: 'echo after >> told; test -e mended'}"
    first = run(tmp_path, stage(_emitting(*lines, more=more), more="defaults: {rollback: none}"))
    assert first.outcomes["after"] == "failed"
    (tmp_path / "mended").touch()
    again = resume(tmp_path)
    assert set(again.outcomes.values()) == {"succeeded"}, again.finished.error
    told = _told(tmp_path)
    assert (sorted(told[:2]), told[2:]) == (["deploy a", "deploy b"], ["after", "after"])


def test_a_gather_that_failed_goes_on_where_it_was(tmp_path: Path) -> None:
    steps = """
    - {id: list, run: "echo 'l=[1,2,3]' >> \\"$SHIPWAY_OUTPUT\\"", outputs: {l: list}}
    - id: each
      gather: "${{ steps.list.outputs.l }}"
      env: {N: "${{ item }}"}
      run: echo "$N" >> told; test "$N" != 2 -o -e mended; echo "v=$N" >> "$SHIPWAY_OUTPUT"
      outputs: {v: integer}
    - {id: known, gather: [1, 2], run: 'echo "k$N" >> told', env: {N: "${{ item }}"}}
    - {id: after, run: 'echo "all $ALL" >> told', env: {ALL: "${{ join(steps.each.outputs.v) }}"}}
    """
    first = run(tmp_path, stage(steps, more="defaults: {rollback: none}"))
    assert first.outcomes["each[2]"] == "failed"
    (tmp_path / "mended").touch()
    again = resume(tmp_path)
    assert set(again.outcomes.values()) == {"succeeded"}, again.finished.error
    assert _told(tmp_path) == ["1", "2", "2", "3", "k1", "k2", "all 1,2,3"]


def test_d033_the_same_line_twice_counts_once_and_another_of_that_key_is_a_conflict_for_good(tmp_path: Path) -> None:
    line = {"step": "check", "key": "a", "values": 1}
    same, other = tmp_path / "same", tmp_path / "other"
    same.mkdir()
    other.mkdir()
    assert list(_run(same, line, line).outcomes) == ["find", "find[a]"]
    steps = _tried(3, _emitting(line, {**line, "values": 2}))
    done = run(other, stage(steps))
    assert done["main/find"].error == "emit_conflict: line 2 of $SHIPWAY_EMIT adds `a` once more, and not the same"
    assert len(done["main/find"].attempts) == 1


@pytest.mark.parametrize("needs", [["after"], ["b"]])
def test_d034_a_circle_fails_the_step_that_would_close_it(tmp_path: Path, needs: list[str]) -> None:
    lines = [{"step": "check", "key": "a", "needs": needs}, {"step": "check", "key": "b", "needs": ["a"]}]
    done = _run(tmp_path, *lines, more="- {id: after, run: touch after}")
    assert done["main/find"].outcome is Outcome.FAILED
    assert "circle" in done["main/find"].error
    assert done.outcomes["after"] == "blocked"


def test_d034_more_than_the_bound_fails_naming_it(tmp_path: Path) -> None:
    done = _run(tmp_path, *({"step": "check", "values": n} for n in range(4)), most=3)
    assert "adds more than 3, the `max` of `emits`" in done["main/find"].error


def test_d035_they_are_announced_in_the_plan_and_part_of_its_effect(tmp_path: Path) -> None:
    text = stage(_emitting({"step": "check", "values": 1}))
    plan = run(tmp_path, text, execute=False).finished.plan
    assert plan is not None
    node = plan.by_id["main/find"]
    assert (node.emits, sorted(node.templates), node.fidelity) == (10, ["check", "deploy"], Fidelity.OPAQUE)
    assert [each.id for each in node.all_templates()] == ["main/find[?]", "main/find[?]"]
    for changed in (text.replace("max: 10", "max: 11"), text.replace("check $N", "check! $N")):
        other = run(tmp_path, changed, execute=False).finished.plan
        assert other is not None and other.effect != plan.effect
    read = load_plan(canonical_bytes(plan.document), lambda data: None)
    assert read.document == plan.document


def test_what_needs_the_step_waits_for_all_it_added_and_what_takes_its_outputs_does_not(tmp_path: Path) -> None:
    steps = """
    find:
      run: |
        echo '{"key": "a"}' >> "$SHIPWAY_EMIT"; echo "n=1" >> "$SHIPWAY_OUTPUT"
      outputs: {n: integer}
      emits: {steps: {slow: {run: 'while ! test -e taken; do sleep 0.01; done; echo slow >> told'}}}
    takes: {run: 'touch taken', env: {N: "${{ steps.find.outputs.n }}"}}
    needs: {run: echo needs >> told, needs: [find]}
    """
    done = run(tmp_path, "defaults: {parallel: 4}\n" + stage(steps))
    assert _told(tmp_path) == ["slow", "needs"]
    assert done.exit_code == 0


def test_what_was_added_is_undone_with_the_rest_the_last_first(tmp_path: Path) -> None:
    lines = [
        {"step": "deploy", "key": key, "values": {"n": key}, "needs": needs} for key, needs in (("a", []), ("b", ["a"]))
    ]
    done = run(tmp_path, stage(_emitting(*lines, more='- {id: after, run: "false"}'), lasting=True))
    assert _told(tmp_path) == ["deploy a", "deploy b", "undo b", "undo a"]
    assert [entry.node for entry in done.receipt.rollback][1:3] == ["main/find[b]", "main/find[a]"]


_BODY = """
- id: find
  run: |
    echo '{"key": "x", "values": {"hosts":["a","b"]}}' >> "$SHIPWAY_EMIT"
  emits:
    steps:
      app:
        steps:
          - id: each
            gather: "${{ item.hosts }}"
            env: {H: "${{ item }}", A: "${{ items.find.hosts[0] }}"}
            run: echo "$H $A" >> told
          - id: more
            run: |
              echo '{"values": 7}' >> "$SHIPWAY_EMIT"
            emits: {steps: {deep: {run: 'echo "deep $N" >> told', env: {N: "${{ item }}"}}}}
"""


def test_a_body_may_be_added_and_may_gather_and_add_in_turn(tmp_path: Path) -> None:
    done = run(tmp_path, stage(_BODY))
    assert list(done.outcomes) == [
        "find",
        "find[x]",
        "find[x]/each",
        "find[x]/each[a]",
        "find[x]/each[b]",
        "find[x]/more",
        "find[x]/more[001]",
    ], done["main/find"].error
    assert _told(tmp_path) == ["a a", "b a", "deep 7"]


def test_when_its_stage_is_tried_again_what_is_not_added_again_is_skipped(tmp_path: Path) -> None:
    text = """
    stages:
      one:
        lasting: false
        retry: {attempts: 2, initial: 1ms}
        steps:
          - id: find
            run: |
              echo '{"key": "a"}' >> "$SHIPWAY_EMIT"; test -e tried || echo '{"key": "b"}' >> "$SHIPWAY_EMIT"
            emits: {steps: {check: {run: echo x >> told}}}
          - {id: after, run: "test -e tried || { touch tried; false; }"}
    """
    done = run(tmp_path, text)
    assert {node: result.outcome.value for node, result in done.receipt.by_id.items()} == {
        "one/find": "succeeded",
        "one/find[a]": "succeeded",
        "one/find[b]": "skipped",
        "one/after": "succeeded",
    }
    assert _told(tmp_path) == ["x", "x", "x"]


# The scheduler.


@st.composite
def _growing(draw: st.DrawFn) -> tuple[list[Item], dict[str, list[Item]]]:
    """Nodes in order of need, some of which add others that need each other or nodes that came before."""
    names = [f"m/n{number}" for number in range(draw(st.integers(1, 5)))]
    items, added = [], {}
    for place, name in enumerate(names):
        before = [each for each in names[:place] if draw(st.booleans())]
        gated = [each + "[*]" for each in names[:place] if draw(st.booleans())]
        items.append(Item(name, tuple(Need(each) for each in (*before, *gated)), "m"))
        children: list[Item] = []
        for number in range(draw(st.integers(0, 3))):
            needs = [Need(name, NeedKind.WITHIN), *(Need(child.id) for child in children if draw(st.booleans()))]
            needs += [Need(each) for each in names[:place] if draw(st.booleans())]
            children.append(Item(f"{name}[{number}]", tuple(needs), "m"))
        added[name] = children
    gates = [Item(name + "[*]", (Need(name, NeedKind.ORDER),), "m", gate=True, is_body=True) for name in names]
    return [*items, *gates], added


@settings(max_examples=300, deadline=None)
@given(_growing(), st.integers(1, 3), st.sets(st.integers(0, 30)))
def test_whatever_is_added_runs_once_after_what_it_needs_and_before_what_waits_for_it(
    growing: tuple[list[Item], dict[str, list[Item]]], parallel: int, failing: set[int]
) -> None:
    items, added = growing
    scheduler = Scheduler(items, Bounds(parallel))
    ended: dict[str, Outcome] = {}
    running: list[str] = []
    known = {item.id: item for item in items}
    count = 0
    while not scheduler.finished:
        for dispatch in scheduler.dispatch():
            for need in known[dispatch.id].needs:
                assert need.node in ended, f"{dispatch.id} before {need.node}"
            running.append(dispatch.id)
        assert len(running) <= parallel
        if not running:
            scheduler.settle()
        else:
            node = running.pop(0)
            outcome = Outcome.FAILED if count in failing else Outcome.SUCCEEDED
            count += 1
            children = added.get(node, [])
            if outcome is Outcome.SUCCEEDED and children:
                scheduler.grow(node + "[*]", children, [child.id for child in children], {})
                known |= {child.id: child for child in children}
            assert node not in ended
            ended[node] = outcome
            scheduler.finish(node, outcome)
        for decision in scheduler.decided():
            assert decision.id not in ended
            ended[decision.id] = decision.outcome
            if decision.id.endswith("[*]"):
                owner = decision.id[:-3]
                inside = [owner, *(child.id for child in added.get(owner, []) if child.id in known)]
                assert all(each in ended for each in inside)
    assert set(ended) == set(known)
    if not failing:
        assert set(ended.values()) == {Outcome.SUCCEEDED}


def test_what_cannot_be_added_leaves_everything_as_it_was() -> None:
    items = [Item("a"), Item("b", (Need("a[*]"),)), Item("a[*]", (Need("a"),), gate=True, is_body=True)]
    scheduler = Scheduler(items, Bounds(2))
    scheduler.dispatch()
    for child in (Item("b"), Item("c", (Need("b"),)), Item("c", (Need("x"),)), Item("c", (Need("c"),))):
        with pytest.raises(ValueError):
            scheduler.grow("a[*]", [child], [child.id], {})
    scheduler.finish("a", Outcome.SUCCEEDED)
    assert [dispatch.id for dispatch in scheduler.dispatch()] == ["b"]


def test_what_more_waits_behind_goes_first() -> None:
    known = {"a": 0, "a[*]": 1}
    found = additions(
        known, [Item("x", (Need("a"),)), Item("y", (Need("a"),)), Item("z", (Need("y"),))], ["x", "z"], ["a[*]"]
    )
    assert found.urgencies(1, 5, 4) == [(6, 4), (7, 5), (6, 4)]


_WRITES = """
- id: find
  run: |
    cat >> "$SHIPWAY_EMIT" <<'END'
    {lines}
    END
  undo: "true"
  emits: {{max: 5, steps: {{put: {{uses: file.write, with: {{path: "${{{{ item }}}}", content: x}}}}}}}}
"""


@pytest.mark.parametrize(
    ("keys", "second", "more", "conflict"),
    [
        ("ab", "out/one", "", True),
        ("ab", "out/two", "", False),
        ("ab", "out/one", "needs", False),
        ("a", "", "beside", True),
        ("a", "", "before", False),
    ],
)
def test_what_is_added_and_writes_one_file_in_no_order_with_another_is_a_conflict(
    tmp_path: Path, keys: str, second: str, more: str, conflict: bool
) -> None:
    lines: list[dict[str, object]] = [{"step": "put", "key": "a", "values": "out/one"}]
    if second:
        lines.append({"step": "put", "key": "b", "values": second} | ({"needs": ["a"]} if more == "needs" else {}))
    steps = "find:" + _WRITES.format(lines="\n    ".join(map(json.dumps, lines))).split("- id: find", 1)[1]
    if more in ("beside", "before"):
        steps += "other: {uses: file.write, with: {path: out/one, content: y}}\n"
        steps = steps.replace('  undo: "true"', '  undo: "true"\n  needs: [other]') if more == "before" else steps
    done = run(tmp_path, stage(steps))
    assert (done.outcomes["find"] == "succeeded") is not conflict, done["main/find"].error
    if conflict:
        assert done["main/find"].error.startswith("emit_conflict: ") and "out/one" in done["main/find"].error
        assert done["main/find"].emitted == ()


# By an action in this process.

FINDS = """
- id: find
  uses: test.find
  emits:
    max: 2
    steps:
      deploy: {run: 'echo "deploy $N" >> told', undo: 'echo "undo $N" >> told', env: {N: "${{ item.n }}"}}
- id: last
  run: echo last >> told
"""


class Finder(Thing):
    """An action that may add steps: those that it is made with."""

    is_emitting: Literal[True] = True

    def __init__(
        self,
        *entries: Mapping[str, Json],
        undo: Callable[[Work], None] = lambda work: None,
        asked: list[str] | None = None,
    ) -> None:
        def do(work: Work) -> Done:
            if asked is not None:
                asked.append(work.node.id)
            return Done(undo={"was": 1}, emitted=entries)

        super().__init__("test.find", do, undo)


def test_d029_an_action_in_this_process_adds_children_with_its_success(tmp_path: Path) -> None:
    finder = Finder({"key": "a", "values": {"n": 1}}, {"values": {"n": 2}, "needs": ["a"]})
    done = run(tmp_path, stage(FINDS), with_actions(finder))
    assert done.outcomes == {"find": "succeeded", "last": "succeeded", "find[a]": "succeeded", "find[001]": "succeeded"}
    assert done["main/find"].emitted == ("main/find[a]", "main/find[001]")
    assert _told(tmp_path) == ["deploy 1", "deploy 2", "last"], "what comes next waits for all that was added"


@pytest.mark.parametrize(
    ("entries", "error"),
    [
        (({"step": "deplo"},), "entry 1 of `Done.emitted` names `deplo`, which is not declared under `emits`"),
        (({"key": "a"}, {"nedds": []}), "entry 2 of `Done.emitted`: unknown key `nedds`; did you mean `needs`?"),
        (({"values": float("nan")},), "entry 1 of `Done.emitted` is not JSON"),
        (({"key": "a"}, {"key": "a", "values": 1}), "emit_conflict: entry 2 of `Done.emitted` adds `a` once more"),
        (({}, {}, {}), "its action adds more than 2, the `max` of `emits`"),
        (({"needs": ["nobody"]},), "`needs` names `nobody`"),
    ],
)
def test_d031_what_it_may_not_add_fails_it_adds_nothing_and_is_undone(
    entries: tuple[Mapping[str, Json], ...], error: str, tmp_path: Path
) -> None:
    undone: list[Json] = []
    finder = Finder(*entries, undo=lambda work: undone.append(work.state))
    done = run(tmp_path, stage(FINDS, lasting=True), with_actions(finder))
    assert error in done["main/find"].error
    assert set(done.outcomes) == {"find", "last"} and done.outcomes["last"] == "blocked"
    assert undone == [{"was": 1}]


def test_what_an_action_adds_that_its_step_does_not_declare_fails_it(tmp_path: Path) -> None:
    done = run(tmp_path, stage("- {id: find, uses: test.find}"), with_actions(Finder({"key": "a"})))
    assert "the step declares none under `emits`" in done["main/find"].error


def test_emits_of_an_action_that_never_adds_steps_is_refused_when_planned(tmp_path: Path) -> None:
    steps = """
- id: write
  uses: file.write
  with: {path: x, content: x}
  emits: {steps: {one: {run: 'true'}, two: {run: 'true'}}}
"""
    refused = run(tmp_path, stage(steps)).error
    assert [problem.text for problem in refused.problems] == ["`file.write` of `main/write` never adds steps to a run"]
    assert "let a `run` find out what to add" in refused.problems[0].hint


def test_d032_what_an_action_added_is_there_when_its_run_is_gone_on_with_and_is_not_asked_for_again(
    tmp_path: Path,
) -> None:
    steps = FINDS.replace("run: 'echo", "run: 'test -e mended && echo")
    setting = with_actions(Finder({"key": "a", "values": {"n": 1}}))
    failed = run(tmp_path, "defaults: {rollback: none}\n" + stage(steps), setting)
    assert failed.outcomes["find"] == "succeeded" and failed.outcomes["find[a]"] == "failed"
    (tmp_path / "mended").touch()
    name = journal_of(tmp_path).runs()[0].run
    asked: list[str] = []
    again = Finder(asked=asked)
    setting = replace(with_actions(again), go_on=GoOn(name, Wish({}, None)))
    done = run(tmp_path, None, setting)
    assert done.outcomes == {"find": "succeeded", "last": "succeeded", "find[a]": "succeeded"}
    assert asked == [] and _told(tmp_path) == ["deploy 1", "last"]
