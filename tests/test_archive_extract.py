"""Shows what `archive.extract` unpacks, what it refuses before anything is written, and that undo brings everything back."""

from __future__ import annotations

import gzip
import io
import os
import shutil
import stat
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from msgspec.structs import replace

from shipway.action import ActionFailed, Done, Drifted, Prediction
from shipway.actions.archive_extract import ArchiveExtract
from shipway.canonical import Json
from shipway.nodes import Change, Fidelity, Need, Verified
from tests.contracts.action import CHECKS, ActionCase, plan_work, tree, undo_work, work
from tests.hostile_archives import hostile_archives

INPUTS: dict[str, Json] = {"source": "in.tar.gz", "prefix": "out/app"}
ZIPPED: dict[str, Json] = {"source": "in.zip", "prefix": "out/app"}

FILES = {"bin/run": (b"#!/bin/sh\n", 0o755), "etc/app.conf": (b"a=1\n", 0o640), "README": (b"read me\n", 0o444)}


def _tar(*entries: tuple[tarfile.TarInfo, bytes]) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz", format=tarfile.PAX_FORMAT) as archive:
        for info, data in entries:
            info.size = info.size or len(data)
            archive.addfile(info, io.BytesIO(data))
    return content.getvalue()


def _entry(
    name: str, data: bytes = b"", *, kind: bytes = tarfile.REGTYPE, mode: int = 0o644, to: str = ""
) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.linkname = kind, mode, to
    return info, data


def _good_tar() -> bytes:
    files = [_entry(name, data, mode=mode) for name, (data, mode) in FILES.items()]
    link = _entry("bin/start", kind=tarfile.SYMTYPE, to="../bin/run")
    hard = _entry("bin/again", kind=tarfile.LNKTYPE, to="bin/run")
    return _tar(_entry("empty/", kind=tarfile.DIRTYPE, mode=0o700), *files, link, hard)


def _good_zip() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, (data, mode) in FILES.items():
            archive.writestr(_zip_info(name, stat.S_IFREG | mode), data)
        archive.writestr(_zip_info("bin/start", stat.S_IFLNK | 0o777), "run")
        archive.writestr("empty/", b"")
    return content.getvalue()


