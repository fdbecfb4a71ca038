"""A `files` stage that adopts: a file that is there moves into a layer, and a link to it takes its place."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from shipway.canonical import Json
from shipway.file_names import destined, fault_of_name
from shipway.file_placing import REPLACES
from shipway.file_settings import OnConflict
from shipway.file_stage import FileStage, Place
from shipway.file_state import fingerprint
from shipway.node_ids import named_by_path


def adopt(on: FileStage) -> Mapping[str, Json]:
    """Add two nodes for each file that is adopted: it moves, then it is linked back. Returns the stage's context.

    A folder stands for the files in it.
    """
    layer, _, project = on.settings.into.partition("/")
    folder = on.settings.sources.get(layer)
    if folder is None or not project or "/" in project:
        known = ", ".join(f"`{name}/PROJECT`" for name in on.settings.sources)
        on.problem("into", f"`into` is `{on.settings.into}`: it is a layer and a project", f"write one of {known}")
        return {}
    adopted: list[Json] = []
    for root, place, path in _asked(on):
        rule = on.settings.roots[root]
        source = "/".join(filter(None, (os.path.normpath(folder), rule.from_, project, path)))
        if _is_adoptable(on, place, path, source):
            _add(on, root, place, path, source, layer, project)
            adopted.append({"root": root, "path": path, "source": source})
    return {"adopted": adopted, "roots": {name: place.shown for name, place in on.roots.items()}}


def _asked(on: FileStage) -> Iterator[tuple[str, Place, str]]:
    """Each file to adopt, once: its root, and its path below that."""
    seen: set[str] = set()
    for text in on.settings.adopt:
        found = _of_root(on, text)
        if found is None:
            roots = ", ".join(f"`{name}`" for name in on.roots)
            on.problem(
                "adopt", f"`{text}` is below no root ({roots})", "write it relative to the root, or as `root:path`"
            )
            continue
        root, path = found
        place = on.roots[root]
        if not on.confine("adopt", place.below(path), place):
            continue
        for inner in _files(place.path, path):
            if (name := place.below(inner)) not in seen:
                seen.add(name)
                yield root, place, inner


def _of_root(on: FileStage, text: str) -> tuple[str, str] | None:
    root, colon, path = text.partition(":")
    if colon and root in on.roots:
        return root, os.path.normpath(path)
    if text.startswith("~/"):
        text = str(on.site.home / text[2:])
    if os.path.isabs(text):
        place = Path(os.path.normpath(text))
        inside = [(name, root.path) for name, root in on.roots.items() if place.is_relative_to(root.path)]
        return (inside[0][0], str(place.relative_to(inside[0][1]))) if inside else None
    return (next(iter(on.roots)), os.path.normpath(text)) if len(on.roots) == 1 else None


def _files(root: Path, path: str) -> Iterator[str]:
    place = root / path
    if place.is_symlink() or not place.is_dir():
        yield path
        return
    for name in sorted(os.listdir(place)):
        yield from _files(root, f"{path}/{name}")


def _is_adoptable(on: FileStage, place: Place, path: str, source: str) -> bool:
    here, there = place.path / path, on.site.root / source
    text = ""
    if fault := fault_of_name(source):
        text = f"the name of `{path!a}` {fault}"
    elif here.is_symlink():
        text = f"`{place.below(path)}` is a link already"
    elif not here.is_file() or not os.access(here, os.R_OK):
        text = f"`{place.below(path)}` is not there, or no file that can be read"
    elif os.path.lexists(there):
        text = f"`{source}` is there already"
    elif destined(os.path.basename(path), on.settings.plain).makings:
        text = f"`{path}` would be rendered or decrypted by its name: add a pattern for it to `plain`"
    if text:
        on.problem("adopt", text, "")
    return not text


def _add(on: FileStage, root: str, place: Place, path: str, source: str, layer: str, project: str) -> None:
    target, name, where = place.below(path), named_by_path(root, path), on.at("adopt")
    facts: dict[str, Json] = {"layer": layer, "project": project.partition(".")[0], "source": source}
    ends = {"source": target, "path": source, "source_within": place.shown}
    moved = on.add("file.move", f"{name}=adopt", ends, options=on.options(where, facts))
    # What it replaces is moved by the node before; what came there since is not replaced.
    facts |= {"how": "link", REPLACES: fingerprint(place.path / path)}
    slots = {"path": target, "source": source, "within": place.shown, "on_conflict": OnConflict.STOP.value}
    on.add("file.link", name, slots, needs=[moved], options=on.options(where, facts))
