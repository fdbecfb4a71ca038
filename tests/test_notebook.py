"""Shows that what a run's nodes note down survives whoever is killed, and is seen by whoever looks next."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipway.notebook import NOTES, Notebook


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "recovery" / "run" / NOTES


def _as_another_process(path: Path, work: Callable[[Notebook], object]) -> None:
    pid = os.fork()
    if pid == 0:
        try:
            work(Notebook(path))
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL


def test_looking_makes_no_file(path: Path) -> None:
    assert Notebook(path).read("ledger", "a/b") is None
    assert not path.parent.exists()


def test_the_last_note_counts_and_null_takes_it_back(path: Path) -> None:
    notebook = Notebook(path)
    notebook.note("ledger", "a/b", {"entries": []})
    notebook.note("ledger", "a/b", {"entries": [{"path": "\udcff\n"}]})
    notebook.note("made", "a/b", True)
    notebook.note("made", "a/b", None)
    for reader in (notebook, Notebook(path)):
        assert reader.read("ledger", "a/b") == {"entries": [{"path": "\udcff\n"}]}
        assert reader.read("made", "a/b") is None


def test_what_a_killed_process_noted_is_seen_by_one_that_had_looked_before(path: Path) -> None:
    notebook = Notebook(path)
    notebook.note("ledger", "mine", 1)
    _as_another_process(path, lambda theirs: theirs.note("ledger", "theirs", 2))
    assert notebook.read("ledger", "theirs") == 2
    assert notebook.read("ledger", "mine") == 1


def test_a_notebook_that_was_closed_is_opened_again_and_leaves_no_file_open(path: Path) -> None:
    notebook = Notebook(path)
    before = sorted(os.listdir("/dev/fd"))
    notebook.close()
    for number in range(3):
        notebook.note("ledger", f"{number}", number)
        notebook.close()
    assert [notebook.read("ledger", f"{number}") for number in range(3)] == [0, 1, 2]
    notebook.close()
    assert sorted(os.listdir("/dev/fd")) == before


def test_a_killed_holder_keeps_nobody_waiting(path: Path) -> None:
    notebook = Notebook(path)
    notebook.note("ledger", "mine", 1)
    _as_another_process(path, lambda theirs: theirs.__enter__())
    assert notebook.read("ledger", "mine") == 1


@pytest.mark.parametrize("torn", [b"[", b'["ledger", "a/b", {"entr', b'["ledger", "a/b", 2]'])
def test_a_note_without_its_end_was_not_made(torn: bytes, path: Path) -> None:
    notebook = Notebook(path)
    notebook.note("ledger", "a/b", 1)
    with path.open("ab") as file:
        file.write(torn)
    assert Notebook(path).read("ledger", "a/b") == 1
    notebook.note("ledger", "c/d", 3)
    assert Notebook(path).read("ledger", "a/b") == 1
    assert Notebook(path).read("ledger", "c/d") == 3


def test_notes_of_many_threads_and_notebooks_all_count(path: Path) -> None:
    shared = Notebook(path)

    def work(number: int) -> None:
        notebook = shared if number % 2 else Notebook(path)
        for each in range(20):
            notebook.note(f"topic-{number}", f"{each}", each)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    for number in range(8):
        with shared:
            assert shared.all(f"topic-{number}") == {f"{each}": each for each in range(20)}


def test_a_full_disk_notes_nothing_and_leaves_the_file_whole(path: Path) -> None:
    notebook = Notebook(path)
    notebook.note("ledger", "a/b", 1)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 10, before[1]))
    try:
        with pytest.raises(OSError):
            notebook.note("ledger", "a/b", "x" * 100)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    notebook.note("ledger", "c/d", 2)
    assert Notebook(path).read("ledger", "a/b") == 1
    assert Notebook(path).read("ledger", "c/d") == 2


_NAMES = st.sampled_from(["a", "b", "c"])


@given(notes=st.lists(st.tuples(_NAMES, _NAMES, st.none() | st.integers(0, 9) | st.text()), max_size=30))
def test_any_notes_are_read_back_as_they_were_made(
    notes: list[tuple[str, str, int | str | None]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("run") / NOTES
    notebook = Notebook(path)
    for topic, name, value in notes:
        notebook.note(topic, name, value)
    expected = {(topic, name): value for topic, name, value in notes}
    for reader in (notebook, Notebook(path)):
        assert {key: reader.read(*key) for key in expected} == expected


def test_who_will_note_much_holds_it_and_leaves_one_that_cannot_be_opened_for_them_to_find(path: Path) -> None:
    notebook = Notebook(path)
    with notebook.held():
        notebook.note("made", "a", True)
        with notebook.held(), notebook:
            notebook.note("made", "b", True)
    _as_another_process(path, lambda other: other.note("made", "c", True))  # nobody holds it any more
    with notebook:
        assert notebook.all("made") == {"a": True, "b": True, "c": True}
    (path.parent / "file").touch()
    nowhere = Notebook(path.parent / "file" / NOTES)
    with nowhere.held(), pytest.raises(NotADirectoryError):
        nowhere.note("made", "a", True)
