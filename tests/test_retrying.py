"""Shows how nodes and stages are tried again: what the failed attempt did is undone first, and undone only once."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from shipway.action import ActionFailed, Done, NotUndoable, Work
from shipway.endings import ERROR_BYTES
from shipway.events import Event, NodeRetrying, NodeTakenBack, StageReopened, StageRetrying
from shipway.interruption import Interruption
from shipway.nodes import Outcome
from tests.runs import Lifeline, Ran, Setting, run, stage
from tests.test_executor import Thing, with_actions


def said(root: Path) -> list[str]:
    return (root / "said").read_text().split()


def rolled_back(ran: Ran) -> list[tuple[str, str]]:
    return [(entry.node.removeprefix("main/"), entry.outcome.value) for entry in ran.receipt.rollback]


def tries(ran: Ran, node: str) -> list[tuple[str, str | None]]:
    return [
        (attempt.outcome.value, attempt.undo.value if attempt.undo else None)
        for attempt in ran[f"main/{node}"].attempts
    ]


def staged(steps: str, *, attempts: int = 3, more: str = "") -> str:
    """One stage `main` that is tried so often."""
    body = "\n".join("      " + line for line in steps.strip().splitlines())
    retry = f"    retry: {{attempts: {attempts}, initial: 1ms}}\n"
    return f"stages:\n  main:\n{retry}{more}    steps:\n{body}\n"


# Nodes.


def test_a_node_is_undone_before_it_is_tried_again(tmp_path: Path) -> None:
    ran = run(
        tmp_path,
        stage(
            """
            - id: a
              run: 'echo do >> said; test $(grep -cx do said) = 3'
              undo: 'echo undo-$SHIPWAY_OUTCOME >> said'
              retry: {attempts: 3, initial: 1ms}
            """,
            lasting=True,
        ),
    )
    assert said(tmp_path) == ["do", "undo-failed", "do", "undo-failed", "do"]
    assert tries(ran, "a") == [("failed", "undone"), ("failed", "undone"), ("succeeded", None)]
    assert (ran.exit_code, ran.receipt.rollback, ran["main/a"].error) == (0, (), "")
    assert [type(event) for event in ran.events if isinstance(event, NodeRetrying | NodeTakenBack)] == [
        NodeRetrying,
        NodeTakenBack,
    ] * 2


def test_the_last_attempt_is_undone_by_the_rollback_and_no_other_one_twice(tmp_path: Path) -> None:
    ran = run(
        tmp_path,
        stage(
            """
            - {id: before, run: echo do-before >> said, undo: echo undo-before >> said}
            - {id: a, run: 'echo do >> said; exit 1', undo: echo undo >> said, retry: {attempts: 2, initial: 1ms}}
            """,
            lasting=True,
        ),
    )
    assert said(tmp_path) == ["do-before", "do", "undo", "do", "undo", "undo-before"]
    assert rolled_back(ran) == [("a", "undone"), ("before", "undone")]
    assert ran.exit_code == 1


@pytest.mark.parametrize("more", ["lasting: false, undo: 'touch undone', ", ""])
def test_what_leaves_nothing_behind_or_has_no_undo_is_simply_done_again(tmp_path: Path, more: str) -> None:
    ran = run(
        tmp_path,
        stage(
            f"- {{id: a, {more}run: 'echo x >> said; test $(wc -l < said) = 2', retry: {{attempts: 2, initial: 1ms}}}}",
            lasting=True,
        ),
    )
    assert tries(ran, "a") == [("failed", None), ("succeeded", None)]
    assert not (tmp_path / "undone").exists()


def test_a_node_whose_attempt_cannot_be_undone_is_not_tried_again(tmp_path: Path) -> None:
    ran = run(
        tmp_path,
        stage(
            """
            - {id: before, run: 'true', undo: echo undo-before >> said}
            - {id: a, run: 'echo do >> said; exit 1', undo: 'echo undo >> said; exit 4', retry: {attempts: 2, initial: 1ms}}
            """,
            lasting=True,
        ),
    )
    # Its undo has the step's retry too, and none of it is repeated by the rollback.
    assert said(tmp_path) == ["do", "undo", "undo", "undo-before"]
    assert tries(ran, "a") == [("failed", "undo_failed")]
    assert rolled_back(ran) == [("a", "undo_failed"), ("before", "undone")]
    assert ran["main/a"].warning == "not tried again: what the attempt did could not be undone"
    assert ran.exit_code == 4


def test_an_undo_may_have_a_timeout_and_retries_of_its_own(tmp_path: Path) -> None:
    ran = run(
        tmp_path,
        stage(
            """
            - id: a
              run: exit 1
              timeout: 1h
              undo:
                run: 'echo undo >> said; test $(wc -l < said) = 2 || sleep 600'
                timeout: 100ms
                retry: {attempts: 2, initial: 1ms}
            """,
            lasting=True,
        ),
    )
    assert rolled_back(ran) == [("a", "undone")]
    assert ran.receipt.rollback[0].attempts == 2
    node = ran.finished.plan.nodes[0] if ran.finished.plan else None
    assert node is not None
    assert (node.timeout_ms, node.undo_timeout_ms, node.retry.attempts, node.undo_retry.attempts) == (
        3_600_000,
        100,
        1,
        2,
    )


def test_the_undo_of_a_retry_keeps_what_its_node_had_taken(tmp_path: Path) -> None:
    """Two under one limit of one: neither runs, or is undone, while the other does."""
    script = "mkdir held && rmdir held"
    ran = run(
        tmp_path,
        stage(
            f"""
            a: {{run: '{script}; exit 1', undo: '{script}', retry: {{attempts: 5, initial: 1ms}}, limits: [one]}}
            b: {{run: '{script}; exit 1', undo: '{script}', retry: {{attempts: 5, initial: 1ms}}, limits: [one]}}
            """,
            lasting=True,
            defaults="on_failure: continue",
            more="limits: {one: {parallel: 1}}",
        ),
    )
    assert {undo for node in "ab" for _, undo in tries(ran, node)[:-1]} == {"undone"}


# Stages.


def test_g040_each_attempt_of_a_stage_is_undone_by_itself(tmp_path: Path) -> None:
    ran = run(
        tmp_path,
        staged("""
