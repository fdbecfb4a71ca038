"""What does it cost to put a tree of files in place, planned and journalled, beside tools that only make the links?"""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

from bench.measure import SHIPWAY, Answer, Figure, Sample, Scale, at_most, commit, interleaved, started

_RUN = (*SHIPWAY, "run", "--yes", "--quiet")
_DECLARATION = """\
version: 1
name: bench
stages:
  files:
    mode: files
    with: {sources: {base: base}, roots: {home: home}}
"""


def linked(scale: Scale, directory: Path) -> Answer:
    """As many links as `many` says: made, then looked at by a run with nothing to do. A hundred in each folder, and again ten."""
    figures = []
    for each in (100, 10):  # in one folder: what is removed in between would slow down the other, see `_afresh`
        figures += _figures(scale, directory / f"{each}", each)
    has_stow = any(_NAMES["stow"] in figure.what for figure in figures)
    notes = [] if has_stow else ["GNU stow is not installed: `apt-get install stow`."]
    return Answer(f"{scale.many:,} files linked", figures, notes)


def _figures(scale: Scale, directory: Path, each: int) -> list[Figure]:
    for number in range(scale.many):
        place = directory / "base" / "all" / f"folder-{number // each}" / f"file-{number}"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text("x", encoding="utf-8")
    (directory / "shipway.yml").write_text(_DECLARATION, encoding="utf-8")
    commit(directory)
    with (directory / ".gitignore").open("a", encoding="utf-8") as ignored:
        ignored.write("/home/\n/stow/\n/cp/\n/aside/\n")
    contenders = {
        "run": partial(_afresh, directory, "home", _RUN),
        "again": partial(started, _RUN, directory),
        "cp": partial(_afresh, directory, "cp", ("cp", "-as", f"{directory}/base/all/.", "cp/")),
    }
    if shutil.which("stow"):
        contenders["stow"] = partial(
            _afresh, directory, "stow", ("stow", "--no-folding", "-d", "base", "-t", "stow", "all")
        )
    taken = interleaved(contenders, min(scale.rounds, 3))
    peer = "stow" if "stow" in taken else "cp"
    shape = f"{each} in each folder"
    return [
        *(Figure(f"{shape}: {what}", f"{taken[name].wall:.2f} s") for name, what in _NAMES.items() if name in taken),
        at_most(f"{shape}: Shipway ÷ {_NAMES[peer]}", taken["run"].wall / taken[peer].wall, 2, " ×"),
        at_most(f"{shape}: a run with nothing to do", taken["again"].wall, 1, " s"),
    ]


_NAMES = {"run": "Shipway, planned, journalled, with a receipt", "stow": "GNU stow", "cp": "cp -as"}


def _afresh(directory: Path, root: str, command: tuple[str, ...]) -> Sample:
    """Run a contender on an empty root. What was there is moved aside, not removed: ext4 looks at each inode that was freed
    in the last minutes before it gives another one away (`recently_deleted` in fs/ext4/ialloc.c), which takes longer than all.
    """
    aside = directory / "aside"
    aside.mkdir(exist_ok=True)
    for name in (root, ".shipway") if root == "home" else (root,):
        if (directory / name).exists():
            (directory / name).rename(aside / f"{len(list(aside.iterdir()))}")
    (directory / root).mkdir()
    return started(command, directory)
