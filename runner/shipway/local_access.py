"""Access to a preview on this machine: each script is a child process, with the base environment and what it is given."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from shipway.action import ActionFailed
from shipway.compute_access import ROOT_MISSING, Access, Ran, Script
from shipway.piped import run_piped

_ARGUMENT_MAX = 100_000
"""Longer scripts go through a file: Linux refuses one argument of 128 KiB (MAX_ARG_STRLEN)."""


class LocalAccess(Access):
    """The folder `root` of this machine. `base` is the whole environment of a script that is given none."""

    def __init__(self, root: str, base: Mapping[str, str]) -> None:
        self.root = root
        self.base = base

    def carry_out(self, script: Script) -> Ran:
        """See `Access`. Raises ActionFailed also where the environment is too long for the system."""
        if not os.path.isdir(self.root):
            raise ActionFailed(f"`{self.root}` is not there", code=ROOT_MISSING)
        with _argv(script.text) as argv:
            try:
                done = run_piped(
                    argv,
                    env={**self.base, **script.env},
                    cwd=Path(self.root),
                    stdin=script.stdin,
                    cancelled=script.cancelled,
                    timeout_ms=script.timeout_ms,
                    on_output=script.on_output,
                )
            except OSError as error:
                raise ActionFailed(f"a script cannot be started: {error.strerror or error}", code="start") from error
        return Ran(done.exit_code, done.out, done.err, done.stopped)


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
