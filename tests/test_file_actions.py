"""Shows what the `file.*` actions do and put back: each against the contract, then by property over what they may find."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from shipway.action import ActionFailed, Done, Drifted, NotUndoable, Prediction, ThreadAction
from shipway.actions.file_backup import FileBackup
from shipway.actions.file_copy import FileCopy
from shipway.actions.file_link import FileLink
from shipway.actions.file_links import FileLinks
from shipway.actions.file_mkdir import FileMkdir
from shipway.actions.file_move import FileMove
from shipway.actions.file_question import FileExists, FileIsDir
from shipway.actions.file_remove import FileRemove
from shipway.actions.file_source import FileSource
from shipway.actions.file_unlink import FileUnlink
from shipway.actions.file_write import FileWrite
from shipway.canonical import Json
from shipway.file_state import fingerprint
from shipway.nodes import Change, Computed, Fidelity, Need, Verified
from shipway.notebook import NOTES, Notebook
from tests.contracts.action import CHECKS, ActionCase, plan_work, tree, undo_work, work

Make = Callable[[], ThreadAction]


def _file(name: str, text: str = "old\n", mode: int = 0o644) -> Callable[[Path], None]:
    def prepare(root: Path) -> None:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)

    return prepare


def _link(name: str, target: str) -> Callable[[Path], None]:
    def prepare(root: Path) -> None:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).symlink_to(target)

    return prepare


def _directory(name: str) -> Callable[[Path], None]:
    def prepare(root: Path) -> None:
        (root / name / "inner").mkdir(parents=True)
        (root / name / "inner" / "file").write_text("kept")
        (root / name / "inner").chmod(0o750)

    return prepare


def _both(*steps: Callable[[Path], None]) -> Callable[[Path], None]:
    def prepare(root: Path) -> None:
        for step in steps:
            step(root)

    return prepare


def _overwrite(name: str) -> Callable[[Path], None]:
    def disturb(root: Path) -> None:
        (root / name).unlink()
        (root / name).write_text("someone else's")

    return disturb


WRITE: dict[str, Json] = {"path": "out/file.txt", "content": "new\n"}
COPY: dict[str, Json] = {"path": "out/copy.txt", "source": "in.txt"}
LINK: dict[str, Json] = {"path": "out/link", "source": "in.txt"}
LINKS: dict[str, Json] = {"path": "out/d", "source": "in", "names": ["a", "b"]}
REMOVE: dict[str, Json] = {"path": "t/a/b/f"}
MOVE: dict[str, Json] = {"source": "in.txt", "path": "out/there.txt"}
PRUNE: dict[str, Json] = {"prune": True, "prune_boundary": "t"}

CASES = [
    ActionCase("write a new file", FileWrite, WRITE, disturb=_overwrite("out/file.txt"), breaks={"path": "../x"}),
    ActionCase("write over a file", FileWrite, WRITE, _file("out/file.txt"), breaks={"mode": "rw"}),
    ActionCase("write over a private file", FileWrite, WRITE, _file("out/file.txt", mode=0o600)),
    ActionCase("write over a link", FileWrite, WRITE, _both(_file("real.txt"), _link("out/file.txt", "../real.txt"))),
    ActionCase("write over a dangling link", FileWrite, WRITE, _link("out/file.txt", "nowhere")),
    ActionCase("write over a directory", FileWrite, WRITE, _directory("out/file.txt")),
    ActionCase("write what is there", FileWrite, WRITE, _file("out/file.txt", "new\n")),
    ActionCase("write only another mode", FileWrite, {**WRITE, "mode": "0600"}, _file("out/file.txt", "new\n")),
    ActionCase("write an empty file", FileWrite, {"path": "empty", "content": ""}),
    ActionCase("write below a file", FileWrite, WRITE, _file("in.txt"), breaks={"path": "in.txt/x"}),
    ActionCase("copy a file", FileCopy, COPY, _file("in.txt"), disturb=_overwrite("out/copy.txt")),
    ActionCase("copy over a file", FileCopy, COPY, _both(_file("in.txt"), _file("out/copy.txt", "older"))),
    ActionCase("copy a text", FileCopy, {"path": "x", "content": "text", "mode": "0755"}, breaks={"source": "x"}),
    ActionCase("copy over a link", FileCopy, COPY, _both(_file("in.txt"), _link("out/copy.txt", "../in.txt"))),
    ActionCase("copy over a directory", FileCopy, COPY, _both(_file("in.txt"), _directory("out/copy.txt"))),
    ActionCase("make a link", FileLink, LINK, _file("in.txt"), _overwrite("out/link"), {"source": "gone"}),
    ActionCase("link over a file", FileLink, LINK, _both(_file("in.txt"), _file("out/link"))),
    ActionCase("link over a directory", FileLink, LINK, _both(_file("in.txt"), _directory("out/link"))),
    ActionCase("link elsewhere", FileLink, LINK, _both(_file("in.txt"), _link("out/link", "nowhere"))),
    ActionCase("link that is there", FileLink, LINK, _both(_file("in.txt"), _link("out/link", "../out/../in.txt"))),
    ActionCase("make links", FileLinks, LINKS, _both(_file("in/a"), _file("in/b")), None, {"names": ["a", "c"]}),
    ActionCase("make one of links", FileLinks, {**LINKS, "names": ["a"]}, _file("in/a"), _overwrite("out/d/a")),
    ActionCase(
        "links over all kinds of things",
        FileLinks,
        {**LINKS, "names": ["a", "b", "c", "d", "e"]},
        _both(
            *(_file(f"in/{name}") for name in "abcde"),
            _file("out/d/a"),
            _directory("out/d/b"),
            _link("out/d/c", "nowhere"),
            _link("out/d/d", "../../in/../in/d"),
        ),
        breaks={"on_conflict": "stop"},
    ),
    ActionCase(
        "links that are there",
        FileLinks,
        LINKS,
        _both(_file("in/a"), _file("in/b"), _link("out/d/a", "../../in/a"), _link("out/d/b", "../../in/b")),
        breaks={"names": []},
    ),
    ActionCase("links right here", FileLinks, {**LINKS, "path": "."}, _both(_file("in/a"), _file("in/b"))),
    ActionCase("back up a file", FileBackup, {"path": "a.txt"}, _file("a.txt"), breaks={"path": "b.txt"}),
    ActionCase("back up a directory", FileBackup, {"path": "a"}, _directory("a"), breaks={"backup_suffix": "/../x"}),
    ActionCase("unlink", FileUnlink, REMOVE, _link("t/a/b/f", "nowhere"), _file("t/a/b/f")),
    ActionCase("unlink and prune", FileUnlink, {**REMOVE, **PRUNE}, _link("t/a/b/f", "nowhere"), breaks={"path": "x"}),
    ActionCase("unlink nothing", FileUnlink, REMOVE),
    ActionCase("remove a file", FileRemove, REMOVE, _file("t/a/b/f"), _file("t/a/b/f"), {"path": "."}),
    ActionCase("remove a link", FileRemove, REMOVE, _link("t/a/b/f", "nowhere")),
    ActionCase("remove a directory", FileRemove, {"path": "t"}, _directory("t"), breaks={"path": "../work"}),
    ActionCase("remove and prune", FileRemove, {**REMOVE, **PRUNE}, _file("t/a/b/f"), breaks={"prune_boundary": "u"}),
    ActionCase("remove nothing", FileRemove, REMOVE),
    ActionCase("move a file", FileMove, MOVE, _file("in.txt"), _overwrite("out/there.txt"), {"source": "gone"}),
    ActionCase("move a directory", FileMove, {"source": "d", "path": "e"}, _directory("d"), breaks={"path": "d/inner"}),
    ActionCase("move over a file", FileMove, MOVE, _both(_file("in.txt"), _file("out/there.txt", "older"))),
    ActionCase("move over a directory", FileMove, MOVE, _both(_file("in.txt"), _directory("out/there.txt"))),
    ActionCase("move a link", FileMove, MOVE, _link("in.txt", "nowhere")),
    ActionCase("make a directory", FileMkdir, {"path": "a/b/c"}, disturb=_file("a/b/c/new"), breaks={"mode": "755x"}),
    ActionCase("make a private directory", FileMkdir, {"path": "a", "mode": "0700"}),
    ActionCase("make a directory that is there", FileMkdir, {"path": "d"}, _directory("d")),
    ActionCase("make a directory over a file", FileMkdir, {"path": "a"}, _file("b"), breaks={"path": "b"}),
    ActionCase("read a file", FileSource, {"path": "a"}, _file("a", "text\n"), breaks={"path": "b"}),
    ActionCase("ask for a file", FileExists, {"path": "a"}, _file("a")),
    ActionCase("ask for nothing", FileExists, {"path": "a"}),
    ActionCase("ask for a directory", FileIsDir, {"path": "d"}, _directory("d"), breaks={"path": ""}),
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
def test_every_file_action_keeps_the_contract(case: ActionCase, check: Callable[[ActionCase], None]) -> None:
    check(case)


class Place:
    """A workspace and what is to be put back, in which one action is planned, done and undone."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "work"
        self.recovery = folder / "recovery"
        self.root.mkdir(parents=True)
        self.recovery.mkdir()

    def plan(self, make: Make, inputs: Mapping[str, Json]) -> Prediction:
        return make().plan(plan_work(ActionCase("", make, inputs), self.root))

    def do(self, make: Make, inputs: Mapping[str, Json]) -> Done:
        return make().do(work(ActionCase("", make, inputs), self.root, self.recovery))

    def undo(self, make: Make, inputs: Mapping[str, Json], done: Done) -> None:
        make().undo(undo_work(ActionCase("", make, inputs), self.root, self.recovery, done))

    def verify(self, make: Make, inputs: Mapping[str, Json], done: Done) -> Verified:
        given = undo_work(ActionCase("", make, inputs), self.root, self.recovery, done)
        return make().verify(given)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


