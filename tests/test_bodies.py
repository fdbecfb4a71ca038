"""Shows bodies, choices and waits: what is not chosen never runs, and what is waited for is asked anew each time."""

from __future__ import annotations

from pathlib import Path

import pytest

from shipway.errors import DeclarationError
from shipway.events import Event, NodeStarted
from shipway.nodes import Change, Outcome
from tests.runs import Ran, Setting, begin, declare, finish, run, stage

_CHOICE = """
- {{id: then, if: {when}, steps: [{{id: a, run: 'touch then; echo "x=1" >> "$SHIPWAY_OUTPUT"', outputs: {{x: integer}}}}]}}
- {{id: else, if: "!({when})", steps: [{{id: b, run: 'touch else; echo "y=2" >> "$SHIPWAY_OUTPUT"', outputs: {{y: integer}}}}]}}
- {{id: after, run: 'echo "$X/$Y"', env: {{X: "${{{{ steps.then.outputs.x }}}}", Y: "${{{{ steps.else.outputs.y }}}}"}}}}
"""


# Choices.


def test_g062_the_branch_that_holds_runs_and_the_other_is_skipped_and_null(tmp_path: Path) -> None:
    done = run(tmp_path, stage(_CHOICE.format(when="target == 'default'")))
    assert done.outcomes == {
        "then": "succeeded",
        "then/a": "succeeded",
        "else": "skipped",
        "else/b": "skipped",
        "after": "succeeded",
    }
    assert done.log("main/after") == "1/\n"
    assert not (tmp_path / "else").exists()


def test_g062_what_only_the_run_tells_chooses_then(tmp_path: Path) -> None:
    first = """- {id: ask, run: 'echo "ok=false" >> "$SHIPWAY_OUTPUT"', outputs: {ok: boolean}}"""
    done = run(tmp_path, stage(first + _CHOICE.format(when="steps.ask.outputs.ok")))
    assert done.outcomes["then/a"] == "skipped"
    assert done.log("main/after") == "/2\n"


def test_g062_false_without_another_branch_does_nothing(tmp_path: Path) -> None:
    done = run(
        tmp_path,
        stage(
            "- {id: then, if: target == 'prod', steps: [{id: a, run: touch x}, {id: b, run: touch y, if: always()}]}"
        ),
    )
    assert done.outcomes == {"then": "skipped", "then/a": "skipped", "then/b": "skipped"}
    assert done.exit_code == 0


def test_g062_the_nodes_of_a_branch_that_fails_are_undone_and_only_those(tmp_path: Path) -> None:
    steps = """
    - {id: then, if: target == 'default', steps: [{id: a, run: touch a, undo: rm a}, {id: b, run: "false", undo: "true"}]}
    - {id: else, if: target != 'default', steps: [{id: c, run: touch c, undo: touch wrong}]}
    """
    done = run(tmp_path, stage(steps, lasting=True))
    assert [entry.node for entry in done.receipt.rollback] == ["main/then/b", "main/then/a"]
    assert done["main/then"].error == "`main/then/b`: exit 1"
    assert not (tmp_path / "wrong").exists()
    assert done.exit_code == 1


@pytest.mark.parametrize("when", ["inputs.word", "'yes'", "values.count", "null"])
def test_g062_what_is_neither_true_nor_false_is_refused_when_planned(tmp_path: Path, when: str) -> None:
    text = f"inputs: {{word: {{default: x}}}}\nvalues: {{count: 3}}\nsteps:\n  - {{id: a, if: {when!r}, steps: [{{run: x}}]}}\n"
    done = run(tmp_path, text.replace("if: \"'yes'\"", "if: \"'yes'\""), execute=False)
    assert isinstance(done.error, DeclarationError)
    assert "neither `true` nor `false`" in done.error.problems[0].text


def test_g062_what_turns_out_to_be_neither_fails_when_run(tmp_path: Path) -> None:
    first = """- {id: ask, run: 'echo "ok=yes" >> "$SHIPWAY_OUTPUT"', outputs: {ok: string}}"""
    done = run(tmp_path, stage(first + "\n- {id: then, if: steps.ask.outputs.ok, steps: [{id: a, run: touch x}]}"))
    assert done["main/then"].outcome is Outcome.FAILED
    assert "neither `true` nor `false`" in done["main/then"].error
    assert done.outcomes["then/a"] == "blocked"


def test_what_comes_after_a_body_waits_for_all_of_it(tmp_path: Path) -> None:
    steps = """
    body: {steps: {a: {run: echo a >> seen}, b: {run: sleep 0.1; echo b >> seen}}}
    after: {run: echo after >> seen, needs: [body]}
    """
    run(tmp_path, stage(steps))
    assert (tmp_path / "seen").read_text() == "a\nb\nafter\n"


