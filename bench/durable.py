"""What does it cost that a run can be killed? The journal's price for a node and on disk, beside a durable workflow engine."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

from bench import peers
from bench.in_process import NoOps
from bench.measure import SHIPWAY, Answer, Figure, Scale, at_least, at_most, commit, started

_DBOS_STEPS = 1_000


def journalled(scale: Scale, directory: Path) -> Answer:
    """The same nodes as without a journal, each start and each end committed to SQLite before anything follows from it."""
    nodes = NoOps.made(scale.many, directory)
    taken = nodes.measured(scale.rounds, journalled=True)
    cost = taken.wall / scale.many * 1e6
    size = nodes.journal_bytes() / scale.many / (scale.rounds + 1 if scale.rounds > 1 else 1)
    figures = [
        at_most("wall time a node", cost, 120, " µs"),
        Figure("processor time a node", f"{taken.processor / scale.many * 1e6:.0f} µs"),
        Figure("journal on disk a node", f"{size:.0f} bytes"),
    ]
    python = peers.dbos_python()
    if python is None:
        return Answer(_question(scale), figures, [peers.is_missing("DBOS")])
    steps = 20 if scale.is_quick else _DBOS_STEPS
    other = min(_dbos(python, steps, directory) for _ in range(1 if scale.is_quick else 3))
    figures += [
        Figure("DBOS on SQLite, a step", f"{other:.0f} µs"),
        at_least("DBOS ÷ Shipway", other / cost, 10, " ×"),
    ]
    return Answer(_question(scale), figures)


def _question(scale: Scale) -> str:
    return f"{scale.many:,} in-process nodes that do nothing, journalled"


def _dbos(python: Path, steps: int, directory: Path) -> float:
    """Microseconds a step."""
    script = Path(__file__).with_name("dbos_steps.py")
    said = subprocess.run(
        [python, script, str(steps), directory], cwd=directory, check=True, capture_output=True, text=True
    )
    (directory / "dbos.sqlite").unlink()
    return float(said.stdout.split()[-1])


def resume(scale: Scale, directory: Path) -> Answer:
    """A run that failed with nine tenths done, resumed: from the start of the process to the first step that is new."""
    repository, go, begun = directory / "repository", directory / "go", directory / "begun"
    repository.mkdir()
    done = scale.many * 9 // 10
    before = [f"      s{number}: {{run: 'true', shell: sh}}" for number in range(done)]
    after = [f"      s{number}: {{needs: [next], run: 'true', shell: sh}}" for number in range(done + 1, scale.many)]
    first = f"      next: {{run: 'date +%s%N > {begun}; test -f {go}', shell: sh}}"
    lines = ["version: 1", "name: bench", "defaults: {rollback: none}", "stages:", "  before:", "    steps:", *before]
    text = "\n".join([*lines, "  after:", "    needs: [before]", "    steps:", first, *after])
    (repository / "shipway.yml").write_text(text + "\n", encoding="utf-8")
    commit(repository)
    started((*SHIPWAY, "run", "--yes", "--quiet"), repository, codes=(1,))
    go.touch()
    kept = directory / "kept"
    shutil.copytree(repository / ".shipway", kept)
    waits = []
    for _ in range(scale.rounds):
        shutil.rmtree(repository / ".shipway")
        shutil.copytree(kept, repository / ".shipway")
        at = time.time_ns()
        started((*SHIPWAY, "resume", "--yes", "--quiet"), repository)
        waits.append((int(begun.read_text()) - at) / 1e9)
    return Answer(
        f"A run of {scale.many:,} nodes resumed, {done:,} of them done",
        [at_most("until the first new step starts", min(waits), 1.5, " s")],
    )
