"""One of many processes that want the same journal: `python -m tests.contend ROOT NUMBER ROUNDS`.

Each round it begins a run of its own, journals some nodes, and ends it; and it tries for the one run that only one may hold,
whose holder says who it is in a file that nobody else may find there as long as that process lives.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from shipway.action import Verb
from shipway.attempt import Ended
from shipway.errors import Reason, UnreachableError
from shipway.nodes import Outcome
from shipway.plan import Plan
from shipway.process_identity import is_running, start_of
from shipway.run_record import Opening, RunStatus
from tests.runs import journal_of, run

NODES = 5


def main() -> None:
    root, number, rounds = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    finished = run(root, None, execute=False).finished
    plan = finished.plan
    assert plan is not None, finished.error
    for turn in range(rounds):
        _journalled(root, f"own-{number}-{turn}", plan)
        _contended(root, f"shared-{number}-{turn}", plan)


def _journalled(root: Path, name: str, plan: Plan) -> None:
    writer = journal_of(root).begin(Opening(name, name, "t", plan.source.file, 1_000), plan)
    for place, node in enumerate(plan.nodes[:NODES]):
        writer.begun(node, 1, place)
        writer.commit()
        writer.ended(node, 1, Ended(node.id, Verb.DO, Outcome.SUCCEEDED, place, place))
    writer.finished(RunStatus.SUCCEEDED, 2_000)
    writer.close()


def _contended(root: Path, name: str, plan: Plan) -> None:
    try:
        writer = journal_of(root).begin(Opening(name, "shared", "t", plan.source.file, 1_000), plan)
    except UnreachableError as error:
        if error.reason is not Reason.LOCK_HELD:
            raise
        return
    holder = root / ".shipway/holder"  # not among the files that others read while they plan
    if holder.exists():
        pid, started = map(int, holder.read_text().split())
        assert not is_running(pid, started), f"{name} and {pid} hold it both"
        holder.unlink()
    descriptor = os.open(holder, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    os.write(descriptor, f"{os.getpid()} {start_of(os.getpid())}".encode())
    os.close(descriptor)
    writer.begun(plan.nodes[0], 1, 0)
    writer.commit()
    holder.unlink()
    writer.finished(RunStatus.SUCCEEDED, 2_000)
    writer.close()


if __name__ == "__main__":
    main()
