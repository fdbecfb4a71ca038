"""Runs steps that do nothing as one durable workflow of DBOS on SQLite, and prints the microseconds each took.

Started by `bench.durable` with the interpreter that DBOS is installed for; it is given how many and in which directory.
"""

import sys
import time
from pathlib import Path

from dbos import DBOS  # type: ignore[import-not-found, unused-ignore]

count, directory = int(sys.argv[1]), Path(sys.argv[2])
DBOS(config={"name": "bench", "system_database_url": f"sqlite:///{directory}/dbos.sqlite", "log_level": "CRITICAL"})


@DBOS.step()  # type: ignore[untyped-decorator, unused-ignore]
def step(number: int) -> int:
    return number


@DBOS.workflow()  # type: ignore[untyped-decorator, unused-ignore]
def steps(many: int) -> None:
    for number in range(many):
        step(number)


DBOS.launch()
steps(10)
begun = time.perf_counter()
steps(count)
sys.stdout.write(f"{(time.perf_counter() - begun) / count * 1e6}\n")
DBOS.destroy()
