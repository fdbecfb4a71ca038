"""The store of this machine: the contract, many processes, kills, and what lies about in its folder."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from shipway.errors import Reason
from shipway.holding import Holding
from shipway.locks import Claim, Holder, KeptBy, Life, LockHeld, LockLost, key_of, lock_bytes, named_lock, released
from shipway.store import Store, StoreError
from shipway.stores.local_files import LocalFiles
from tests.contention import contend
from tests.contracts.store import CHECKS

DB = named_lock("db")


def holding(folder: Path, who: str) -> Holding:
    return Holding(LocalFiles(folder), Claim(Holder(who, actor=who), KeptBy.PROCESS), lambda: 1, lambda _: Life.UNKNOWN)


@pytest.mark.parametrize("check", CHECKS)
def test_it_keeps_the_contract_of_stores(check: Callable[[Callable[[], Store]], None], tmp_path: Path) -> None:
    check(lambda: LocalFiles(tmp_path))


def test_fifty_processes_contend_and_are_killed_and_there_is_one_holder_at_a_time(tmp_path: Path) -> None:
    seed = int.from_bytes(os.urandom(4))
    print("seed", seed)  # noqa: T201 - shown where it fails
    place = tmp_path / "records"
    place.mkdir()
    found = contend("local", str(place), tmp_path / "oracle", processes=50, rounds=4, kills=24, seed=seed)
    assert found.failures == []
    assert found.killed_inside + found.killed_outside >= 12
    assert found.tokens == sorted(set(found.tokens)), "each holder has a greater token than the one before"
    assert len(found.tokens) >= (50 - found.killed_inside - found.killed_outside) * 4


def test_what_a_killed_process_held_is_free_at_once(tmp_path: Path) -> None:
    program = (
        "import sys; sys.path[:] = sys.argv[2:]\n"
        "from pathlib import Path\n"
        "from tests.test_local_store import DB, holding\n"
        "held = holding(Path(sys.argv[1]), 'victim')\n"
        "held.take([DB])\n"
        "print('held', flush=True)\n"
        "sys.stdin.read()\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path), *sys.path, str(Path(__file__).parent.parent)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None and child.stdout.readline() == "held\n"
    with pytest.raises(LockHeld, match="held by victim"):
        holding(tmp_path, "next").take([DB])
    child.kill()
    child.communicate()
    after = holding(tmp_path, "next")
    after.take([DB])
    assert after.token(DB) == 2
    after.close()
    assert [path.name for path in tmp_path.glob("*.present")] == [], "nothing of the killed one is left"


def test_a_lock_that_was_given_away_by_hand_is_noticed_as_lost(tmp_path: Path) -> None:
    mine = holding(tmp_path, "me")
    mine.take([DB])
    store = LocalFiles(tmp_path)
    kept = store.read(key_of(DB))
    assert kept is not None
    from shipway.locks import load_lock

    store.swap(key_of(DB), kept.version, lock_bytes(released(load_lock(kept.content))))
    with pytest.raises(LockLost, match="was lost: it is held by nobody"):
        mine.beat()
    mine.close()


@pytest.mark.parametrize("content", [b"", b"{", b"{}"])
def test_a_record_that_cannot_be_read_counts_as_held(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "locks@named@db.json").write_bytes(content)
    with pytest.raises(StoreError, match=r"the record of the lock `db` in local files .* cannot be read") as raised:
        holding(tmp_path, "me").take([DB])
    assert raised.value.exit_code == 6 and "--force" in raised.value.next


def test_a_folder_that_is_not_there_or_no_folder_is_an_error_and_never_a_free_lock(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "missing", tmp_path / "file"):
        with pytest.raises(StoreError) as raised:
            holding(place, "me").take([DB])
        assert raised.value.reason is Reason.UNWRITABLE


def test_a_link_in_the_place_of_a_record_is_not_written_through(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("mine")
    place = tmp_path / "records"
    place.mkdir()
    (place / ".locks@named@db.json.new").symlink_to(outside)
    with pytest.raises(StoreError):
        holding(place, "me").take([DB])
    assert outside.read_text() == "mine"
