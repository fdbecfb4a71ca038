"""Shows by property that a run that fails at any node leaves the tree byte-, mode- and link-identical, whatever its actions did."""

from __future__ import annotations

import io
import json
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from shipway.canonical import Json
from shipway.nodes import Outcome
from tests.contracts.action import tree
from tests.runs import run

# Names with what a shell, a terminal or a normalising file system would trip over; two that differ only by accent or case do
# not stand beside each other, since macOS has no room for both.
_NAMES = st.sampled_from(["a", "b", "c d", "ü-漢", "-x", "$y", "e'f", "dot.", ".hidden", "📦"])
_MODES = st.sampled_from([0o644, 0o600, 0o755, 0o444, 0o640])
_FOLDER_MODES = st.sampled_from([0o755, 0o700, 0o555, 0o750])
_FILES = st.tuples(st.just("file"), st.binary(max_size=12), _MODES)
_LINKS = st.tuples(st.just("link"), st.sampled_from(["nowhere", "a", "b", "..", ".", "a/b", "/etc/hostname", "ü-漢"]))
_TREES = st.recursive(
    st.one_of(_FILES, _LINKS),
    lambda inner: st.tuples(st.just("directory"), st.dictionaries(_NAMES, inner, max_size=4), _FOLDER_MODES),
    max_leaves=10,
)
_ROOTS = st.dictionaries(_NAMES, _TREES, max_size=4)
_PATHS = st.lists(_NAMES, min_size=1, max_size=3).map(lambda names: "/".join(["t", *names]))

_READS = st.sampled_from(["file.source", "file.exists", "file.is_dir"])
_STEPS = st.one_of(
    st.builds(
        lambda p, c, m: _step("file.write", path=p, content=c, mode=m),
        _PATHS,
        st.text("ab\n", max_size=4),
        st.sampled_from(["0644", "0600"]),
    ),
    st.builds(lambda p, s: _step("file.copy", path=p, source=s), _PATHS, _PATHS | st.just("given")),
    st.builds(lambda p: _step("file.copy", path=p, content="copied", mode="0755"), _PATHS),
    st.builds(lambda p, s: _step("file.link", path=p, source=s), _PATHS, _PATHS | st.just("given")),
    st.builds(lambda p: _step("file.backup", path=p), _PATHS),
    st.builds(lambda p, f: _step("file.unlink", path=p, prune=f), _PATHS, st.booleans()),
    st.builds(lambda p, f: _step("file.remove", path=p, prune=f), _PATHS, st.booleans()),
    st.builds(lambda p, s: _step("file.move", path=p, source=s), _PATHS, _PATHS),
    st.builds(lambda p, m: _step("file.mkdir", path=p, mode=m), _PATHS, st.sampled_from(["0755", "0700"])),
    st.builds(lambda p: _step("archive.extract", source="in.tgz", prefix=p), _PATHS | st.just("t")),
    st.builds(lambda a, p: _step(a, path=p), _READS, _PATHS),
)
_MEMBERS = st.dictionaries(st.lists(_NAMES, min_size=1, max_size=2).map("/".join), st.binary(max_size=6), max_size=4)

FAILS: dict[str, Json] = {"id": "fails", "uses": "file.copy", "with": {"path": "t/never", "source": "nowhere-at-all"}}


def _step(uses: str, **slots: Json) -> dict[str, Json]:
    return {"uses": uses, "with": slots}


def _make(path: Path, state: object) -> None:
    match state:
        case ("file", bytes(content), int(mode)):
            path.write_bytes(content)
            path.chmod(mode)
        case ("link", str(target)):
            path.symlink_to(target)
        case ("directory", dict(entries), int(mode)):
            path.mkdir()
            for name, entry in entries.items():
                _make(path / name, entry)
            path.chmod(mode)


def _packed(members: Mapping[str, bytes]) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return content.getvalue()


def _declared(steps: list[dict[str, Json]]) -> str:
    named = [{"id": f"s{place}", **step} for place, step in enumerate(steps)]
    return json.dumps({"version": 1, "name": "test", "steps": named}, ensure_ascii=False)


def _seen(root: Path) -> dict[str, tuple[str, ...]]:
    return {name: entry for name, entry in tree(root).items() if name.split("/")[0] not in (".shipway", "shipway.yml")}


@settings(max_examples=60, deadline=None)
@given(
    entries=_ROOTS,
    members=_MEMBERS,
    steps=st.lists(_STEPS, min_size=1, max_size=6),
    fails_at=st.integers(0, 6),
)
@example(  # nothing to move, and something where it was to go: as a move that is done looks
    entries={"a": ("directory", {}, 0o755)},
    members={},
    steps=[_step("file.move", path="t/a", source="t/b")],
    fails_at=1,
)
def test_a_run_that_fails_at_any_node_leaves_the_tree_as_it_was(
    entries: dict[str, object], members: dict[str, bytes], steps: list[dict[str, Json]], fails_at: int
) -> None:
    """As root a read-only folder is no hindrance; as anybody else the step below it fails, and with that the run."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "given").write_text("given")
        (root / "in.tgz").write_bytes(_packed(members))
        _make(root / "t", ("directory", entries, 0o750))
        before = _seen(root)
        place = min(fails_at, len(steps))
        (root / "shipway.yml").write_text(_declared([*steps[:place], FAILS, *steps[place:]]))
        ran = run(root)
        assert _seen(root) == before
        receipt = ran.finished.receipt
        if receipt is not None:
            left = {name: node.outcome for name, node in receipt.by_id.items() if node.outcome in _WRONG}
            assert left == {}
        for path in sorted((root / "t").rglob("*"), reverse=True):
            if path.is_dir() and not path.is_symlink():
                path.chmod(0o755)


_WRONG = (Outcome.UNDO_FAILED, Outcome.NOT_UNDOABLE, Outcome.DRIFTED, Outcome.UNKNOWN)


def test_the_steps_of_the_property_are_executed_and_undone(tmp_path: Path) -> None:
    """So that it shows something: each kind of step does its work before the last one fails."""
    (tmp_path / "given").write_text("given")
    (tmp_path / "in.tgz").write_bytes(_packed({"m/n": b"1"}))
    _make(tmp_path / "t", ("directory", {"a": ("file", b"1", 0o444), "b": ("link", "nowhere")}, 0o755))
    steps = [
        _step("file.write", path="t/ü-漢/📦", content="new"),
        _step("file.copy", path="t/a", source="given"),
        _step("file.link", path="t/link", source="given"),
        _step("file.backup", path="t/a"),
        _step("file.unlink", path="t/b"),
        _step("file.move", path="t/moved", source="t/ü-漢"),
        _step("file.mkdir", path="t/d/e"),
        _step("archive.extract", source="in.tgz", prefix="t"),
        _step("file.remove", path="t/m"),
    ]
    before = _seen(tmp_path)
    (tmp_path / "shipway.yml").write_text(_declared([*steps, FAILS]))
    receipt = run(tmp_path).receipt
    undone = [node.outcome for name, node in receipt.by_id.items() if name != "main/fails"]
    assert undone == [Outcome.UNDONE] * len(steps)
    assert _seen(tmp_path) == before
