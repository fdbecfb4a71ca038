"""Hooks: who is told what, in which order, with nothing secret in it; and that nothing a hook does changes the run."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Collection
from pathlib import Path

import pytest

from shipway.errors import UsageError
from shipway.hook import HookEvent
from shipway.hooks import HOOK_EVENTS
from shipway.plan_file import load_plan
from shipway.registry import Extension, Registry
from tests.runs import Lifeline, Ran, Setting, begin, declare, finish, run

_SECRET = "hunter2-hunter2"


class _Listener:
    """Keeps what it is told."""

    def __init__(self, told: list[tuple[str, HookEvent]], name: str, events: Collection[str] = HOOK_EVENTS) -> None:
        self.events = events
        self._told = told
        self._name = name

    def on_event(self, event: HookEvent) -> None:
        self._told.append((self._name, event))


class _Raising:
    events = ("node_finished", "run_finished")

    def on_event(self, event: HookEvent) -> None:
        raise ValueError(f"no thanks, {_SECRET}")


class _Changing:
    events = HOOK_EVENTS

    def on_event(self, event: HookEvent) -> None:
        event.node = "main/other"  # type: ignore[misc]  # that it cannot is what is shown


class _Hanging:
    events = ("node_started", "node_finished")
    never = threading.Event()

    def on_event(self, event: HookEvent) -> None:
        self.never.wait()


def _listened(root: Path, steps: str, env: dict[str, str] | None = None, more: str = "") -> tuple[Ran, list[HookEvent]]:
    told: list[tuple[str, HookEvent]] = []
    registry = Registry(scan=lambda group: ())
    registry.register_hook("listener", lambda: _Listener(told, "listener"), "the tests")
    ran = run(root, f"hooks: {{uses: [listener]}}\n{more}{steps}", Setting(env=env or {}, registry=registry))
    return ran, [event for _, event in told]


def test_g106_run_stages_and_nodes_are_told_with_their_outcomes(tmp_path: Path) -> None:
    ran, told = _listened(
        tmp_path,
        """
stages:
  one: {steps: {a: {run: "true"}, b: {run: "true", if: "false", needs: [a]}}}
  two: {needs: [one], steps: [{id: c, run: "true", lasting: false}]}
""",
    )
    assert [(event.event, event.node or event.stage, event.outcome) for event in told] == [
        ("run_started", "", ""),
        ("stage_started", "one", ""),
        ("node_started", "one/a", ""),
        ("node_finished", "one/a", "succeeded"),
        ("node_skipped", "one/b", "skipped"),
        ("stage_finished", "one", "succeeded"),
        ("stage_started", "two", ""),
        ("node_started", "two/c", ""),
        ("node_finished", "two/c", "succeeded"),
        ("stage_finished", "two", "succeeded"),
        ("run_finished", "", "succeeded"),
    ]
    assert {(event.lifecycle, event.target, event.run) for event in told} == {("test", "default", ran.receipt.run)}
    assert told[0].nodes == ("one/a", "one/b", "two/c")
    assert ran.receipt.warnings == ()


def test_g106_undo_retry_and_what_was_taken_back_are_told(tmp_path: Path) -> None:
    _, told = _listened(
        tmp_path,
        """
steps:
  - {id: kept, run: "true", undo: "true"}
  - {id: bad, run: exit 3, undo: "true", retry: {attempts: 2, initial: 1ms}}
""",
    )
    assert [(event.event, event.node, event.attempt, event.outcome) for event in told if event.node][2:] == [
        ("node_started", "main/bad", 1, ""),
        ("node_retrying", "main/bad", 1, ""),
        ("node_taken_back", "main/bad", 0, "undone"),
        ("node_started", "main/bad", 2, ""),
        ("node_failed", "main/bad", 0, "failed"),
        ("node_undone", "main/bad", 0, "undone"),
        ("node_undone", "main/kept", 0, "undone"),
    ]
    [failed] = [event for event in told if event.event == "node_failed"]
    assert (failed.stage, failed.error, failed.exit_code) == ("main", "exit 3", 3)
    assert [event.nodes for event in told if event.event == "rollback_started"] == [("main/bad", "main/kept")]
    assert told[-1].event == "run_failed"


def test_g106_a_stage_is_told_of_once_for_each_of_its_attempts(tmp_path: Path) -> None:
    _, told = _listened(
        tmp_path,
        """
