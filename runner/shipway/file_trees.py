"""What is in the trees of a `files` stage, and which of it is for this machine. Reads folders, and no file."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from msgspec import Struct

from shipway.canonical import Json
from shipway.collisions import Candidate
from shipway.file_names import PACKAGES, destined, fault_of_name
from shipway.file_settings import FileSettings
from shipway.segments import Segmented, take_apart

_NEVER = frozenset({".git", ".gitkeep", ".DS_Store"})
"""What a tree has for others' sake, and nobody wants anywhere else."""


UNTRACKED = "git does not know it: add it"
"""Why a file that only lies there is left out."""


class LeftOut(Struct, frozen=True):
    """A file or folder of a layer that is put nowhere, and why."""

    source: str
    why: str

    def to_json(self) -> Json:
        """`{"source", "why"}`."""
        return {"source": self.source, "why": self.why}


class TreeFault(Struct, frozen=True):
    """Something in layer `layer` that keeps the stage from being planned."""

    layer: str
    text: str
    hint: str = ""


class Found(Struct):
    """What a walk came upon, in the order of layers, roots and names. `projects` are all there are, taken or not."""

    candidates: list[Candidate]
    left_out: list[LeftOut]
    faults: list[TreeFault]
    projects: set[str]


class Sorting(Struct, frozen=True):
    """How what is found is sorted out: `words` are the suffixes that are true here, `tracked` what git knows, None for all.

    `projects` None takes every one.
    """

    words: frozenset[str]
    tracked: Collection[str] | None
    plain: tuple[str, ...] = ()
    projects: tuple[str, ...] | None = None


def walk(root: Path, settings: FileSettings, sorting: Sorting) -> Found:
    """Everything in the layers; `root` is the workspace that relative folders are in."""
    found = Found([], [], [], set())
    for height, (layer, folder) in enumerate(settings.sources.items()):
        here = _Layer(root, layer, height, folder, sorting, found)
        if not here.place.is_dir():
            found.faults.append(TreeFault(layer, f"layer `{layer}` has no folder `{folder}`", "make it, or correct it"))
            continue
        for name, rule in settings.roots.items():
            here.projects(name, rule.from_)
    return found


class _Layer:
    def __init__(self, root: Path, name: str, height: int, folder: str, sorting: Sorting, found: Found) -> None:
        self._name = name
        self._height = height
        self._sorting = sorting
        self._found = found
        self._shown = os.path.normpath(folder)
        self.place = Path(os.path.normpath(root / folder))
        self._is_inside = self.place.is_relative_to(root)
        self._real = os.path.realpath(self.place)
        self._tracked = sorting.tracked if self._is_inside else None
        self._prefix = os.path.relpath(self.place, root)

    def projects(self, root: str, from_: str) -> None:
        """Take in what this layer has for one root; a layer need not have a folder for each."""
        place = self.place / from_ if from_ else self.place
        inside = os.path.normpath(from_) if from_ else ""
        if not place.is_dir():
            return
        for entry in _entries(place):
            at = f"{inside}/{entry.name}" if inside else entry.name
            if entry.name in _NEVER:
                continue
            if not entry.is_dir(follow_symlinks=False):
                why = "it says which packages to install" if entry.name in PACKAGES else "it is in no project"
                self._leave(at, why)
                continue
            project = take_apart(entry.name)
            self._found.projects.add(project.project)
            why = self._why_not(project)
            if why:
                self._leave(at, why)
            else:
                self._folder(root, project, at, "")

    def _why_not(self, project: Segmented) -> str:
        wanted = self._sorting.projects
        if wanted is not None and project.project not in wanted:
            return f"project `{project.project}` is not asked for"
        other = [word for word in project.suffixes if word not in self._sorting.words]
        return f"`{'.'.join(other)}` is not true here" if other else ""

    def _folder(self, root: str, project: Segmented, at: str, below: str) -> None:
        for entry in _entries(self.place / at):
            source = f"{at}/{entry.name}"
            if entry.name in _NEVER:
                continue
            if entry.is_dir(follow_symlinks=False):
                self._folder(root, project, source, f"{below}{entry.name}/")
            else:
                self._file(root, project, source, below, entry)

    def _file(self, root: str, project: Segmented, source: str, below: str, entry: os.DirEntry[str]) -> None:
        if self._tracked is not None and f"{self._prefix}/{source}".removeprefix("./") not in self._tracked:
            self._leave(source, UNTRACKED)
            return
        if fault := fault_of_name(source):
            self._fault(f"the name of `{source!a}` {fault}", "rename it")
            return
        is_link = entry.is_symlink()
        if not is_link and not entry.is_file(follow_symlinks=False):
            self._leave(source, "it is neither a file nor a link")
            return
        if is_link and not self._stays_inside(source):
            self._fault(f"`{self._shown}/{source}` is a link that leads out of its layer, or nowhere", "")
            return
        destination = destined(entry.name, self._sorting.plain)
        is_executable = bool(entry.stat(follow_symlinks=False).st_mode & stat.S_IXUSR) and not is_link
        self._found.candidates.append(
            Candidate(
                root=root,
                path=below + destination.target,
                source=f"{self._shown}/{source}",
                layer=self._name,
                height=self._height,
                project=project.project,
                specificity=project.specificity,
                destined=destination,
                mode=0o755 if is_executable else 0o644,
                is_link=is_link,
            )
        )

    def _stays_inside(self, source: str) -> bool:
        real = os.path.realpath(self.place / source)
        return os.path.exists(real) and Path(real).is_relative_to(self._real)

    def _leave(self, source: str, why: str) -> None:
        self._found.left_out.append(LeftOut(f"{self._shown}/{source}", why))

    def _fault(self, text: str, hint: str) -> None:
        self._found.faults.append(TreeFault(self._name, text, hint))


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        yield from sorted(entries, key=lambda entry: entry.name)


def layers_json(settings: FileSettings) -> Json:
    """`[{"name", "folder"}]`, the lowest first."""
    layers: list[Mapping[str, Json]] = [{"name": name, "folder": folder} for name, folder in settings.sources.items()]
    return layers
