"""The least of it that Python can do: children that do nothing, a log file for each and a commit for each end. No plan, no receipt.

`python bare_loop.py COUNT AT_ONCE`, in a directory that it may write into. It is the floor that Shipway is to be read against:
what it cannot do faster, a loop with a journal in this language cannot either.
"""

import os
import sqlite3
import sys
import tempfile

count, at_once = int(sys.argv[1]), int(sys.argv[2])
null = os.open(os.devnull, os.O_RDONLY)
with tempfile.TemporaryDirectory(dir=".") as place, sqlite3.connect(f"{place}/journal.sqlite") as journal:
    journal.execute("PRAGMA journal_mode=WAL")
    journal.execute("PRAGMA synchronous=NORMAL")
    journal.execute("CREATE TABLE step (id INTEGER PRIMARY KEY, code INTEGER)")
    running: dict[int, tuple[int, int]] = {}
    begun = 0
    while begun < count or running:
        while begun < count and len(running) < at_once:
            log = os.open(f"{place}/{begun}", os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            files = [(os.POSIX_SPAWN_DUP2, null, 0), (os.POSIX_SPAWN_DUP2, log, 1), (os.POSIX_SPAWN_DUP2, log, 2)]
            pid = os.posix_spawn("/bin/sh", ("sh", "-c", "true"), os.environ, file_actions=files, setpgroup=0)
            running[pid] = (begun, log)
            begun += 1
        pid, status = os.wait()
        number, log = running.pop(pid)
        journal.execute("INSERT INTO step VALUES (?, ?)", (number, os.waitstatus_to_exitcode(status)))
        journal.commit()
        os.close(log)
        os.unlink(f"{place}/{number}")