- {id: a, run: echo do-a >> said, undo: echo undo-a >> said}
- {id: b, run: 'echo do-b >> said; exit 1', undo: echo undo-b >> said}
"""),
    )
    assert said(tmp_path) == ["do-a", "do-b", "undo-b", "undo-a"] * 3
    assert tries(ran, "a") == [("succeeded", "undone"), ("succeeded", "undone"), ("succeeded", None)]
    assert tries(ran, "b") == [("failed", "undone"), ("failed", "undone"), ("failed", None)]
    assert rolled_back(ran) == [("b", "undone"), ("a", "undone")]
    assert [(each.stage, each.outcome.value, each.attempts) for each in ran.receipt.stages] == [("main", "undone", 3)]
    assert ran.exit_code == 1
    told = [event for event in ran.events if isinstance(event, StageRetrying)]
    assert [(event.attempt, event.attempts, event.node, event.error) for event in told] == [
        (1, 3, "main/b", "exit 1"),
        (2, 3, "main/b", "exit 1"),
    ]


def test_a_stage_that_succeeds_at_its_second_attempt_has_succeeded(tmp_path: Path) -> None:
    ran = run(
        tmp_path,
        staged(
            """
- {id: a, run: 'echo a >> said; echo n=$(wc -l < said) >> "$SHIPWAY_OUTPUT"', undo: 'true', outputs: {n: integer}}
- {id: b, run: 'echo b$N >> said; test $N = 3', env: {N: "${{ steps.a.outputs.n }}"}, lasting: false}
""",
            more="    compensate: {steps: [{run: touch compensated}]}\n",
        )
        + "  later: {needs: [main], steps: [{id: c, run: echo later >> said}]}\n",
    )
    assert said(tmp_path) == ["a", "b1", "a", "b3", "later"]
    assert (ran.exit_code, ran.receipt.rollback) == (0, ())
    assert ran.receipt.stages[0].attempts == 2
    assert not (tmp_path / "compensated").exists()
    assert [event.nodes for event in ran.events if isinstance(event, StageReopened)] == [("main/a",)]


def test_a_node_has_its_own_attempts_in_each_attempt_of_its_stage(tmp_path: Path) -> None:
    ran = run(
        tmp_path,
        staged("- {id: a, run: 'echo x >> said; exit 1', lasting: false, retry: {attempts: 2, initial: 1ms}}"),
    )
    assert [attempt.number for attempt in ran["main/a"].attempts] == [1, 2, 3, 4, 5, 6]
    assert said(tmp_path) == ["x"] * 6


def test_only_nodes_of_the_stage_are_undone_and_the_others_go_on(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "gate")
    ran = run(
        tmp_path,
        staged("""
