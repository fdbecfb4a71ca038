"""What does it cost to see which environments there are? `shipway preview list`, started as a person starts it."""

from __future__ import annotations

import time
from pathlib import Path

from bench.measure import SHIPWAY, Answer, Scale, at_most, commit, started
from shipway.environment_record import Checkpoint, EnvironmentRecord, EnvironmentState, Happening
from shipway.environments import Environments
from shipway.stores.local_files import LocalFiles
from shipway.workspace import Workspace

_NODES, _HAPPENINGS = 12, 100
_TEXT = "version: 1\nname: bench\nstages: {runner: {mode: preview, with: {role: runner, services: {a: {path: .}}}}}\n"


def preview_list(scale: Scale, directory: Path) -> Answer:
    """Forty environments with long histories listed by the command, and their records read in this process."""
    count = 3 if scale.is_quick else 40
    repository = directory / "repository"
    repository.mkdir()
    (repository / "shipway.yml").write_text(_TEXT, encoding="utf-8")
    commit(repository)
    environments = Environments(LocalFiles(Workspace(repository).make_records()), "bench")
    for number in range(count):
        record = _record(f"pr-{number}")
        environments.change(record.target, lambda before, record=record: record)  # type: ignore[misc]
    listed = [started([*SHIPWAY, "preview", "list"], repository).wall for _ in range(scale.rounds)]
    read = [_read(environments) for _ in range(scale.rounds)]
    figures = [
        at_most("listed by `shipway preview list`", min(listed) * 1000, 200, " ms"),
        at_most("their records read", min(read) * 1000, 50, " ms"),
    ]
    return Answer(f"{count} environments listed, of {_NODES} nodes and {_HAPPENINGS} lines of history each", figures)


def _read(environments: Environments) -> float:
    begun = time.perf_counter()
    environments.all()
    return time.perf_counter() - begun


def _record(target: str) -> EnvironmentRecord:
    kept = Checkpoint(
        "sha256:" + "0a" * 32, {"path": "/srv/x", "port": 61_000}, parts={f"env A{n}": "0" * 16 for n in range(20)}
    )
    return EnvironmentRecord(
        "bench",
        target,
        EnvironmentState.READY,
        urls={"a": "http://127.0.0.1:61000"},
        checkpoints={f"runner/service/s{number}": kept for number in range(_NODES)},
        history=tuple(Happening(number, "up", "ada", "r" * 20, "c" * 40) for number in range(_HAPPENINGS)),
        declaration=_TEXT * 20,
    )
