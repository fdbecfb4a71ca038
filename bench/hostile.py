"""Is a small file that would become huge refused at once?"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

from bench.measure import SHIPWAY, Answer, Scale, at_most, commit, interleaved, started
from shipway.errors import EXIT_USAGE

_LEVELS = 12


def entity_expansion(scale: Scale, directory: Path) -> Answer:
    """A kilobyte of YAML anchors that stands for 9 to the power of 12 values, over the start of an import of the reader."""
    lines = [f"l0: &l0 [{', '.join(['ha'] * 9)}]"]
    lines += [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, _LEVELS)]
    (directory / "shipway.yml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    commit(directory)
    loaded = (sys.executable, "-I", "-c", "import shipway.commands.validate, shipway.source, shipway.schema")
    taken = interleaved(
        {
            "loaded": partial(started, loaded, directory),
            "refused": partial(started, (*SHIPWAY, "validate"), directory, codes=(EXIT_USAGE,)),
        },
        2 * scale.rounds,
    )
    refusal = (taken["refused"].wall - taken["loaded"].wall) * 1000
    return Answer(
        f"A kilobyte that stands for 9^{_LEVELS} values",
        [at_most("refused, after start-up", refusal, 100, " ms")],
    )
