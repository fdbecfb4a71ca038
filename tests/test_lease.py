"""Who holds a run, and what becomes of one that lost it: it drops what it has, ends its children, and touches nothing."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

from shipway.errors import Reason
from shipway.journal_file import JournalFile
from shipway.process_identity import is_running, start_of
from shipway.run_record import RunStatus
from shipway.workspace import Workspace
from tests.runs import PATIENCE_S, journal_of, run, stage
from tests.test_journal import opening, plan_of

TAKE = """
import sqlite3
journal = sqlite3.connect(".shipway/journal.sqlite")
journal.execute("UPDATE run SET token='of another'")
journal.commit()
"""


def test_d049_d051_a_run_that_was_taken_over_ends_its_children_and_undoes_nothing(tmp_path: Path) -> None:
    (tmp_path / "take.py").write_text(TAKE)
    steps = """
        first: {run: echo first >> told, undo: echo undone >> told}
        long: {run: 'echo $$ > pid; while :; do sleep 0.05; done', undo: echo undone >> told}
        taken: {run: 'while ! test -s pid; do sleep 0.01; done; python3 take.py', needs: [first], undo: echo undone >> told}
        after: {run: echo after >> told, needs: [taken]}
    """
    ran = run(tmp_path, stage(steps, lasting=True))
    assert ran.error.reason is Reason.LEASE_LOST
    assert ran.error.exit_code == 6
    assert ran.finished.receipt is None
    assert (tmp_path / "told").read_text() == "first\n"
    pid = int((tmp_path / "pid").read_text())
    assert not is_running(pid, start_of(pid))
    [summary] = journal_of(tmp_path).runs()
    assert summary.status is RunStatus.RUNNING
    unreported = [entry.node for entry in journal_of(tmp_path).read(summary.run).history if entry.outcome is None]
    assert unreported == ["main/long", "main/taken"]


def test_d050_a_lease_is_renewed_again_and_again_for_as_long_as_the_run_is_held(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    now = [1_000_000]
    journal = JournalFile(Workspace(tmp_path), token=lambda: "mine", unix_ms=lambda: now[0], lease_ms=30)
    writer = journal.begin(opening("one", plan), plan)
    connection = sqlite3.connect(Workspace(tmp_path).journal, isolation_level=None)

    def until() -> int:
        [(found,)] = connection.execute("SELECT lease_until_ms FROM run")
        return int(found)

    for later in (2_000_000, 3_000_000):
        now[0] = later
        deadline = time.monotonic() + PATIENCE_S
        while until() < later and time.monotonic() < deadline:
            pass
        assert until() >= later
    writer.close()
    now[0] = 9_000_000
    assert until() < now[0]
    connection.close()