def test_the_body_sees_its_own_steps_before_those_around_it_and_its_keys_hold_for_them(tmp_path: Path) -> None:
    steps = """
    - {id: a, run: 'echo "v=outer" >> "$SHIPWAY_OUTPUT"', outputs: {v: string}}
    - id: body
      env: {E: "of the body"}
      steps:
        - {id: c, run: 'echo "v=inner" >> "$SHIPWAY_OUTPUT"', outputs: {w: {type: string, required: false}}}
        - id: d
          steps: [{id: e, run: 'echo "$E $A $C"', env: {A: "${{ steps.a.outputs.v }}", C: "${{ steps.c.outcome }}"}}]
    """
    done = run(tmp_path, stage(steps))
    assert done.log("main/body/d/e") == "of the body outer succeeded\n"


def test_a_stage_that_needs_another_waits_for_the_bodies_in_it(tmp_path: Path) -> None:
    text = """
    stages:
      one: {lasting: false, steps: {body: {steps: {a: {run: sleep 0.1; echo a >> seen}}}}}
      two: {lasting: false, needs: [one], steps: [{run: echo two >> seen}]}
    """
    run(tmp_path, text)
    assert (tmp_path / "seen").read_text() == "a\ntwo\n"


def test_a_step_that_always_runs_does_so_in_a_body_that_began_and_in_no_other(tmp_path: Path) -> None:
    steps = """
    - {id: first, steps: [{id: a, run: "false"}, {id: clean, if: always(), run: touch cleaned}]}
    - {id: second, steps: [{id: b, run: touch b}, {id: clean, if: always(), run: touch wrong}]}
    """
    done = run(tmp_path, stage(steps))
    assert (tmp_path / "cleaned").exists()
    assert not (tmp_path / "wrong").exists()
    assert done.outcomes["second/clean"] == "skipped"


# Waits.


def _wait(tmp_path: Path, keys: str, setting: Setting | None = None) -> Ran:
    return run(tmp_path, stage(f"- {{id: wait, {keys}}}\n- {{id: after, run: 'true'}}"), setting)


def test_g063_what_holds_at_once_is_not_waited_for(tmp_path: Path) -> None:
    done = _wait(tmp_path, "until: echo x >> asked, timeout: 1h")
    assert done.outcomes == {"wait": "succeeded", "after": "succeeded"}
    assert (tmp_path / "asked").read_text() == "x\n"
    assert done.finished.plan is not None
    node = done.finished.plan.by_id["main/wait"]
    assert (node.every_ms, node.lasting, node.change) == (5_000, False, Change.READ)


def test_g063_it_is_asked_anew_until_it_holds_as_one_attempt_and_gives_the_last_outputs(tmp_path: Path) -> None:
    script = 'echo x >> asked; echo "n=$(wc -l < asked)" >> "$SHIPWAY_OUTPUT"; test $(wc -l < asked) -ge 3'
    done = _wait(tmp_path, f"until: '{script}', every: 10ms, timeout: 1h, outputs: {{n: integer}}")
    assert done["main/wait"].outputs == {"n": 3}
    assert len(done["main/wait"].attempts) == 1
    assert done.started == ["wait", "after"]


def test_g063_after_its_time_it_has_failed_and_says_how_long_that_was(tmp_path: Path) -> None:
    done = _wait(tmp_path, "until: 'false', every: 10ms, timeout: 100ms")
    assert done["main/wait"].outcome is Outcome.TIMED_OUT
    assert done["main/wait"].error == "it did not hold within 100ms"
    assert done.outcomes["after"] == "blocked"


def test_g063_a_probe_that_hangs_counts_against_the_whole_time(tmp_path: Path) -> None:
    done = _wait(tmp_path, "until: 'test -e asked || { touch asked; exit 1; }; sleep 60', every: 10ms, timeout: 300ms")
    assert done["main/wait"].error == "it did not hold within 300ms"


@pytest.mark.parametrize(("script", "error"), [("no-such-program", "exit 127"), ("kill -9 $$", "killed by SIGKILL")])
def test_g063_what_cannot_be_asked_has_failed(tmp_path: Path, script: str, error: str) -> None:
    done = _wait(tmp_path, f"until: {script}, every: 10ms, timeout: 1h")
    assert (done["main/wait"].outcome, done["main/wait"].error) == (Outcome.FAILED, error)


@pytest.mark.parametrize("script", ["echo x >> asked; exit 1", "echo x >> asked; sleep 60"])
def test_g063_it_stops_when_it_is_cancelled(tmp_path: Path, script: str) -> None:
    declare(tmp_path, stage(f"- {{id: wait, until: '{script}', every: 1h, timeout: 2h}}"))
    process = begin(tmp_path, "run", "--yes", "--json")
    while not (tmp_path / "asked").exists():
        assert process.poll() is None
    process.send_signal(2)
    assert finish(process).exit_code == 130


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ("until: x", "has no timeout, and might ask for ever"),
        ("until: x, timeout: 0s", "has no timeout, and might ask for ever"),
        ("until: x, timeout: soon", "is not a duration"),
        ("until: x, timeout: 1s, every: 0s", "is no time at all"),
        ("until: {uses: file.source, with: {path: x}}, timeout: 1s", "needs an action with one boolean output"),
    ],
)
def test_g063_a_wait_that_makes_no_sense_is_refused(tmp_path: Path, keys: str, text: str) -> None:
    done = run(tmp_path, f"steps: [{{id: wait, {keys}}}]\n", execute=False)
    assert isinstance(done.error, DeclarationError)
    assert text in str(done.error.problems), done.error.problems