stages:
  flaky:
    retry: {attempts: 2, initial: 1ms}
    steps: [{id: first, run: "true", undo: "true"}, {id: second, run: "test -e again || { touch again; exit 1; }", undo: "true"}]
""",
    )
    assert [(event.event, event.outcome) for event in told if event.event.startswith("stage_")] == [
        ("stage_started", ""),
        ("stage_retrying", ""),
        ("stage_started", ""),
        ("stage_finished", "succeeded"),
    ]


def test_g106_iterations_of_a_gather_are_told_with_their_key(tmp_path: Path) -> None:
    _, told = _listened(
        tmp_path, 'steps: [{id: each, gather: [eu, us], run: echo "$X", env: {X: "${{ item }}"}}]', more=""
    )
    ended = {(event.node, event.gather, event.key) for event in told if event.event == "node_finished"}
    assert ended == {
        ("main/each", "", ""),
        ("main/each[eu]", "main/each", "eu"),
        ("main/each[us]", "main/each", "us"),
    }


def test_nodes_that_a_node_adds_are_told(tmp_path: Path) -> None:
    _, told = _listened(
        tmp_path,
        """
steps:
  - id: list
    run: 'echo "{\\"step\\": \\"one\\", \\"key\\": \\"a\\"}" >> "$SHIPWAY_EMIT"'
    emits: {max: 2, steps: {one: {run: "true"}}}
""",
    )
    assert [(event.node, event.nodes) for event in told if event.event == "nodes_added"] == [
        ("main/list", ("main/list[a]",))
    ]


def test_g106_hooks_are_told_in_the_order_in_which_they_are_declared(tmp_path: Path) -> None:
    told: list[tuple[str, HookEvent]] = []
    registry = Registry(scan=lambda group: ())
    registry.register_hook("z", lambda: _Listener(told, "z", ("node_finished",)), "the tests")
    registry.register_hook("a", lambda: _Listener(told, "a", ("node_failed", "node_finished")), "the tests")
    text = """
hooks:
  uses: [z, a]
  on: {node_finished: echo later >> told, node_failed: echo last >> told}
steps: [{run: exit 1}]
"""
    run(tmp_path, text, Setting(registry=registry))
    assert [(name, event.event) for name, event in told] == [("z", "node_finished"), ("a", "node_failed")]
    assert (tmp_path / "told").read_text() == "later\nlast\n"


def test_g106_a_hook_that_raises_is_recorded_and_changes_nothing(tmp_path: Path) -> None:
    told: list[tuple[str, HookEvent]] = []
    registry = Registry(scan=lambda group: ())
    registry.register_hook("bad", _Raising, "the tests")
    registry.register_hook("writing", _Changing, "the tests")
    registry.register_hook("good", lambda: _Listener(told, "good"), "the tests")
    text = "secrets: [TOKEN]\nhooks: {uses: [bad, writing, good]}\nsteps: [{run: 'true'}]\n"
    ran = run(tmp_path, text, Setting(registry=registry, env={"TOKEN": _SECRET}))
    assert ran.exit_code == 0
    assert [event.node for _, event in told if event.event == "node_finished"] == ["main/true"]
    warnings = ran.receipt.warnings
    assert warnings[:2] == (
        "hook `bad`: node_finished: `main/true`: ValueError: no thanks, ***",
        "hook `bad`: run_finished: ValueError: no thanks, ***",
    )
    assert warnings[2].startswith("hook `writing`: run_started: AttributeError: immutable")


def test_a_hook_that_fails_again_and_again_is_counted(tmp_path: Path) -> None:
    registry = Registry(scan=lambda group: ())
    registry.register_hook("bad", _Raising, "the tests")
    steps = "".join(f"  s{number}: {{run: 'true'}}\n" for number in range(8))
    ran = run(tmp_path, f"hooks: {{uses: [bad]}}\nsteps:\n{steps}", Setting(registry=registry))
    assert len(ran.receipt.warnings) == 6
    assert ran.receipt.warnings[-1] == "hook `bad`: failed 4 more times"


def test_a_hook_that_hangs_is_ended_recorded_and_told_no_more(tmp_path: Path) -> None:
    registry = Registry(scan=lambda group: ())
    registry.register_hook("stuck", _Hanging, "the tests")
    text = """
