"""The world around one call: environment, clock, randomness, terminal, CI. The only module that reads any of them."""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from msgspec import Struct

from shipway.canonical import Json, json_fault
from shipway.ci import CiContext, ci_context
from shipway.errors import UsageError

EVENT_BYTES_MAX = 25_000_000
"""The largest event GitHub sends. Source: https://docs.github.com/en/webhooks/webhook-events-and-payloads#payload-cap"""

_DEFAULT_COLUMNS = 80

_OS = {"linux": "linux", "darwin": "darwin", "win32": "windows", "cygwin": "windows"}
_ARCH = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64", "i386": "386", "i686": "386"}
_ARCH |= {"armv6l": "arm", "armv7l": "arm"}

_RUNNER_OS = {"linux": "Linux", "darwin": "macOS", "windows": "Windows"}
_RUNNER_ARCH = {"amd64": "X64", "arm64": "ARM64", "386": "X86", "arm": "ARM"}


class Invoker(StrEnum):
    """Who started this call: a CI that is known, or someone at a terminal (another CI included)."""

    CI = "ci"
    LOCAL = "local"


class Platform(Struct, frozen=True):
    """`os` is linux, darwin or windows, `arch` amd64, arm64, 386, arm or the machine's own word; `python` is `3.11.7`.

    `distribution` is the `ID` of os-release(5), such as `debian`; empty where there is none.
    """

    os: str
    arch: str
    python: str
    distribution: str = ""


def _utc_now() -> datetime:
    return datetime.now(UTC)


def _random_hex(count: int) -> str:
    return os.urandom(count).hex()


class Context(Struct, frozen=True):
    """All that a call may know of its surroundings, read once; tests build it by hand and inject time and randomness.

    `env` is the whole environment as read. `columns` is the width of the terminal, 80 where there is none;
    `processors` are those this process may use, `host` is the machine's name and `user` the account's, empty where it has
    none. `no_color` is True where NO_COLOR is set, or TERM is `dumb` without FORCE_COLOR. `now` answers in UTC;
    `monotonic_ns` counts from no known moment; `random_hex(n)` gives n random bytes as 2n hex digits; `sleep` takes seconds.
    """

    env: Mapping[str, str]
    cwd: Path
    home: Path
    invoker: Invoker
    ci: CiContext | None
    platform: Platform
    stdin_is_tty: bool
    stdout_is_tty: bool
    no_color: bool
    columns: int
    processors: int = 1
    host: str = ""
    user: str = ""
    now: Callable[[], datetime] = _utc_now
    monotonic_ns: Callable[[], int] = time.monotonic_ns
    random_hex: Callable[[int], str] = _random_hex
    sleep: Callable[[float], None] = time.sleep

    def __repr__(self) -> str:
        return f"Context({self.cwd})"  # and nothing of the environment, which may end up wherever this is printed


def read_context() -> Context:
    """The context of this process. Raises UsageError where the event file of the CI cannot be read or is not JSON."""
    env = dict(os.environ)
    ci = ci_context(env, read_event(env.get("GITHUB_EVENT_PATH", "")))
    return Context(
        env=env,
        cwd=Path.cwd(),
        home=Path(env.get("HOME") or Path.home()),
        invoker=Invoker.LOCAL if ci is None else Invoker.CI,
        ci=ci,
        platform=_read_platform(),
        stdin_is_tty=_is_tty(0),
        stdout_is_tty=_is_tty(1),
        no_color=no_color(env),
        columns=_columns(env),
        processors=_processors(),
        host=platform.node(),
        user=_user(env),
    )


def _user(env: Mapping[str, str]) -> str:
    """As login tools have it: what the environment says, else what the system calls this account."""
    said = env.get("USER") or env.get("LOGNAME")
    if said:
        return said
    try:
        import pwd  # late: not on Windows

        return pwd.getpwuid(os.getuid()).pw_name
    except (ImportError, KeyError):  # an account of a container may have no name
        return ""


