"""What does it cost to know what exists? Folding receipts, and one more on top of what was folded before."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from pathlib import Path

from bench.measure import Answer, Scale, at_most, commit
from shipway.canonical import canonical_bytes
from shipway.commands.kept_receipts import Archive
from shipway.commands.state_cache import current_state
from shipway.context import read_context
from shipway.nodes import Change, Outcome
from shipway.receipt import Attempt, NodeResult, RanBy, Receipt, RunOutcome, StageResult, file_name
from shipway.records import Record
from shipway.repository import open_repository
from shipway.workspace import Workspace

_NODES = 100


def folded(scale: Scale, directory: Path) -> Answer:
    """All receipts of a target read, verified and folded; then, one more being there, only that one."""
    count = 10 if scale.is_quick else 1_000
    repository = directory / "repository"
    repository.mkdir()
    (repository / "shipway.yml").write_text("version: 1\nname: bench\nsteps: [{run: 'true'}]\n", encoding="utf-8")
    commit(repository)
    workspace, last = Workspace(repository), None
    for number in range(count):
        last = _kept(workspace, number, last)
    context = read_context()
    cold, warm = [], []
    for number in range(scale.rounds):
        archive = Archive(None, None, context, open_repository(repository, context.env))
        for path in (workspace.directory / "cache").glob("*"):
            path.unlink()
        cold.append(_taken(archive))
        last = _kept(workspace, count + number, last)
        warm.append(_taken(archive))
    figures = [
        at_most("all of them", min(cold), 1.5, " s"),
        at_most("one more", min(warm) * 1000, 50, " ms"),
    ]
    return Answer(f"What exists by {count:,} receipts of {_NODES} nodes each", figures)


def _taken(archive: Archive) -> float:
    return _timed(lambda: current_state(archive, keep=True))


def _timed(work: Callable[[], object]) -> float:
    gc.collect()
    gc.disable()  # as the command line does
    try:
        begun = time.perf_counter()
        work()
        return time.perf_counter() - begun
    finally:
        gc.enable()


def _kept(workspace: Workspace, number: int, previous: str | None) -> str:
    """Write the receipt of a run behind the one before it; its digest."""
    day, second = 1 + number // 86_400, number % 86_400
    started = f"2026-01-{day:02}T{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}.000Z"
    run = f"20260101T000000-{number:06x}"
    receipt = Receipt(
        lifecycle="bench",
        target="default",
        run=run,
        plan_digest="sha256:" + "0a" * 32,
        effect="sha256:" + "1b" * 32,
        started=started,
        ended=started,
        duration_ms=900,
        outcome=RunOutcome.SUCCEEDED,
        nodes=tuple(_node(index) for index in range(_NODES)),
        stages=(StageResult("main", Outcome.SUCCEEDED),),
        rollback=(),
        by=RanBy("local", "bench", commit="c1" * 20),
        shipway="0",
        platform="linux/amd64",
        source={"commit": "c1" * 20, "tree": "d2" * 20, "dirty": False},
        previous=previous,
    )
    workspace.write_receipt(file_name("bench", "default", started, run), canonical_bytes(receipt.document))
    return receipt.digest


def _node(index: int) -> NodeResult:
    record = Record(
        "file", f"home/.config/{index}", True, "link " + "ab" * 32, {"how": "link", "source": f"dots/{index}"}
    )
    return NodeResult(
        f"main/link-{index}",
        Outcome.SUCCEEDED,
        (Attempt(1, Outcome.SUCCEEDED, index, index + 5),),
        ready_ms=index,
        started_ms=index,
        ended_ms=index + 5,
        change=Change.CREATE,
        action="file.link",
        records=(record,),
    )
