"""Many processes that use one store at the same moment: `python -m tests.crowd WHAT PLACE JOB COUNT [KILLS]`.

Each is forked when everything is imported, opens the store for itself, waits at a gate, does its part and writes what came of
it on a line of its own: `{"number": …, "did": …}`. Of the job `grow` each changes one and the same record again and again and
tells of each change that got through; KILLS of them are killed between reading the record and having replaced it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from msgspec.structs import replace

from shipway.environment_record import EnvironmentRecord, Happening
from shipway.environments import Environments
from shipway.port_blocks import Owner, Wanted
from shipway.port_leases import PortLeases
from shipway.store import Store
from tests.contender import open_store

ROOT = Path(__file__).resolve().parent.parent
LIFECYCLE, GROWN, ROUNDS = "shop", "pr-0", 12
NAMES = ("api", "cache", "web")


def crowd(what: str, place: str, job: str, count: int, kills: int = 0) -> list[dict[str, object]]:
    """What each process told, in any order. Raises AssertionError where one failed that was not killed."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.crowd", what, place, job, str(count), str(kills)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def _write(store: Store, number: int, tell: Callable[[object], None], changing: Callable[[], None]) -> None:
    target = f"pr-{number}"
    fresh = EnvironmentRecord(LIFECYCLE, target, commit=str(number))
    Environments(store, LIFECYCLE).change(target, lambda record: fresh)
    tell(target)


def _lease(store: Store, number: int, tell: Callable[[object], None], changing: Callable[[], None]) -> None:
    tell(PortLeases(store).take("host", Wanted(Owner(LIFECYCLE, f"pr-{number}"), NAMES, {}), ()))


def _grow(store: Store, number: int, tell: Callable[[object], None], changing: Callable[[], None]) -> None:
    for turn in range(ROUNDS):
        what = f"{number}.{turn}"

        def change(record: EnvironmentRecord | None, what: str = what) -> EnvironmentRecord:
            changing()
            known = record or EnvironmentRecord(LIFECYCLE, GROWN)
            return replace(known, history=(*known.history, Happening(1, what)))

        Environments(store, LIFECYCLE).change(GROWN, change)
        tell(what)


_JOBS = {"write": _write, "lease": _lease, "grow": _grow}


def _child(what: str, place: str, job: str, number: int, gate: int, heartbeat: int) -> None:
    def tell(did: object) -> None:
        os.write(1, json.dumps({"number": number, "did": did}).encode() + b"\n")

    def beat() -> None:
        os.write(heartbeat, b".")

    store = open_store(what, place)
    os.read(gate, 1)  # ends for all of them at once
    _JOBS[job](store, number, tell, beat)
    store.close()


def _forked(what: str, place: str, job: str, number: int, gate: int, opener: int) -> tuple[int, int]:
    """The process, and where it says that it is about to replace the record."""
    reading, heartbeat = os.pipe()
    child = os.fork()
    if child:
        os.close(heartbeat)
        return child, reading
    os.close(opener)
    os.setpgid(0, 0)
    try:
        _child(what, place, job, number, gate, heartbeat)
    except BaseException:  # noqa: BLE001 - whatever it is, this copy of the program ends here
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def main() -> None:
    """Forks them, opens the gate, kills some, waits for all."""
    what, place, job, count, kills = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5])
    if what == "postgres":
        import_module("psycopg")  # once, not in each of them
    gate, opener = os.pipe()
    children = [_forked(what, place, job, number, gate, opener) for number in range(count)]
    os.close(gate)
    os.close(opener)
    for turn, (child, heartbeat) in enumerate(children[:kills]):
        for _ in range(turn + 1):
            os.read(heartbeat, 1)
        os.killpg(child, signal.SIGKILL)
    statuses = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child, _ in children]
    assert statuses[:kills] == [-signal.SIGKILL] * kills, statuses
    sys.exit(1 if any(statuses[kills:]) else 0)


if __name__ == "__main__":
    main()
