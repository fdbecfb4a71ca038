"""The command line without the start of a Python: one process has imported it, and forks a child for each call.

Starting Python and importing is most of what a short command costs, and the suite makes thousands of calls. A child is a
process of its own, with its own arguments, environment, folder and streams, and ends as the real one does. What differs is
what the real start is about: flags of the interpreter, `/proc/self/environ`, which modules are loaded, the seed of hashes;
tests of those call `python -I -m shipway`, as does everything with `SHIPWAY_TESTS_START=real`.

Run as a program, this is that process: for each byte that comes with four descriptors (a request, standard output,
standard error, where the status is told) it forks one child.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import pkgutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

COMMAND = (sys.executable, "-I", "-m", "shipway")
_FIXED_AT_START = ("LANG", "LC_ALL", "LC_CTYPE", "TZ")
"""What the interpreter reads once, when it starts: calls that differ in one of these have processes of their own."""

_PATIENCE_S = 300


def call_command(arguments: Sequence[str], cwd: Path, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """What `subprocess.run` of `python -I -m shipway ARGUMENTS` gives, with no input and what it prints as text.

    What has not ended after five minutes is killed, and its exit code says so.
    """
    if not _is_forkable(env):
        command = [*COMMAND, *arguments]
        return subprocess.run(
            command,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PATIENCE_S,
            check=False,
        )
    code, out, err = _server(env).call(arguments, cwd, env)
    return subprocess.CompletedProcess(["shipway", *arguments], code, out, err)


def _is_forkable(env: Mapping[str, str]) -> bool:
    if os.environ.get("SHIPWAY_TESTS_START") == "real" or sys.platform != "linux":
        return False
    return env.get("PATH") == os.environ["PATH"] and not any(name.startswith("LD_") for name in env)


class _Server:
    """The process that forks, and the socket that it hears on."""

    def __init__(self, fixed: Mapping[str, str]) -> None:
        self._ours, theirs = socket.socketpair()
        kept = {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-I", __file__],
                env=kept | dict(fixed),
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
            )
        atexit.register(self.close)

    def call(self, arguments: Sequence[str], cwd: Path, env: Mapping[str, str]) -> tuple[int, str, str]:
        told: dict[str, bytes] = {}
        ends = {name: os.pipe() for name in ("out", "err", "status")}
        with tempfile.TemporaryFile() as request:
            request.write(json.dumps([list(arguments), os.fspath(cwd), dict(env)]).encode())
            request.seek(0)
            socket.send_fds(self._ours, [b"."], [request.fileno(), *(write for _, write in ends.values())])
        for _, write in ends.values():
            os.close(write)

        def read(name: str) -> None:
            with os.fdopen(ends[name][0], "rb") as stream:
                told[name] = stream.read()

        readers = [threading.Thread(target=read, args=[name]) for name in ("err", "status")]
        for reader in readers:
            reader.start()
        read("out")
        for reader in readers:
            reader.join()
        assert told["status"], f"the process that forks ended: {self._process.poll()}"
        # As `text=True` reads: universal newlines.
        out, err = (told[name].decode().replace("\r\n", "\n").replace("\r", "\n") for name in ("out", "err"))
        return int(told["status"]), out, err

    def close(self) -> None:
        self._ours.close()
        self._process.wait()


_servers: dict[tuple[str | None, ...], _Server] = {}
_starting = threading.Lock()


def _server(env: Mapping[str, str]) -> _Server:
    fixed = {name: env[name] for name in _FIXED_AT_START if name in env}
    key = tuple(fixed.get(name) for name in _FIXED_AT_START)
    with _starting:
        if key not in _servers:
            _servers[key] = _Server(fixed)
        return _servers[key]


def _import_all() -> None:
    import shipway

    for module in pkgutil.walk_packages(shipway.__path__, "shipway."):
        if not module.name.endswith("__main__"):
            try:
                importlib.import_module(module.name)
            except ImportError:  # of an optional library, which is said when it is asked for
                continue


def _serve() -> None:
    control = socket.socket(fileno=os.dup(0))
    _null_as(0)
    _import_all()
    gc.collect()
    gc.freeze()
    while True:
        byte, descriptors, _, _ = socket.recv_fds(control, 1, 4)
        if not byte:
            return
        if not os.fork():
            control.close()
            _wait_for_child(*descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        while _has_reaped():
            pass


def _has_reaped() -> bool:
    try:
        return os.waitpid(-1, os.WNOHANG)[0] != 0
    except ChildProcessError:
        return False


def _wait_for_child(request: int, out: int, err: int, told: int) -> None:
    """In a child of the server: have a child of its own carry the command out, and tell how it ended."""
    child = os.fork()
    if not child:
        os.close(told)
        os.dup2(out, 1)
        os.dup2(err, 2)
        for descriptor in (out, err):
            os.close(descriptor)
        with os.fdopen(request, "rb") as stream:
            _carry_out(*json.loads(stream.read()))
    for descriptor in (out, err):
        os.close(descriptor)
    signal.signal(signal.SIGALRM, lambda *_: os.kill(child, signal.SIGKILL))
    signal.alarm(_PATIENCE_S)
    _, status = os.waitpid(child, 0)
    os.write(told, str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def _carry_out(arguments: list[str], cwd: str, env: dict[str, str]) -> None:
    from shipway.cli import main

    try:
        os.chdir(cwd)
        os.environ.clear()
        os.environ |= env
        tempfile.tempdir = None
        sys.argv[1:] = arguments
        main()
    except SystemExit as end:  # of argparse, where help was asked for
        sys.stdout.flush()
        os._exit(int(end.code or 0))
    finally:
        sys.excepthook(*sys.exc_info())
        sys.stderr.flush()
        os._exit(1)


def _null_as(descriptor: int) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, descriptor)
    os.close(null)


if __name__ == "__main__":
    _serve()