# What stands at a path before an action, by property: every action that replaces or removes puts exactly that back.

_NAMES = st.sampled_from(["a", "b", "c"])
_MODES = st.sampled_from([0o644, 0o600, 0o755, 0o640])
_CONTENTS = st.binary(max_size=20)
_FILES = st.tuples(st.just("file"), _CONTENTS, _MODES)
_LINKS = st.tuples(st.just("link"), st.sampled_from(["nowhere", "../other", "other", "/etc/hostname", "."]))
_STATES = st.recursive(
    st.one_of(_FILES, _LINKS),
    lambda inner: st.tuples(
        st.just("directory"), st.dictionaries(_NAMES, inner, max_size=3), st.sampled_from([0o755, 0o700])
    ),
    max_leaves=6,
)


def _make_state(path: Path, state: object) -> None:
    match state:
        case ("file", bytes(content), int(mode)):
            path.write_bytes(content)
            path.chmod(mode)
        case ("link", str(target)):
            path.symlink_to(target)
        case ("directory", dict(entries), int(mode)):
            path.mkdir()
            for name, entry in entries.items():
                _make_state(path / name, entry)
            path.chmod(mode)


_REPLACING: list[tuple[Make, dict[str, Json]]] = [
    (FileWrite, {"path": "d/x", "content": "new"}),
    (FileWrite, {"path": "d/x", "content": "new", "mode": "0600"}),
    (FileWrite, {"path": "d/x/deep/er", "content": "new"}),
    (FileCopy, {"path": "d/x", "source": "other"}),
    (FileLink, {"path": "d/x", "source": "other"}),
    (FileLinks, {"path": "d", "source": "from", "names": ["x", "y"]}),
    (FileLinks, {"path": "d/x", "source": "from", "names": ["x", "y"]}),
    (FileBackup, {"path": "d/x"}),
    (FileUnlink, {"path": "d/x", "prune": True}),
    (FileRemove, {"path": "d/x"}),
    (FileRemove, {"path": "d/x", "prune": True}),
    (FileMove, {"source": "d/x", "path": "e/f"}),
    (FileMove, {"source": "other", "path": "d/x"}),
    (FileMkdir, {"path": "d/x"}),
    (FileMkdir, {"path": "d/x/a/new"}),
]


