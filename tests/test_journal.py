"""What the journal holds of a run, when it is on disk, and that it stays one file that only its owner writes to."""

from __future__ import annotations

import os
import random
import sqlite3
import stat
import zlib
from pathlib import Path

import pytest
from msgspec.structs import replace

from shipway import journal_plans
from shipway.action import Verb
from shipway.errors import Reason, UnreachableError, UsageError
from shipway.events import Events
from shipway.interruption import Interruption
from shipway.journal import LeaseLost
from shipway.journal_schema import Damaged, opened
from shipway.lifecycle import check_lifecycle
from shipway.nodes import Outcome
from shipway.plan import Plan
from shipway.registry import Registry
from shipway.repository import open_repository
from shipway.run_record import Opening, Owner, RunStatus
from shipway.undertaking import Request, Surroundings
from shipway.workspace import Workspace
from tests.runs import GRACE, Kept, context_of, environment, journal_of, run, stage

READ_ATTEMPTS = (
    "import sqlite3; c = sqlite3.connect('.shipway/journal.sqlite');"
    " print(sorted(c.execute('select node, number, outcome from attempt')))"
)


def plan_of(root: Path, steps: str = '- run: "true"') -> Plan:
    plan = run(root, stage(steps), execute=False).finished.plan
    assert plan is not None
    return plan


def opening(name: str, plan: Plan) -> Opening:
    return Opening(name, plan.lifecycle, plan.target, plan.source.file, 1_000)


def statuses(root: Path) -> list[RunStatus]:
    return [summary.status for summary in journal_of(root).runs()]


def test_a_start_is_on_disk_before_its_effect_and_an_end_before_what_depends_on_it(tmp_path: Path) -> None:
    (tmp_path / "look.py").write_text(READ_ATTEMPTS)
    step = "run: python3 look.py"
    ran = run(tmp_path, stage(f"- {{id: a, {step}}}\n- {{id: b, {step}}}"))
    assert ran.exit_code == 0, ran.receipt
    assert ran.log("main/a") == "[('main/a', 1, None)]\n"
    assert ran.log("main/b") == "[('main/a', 1, 'succeeded'), ('main/b', 1, None)]\n"


def test_d066_d067_every_attempt_is_kept_with_its_times_and_error(tmp_path: Path) -> None:
    steps = """
        - id: a
          run: 'echo tried; test -e again || { touch again; exit 7; }; echo "n=3" >> "$SHIPWAY_OUTPUT"'
          outputs: {n: integer}
          retry: {attempts: 3, backoff: constant, initial: 1ms}
    """
    ran = run(tmp_path, stage(steps))
    [summary] = journal_of(tmp_path).runs()
    first, second = journal_of(tmp_path).read(summary.run).history
    assert (first.number, first.outcome, first.error, first.exit_code) == (1, Outcome.FAILED, "exit 7", 7)
    assert (second.number, second.outcome, second.error, second.exit_code) == (2, Outcome.SUCCEEDED, "", 0)
    assert second.outputs == {"n": 3}
    assert first.tail == "tried\n"
    assert second.tail == ""
    assert second.log == "main.a.log"
    assert first.ended_ms is not None
    assert first.started_ms <= first.ended_ms <= second.started_ms
    assert [first.attempt(1), second.attempt(2)] == list(ran["main/a"].attempts)


def test_what_a_run_was_and_how_it_ended_is_in_the_journal(tmp_path: Path) -> None:
    ran = run(tmp_path, stage('- {id: a, run: "exit 1"}\n- {id: b, run: "true"}'))
    [summary] = journal_of(tmp_path).runs()
    record = journal_of(tmp_path).read(summary.run)
    assert (summary.lifecycle, summary.target, summary.status) == ("test", "default", RunStatus.FAILED)
    assert summary.receipt == ran.receipt.digest
    assert not summary.is_alive
    assert not summary.has_crashed
    assert summary.owner.pid == os.getpid()
    assert record.opening.file == "shipway.yml"
    assert record.decided["main/b"].outcome is Outcome.BLOCKED
    assert record.decided["main/b"].cause == "main/a"
    plan = ran.finished.plan
    assert plan is not None
    journal = journal_of(tmp_path)
    assert journal.plan(summary.run).document == plan.document
    other = replace(plan, lifecycle="another")
    assert journal.plan(summary.run, plan) is plan
    assert journal.plan(summary.run, other).document == plan.document


