"""Shows that folders which several nodes of a run write into are gone when all are undone, in whatever order."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from shipway.action import ActionFailed, Done, Drifted, Work
from shipway.actions.file_mkdir import FileMkdir
from shipway.actions.file_write import FileWrite
from shipway.file_state import remembering
from shipway.replacement import Ledger, undo_changes
from tests.contracts.action import ActionCase, tree, work

PAGE = "dist/index/shipway/index.html"
WHEEL = "dist/index/shipway/a.whl"


class Run:
    """A run of nodes that write a file each, named for the path they write."""

    def __init__(self, folder: Path, name: str = "run") -> None:
        self.root = folder / "work"
        self.directory = folder / name
        self.root.mkdir(exist_ok=True)
        self._done: dict[str, Done] = {}

    def work(self, path: str) -> Work:
        node = f"stage/{path.replace('/', '-')}"
        recovery = self.directory / "recovery"
        recovery.mkdir(parents=True, exist_ok=True)
        given = work(ActionCase("", FileWrite, {"path": path, "content": path}), self.root, recovery)
        return replace(given, node=replace(given.node, id=node))

    def do(self, *paths: str) -> None:
        for path in paths:
            self._done[path] = FileWrite().do(self.work(path))

    def undo(self, *paths: str) -> None:
        for path in paths:
            FileWrite().undo(replace(self.work(path), state=self._done.pop(path).undo))

    def standing(self) -> set[str]:
        return set(self._done)

    def is_killed_in(self, path: str) -> None:
        """As `do`, up to where the folders are made."""
        Ledger(self.work(path)).make_parents(self.root / path)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


@pytest.mark.parametrize("done", [[WHEEL, PAGE], [PAGE, WHEEL]])
@pytest.mark.parametrize("undone", [[WHEEL, PAGE], [PAGE, WHEEL]])
def test_no_folder_is_left_whoever_made_it_and_whoever_is_undone_first(
    done: Iterable[str], undone: Iterable[str], run: Run
) -> None:
    run.do(*done)
    run.undo(*undone)
    assert tree(run.root) == {}


def test_a_folder_stays_while_a_node_that_needs_it_is_not_undone(run: Run) -> None:
    run.is_killed_in(WHEEL)
    run.do(PAGE)
    run.undo(PAGE)
    assert (run.root / WHEEL).parent.is_dir()
    undo_changes(run.work(WHEEL))
    assert tree(run.root) == {}


def test_what_a_killed_node_made_is_gone_when_the_others_are_undone(run: Run) -> None:
    run.is_killed_in(WHEEL)
    run.do(PAGE)
    undo_changes(run.work(WHEEL))
    run.undo(PAGE)
    assert tree(run.root) == {}


def test_a_claim_that_was_noted_on_a_folder_never_made_keeps_nobody_elses(run: Run) -> None:
    run.is_killed_in(WHEEL)
    for folder in (Path(WHEEL).parent, *Path(WHEEL).parent.parents[:2]):
        (run.root / folder).rmdir()
    undo_changes(run.work(WHEEL))
    run.do(PAGE)
    run.undo(PAGE)
    assert tree(run.root) == {}


@pytest.mark.parametrize("there", ["dist", "dist/index", "dist/index/shipway"])
def test_a_folder_that_was_there_before_stays_as_it_was(there: str, run: Run) -> None:
    (run.root / there).mkdir(parents=True)
    (run.root / there).chmod(0o700)
    before = tree(run.root)
    run.do(WHEEL, PAGE)
    run.undo(PAGE, WHEEL)
    assert tree(run.root) == before


def test_what_a_stranger_put_into_a_made_folder_stays_and_so_does_the_folder(run: Run) -> None:
    run.do(WHEEL, PAGE)
    (run.root / "dist/index/theirs").write_text("theirs")
    run.undo(WHEEL, PAGE)
    assert tree(run.root).keys() == {"dist", "dist/index", "dist/index/theirs"}


def test_a_link_that_a_stranger_put_in_place_of_a_made_folder_stays(run: Run) -> None:
    run.do(PAGE)
    (run.root / "dist").rename(run.root / "moved")
    (run.root / "dist").symlink_to("moved")
    run.undo(PAGE)
    assert tree(run.root)["dist"] == ("link", "moved")


def test_a_folder_that_another_run_made_was_there_before(run: Run, tmp_path: Path) -> None:
    run.is_killed_in(WHEEL)
    before = tree(run.root)
    other = Run(tmp_path, "other")
    other.do(PAGE)
    other.undo(PAGE)
    assert tree(run.root) == before


def test_a_file_that_was_changed_keeps_the_folders_above_it(run: Run) -> None:
    run.do(WHEEL, PAGE)
    (run.root / WHEEL).write_text("theirs")
    with pytest.raises(Drifted):
        run.undo(WHEEL)
    assert (run.root / WHEEL).read_text() == "theirs"


def test_nodes_at_the_same_time_leave_no_folder(run: Run) -> None:
    paths = [f"a/{number % 3}/b/{number}" for number in range(24)]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            _each(pool, run.do, paths)
            assert {path for path in paths if (run.root / path).is_file()} == set(paths)
            _each(pool, run.undo, paths[::-1])
            assert tree(run.root) == {}


def test_nodes_done_while_others_are_undone_find_their_folders(run: Run) -> None:
    paths = [f"a/b/{number}" for number in range(16)]

    def back_and_forth(path: str) -> None:
        for _ in range(10):
            run.do(path)
            run.undo(path)

    with ThreadPoolExecutor(8) as pool:
        _each(pool, back_and_forth, paths)
    assert tree(run.root) == {}


def test_a_directory_that_another_made_at_the_same_moment_is_not_removed(run: Run) -> None:
    (run.root / "theirs").mkdir()
    ledger = Ledger(run.work("theirs"))
    with pytest.raises(FileExistsError):
        ledger.make_directory(run.root / "theirs", "0755")
    ledger.put_back()
    assert (run.root / "theirs").is_dir()


def test_a_directory_that_a_node_made_on_purpose_is_not_removed_with_what_is_in_it(run: Run) -> None:
    given = run.work("dist")
    FileMkdir().do(replace(given, inputs={"path": "dist", "mode": "0755"}))
    run.do(PAGE)
    run.undo(PAGE)
    assert tree(run.root).keys() == {"dist"}


def test_a_folder_that_cannot_be_made_leaves_none(run: Run) -> None:
    (run.root / "file").write_text("")
    before = tree(run.root)
    with pytest.raises(ActionFailed):
        run.do("file/a/b")
    assert tree(run.root) == before


def _each(pool: ThreadPoolExecutor, call: Callable[[str], None], paths: list[str]) -> None:
    for ended in [pool.submit(call, path) for path in paths]:
        ended.result()


_PATHS = [f"{folder}/{name}" for folder in ("a", "a/b", "a/b/c", "a/d", "e") for name in ("1", "2")]


@settings(deadline=None)
@given(
    there=st.sets(st.sampled_from(["a", "a/b", "a/d", "e"])),
    turns=st.lists(st.sampled_from(_PATHS), max_size=30),
    order=st.permutations(_PATHS),
)
def test_in_any_interleaving_all_undone_leaves_the_tree_byte_identical(
    there: set[str], turns: list[str], order: list[str]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        run = Run(Path(folder))
        for name in there:
            os.makedirs(run.root / name, exist_ok=True)
        before = tree(run.root)
        for path in turns:
            turn = run.undo if path in run.standing() else run.do
            turn(path)
            files = {name for name, what in tree(run.root).items() if what[0] == "file"}
            assert files == run.standing()
        run.undo(*(path for path in order if path in run.standing()))
        assert tree(run.root) == before


def test_what_is_remembered_of_a_folder_is_what_stands_there(tmp_path: Path) -> None:
    (tmp_path / "a/b/c").mkdir(parents=True)
    (tmp_path / "to").symlink_to("a/b")
    real = remembering()
    for folder in ("a/b/c", "a/b", "a", "to/c", "to", "a/new/er", "."):
        place = os.path.normpath(tmp_path / folder)
        assert real(place) == os.path.realpath(place)
    assert (real("/"), real("/nothing-there")) == ("/", "/nothing-there")