a: {run: 'echo do-a >> said; test $(grep -cx do-a said) = 2', undo: echo undo-a >> said}
""")
        + """
  other:
    steps:
      - {id: x, run: 'echo do-x >> said; read -r _ < gate', undo: echo undo-x >> said}
  after:
    needs: [main]
    steps: [{id: open, run: echo open > gate, lasting: false}]
""",
    )
    assert ran.exit_code == 0
    assert sorted(said(tmp_path)) == ["do-a", "do-a", "do-x", "undo-a"]


def test_nothing_new_of_a_failed_attempt_is_started_and_what_runs_may_finish(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "gate")
    ran = run(
        tmp_path,
        staged(
            """
a: {run: 'if test -e ran; then exit 0; fi; touch ran; exit 1', lasting: false}
b: {run: 'echo b >> said; test -e go || read -r _ < gate', undo: echo undo-b >> said}
c: {run: echo c >> said, needs: [b], lasting: false}
""",
            attempts=2,
        ),
        Setting(subscribers=[_when(StageRetrying, lambda: _open(tmp_path))]),
    )
    assert said(tmp_path) == ["b", "undo-b", "b", "c"]
    assert ran.exit_code == 0


def _open(root: Path) -> None:
    (root / "go").touch()
    threading.Thread(target=(root / "gate").write_text, args=("now\n",)).start()


def _when(kind: type[Event], act: Callable[[], object]) -> Callable[[Event], None]:
    return lambda event: act() if isinstance(event, kind) else None  # type: ignore[return-value]


def test_with_cancel_the_others_of_the_stage_are_ended_at_once(tmp_path: Path) -> None:
    ran = run(
        tmp_path,
        staged(
            """
a: {run: 'test -e begun || { while ! test -e b-runs; do :; done; touch begun; exit 1; }', lasting: false}
b: {run: 'test -e begun || { touch b-runs; sleep 600; }', undo: echo undo-b >> said}
""",
            more="    on_failure: cancel\n",
        ),
    )
    assert tries(ran, "b") == [("cancelled", "undone"), ("succeeded", None)]
    assert ran.exit_code == 0


def test_a_stage_whose_attempt_cannot_be_undone_is_not_tried_again(tmp_path: Path) -> None:
    ran = run(
        tmp_path,
        staged(
            """
a: {run: echo do-a >> said, undo: echo undo-a >> said}
b: {run: echo do-b >> said, undo: 'echo undo-b >> said; exit 1', needs: [a]}
c: {run: exit 1, needs: [b], lasting: false}
d: {run: echo never >> said, needs: [c]}
""",
            more="    compensate: {steps: [{run: echo sorry >> said}]}\n",
        ),
    )
    assert said(tmp_path) == ["do-a", "do-b", "undo-b", "sorry", "undo-a"]
    assert rolled_back(ran) == [("b", "undo_failed"), ("main.compensate/echo-sorry-said", "succeeded"), ("a", "undone")]
    assert ran.outcomes == {"a": "undone", "b": "undo_failed", "c": "failed", "d": "blocked"}
    assert ran["main/c"].warning == "its stage was not tried again: what it had done could not be undone"
    assert ran.exit_code == 4


def test_what_has_no_undo_is_done_again_and_stays_where_the_stage_fails_for_good(tmp_path: Path) -> None:
    ran = run(
        tmp_path,
        staged("""
- {id: mail, run: echo mail >> said}
- {id: a, run: 'true', undo: echo undo >> said}
- {id: b, run: exit 1, lasting: false}
""").replace("attempts: 3", "attempts: 2"),
    )
    assert said(tmp_path) == ["mail", "undo", "mail", "undo"]
    assert ran.outcomes == {"mail": "not_undoable", "a": "undone", "b": "failed"}
    assert ran.exit_code == 4


def test_conditions_are_judged_anew_and_what_asks_for_a_failure_waits_for_the_last_one(tmp_path: Path) -> None:
    ran = run(
        tmp_path,
        staged(
            """