def _zip_info(name: str, mode: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr, info.compress_type = 3, mode << 16, zipfile.ZIP_DEFLATED
    return info


def _with(name: str, content: bytes, *more: Callable[[Path], None]) -> Callable[[Path], None]:
    def prepare(root: Path) -> None:
        (root / name).write_bytes(content)
        for step in more:
            step(root)

    return prepare


def _conf(root: Path) -> None:
    (root / "out/app/etc").mkdir(parents=True)
    (root / "out/app/etc/app.conf").write_text("ours\n")
    (root / "out/app/etc").chmod(0o700)
    (root / "out/app/kept").write_text("kept")


def _in_the_way(root: Path) -> None:
    """A link where a folder goes, a folder where a file and where a link go."""
    (root / "elsewhere").mkdir()
    (root / "elsewhere/app.conf").write_text("not ours")
    (root / "out/app/README/deep").mkdir(parents=True)
    (root / "out/app/README/deep/file").write_text("kept")
    (root / "out/app/bin/start").mkdir(parents=True)
    (root / "out/app/etc").symlink_to("../../elsewhere")
    (root / "out/app/empty").write_text("a file")


def _added(root: Path) -> None:
    (root / "out/app/bin/new").write_text("somebody else's")


def _changed(root: Path) -> None:
    (root / "out/app/README").chmod(0o600)


CASES = [
    ActionCase("a tar", ArchiveExtract, INPUTS, _with("in.tar.gz", _good_tar()), _added, {"source": "gone.tgz"}),
    ActionCase("a zip", ArchiveExtract, ZIPPED, _with("in.zip", _good_zip()), _changed, {"max_bytes": 10}),
    ActionCase(
        "over files", ArchiveExtract, INPUTS, _with("in.tar.gz", _good_tar(), _conf), _added, {"prefix": "in.tar.gz"}
    ),
    ActionCase("over other things", ArchiveExtract, INPUTS, _with("in.tar.gz", _good_tar(), _in_the_way), _changed),
    ActionCase("nothing in it", ArchiveExtract, INPUTS, _with("in.tar.gz", _tar())),
    ActionCase("over the workspace", ArchiveExtract, {**INPUTS, "prefix": "."}, _with("in.tar.gz", _good_tar())),
    ActionCase("something else", ArchiveExtract, INPUTS, _with("in.tar.gz", _good_tar()), breaks={"prefix": "../x"}),
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
def test_unpacking_keeps_the_contract(case: ActionCase, check: Callable[[ActionCase], None]) -> None:
    check(case)


class Place:
    """A workspace with one archive, unpacked and put back."""

    def __init__(self, folder: Path, content: bytes) -> None:
        self.root, self.recovery = folder / "work", folder / "recovery"
        self.root.mkdir()
        self.recovery.mkdir()
        (self.root / "in").write_bytes(content)
        self.case = ActionCase("", ArchiveExtract, {"source": "in", "prefix": "out"})

    def do(self) -> Done:
        return ArchiveExtract().do(work(self.case, self.root, self.recovery))

    def undo(self, done: Done) -> None:
        ArchiveExtract().undo(undo_work(self.case, self.root, self.recovery, done))

    def verify(self, done: Done) -> Verified:
        return ArchiveExtract().verify(undo_work(self.case, self.root, self.recovery, done))


@pytest.mark.parametrize("content", [_good_tar(), _good_zip()], ids=["tar", "zip"])
def test_contents_links_and_modes_are_those_of_the_archive(content: bytes, tmp_path: Path) -> None:
    place = Place(tmp_path, content)
    done = place.do()
    out = place.root / "out"
    assert {name: (out / name).read_bytes() for name in FILES} == {name: data for name, (data, _) in FILES.items()}
    modes = {name: stat.S_IMODE((out / name).stat().st_mode) for name in FILES}
    assert modes == {"bin/run": 0o755, "etc/app.conf": 0o640, "README": 0o644}
    assert (out / "bin/start").read_bytes() == b"#!/bin/sh\n"
    assert (out / "empty").is_dir()
    assert done.change is Change.CREATE


def test_what_is_unpacked_is_what_tar_itself_unpacks(tmp_path: Path) -> None:
    if shutil.which("tar") is None:
        pytest.skip("there is no `tar` to compare with")
    source = tmp_path / "source"
    for name, (data, _) in FILES.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(data)
    (source / ("long-" * 30) / ("name-" * 30)).mkdir(parents=True)
    (source / "unicode-ü-漢").write_text("text")
    (source / "bin/link").symlink_to("run")
    packed = tmp_path / "packed.tgz"
    subprocess.run(["tar", "-C", source, "-czf", packed, "."], check=True)
    place = Place(tmp_path, packed.read_bytes())
    place.do()
    assert tree(place.root / "out") == tree(source)


def test_unpacked_again_nothing_changes_and_one_changed_file_is_the_only_one_replaced(tmp_path: Path) -> None:
    place = Place(tmp_path, _good_tar())
    place.do()
    before = tree(place.root)
    place.recovery = tmp_path / "next"
    assert place.do().unchanged
    (place.root / "out/README").write_text("changed")
    inode = (place.root / "out/bin/run").stat().st_ino
    done = place.do()
    assert tree(place.root) == before
    assert (place.root / "out/bin/run").stat().st_ino == inode
    assert done.change is Change.UPDATE
    place.undo(done)
    assert (place.root / "out/README").read_text() == "changed"


def test_setuid_and_what_others_may_write_is_left_out(tmp_path: Path) -> None:
    place = Place(tmp_path, _tar(_entry("su", b"x", mode=0o6777), _entry("d/", kind=tarfile.DIRTYPE, mode=0o1777)))
    place.do()
    assert stat.S_IMODE((place.root / "out/su").stat().st_mode) == 0o755
    assert stat.S_IMODE((place.root / "out/d").stat().st_mode) == 0o755


def test_what_was_put_into_an_unpacked_folder_is_told_and_nothing_is_removed(tmp_path: Path) -> None:
    place = Place(tmp_path, _good_tar())
    done = place.do()
    (place.root / "out/etc/local.conf").write_text("theirs")
    before = tree(place.root)
    with pytest.raises(Drifted, match=r"`out/etc` is no longer empty"):
        place.undo(done)
    assert tree(place.root) == before


def test_what_others_put_beside_it_stays_and_is_no_drift(tmp_path: Path) -> None:
    place = Place(tmp_path, _good_tar())
    done = place.do()
    (place.root / "out/theirs").write_text("theirs")
    place.undo(done)
    assert tree(place.root).keys() == {"in", "out", "out/theirs"}


def test_a_plan_foretells_what_is_there_now_and_no_more_behind_what_may_write_it(tmp_path: Path) -> None:
    place = Place(tmp_path, _good_tar())
    given = plan_work(place.case, place.root)
    said = ArchiveExtract().plan(given)
    assert (said.change, said.fidelity) == (Change.CREATE, Fidelity.EXACT)
    assert said.after == {"kind": "tree", "directories": 3, "files": 4, "links": 1, "size": 32}
    later = ArchiveExtract().plan(replace(given, node=replace(given.node, needs=(Need("stage/before"),))))
    assert later.fidelity is Fidelity.PREDICTED


def test_many_files_are_unpacked_and_put_back(tmp_path: Path) -> None:
    """Each is noted before it is made, all of them at once: 3,000 notes would take minutes one by one."""
    place = Place(tmp_path, _tar(*(_entry(f"d{number % 50}/f{number}", b"%d" % number) for number in range(3000))))
    before = tree(place.root)
    done = place.do()
    assert len(tree(place.root / "out")) == 3050
    place.undo(done)
    assert tree(place.root) == before


def test_from_another_file_system_all_comes_back_too(tmp_path: Path) -> None:
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system to write to")
    place = Place(tmp_path, _good_tar())
    _conf_at = place.root / "out/etc"
    _conf_at.mkdir(parents=True)
    (_conf_at / "app.conf").write_text("ours")
    before = tree(place.root)
    with tempfile.TemporaryDirectory(dir=memory) as scratch:
        place.recovery = Path(scratch)
        done = place.do()
        assert (_conf_at / "app.conf").read_text() == "a=1\n"
        place.undo(done)
    assert tree(place.root) == before


# Killed in between: before any change that the operating system is asked for.

_CHANGES = {"os.rename", "os.mkdir", "os.link", "os.symlink", "os.remove", "os.rmdir", "os.chmod"}


def _killed_at(moment: int, call: Callable[[], object]) -> bool:
    """Call until the `moment`-th change, then stop without cleaning up, as a kill does. False: it came to its end."""
    pid = os.fork()
    if pid == 0:
        left = moment

        def count(event: str) -> None:
            nonlocal left
            if event in _CHANGES:
                left -= 1
                if left < 0:
                    os._exit(9)

        try:
            sys.addaudithook(lambda event, args: count(event))
            call()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9


@pytest.mark.parametrize("is_undo_killed", [False, True], ids=["do-killed", "undo-killed"])
def test_killed_before_any_change_all_is_put_back(is_undo_killed: bool, tmp_path: Path) -> None:
    for moment in range(300):
        folder = tmp_path / str(moment)
        folder.mkdir()
        place = Place(folder, _good_tar())
        (place.root / "out/etc").mkdir(parents=True)
        (place.root / "out/etc/app.conf").write_text("ours")
        (place.root / "out/README/deep").mkdir(parents=True)
        (place.root / "out/empty").symlink_to("nowhere")
        before = tree(place.root)
        done = place.do() if is_undo_killed else Done()
        was_killed = _killed_at(moment, partial(place.undo, done) if is_undo_killed else place.do)
        if is_undo_killed and was_killed and tree(place.root) != before:
            assert place.verify(done) is Verified.HOLDS, "else nobody would go on with taking it back"
        place.undo(done)
        assert tree(place.root) == before, moment
        if is_undo_killed:
            assert place.verify(done) is Verified.GONE
        if not was_killed:
            assert moment > 5, "it was never killed in between"
            return
    raise AssertionError("it never came to its end")


# What is refused, before anything is written.

_LARGE = bytes(40_000_000)


def _hostile_tars() -> Iterator[tuple[str, bytes]]:
    good = _good_tar()
    plain = gzip.decompress(good)
    yield "nothing", b""
    yield "another format", b"BZh91AY"
    yield "a tar that is not packed", plain
    yield "cut off", good[: len(good) // 2]
    yield "cut off before its checksum", good[:-4]
    yield "another checksum", good[:-8] + b"\0\0\0\0" + good[-4:]
    yield "something behind it", good + b"more"
    yield "another archive behind its end", gzip.compress(plain + plain)
    yield "a damaged header", gzip.compress(plain[:512] + b"\xff" * 512 + plain[1024:])
    yield "cut off inside and packed again", gzip.compress(plain[:1100])
    for name in ("../x", "a/../../x", "a/../x", "..", "/x", "//x", "/etc/cron.d/x", "C:\\x", "C:x", "..\\x", "\\x"):
        yield f"the path {name}", _tar(_entry("ok", b"fine"), _entry(name, b"x"))
    yield "a newline in a name", _tar(_entry("a\nb", b""))
    yield "an escape in a name", _tar(_entry("a\x1b[2Jb", b""))
    yield "a name that is no text", _tar(_entry("\udcff\udcfe", b""))
    yield "a name that is too long", _tar(_entry("x" * 300, b""))
    yield "the top as a file", _tar(_entry("./", b""), _entry(".", b"x"))
    for kind in (tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, b"Z"):
        yield f"a thing of kind {kind!r}", _tar(_entry("thing", kind=kind))
    for to in ("/etc/passwd", "..", "../x", "d/../..", "d/../../x", "", "./../x"):
        yield f"a link to {to}", _tar(_entry("link", kind=tarfile.SYMTYPE, to=to))
    for to in ("../../x", "../../../x"):
        yield f"a link below a folder to {to}", _tar(_entry("d/link", kind=tarfile.SYMTYPE, to=to))
    yield (
        "a link that climbs what another leads to",
        _tar(
            _entry("a/b/c/up", kind=tarfile.SYMTYPE, to="../../.."),
            _entry("out", kind=tarfile.SYMTYPE, to="a/b/c/up/../.."),
        ),
    )
    yield (
        "a file through a link",
        _tar(_entry("d", kind=tarfile.SYMTYPE, to="e"), _entry("d/x", b"x")),
    )
    yield (
        "a folder where a link was",
        _tar(_entry("d", kind=tarfile.SYMTYPE, to="."), _entry("d/", kind=tarfile.DIRTYPE)),
    )
    yield "a file in a file", _tar(_entry("d", b"x"), _entry("d/x", b"x"))
    yield "a file over its folder", _tar(_entry("d/x", b"x"), _entry("d", b"x"))
    yield "a hard link out", _tar(_entry("x", kind=tarfile.LNKTYPE, to="/etc/passwd"))
    yield "a hard link up", _tar(_entry("x", kind=tarfile.LNKTYPE, to="../y"))
    yield "a hard link to nothing", _tar(_entry("x", kind=tarfile.LNKTYPE, to="y"))
    yield (
        "a hard link to a link",
        _tar(_entry("y", kind=tarfile.SYMTYPE, to="z"), _entry("x", kind=tarfile.LNKTYPE, to="y")),
    )
    yield "a name twice", _tar(_entry("x", b"1"), _entry("x", b"2"))
    yield "a name twice in other words", _tar(_entry("x", b"1"), _entry("./x", b"2"))
    yield "names that differ in case", _tar(_entry("x", b"1"), _entry("X", b"2"))
    yield "folders that differ in case", _tar(_entry("d/x", b"1"), _entry("D/y", b"2"))
    yield "one letter in two ways", _tar(_entry("\u00e9", b"1"), _entry("e\u0301", b"2"))
    yield "a bomb", _tar(_entry("zeros", _LARGE))
    yield "a bomb of hard links", _tar(_entry("f", bytes(1 << 20)), *_hard_links(2000))
    yield "a bomb behind its end", gzip.compress(plain + bytes(200_000_000), 1)
    yield "a bomb in a header", _tar_with_pax(b"x" * 3_000_000)
    yield "headers without an end", gzip.compress(_pax_header(b"a=b") * 4000)
    yield "a size below nothing", gzip.compress(_with_size(b"\xff" * 12))
    yield "a size of eight exabytes", gzip.compress(_with_size(b"\x80" + b"\0" * 3 + b"\x7f" + b"\xff" * 7))
    yield "holes", _tar_with_pax(b"1", key="GNU.sparse.size")
    yield "too many members", gzip.compress(_many(65_600))


def _hard_links(count: int) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
    return (_entry(f"l{number}", kind=tarfile.LNKTYPE, to="f") for number in range(count))


def _tar_with_pax(value: bytes, key: str = "comment") -> bytes:
    info, _ = _entry("x")
    info.pax_headers = {key: value.decode(), **({"GNU.sparse.map": "0,1"} if "sparse" in key else {})}
    return _tar((info, b""))


def _pax_header(record: bytes) -> bytes:
    info = tarfile.TarInfo("pax")
    info.type = tarfile.XHDTYPE
    line = b"%d %s\n" % (len(record) + 3, record)
    info.size = len(line)
    return info.tobuf(tarfile.USTAR_FORMAT) + line.ljust(512, b"\0")


def _with_size(field: bytes) -> bytes:
    block = bytearray(tarfile.TarInfo("x").tobuf(tarfile.USTAR_FORMAT))
    block[124:136] = field
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + bytes(1024)


def _many(count: int) -> bytes:
    block = bytearray(tarfile.TarInfo("0000000").tobuf(tarfile.USTAR_FORMAT))
    found = io.BytesIO()
    for number in range(count):
        block[0:7] = b"%07d" % number
        block[148:156] = b" " * 8
        block[148:156] = b"%06o\0 " % sum(block)
        found.write(block)
    return found.getvalue() + bytes(1024)


HARMLESS_ZIPS = {
    "a member below a folder",
    "a member too many",
    "a journal",
    "no plan",
    "a folder by its name",
    "more than may be unpacked",
    "a list of ten thousand members",
}
"""What is no artifact of ours is not hostile for that."""


def _hostile_zips() -> Iterator[tuple[str, bytes]]:
    for name, content in hostile_archives(b'{"kind": "plan"}' * 40):
        if name not in HARMLESS_ZIPS:
            yield name, content
    yield "names that differ in case", _zip("x", "X")
    yield "a link out", _zip_link("../x")
    yield "a link that is too long", _zip_link("x" * 5000)
    yield "a file in a file", _zip("x", "x/y")


def _zip(*names: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name in names:
            archive.writestr(name, "text")
    return content.getvalue()


def _zip_link(to: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(_zip_info("link", stat.S_IFLNK | 0o777), to)
    return content.getvalue()


@pytest.mark.parametrize("corpus", [_hostile_tars, _hostile_zips], ids=["tar", "zip"])
def test_a_hostile_archive_is_refused_before_anything_is_written(
    corpus: Callable[[], Iterator[tuple[str, bytes]]], tmp_path: Path
) -> None:
    taken = []
    for number, (name, content) in enumerate(corpus()):
        folder = tmp_path / str(number)
        folder.mkdir()
        place = Place(folder, content)
        before = tree(place.root)
        refusals = [_refusal(place.do), _refusal(partial(_planned, place))]
        if refusals != [True, True] or tree(place.root) != before or len(list(folder.iterdir())) != 2:
            taken.append(name)
    assert taken == []


def _planned(place: Place) -> Prediction:
    return ArchiveExtract().plan(plan_work(place.case, place.root))


def _refusal(call: Callable[[], object]) -> bool:
    """Whether it is refused for good, with the reason."""
    try:
        call()
    except ActionFailed as error:
        return "is not unpacked: " in str(error) and error.is_permanent
    return False


@pytest.mark.parametrize("name", sorted(HARMLESS_ZIPS))
def test_what_is_only_no_artifact_of_ours_is_unpacked(name: str, tmp_path: Path) -> None:
    place = Place(tmp_path, dict(hostile_archives(b"{}"))[name])
    done = place.do()
    assert (place.root / "out").is_dir()
    place.undo(done)
    assert tree(place.root).keys() == {"in"}


@pytest.mark.parametrize("name", [".git/hooks/post-checkout", ".GIT/config", ".shipway/state.db"])
def test_over_the_workspace_nothing_that_git_or_shipway_goes_by_is_replaced(name: str, tmp_path: Path) -> None:
    place = Place(tmp_path, _tar(_entry(name, b"evil")))
    place.case = ActionCase("", ArchiveExtract, {"source": "in", "prefix": "."})
    with pytest.raises(ActionFailed, match="is not unpacked over the workspace"):
        place.do()
    assert tree(place.root).keys() == {"in"}


@pytest.mark.parametrize("name", ["work/.git/hooks/post-checkout", "work/.shipway/state.db", "work/.git", "work"])
def test_nor_from_a_folder_above_it_or_through_a_link_to_it(name: str, tmp_path: Path) -> None:
    place = Place(tmp_path, _tar(_entry(name, b"evil")))
    assert place.root.name == "work"
    (tmp_path / "link").symlink_to(tmp_path.parent)
    for prefix in (tmp_path, tmp_path / "link" / tmp_path.name):
        place.case = ActionCase("", ArchiveExtract, {"source": "in", "prefix": str(prefix)})
        with pytest.raises(ActionFailed, match="is not unpacked over the workspace"):
            place.do()
    assert tree(place.root).keys() == {"in"}


def test_an_archive_that_changes_while_it_is_unpacked_leaves_nothing(tmp_path: Path) -> None:
    """It was read whole, and found to be in order; then it is another one."""
    place = Place(tmp_path, _tar(_entry("a", b"1")))
    given = work(place.case, place.root, place.recovery)
    asked: list[bool] = []

    def swap() -> bool:
        asked.append(True)
        if len(asked) == 1:
            (place.root / "in").write_bytes(_tar(_entry("a", b"2")))
        return False

    with pytest.raises(ActionFailed, match="changed while it was unpacked"):
        ArchiveExtract().do(replace(given, cancelled=swap))
    assert tree(place.root).keys() == {"in"}


def test_one_that_is_stopped_leaves_nothing(tmp_path: Path) -> None:
    place = Place(tmp_path, _good_tar())
    given = work(place.case, place.root, place.recovery)
    with pytest.raises(ActionFailed, match="stopped"):
        ArchiveExtract().do(replace(given, cancelled=lambda: True))
    assert tree(place.root).keys() == {"in"}


def test_without_its_archive_nobody_can_tell_whether_it_is_there(tmp_path: Path) -> None:
    place = Place(tmp_path, _good_tar())
    done = place.do()
    os.unlink(place.root / "in")
    assert ArchiveExtract().verify(undo_work(place.case, place.root, place.recovery, done)) is Verified.UNKNOWN
