"""State kept in a store: a run's journal copied out and brought into another checkout, receipts, fencing."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import zlib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from shipway.errors import Reason, UnreachableError
from shipway.journal_copy import copy_run, merge_run
from shipway.journal_schema import Damaged
from shipway.locks import LockLost
from shipway.nodes import Outcome
from shipway.shared_state import Checkpoints, SavedRun, SharedState
from shipway.store import StoreError
from shipway.stores.local_files import LocalFiles
from shipway.workspace import Workspace
from tests.command_line import Project, make_project
from tests.git_remotes import git, hook, make_remote
from tests.runs import journal_of, run, stage

SECRET = "hunter2-hunter2"
STEPS = """
    - id: make
      run: 'echo "tag=7" >> "$SHIPWAY_OUTPUT"; echo "key=hunter2-hunter2" >> "$SHIPWAY_OUTPUT"'
      outputs: {tag: string, key: secret}
    - {id: fail, run: exit 3}
"""


def elsewhere(folder: Path) -> Path:
    """The journal of another, empty checkout."""
    folder.mkdir()
    Workspace(folder).make_directory()
    return Workspace(folder).journal


@pytest.fixture
def ran(tmp_path: Path) -> tuple[Path, str]:
    """A checkout in which a run failed, and the run's id."""
    root = tmp_path / "here"
    root.mkdir()
    run(root, stage(STEPS))
    [summary] = journal_of(root).runs()
    return root, summary.run


def test_a_copied_run_is_known_elsewhere_as_it_was(ran: tuple[Path, str], tmp_path: Path) -> None:
    root, name = ran
    place = elsewhere(tmp_path / "there")
    assert merge_run(place, copy_run(Workspace(root).journal, name)) == name
    before, after = journal_of(root).read(name), journal_of(tmp_path / "there").read(name)
    assert (after.opening, after.history, after.decided) == (before.opening, before.history, before.decided)
    assert journal_of(tmp_path / "there").plan(name).effect == journal_of(root).plan(name).effect
    assert after.history[0].outputs == {"tag": "7"} and after.history[0].lost == ("key",)
    assert place.stat().st_mode & 0o777 == 0o600


def test_no_secret_is_in_a_copy(ran: tuple[Path, str]) -> None:
    root, name = ran
    assert SECRET.encode() not in zlib.decompress(copy_run(Workspace(root).journal, name))


def test_a_copy_holds_one_run_only(ran: tuple[Path, str], tmp_path: Path) -> None:
    root, first = ran
    run(root, stage("- run: 'true'"))
    latest, _ = journal_of(root).runs()
    place = elsewhere(tmp_path / "there")
    merge_run(place, copy_run(Workspace(root).journal, latest.run))
    assert [summary.run for summary in journal_of(tmp_path / "there").runs()] == [latest.run]
    merge_run(place, copy_run(Workspace(root).journal, first))
    assert {summary.run for summary in journal_of(tmp_path / "there").runs()} == {latest.run, first}


def test_an_older_copy_replaces_nothing_and_a_newer_one_does(ran: tuple[Path, str], tmp_path: Path) -> None:
    root, name = ran
    journal = Workspace(root).journal
    newer = copy_run(journal, name)
    with sqlite3.connect(journal) as connection:
        connection.execute("UPDATE attempt SET ended_ms=NULL, outcome=NULL WHERE node='main/fail'")
    older = copy_run(journal, name)
    place = elsewhere(tmp_path / "there")
    for content, outcome in ((older, None), (newer, Outcome.FAILED), (older, Outcome.FAILED), (newer, Outcome.FAILED)):
        merge_run(place, content)
        assert journal_of(tmp_path / "there").read(name).history[1].outcome is outcome


def _forged(content: bytes, statement: str) -> bytes:
    connection = sqlite3.connect(":memory:")
    connection.deserialize(zlib.decompress(content))
    connection.executescript(statement)
    return zlib.compress(connection.serialize())


