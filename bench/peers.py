"""The programs that Shipway is measured beside: where they are, and the same steps written for each of them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

INSTALLED = Path(__file__).resolve().parent.parent / ".cache/bench/bin"

NINJA, MAKE, DOIT, GO_TASK = "ninja", "make", "doit", "go-task"
_PROGRAMS = {NINJA: "ninja", MAKE: "make", DOIT: "doit", GO_TASK: "task"}
_ARGUMENTS = {
    NINJA: ("-j2", "--quiet"),
    MAKE: ("-j2", "-s"),
    DOIT: ("-n2", "--parallel-type=thread", "--verbosity=0"),
    GO_TASK: ("--concurrency=2", "--silent"),
}


def find(name: str) -> str | None:
    """The program of a peer: from bench/requirements.txt, else from PATH."""
    return shutil.which(_PROGRAMS[name], path=f"{INSTALLED}{os.pathsep}{os.environ.get('PATH', '')}")


def command(name: str) -> tuple[str, ...] | None:
    """How a peer runs what `write_steps` wrote, two at a time; None where the peer is not installed."""
    program = find(name)
    return (program, *_ARGUMENTS[name]) if program else None


def missing() -> list[str]:
    """A loud line for each peer that is not there."""
    return [is_missing(name) for name in _PROGRAMS if find(name) is None]


def is_missing(name: str) -> str:
    """The loud line for a peer."""
    return f"**{name} is missing and was not measured**: `make bench` installs bench/requirements.txt"


def dbos_python() -> Path | None:
    """The interpreter that DBOS is installed for, or None."""
    return INSTALLED / "python" if (INSTALLED / "dbos").exists() else None


def write_steps(directory: Path, count: int, *, chained: bool) -> None:
    """The same `count` steps for Shipway and all peers: each starts one `sh` that does nothing. Chained: one after another."""
    names = [f"s{number}" for number in range(count)]
    before = ["", *names[:-1]] if chained else [""] * count
    pairs = list(zip(names, before, strict=True))
    _write(directory / "shipway.yml", _declaration(names, chained))
    _write(directory / "build.ninja", ["rule true", "  command = true", *(f"build {n}: true {b}" for n, b in pairs)])
    _write(directory / "Makefile", [f".PHONY: all {' '.join(names)}", f"all: {' '.join(names)}", *_rules(pairs)])
    _write(directory / "Taskfile.yml", ["version: '3'", "tasks:", f"  default: {{deps: [{', '.join(names)}]}}"])
    with open(directory / "Taskfile.yml", "a", encoding="utf-8") as file:
        file.writelines(f"  {n}: {{deps: [{b}], run: once, cmds: [sh -c true]}}\n" for n, b in pairs)
    _write(
        directory / "dodo.py",
        [
            "def task_s():",
            f"    for name, before in {pairs!r}:",
            "        yield {'name': name, 'actions': ['true'], 'task_dep': ['s:' + before] if before else []}",
        ],
    )


def forget(directory: Path) -> None:
    """Remove what peers remember, so that every run does all of the work."""
    for path in (*directory.glob(".ninja*"), *directory.glob(".doit*")):
        path.unlink()


def _declaration(names: Sequence[str], chained: bool) -> list[str]:
    lead = "- {id: " if chained else ""
    steps = (f'  {lead}{name}{", " if chained else ": {"}run: "true", shell: sh}}' for name in names)
    return ["version: 1", "name: bench", "defaults: {parallel: 2}", "steps:", *steps]


def _rules(pairs: Sequence[tuple[str, str]]) -> list[str]:
    return [f"{name}: {before}\n\t@sh -c true" for name, before in pairs]


def _write(path: Path, lines: Sequence[str]) -> None:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
