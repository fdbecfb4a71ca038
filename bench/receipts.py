"""Can every receipt of years be verified while one waits for it?"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from bench.measure import SHIPWAY, Answer, Scale, at_most, commit, interleaved, started
from shipway.canonical import canonical_bytes
from shipway.nodes import Outcome
from shipway.receipt import Attempt, NodeResult, RanBy, Receipt, RunOutcome, StageResult, file_name

_RECEIPTS = 1_000


def verified(scale: Scale, directory: Path) -> Answer:
    """A chain of receipts in a checkout, from the command line: bytes, digests, schema, links."""
    count = 10 if scale.is_quick else _RECEIPTS
    (directory / "shipway.yml").write_text("version: 1\nname: bench\nsteps: [{run: 'true'}]\n", encoding="utf-8")
    commit(directory)
    runs = {}
    for nodes in (10, 100):
        folder = directory / str(nodes)
        folder.mkdir()
        _write(folder, count, nodes)
        runs[f"of {nodes} nodes each"] = partial(started, (*SHIPWAY, "verify", "--quiet", folder.name), directory)
    taken = interleaved(runs, scale.rounds)
    figures = [at_most(what, sample.wall, 1, " s") for what, sample in taken.items()]
    return Answer(f"A chain of {count:,} receipts, verified", figures)


def _write(folder: Path, count: int, nodes: int) -> None:
    previous = None
    for number in range(count):
        receipt = _receipt(number, nodes, previous)
        name = file_name(receipt.lifecycle, receipt.target, receipt.started, receipt.run)
        (folder / name).write_bytes(canonical_bytes(receipt.document))
        previous = receipt.digest


def _receipt(number: int, nodes: int, previous: str | None) -> Receipt:
    attempt = Attempt(1, Outcome.SUCCEEDED, 1, 6, exit_code=0)
    return Receipt(
        lifecycle="bench",
        target="default",
        run=f"20260102T030405-{number:06x}",
        plan_digest=previous,
        effect=previous,
        started="2026-01-02T03:04:05.000Z",
        ended="2026-01-02T03:04:06.000Z",
        duration_ms=1000,
        outcome=RunOutcome.SUCCEEDED,
        nodes=tuple(
            NodeResult(
                f"main/step-{place}",
                Outcome.SUCCEEDED,
                (attempt,),
                ready_ms=0,
                started_ms=1,
                ended_ms=6,
                outputs={"tag": "v1.2.3"},
            )
            for place in range(nodes)
        ),
        stages=(StageResult("main", Outcome.SUCCEEDED),),
        rollback=(),
        by=RanBy("local", "bench"),
        shipway="1.0.0",
        platform="linux/amd64",
        source={"commit": None, "tree": None, "dirty": False, "file": "shipway.yml"},
        previous=previous,
    )
