"""Many processes that contend for one lock, some of them killed: who got in, in which order, and who violated what."""

from __future__ import annotations

import os
import random
import selectors
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PATIENCE_S = 120


@dataclass
class Contention:
    """What came of it. `failures` are the last words of processes that neither ended well nor were killed."""

    tokens: list[int] = field(default_factory=list)
    killed_inside: int = 0
    killed_outside: int = 0
    failures: list[str] = field(default_factory=list)


def contend(
    what: str, place: str, oracle: Path, *, processes: int, rounds: int, kills: int = 0, seed: int = 0
) -> Contention:
    """Run them to their end. Of `kills`, half are killed while they hold the lock, half at any other moment."""
    chance, found = random.Random(seed), Contention()
    command = [sys.executable, "-m", "tests.contender", what, place, str(oracle), str(rounds)]
    pipe = subprocess.PIPE
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(oracle.parent),
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    living = [
        subprocess.Popen(command, cwd=ROOT, env=env, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        for _ in range(processes)
    ]
    inside = {chance.randrange(processes * rounds // 2) for _ in range(kills // 2)}
    outside = kills - kills // 2
    selector = selectors.DefaultSelector()
    for process in living:
        assert process.stdout is not None
        selector.register(process.stdout, selectors.EVENT_READ, process)
    while selector.get_map():
        ready = selector.select(timeout=PATIENCE_S)
        assert ready, f"nobody got in for {PATIENCE_S} s: {found}"
        for key, _ in ready:
            process = key.data
            line = process.stdout.readline()
            if not line:
                selector.unregister(process.stdout)
                if process.wait() not in (0, -9):
                    found.failures.append(process.stderr.read())
                continue
            found.tokens.append(int(line.split()[1]))
            if len(found.tokens) in inside:
                found.killed_inside += 1
                process.kill()
                continue
            process.stdin.write("\n")
            process.stdin.flush()
            if found.killed_outside < outside and chance.random() < 0.3:
                victim = chance.choice(living)
                if victim.poll() is None and victim is not process:
                    found.killed_outside += 1
                    victim.kill()
    for process in living:
        process.communicate()
    return found