hooks:
  uses: [stuck]
  on: {node_started: {run: "echo $$ >> pids; sleep 600", timeout: 1s}, run_finished: echo yes > told}
steps: [{id: a, run: "true"}, {id: b, run: "true"}]
"""
    ran = run(tmp_path, text, Setting(registry=registry, speed=20))
    assert ran.exit_code == 0
    assert sorted(ran.receipt.warnings) == [
        "hook `stuck`: node_started: `main/a`: it took longer than 10s, and is told nothing more",
        "hook on `node_started`: `main/a`: it took longer than 1s, and is told nothing more",
    ]
    assert len((tmp_path / "pids").read_text().split()) == 1
    assert (tmp_path / "told").read_text() == "yes\n"


def test_a_command_that_fails_is_recorded_with_the_end_of_what_it_said(tmp_path: Path) -> None:
    text = """
secrets: [TOKEN]
hooks: {on: {node_finished: "echo gone: hunter2-hunter2 >&2; exit 7"}}
steps: [{run: "true"}]
"""
    ran = run(tmp_path, text, Setting(env={"TOKEN": _SECRET}))
    assert ran.exit_code == 0
    assert ran.receipt.warnings == ("hook on `node_finished`: `main/true`: exit 7: gone: ***",)


def test_a_command_reads_the_event_and_is_given_the_base_environment_only(tmp_path: Path) -> None:
    text = """
secrets: [TOKEN]
hooks: {on: {node_failed: "cat > event.json; env > env.txt"}}
steps: [{id: leak, run: 'echo "it is $TOKEN"; exit 4', env: {TOKEN: "${{ secrets.TOKEN }}"}}]
"""
    env = {"TOKEN": _SECRET, "GITHUB_TOKEN": "ghs_x", "SHIPWAY_RUN": "x", "OTHER": "y"}
    run(tmp_path, text, Setting(env=env))
    event = json.loads((tmp_path / "event.json").read_text())
    assert (event["kind"], event["schema"], event["event"], event["node"]) == ("event", 1, "node_failed", "main/leak")
    assert (event["outcome"], event["exit_code"], event["tail"]) == ("failed", 4, "it is ***\n")
    assert set(event) == {"kind", "schema", *HookEvent.__struct_fields__}
    names = {line.partition("=")[0] for line in (tmp_path / "env.txt").read_text().splitlines()}
    assert names <= {"PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "USER", "SHELL", "CI", "PWD", "SHLVL", "_"}


def test_no_event_has_a_secret_in_it_not_even_one_that_was_learnt_on_the_way(tmp_path: Path) -> None:
    steps = """
secrets: [TOKEN]
steps:
  - {id: made, run: 'echo "key=made-by-a-step" >> "$SHIPWAY_OUTPUT"', outputs: {key: secret}}
  - id: said
    run: 'echo "$TOKEN $KEY"; exit 1'
    env: {TOKEN: "${{ secrets.TOKEN }}", KEY: "${{ steps.made.outputs.key }}"}
    undo: 'echo "$TOKEN"; exit 1'
"""
    _, told = _listened(tmp_path, steps, env={"TOKEN": _SECRET})
    assert any("***" in event.tail for event in told)
    assert not any(secret in repr(event) for event in told for secret in (_SECRET, "made-by-a-step"))


def test_no_event_names_a_node_by_a_secret(tmp_path: Path) -> None:
    """The key of a member is what the declaration says, which nobody has read and masked by then."""
    steps = """