def hide_from_children() -> None:
    """Keep what this process was given from those it starts: they may read `/proc/<pid>` of any process of their user.

    Empties the memory that `environ` there shows, and closes the rest of it (memory, open files) to all but root. For
    this process the environment stays as it is. Linux only: elsewhere no such file exists. Files that were left open for
    this process are not left open for its children.
    """
    keep_open_files()
    if sys.platform != "linux":
        return
    import ctypes  # late: what only draws or validates does not need it

    try:
        facts = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    except OSError:
        facts = []
    if len(facts) > _STAT_ENV_END:
        start, end = int(facts[_STAT_ENV_START]), int(facts[_STAT_ENV_END])
        for name, value in os.environ.items():
            os.putenv(name, value)  # libc keeps its own copy from now on: the place that it had is emptied below
        ctypes.memset(start, 0, end - start)
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def keep_open_files() -> None:
    """Let no child inherit a file that somebody left open for this process; those of its own Python never hands on."""
    for name in os.listdir("/dev/fd") if os.path.isdir("/dev/fd") else ():
        if int(name) > 2:
            with suppress(OSError):  # the directory's own
                os.set_inheritable(int(name), False)


# Fields 50 and 51 of proc_pid_stat(5), counted from the third, and 0 both where they are not shown; prctl(2).
_STAT_ENV_START, _STAT_ENV_END = 47, 48
_PR_SET_DUMPABLE = 4


def read_event(path: str) -> Mapping[str, Json]:
    """The event file at `path`, or an empty mapping for an empty path.

    Raises UsageError where it cannot be read, has more than EVENT_BYTES_MAX bytes, or is not a JSON object.
    """
    if not path:
        return {}
    try:
        with Path(path).open("rb") as file:
            content = file.read(EVENT_BYTES_MAX + 1)
    except OSError as error:
        raise _event_error(path, f"cannot be read: {error.strerror}") from error
    if len(content) > EVENT_BYTES_MAX:
        raise _event_error(path, f"has more than {EVENT_BYTES_MAX} bytes")
    try:
        payload: Json = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise _event_error(path, f"is not JSON: {json_fault(error)}") from error
    if not isinstance(payload, dict):
        raise _event_error(path, "is not a JSON object")
    return payload


def runner_context(context: Context) -> Mapping[str, Json]:
    """The `runner` context of expressions, with GitHub's names and spellings (`Linux`, `X64`)."""
    env, here = context.env, context.platform
    return {
        "arch": env.get("RUNNER_ARCH") or _RUNNER_ARCH.get(here.arch, here.arch.upper()),
        "name": env.get("RUNNER_NAME", ""),
        "os": env.get("RUNNER_OS") or _RUNNER_OS.get(here.os, here.os),
        "temp": env.get("RUNNER_TEMP", ""),
    }


def no_color(env: Mapping[str, str]) -> bool:
    """Whether output is to be plain. Source: https://no-color.org (set and not empty, whatever its value)."""
    return bool(env.get("NO_COLOR")) or (env.get("TERM") == "dumb" and not env.get("FORCE_COLOR"))


def _event_error(path: str, what: str) -> UsageError:
    return UsageError(
        f"the event file `{path}` {what}",
        next="GITHUB_EVENT_PATH must name the file that the runner wrote, or be unset",
    )


def _read_platform() -> Platform:
    machine = platform.machine().lower()
    system = _OS.get(sys.platform, sys.platform)
    return Platform(system, _ARCH.get(machine, machine), platform.python_version(), _distribution())


def _distribution() -> str:
    try:
        lines = Path("/etc/os-release").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.removeprefix("ID=").strip("\"'") for line in lines if line.startswith("ID=")), "")


def _processors() -> int:
    """Those this process may use, where the system says so."""
    usable = getattr(os, "sched_getaffinity", None)
    return len(usable(0)) if usable else os.cpu_count() or 1


def _is_tty(descriptor: int) -> bool:
    try:
        return os.isatty(descriptor)
    except OSError:
        return False


def _columns(env: Mapping[str, str]) -> int:
    told = env.get("COLUMNS", "")
    if told.isascii() and told.isdigit() and int(told) > 0:
        return int(told)
    try:
        return os.get_terminal_size(1).columns or _DEFAULT_COLUMNS
    except OSError:
        return _DEFAULT_COLUMNS
