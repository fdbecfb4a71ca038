"""Is a small file that would become huge refused at once?"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from bench.measure import Answer, Scale, at_most, commit

_LEVELS = 12

# In the process that reads: what an interpreter takes to start and to end says nothing of the refusal.
_REFUSAL = (
    sys.executable,
    "-I",
    "-c",
    """
import time
from pathlib import Path
from shipway.loading import load_declaration
from shipway import declaration
from shipway.errors import DeclarationError
started = time.perf_counter()
try:
    load_declaration(Path("shipway.yml"), root=Path())
except DeclarationError:
    print((time.perf_counter() - started) * 1000)
""",
)


def entity_expansion(scale: Scale, directory: Path) -> Answer:
    """A kilobyte of YAML anchors that stands for 9 to the power of 12 values, from reading to refusal."""
    lines = [f"l0: &l0 [{', '.join(['ha'] * 9)}]"]
    lines += [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, _LEVELS)]
    (directory / "shipway.yml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    commit(directory)
    measured = [subprocess.run(_REFUSAL, cwd=directory, capture_output=True, check=True) for _ in range(scale.rounds)]
    refusal = min(float(one.stdout) for one in measured)
    return Answer(
        f"A kilobyte that stands for 9^{_LEVELS} values",
        [at_most("read and refused, Shipway loaded", refusal, 100, " ms")],
    )
