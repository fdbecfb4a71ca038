"""A program that an action in this process runs to its end: with an environment of its own, and ended where the node is stopped."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from signal import SIGKILL

from msgspec import Struct

from shipway.action import ActionFailed

_POLL_S = 0.2


class Told(Struct, frozen=True):
    """How a program ended: exit code (negative: the signal) and what it wrote to both outputs."""

    code: int
    out: bytes
    complaint: str


def run_program(
    argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], cancelled: Callable[[], bool], given: bytes = b""
) -> Told:
    """Run `argv`, found on the PATH of `env`, in a process group of its own. Raises ActionFailed where it is not there.

    `given` is its standard input.
    """
    pipe = subprocess.PIPE
    try:
        process = subprocess.Popen(argv, cwd=cwd, env=env, process_group=0, stdin=pipe, stdout=pipe, stderr=pipe)
    except FileNotFoundError as error:
        raise ActionFailed(f"`{argv[0]}` is not on PATH", code="program_missing", is_permanent=True) from error
    except OSError as error:
        raise ActionFailed(f"`{argv[0]}` cannot be started: {error.strerror or error}", code="start") from error
    with process:
        while True:
            try:
                out, complaint = process.communicate(given, timeout=_POLL_S)
                return Told(process.returncode, out, complaint.decode("utf-8", "replace").strip())
            except subprocess.TimeoutExpired:
                if cancelled():
                    with suppress(ProcessLookupError):
                        os.killpg(process.pid, SIGKILL)
