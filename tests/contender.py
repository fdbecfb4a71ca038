"""A process that takes a lock again and again, and proves each time by a lock of the kernel that it is alone.

    python -m tests.contender WHAT PLACE ORACLE ROUNDS

`WHAT` is `local` (PLACE is the folder), `git` (PLACE is the checkout) or `postgres` (PLACE is the address). It writes
`in TOKEN` to standard output when it holds the lock, waits for a line of standard input, and gives the lock back.
"""

from __future__ import annotations

import fcntl
import os
import sys
import time
from pathlib import Path

from shipway.holding import Holding
from shipway.locks import Claim, Holder, KeptBy, Life, LockHeld, named_lock
from shipway.store import Store

NAME = named_lock("contended")
PAUSE_S = 0.01


def open_store(what: str, place: str) -> Store:
    """The store that the arguments name."""
    if what == "git":
        from shipway.stores.git_refs import GitRefs, find_remote

        env = dict(os.environ)
        return GitRefs(find_remote(Path(place), env, "", None, ""), env, sleep=time.sleep, redact=str)
    if what == "postgres":
        from shipway.stores.postgres import Postgres

        return Postgres(place, sleep=time.sleep, redact=str)
    from shipway.stores.local_files import LocalFiles

    return LocalFiles(Path(place))


def main() -> None:
    """Takes the lock ROUNDS times."""
    what, place, oracle, rounds = sys.argv[1:5]
    alone = os.open(oracle, os.O_RDWR | os.O_CREAT, 0o600)
    for number in range(int(rounds)):
        holder = Holder(f"{os.getpid()}-{number}", actor=str(os.getpid()))
        lease_ms = 0 if what == "local" else 600_000
        claim = Claim(holder, KeptBy.LEASE if lease_ms else KeptBy.PROCESS, lease_ms)
        holding = Holding(open_store(what, place), claim, lambda: time.time_ns() // 1_000_000, lambda _: Life.UNASKED)
        while True:
            try:
                holding.take([NAME])
                break
            except LockHeld:
                time.sleep(PAUSE_S)
        _enter(alone)
        sys.stdout.write(f"in {holding.token(NAME)}\n")
        sys.stdout.flush()
        sys.stdin.readline()
        fcntl.flock(alone, fcntl.LOCK_UN)
        holding.close()


def _enter(alone: int) -> None:
    """Raises BlockingIOError where somebody else is in here; who is being killed lets go of both locks in any order."""
    while True:
        try:
            fcntl.flock(alone, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            inside = os.pread(alone, 20, 0).decode()
            if inside and _has_files(inside):
                raise
        else:
            os.pwrite(alone, f"{os.getpid():<20}".encode(), 0)
            return


def _has_files(pid: str) -> bool:
    """Whether that process has any file open: the kernel takes them all away before it lets go of a single lock."""
    try:
        return bool(os.listdir(f"/proc/{pid.strip()}/fd"))
    except OSError:
        return False


if __name__ == "__main__":
    main()
