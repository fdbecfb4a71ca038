"""Access to a preview that lives on a host, by OpenSSH: one connection, each script by standard input, nothing of ours leaked.

The command that ssh carries is always the same. It reads the program from the first line of its input, so that neither a script
nor a value stands on a command line, there or here, and what follows the line is the input of the script.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from contextlib import suppress
from shlex import quote
from threading import Event

from shipway.action import ActionFailed
from shipway.compute_access import ROOT_MISSING, Access, Ran, Script, Unreachable
from shipway.piped import Piped, end_group, run_piped
from shipway.ssh_control import Control

_MARK = "shipway-ran"
_HEADER = f"{_MARK} ".encode()
_LAUNCH = """exec sh -c 'IFS= read -r p && eval "$(printf %b "$p")"'"""
_NOT_OURS = "unset p SSH_CLIENT SSH_CONNECTION SSH_TTY SSH_ORIGINAL_COMMAND MAIL OLDPWD IFS"
_REFUSED = b"refused by peer"
_TRIES = 60
_TURNS = 200
_PAUSE_S = 0.25


class SshAccess(Access):
    """The folder `root` of the host that `control` connects to. Raises Unreachable where the connection is not to be had."""

    def __init__(self, root: str, control: Control) -> None:
        self.root = root
        self.control = control

    def carry_out(self, script: Script) -> Ran:
        """See `Access`. The base environment is the one that the host gives its user."""
        given = _encoded(_program(self.root, script)) + script.stdin
        pause = Event()
        for _ in range(_TRIES):
            self.control.open()
            listener = _Listener(script.on_output)
            done = run_piped(
                ["ssh", *self.control.options, _LAUNCH],
                env=self.control.env,
                stdin=given,
                cancelled=script.cancelled,
                timeout_ms=script.timeout_ms,
                on_output=listener.hear,
                stop=lambda child, turn, heard=listener: self._stop(child, turn, heard),  # type: ignore[misc]
            )
            # Nothing was run: the connection went meanwhile, or as many share it already as the host allows.
            if listener.group or done.stopped or not (_REFUSED in done.err or not self.control.is_open()):
                return self._ended(done, listener)
            pause.wait(_PAUSE_S)
        return self._ended(done, listener)

    def _stop(self, child: subprocess.Popen[bytes], turn: Callable[[], bool], listener: _Listener) -> None:
        """End the group on the host as a local one is ended, then the client. Its number may still be on its way."""
        for _ in range(_TURNS):
            if listener.group or turn():
                break
        if listener.group:
            with suppress(OSError):
                run_piped(
                    ["ssh", *self.control.options, _LAUNCH],
                    env=self.control.env,
                    stdin=_encoded(_ending(listener.group)),
                    timeout_ms=10_000,
                )
        end_group(child)

    def _ended(self, done: Piped, listener: _Listener) -> Ran:
        out = done.out.partition(f"{_MARK}\n".encode())[2]  # what comes before is of the login shell
        err, code = _trailer(done.err, listener.header)
        if done.stopped:
            return Ran(done.exit_code, out, err, done.stopped)
        if code == "missing":
            raise ActionFailed(f"`{self.root}` is not there on `{self.control.host.shown}`", code=ROOT_MISSING)
        if not code.isdigit():
            said = Ran(0, b"", err).said() or f"ssh exit {done.exit_code}"
            raise Unreachable(f"the connection to `{self.control.host.shown}` was lost: {said}")
        return Ran(int(code), out, err)


class _Listener:
    """Takes our first line out of what a host complains of, with what its login shell said before, and hands on the rest."""

    def __init__(self, on_output: Callable[[bytes], None] | None) -> None:
        self.header = b""
        self.group = ""
        self._before = b""
        self._on_output = on_output

    def hear(self, piece: bytes) -> None:
        if not self.group:
            self._before += piece
            head, found, rest = self._before.partition(_HEADER)
            group, newline, piece = rest.partition(b"\n")
            if not newline:
                return
            self.header, self.group = head + found + group + newline, group.decode("ascii", "replace")
        if piece and self._on_output is not None:
            self._on_output(piece)


def _program(root: str, script: Script) -> str:
    """What the host runs: it says its process group first, and how the script ended last, whatever that prints."""
    exports = "".join(f"export {name}={quote(value)}\n" for name, value in script.env.items())
    return (
        f"{_NOT_OURS}\necho {_MARK}\nprintf '%s %s\\n' {_MARK} $$ >&2\n"
        f"if cd -- {quote(root)} 2>/dev/null; then\n(\n{exports}eval {quote(script.text)}\n)\nset -- $?\nelse set -- missing; fi\n"
        f"printf '\\n%s %s\\n' {_MARK} \"$1\" >&2\n"
        # What the script left running: its group is ours.
        "kill -KILL -$$ 2>/dev/null\nexit 0\n"
    )


def _ending(group: str) -> str:
    """Interrupt, terminate, kill the group, a second apart."""
    gone = (
        f"i=0; while [ $i -lt 50 ]; do kill -0 -{group} 2>/dev/null || exit 0; sleep 0.02 || sleep 1; i=$((i+1)); done"
    )
    return "".join(f"kill -{name} -{group} 2>/dev/null || exit 0\n{gone}\n" for name in ("INT", "TERM", "KILL"))


def _encoded(program: str) -> bytes:
    """A program as one line that `printf %b` gives back."""
    line = program.replace("\\", "\\\\").replace("\n", "\\n")
    return line.encode("utf-8", "surrogateescape") + b"\n"


def _trailer(err: bytes, header: bytes) -> tuple[bytes, str]:
    """What the script complained of, and what our last line says; empty where that did not come."""
    err = err.removeprefix(header)
    before, found, after = err.rpartition(f"\n{_MARK} ".encode())
    if not found:
        return err, ""
    word, _, rest = after.partition(b"\n")
    return before + rest, word.decode("ascii", "replace")
