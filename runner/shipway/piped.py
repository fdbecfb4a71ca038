"""Runs one program with its input and both outputs on pipes, in a session of its own, and ends that as a group.

Reads no clock: a timer says when the time is over.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from threading import Event, Timer
from typing import IO, TypeAlias

from msgspec import Struct

OUT_BYTES_MAX = 32 << 20
"""The first that is kept of what a program prints."""

ERR_BYTES_MAX = 1 << 20
"""The last that is kept of what it complains of."""

_TICK_S = 0.05
_LINGER_TICKS = 4
_GRACE_TICKS = 50
_GRACE_TICK_S = 0.02
_PIECE = 1 << 16


Stop: TypeAlias = "Callable[[subprocess.Popen[bytes], Callable[[], bool]], None]"
"""Ends a child; see `run_piped`."""


class Piped(Struct, frozen=True):
    """How a program ended (negative: the signal), what it wrote, and why it was ended before it was done, if it was."""

    exit_code: int
    out: bytes
    err: bytes
    stopped: str = ""


def run_piped(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path | None = None,
    stdin: bytes = b"",
    cancelled: Callable[[], bool] = lambda: False,
    timeout_ms: int = 0,
    on_output: Callable[[bytes], None] | None = None,
    stop: Stop | None = None,
) -> Piped:
    """Run `argv` with exactly `env`. Raises OSError where it cannot be started.

    `stop` ends it where it must end early, instead of `end_group`; what it is given besides moves what is in the pipes for a
    moment, and says whether that was all. What its leader leaves running in its group is killed.
    """
    pipe = subprocess.PIPE
    with (
        subprocess.Popen(
            argv, cwd=cwd, env=dict(env), stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True
        ) as child,
        ExitStack() as after,
    ):
        after.callback(_kill_rest, child)
        expired = Event()
        if timeout_ms:
            timer = Timer(timeout_ms / 1000, expired.set)
            timer.daemon = True
            timer.start()
            after.callback(timer.cancel)
        exchange = _Exchange(child, stdin, on_output)
        after.callback(exchange.close)
        stopped = ""
        while not exchange.turn():
            stopped = "timeout" if expired.is_set() else "cancelled" if cancelled() else ""
            if stopped:
                if stop is not None:
                    stop(child, exchange.turn)
                else:
                    end_group(child)
                exchange.drain()
                break
        code = child.wait()
        return Piped(code, bytes(exchange.out), bytes(exchange.err), stopped)


def end_group(child: subprocess.Popen[bytes]) -> None:
    """Interrupt, then terminate, then kill the whole group of `child`, a second apart; it has gone when this returns."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        if not _signal(child.pid, number) or _has_gone(child):
            return


def _kill_rest(child: subprocess.Popen[bytes]) -> None:
    if _signal(child.pid, signal.SIGKILL):
        _has_gone(child)


def _has_gone(child: subprocess.Popen[bytes]) -> bool:
    pause = Event()
    for _ in range(_GRACE_TICKS):
        if child.poll() is not None and not _signal(child.pid, 0):
            return True
        pause.wait(_GRACE_TICK_S)
    return False


def _signal(group: int, number: int) -> bool:
    """Whether there was a group to signal."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    except PermissionError:  # on macOS also where all that is left of it has ended
        return number != 0
    return True


class _Exchange:
    """The three pipes of a child: hands over its input and keeps what comes back, within bounds."""

    def __init__(self, child: subprocess.Popen[bytes], stdin: bytes, on_output: Callable[[bytes], None] | None) -> None:
        assert child.stdin is not None and child.stdout is not None and child.stderr is not None
        self.out, self.err = bytearray(), bytearray()
        self._child = child
        self._left = memoryview(stdin)
        self._on_output = on_output
        self._lingered = 0
        self._selector = selectors.DefaultSelector()
        self._stdin = child.stdin
        for stream in (child.stdout, child.stderr):
            os.set_blocking(stream.fileno(), False)
            self._selector.register(stream, selectors.EVENT_READ)
        self._out = child.stdout
        if stdin:
            os.set_blocking(child.stdin.fileno(), False)
            self._selector.register(child.stdin, selectors.EVENT_WRITE)
        else:
            child.stdin.close()

    def turn(self) -> bool:
        """Move what can be moved, waiting a little for it; whether the program has ended and all it wrote is here."""
        before = len(self.out) + len(self.err)
        for key, _ in self._selector.select(_TICK_S):
            self._serve(key.fileobj)  # type: ignore[arg-type]  # only pipes were registered
        if self._child.poll() is None:
            return not self._reads and self._waited()
        if not self._reads:
            return True
        # Somebody else still holds its outputs: no longer than it takes to read what is in them.
        self._lingered = 0 if len(self.out) + len(self.err) != before else self._lingered + 1
        return self._lingered > _LINGER_TICKS

    def drain(self) -> None:
        """Take what was written until the program was ended."""
        for stream in self._reads:
            while self._read(stream):
                pass

    def close(self) -> None:
        self._selector.close()
        with suppress(OSError):
            self._stdin.close()

    @property
    def _reads(self) -> list[IO[bytes]]:
        keys = self._selector.get_map().values()
        return [key.fileobj for key in keys if key.events == selectors.EVENT_READ]  # type: ignore[misc]

    def _waited(self) -> bool:
        with suppress(subprocess.TimeoutExpired):
            self._child.wait(_TICK_S)
            return True
        return False

    def _serve(self, stream: IO[bytes]) -> None:
        if stream is self._stdin:
            self._feed()
        else:
            self._read(stream)

    def _feed(self) -> None:
        try:
            self._left = self._left[os.write(self._stdin.fileno(), self._left[:_PIECE]) :]
        except BlockingIOError:
            return
        except OSError:  # it does not want to know the rest
            self._left = self._left[:0]
        if not self._left:
            self._selector.unregister(self._stdin)
            with suppress(OSError):
                self._stdin.close()

    def _read(self, stream: IO[bytes]) -> bool:
        try:
            piece = os.read(stream.fileno(), _PIECE)
        except BlockingIOError:
            return False
        if not piece:
            self._selector.unregister(stream)
            return False
        if stream is self._out:
            self.out += piece[: OUT_BYTES_MAX - len(self.out)]
            return True
        self.err += piece
        if len(self.err) > 2 * ERR_BYTES_MAX:
            del self.err[:-ERR_BYTES_MAX]
        if self._on_output is not None:
            self._on_output(piece)
        return True