@given(
    state=st.none() | _STATES,
    has_parent=st.booleans(),
    action=st.sampled_from(_REPLACING),
    keeps_state=st.booleans(),
)
def test_done_and_undone_leaves_the_tree_byte_identical(
    state: object, has_parent: bool, action: tuple[Make, dict[str, Json]], keeps_state: bool
) -> None:
    make, inputs = action
    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder))
        (place.root / "other").write_text("other")
        for name in "xy":
            _file(f"from/{name}")(place.root)
        if has_parent or state is not None:
            (place.root / "d").mkdir(mode=0o750)
        _make_state(place.root / "d" / "x", state)
        before = tree(place.root)
        try:
            done = place.do(make, inputs)
        except ActionFailed:
            assert tree(place.root) == before
            return
        if done.unchanged:
            assert tree(place.root) == before
        # A run that was killed before the outcome was on disk has only what is in scratch.
        place.undo(make, inputs, done if keeps_state else replace(done, undo=None))
        assert tree(place.root) == before


@given(first=st.none() | _STATES, second=st.none() | _STATES)
def test_undo_either_restores_or_leaves_a_later_change_alone(first: object, second: object) -> None:
    inputs: dict[str, Json] = {"path": "x", "content": "ours"}
    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder))
        _make_state(place.root / "x", first)
        before = tree(place.root)
        done = place.do(FileWrite, inputs)
        (place.root / "x").unlink()
        _make_state(place.root / "x", second)
        changed = tree(place.root)
        try:
            place.undo(FileWrite, inputs, done)
        except Drifted:
            assert tree(place.root) == changed
        else:
            assert tree(place.root) == before


