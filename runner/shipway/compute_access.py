"""What the core asks of the place where a preview lives: run a script there, and write, read and delete files. Reaches nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Protocol

from msgspec import Struct

from shipway.action import ActionFailed

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

_LONGEST = 131_071
"""Linux gives a program no longer `NAME=value` than this. Source: execve(2), MAX_ARG_STRLEN less its zero byte."""

ROOT_MISSING = "root_missing"
"""The code of the ActionFailed that says that the root is not there."""


class Ran(Struct, frozen=True):
    """How a script ended: exit code (negative: the signal), and what it wrote, bounded: of `out` the start, of `err` the end.

    `stopped` is `timeout` or `cancelled` where it was ended before it was done, else empty.
    """

    exit_code: int
    out: bytes = b""
    err: bytes = b""
    stopped: str = ""

    @property
    def text(self) -> str:
        """What it printed, without the last newline."""
        return self.out.decode("utf-8", "replace").rstrip("\n")

    def said(self, lines: int = 3) -> str:
        """The last lines of what it complained of, else of what it printed, joined by `; `."""
        text = (self.err.strip() or self.out.strip()).decode("utf-8", "replace")
        return "; ".join(line.strip() for line in text.splitlines()[-lines:] if line.strip())


class Unreachable(ActionFailed):
    """The place cannot be reached: nothing is known of what is there, and nothing follows from that."""

    def __init__(self, text: str) -> None:
        super().__init__(text, code="unreachable")


class Refused(ActionFailed):
    """A path or a name that is not taken; nothing was run."""

    def __init__(self, text: str) -> None:
        super().__init__(text, code="refused", is_permanent=True)


class Access(Protocol):
    """One place: this machine, or a host. Scripts are POSIX sh; paths are relative to `root`, and neither they nor links lead out.

    Every method raises Unreachable where the place cannot be reached, and ActionFailed where `root` is not there.
    """

    @property
    def root(self) -> str:
        """Where the preview lives, absolute."""

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
        """Run a script in `root`, or in the folder `cwd` below it, with `env` over the base environment of the place.

        It gets a process group of its own, which is ended (interrupt, terminate, kill) when `cancelled()` or after `timeout_ms`
        (0: never), and of which nothing is left when it has ended. `on_output` is given what it writes to stderr.
        """

    def write(self, path: str, content: bytes, mode: int) -> None:
        """Replace a file in one step; missing parents are made."""

    def read(self, path: str) -> bytes | None:
        """The content of a file; None where there is none."""

    def delete(self, path: str) -> None:
        """Remove a file, if it is there."""


def checked_names(env: Mapping[str, str]) -> None:
    """Raises Refused for a name or value that no environment can hold."""
    for name, value in env.items():
        if not _NAME.fullmatch(name):
            raise Refused(f"`{name}` is no name of an environment variable")
        if "\0" in value:
            raise Refused(f"the variable `{name}` holds a zero byte")


def checked_env(env: Mapping[str, str]) -> None:
    """Raises Refused for a name or value that cannot be handed to a program."""
    checked_names(env)
    for name, value in env.items():
        size = len(value.encode("utf-8", "surrogateescape"))
        if len(name) + 1 + size > _LONGEST:
            raise Refused(
                f"the variable `{name}` holds {size} bytes, and no program is given one of more than {_LONGEST} with its name:"
                " hand it over in a file"
            )