def test_undos_are_in_the_journal_behind_the_attempts(tmp_path: Path) -> None:
    steps = '- {id: a, run: "true", undo: "true"}\n- {id: b, run: exit 1, undo: exit 2}'
    run(tmp_path, stage(steps, lasting=True))
    [summary] = journal_of(tmp_path).runs()
    history = journal_of(tmp_path).read(summary.run).history
    told = [(entry.sequence, entry.node, entry.verb, entry.outcome) for entry in history]
    assert told == [
        (1, "main/a", Verb.DO, Outcome.SUCCEEDED),
        (2, "main/b", Verb.DO, Outcome.FAILED),
        (3, "main/b", Verb.UNDO, Outcome.UNDO_FAILED),
        (4, "main/a", Verb.UNDO, Outcome.UNDONE),
    ]
    assert summary.status is RunStatus.NOT_UNDONE


def test_undo_state_of_an_action_and_the_mark_of_a_lost_secret_are_kept(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("before")
    steps = """
        - {id: write, uses: file.write, with: {path: old, content: after}}
        - {id: key, run: 'echo "k=s3cr3t-value" >> "$SHIPWAY_OUTPUT"', outputs: {k: secret}}
    """
    ran = run(tmp_path, stage(steps, lasting=True))
    assert ran.exit_code == 0
    [summary] = journal_of(tmp_path).runs()
    write, key = journal_of(tmp_path).read(summary.run).history
    assert write.undo is not None
    assert (key.outputs, key.lost) == ({}, ("k",))
    assert b"s3cr3t" not in b"".join(path.read_bytes() for path in (tmp_path / ".shipway").glob("journal*"))


def test_d008_two_runs_may_each_have_a_node_of_the_same_name(tmp_path: Path) -> None:
    first = run(tmp_path, stage('- {id: root, run: "true"}'))
    second = run(tmp_path, stage('- {id: root, run: "exit 1"}'))
    assert (first.exit_code, second.exit_code) == (0, 1)
    journal = journal_of(tmp_path)
    assert statuses(tmp_path) == [RunStatus.FAILED, RunStatus.SUCCEEDED]
    assert [journal.read(summary.run).history[0].exit_code for summary in journal.runs()] == [1, 0]


def test_d011_while_a_run_is_in_progress_no_other_of_its_lifecycle_and_target_begins(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    writer = journal_of(tmp_path).begin(opening("one", plan), plan)
    with pytest.raises(UnreachableError) as caught:
        journal_of(tmp_path).begin(opening("two", plan), plan)
    assert caught.value.reason is Reason.LOCK_HELD
    assert "`one`" in caught.value.message
    writer.finished(RunStatus.SUCCEEDED, 2_000)
    writer.close()
    journal_of(tmp_path).begin(opening("two", plan), plan).close()
    assert [summary.run for summary in journal_of(tmp_path).runs()] == ["two", "one"]


def test_d049_what_a_process_reports_after_it_lost_the_run_is_refused(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    writer = journal_of(tmp_path).begin(opening("one", plan), plan)
    [node] = plan.nodes
    writer.begun(node, 1, 0)
    writer.commit()
    other = sqlite3.connect(Workspace(tmp_path).journal)
    other.execute("UPDATE run SET token='of another'")
    other.commit()
    with pytest.raises(LeaseLost):
        writer.finished(RunStatus.SUCCEEDED, 1)
    with pytest.raises(LeaseLost):
        writer.undo_begun(node, 1)
    with pytest.raises(LeaseLost):
        writer.rolling_back([])
    writer.close()
    assert statuses(tmp_path) == [RunStatus.RUNNING]
    assert len(journal_of(tmp_path).read("one").history) == 1


def test_d052_no_two_leases_have_the_same_token(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    for name in ("one", "two"):
        writer = journal_of(tmp_path).begin(opening(name, plan), plan)
        writer.finished(RunStatus.SUCCEEDED, 1)
        writer.close()
    owners = {summary.owner for summary in journal_of(tmp_path).runs()}
    assert len({owner.token for owner in owners}) == 2
    assert {type(owner) for owner in owners} == {Owner}


def test_d076_how_the_file_is_used(tmp_path: Path) -> None:
    run(tmp_path, stage('- run: "true"'))
    path = Workspace(tmp_path).journal
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    connection = opened(path)
    asked = {name: connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "foreign_keys")}
    assert asked == {"journal_mode": "wal", "foreign_keys": 1}
    assert connection.execute("PRAGMA busy_timeout").fetchone()[0] == 60_000
    assert connection.execute("PRAGMA synchronous").fetchone()[0] == 1
    columns = [row for table in ("run", "attempt") for row in connection.execute(f"PRAGMA table_info({table})")]
    assert {kind for _, name, kind, *_ in columns if name.endswith("_ms")} == {"INTEGER"}
    with pytest.raises(sqlite3.IntegrityError):
        connection.execute("INSERT INTO decided VALUES (99, 'n', 'skipped', '', '')")
    connection.close()


def test_d075_nothing_is_made_by_looking_and_an_unknown_run_is_an_error(tmp_path: Path) -> None:
    journal = journal_of(tmp_path)
    assert journal.runs() == []
    assert not Workspace(tmp_path).directory.exists()
    with pytest.raises(UsageError) as caught:
        journal.find("20260101T000000-abcdef")
    assert caught.value.reason is Reason.RUN_UNKNOWN


def test_a_dry_run_leaves_no_journal(tmp_path: Path) -> None:
    run(tmp_path, stage('- run: "true"'), execute=False)
    assert not Workspace(tmp_path).journal.exists()


def test_d078_a_large_input_that_many_nodes_share_is_stored_once(tmp_path: Path) -> None:
    steps = 1_800
    content = random.Random(1).randbytes(32 * 1024).hex()
    step = "{uses: file.write, with: {path: f, content: '${{ values.big }}'}}"
    declared = "".join(f"  n{number}: {step.replace('path: f', f'path: f{number}')}\n" for number in range(steps))
    (tmp_path / "shipway.yml").write_text(f"version: 1\nname: test\nvalues: {{big: '{content}'}}\nsteps:\n{declared}")
    context = context_of(tmp_path, environment())
    around = Surroundings(
        context=context,
        repository=open_repository(tmp_path, context.env),
        registry=Registry(),
        events=Events(),
        reporter=Kept(),
        interruption=Interruption(),
        grace=GRACE,
        processors=2,
    )
    plan = check_lifecycle(Request(tmp_path / "shipway.yml", "default"), around)
    assert len(plan.canonical_body) > steps * len(content)
    journal = journal_of(tmp_path)
    journal.begin(opening("one", plan), plan).close()
    assert Workspace(tmp_path).journal.stat().st_size < 2_000_000
    kept = journal.plan("one")
    assert kept.digest == plan.digest
    assert kept.nodes[-1].slots["content"] == plan.nodes[-1].slots["content"]


@pytest.mark.parametrize("is_large", [False, True], ids=["whole", "large-texts-apart"])
def test_a_plan_comes_back_from_the_journal_as_it_was_and_an_altered_one_is_refused(
    is_large: bool, tmp_path: Path
) -> None:
    items = ", ".join(f"i{number}" for number in range(900 if is_large else 2))
    plan = plan_of(tmp_path, f'- {{id: s, run: "true # {"x" * 5_000}", gather: {{items: [{items}]}}}}')
    connection = sqlite3.connect(tmp_path / "plans.sqlite")
    connection.executescript(
        "CREATE TABLE plan (plan INTEGER PRIMARY KEY, digest TEXT, content BLOB, shared TEXT);"
        "CREATE TABLE content (digest TEXT PRIMARY KEY, content BLOB)"
    )
    key = journal_plans.store(connection, plan)
    assert bool(connection.execute("SELECT count(*) FROM content").fetchone()[0]) is is_large
    found = journal_plans.load(connection, key)
    assert (found.digest, found.effect) == (plan.digest, plan.effect)
    assert found.document == plan.document
    [(content,)] = connection.execute("SELECT content FROM plan").fetchall()
    altered = zlib.compress(zlib.decompress(content).replace(b'"id":"main/s[i1]"', b'"id":"main/s[i0]"'))
    connection.execute("UPDATE plan SET content=?", (altered,))
    with pytest.raises(Damaged, match="not the one that was stored"):
        journal_plans.load(connection, key)
    connection.close()