# Killed in between: a ledger that holds any number of the changes, the last of them made or not.


class _Killing(Notebook):
    """Dies in the middle of the `moment`-th note, be it one of several that are written at once, as by a kill."""

    def __init__(self, path: Path, moment: int) -> None:
        super().__init__(path)
        self._path, self._left = path, moment

    def note_all(self, notes: Iterable[tuple[str, str, Json]]) -> None:
        notes = list(notes)
        super().note_all(notes[: self._left])
        if len(notes) > self._left:
            with self._path.open("ab") as torn:
                torn.write(b'["ledger", "')
            os._exit(9)
        self._left -= len(notes)


def _killed_at(place: Place, make: Make, inputs: Mapping[str, Json], moment: int) -> bool:
    """Do until the middle of the `moment`-th note, then stop without cleaning up, as a kill does.

    False: it came to its end.
    """
    case = ActionCase("", make, inputs)
    pid = os.fork()
    if pid == 0:
        try:
            given = work(case, place.root, place.recovery)
            make().do(replace(given, notebook=_Killing(place.recovery / NOTES, moment)))
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9


@pytest.mark.parametrize("does_again", [False, True], ids=["undone", "done-again-then-undone"])
@pytest.mark.parametrize(
    ("make", "inputs"),
    [
        (FileWrite, {"path": "d/x", "content": "new"}),
        (FileWrite, {"path": "e/f/g", "content": "new"}),
        (FileWrite, {"path": "dir", "content": "new"}),
        (FileRemove, {"path": "d/x", "prune": True}),
        (FileMove, {"source": "d/x", "path": "dir"}),
        (FileMkdir, {"path": "e/f/g"}),
        (FileLink, {"source": "d/x", "path": "e/f/g"}),
        (FileLink, {"source": "d/x", "path": "dir"}),
        (FileLinks, {"source": "d", "path": "e/f", "names": ["x"]}),
        (FileLinks, {"source": "d", "path": ".", "names": ["x"]}),
        (FileLinks, {"source": "dir/inner", "path": "links", "names": ["file"]}),
    ],
)
def test_killed_between_any_two_changes_all_is_put_back(
    make: Make, inputs: dict[str, Json], does_again: bool, tmp_path: Path
) -> None:
    for moment in range(20):
        place = Place(tmp_path / str(moment))
        _file("d/x")(place.root)
        _directory("dir")(place.root)
        before = tree(place.root)
        was_killed = _killed_at(place, make, inputs, moment)
        done = place.do(make, inputs) if does_again else Done()
        place.undo(make, inputs, done)
        assert tree(place.root) == before
        if not was_killed:
            assert moment > 0, "it was never killed in between"
            return
    raise AssertionError("it never came to its end")


@pytest.mark.parametrize("does_again", [False, True], ids=["undone", "done-again-then-undone"])
def test_killed_between_links_that_are_new_and_links_over_other_things_all_is_put_back(
    does_again: bool, tmp_path: Path
) -> None:
    inputs: dict[str, Json] = {"source": "in", "path": "out", "names": ["a", "b", "c", "d"]}
    for moment in range(30):
        place = Place(tmp_path / str(moment))
        _both(*(_file(f"in/{name}") for name in "abcd"))(place.root)
        _both(_file("out/b"), _directory("out/c"), _link("out/d", "nowhere"))(place.root)
        before = tree(place.root)
        was_killed = _killed_at(place, FileLinks, inputs, moment)
        done = place.do(FileLinks, inputs) if does_again else Done()
        place.undo(FileLinks, inputs, done)
        assert tree(place.root) == before
        if not was_killed:
            assert moment > 3, "it was killed between hardly any two"
            return
    raise AssertionError("it never came to its end")


# What the plan says.


def test_a_plan_shows_both_texts_so_that_they_can_be_compared(place: Place) -> None:
    _file("a.txt", "one\n")(place.root)
    said = place.plan(FileWrite, {"path": "a.txt", "content": "two\n"})
    assert (said.change, said.fidelity) == (Change.UPDATE, Fidelity.EXACT)
    assert said.before == {
        "kind": "file",
        "mode": "0644",
        "size": 4,
        "digest": "sha256:2c8b08da5ce60398e1f19af0e5dccc744df274b826abe585eaba68c525434806",
        "content": "one\n",
    }
    assert isinstance(said.after, dict)
    assert said.after["content"] == "two\n"


