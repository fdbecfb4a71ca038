"""Shows with real signals to a real command line what an interrupted run leaves: nothing running, and a receipt of all."""

from __future__ import annotations

import signal
import subprocess
from collections import UserDict
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shipway.action import Command
from shipway.errors import Interrupted
from shipway.execution import PlanCommands
from shipway.interruption import Interruption
from shipway.receipt import Receipt, RunOutcome
from shipway.receipt_file import load_receipt
from shipway.redaction import Redactor
from tests.runs import GRACE, Called, Lifeline, begin, context_of, declare, environment, finish, run, stage

ENDLESS = "while :; do sleep 0.05; done"
DEAF = "while :; do sleep 0.05 || :; done"  # the interrupt that ends the sleep must not end the shell
CI = {"GITHUB_ACTIONS": "true", "CI": "true"}

pytestmark = pytest.mark.acceptance


def receipt_of(root: Path) -> Receipt:
    [path] = (root / ".shipway/receipts").glob("*.json")
    return load_receipt(path.read_bytes(), lambda data: None)


def outcomes(receipt: Receipt) -> dict[str, str]:
    return {result.node.removeprefix("main/"): result.outcome.value for result in receipt.nodes}


def left_in_run(root: Path, receipt: Receipt) -> set[str]:
    return {path.name for path in (root / ".shipway/runs" / receipt.run).iterdir()}


def strike(process: subprocess.Popen[str], number: int = signal.SIGINT) -> None:
    process.send_signal(number)


def interrupted(root: Path, process: subprocess.Popen[str]) -> tuple[Called, Receipt]:
    called = finish(process)
    return called, receipt_of(root)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_case_53_l16_g048_a_signal_ends_all_groups_cleans_up_and_leaves_a_receipt(tmp_path: Path, number: int) -> None:
    ready = Lifeline(tmp_path / "ready")
    steps = f"""
        - {{id: first, run: "true", undo: touch undone}}
        - {{id: second, run: "exec 9> ready; (exec 8> ready; {ENDLESS}) & echo go >&9; {ENDLESS}", undo: touch undone}}
        - {{id: third, run: "true"}}
    """
    declare(tmp_path, stage(steps, lasting=True))
    process = begin(tmp_path, "run", "--yes")
    ready.wait()
    strike(process, number)
    called, receipt = interrupted(tmp_path, process)
    assert called.exit_code == 130, called
    assert not ready.is_held()
    assert outcomes(receipt) == {"first": "succeeded", "second": "cancelled", "third": "not_started"}
    assert receipt.outcome is RunOutcome.CANCELLED
    assert not (tmp_path / "undone").exists()
    assert any("left as it is: `main/first`, `main/second`" in warning for warning in receipt.warnings)
    assert left_in_run(tmp_path, receipt).isdisjoint({"raw", "io", "scratch"})


@pytest.mark.parametrize(("policy", "undone"), [("leave", []), ("undo", ["second", "first"])])
def test_case_53_l16_on_cancel_says_whether_what_was_begun_is_undone(
    tmp_path: Path, policy: str, undone: list[str]
) -> None:
    ready = Lifeline(tmp_path / "ready")
    steps = f"""
        - {{id: first, run: "true", undo: echo first >> undone}}
        - {{id: second, run: "echo go > ready; {ENDLESS}", undo: echo second $SHIPWAY_OUTCOME >> undone}}
    """
    declare(tmp_path, stage(steps, lasting=True, defaults=f"on_cancel: {policy}"))
    process = begin(tmp_path, "run", "--yes", env=CI)
    ready.wait()
    strike(process)
    called, receipt = interrupted(tmp_path, process)
    assert called.exit_code == 130, called
    assert [entry.node.removeprefix("main/") for entry in receipt.rollback] == undone
    if undone:
        assert (tmp_path / "undone").read_text() == "second cancelled\nfirst\n"


def test_what_was_to_be_undone_and_could_not_be_beats_the_interruption(tmp_path: Path) -> None:
    ready = Lifeline(tmp_path / "ready")
    steps = f'- {{id: a, run: "echo go > ready; {ENDLESS}", undo: exit 1}}'
    declare(tmp_path, stage(steps, lasting=True, defaults="on_cancel: undo"))
    process = begin(tmp_path, "run", "--yes")
    ready.wait()
    strike(process)
    called, receipt = interrupted(tmp_path, process)
    assert called.exit_code == 4, called
    assert outcomes(receipt) == {"a": "undo_failed"}


def test_case_53_a_second_signal_kills_at_once_and_begins_nothing_more(tmp_path: Path) -> None:
    ready, told = Lifeline(tmp_path / "ready"), Lifeline(tmp_path / "told")
    steps = f"""
        deaf: {{run: "exec 9> ready; trap 'echo once > told' INT; trap '' TERM; echo go >&9; {DEAF}", undo: touch never}}
        tidy: {{run: touch never, needs: [deaf], if: always()}}
    """
    declare(tmp_path, stage(steps, lasting=True, defaults="on_cancel: undo"))
    process = begin(tmp_path, "run", "--yes")
    ready.wait()
    strike(process)
    told.wait()
    strike(process)
    called, receipt = interrupted(tmp_path, process)
    assert called.exit_code == 4, called
    assert not ready.is_held()
    assert outcomes(receipt) == {"deaf": "undo_failed", "tidy": "not_started"}
    assert receipt.rollback[0].error == "interrupted before it was undone"
    assert not (tmp_path / "never").exists()