def test_what_is_no_copy_is_refused_and_changes_nothing(ran: tuple[Path, str], tmp_path: Path) -> None:
    root, name = ran
    good = copy_run(Workspace(root).journal, name)
    data = zlib.decompress(good)
    place = elsewhere(tmp_path / "there")
    for bad in (
        b"",
        b"x",
        zlib.compress(b""),
        zlib.compress(b"not a database" * 100),
        zlib.compress(data[:4096] + b"\xff" * 4096 + data[8192:]),
        good[: len(good) // 2],
        _forged(good, "DELETE FROM run"),
        _forged(good, "DROP TABLE attempt"),
    ):
        with pytest.raises(Damaged, match="the copy of the journal is damaged"):
            merge_run(place, bad)
    with pytest.raises(UnreachableError) as raised:
        merge_run(place, _forged(good, "PRAGMA user_version = 999"))
    assert raised.value.reason is Reason.JOURNAL_NEWER
    assert not journal_of(tmp_path / "there").runs()


def test_case_47_a_run_that_lost_its_lock_can_no_longer_write_the_state(tmp_path: Path) -> None:
    late, next_ = (SharedState(LocalFiles(tmp_path), "shop", "prod") for _ in range(2))
    late.save(SavedRun("late", 1, b"1"))
    assert next_.saved() == SavedRun("late", 1, b"1")
    next_.save(SavedRun("next", 2, b"2"))
    with pytest.raises(LockLost, match="run `next` has written the state of this target since"):
        late.save(SavedRun("late", 1, b"3"))
    assert next_.saved() == SavedRun("next", 2, b"2")


def test_a_record_that_is_no_journal_is_an_error(tmp_path: Path) -> None:
    store = LocalFiles(tmp_path)
    store.swap("journals/shop/prod", None, b"{}\nx")
    with pytest.raises(StoreError, match=r"the journal in local files .* cannot be read"):
        SharedState(store, "shop", "prod").saved()


def test_checkpoints_save_what_changed_at_the_latest_when_they_are_closed() -> None:
    saved: list[int] = []
    checkpoints = Checkpoints(lambda: saved.append(1), pause_s=3600)
    checkpoints.note()
    checkpoints.note()
    checkpoints.close()
    assert saved == [1]
    idle = Checkpoints(lambda: saved.append(2), pause_s=3600)
    idle.flush()
    idle.close()
    assert saved == [1, 2]


def test_a_save_that_failed_is_tried_again_when_they_are_closed() -> None:
    tried: list[int] = []

    def save() -> None:
        tried.append(1)
        if len(tried) == 1:
            raise StoreError("gone")

    checkpoints = Checkpoints(save, pause_s=3600)
    checkpoints.note()
    with pytest.raises(StoreError):
        checkpoints.flush()
    checkpoints.close()
    assert len(tried) == 2


# Two checkouts and a remote, as two machines have them.

SHOP = """
    version: 1
    name: shop
    state: git
    steps:
      - id: one
        env_from: [LOG, REMOTE]
        run: echo one >> $LOG; git --git-dir $REMOTE cat-file -e refs/shipway/journals/shop/default
      - id: two
        env_from: [LOG]
        run: echo two >> $LOG; test -e $LOG.again || kill -9 $PPID
        verify: test -e $LOG.again && exit 3
      - {id: three, run: "echo three >> $LOG", env_from: [LOG]}
"""


@pytest.fixture
def machines(tmp_path: Path) -> tuple[Path, Project, Project]:
    bare, clones = make_remote(tmp_path, clones=2)
    made = make_project(tmp_path / "env")
    env = made.env | {"LOG": str(tmp_path / "log"), "REMOTE": str(bare)}
    first = Project(clones[0], env | {"USER": "ada"})
    second = Project(clones[1], env | {"USER": "bob"})
    first.write({"shipway.yml": SHOP})
    first.commit()
    first.git("push", "-q", "origin", "HEAD:main")
    second.git("pull", "-q", "origin", "main")
    return bare, first, second


def test_a_run_is_gone_on_with_on_another_machine_after_its_own_was_lost(
    machines: tuple[Path, Project, Project], tmp_path: Path
) -> None:
    bare, first, second = machines
    first.call("run", "--yes", "-q", code=-9)
    assert (tmp_path / "log").read_text() == "one\ntwo\n", "the checkpoint was there before the first step began"
    (tmp_path / "log.again").touch()
    refused = second.call("resume", "--yes", "--json", code=6)
    assert refused.json["error"]["reason"] == "lock-held" and "held by ada" in refused.json["error"]["message"]
    second.call("unlock", "--force", "-q")
    done = second.call("resume", "--yes", "--json")
    assert (tmp_path / "log").read_text() == "one\ntwo\ntwo\nthree\n", "what had succeeded is not done again"
    assert {node["outcome"] for node in done.json["nodes"]} == {"succeeded"}
    assert git(bare, "for-each-ref", "--format=%(refname)", "refs/shipway").split() == [
        "refs/shipway/journals/shop/default",
        "refs/shipway/locks/lifecycle/shop/default",
        "refs/shipway/receipts/shop/default",
    ]


def test_a_new_run_elsewhere_says_that_one_is_unfinished(
    machines: tuple[Path, Project, Project], tmp_path: Path
) -> None:
    _, first, second = machines
    first.call("run", "--yes", "-q", code=-9)
    (tmp_path / "log.again").touch()
    second.call("unlock", "--force", "-q")
    done = second.call("run", "--yes")
    assert "was killed and is unfinished: `shipway resume" in " ".join(done.out.split())


def test_every_sealed_receipt_is_a_commit_behind_the_one_before(
    machines: tuple[Path, Project, Project], tmp_path: Path
) -> None:
    bare, first, second = machines
    (tmp_path / "log.again").touch()
    one = first.call("run", "--yes", "--json").json
    two = second.call("run", "--yes", "--json").json
    ref = "refs/shipway/receipts/shop/default"
    commits = git(bare, "rev-list", ref).split()
    kept = [
        json.loads(git(bare, "show", f"{commit}:{git(bare, 'ls-tree', '--name-only', commit).strip()}"))
        for commit in commits
    ]
    assert [receipt["run"] for receipt in kept] == [two["run"], one["run"]]
    assert kept[0]["digest"] == two["digest"]


def test_case_46_a_token_that_may_not_write_is_exit_6_before_anything_starts(
    machines: tuple[Path, Project, Project], tmp_path: Path
) -> None:
    bare, first, _ = machines
    hook(bare, "update", 'echo "Permission to octo/shop.git denied to github-actions[bot]." >&2; exit 1')
    refused = first.call("run", "--yes", "--json", code=6).json["error"]
    assert refused["reason"] == "lock-permission"
    assert "contents: write" in refused["next"] and "lock: none" in refused["next"]
    assert not (tmp_path / "log").exists()


def test_a_remote_that_goes_away_stops_the_run_before_what_could_not_be_probed_and_undoes_it(
    machines: tuple[Path, Project, Project], tmp_path: Path
) -> None:
    bare, first, _ = machines
    first.write(
        {
            "shipway.yml": """
    version: 1
    name: shop
    state: git
    steps:
      - {id: one, run: "echo one >> $LOG; mv $REMOTE $REMOTE.away", undo: "echo undone >> $LOG", env_from: [LOG, REMOTE]}
      - {id: two, run: "echo two >> $LOG", env_from: [LOG]}
"""
        }
    )
    done = first.call("run", "--yes", "--json", code=6)
    assert "refs of the git remote `origin` cannot be " in " ".join(done.err.split())
    assert (tmp_path / "log").read_text() == "one\nundone\n"
    subprocess.run(["mv", f"{bare}.away", str(bare)], check=True)


def test_a_remote_that_goes_away_keeps_nothing_from_being_undone(
    machines: tuple[Path, Project, Project], tmp_path: Path
) -> None:
    _, first, _ = machines
    first.write(
        {
            "shipway.yml": """
    version: 1
    name: shop
    state: git
    steps:
      - {id: one, run: "echo one >> $LOG", undo: "echo undone >> $LOG", env_from: [LOG]}
      - {id: two, lasting: false, run: "mv $REMOTE $REMOTE.away; exit 1", env_from: [REMOTE]}
"""
        }
    )
    done = first.call("run", "--yes", "--json", code=6)
    assert (tmp_path / "log").read_text() == "one\nundone\n"
    [receipt] = (first.root / ".shipway/receipts").iterdir()
    assert {node["id"]: node["outcome"] for node in json.loads(receipt.read_bytes())["nodes"]} == {
        "main/one": "undone",
        "main/two": "failed",
    }
    assert "refs of the git remote `origin` cannot be " in " ".join(done.err.split())


def test_runs_of_other_machines_are_listed_with_where_they_are_kept(
    machines: tuple[Path, Project, Project], tmp_path: Path
) -> None:
    bare, first, second = machines
    for each in (first, second):
        each.write({"shipway.yml": "version: 1\nname: shop\nstate: git\nsteps: [{run: 'true'}]\n"})
    one = first.call("run", "--yes", "--json", "--target", "eu").json["run"]
    two = second.call("run", "--yes", "--json").json["run"]
    told = first.call("runs", "--json").json
    assert {(run["run"], tuple(run["where"]), run["status"]) for run in told["runs"]} == {
        (one, ("here", "store"), "succeeded"),
        (two, ("store",), "succeeded"),
    }
    assert told["store"] == {"name": "refs of the git remote `origin`", "trouble": None}
    listed = first.call("runs").out.splitlines()
    assert listed[0].split()[-1] == "KEPT"
    assert {line.partition("  ")[0]: line.rpartition("  ")[2] for line in listed[1:]} == {
        one: "here, store",
        two: "store",
    }
    assert [run["run"] for run in first.call("runs", "--json", "-t", "eu").json["runs"]] == [one]
    bare.rename(tmp_path / "away")
    lost = first.call("runs")
    assert one in lost.out and two not in lost.out
    assert lost.err.startswith("the store of `state`: refs of the git remote `origin` cannot be read: ")


def test_a_run_that_was_killed_elsewhere_is_listed_and_stands_as_the_other_machine_left_it(
    machines: tuple[Path, Project, Project], tmp_path: Path
) -> None:
    _, first, second = machines
    first.call("run", "--yes", "-q", code=-9)
    [lost] = second.call("runs", "--json").json["runs"]
    assert (lost["status"], lost["where"], lost["receipt"]) == ("unsealed", ["store"], None)
    assert lost["run"].startswith(f"{datetime.fromtimestamp(lost['began_ms'] / 1000, UTC):%Y%m%dT%H%M%S}")
    assert "not sealed" in second.call("runs").out
    (tmp_path / "log.again").touch()
    second.call("unlock", "--force", "-q")
    done = second.call("resume", "--yes", "--json").json
    [run] = first.call("runs", "--json").json["runs"]
    assert (run["run"], run["status"], run["where"]) == (lost["run"], "succeeded", ["here", "store"])
    assert run["receipt"] == done["digest"]


def test_what_does_not_count_in_the_store_is_not_listed_and_said(
    machines: tuple[Path, Project, Project], tmp_path: Path
) -> None:
    bare, first, second = machines
    (tmp_path / "log.again").touch()
    first.call("run", "--yes", "-q")
    work = tmp_path / "work"
    git(tmp_path, "clone", "-q", str(bare), str(work))
    ref = "refs/shipway/receipts/shop/default"
    git(work, "fetch", "-q", "origin", ref)
    git(work, "checkout", "-q", "FETCH_HEAD")
    [kept] = list(work.glob("*.json"))
    kept.write_bytes(kept.read_bytes().replace(b'"shop"', b'"shoq"'))
    git(work, "commit", "-q", "-a", "--amend", "-m", "forged")
    git(work, "push", "-q", "-f", "origin", f"HEAD:{ref}")
    told = second.call("runs", "--json").json
    assert told["store"]["trouble"] == "1 document does not count: `shipway verify` says why"
    assert [run["status"] for run in told["runs"]] == ["unsealed"], "its journal is there still"
    assert "1 document does not count" in second.call("show", "--target", "default", code=2).err


def test_the_last_receipt_of_a_target_is_shown_from_the_store_with_where_it_is(
    machines: tuple[Path, Project, Project], tmp_path: Path
) -> None:
    _, first, second = machines
    (tmp_path / "log.again").touch()
    one = first.call("run", "--yes", "--json").json["run"]
    shown = second.call("show", "--json")
    assert shown.json["run"] == one
    assert shown.err == f"run {one} by ada is kept in refs of the git remote `origin`, and not here\n"
    two = second.call("run", "--yes", "--json").json["run"]
    assert second.call("show", "--json", "--target", "default").err == ""
    assert first.call("show", "--json").json["run"] == one, "the last run here"
    for asked in (("--target", "default"), ("-f", "shipway.yml"), (two,)):
        shown = first.call("show", "--json", *asked)
        assert (shown.json["run"], two in shown.err) == (two, True)
