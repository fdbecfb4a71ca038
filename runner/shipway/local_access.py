"""Access to a preview on this machine: each script is a child process, with the base environment and what it is given."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from shipway.access_files import ABSENT, check, delete_script, enter_script, read_script, write_script
from shipway.action import ActionFailed
from shipway.compute_access import ROOT_MISSING, Ran, checked_env
from shipway.piped import run_piped

_ARGUMENT_MAX = 100_000
"""Longer scripts go through a file: Linux refuses one argument of 128 KiB (MAX_ARG_STRLEN)."""


class LocalAccess:
    """The folder `root` of this machine. `base` is the whole environment of a script that is given none."""

    def __init__(self, root: str, base: Mapping[str, str]) -> None:
        self.root = root
        self.base = base

    def run(
        self,
        script: str,
        *,
        cwd: str = "",
        env: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        cancelled: Callable[[], bool] = lambda: False,
        timeout_ms: int = 0,
        on_output: Callable[[bytes], None] | None = None,
    ) -> Ran:
        """See `Access`. Raises ActionFailed also where the environment is too long for the system."""
        checked_env(env or {})
        if not os.path.isdir(self.root):
            raise ActionFailed(f"`{self.root}` is not there", code=ROOT_MISSING)
        with _argv(enter_script(cwd) + script) as argv:
            try:
                done = run_piped(
                    argv,
                    env={**self.base, **(env or {})},
                    cwd=Path(self.root),
                    stdin=stdin,
                    cancelled=cancelled,
                    timeout_ms=timeout_ms,
                    on_output=on_output,
                )
            except OSError as error:
                raise ActionFailed(f"a script cannot be started: {error.strerror or error}", code="start") from error
        return Ran(done.exit_code, done.out, done.err, done.stopped)

    def write(self, path: str, content: bytes, mode: int) -> None:
        """See `Access`."""
        check(path, self.run(write_script(path, len(content), mode), stdin=content))

    def read(self, path: str) -> bytes | None:
        """See `Access`."""
        ran = check(path, self.run(read_script(path)))
        return None if ran.exit_code == ABSENT else ran.out

    def delete(self, path: str) -> None:
        """See `Access`."""
        check(path, self.run(delete_script(path)))


@contextmanager
def _argv(script: str) -> Iterator[tuple[str, ...]]:
    """How sh is called with a script, however long that is."""
    if len(script) <= _ARGUMENT_MAX:
        yield "/bin/sh", "-c", script
        return
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", errors="surrogateescape", prefix="shipway-") as file:
        file.write(script)
        file.flush()
        yield "/bin/sh", file.name