def test_always_runs_after_one_signal(tmp_path: Path) -> None:
    ready = Lifeline(tmp_path / "ready")
    steps = f"""
        long: {{run: "echo go > ready; {ENDLESS}"}}
        tidy: {{run: touch tidied, needs: [long], if: always()}}
        tell: {{run: touch told, needs: [long], if: cancelled()}}
        grieve: {{run: touch never, needs: [long], if: failure()}}
    """
    declare(tmp_path, stage(steps))
    process = begin(tmp_path, "run", "--yes")
    ready.wait()
    strike(process)
    called, receipt = interrupted(tmp_path, process)
    assert called.exit_code == 130, called
    assert outcomes(receipt) == {"long": "cancelled", "tidy": "succeeded", "tell": "succeeded", "grieve": "skipped"}


def test_a_signal_while_planning_starts_nothing(tmp_path: Path) -> None:
    ready = Lifeline(tmp_path / "ready")
    steps = f'- {{id: a, run: touch ran, plan: "exec 9> ready; echo go >&9; {ENDLESS}"}}'
    declare(tmp_path, stage(steps))
    process = begin(tmp_path, "run", "--yes")
    ready.wait()
    strike(process)
    called, receipt = interrupted(tmp_path, process)
    assert called.exit_code == 130, called
    assert "Nothing was started" in called.err
    assert not ready.is_held()
    assert not (tmp_path / "ran").exists()
    assert receipt.outcome is RunOutcome.CANCELLED and receipt.nodes == ()


class StrikingEnvironment(UserDict[str, str]):
    """An environment during whose reading, just before the child is started, a signal comes."""

    def __init__(self, strike: Callable[[], None]) -> None:
        super().__init__(environment())
        self._strike = strike

    def __iter__(self) -> Iterator[str]:
        self._strike()
        return super().__iter__()


def test_a_signal_while_a_plan_command_is_being_started_neither_loses_nor_awaits_it(tmp_path: Path) -> None:
    held = Lifeline(tmp_path / "held")
    interruption = Interruption()
    plan = run(tmp_path, stage('- {id: a, run: "true"}'), execute=False).finished.plan
    assert plan is not None
    commands = PlanCommands(context_of(tmp_path, environment()), Redactor({}), GRACE, interruption)
    script = f"exec 9> held; {ENDLESS}"
    with pytest.raises(Interrupted):
        commands.execute(
            plan.nodes[0], Command(("bash", "-c", script), tmp_path, StrikingEnvironment(interruption.strike))
        )
    commands.close()
    assert interruption.struck and not held.is_held()


def test_a_signal_while_rolling_back_lets_the_undo_finish(tmp_path: Path) -> None:
    ready, go = Lifeline(tmp_path / "ready"), tmp_path / "go"
    steps = """
        - {id: a, run: "true", undo: "touch undone-a"}
        - {id: b, run: exit 1, undo: "echo go > ready; until [ -e go ]; do sleep 0.01; done"}
    """
    declare(tmp_path, stage(steps, lasting=True))
    process = begin(tmp_path, "run", "--yes", env=CI)
    ready.wait()
    strike(process)
    go.touch()
    called, receipt = interrupted(tmp_path, process)
    assert outcomes(receipt) == {"a": "undone", "b": "undone"}
    assert (tmp_path / "undone-a").exists()
    assert called.exit_code == 130, called


def test_two_signals_while_rolling_back_end_it_and_say_what_is_left(tmp_path: Path) -> None:
    ready = Lifeline(tmp_path / "ready")
    steps = f"""
        - {{id: a, run: "true", undo: touch never}}
        - {{id: b, run: exit 1, undo: "exec 9> ready; trap '' INT TERM; echo go >&9; {ENDLESS}"}}
    """
    declare(tmp_path, stage(steps, lasting=True))
    process = begin(tmp_path, "run", "--yes")
    ready.wait()
    strike(process)
    strike(process, signal.SIGTERM)
    called, receipt = interrupted(tmp_path, process)
    assert called.exit_code == 4, called
    assert not ready.is_held()
    assert outcomes(receipt) == {"a": "undo_failed", "b": "undo_failed"}
    assert not (tmp_path / "never").exists()


def test_c047_a_person_is_told_what_is_being_ended(tmp_path: Path) -> None:
    ready = Lifeline(tmp_path / "ready")
    declare(tmp_path, stage(f'- {{id: long, run: "echo go > ready; {ENDLESS}"}}'))
    process = begin(tmp_path, "run", "--yes")
    ready.wait()
    strike(process)
    called = finish(process)
    assert "main/long" in called.out and "interrupted" in called.out, called
