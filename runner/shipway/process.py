"""Child processes in groups of their own: start, wait, signal, end. Knows nothing of nodes, outcomes or policies."""

from __future__ import annotations

import errno
import os
import select
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue


class StartFailed(Exception):
    """A program that could not be started; the text says which and why."""


class Child:
    """A started process, leader of its own process group. `pid` is the group's id as well."""

    __slots__ = ("pid", "pidfd")

    def __init__(self, pid: int, pidfd: int | None) -> None:
        self.pid = pid
        self.pidfd = pidfd

    def reap(self) -> int:
        """The exit code of the ended leader; negative for a signal. Blocks where it has not ended."""
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        if self.pidfd is not None:
            os.close(self.pidfd)
            self.pidfd = None
        return code

    def signal_group(self, number: int) -> bool:
        """Send a signal to every process of the group; whether there was any."""
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            return False
        except PermissionError:
            # macOS says EPERM for a group of which only zombies are left.
            return False
        return True

    def group_is_alive(self) -> bool:
        """Whether some process of the group still runs. Ask only after `reap`: an unreaped leader counts."""
        return self.signal_group(0) and not _is_dead(self.pid)


def _is_dead(group: int) -> bool:
    """Whether all that is left of a group are zombies: in a container whose init reaps nobody they stay for ever.

    Source: proc(5), /proc/pid/stat. Without /proc, or where the group is not seen there, the answer is no.
    """
    try:
        names = [name for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return False
    states = []
    for name in names:
        with suppress(OSError), open(f"/proc/{name}/stat", "rb") as stream:
            state, _, of_group, *_ = stream.read().rpartition(b")")[2].split()
            if int(of_group) == group:
                states.append(state)
    return bool(states) and all(state in (b"Z", b"X") for state in states)


def most_children() -> int:
    """How many children can run at once under the limit of open files: each takes a pidfd, its output and its log."""
    ask = getattr(os, "sysconf", None)
    limit: int = ask("SC_OPEN_MAX") if ask else _OPEN_FILES_WINDOWS
    return max(1, (limit - _OPEN_FILES_OWN) // _OPEN_FILES_PER_CHILD)


_OPEN_FILES_OWN = 64
_OPEN_FILES_PER_CHILD = 3
_OPEN_FILES_WINDOWS = 512


def start(
    argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], stdin: int, output: int, own_path: str = ""
) -> Child:
    """Start `argv` in a new process group with exactly `env`, both its outputs going to the descriptor `output`.

    `own_path` is the PATH of this process, if that is known: by it the system itself finds the program, and faster.
    It inherits the open files that are marked for it: `context.hide_from_children` has seen to it that none other is.
    Raises StartFailed, naming the program or the directory.
    """
    try:
        pid = _spawn(argv, env, stdin, output, own_path) if _is_here(cwd) else _popen(argv, cwd, env, stdin, output)
    except OSError as error:
        raise StartFailed(_why_not_started(argv[0], cwd, error)) from error
    except ValueError as error:
        raise StartFailed(f"`{argv[0]}` cannot be started: {error}") from error
    return Child(pid, _pidfd(pid))


def _is_here(cwd: Path) -> bool:
    try:
        return os.getcwd() == str(cwd)
    except OSError:  # it was removed under our feet
        return False


def _spawn(argv: Sequence[str], env: Mapping[str, str], stdin: int, output: int, own_path: str) -> int:
    """The pid of a child in our own working directory, which is nearly always the right one: half the price of a Popen."""
    files = [(os.POSIX_SPAWN_DUP2, stdin, 0), (os.POSIX_SPAWN_DUP2, output, 1), (os.POSIX_SPAWN_DUP2, output, 2)]
    words = tuple(argv)
    if own_path and env.get("PATH") == own_path:
        with suppress(OSError):  # what is wrong is found out below, where it can be told
            return os.posix_spawnp(argv[0], words, env, file_actions=files, setpgroup=0, setsigdef=_IGNORED_BY_PYTHON)
    program = _found(argv[0], env)
    return os.posix_spawn(program, words, env, file_actions=files, setpgroup=0, setsigdef=_IGNORED_BY_PYTHON)


def _popen(argv: Sequence[str], cwd: Path, env: Mapping[str, str], stdin: int, output: int) -> int:
    process = subprocess.Popen(argv, cwd=cwd, env=env, stdin=stdin, stdout=output, stderr=output, process_group=0)
    process.returncode = 0  # it is `Child` that waits for it
    return process.pid


_IGNORED_BY_PYTHON = [getattr(signal, name) for name in ("SIGPIPE", "SIGXFSZ") if hasattr(signal, name)]


def _found(program: str, env: Mapping[str, str]) -> str:
    """The path of `program` as execvpe(3) finds it in the PATH of `env`; the name itself where it finds nothing."""
    if "/" in program:
        return program
    for place in env.get("PATH", os.defpath).split(":"):
        path = f"{place or '.'}/{program}"
        if os.access(path, os.X_OK) and not os.path.isdir(path):
            return path
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), program)


def _why_not_started(program: str, cwd: Path, error: OSError) -> str:
    if not cwd.is_dir():
        return f"working directory `{cwd}` {'is not a directory' if cwd.exists() else 'does not exist'}"
    if error.errno == errno.ENOENT:
        return f"`{program}` is not on PATH"
    if error.errno == errno.E2BIG:
        return f"`{program}` cannot be started: the environment or the arguments are too long"
    return f"`{program}` cannot be started: {error.strerror}"