@pytest.mark.parametrize(
    ("content", "mode"),
    [("x" * 65_537, 0o644), ("private", 0o600), ("nul\0", 0o644)],
    ids=["long", "private", "binary"],
)
def test_a_text_that_is_long_private_or_none_is_shown_by_digest_and_size(content: str, mode: int, place: Place) -> None:
    _file("a.txt", content, mode)(place.root)
    said = place.plan(FileRemove, {"path": "a.txt"})
    assert isinstance(said.before, dict)
    assert said.before["size"] == len(content)
    assert "content" not in said.before


def test_g073_a_secret_is_planned_by_digest_and_size_and_so_is_what_it_replaces(place: Place) -> None:
    _file("a.env", "PASSWORD=earlier\n")(place.root)
    case = ActionCase("", FileWrite, {"path": "a.env", "content": "PASSWORD=hunter2\n"})
    given = plan_work(case, place.root)
    node = replace(given.node, slots={**given.node.slots, "content": Computed("PASSWORD=${{ secrets.PASSWORD }}\n")})
    said = FileWrite().plan(replace(given, node=node, secret=frozenset({"content"})))
    assert isinstance(said.after, dict)
    assert said.after["size"] == 17
    assert "hunter2" not in repr(said) and "earlier" not in repr(said)


def test_a_place_made_of_a_secret_is_not_shown(place: Place) -> None:
    given = plan_work(ActionCase("", FileRemove, {"path": "tenant-4711"}), place.root)
    node = replace(given.node, slots={**given.node.slots, "path": Computed("${{ secrets.TENANT }}")})
    said = FileRemove().plan(replace(given, node=node, secret=frozenset({"path"})))
    assert said.fidelity is Fidelity.OPAQUE
    assert "4711" not in repr(said)


def test_a_content_that_is_not_known_yet_leaves_the_place_known(place: Place) -> None:
    _file("a.txt")(place.root)
    given = plan_work(ActionCase("", FileWrite, {"path": "a.txt"}), place.root)
    said = FileWrite().plan(replace(given, unknown={"content": "`build/notes`"}))
    assert (said.change, said.fidelity) == (Change.UPDATE, Fidelity.PREDICTED)
    assert "`build/notes`" in said.why
    assert said.after == {"kind": "file", "mode": "0644"}


def test_a_directory_is_planned_with_how_much_is_in_it(place: Place) -> None:
    _directory("d")(place.root)
    assert place.plan(FileRemove, {"path": "d"}).before == {"kind": "directory", "mode": "0755", "entries": 2}


def test_reading_is_foretold_only_where_nothing_runs_before_it(place: Place) -> None:
    _file("a", "text")(place.root)
    given = plan_work(ActionCase("", FileSource, {"path": "a"}), place.root)
    assert FileSource().plan(given).outputs == {"content": "text"}
    later = FileSource().plan(replace(given, node=replace(given.node, needs=(Need("stage/before"),))))
    assert (later.fidelity, later.outputs) == (Fidelity.OPAQUE, {})


# What each does.


def test_a_write_is_atomic_and_never_goes_through_a_link(place: Place) -> None:
    _both(_file("real.txt", "real"), _link("a.txt", "real.txt"))(place.root)
    place.do(FileWrite, {"path": "a.txt", "content": "new"})
    assert (place.root / "real.txt").read_text() == "real"
    assert not (place.root / "a.txt").is_symlink()


def test_a_write_is_never_half_there_for_whoever_reads_meanwhile(place: Place) -> None:
    """The name is always bound: the old file is linked aside, and the new one renamed over it."""
    _file("a.txt", "old")(place.root)
    with (place.root / "a.txt").open() as reader:
        inode = os.fstat(reader.fileno()).st_ino
        done = place.do(FileWrite, {"path": "a.txt", "content": "new"})
        assert reader.read() == "old"
        assert (place.root / "a.txt").stat().st_ino != inode
        place.undo(FileWrite, {"path": "a.txt", "content": "new"}, done)
        assert (place.root / "a.txt").stat().st_ino == inode


@pytest.mark.parametrize("path", ["../x", "a/../../x", "out/../../x", ""])
def test_a_relative_path_stays_in_the_workspace(path: str, place: Place) -> None:
    with pytest.raises(ActionFailed):
        place.do(FileWrite, {"path": path, "content": ""})
    assert sorted(place.root.parent.iterdir()) == [place.recovery, place.root]