- {id: a, run: 'echo a >> said; echo n=$(wc -l < said) >> "$SHIPWAY_OUTPUT"', outputs: {n: integer}, lasting: false}
- {id: once, run: echo once >> said, if: steps.a.outputs.n == 1, lasting: false}
- {id: b, run: exit 1, lasting: false}
- {id: told, run: echo told >> said, if: failure(), lasting: false}
""",
            attempts=2,
        ),
    )
    assert said(tmp_path) == ["a", "once", "a", "told"]
    assert (ran["main/once"].outcome, len(ran["main/once"].attempts)) == (Outcome.SKIPPED, 1)


def test_a_failure_elsewhere_ends_the_trying(tmp_path: Path) -> None:
    ran = run(
        tmp_path,
        staged("""
- {id: a, run: echo do-a >> said, undo: 'echo undo-a >> said; touch undone'}
- {id: b, run: exit 1, lasting: false}
""").replace("initial: 1ms", "initial: 1h")
        + """
  other:
    steps: [{id: x, run: 'while ! test -e undone; do :; done; exit 1', lasting: false}]
""",
    )
    assert said(tmp_path) == ["do-a", "undo-a"]
    assert rolled_back(ran) == [("a", "undone")]
    assert ran.outcomes == {"a": "undone", "b": "failed", "other/x": "failed"}
    assert ran["main/b"].warning == "its stage was not tried again: the run was stopped"


@pytest.mark.parametrize("times", [1, 2])
def test_a_run_that_is_stopped_while_a_retry_is_being_undone_lets_that_finish_unless_it_is_struck_again(
    tmp_path: Path, times: int
) -> None:
    interruption = Interruption()
    line = Lifeline(tmp_path / "line")

    def strike(event: Event) -> None:
        if isinstance(event, StageRetrying):
            threading.Thread(target=_strike, args=(line, interruption, times, tmp_path)).start()

    ran = run(
        tmp_path,
        staged("""