def _pidfd(pid: int) -> int | None:
    opener = getattr(os, "pidfd_open", None)
    if opener is None:
        return None
    try:
        descriptor: int = opener(pid)
    except OSError:
        return None
    return descriptor


class Waiter:
    """One place to wait for ended children, finished calls and wake-ups, with a deadline.

    Children with a pidfd are polled; the others get a waiting thread. `wake` may be called from any thread or signal handler.
    """

    def __init__(self) -> None:
        self._poll = select.poll()
        self._children: dict[int, Child] = {}
        self._read_end, self._write_end = os.pipe()
        os.set_blocking(self._read_end, False)
        os.set_blocking(self._write_end, False)
        self._poll.register(self._read_end, select.POLLIN)
        self._ended: deque[Child] = deque()
        self._is_asleep = False
        self._woken_before = -1
        if threading.current_thread() is threading.main_thread():
            # The system may hand a signal to any thread: without this, one that waits here would not hear of it.
            self._woken_before = signal.set_wakeup_fd(self._write_end, warn_on_full_buffer=False)

    def watch(self, child: Child) -> None:
        """Report `child` from `wait` once its leader has ended."""
        if child.pidfd is not None:
            self._children[child.pidfd] = child
            self._poll.register(child.pidfd, select.POLLIN)
        else:
            threading.Thread(target=self._await_end, args=(child,), daemon=True).start()

    def wait(self, timeout_ms: int | None, has_news: Callable[[], object] = lambda: False) -> list[Child]:
        """Children whose leader has ended since, reported once each; empty after a wake-up or the timeout.

        Does not wait where `has_news()`, which says whether there is something else that `nudge` told of.
        """
        found: list[Child] = []
        self._is_asleep = True  # first, so that whoever has news from now on nudges
        if not has_news():
            for descriptor, _ in self._poll.poll(timeout_ms):
                if descriptor == self._read_end:
                    self._drain()
                else:
                    found.append(self._children.pop(descriptor))
                    self._poll.unregister(descriptor)
        self._is_asleep = False
        while self._ended:
            found.append(self._ended.popleft())
        return found

    def wake(self) -> None:
        """Let `wait` return now."""
        with suppress(BlockingIOError, OSError):
            os.write(self._write_end, b".")

    def nudge(self) -> None:
        """There is news for `has_news`, put there before: a waiting `wait` returns, any other one will see it by itself."""
        if self._is_asleep:
            self._is_asleep = False  # one nudge is enough
            self.wake()

    def close(self) -> None:
        """Give back the descriptors."""
        if threading.current_thread() is threading.main_thread():
            signal.set_wakeup_fd(self._woken_before)
        os.close(self._read_end)
        os.close(self._write_end)

    def _drain(self) -> None:
        with suppress(BlockingIOError):
            os.read(self._read_end, 4096)  # more than that makes the next `wait` return at once, and no harm

    def _await_end(self, child: Child) -> None:
        # WNOWAIT leaves the zombie: `reap` takes it on the loop's own thread, and the group id cannot be reused before.
        with suppress(ChildProcessError):
            os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        self._ended.append(child)
        self.wake()


class Threads:
    """Worker threads for in-process calls, started as they are needed, at most `most`. Results come back by `done`."""

    def __init__(self, waiter: Waiter, most: int) -> None:
        self._waiter = waiter
        self._most = most
        self._calls: SimpleQueue[Call | None] = SimpleQueue()
        self._done: deque[Call] = deque()
        self._threads: list[threading.Thread] = []
        self._busy = 0

    def submit(self, call: Call) -> None:
        """Run `call` on a free thread; `done` returns it when it has ended."""
        self._busy += 1
        if self._busy > len(self._threads) and len(self._threads) < self._most:
            thread = threading.Thread(target=self._work, daemon=True)
            self._threads.append(thread)
            thread.start()
        self._calls.put(call)

    def carry_out(self, call: Call) -> None:
        """Run `call` here and now; `done` returns it as if a thread had."""
        self._busy += 1
        call.run()
        self._done.append(call)

    def has_done(self) -> bool:
        """Whether `done` has something to return."""
        return bool(self._done)

    def done(self) -> list[Call]:
        """Calls that ended since."""
        found: list[Call] = []
        while self._done:
            found.append(self._done.popleft())
        self._busy -= len(found)
        return found

    def close(self) -> None:
        """Let idle threads end. A call that ignores its cancellation is left behind on a daemon thread."""
        for _ in self._threads:
            self._calls.put(None)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            call.run()
            self._done.append(call)
            self._waiter.nudge()


class Call:
    """A call for a worker thread: `run` never raises, it keeps what `body` raised in `error`."""

    __slots__ = ("body", "error", "result")

    def __init__(self, body: object) -> None:
        self.body = body
        self.result: object = None
        self.error: BaseException | None = None

    def run(self) -> None:
        """Carry it out on the calling thread."""
        assert callable(self.body)
        try:
            self.result = self.body()
        except BaseException as error:  # noqa: BLE001 - the worker's edge: whatever an action raises is its failure
            self.error = error


INTERRUPT = signal.SIGINT
TERMINATE = signal.SIGTERM
KILL = getattr(signal, "SIGKILL", signal.SIGTERM)
