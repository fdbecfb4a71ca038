"""What commands of a job leave running behind them, in a session of its own too: it becomes this process's, and ends with its work.

Linux only: elsewhere such a process is nobody's any more, and is left alone.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from shipway.process_identity import children_of

_PR_SET_CHILD_SUBREAPER = 36
"""Source: prctl(2). What loses its parent below this process becomes its child."""

_ROUNDS = 100
_POLL_S = 0.01
"""A second for all: what the kernel does not let end by then, or what became another user's, is left."""


@contextmanager
def ended_stragglers(pause: Callable[[float], None]) -> Iterator[None]:
    """Whatever is started meanwhile, and has not ended with this, is killed. `pause` takes seconds.

    Not for work that starts what is to stay, such as a preview's services.
    """
    if sys.platform != "linux":
        yield
        return
    _adopt(is_adopting=True)
    try:
        yield
    finally:
        _end(pause)
        _adopt(is_adopting=False)


def _adopt(*, is_adopting: bool) -> None:
    import ctypes  # late: what only draws or validates does not need it

    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, int(is_adopting), 0, 0, 0)


def _end(pause: Callable[[float], None]) -> None:
    """Kill the children, and what becomes one by that, until there is none."""
    for _ in range(_ROUNDS):
        left = children_of(os.getpid())
        if not left:
            return
        for pid in left:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        pause(_POLL_S)
        for pid in left:
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