def test_a_link_in_the_workspace_leads_no_write_out_of_it(place: Place) -> None:
    _link("out", "..")(place.root)
    with pytest.raises(ActionFailed, match="leads out of the workspace"):
        place.do(FileWrite, {"path": "out/x", "content": ""})
    assert not (place.root.parent / "x").exists()


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"source": "in/a", "path": "out/../b", "within": "out"}, "`path` `out/../b` leads out of `out`"),
        ({"source": "in/a", "path": "out/away/b", "within": "out"}, "`out/away` is a link to `../elsewhere`"),
        ({"source": "in/../b", "path": "out/b", "source_within": "in"}, "`source` `in/../b` leads out of `in`"),
        ({"source": "in/away/a", "path": "out/b", "source_within": "in"}, "`in/away` is a link to `../elsewhere`"),
    ],
)
def test_neither_end_of_a_move_leads_out_of_the_folder_that_bounds_it(
    inputs: dict[str, Json], said: str, place: Place
) -> None:
    for name in ("in", "out", "elsewhere"):
        (place.root / name).mkdir()
    for name in ("in/a", "elsewhere/a", "b"):
        (place.root / name).write_text(name)
    _link("in/away", "../elsewhere")(place.root)
    _link("out/away", "../elsewhere")(place.root)
    before = tree(place.root)
    for ask in (place.plan, place.do):
        with pytest.raises(ActionFailed) as refused:
            ask(FileMove, inputs)
        assert said in str(refused.value).replace(f"{place.root}/", "")
    assert tree(place.root) == before
    free = {**inputs, "source": "in/a", "path": "out/b"}
    assert place.do(FileMove, free).change is Change.CREATE


def test_a_link_in_the_workspace_leads_no_read_out_of_it(place: Place) -> None:
    (place.root.parent / "key").write_text("private")
    _link("key", "../key")(place.root)
    with pytest.raises(ActionFailed, match="leads out of the workspace"):
        place.do(FileSource, {"path": "key"})
    with pytest.raises(ActionFailed, match="leads out of the workspace"):
        place.do(FileCopy, {"path": "mine", "source": "key"})


def test_an_absolute_path_is_allowed_and_shown_as_such(place: Place) -> None:
    there = str(place.root.parent / "elsewhere" / "x")
    assert place.plan(FileWrite, {"path": there, "content": "new"}).why == "outside the workspace"
    done = place.do(FileWrite, {"path": there, "content": "new"})
    assert Path(there).read_text() == "new"
    place.undo(FileWrite, {"path": there, "content": "new"}, done)
    assert not Path(there).parent.exists()


@pytest.mark.parametrize("path", [".", "sub/..", "{root}", "{parent}", "/"])
def test_the_workspace_itself_is_never_removed(path: str, place: Place) -> None:
    path = path.format(root=place.root, parent=place.root.parent)
    with pytest.raises(ActionFailed, match="holds the workspace"):
        place.do(FileRemove, {"path": path})


def test_a_pipe_is_neither_replaced_nor_removed(place: Place) -> None:
    os.mkfifo(place.root / "pipe")
    for make, inputs in ((FileWrite, {"content": ""}), (FileRemove, {}), (FileMove, {"source": "pipe", "path": "x"})):
        with pytest.raises(ActionFailed, match="pipe"):
            place.do(make, {"path": "pipe", **inputs})


@pytest.fixture
def other_file_system() -> Iterator[Path]:
    """A directory on another file system than the temporary one."""
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == Path(tempfile.gettempdir()).stat().st_dev:
        pytest.skip("there is no second file system to write to")
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


def test_g032_what_was_put_aside_is_back_when_the_rest_fails(place: Place, other_file_system: Path) -> None:
    """The old directory is put aside before the move; a directory of another file system then cannot be moved."""
    _directory("x")(place.root)
    _directory("d")(other_file_system)
    before = tree(place.root)
    with pytest.raises(ActionFailed, match="another file system"):
        place.do(FileMove, {"source": str(other_file_system / "d"), "path": "x"})
    assert tree(place.root) == before
    assert (other_file_system / "d/inner/file").read_text() == "kept"


@pytest.mark.parametrize(
    "state",
    [
        ("file", b"old", 0o640),
        ("link", "nowhere"),
        ("directory", {"a": ("file", b"", 0o600), "b": ("link", "a")}, 0o700),
    ],
    ids=lambda state: str(state[0]),
)
@pytest.mark.parametrize(("make", "inputs"), _REPLACING)
def test_what_was_kept_on_another_file_system_is_put_back_whole(
    state: object, make: Make, inputs: dict[str, Json], place: Place, other_file_system: Path
) -> None:
    place.recovery = other_file_system
    (place.root / "other").write_text("other")
    (place.root / "d").mkdir()
    _make_state(place.root / "d" / "x", state)
    before = tree(place.root)
    try:
        done = place.do(make, inputs)
    except ActionFailed:
        assert tree(place.root) == before
        return
    place.undo(make, inputs, done)
    assert tree(place.root) == before


