"""How things are measured: contenders take turns, so that a busy moment of the machine meets all of them; the best counts."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

SHIPWAY = (sys.executable, "-I", "-m", "shipway")


@dataclass(frozen=True, slots=True)
class Scale:
    """How large and how often. `nodes` for dispatch, `many` for in-process and virtual time, `large` for declarations,
    `items` for a gather.
    """

    rounds: int
    nodes: int
    many: int
    large: int
    sizes: tuple[int, ...]
    graphs: int
    is_quick: bool
    items: int = 100_000


FULL = Scale(rounds=7, nodes=1_000, many=10_000, large=5_000, sizes=(1_000, 10_000, 50_000), graphs=200, is_quick=False)
QUICK = Scale(rounds=1, nodes=10, many=50, large=20, sizes=(10, 20), graphs=3, is_quick=True, items=20)


@dataclass(frozen=True, slots=True)
class Sample:
    """One run: wall time, processor time of it and its children (both in seconds), peak memory of the largest in MB."""

    wall: float
    processor: float
    peak_mb: float


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of a table. `is_met` is None where nothing is aimed at."""

    what: str
    measured: str
    aim: str = ""
    is_met: bool | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What one question came to. `notes` say what to know when reading it, first of all who is missing."""

    question: str
    figures: Sequence[Figure]
    notes: Sequence[str] = field(default=())


def at_most(what: str, value: float, aim: float, unit: str) -> Figure:
    """A figure that should not be larger than `aim`."""
    return Figure(what, f"{_number(value)}{unit}", f"≤ {_number(aim)}{unit}", value <= aim)


def at_least(what: str, value: float, aim: float, unit: str) -> Figure:
    """A figure that should not be smaller than `aim`."""
    return Figure(what, f"{_number(value)}{unit}", f"≥ {_number(aim)}{unit}", value >= aim)


def started(
    argv: Sequence[str], cwd: Path, env: Mapping[str, str] | None = None, codes: Sequence[int] = (0,)
) -> Sample:
    """Run a program to its end, its output thrown away. Raises RuntimeError where it does not end with one of `codes`."""
    with open(os.devnull, "r+b") as nowhere, open(cwd / ".stderr", "w+b") as complaints:
        begun = time.perf_counter()
        process = subprocess.Popen(argv, cwd=cwd, env=env, stdin=nowhere, stdout=nowhere, stderr=complaints)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode not in codes:
            complaints.seek(0)
            said = complaints.read().decode(errors="replace")
            raise RuntimeError(f"{' '.join(map(str, argv))} ended with {process.returncode}:\n{said}")
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return Sample(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / unit)


def interleaved(contenders: Mapping[str, Callable[[], Sample]], rounds: int) -> dict[str, Sample]:
    """The best of each contender over `rounds` rounds, in each of which every one runs once, the first a warm-up.

    The best and not the middle: what else a machine does only ever adds time, and adds most to whoever runs longest.
    """
    taken: dict[str, list[Sample]] = {name: [] for name in contenders}
    for number in range(rounds + 1 if rounds > 1 else 1):
        for name, contender in contenders.items():
            sample = contender()
            if number or rounds == 1:
                taken[name].append(sample)
    return {name: _best(samples) for name, samples in taken.items()}


def computed(work: Callable[[], object]) -> Sample:
    """Run `work` in this process, without cyclic collection, as the command line does."""
    gc.collect()
    gc.disable()
    begun, busy = time.perf_counter(), time.process_time()
    try:
        work()
        return Sample(time.perf_counter() - begun, time.process_time() - busy, 0)
    finally:
        gc.enable()


def commit(directory: Path) -> None:
    """Make a git repository of a directory, with all that is in it committed."""
    (directory / ".gitignore").write_text(".stderr\n.ninja*\n.task/\n.doit*\n__pycache__/\n", encoding="utf-8")
    who = ("-c", "user.name=bench", "-c", "user.email=bench@localhost", "-c", "gc.auto=0")
    for arguments in (("init", "-q"), ("add", "-A"), (*who, "commit", "-q", "-m", "measured")):
        subprocess.run(["git", *arguments], cwd=directory, check=True)


def _best(samples: Sequence[Sample]) -> Sample:
    return Sample(
        min(sample.wall for sample in samples),
        min(sample.processor for sample in samples),
        min(sample.peak_mb for sample in samples),
    )


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 or value == int(value) else f"{value:.2f}"
