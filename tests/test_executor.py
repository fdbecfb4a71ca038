"""Shows with real children what becomes of nodes when some fail, take too long, are stopped or have nothing to do."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import pytest

from shipway.action import ActionFailed, Done, PlanWork, Prediction, SlotRule, Work
from shipway.attempt import Grace
from shipway.declaration import OutputRule
from shipway.events import Event, NodeFinished, NodeOutput, NodeRetrying, NodeStarted, NodeStillRunning, Stopping
from shipway.interruption import Interruption
from shipway.nodes import Change, Fidelity, Outcome, Verified
from shipway.registry import Registry
from tests.runs import Lifeline, Setting, run, stage


class Thing:
    """An action on a thread that does what a test says."""

    runs_in: Literal["thread"] = "thread"
    contract = 1

    def __init__(
        self, name: str, do: Callable[[Work], Done], undo: Callable[[Work], None] = lambda work: None, **outputs: str
    ) -> None:
        self.name = name
        self.slots: Mapping[str, SlotRule] = {}
        self.outputs: Mapping[str, OutputRule] = {output: OutputRule(kind) for output, kind in outputs.items()}
        self._do = do
        self._undo = undo

    def plan(self, work: PlanWork) -> Prediction:
        return Prediction(Change.UPDATE, Fidelity.EXACT, reversible=True)

    def do(self, work: Work) -> Done:
        return self._do(work)

    def undo(self, work: Work) -> None:
        self._undo(work)

    def verify(self, work: Work) -> Verified:
        return Verified.UNKNOWN


def with_actions(*things: Thing) -> Setting:
    registry = Registry()
    for thing in things:
        registry.register_action(thing, "test")
    return Setting(registry=registry)


# Order and what runs at once.


def test_g024_nodes_run_as_their_edges_say_in_whatever_order_they_are_declared(tmp_path: Path) -> None:
    ran = run(
        tmp_path,
        stage("""
            c: {run: echo c >> order, needs: [b]}
            b: {run: echo b >> order, needs: [a]}
            a: {run: echo a >> order}
        """),
    )
    assert (tmp_path / "order").read_text().split() == ["a", "b", "c"]
    assert ran.exit_code == 0


def test_g025_independent_nodes_run_at_the_same_time(tmp_path: Path) -> None:
    # Each waits for the other: one after the other they would wait for ever, and time out.
    os.mkfifo(tmp_path / "ab")
    os.mkfifo(tmp_path / "ba")
    ran = run(
        tmp_path,
        stage(
            """
            a: {run: "read -r _ < ba; echo a > ab"}
            b: {run: "echo b > ba; read -r _ < ab"}
            """,
            defaults="timeout: 20s",
        ),
    )
    assert ran.outcomes == {"a": "succeeded", "b": "succeeded"}
    assert ran.started == ["a", "b"]


def test_g025_nodes_of_equal_priority_start_in_declared_order(tmp_path: Path) -> None:
    names = [f"n{number}" for number in (3, 1, 4, 2, 9, 0)]
    ran = run(tmp_path, stage("\n".join(f"{name}: {{run: 'true'}}" for name in names), defaults="parallel: 1"))
    assert ran.started == names


def test_g026_a_rendered_text_reaches_the_file_that_is_written(tmp_path: Path) -> None:
    (tmp_path / "hello.j2").write_text("Hello {{ name }}!")
    ran = run(
        tmp_path,
        stage("""
            - {id: note, uses: template.render, with: {source: hello.j2, template_data: {name: david}}}
            - {id: write, uses: file.write, with: {path: out/hello, content: "${{ steps.note.outputs.content }}"}}
        """),
    )
    assert (tmp_path / "out/hello").read_text() == "Hello david!"
    assert ran.exit_code == 0


@pytest.mark.parametrize(
    ("more", "step", "most"),
    [
        ("defaults: {parallel: 2}", "", 2),
        ("limits: {docker: {parallel: 2}}", "limits: [docker], ", 2),
        ("", "exclusive: true, ", 1),
    ],
)
def test_limits_and_exclusive_bound_what_runs_at_once(tmp_path: Path, more: str, step: str, most: int) -> None:
    ran = run(tmp_path, stage("\n".join(f"n{n}: {{{step}run: 'true'}}" for n in range(8)), more=more))
    assert ran.most_at_once() == most
    assert set(ran.outcomes.values()) == {"succeeded"}


def test_c024_parallel_of_a_stage_bounds_that_stage_only(tmp_path: Path) -> None:
    text = """
        stages:
          one: {parallel: 1, lasting: false, steps: {a: {run: read -r _ < go}, b: {run: "true"}}}
          two: {lasting: false, steps: {c: {run: echo > go}}}
    """
    # Stage one is held by its first node until stage two has let it go; its second must not have started by then.
    os.mkfifo(tmp_path / "go")
    ran = run(tmp_path, text)
    order = [
        (type(event).__name__, event.node) for event in ran.events if isinstance(event, NodeStarted | NodeFinished)
    ]
    assert order.index(("NodeFinished", "one/a")) < order.index(("NodeStarted", "one/b"))
    assert ran.exit_code == 0


def test_a_thousand_steps_may_write_at_once(tmp_path: Path) -> None:
    steps = "\n".join(f"n{n}: {{run: 'printf %05000d {n}'}}" for n in range(1000))
    ran = run(tmp_path, stage(steps, defaults="parallel: 1000"))
    assert set(ran.outcomes.values()) == {"succeeded"}
    assert all(ran.log(f"main/n{n}") == f"{n:05000d}" for n in range(1000))


# Failure.


def test_c026_cancel_stops_the_others_and_blames_the_first(tmp_path: Path) -> None:
    listening, deaf = Lifeline(tmp_path / "listening"), Lifeline(tmp_path / "deaf")
    ran = run(
        tmp_path,
        stage(
            """
            bad: {run: "until [ -e l ] && [ -e d ]; do :; done; exit 7"}
            listens: {run: "exec 9> listening; trap 'exit 0' INT; touch l; while :; do sleep 0.05; done"}
            deaf: {run: "exec 9> deaf; trap '' INT TERM; touch d; while :; do sleep 60; done"}
            later: {run: "true", needs: [listens]}
            """,
            defaults="on_failure: cancel",
        ),
    )
    assert ran.outcomes == {"bad": "failed", "listens": "cancelled", "deaf": "cancelled", "later": "not_started"}
    assert [result.node for result in ran.receipt.failed] == ["main/bad"]
    [stopping] = [event for event in ran.events if isinstance(event, Stopping)]
    assert set(stopping.nodes) == {"main/listens", "main/deaf"}
    assert not listening.is_held() and not deaf.is_held()
    assert ran.exit_code == 1


def test_c027_drain_lets_what_started_finish_and_starts_only_what_asks_for_it(tmp_path: Path) -> None:
    ran = run(
        tmp_path,
        stage("""
            bad: {run: "until [ -e started ]; do :; done; exit 1"}
            peer: {run: "touch started; until [ -e bad-ended ]; do :; done"}
            after-peer: {run: touch never, needs: [peer]}
            told: {run: touch bad-ended, needs: [bad], if: failure()}
            always: {run: "true", needs: [after-peer], if: always()}
            good-only: {run: "true", needs: [bad], if: success()}
        """),
    )
    assert ran.outcomes == {
        "bad": "failed",
        "peer": "succeeded",
        "after-peer": "not_started",
        "told": "succeeded",
        "always": "succeeded",
        "good-only": "blocked",
    }
    assert not (tmp_path / "never").exists()


def test_c028_continue_reports_every_failure_and_runs_what_is_independent(tmp_path: Path) -> None:
    ran = run(
        tmp_path,
        stage(
            'a: {run: exit 1}\nb: {run: exit 2}\nc: {run: "true"}\nd: {run: "true", needs: [c]}',
            defaults="on_failure: continue, parallel: 1",
        ),
    )
    assert ran.outcomes == {"a": "failed", "b": "failed", "c": "succeeded", "d": "succeeded"}
    assert [(result.node, result.error) for result in ran.receipt.failed] == [
        ("main/a", "exit 1"),
        ("main/b", "exit 2"),
    ]


def test_c029_what_waits_for_a_failure_is_blocked_by_its_first_cause(tmp_path: Path) -> None:
    ran = run(
        tmp_path,
        stage(
            'a: {run: exit 1}\nb: {run: "true", needs: [a]}\nc: {run: "true", needs: [b]}',
            defaults="on_failure: continue",
        ),
    )
    assert ran.outcomes == {"a": "failed", "b": "blocked", "c": "blocked"}
    assert ran["main/b"].cause == ran["main/c"].cause == "main/a"
    assert [result.node for result in ran.receipt.failed] == ["main/a"]


def test_c030_d073_optional_needs_are_met_by_any_end_and_required_ones_by_success_only(tmp_path: Path) -> None:
    ran = run(
        tmp_path,
        stage(
            """
            good: {run: "true"}
            bad: {run: exit 1}
            blocked: {run: "true", needs: [bad]}
            anyway: {run: "true", optional_needs: [good, bad, blocked]}
            """,
            defaults="on_failure: continue",
        ),
    )
    assert ran.outcomes == {"good": "succeeded", "bad": "failed", "blocked": "blocked", "anyway": "succeeded"}


@pytest.mark.parametrize("policy", ["drain", "cancel", "continue"])
def test_c030_d074_a_tolerated_failure_is_shown_and_the_run_still_succeeds(tmp_path: Path, policy: str) -> None:
    ran = run(
        tmp_path,
        stage(
            """
            - {id: shaky, run: exit 3, allow_failure: true}
            - {id: next, run: "true"}
            """,
            defaults=f"on_failure: {policy}",
        ),
    )
    assert ran.outcomes == {"shaky": "failed", "next": "succeeded"}
    assert ran["main/shaky"].error == "exit 3"
    assert ran.exit_code == 0
    assert not [event for event in ran.events if isinstance(event, Stopping)]


def test_c030_what_takes_an_output_of_a_tolerated_failure_is_blocked(tmp_path: Path) -> None:
    ran = run(
        tmp_path,
        stage("""
            shaky: {run: exit 3, allow_failure: true, outputs: {v: string}}
            takes: {run: "true", env: {V: "${{ steps.shaky.outputs.v }}"}}
        """),
    )
    assert ran.outcomes == {"shaky": "failed", "takes": "blocked"}
    assert ran.exit_code == 0


def test_c031_a_join_is_blocked_at_the_first_failure(tmp_path: Path) -> None:
    ran = run(
        tmp_path,
        stage(
            """
            a: {run: exit 1}
            b: {run: "until [ -e blocked ]; do :; done"}
            join: {run: "true", needs: [a, b]}
            """,
            defaults="timeout: 20s",
        ),
        Setting(subscribers=[_touch_when(tmp_path / "blocked", "main/join", "blocked")]),
    )
    assert ran.outcomes == {"a": "failed", "b": "succeeded", "join": "blocked"}


def _touch_when(path: Path, node: str, outcome: str) -> Callable[[Event], None]:
    def subscriber(event: Event) -> None:
        if isinstance(event, NodeFinished) and (event.node, event.outcome) == (node, outcome):
            path.touch()

    return subscriber


def test_g028_continue_undoes_the_failed_stage_and_blocks_what_needed_it(tmp_path: Path) -> None:
    ran = run(
        tmp_path,
        stage(
            'a: {run: exit 1, undo: touch undone}\nb: {run: "true", needs: [a]}',
            lasting=True,
            defaults="on_failure: continue",
        ),
    )
    assert ran.outcomes == {"a": "undone", "b": "blocked"}
    assert (tmp_path / "undone").exists()
    assert ran.exit_code == 1


@pytest.mark.parametrize(("policy", "undone"), [("run", ["two/b", "one/a"]), ("stage", ["two/b"]), ("none", [])])
def test_g028_what_a_rollback_policy_leaves_is_listed_and_is_no_failure_to_undo(
    tmp_path: Path, policy: str, undone: list[str]
) -> None:
    text = f"""
        defaults: {{rollback: {policy}}}
        stages:
          one: {{steps: [{{id: a, run: "true", undo: "true"}}]}}
          two: {{needs: [one], steps: [{{id: b, run: exit 1, undo: "true"}}]}}
    """
    ran = run(tmp_path, text)
    assert [entry.node for entry in ran.receipt.rollback] == undone
    left = [node for node in ("one/a", "two/b") if node not in undone]
    listed = [warning for warning in ran.receipt.warnings if "left as it is" in warning]
    assert all(f"`{node}`" in listed[0] for node in left) if left else not listed
    assert ran.exit_code == 1


def test_case_50_g029_a_lifecycle_without_stages_is_undone_as_well(tmp_path: Path) -> None:
    ran = run(
        tmp_path,
        """
        steps:
          - {id: a, run: "true", undo: echo a >> undone}
          - {id: b, run: "true", undo: echo b >> undone}
          - {id: c, run: exit 1, undo: echo c >> undone}
        """,
    )
    assert ran.outcomes == {"a": "undone", "b": "undone", "c": "undone"}
    assert (tmp_path / "undone").read_text().split() == ["c", "b", "a"]
    assert ran.exit_code == 1


def test_g037_g045_g048_what_was_made_is_gone_and_the_receipt_has_an_entry_for_each(tmp_path: Path) -> None:
    (tmp_path / "source").write_text("given")
    ran = run(
        tmp_path,
        """
        steps:
          - {id: write, uses: file.write, with: {path: written, content: new}}
          - {id: copy, uses: file.copy, with: {path: copied, source: source}}
          - {id: link, uses: file.link, with: {path: linked, source: source}}
          - {id: fails, run: exit 1, lasting: false}
          - {id: never, run: touch never}
        """,
    )
    assert not any(
        (tmp_path / name).is_symlink() or (tmp_path / name).exists() for name in ("written", "copied", "linked")
    )
    assert (tmp_path / "source").read_text() == "given"
    assert not (tmp_path / "never").exists()
    undone = dict.fromkeys(("write", "copy", "link"), "undone")
    assert ran.outcomes == undone | {"fails": "failed", "never": "blocked"}
    assert [(entry.node, entry.outcome) for entry in ran.receipt.rollback] == [
        (f"main/{name}", Outcome.UNDONE) for name in ("link", "copy", "write")
    ]
    assert [len(ran[f"main/{name}"].attempts) for name in ("write", "fails", "never")] == [1, 1, 0]


def test_what_could_not_even_be_started_needs_no_undo(tmp_path: Path) -> None:
    ran = run(tmp_path, 'steps: [{id: a, run: "true", working_directory: nowhere}, {id: b, run: "true"}]')
    assert ran.outcomes == {"a": "failed", "b": "blocked"}
    assert "nowhere` does not exist" in ran["main/a"].error
    assert ran.exit_code == 1


def test_case_51_g039_a_lasting_node_without_undo_is_not_undoable_and_exits_4(tmp_path: Path) -> None:
    ran = run(tmp_path, 'steps: [{id: a, run: "true", undo: "true"}, {id: b, run: exit 1}]')
    assert ran.outcomes == {"a": "undone", "b": "not_undoable"}
    assert ran.exit_code == 4


def test_case_50_g038_a_failing_undo_is_tried_again_does_not_stop_the_others_and_exits_4(tmp_path: Path) -> None:
    ran = run(
        tmp_path,
        """
        steps:
          - {id: a, run: "true", undo: touch undone-a}
          - {id: b, run: "true", undo: "echo x >> tries; exit 1", retry: {attempts: 3, initial: 1ms}}
          - {id: c, run: exit 1, undo: "true"}
        """,
    )
    assert ran.outcomes == {"a": "undone", "b": "undo_failed", "c": "undone"}
    assert (tmp_path / "tries").read_text() == "x\n" * 3
    assert [entry.attempts for entry in ran.receipt.rollback] == [1, 3, 1]
    assert [entry.error for entry in ran.receipt.rollback] == ["", "exit 1", ""]
    assert (tmp_path / "undone-a").exists()
    assert ran.exit_code == 4


def test_an_undo_gets_environment_outcome_and_outputs(tmp_path: Path) -> None:
    ran = run(
        tmp_path,
        """
        steps:
          - id: a
            run: echo "ip-address=10.0.0.1" >> "$SHIPWAY_OUTPUT"
            undo: echo "$NAME $SHIPWAY_OUTCOME $SHIPWAY_OUTPUT_IP_ADDRESS" > told
            env: {NAME: web}
            outputs: {ip-address: string}
          - {id: b, run: exit 1, undo: echo "$SHIPWAY_OUTCOME" > told-b}
        """,
    )
    assert (tmp_path / "told").read_text() == "web succeeded 10.0.0.1\n"
    assert (tmp_path / "told-b").read_text() == "failed\n"
    assert ran.exit_code == 1


@pytest.mark.parametrize(("verdict", "outcome", "code"), [(0, "undo_failed", 4), (3, "undone", 1), (1, "undone", 1)])
def test_verify_is_asked_after_an_undo_and_only_work_that_is_still_there_fails_it(
    tmp_path: Path, verdict: int, outcome: str, code: int
) -> None:
    ran = run(tmp_path, f'steps: [{{id: a, run: exit 1, undo: "true", verify: exit {verdict}}}]')
    assert ran.outcomes == {"a": outcome}
    assert ran.exit_code == code


def test_g031_c041_an_action_that_raises_fails_its_node_and_the_trace_is_in_the_log_only(tmp_path: Path) -> None:
    def broken(work: Work) -> Done:
        raise KeyError("no such thing")

    text = stage("- {id: a, uses: test.fine}\n- {id: b, uses: test.broken}\n- {id: c, run: 'true'}", lasting=True)
    ran = run(tmp_path, text, with_actions(Thing("test.broken", broken), Thing("test.fine", lambda work: Done())))
    assert ran.outcomes == {"a": "undone", "b": "undone", "c": "blocked"}
    assert ran["main/b"].error == "KeyError: 'no such thing'"
    assert "Traceback" in ran.log("main/b") and "Traceback" not in ran["main/b"].error
    assert ran.exit_code == 1


def test_g032_a_built_in_action_that_fails_has_put_back_what_it_replaced(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/kept").write_text("old")
    ran = run(
        tmp_path,
        stage("- {id: a, uses: file.copy, with: {source: missing-later, destination: folder/kept}}", lasting=True),
    )
    assert (tmp_path / "folder/kept").read_text() == "old"
    assert ran.finished.error is not None or ran.exit_code == 1


# Time and retries.


def test_g033_a_node_that_fails_twice_succeeds_at_its_third_attempt(tmp_path: Path) -> None:
    ran = run(
        tmp_path,
        stage("""
            - {id: a, run: "echo x >> tries; [ $(wc -l < tries) -eq 3 ]", retry: {attempts: 3, initial: 1ms}}
            - {id: b, run: "true"}
        """),
    )
    assert ran.outcomes == {"a": "succeeded", "b": "succeeded"}
    assert [attempt.outcome.value for attempt in ran["main/a"].attempts] == ["failed", "failed", "succeeded"]
    assert [event.delay_ms for event in ran.events if isinstance(event, NodeRetrying)] == [1, 2]


def test_retries_end_with_the_last_failure(tmp_path: Path) -> None:
    ran = run(tmp_path, stage("- {id: a, run: exit 5, retry: {attempts: 2, backoff: constant, initial: 1ms}}"))
    assert [attempt.exit_code for attempt in ran["main/a"].attempts] == [5, 5]
    assert ran.outcomes == {"a": "failed"}


def test_c032_a_node_past_its_time_is_timed_out_and_the_rest_goes_on_as_the_policy_says(tmp_path: Path) -> None:
    ran = run(
        tmp_path,
        stage(
            """
            slow: {run: sleep 60, timeout: 50ms}
            after: {run: "true", needs: [slow]}
            free: {run: "true"}
            """,
            defaults="on_failure: continue, timeout: 10m",
        ),
    )
    assert ran.outcomes == {"slow": "timed_out", "after": "blocked", "free": "succeeded"}
    assert ran["main/slow"].error == "its time of 50ms was over"
    assert ran.exit_code == 1


@pytest.mark.parametrize(("run_ms", "stage_ms", "step_ms"), [(50, 0, 0), (600_000, 50, 0), (600_000, 600_000, 50)])
def test_c032_a_nodes_own_timeout_beats_that_of_stage_and_run(
    tmp_path: Path, run_ms: int, stage_ms: int, step_ms: int
) -> None:
    step = f"{{run: sleep 60, timeout: {step_ms}ms}}" if step_ms else "{run: sleep 60}"
    bound = f"timeout: {stage_ms}ms, " if stage_ms else ""
    text = f"defaults: {{timeout: {run_ms}ms}}\nstages: {{main: {{{bound}lasting: false, steps: {{a: {step}}}}}}}"
    assert run(tmp_path, text).outcomes == {"a": "timed_out"}


def test_c033_a_timeout_ends_the_whole_group_by_force_if_it_must(tmp_path: Path) -> None:
    leader, grandchild = Lifeline(tmp_path / "leader"), Lifeline(tmp_path / "grandchild")
    ran = run(
        tmp_path,
        stage("""
            - id: deaf
              timeout: 300ms
              run: |
                trap '' INT TERM
                (exec 8> grandchild; trap '' INT TERM; while :; do sleep 60; done) &
                exec 9> leader
                while :; do sleep 60; done
        """),
    )
    assert ran.outcomes == {"deaf": "timed_out"}
    assert not leader.is_held() and not grandchild.is_held()


def test_c033_a_grandchild_that_outlives_the_leader_is_gone_before_the_undo_begins(tmp_path: Path) -> None:
    grandchild = Lifeline(tmp_path / "grandchild")
    held: list[bool] = []
    ran = run(
        tmp_path,
        stage(
            """
            - id: a
              timeout: 300ms
              undo: "true"
              run: |
                (exec 8> grandchild; trap '' INT TERM; while :; do sleep 60; done) &
                wait
            """,
            lasting=True,
        ),
        Setting(
            subscribers=[lambda event: held.append(grandchild.is_held()) if isinstance(event, NodeFinished) else None]
        ),
    )
    assert ran.outcomes == {"a": "undone"}
    assert held == [False]


def test_c033_an_action_on_a_thread_that_ignores_its_end_is_left_behind(tmp_path: Path) -> None:
    release = threading.Event()

    def stubborn(work: Work) -> Done:
        release.wait()
        return Done()

    ran = run(
        tmp_path,
        stage("- {id: a, uses: test.stubborn, timeout: 20ms}"),
        Setting(registry=with_actions(Thing("test.stubborn", stubborn)).registry, grace=Grace(10, 10)),
    )
    release.set()
    assert ran.outcomes == {"a": "timed_out"}
    assert "left behind" in ran["main/a"].warning


def test_c034_an_error_during_cancellation_is_never_swallowed(tmp_path: Path) -> None:
    interruption = Interruption()

    def clumsy(work: Work) -> Done:
        while not work.cancelled():
            pass
        raise ActionFailed("could not let go of the lease")

    setting = with_actions(Thing("test.clumsy", clumsy))
    setting.interruption = interruption
    setting.subscribers = [lambda event: interruption.strike() if isinstance(event, NodeStarted) else None]
    ran = run(tmp_path, stage("- {id: a, uses: test.clumsy}"), setting)
    assert ran.outcomes == {"a": "cancelled"}
    assert ran["main/a"].error == "could not let go of the lease"
    assert ran.exit_code == 130


# Cancellation and conditions.


def test_c035_cancelled_before_the_first_node_starts_nothing(tmp_path: Path) -> None:
    interruption = Interruption()
    setting = Setting(
        interruption=interruption,
        subscribers=[lambda event: interruption.strike() if type(event).__name__ == "RunStarted" else None],
    )
    ran = run(tmp_path, stage('a: {run: touch ran}\nb: {run: "true", needs: [a]}'), setting)
    assert ran.outcomes == {"a": "not_started", "b": "not_started"}
    assert ran.started == [] and not (tmp_path / "ran").exists()
    assert ran.exit_code == 130


def test_c036_five_causes_have_five_words(tmp_path: Path) -> None:
    interruption = Interruption()
    setting = Setting(
        interruption=interruption,
        subscribers=[
            lambda event: (
                interruption.strike() if isinstance(event, NodeStarted) and event.node == "main/long" else None
            )
        ],
    )
    ran = run(
        tmp_path,
        stage(
            """
            unwanted: {run: "true", if: "false"}
            bad: {run: exit 1}
            after-bad: {run: "true", needs: [bad]}
            long: {run: sleep 60, optional_needs: [bad]}
            ready: {run: "true", optional_needs: [bad]}
            later: {run: "true", needs: [long]}
            """,
            defaults="on_failure: continue, parallel: 1",
        ),
        setting,
    )
    assert ran.outcomes == {
        "unwanted": "skipped",
        "bad": "failed",
        "after-bad": "blocked",
        "long": "cancelled",
        "ready": "not_started",
        "later": "not_started",
    }
    assert ran.exit_code == 130


def test_c037_a_step_may_say_that_nothing_was_to_do_or_that_it_was_skipped(tmp_path: Path) -> None:
    ran = run(
        tmp_path,
        stage("""
            same: {run: 'echo unchanged > "$SHIPWAY_STATUS"'}
            skip: {run: 'echo "skipped: no database" > "$SHIPWAY_STATUS"', outputs: {v: {type: string, required: false}}}
            follows: {run: "true", needs: [skip, same]}
            takes: {run: "true", env: {V: "${{ steps.skip.outputs.v }}"}}
        """),
    )
    assert ran.outcomes == {"same": "unchanged", "skip": "skipped", "follows": "succeeded", "takes": "skipped"}
    assert ran["main/skip"].cause == "no database"
    assert ran["main/takes"].cause == "main/skip"
    assert ran.exit_code == 0


def test_c037_an_action_on_a_thread_may_say_so_too(tmp_path: Path) -> None:
    setting = with_actions(
        Thing("test.same", lambda work: Done(unchanged=True)), Thing("test.skip", lambda work: Done(skipped="not here"))
    )
    ran = run(tmp_path, stage("a: {uses: test.same}\nb: {uses: test.skip}"), setting)
    assert ran.outcomes == {"a": "unchanged", "b": "skipped"}
    assert ran["main/b"].cause == "not here"


def test_an_unchanged_node_has_nothing_to_undo(tmp_path: Path) -> None:
    ran = run(
        tmp_path,
        """
        steps:
          - {id: a, run: 'echo unchanged > "$SHIPWAY_STATUS"', undo: touch never}
          - {id: b, run: exit 1, undo: "true"}
        """,
    )
    assert ran.outcomes == {"a": "unchanged", "b": "undone"}
    assert not (tmp_path / "never").exists()


def test_conditions_of_stages_see_what_happened_before(tmp_path: Path) -> None:
    text = """
        stages:
          build: {lasting: false, steps: [{id: a, run: exit 1}]}
          deploy: {lasting: false, needs: [build], steps: [{id: a, run: "true"}]}
          tell: {lasting: false, needs: [build], if: failure(), steps: [{id: a, run: "true"}, {id: b, run: "true"}]}
          clean: {lasting: false, needs: [deploy], if: always(), steps: [{id: a, run: "true"}]}
          cheer: {lasting: false, needs: [build], if: success(), steps: [{id: a, run: "true"}]}
          stop: {lasting: false, needs: [build], if: cancelled(), steps: [{id: a, run: "true"}]}
    """
    ran = run(tmp_path, text)
    assert ran.outcomes == {
        "build/a": "failed",
        "deploy/a": "blocked",
        "tell/a": "succeeded",
        "tell/b": "succeeded",
        "clean/a": "succeeded",
        "cheer/a": "blocked",
        "stop/a": "skipped",
    }
    assert ran.exit_code == 1


def test_conditions_see_outputs_outcomes_and_variables(tmp_path: Path) -> None:
    ran = run(
        tmp_path,
        stage("""
            - {id: a, run: 'echo "deploy=false" >> "$SHIPWAY_OUTPUT"', outputs: {deploy: boolean}}
            - {id: b, run: "true", if: steps.a.outputs.deploy}
            - {id: c, run: "true", if: "steps.a.outcome == 'succeeded' && env.WHERE == 'here'", env: {WHERE: here}}
        """),
    )
    assert ran.outcomes == {"a": "succeeded", "b": "skipped", "c": "succeeded"}
    assert ran["main/b"].cause == "`if` is false"


# Events, result and output.


def test_c038_c039_every_node_finishes_once_and_only_what_started_is_said_to_have_started(tmp_path: Path) -> None:
    ran = run(
        tmp_path,
        stage('- {id: a, run: exit 1}\n- {id: b, run: "true"}\n- {id: c, run: "true"}', defaults="on_failure: cancel"),
    )
    finished = [event.node for event in ran.events if isinstance(event, NodeFinished)]
    assert ran.started == ["a"]
    assert sorted(finished) == ["main/a", "main/b", "main/c"]


def test_c040_a_subscriber_that_raises_is_recorded_and_changes_nothing(tmp_path: Path) -> None:
    def broken(event: Event) -> None:
        if isinstance(event, NodeStarted | NodeFinished):
            raise RuntimeError("no room on the screen")

    ran = run(tmp_path, stage('a: {run: "true"}'), Setting(subscribers=[broken]))
    assert ran.outcomes == {"a": "succeeded"}
    assert ran.faults == [
        "NodeStarted: RuntimeError: no room on the screen",
        "NodeFinished: RuntimeError: no room on the screen",
    ]
    assert list(ran.receipt.warnings) == ran.faults


def test_c043_c044_a_receipt_says_when_each_node_was_ready_and_started_and_what_it_waited_for(tmp_path: Path) -> None:
    ran = run(
        tmp_path,
        stage(
            """
            a: {run: "true"}
            b: {run: exit 1, needs: [a]}
            c: {run: "true", needs: [b]}
            d: {run: "true", limits: [one]}
            e: {run: "true", limits: [one]}
            """,
            more="limits: {one: {parallel: 1}}\ndefaults: {on_failure: continue}",
        ),
    )
    for node in ("a", "b", "d", "e"):
        result = ran[f"main/{node}"]
        assert result.ready_ms is not None and result.started_ms is not None and result.ended_ms is not None
        assert result.ready_ms <= result.started_ms <= result.ended_ms
    assert ran["main/c"].started_ms is None and ran["main/c"].attempts == ()
    assert ran["main/e"].waited_for == "limit one"
    took = {result.node: result.duration_ms for result in ran.receipt.nodes}
    longest = max(took["main/a"] + took["main/b"], took["main/d"], took["main/e"])
    assert ran.receipt.critical_path_ms == longest == sum(took[node] for node in ran.receipt.critical_path)
    assert ran.receipt.parallelism_thousandths >= 0
    assert Outcome.UNKNOWN not in {attempt.outcome for result in ran.receipt.nodes for attempt in result.attempts}


def test_c045_parallel_output_is_kept_whole_and_apart(tmp_path: Path) -> None:
    steps = "\n".join(f"n{n}: {{run: 'for i in $(seq 100); do echo n{n} line $i; done'}}" for n in range(4))
    ran = run(tmp_path, stage(steps, defaults="parallel: 4"))
    for n in range(4):
        assert ran.log(f"main/n{n}") == "".join(f"n{n} line {i}\n" for i in range(1, 101))


def test_c045_output_of_undo_has_a_log_of_its_own(tmp_path: Path) -> None:
    ran = run(tmp_path, "steps: [{id: a, run: 'echo doing; exit 1', undo: echo undoing}]")
    logs = tmp_path / ".shipway/runs" / ran.receipt.run / "logs"
    assert {path.name: path.read_text() for path in logs.iterdir()} == {
        "main.a.log": "doing\n",
        "main.a~undo.log": "undoing\n",
    }


def test_c045_live_output_reaches_whoever_asked_for_it(tmp_path: Path) -> None:
    heard: list[str] = []

    def listen(event: Event) -> None:
        if isinstance(event, NodeOutput):
            heard.append(event.text)
            (tmp_path / "heard").touch()

    steps = "a: {run: 'echo early; until [ -e heard ]; do :; done; echo late', timeout: 20s}"
    ran = run(tmp_path, stage(steps), Setting(subscribers=[listen]), live=True)
    assert ran.outcomes == {"a": "succeeded"}
    assert heard[0] == "early\n"
    assert ran.log("main/a") == "early\nlate\n"


def test_c046_a_node_that_is_silent_for_long_is_said_to_be_still_running(tmp_path: Path) -> None:
    def listen(event: Event) -> None:
        if isinstance(event, NodeStillRunning):
            (tmp_path / "told").touch()

    ran = run(tmp_path, stage("a: {run: 'until [ -e told ]; do :; done'}"), Setting(subscribers=[listen], speed=1000))
    still = [event for event in ran.events if isinstance(event, NodeStillRunning)]
    assert still[0].node == "main/a" and still[0].elapsed_ms >= 60_000
    assert ran.outcomes == {"a": "succeeded"}


def test_c047_a_cancelled_run_says_what_it_ends_and_how_long_that_may_take(tmp_path: Path) -> None:
    interruption = Interruption()
    setting = Setting(
        interruption=interruption,
        subscribers=[lambda event: interruption.strike() if isinstance(event, NodeStarted) else None],
    )
    ran = run(tmp_path, stage("a: {run: sleep 60}"), setting)
    [stopping] = [event for event in ran.events if isinstance(event, Stopping)]
    assert stopping == Stopping(stopping.why, ("main/a",), 400)
    assert stopping.why.startswith("interrupted")
    assert ran.outcomes == {"a": "cancelled"}
