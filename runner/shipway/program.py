"""Runs one program to its end, in a process group of its own, and keeps what it wrote. Knows nothing of nodes."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO

from msgspec import Struct

if TYPE_CHECKING:
    from pathlib import Path
    from subprocess import Popen

_POLL_S = 0.05
_GRACE_S = 5.0
MAX_BYTES = 64 << 20
"""More than this of what a program wrote is not kept."""


class Missing(Exception):
    """The program is not on the PATH; its name is the text."""


class Stopped(Exception):
    """It was ended before it was done, since `cancelled` said so."""


class Written(Struct, frozen=True):
    """How a program ended (negative: the signal), and what it wrote."""

    exit_code: int
    out: str
    err: str

    def said(self, lines: int = 5) -> str:
        """The last lines of what it complained of, else of what it printed, joined by `; `."""
        text = self.err.strip() or self.out.strip()
        return "; ".join(line.strip() for line in text.splitlines()[-lines:] if line.strip())


def find_program(name: str, env: Mapping[str, str]) -> str | None:
    """Where the program is that `name` means to who has this environment; None where it is nowhere."""
    return shutil.which(name, path=env.get("PATH", ""))


def run_program(
    argv: Sequence[str], *, env: Mapping[str, str], cwd: Path, cancelled: Callable[[], bool] = lambda: False
) -> Written:
    """Run `argv` with exactly `env`, null as input. Raises Missing, Stopped, and OSError where it cannot be started.

    When `cancelled()` turns true its whole group is interrupted, then terminated, then killed, five seconds apart.
    """
    import subprocess  # ten milliseconds that a run without such programs does not need

    program = find_program(argv[0], env)
    if program is None:
        raise Missing(argv[0])
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = subprocess.Popen(
            [program, *argv[1:]],
            cwd=cwd,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )
        code = _wait(child, cancelled)
        return Written(code, _text(out), _text(err))


def _wait(child: Popen[bytes], cancelled: Callable[[], bool]) -> int:
    from subprocess import TimeoutExpired

    while not cancelled():
        with suppress(TimeoutExpired):
            return child.wait(_POLL_S)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, number)
        with suppress(TimeoutExpired):
            child.wait(_GRACE_S)
            break
    raise Stopped


def _text(file: BinaryIO) -> str:
    file.seek(0)
    return file.read(MAX_BYTES).decode(errors="replace")