secrets: [TOKEN]
steps:
  - {id: each, gather: [HIDDEN], run: 'exit 1', env: {TOKEN: "${{ secrets.TOKEN }}"}}
"""
    _, told = _listened(tmp_path, steps.replace("HIDDEN", _SECRET), env={"TOKEN": _SECRET})
    assert any(event.key == "***" for event in told)
    assert not any(_SECRET in repr(event) for event in told)


def test_hooks_of_a_plan_that_is_not_let_through_are_not_told(tmp_path: Path) -> None:
    text = """
secrets: [A]
hooks: {on: {run_started: touch told, run_failed: touch told}}
steps: [{run: ./x, env: {A: "${{ secrets.A }}"}}]
"""
    ran = run(tmp_path, text)
    assert ran.error.exit_code == 2
    assert not (tmp_path / "told").exists()


def test_hooks_stand_in_the_plan_and_are_part_of_its_effect(tmp_path: Path) -> None:
    def effect(hooks: str) -> str:
        plan = run(tmp_path, f"{hooks}\nsteps: [{{run: 'true'}}]", execute=False).finished.plan
        assert plan is not None
        assert load_plan(plan.content, lambda data: None).effect == plan.effect
        return plan.effect

    without = effect("")
    written = effect("hooks: {on: {node_failed: ./tell}}")
    assert len({without, written, effect("hooks: {on: {node_failed: {run: ./tell, timeout: 1s}}}")}) == 3
    assert effect("\n\nhooks: {on: {node_failed: ./tell}}") == written


def test_an_unknown_hook_is_refused_at_its_place(tmp_path: Path) -> None:
    registry = Registry(scan=lambda group: [Extension("statsd", "nowhere:Statsd", "some 1.0")])
    ran = run(tmp_path, "hooks:\n  uses: [statds]\nsteps: [{run: 'true'}]\n", Setting(registry=registry), execute=False)
    assert ran.error.message == "unknown hook `statds`"
    assert (str(ran.error.where), ran.error.next) == ("shipway.yml:4:10", "did you mean `statsd`?")


def test_a_hook_that_asks_for_an_event_there_is_not_is_refused() -> None:
    registry = Registry(scan=lambda group: ())
    registry.register_hook("odd", lambda: _Listener([], "odd", ("node_fail",)), "the tests")
    with pytest.raises(UsageError, match="wants to be told of `node_fail`") as caught:
        registry.make_hook("odd")
    assert caught.value.next == "did you mean `node_failed`?"


def test_a_run_that_is_stopped_does_not_wait_for_its_hooks_and_counts_what_they_were_not_told(tmp_path: Path) -> None:
    declare(
        tmp_path,
        """
hooks: {on: {node_started: {run: "exec 9> told; echo >&9; sleep 600", timeout: 10m}, run_finished: touch finished}}
steps: [{id: a, run: sleep 600}]
""",
    )
    told = Lifeline(tmp_path / "told")
    process = begin(tmp_path, "run", "--yes", "--json")
    told.wait()
    process.send_signal(signal.SIGINT)
    done = finish(process)
    assert done.exit_code == 130, done
    warnings = json.loads(done.out)["warnings"]
    assert "hook on `node_started`: `main/a`: it was ended, since the run was over" in warnings
    assert "hook on `run_finished`: was not told of 1 more event: there was no time left" in warnings
    assert not told.is_held()


def test_nothing_is_looked_for_where_there_are_no_hooks(tmp_path: Path) -> None:
    asked: list[str] = []

    def scan(group: str) -> list[Extension]:
        asked.append(group)
        return []

    threads = threading.active_count()
    ran = run(tmp_path, "steps: [{run: 'true'}]", Setting(registry=Registry(scan=scan)))
    assert (ran.exit_code, asked) == (0, [])
    assert threading.active_count() == threads