def test_a_file_is_moved_between_file_systems_and_back(place: Place, other_file_system: Path) -> None:
    source = other_file_system / "a"
    source.write_text("moved")
    inputs: dict[str, Json] = {"source": str(source), "path": "b"}
    done = place.do(FileMove, inputs)
    assert (place.root / "b").read_text() == "moved" and not source.exists()
    place.undo(FileMove, inputs, done)
    assert source.read_text() == "moved" and not (place.root / "b").exists()


def test_g046_what_changed_since_is_named_and_left_alone(place: Place) -> None:
    done = place.do(FileWrite, {"path": "a", "content": "ours"})
    (place.root / "a").chmod(0o600)
    with pytest.raises(Drifted, match="`a` has other content or another mode by now"):
        place.undo(FileWrite, {"path": "a", "content": "ours"}, done)
    assert (place.root / "a").read_text() == "ours"


def test_an_undo_whose_kept_files_are_gone_says_so(place: Place) -> None:
    _file("a", "old")(place.root)
    done = place.do(FileWrite, {"path": "a", "content": "new"})
    shutil.rmtree(place.recovery)
    place.recovery.mkdir()
    with pytest.raises(NotUndoable, match="no longer kept"):
        place.undo(FileWrite, {"path": "a", "content": "new"}, done)


def test_what_others_put_into_a_made_parent_stays(place: Place) -> None:
    done = place.do(FileWrite, {"path": "made/a", "content": "ours"})
    _file("made/theirs")(place.root)
    place.undo(FileWrite, {"path": "made/a", "content": "ours"}, done)
    assert tree(place.root).keys() == {"made", "made/theirs"}


def test_g065_a_relative_and_an_absolute_link_to_one_place_are_equal(place: Place) -> None:
    _both(_file("in.txt"), _link("link", str(place.root / "in.txt")))(place.root)
    assert place.do(FileLink, {"path": "link", "source": "in.txt"}).unchanged
    assert place.plan(FileLink, {"path": "link", "source": "in.txt"}).change is Change.NOOP


def test_a_relative_link_survives_moving_the_workspace(place: Place) -> None:
    _file("in.txt", "there")(place.root)
    place.do(FileLink, {"path": "a/b/link", "source": "in.txt"})
    moved = place.root.rename(place.root.parent / "moved")
    assert (moved / "a/b/link").read_text() == "there"


def test_g067_two_backups_in_one_second_are_two_files(place: Place) -> None:
    for text in ("first", "second", "third"):
        _file("a.txt", text)(place.root)
        done = place.do(FileBackup, {"path": "a.txt"})
        assert (place.root / str(done.outputs["path"])).read_text() == text
        shutil.rmtree(place.recovery)
        place.recovery.mkdir()
    assert sorted(tree(place.root)) == [f"a.txt.backup.20261014-174640{end}" for end in ("", "-2", "-3")]


def test_g113_pruning_removes_empty_folders_up_to_the_boundary(place: Place) -> None:
    _both(_file("t/a/b/f"), _file("t/a2/f"))(place.root)
    (place.root / "t/a").chmod(0o700)
    before = tree(place.root)
    done = place.do(FileRemove, {"path": "t/a/b/f", "prune": True, "prune_boundary": "t"})
    assert tree(place.root).keys() == {"t", "t/a2", "t/a2/f"}
    place.undo(FileRemove, {"path": "t/a/b/f", "prune": True, "prune_boundary": "t"}, done)
    assert tree(place.root) == before


def test_pruning_stops_at_a_folder_that_is_not_empty(place: Place) -> None:
    _both(_file("t/a/b/f"), _file("t/a/g"))(place.root)
    place.do(FileRemove, {"path": "t/a/b/f", "prune": True, "prune_boundary": "t"})
    assert tree(place.root).keys() == {"t", "t/a", "t/a/g"}


def test_unlink_removes_nothing_but_a_link(place: Place) -> None:
    _file("a")(place.root)
    with pytest.raises(ActionFailed, match=r"is a file, not a link; `file\.remove` removes it"):
        place.do(FileUnlink, {"path": "a"})
    assert (place.root / "a").exists()


@pytest.mark.parametrize(("content", "what"), [(b"\xff", "not UTF-8: byte 0 is 0xff"), (b"x" * (2**20 + 1), "larger")])
def test_only_a_text_of_bearable_size_is_passed_on(content: bytes, what: str, place: Place) -> None:
    (place.root / "a").write_bytes(content)
    with pytest.raises(ActionFailed, match=what):
        place.do(FileSource, {"path": "a"})