- {id: a, run: echo do-a >> said, undo: echo undo-a >> said}
- {id: b, run: exit 1, undo: 'echo undoing > line; while ! test -e go; do :; done; echo undo-b >> said'}
"""),
        Setting(interruption=interruption, subscribers=[strike], is_terminal=True),
    )
    if times == 1:
        assert said(tmp_path) == ["do-a", "undo-b", "undo-a"]
        assert ran.outcomes == {"a": "undone", "b": "undone"}
        assert ran.exit_code == 130
    else:
        assert said(tmp_path) == ["do-a"]
        assert ran.outcomes == {"a": "undo_failed", "b": "undo_failed"}
        assert ran.exit_code == 4
    assert len(ran["main/b"].attempts) == 1


def _strike(line: Lifeline, interruption: Interruption, times: int, root: Path) -> None:
    line.wait()
    for _ in range(times):
        interruption.strike()
    if times == 1:
        (root / "go").touch()


# What failed, in words.


def failing(error: Exception) -> Setting:
    def do(work: Work) -> Done:
        raise error

    return with_actions(Thing("test.fails", do))


_TRIED = "- {id: a, uses: test.fails, lasting: false, retry: {attempts: 3, initial: 1ms}}"


@pytest.mark.parametrize(
    ("error", "code", "text", "count"),
    [
        (ActionFailed("busy", code="provider_unavailable"), "provider_unavailable", "busy", 3),
        (ActionFailed("no such zone", code="zone", is_permanent=True), "zone", "no such zone", 1),
        (ActionFailed("no"), "action_failed", "no", 3),
        (ActionFailed(code="quota"), "quota", "quota", 3),
        (KeyError("a bug"), "action_error", "KeyError: 'a bug'", 1),
    ],
)
def test_d061_d064_an_action_says_what_failed_and_whether_it_may_be_tried_again(
    tmp_path: Path, error: Exception, code: str, text: str, count: int
) -> None:
    ran = run(tmp_path, stage(_TRIED), failing(error))
    attempts = ran["main/a"].attempts
    assert [(attempt.code, attempt.error) for attempt in attempts] == [(code, text)] * count
    assert all(attempt.ended_ms >= attempt.started_ms for attempt in attempts)


def test_d061_without_a_text_the_cause_is_shown(tmp_path: Path) -> None:
    def do(work: Work) -> Done:
        try:
            raise OSError("connection reset")
        except OSError as error:
            raise ActionFailed(code="net") from error

    ran = run(tmp_path, stage(_TRIED), with_actions(Thing("test.fails", do)))
    assert (ran["main/a"].attempts[0].code, ran["main/a"].error) == ("net", "connection reset")


@pytest.mark.parametrize(
    ("step", "code"),
    [
        ("run: exit 3", "exit"),
        ("run: kill -9 $$", "signal"),
        ("run: sleep 600, timeout: 50ms", "timeout"),
        ("run: 'true', shell: 'no-such-shell {0}'", "start"),
        ("run: 'echo x >> \"$SHIPWAY_OUTPUT\"'", "outputs"),
        ("run: 'true'", ""),
    ],
)
def test_d066_each_attempt_says_in_a_word_what_failed(tmp_path: Path, step: str, code: str) -> None:
    ran = run(tmp_path, stage(f"- {{id: a, {step}}}"))
    [attempt] = ran["main/a"].attempts
    assert attempt.code == code


def test_g051_d066_d067_attempts_are_kept_each_with_its_time_and_error(tmp_path: Path) -> None:
    ran = run(
        tmp_path,
        stage("- {id: a, run: 'echo x >> said; test $(wc -l < said) = 3', retry: {attempts: 3, initial: 1ms}}"),
    )
    result = ran["main/a"]
    assert [(one.number, one.outcome.value, one.code, one.error) for one in result.attempts] == [
        (1, "failed", "exit", "exit 1"),
        (2, "failed", "exit", "exit 1"),
        (3, "succeeded", "", ""),
    ]
    starts = [one.started_ms for one in result.attempts]
    assert starts == sorted(starts)
    assert (result.outcome, result.error) == (Outcome.SUCCEEDED, "")


def test_d062_d065_the_delay_counts_from_the_failure_and_what_was_asked_for_beats_it(tmp_path: Path) -> None:
    ran = run(
        tmp_path,
        stage("""
            - {id: a, run: 'echo x >> said; test $(wc -l < said) = 2', retry: {attempts: 2, initial: 2s}}
            - id: b
              run: 'echo 3 > "$SHIPWAY_RETRY_AFTER"; echo y >> said; test $(grep -c y said) = 2'
              retry: {attempts: 2, initial: 1ms, max: 1ms}
        """),
        Setting(speed=100),
    )
    for node, least in (("main/a", 2000), ("main/b", 3000)):
        first, second = ran[node].attempts
        assert second.started_ms >= first.ended_ms + least
    delays = [event.delay_ms for event in ran.events if isinstance(event, NodeRetrying)]
    assert delays == [2000, 3000]
    assert ran.exit_code == 0


def test_d068_what_is_kept_of_an_error_is_masked_and_bounded(tmp_path: Path) -> None:
    setting = failing(ActionFailed("é" * 5000 + " s3cr3t-value"))
    ran = run(tmp_path, stage(_TRIED), setting)
    error = ran["main/a"].attempts[0].error
    assert len(error.encode()) <= ERROR_BYTES
    assert error.endswith("é…")
    masked = failing(ActionFailed("it said s3cr3t-value"))
    masked.env = {"TOKEN": "s3cr3t-value"}
    ran = run(tmp_path, stage(_TRIED, more="secrets: [TOKEN]"), masked)
    assert ran["main/a"].attempts[0].error == "it said ***"


def test_an_undo_of_an_action_that_says_it_cannot_ends_the_trying(tmp_path: Path) -> None:
    def do(work: Work) -> Done:
        raise ActionFailed("busy")

    def undo(work: Work) -> None:
        raise NotUndoable("the old one is gone")

    ran = run(
        tmp_path,
        stage(
            "- {id: a, uses: test.fails, retry: {attempts: 3, initial: 1ms}}", lasting=True, defaults="rollback: none"
        ),
        with_actions(Thing("test.fails", do, undo)),
    )
    assert tries(ran, "a") == [("failed", "not_undoable")]
    assert rolled_back(ran) == [("a", "not_undoable")]
    assert ran.exit_code == 4
