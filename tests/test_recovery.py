"""Shows what is kept of replaced things so that a run can still be undone later, how it is kept, and for how long."""

from __future__ import annotations

from pathlib import Path

import pytest

from shipway.workspace import Workspace
from tests.runs import Setting, run

_WRITE = """
steps:
  - {id: a, uses: file.write, with: {path: config, content: new}}
  - {id: b, uses: file.remove, with: {path: folder}}
"""


def prepared(root: Path) -> tuple[int, int]:
    """A file and a folder that the run replaces and removes; their inodes."""
    (root / "config").write_text("old")
    (root / "config").chmod(0o640)
    (root / "folder").mkdir()
    (root / "folder/inner").write_text("kept")
    (root / "folder/link").symlink_to("inner")
    return (root / "config").stat().st_ino, (root / "folder").stat().st_ino


def kept(root: Path) -> list[str]:
    return Workspace(root).kept_recoveries()


def test_what_a_run_replaced_is_kept_by_renaming_it(tmp_path: Path) -> None:
    inodes = prepared(tmp_path)
    ran = run(tmp_path, _WRITE)
    assert ran.exit_code == 0
    recovery = Workspace(tmp_path).recovery(ran.receipt.run)
    found = {path.lstat().st_ino: path for path in recovery.rglob("*")}
    config, folder = (found[inode] for inode in inodes)
    assert (config.read_text(), config.stat().st_mode & 0o777) == ("old", 0o640)
    assert (folder / "link").readlink() == Path("inner")


def test_it_is_kept_for_the_last_run_of_each_target(tmp_path: Path) -> None:
    prepared(tmp_path)
    first = run(tmp_path, _WRITE).receipt.run
    (tmp_path / "config").write_text("old")
    other = run(tmp_path, None, Setting(target="other")).receipt.run
    assert set(kept(tmp_path)) == {first, other}
    (tmp_path / "config").write_text("older")
    second = run(tmp_path).receipt.run
    assert set(kept(tmp_path)) == {second, other}


def test_a_run_that_was_rolled_back_leaves_nothing_and_takes_nothing_from_the_one_before(tmp_path: Path) -> None:
    prepared(tmp_path)
    first = run(tmp_path, _WRITE).receipt.run
    (tmp_path / "folder").mkdir()
    ran = run(tmp_path, _WRITE.replace("content: new", "content: newer") + "  - {id: c, run: exit 1, lasting: false}\n")
    assert ran.outcomes == {"a": "undone", "b": "undone", "c": "failed"}
    assert kept(tmp_path) == [first]


def test_a_run_that_changed_nothing_takes_nothing_from_the_one_before(tmp_path: Path) -> None:
    prepared(tmp_path)
    first = run(tmp_path, _WRITE).receipt.run
    assert run(tmp_path).outcomes == {"a": "unchanged", "b": "unchanged"}
    assert first in kept(tmp_path)


@pytest.mark.parametrize("policy", ["none", "run"])
def test_what_could_not_be_undone_is_still_kept(tmp_path: Path, policy: str) -> None:
    prepared(tmp_path)
    drift = "" if policy == "none" else "; echo drift > config"
    text = _WRITE + f"  - {{id: c, run: 'true{drift}; exit 1', lasting: false}}\n"
    ran = run(tmp_path, f"defaults: {{rollback: {policy}}}\n{text}")
    assert kept(tmp_path) == [ran.receipt.run]
    assert ran.exit_code == (1 if policy == "none" else 4)