def test_records_say_how_a_thing_came_there_and_what_is_gone(place: Place) -> None:
    _both(_file("in.txt", "text"), _directory("d"))(place.root)
    steps: list[tuple[Make, dict[str, Json]]] = [
        (FileCopy, {"path": "./out/../copy", "source": "in.txt", "mode": "0600"}),
        (FileLink, {"path": "link", "source": "in.txt"}),
        (FileMkdir, {"path": "new", "mode": "0700"}),
        (FileMove, {"source": "d", "path": "e"}),
        (FileRemove, {"path": "e"}),
    ]
    told = []
    for number, (make, inputs) in enumerate(steps):
        place.recovery = place.root.parent / str(number)
        told += [(record.name, record.present, record.facts) for record in place.do(make, inputs).records]
    digest = "sha256:982d9e3eb996f559e633f4d194def3761d909f5a3b647d1a851fead67c32c9d1"
    assert told == [
        ("copy", True, {"how": "copy", "mode": "0600", "digest": digest, "source": "in.txt"}),
        ("link", True, {"how": "link", "source": "in.txt"}),
        ("new", True, {"how": "directory", "mode": "0700"}),
        ("d", False, {}),
        ("d/inner/file", False, {}),
        ("e", True, {"how": "move", "mode": "0755", "source": "d"}),
        ("e/inner/file", True, {"how": "move", "mode": "0644", "digest": told[6][2]["digest"]}),
        ("e", False, {}),
        ("e/inner/file", False, {}),
    ]


def test_a_link_that_leads_there_in_other_words_is_recorded_as_it_is(place: Place) -> None:
    _both(_file("in.txt"), _link("link", str(place.root / "in.txt")))(place.root)
    (record,) = place.do(FileLink, {"path": "link", "source": "in.txt"}).records
    assert record.fingerprint == fingerprint(place.root / "link")


def test_verify_of_a_write_is_gone_once_it_was_changed(place: Place) -> None:
    inputs: dict[str, Json] = {"path": "a", "content": "ours"}
    done = place.do(FileWrite, inputs)
    assert place.verify(FileWrite, inputs, done) is Verified.HOLDS
    (place.root / "a").write_text("theirs")
    assert place.verify(FileWrite, inputs, done) is Verified.GONE


def test_what_undo_needs_is_json(place: Place) -> None:
    _directory("x")(place.root)
    done = place.do(FileWrite, {"path": "x", "content": "new"})
    assert json.loads(json.dumps(done.undo)) == done.undo
    assert str(place.root) not in json.dumps(done.undo)


@pytest.mark.parametrize(
    "names", [[], [".."], ["."], [""], ["a/b"], ["/etc/passwd"], ["a\0b"], ["a", "a"], [1], "a", None]
)
def test_names_that_are_none_or_lead_elsewhere_are_refused(names: Json, place: Place) -> None:
    _both(_file("in/a"), _file("b"))(place.root)
    before = tree(place.root)
    for refused in (place.plan, place.do):
        with pytest.raises(ActionFailed, match="`names`"):
            refused(FileLinks, {**LINKS, "names": names})
    assert tree(place.root) == before


@pytest.mark.parametrize("path", ["in", "./in", "also", "out/../in"])
def test_links_are_not_made_where_what_they_lead_to_is(path: str, place: Place) -> None:
    _both(_file("in/a"), _link("also", "in"))(place.root)
    before = tree(place.root)
    with pytest.raises(ActionFailed):
        place.do(FileLinks, {"path": path, "source": "in", "names": ["a"]})
    assert tree(place.root) == before


def test_an_undo_takes_back_all_but_what_changed_since_and_names_that(place: Place) -> None:
    _both(*(_file(f"in/{name}") for name in "abc"), _file("out/d/b"))(place.root)
    inputs: dict[str, Json] = {**LINKS, "names": ["a", "b", "c"]}
    done = place.do(FileLinks, inputs)
    _overwrite("out/d/a")(place.root)
    with pytest.raises(Drifted, match="`out/d/a` is file, not link, by now") as drifted:
        place.undo(FileLinks, inputs, done)
    assert drifted.value.left == ("out/d/a",)
    assert (place.root / "out/d/b").read_text() == "old\n" and not (place.root / "out/d/c").is_symlink()
    (place.root / "out/d/a").unlink()
    (place.root / "out/d/a").symlink_to("../../in/a")
    place.undo(FileLinks, inputs, done)
    assert tree(place.root).keys() == {"in", "in/a", "in/b", "in/c", "out", "out/d", "out/d/b"}, (
        "once it is as it was left"
    )
