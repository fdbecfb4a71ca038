"""Is every slot kept busy? Real processes of known length, and what their receipts say of when they ran."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

from bench.measure import SHIPWAY, Answer, Figure, Scale, at_least, at_most, commit

_SLOTS = 3


def together(scale: Scale, directory: Path) -> Answer:
    """Three steps of 100 ms and room for three: from the first start to the last end."""
    _write(directory, [100] * _SLOTS)
    spans = [_span(_executed(directory)) for _ in range(scale.rounds)]
    return Answer(
        "Three steps of 100 ms, three at a time",
        [
            at_most("first start to last end, best", min(spans), 130, " ms"),
            Figure("the same, worst", f"{max(spans)} ms"),
        ],
    )


def mixed(scale: Scale, directory: Path) -> Answer:
    """One slow step, declared last, and many fast ones: no order could be quicker than the work divided by the slots."""
    fast = 4 if scale.is_quick else 40
    _write(directory, [*[100] * fast, 50 * fast])
    ratios = []
    for _ in range(scale.rounds + 1):
        ran = _executed(directory)
        work = [end - start for start, end in ran]
        ratios.append(max(max(work), sum(work) / _SLOTS) / _span(ran))
    return Answer(
        f"{fast} steps of 100 ms and one of {50 * fast} ms, declared last, three at a time",
        [
            Figure("least possible ÷ taken, nothing measured before", f"{ratios[0]:.2f}"),
            at_least("least possible ÷ taken, once it is known what takes how long", max(ratios[1:]), 0.97, ""),
        ],
        ["What is possible is worked out from the time that each step really took, its start included."],
    )


def _write(directory: Path, lengths: Sequence[int]) -> None:
    steps = "".join(
        f"  s{number}: {{shell: sh, run: sleep {length / 1000}}}\n" for number, length in enumerate(lengths)
    )
    (directory / "shipway.yml").write_text(
        f"version: 1\nname: bench\ndefaults: {{parallel: {_SLOTS}}}\nsteps:\n{steps}", encoding="utf-8"
    )
    commit(directory)


def _executed(directory: Path) -> list[tuple[int, int]]:
    """When each step started and ended, in milliseconds since the run began."""
    done = subprocess.run([*SHIPWAY, "run", "--yes", "--json"], cwd=directory, capture_output=True, check=True)
    return [
        (attempt["started_ms"], attempt["ended_ms"])
        for node in json.loads(done.stdout)["nodes"]
        for attempt in node["attempts"]
    ]


def _span(ran: Sequence[tuple[int, int]]) -> int:
    return max(end for _, end in ran) - min(start for start, _ in ran)