def test_g063_an_action_may_be_asked_instead_of_a_script(tmp_path: Path) -> None:
    keys = "until: {uses: file.exists, with: {path: ready}}, every: 10ms, timeout: 1m"

    def make(event: Event) -> None:
        if isinstance(event, NodeStarted):
            (tmp_path / "later").touch()

    steps = f"""
    wait: {{{keys}}}
    make: {{run: 'sleep 0.1; touch ready'}}
    """
    done = run(tmp_path, stage(steps), Setting(subscribers=(make,)))
    assert done.outcomes == {"wait": "succeeded", "make": "succeeded"}
    assert done["main/wait"].outputs == {"exists": True}


def test_a_wait_may_be_one_of_a_gather(tmp_path: Path) -> None:
    steps = """
    wait:
      gather: {items: [a, b], limit: 2}
      env: {X: "${{ item }}"}
      until: test -e "$X"
      every: 10ms
      timeout: 1m
    make: {run: touch a b}
    """
    done = run(tmp_path, "defaults: {parallel: 3}\n" + stage(steps))
    assert done.outcomes["wait"] == "succeeded"


# Privilege, and what is done once.


def test_g064_privilege_is_shown_in_the_plan_and_without_it_nothing_is_started(tmp_path: Path) -> None:
    text = stage("- {id: a, run: touch a}\n- {id: b, run: touch b, privileged: true}")
    setting = Setting(has_privilege=lambda env: False)
    done = run(tmp_path, text, setting)
    assert done.finished.plan is not None and done.finished.plan.by_id["main/b"].privileged
    assert "privilege is needed by `main/b`" in done.error.message
    assert not (tmp_path / "a").exists()
    assert done.started == []
    assert run(tmp_path, text, setting, execute=False).finished.error is None
    assert run(tmp_path, text, Setting(has_privilege=lambda env: True)).exit_code == 0


_ONCE = """
stages:
  one: {{lasting: false, steps: [{{id: a, {step}}}]}}
  two: {{lasting: false, steps: [{{id: a, {other}}}]}}
"""
_RANDOM = """run: 'echo a >> seen; echo "v=$RANDOM$RANDOM" >> "$SHIPWAY_OUTPUT"', outputs: {v: string}, dedup: once"""


def test_d077_the_second_of_a_key_is_the_first(tmp_path: Path) -> None:
    done = run(tmp_path, _ONCE.format(step=_RANDOM, other=_RANDOM))
    assert (tmp_path / "seen").read_text() == "a\n"
    assert [done[f"{name}/a"].outcome for name in ("one", "two")] == [Outcome.SUCCEEDED, Outcome.UNCHANGED]
    assert done["two/a"].outputs == done["one/a"].outputs
    assert done["two/a"].cause == "the same as `one/a`"


def test_d077_two_that_differ_are_refused_when_planned(tmp_path: Path) -> None:
    done = run(tmp_path, _ONCE.format(step=_RANDOM, other=_RANDOM + ", timeout: 1m"), execute=False)
    assert isinstance(done.error, DeclarationError)
    text = "`two/a` and `one/a` have the `dedup` key `once`, and differ in `timeout_ms`, `undo_timeout_ms`"
    assert [problem.text for problem in done.error.problems] == [text]


def test_d077_the_key_may_be_that_of_the_item_and_what_was_skipped_is_not_the_first(tmp_path: Path) -> None:
    steps = """
    - id: each
      gather: {items: [{a: x, n: 1}, {a: x, n: 2}, {a: y, n: 3}], key: "${{ item.n }}"}
      steps:
        - {id: login, run: 'echo "login" >> seen', dedup: "login-${{ item.a }}"}
        - {id: push, run: 'echo "push $N" >> seen', env: {N: "${{ item.n }}"}}
    """
    run(tmp_path, stage(steps))
    assert (tmp_path / "seen").read_text() == "login\npush 1\npush 2\nlogin\npush 3\n"


def test_d077_when_the_first_fails_the_second_is_blocked_by_it(tmp_path: Path) -> None:
    text = """
    defaults: {on_failure: continue}
    stages:
      one: {lasting: false, steps: [{id: a, run: "false", dedup: once}]}
      two: {lasting: false, steps: [{id: a, run: "false", dedup: once}]}
    """
    done = run(tmp_path, text)
    assert (done["two/a"].outcome, done["two/a"].cause) == (Outcome.BLOCKED, "one/a")
