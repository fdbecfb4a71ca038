"""How long until there is an answer? `--version` over Python alone, and the plan of a small declaration."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

from bench.measure import SHIPWAY, Answer, Figure, Scale, at_most, commit, interleaved, started

_STEPS = 20


def version(scale: Scale, directory: Path) -> Answer:
    """What Shipway's own start adds to the interpreter's."""
    taken = interleaved(
        {
            "python": partial(started, (sys.executable, "-I", "-c", "pass"), directory),
            "shipway": partial(started, (*SHIPWAY, "--version"), directory),
        },
        3 * scale.rounds if scale.rounds > 1 else 1,
    )
    bare = taken["python"].wall * 1000
    return Answer(
        "`shipway --version`",
        [
            Figure("Python alone", f"{bare:.0f} ms"),
            at_most("Shipway on top of it", taken["shipway"].wall * 1000 - bare, 60, " ms"),
        ],
    )


def small_plan(scale: Scale, directory: Path) -> Answer:
    """The whole of `shipway plan`, from the start of Python to the last line."""
    steps = "".join(
        f"  - {{id: s{number}, run: ./step {number}, env: {{N: '${{{{ values.n }}}}'}}}}\n" for number in range(_STEPS)
    )
    text = f"version: 1\nname: bench\nvalues: {{n: 3}}\nsteps:\n{steps}"
    (directory / "shipway.yml").write_text(text, encoding="utf-8")
    commit(directory)
    taken = interleaved({"plan": partial(started, (*SHIPWAY, "plan"), directory)}, 2 * scale.rounds)["plan"]
    return Answer(f"`shipway plan` of {_STEPS} steps", [at_most("in all", taken.wall * 1000, 250, " ms")])
