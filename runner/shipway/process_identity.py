"""Which process a number means: when it started, whether it still runs, which ones belong to a group or carry a mark.

Reads what the system shows of processes; starts none but `ps` where there is no /proc, and signals none.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime

_PROC = "/proc"
_DEAD = ("Z", "X")


def machine_name() -> str:
    """Names this machine since it was started, as processes see it: two processes with one name see each other's ids.

    `<host>/<boot>/<namespace>`; boot and namespace are empty where the system does not tell them.
    """
    boot = ""
    with suppress(OSError), open("/proc/sys/kernel/random/boot_id", encoding="ascii") as stream:
        boot = stream.read().strip()
    namespace = ""
    with suppress(OSError):
        namespace = os.readlink("/proc/self/ns/pid")
    return f"{os.uname().nodename}/{boot}/{namespace}"


def was_restarted(machine: str) -> bool:
    """Whether `machine` is this host before it was started anew, so that none of its processes is left."""
    host, boot, _ = machine.split("/")
    here, since, _ = machine_name().split("/")
    return host == here and bool(boot) and bool(since) and boot != since


def is_here(machine: str) -> bool:
    """Whether `machine` is this host, whenever it was started, and whatever namespace was looked from."""
    return machine.split("/")[0] == machine_name().split("/")[0]


def start_of(pid: int) -> int | None:
    """When a process started, in units that only compare with each other; None where it does not run (any more).

    Clock ticks since the machine's start on Linux (proc_pid_stat(5), field 22), elsewhere Unix seconds as `ps` tells.
    """
    fields = _stat(pid)
    if fields is not None:
        return None if fields[0] in _DEAD else int(fields[19])
    return None if os.path.isdir(f"{_PROC}/self") else _start_by_ps(pid)


def is_running(pid: int, started: int | None) -> bool:
    """Whether the process that had this number and start time still runs; with no start time, whether any has the number."""
    now = start_of(pid)
    return now is not None and started in (None, now)


def members(group: int) -> list[int]:
    """Processes of a group that still run, without those that only wait to be reaped."""
    if not os.path.isdir(f"{_PROC}/self"):
        return _members_by_ps(group)
    found = []
    for pid in _all():
        fields = _stat(pid)
        if fields is not None and fields[0] not in _DEAD and int(fields[2]) == group:
            found.append(pid)
    return found


def children_of(parent: int) -> list[int]:
    """The children of a process, those that only wait to be reaped too. Linux only; elsewhere none."""
    return [pid for pid in _all() if (fields := _stat(pid)) is not None and int(fields[1]) == parent]


def group_of(pid: int) -> int | None:
    """The process group of a process that runs."""
    try:
        return os.getpgid(pid)
    except OSError:
        return None


def carrying(mark: str) -> list[int]:
    """Running processes of this user whose environment, as they were started, holds `mark`. Linux only; elsewhere none."""
    wanted = os.fsencode(mark)
    found = []
    for pid in _all():
        with suppress(OSError), open(f"{_PROC}/{pid}/environ", "rb") as stream:
            if wanted in stream.read() and start_of(pid) is not None:
                found.append(pid)
    return found


def carried(beginning: str) -> dict[int, str]:
    """The first variable that begins so, `NAME=value`, of each running process of this user that was started with one.

    Linux only; elsewhere none.
    """
    wanted = os.fsencode(beginning)
    found: dict[int, str] = {}
    for pid in _all():
        with suppress(OSError), open(f"{_PROC}/{pid}/environ", "rb") as stream:
            variable = next((each for each in stream.read().split(b"\0") if each.startswith(wanted)), None)
            if variable is not None and start_of(pid) is not None:
                found[pid] = os.fsdecode(variable)
    return found


def _all() -> Iterator[int]:
    with suppress(OSError):
        yield from (int(name) for name in os.listdir(_PROC) if name.isdigit())


def _stat(pid: int) -> list[str] | None:
    """The fields of proc_pid_stat(5) from the third on: the second, the name, may hold anything."""
    try:
        with open(f"{_PROC}/{pid}/stat", encoding="utf-8", errors="replace") as stream:
            return stream.read().rpartition(")")[2].split()
    except OSError:
        return None


def _start_by_ps(pid: int) -> int | None:
    told = _ps("-o", "lstart=", "-p", str(pid)).strip()
    try:
        return int(datetime.strptime(told, "%a %b %d %H:%M:%S %Y").replace(tzinfo=UTC).timestamp())
    except ValueError:
        return None


def _members_by_ps(group: int) -> list[int]:
    found = []
    for line in _ps("-A", "-o", "pid=,pgid=,state=").splitlines():
        pid, of_group, state = line.split()
        if int(of_group) == group and not state.startswith(_DEAD):
            found.append(int(pid))
    return found


def _ps(*arguments: str) -> str:
    try:
        done = subprocess.run(
            ["ps", *arguments], capture_output=True, text=True, check=False, env={"LC_ALL": "C", "PATH": os.defpath}
        )
    except OSError:
        return ""
    return done.stdout
