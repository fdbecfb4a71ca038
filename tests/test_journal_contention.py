"""Many processes and one journal: nobody is told that it is locked, nothing is lost, and who is killed harms nobody else."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from shipway.nodes import Outcome
from shipway.run_record import RunStatus
from shipway.workspace import Workspace
from tests.contend import NODES
from tests.runs import PATIENCE_S, begin, declare, finish, journal_of, stage

ROOT = Path(__file__).resolve().parent.parent
PROCESSES = 50

pytestmark = pytest.mark.acceptance


def test_d058_four_processes_share_one_journal_and_each_node_is_executed_once(tmp_path: Path) -> None:
    steps = "\n".join(
        f"n{number}: {{run: echo $T n{number} >> told, env: {{T: '${{{{ target }}}}'}}}}" for number in range(50)
    )
    declare(tmp_path, stage(steps, more='targets: {"t-*": {}}'))
    runs = [begin(tmp_path, "run", "--yes", "-q", "--target", f"t-{number}") for number in range(4)]
    for called in map(finish, runs):
        assert called.exit_code == 0, called
        assert "locked" not in called.err
    told = Counter((tmp_path / "told").read_text().splitlines())
    assert len(told) == 200
    assert set(told.values()) == {1}
    journal = journal_of(tmp_path)
    for summary in journal.runs():
        assert summary.status is RunStatus.SUCCEEDED
        history = journal.read(summary.run).history
        assert [entry.outcome for entry in history] == [Outcome.SUCCEEDED] * 50


def test_fifty_processes_want_one_journal_and_one_run_while_some_are_killed(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(1, 1 << 32)
    print(f"seed {seed}")  # noqa: T201 - what it takes to see a failure again
    chance = random.Random(seed)
    declare(tmp_path, stage("\n".join(f'n{number}: {{run: "true"}}' for number in range(NODES))))
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.contend", str(tmp_path), str(number), "4"],
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(PROCESSES)
    ]
    doomed = chance.sample(processes, PROCESSES // 5)
    for process in doomed:
        try:
            process.wait(timeout=chance.random() * 3)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
    for process in processes:
        _, complaints = process.communicate(timeout=4 * PATIENCE_S)
        assert process.returncode == 0 or (process in doomed and process.returncode == -signal.SIGKILL), complaints
    connection = sqlite3.connect(Workspace(tmp_path).journal)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    connection.close()
    journal = journal_of(tmp_path)
    own = [summary for summary in journal.runs() if summary.run.startswith("own")]
    assert len(own) >= 4 * (PROCESSES - len(doomed))
    for summary in chance.sample(own, 20):
        history = journal.read(summary.run).history
        assert [entry.sequence for entry in history] == list(range(1, len(history) + 1))
        if summary.status is RunStatus.SUCCEEDED:
            assert [entry.outcome for entry in history] == [Outcome.SUCCEEDED] * NODES
        else:
            assert summary.has_crashed
