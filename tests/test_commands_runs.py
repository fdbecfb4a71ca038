"""`runs`, `show RUN`, `logs`, `resume`, `retry` and `cancel` as a person calls them, with real processes that are killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from shipway.process_identity import is_running, members
from shipway.receipt import RunOutcome
from shipway.receipt_file import load_receipt
from shipway.run_record import RunStatus
from shipway.workspace import Workspace
from tests.runs import Lifeline, begin, call, declare, finish, journal_of, run, stage

ENDLESS = "while :; do sleep 0.05; done"
CI = {"GITHUB_ACTIONS": "true", "CI": "true"}

pytestmark = pytest.mark.acceptance


def last(root: Path) -> str:
    return journal_of(root).runs()[0].run


def receipts(root: Path) -> list[Path]:
    return sorted((root / ".shipway/receipts").glob("*.json"))


def killed(root: Path, steps: str, **more: str) -> subprocess.Popen[str]:
    """Begin a run, wait until a step of it says `go` in the pipe `ready`, and kill Shipway; the process, ended."""
    ready = Lifeline(root / "ready")
    declare(root, stage(steps, lasting=True, **more))
    process = begin(root, "run", "--yes")
    ready.wait()
    process.send_signal(signal.SIGKILL)
    process.wait()
    for stream in (process.stdout, process.stderr):
        assert stream is not None
        stream.close()
    return process


def test_runs_are_listed_the_last_first(tmp_path: Path) -> None:
    assert "no run was begun here yet" in call(tmp_path, "runs").out
    run(tmp_path, stage('- run: "true"'))
    run(tmp_path, stage("- run: exit 1"))
    names = [summary.run for summary in journal_of(tmp_path).runs()]
    lines = call(tmp_path, "runs").out.splitlines()
    assert lines[0].split() == ["RUN", "LIFECYCLE", "TARGET", "STANDING", "BEGAN", "TOOK"]
    assert [line.split()[0] for line in lines[1:]] == names
    assert [line.split()[3] for line in lines[1:]] == ["failed", "succeeded"]
    assert call(tmp_path, "runs", "-q").out.splitlines() == names
    told = json.loads(call(tmp_path, "runs", "--json").out)["runs"]
    assert [(entry["run"], entry["status"]) for entry in told] == list(zip(names, ["failed", "succeeded"], strict=True))
    assert "no run was begun" in call(tmp_path, "runs", "--target", "other").out


def test_logs_show_what_steps_and_undos_printed(tmp_path: Path) -> None:
    steps = """
        - {id: a, run: 'echo hello; echo "::error::no command"', undo: echo goodbye}
        - {id: b, run: exit 1}
    """
    run(tmp_path, stage(steps, lasting=True))
    out = call(tmp_path, "logs").out
    assert out == "── main/a\nhello\n::error::no command\n── main/b: it printed nothing\n── undo of main/a\ngoodbye\n"
    assert call(tmp_path, "logs", last(tmp_path), "main/a", "-q").out == "hello\n::error::no command\ngoodbye\n"
    for step in ("main/a", "a"):
        assert call(tmp_path, "logs", step, "-q").out == "hello\n::error::no command\ngoodbye\n", "of the last run"
    assert "no step `main/aa` began in run `" in call(tmp_path, "logs", "main/aa").err
    assert "\n::error" not in call(tmp_path, "logs", env=CI).out
    told = json.loads(call(tmp_path, "logs", "--json").out)
    assert told["logs"][0] == {"node": "main/a", "verb": "do", "text": "hello\n::error::no command\n"}
    wrong = call(tmp_path, "logs", last(tmp_path), "main/aa")
    assert wrong.exit_code == 2
    assert "Did you mean `main/a`?" in wrong.err
    assert call(tmp_path, "logs", "20260101T000000-abcdef").exit_code == 2


def test_resume_goes_on_with_the_last_run_that_is_not_done(tmp_path: Path) -> None:
    declare(tmp_path, stage("- run: echo a >> told\n- run: test -e mended", more="defaults: {rollback: none}"))
    assert call(tmp_path, "run", "--yes").exit_code == 1
    (tmp_path / "mended").touch()
    done = call(tmp_path, "resume")
    assert done.exit_code == 0, done
    assert "1 node and 1 done before" in done.out
    assert (tmp_path / "told").read_text() == "a\n"
    assert len(receipts(tmp_path)) == 2
    assert load_receipt(receipts(tmp_path)[0].read_bytes(), lambda data: None).run == last(tmp_path)
    nothing = call(tmp_path, "resume")
    assert nothing.exit_code == 2
    assert "nothing to go on with" in nothing.err
    assert call(tmp_path, "resume", last(tmp_path)).exit_code == 2
    shown = call(tmp_path, "show", last(tmp_path))
    assert "succeeded" in shown.out


def test_a_killed_run_is_shown_where_the_last_one_is_asked_for_and_no_older_receipt(tmp_path: Path) -> None:
    run(tmp_path, stage('- run: "true"'))
    older = last(tmp_path)
    killed(tmp_path, f'- {{id: a, run: "exec 9> ready; echo go >&9; {ENDLESS}"}}')
    for shown in (call(tmp_path, "show"), call(tmp_path, "show", last(tmp_path))):
        assert shown.exit_code == 0
        assert f"run {last(tmp_path)} was killed" in shown.err
    assert older in call(tmp_path, "show", older).out
    assert call(tmp_path, "show", "--target", "other").exit_code == 2
    assert call(tmp_path, "runs", "repair").exit_code == 0, "what outlived the killed run is ended"


def test_a_part_of_the_last_run_that_succeeded_is_run_again_where_it_is_said_from_which_step(tmp_path: Path) -> None:
    run(tmp_path, stage('- {id: a, run: "true"}\n- {id: b, run: echo b >> did}'))
    assert call(tmp_path, "resume", "--yes").exit_code == 2
    assert call(tmp_path, "resume", "--yes", "--from", "main/b").exit_code == 0
    assert (tmp_path / "did").read_text() == "b\nb\n"


def test_d069_retry_takes_a_node_that_failed_and_no_other(tmp_path: Path) -> None:
    steps = '- {id: a, run: "true"}\n- {id: b, run: test -e mended}'
    run(tmp_path, stage(steps, more="defaults: {rollback: none}"))
    other = call(tmp_path, "retry", last(tmp_path), "main/a")
    assert other.exit_code == 2
    assert "`main/a` has not failed (it is `succeeded`)" in other.err
    unknown = call(tmp_path, "retry", last(tmp_path), "main/bb")
    assert unknown.exit_code == 2
    assert "Did you mean `main/b`?" in unknown.err
    (tmp_path / "mended").touch()
    done = call(tmp_path, "retry", last(tmp_path), "main/b", "--json")
    assert done.exit_code == 0, done
    nodes = {node["id"]: node for node in json.loads(done.out)["nodes"]}
    assert len(nodes["main/b"]["attempts"]) == 2


def test_a_child_that_outlived_a_killed_shipway_is_ended_before_anything_is_asked(tmp_path: Path) -> None:
    steps = f"""
        - {{id: a, run: echo a >> told}}
        - id: b
          run: 'test -e spared || {{ echo go > ready; {ENDLESS}; }}'
          verify: 'test -e alive && exit 9; exit 3'
    """
    killed(tmp_path, steps)
    journal = journal_of(tmp_path)
    [summary] = journal.runs()
    assert summary.has_crashed
    [entry] = [entry for entry in journal.read(summary.run).history if entry.node == "main/b"]
    (tmp_path / "spared").touch()
    done = call(tmp_path, "resume")
    assert done.exit_code == 0, done
    if entry.group is not None:
        assert not is_running(entry.group, entry.group_started)
        assert members(entry.group) == []
    assert (tmp_path / "told").read_text() == "a\n"


def test_g048_a_killed_run_is_shown_and_repair_seals_it(tmp_path: Path) -> None:
    killed(
        tmp_path,
        f'- {{id: a, run: "true", undo: "true"}}\n- {{id: b, run: "echo go > ready; {ENDLESS}"}}\n- run: "true"',
    )
    assert "killed" in call(tmp_path, "runs").out
    shown = call(tmp_path, "show", last(tmp_path))
    assert shown.exit_code == 0, shown
    assert "was killed" in shown.err
    assert "unknown" in shown.out
    repaired = call(tmp_path, "runs", "repair")
    assert repaired.exit_code == 0, repaired
    assert f"sealed {last(tmp_path)}" in repaired.out
    [path] = receipts(tmp_path)
    receipt = load_receipt(path.read_bytes(), lambda data: None)
    assert [result.outcome.value for result in receipt.nodes] == ["succeeded", "unknown", "not_started"]
    assert receipt.outcome is RunOutcome.NOT_UNDONE
    assert any("left as it is" in warning for warning in receipt.warnings)
    assert journal_of(tmp_path).runs()[0].status is RunStatus.NOT_UNDONE
    assert call(tmp_path, "runs", "repair").out == "there is nothing to repair\n"


def test_l17_what_prepare_made_is_in_the_journal_first_and_repair_removes_it(tmp_path: Path) -> None:
    run(tmp_path, stage('- run: "true"'))
    made = tmp_path / "credentials"
    child = os.fork()
    if not child:
        number = journal_of(tmp_path).making(str(made))
        assert number
        made.write_text("secret")
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert made.exists()
    own = journal_of(tmp_path).making(str(tmp_path / "in use"))
    (tmp_path / "in use").mkdir()
    repaired = call(tmp_path, "runs", "repair")
    assert f"removed {made}" in repaired.out
    assert not made.exists()
    assert (tmp_path / "in use").exists()
    journal_of(tmp_path).removed(own)


def test_case_46_d071_cancel_ends_a_run_of_another_process_and_leaves_one_that_has_ended(tmp_path: Path) -> None:
    ready = Lifeline(tmp_path / "ready")
    steps = f"""
        - {{id: a, run: "true", undo: echo undone >> told}}
        - {{id: b, run: "exec 9> ready; echo go >&9; {ENDLESS}"}}
        - {{id: c, run: echo c >> told}}
    """
    declare(tmp_path, stage(steps, lasting=True))
    process = begin(tmp_path, "run", "--yes")
    ready.wait()
    held = call(tmp_path, "run", "--yes")
    assert held.exit_code == 6, held
    assert "lock-held" in call(tmp_path, "run", "--yes", "--json").out
    assert call(tmp_path, "resume", last(tmp_path)).exit_code == 6
    cancelled = call(tmp_path, "cancel", last(tmp_path))
    assert cancelled.exit_code == 0, cancelled
    assert "has ended: cancelled" in cancelled.out
    assert finish(process).exit_code == 130
    assert not ready.is_held()
    assert not (tmp_path / "told").exists()
    again = call(tmp_path, "cancel", last(tmp_path))
    assert again.exit_code == 2
    assert "has ended: cancelled" in again.err
    assert call(tmp_path, "cancel", "20260101T000000-abcdef").exit_code == 2


def test_d072_a_cancelled_run_stays_cancelled(tmp_path: Path) -> None:
    killed(tmp_path, f'- {{id: a, run: "exec 9> ready; echo go >&9; {ENDLESS}"}}\n- {{id: b, run: echo b >> told}}')
    cancelled = call(tmp_path, "cancel", last(tmp_path), "--json")
    assert json.loads(cancelled.out)["status"] in ("cancelled", "not_undone")
    assert not (tmp_path / "told").exists()
    [path] = receipts(tmp_path)
    assert load_receipt(path.read_bytes(), lambda data: None).by_id["main/b"].outcome.value == "not_started"
    assert not journal_of(tmp_path).runs()[0].has_crashed


def test_prune_forgets_old_runs_of_each_target_and_keeps_receipts(tmp_path: Path) -> None:
    declare(tmp_path, stage('- run: "true"', more='targets: {"t-*": {}}'))
    for target in ("t-1", "t-1", "t-1", "t-2"):
        assert call(tmp_path, "run", "--yes", "-q", "--target", target).exit_code == 0
    names = [summary.run for summary in journal_of(tmp_path).runs()]
    pruned = call(tmp_path, "runs", "prune", "--keep", "1")
    assert pruned.exit_code == 0, pruned
    assert [summary.run for summary in journal_of(tmp_path).runs()] == names[:2]
    assert len(receipts(tmp_path)) == 4
    assert sorted(path.name for path in (Workspace(tmp_path).directory / "runs").iterdir()) == sorted(names[:2])


def test_case_53_as_ci_cancels_children_are_gone_and_the_receipt_is_sealed_after_the_first_signal(
    tmp_path: Path,
) -> None:
    ready = Lifeline(tmp_path / "ready")
    deaf = "trap '' INT; while :; do sleep 0.05 || :; done"
    declare(tmp_path, stage(f'- {{id: a, run: "exec 9> ready; echo go >&9; {deaf}", undo: touch never}}', lasting=True))
    process = begin(tmp_path, "run", "--yes", env=CI)
    ready.wait()
    process.send_signal(signal.SIGINT)
    # The second signal of CI comes 7.5 s later: by then there must be nothing left for it to end.
    out, err = process.communicate(timeout=7)
    assert process.returncode == 130, (out, err)
    assert not ready.is_held()
    assert len(receipts(tmp_path)) == 1
    assert not (tmp_path / "never").exists()
    assert journal_of(tmp_path).runs()[0].status is RunStatus.CANCELLED
