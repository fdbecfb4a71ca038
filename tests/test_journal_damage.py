"""What becomes of a run where the journal's file is cut off, of another version, on a full or read-only disk, or late."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from shipway.errors import Reason, ShipwayError, UnreachableError
from shipway.journal_schema import MIGRATIONS, opened
from shipway.journal_writer import SYNC_MS
from shipway.run_record import RunStatus
from shipway.takeover import GoOn
from shipway.workspace import Workspace
from tests.kills import Mortals
from tests.runs import Setting, call, context_of, declare, environment, journal_of, run, stage
from tests.test_journal import opening, plan_of
from tests.test_kills import SUCCEEDING, told

NODES = "\n".join(f"n{number}: {{uses: test.work, with: {{name: n{number}}}}}" for number in range(12))


@pytest.fixture(scope="module")
def mortals() -> Iterator[Mortals]:
    with Mortals() as found:
        yield found


# Another version.


def test_d075_an_older_schema_is_upgraded_and_a_copy_of_it_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    connection = opened(path, MIGRATIONS[:1])
    connection.execute("INSERT INTO content VALUES ('sha256:0', 'kept')")
    connection.close()
    connection = opened(path)
    assert connection.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
    assert connection.execute("SELECT * FROM content").fetchall() == [("sha256:0", "kept")]
    connection.close()
    copy = tmp_path / "journal.sqlite.v1"
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    old = sqlite3.connect(copy)
    assert old.execute("PRAGMA user_version").fetchone() == (1,)
    assert old.execute("SELECT * FROM content").fetchall() == [("sha256:0", "kept")]
    old.close()


def test_d075_a_newer_schema_is_refused_with_both_versions(tmp_path: Path) -> None:
    opened(tmp_path / "journal.sqlite", (*MIGRATIONS, "CREATE TABLE later (x);")).close()
    with pytest.raises(UnreachableError) as caught:
        opened(tmp_path / "journal.sqlite")
    assert caught.value.reason is Reason.JOURNAL_NEWER
    assert caught.value.exit_code == 6
    newest = len(MIGRATIONS)
    assert f"schema {newest + 1}" in caught.value.message
    assert f"knows schema {newest}" in caught.value.message


def test_an_upgrade_that_fails_leaves_the_old_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    opened(path).close()
    with pytest.raises(ShipwayError):
        opened(path, (*MIGRATIONS, "CREATE TABLE half (x); CREATE TABLE run (x);"))
    connection = opened(path)
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    assert "half" not in tables
    connection.close()


# Not what was written there.


@pytest.mark.parametrize("content", [b"not a database, but long enough to be looked at" * 100, b"\0" * 8192])
def test_what_is_no_journal_is_refused(tmp_path: Path, content: bytes) -> None:
    declare(tmp_path, stage("- run: touch made"))
    Workspace(tmp_path).make_directory()
    path = Workspace(tmp_path).journal
    path.write_bytes(content)
    path.chmod(0o600)
    called = call(tmp_path, "run", "--yes")
    assert called.exit_code == 6, called
    assert "journal" in called.err
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("mode", [0o644, 0o640])
def test_a_journal_that_others_can_read_was_not_made_here(tmp_path: Path, mode: int) -> None:
    run(tmp_path, stage('- run: "true"'))
    Workspace(tmp_path).journal.chmod(mode)
    called = call(tmp_path, "runs")
    assert called.exit_code == 6, called
    assert "chmod 600" in called.err


def test_a_journal_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    run(tmp_path, stage('- run: "true"'))
    path = Workspace(tmp_path).journal
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    called = call(tmp_path, "runs")
    assert called.exit_code == 6, called
    assert "link" in called.err


def test_a_journal_cut_off_at_any_page_never_tells_of_a_success(mortals: Mortals, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    (whole / "world").mkdir(parents=True)
    declare(whole, stage(NODES, lasting=True, defaults="parallel: 1"))
    assert mortals.run(whole, 44).was_killed
    name = journal_of(whole).runs()[0].run
    done = set(os.listdir(whole / "world"))
    assert len(done) >= 5
    files = [path for path in (whole / ".shipway").glob("journal.sqlite*") if path.suffix != ".lock"]
    cuts = [(path.name, size) for path in files for size in range(0, path.stat().st_size, 4096)]
    assert len(cuts) > 10
    for number, (file, size) in enumerate(cuts):
        root = tmp_path / str(number)
        shutil.copytree(whole, root)
        os.truncate(root / ".shipway" / file, size)
        ended = mortals.resume(root, name)
        if ended.code == 0:
            # It may have lost what came last; what is there is asked about, and nothing is done twice.
            assert set(os.listdir(root / "world")) == {f"n{number}" for number in range(12)}
        else:
            assert ended.code in (2, 5, 6), (file, size, ended)
            assert ended.error
            assert set(os.listdir(root / "world")) == done
        assert not [line for line in told(root) if line.startswith("again")], (file, size)
        shutil.rmtree(root)


def test_pages_that_were_overwritten_are_found_and_nothing_is_done(mortals: Mortals, tmp_path: Path) -> None:
    (tmp_path / "world").mkdir()
    declare(
        tmp_path, stage(SUCCEEDING.replace("name: e", "name: e, fails: true"), lasting=True, defaults="rollback: none")
    )
    mortals.run(tmp_path)
    before = told(tmp_path)
    path = Workspace(tmp_path).journal
    content = bytearray(path.read_bytes())
    for page in range(1, len(content) // 4096):
        content[page * 4096 : page * 4096 + 2048] = os.urandom(2048)
    path.write_bytes(content)
    called = call(tmp_path, "resume")
    assert called.exit_code == 6, called
    assert "damaged" in called.err
    assert told(tmp_path) == before


# Disks.


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m,mode=0700", "tmpfs", str(place)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a small disk takes root: what a full disk does is not shown here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_disk_that_fills_up_stops_the_run_and_undoes_it_and_it_can_be_gone_on_with(small_disk: Path) -> None:
    steps = """
        - {id: a, run: echo a >> told; touch made, undo: rm made}
        - {id: fill, run: 'cat /dev/zero > filler 2>/dev/null || true', lasting: false}
        - {id: c, run: echo c >> told}
    """
    declare(small_disk, stage(steps, lasting=True))
    called = call(small_disk, "run", "--yes", env={"TMPDIR": str(small_disk.parent)})
    assert called.exit_code in (4, 6), called
    assert "No space left on device" in called.err
    assert (small_disk / "told").read_text() == "a\n"
    assert not (small_disk / "made").exists()
    (small_disk / "filler").unlink()
    [summary] = journal_of(small_disk).runs()
    assert summary.status is not RunStatus.SUCCEEDED


def test_a_read_only_disk_is_one_clear_error(small_disk: Path) -> None:
    declare(small_disk, stage("- run: touch made"))
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    called = call(small_disk, "run", "--yes", env={"TMPDIR": str(small_disk.parent)})
    assert called.exit_code == 6, called
    assert "Read-only file system" in called.err
    assert "Traceback" not in called.err
    assert not (small_disk / "made").exists()


def test_runs_are_listed_from_a_read_only_disk_or_it_is_said_why_not(small_disk: Path) -> None:
    run(small_disk, stage('- run: "true"'))
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    called = call(small_disk, "runs")
    assert called.exit_code in (0, 6), called
    assert "Traceback" not in called.err


# Clocks.


def test_a_clock_that_steps_back_between_two_executions_turns_no_time_around(tmp_path: Path) -> None:
    run(tmp_path, stage('- {id: a, run: "true"}\n- {id: b, run: test -e mended}', more="defaults: {rollback: none}"))
    (tmp_path / "mended").touch()
    name = journal_of(tmp_path).runs()[0].run
    connection = sqlite3.connect(Workspace(tmp_path).journal)
    (text,) = connection.execute("SELECT opening FROM run").fetchone()
    began = journal_of(tmp_path).read(name).opening.began_ms
    late = text.replace(str(began), str(began + 3_600_000))  # seen from there, the clock is an hour behind now
    connection.execute("UPDATE run SET opening=?, began_ms=?", (late, began + 3_600_000))
    connection.commit()
    connection.close()
    again = run(tmp_path, None, Setting(go_on=GoOn(name)))
    assert again.outcomes == {"a": "succeeded", "b": "succeeded"}, again.finished.error
    first, second = again["main/b"].attempts
    assert first.ended_ms < second.started_ms <= second.ended_ms
    assert again.receipt.duration_ms >= second.ended_ms


def test_d048_a_lease_is_compared_as_a_number_and_counts_only_where_nobody_can_look(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    writer = journal_of(tmp_path).begin(opening("one", plan), plan)
    connection = sqlite3.connect(Workspace(tmp_path).journal)

    def owned_by(machine: str, pid: int, until: str) -> bool:
        connection.execute(f"UPDATE run SET machine=?, pid=?, lease_until_ms={until}", (machine, pid))
        connection.commit()
        return journal_of(tmp_path).find("one").is_alive

    now = int(context_of(tmp_path, environment()).now().timestamp() * 1000)
    here = journal_of(tmp_path).find("one").owner.machine
    assert owned_by("elsewhere/boot/pid", 1, str(now + 60_000))
    assert not owned_by("elsewhere/boot/pid", 1, str(now - 1))
    assert owned_by(here, os.getpid(), "0")
    assert not owned_by(here, 2**22 - 1, str(now + 60_000))
    host = here.split("/")[0]
    assert not owned_by(f"{host}/another-boot/pid:[1]", os.getpid(), str(now + 60_000))
    connection.close()
    writer.close()


# The power goes.


def test_after_a_power_cut_what_may_have_begun_is_asked_about(tmp_path: Path) -> None:
    steps = "".join(f"- {{id: n{number}, run: echo n{number} >> told}}\n" for number in range(9))
    plan = run(tmp_path, stage(steps, lasting=True), execute=False).finished.plan
    assert plan is not None
    lasting = [node.id for node in plan.nodes]
    writer = journal_of(tmp_path).begin(opening("one", plan), plan, blind=dict.fromkeys(lasting, True))
    for number, node in enumerate(plan.nodes[:4]):
        writer.begun(node, 1, number * SYNC_MS // 10)
        writer.commit()
    writer.close()
    record = journal_of(tmp_path).read("one")
    assert [entry.node for entry in record.history] == lasting[:4]
    assert record.announced[:1] == (lasting[2],)
    assert not record.is_after_restart
    connection = sqlite3.connect(Workspace(tmp_path).journal)
    host, _, namespace = record.summary.owner.machine.split("/")
    connection.execute("UPDATE run SET machine=?", (f"{host}/another-boot/{namespace}",))
    connection.commit()
    connection.close()
    assert journal_of(tmp_path).read("one").is_after_restart
    refused = run(tmp_path, None, Setting(go_on=GoOn("one")))
    assert refused.error.reason is Reason.OUTCOME_UNKNOWN
    assert all(f"  {node}:" in refused.error.message for node in (*lasting[:4], *record.announced))
    assert lasting[-1] not in refused.error.message
    assert not (tmp_path / "told").exists()


def test_steps_that_take_their_time_are_not_announced_before_they_begin(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, "".join(f'- {{id: n{number}, run: "true"}}\n' for number in range(9)))
    writer = journal_of(tmp_path).begin(opening("one", plan), plan, blind={node.id: True for node in plan.nodes})
    for number, node in enumerate(plan.nodes[:4]):
        writer.begun(node, 1, number * 1_000)
        writer.commit()
    writer.close()
    assert journal_of(tmp_path).read("one").announced == ()


def test_before_what_nobody_could_ask_about_and_only_then_the_journal_is_on_the_disk_itself(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, "".join(f'- {{id: n{number}, run: "true"}}\n' for number in range(4)))
    modes: list[int] = []

    def look(point: str) -> None:
        if point == "commit.written":
            modes.append(writer._connection.execute("PRAGMA synchronous").fetchone()[0])

    blind = {node.id: node.step in ("n1", "n3") for node in plan.nodes}
    writer = journal_of(tmp_path, strike=look).begin(opening("one", plan), plan, blind=blind)
    for number, node in enumerate(plan.nodes):
        writer.begun(node, 1, number * 1_000)
        writer.commit()
    writer.close()
    normal, full = 1, 2  # https://sqlite.org/pragma.html#pragma_synchronous
    assert modes == [normal, full, normal, full]
