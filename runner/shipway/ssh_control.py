"""One connection to a host, shared by all that is run there (OpenSSH's ControlMaster), and how ssh is called for it.

What ssh reads is named by us alone: no settings of the user, no agent but for who gives no key, no forwarding, strict host keys.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import socket
import stat
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from msgspec import Struct

from shipway.action import ActionFailed
from shipway.compute_access import Refused, Unreachable
from shipway.process_identity import is_running

_HOST = re.compile(r"[A-Za-z0-9_\[][A-Za-z0-9._:%\]-]*")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._@\\-]*")
_PLACE = (
    "/tmp"  # a socket's path has 104 bytes on some systems, and ssh puts a name of its own behind it while it makes it
)
_PERSIST_S = 60

# Source: https://man.openbsd.org/ssh_config
_OPTIONS: Mapping[str, str] = {
    "BatchMode": "yes",
    "ClearAllForwardings": "yes",
    "ConnectTimeout": "10",
    "EscapeChar": "none",
    "ForwardAgent": "no",
    "ForwardX11": "no",
    "LogLevel": "ERROR",
    "PermitLocalCommand": "no",
    "RequestTTY": "no",
    "ServerAliveCountMax": "3",
    "ServerAliveInterval": "5",
    "StrictHostKeyChecking": "yes",
    "UpdateHostKeys": "no",
}


class Host(Struct, frozen=True):
    """Where to connect to. `key` is a private key's text, empty for those of the user; `known_hosts` the content of such a file,
    None for the user's own. Whatever differs in any of it is another connection.
    """

    name: str
    user: str = ""
    port: int = 22
    key: str = ""
    known_hosts: bytes | None = None

    @property
    def shown(self) -> str:
        """`user@host:port` as far as it is given."""
        user = f"{self.user}@" if self.user else ""
        return f"{user}{self.name}" + (f":{self.port}" if self.port != 22 else "")


def checked_host(host: Host) -> Host:
    """Raises Refused where a name is none, such as one that ssh would take for an option."""
    if not _HOST.fullmatch(host.name):
        raise Refused(f"`{host.name}` is no name of a host")
    if host.user and not _USER.fullmatch(host.user):
        raise Refused(f"`{host.user}` is no name of a user on `{host.name}`")
    if not 0 < host.port < 65536:
        raise Refused(f"{host.port} is no port of `{host.name}`")
    return host


class Control:
    """The shared connection to one host. It lasts while it is used, and a minute longer, across nodes and processes."""

    def __init__(self, host: Host, env: Mapping[str, str]) -> None:
        """`env` is what ssh itself gets of the base environment: nothing of it goes to the host."""
        self.host = checked_host(host)
        self.env = {name: env[name] for name in ("PATH", "HOME", "USER") if name in env} | {"LC_ALL": "C"}
        self._folder = _private_folder()
        facts = (host.name, host.user, str(host.port), host.key, "" if host.known_hosts is None else "given")
        told = "\0".join(facts).encode() + b"\0" + (host.known_hosts or b"")
        self._path = self._folder / hashlib.sha256(told).hexdigest()[:24]

    @property
    def command(self) -> list[str]:
        """The options by which ssh uses the connection, and never makes one of its own."""
        own = {"ControlMaster": "no", "ControlPath": str(self._path), "ProxyCommand": "false"}
        return _arguments({**_OPTIONS, **own}, self.host)[:-2]

    @property
    def options(self) -> list[str]:
        """The same, with the host behind."""
        return [*self.command, "--", self.host.name]

    def is_open(self) -> bool:
        """Whether somebody answers at its socket."""
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(self._path))
            except OSError:
                return False
        return True

    def open(self) -> None:
        """Connect, unless that is done. Raises Unreachable with what ssh says."""
        if self.is_open():
            return
        with _held(self._path.with_suffix(".lock")):
            if not self.is_open():
                with _ephemeral_folder(self._folder) as folder:
                    self._connect(folder)

    def _connect(self, folder: Path) -> None:
        own = {"ControlMaster": "yes", "ControlPath": str(self._path), "ControlPersist": str(_PERSIST_S)}
        if self.host.key:
            key = folder / "key"
            _write_private(key, self.host.key.replace("\r\n", "\n").rstrip("\n") + "\n")
            own |= {"IdentityFile": str(key), "IdentitiesOnly": "yes", "IdentityAgent": "none"}
        if self.host.known_hosts is not None:
            known = folder / "known_hosts"
            _write_private(known, self.host.known_hosts.decode("utf-8", "surrogateescape"))
            own |= {"UserKnownHostsFile": str(known), "GlobalKnownHostsFile": "/dev/null"}
        argv = ["ssh", *_arguments({**_OPTIONS, **own}, self.host), "true"]
        with open(folder / "complaint", "w+b") as complaint:
            try:
                # Into a file: a connection in the background would keep a pipe open.
                done = subprocess.run(
                    argv,
                    env=self.env,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=complaint,
                    check=False,
                    start_new_session=True,
                )
            except FileNotFoundError as error:
                raise ActionFailed("`ssh` is not on PATH", code="program_missing", is_permanent=True) from error
            complaint.seek(0)
            said = complaint.read(4096).decode("utf-8", "replace")
        if done.returncode != 0:
            raise Unreachable(f"`{self.host.shown}` cannot be reached: {_told(said) or f'ssh exit {done.returncode}'}")


def _arguments(options: Mapping[str, str], host: Host) -> list[str]:
    words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    user = ["-l", host.user] if host.user else []
    return ["-F", "/dev/null", "-T", *words, *user, "-p", str(host.port), "--", host.name]


def _told(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip() and not line.startswith("@")]
    return "; ".join(lines[-2:])


def _private_folder() -> Path:
    """A folder that only this user can enter. Raises ActionFailed where somebody else made it."""
    folder = Path(_PLACE, f"shipway-{os.getuid()}")
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    facts = folder.lstat()
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.getuid() or facts.st_mode & 0o077:
        raise ActionFailed(f"`{folder}` is not a folder of yours alone: remove it", is_permanent=True)
    return folder


@contextmanager
def _ephemeral_folder(parent: Path) -> Iterator[Path]:
    """A folder for a key, gone when this ends; one that a killed process left is removed by the next that connects."""
    for left in parent.glob("connecting-*-*"):
        pid = left.name.split("-")[1]
        if pid.isdigit() and not is_running(int(pid), None):
            shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=f"connecting-{os.getpid()}-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _held(path: Path) -> Iterator[None]:
    """One process and one thread at a time."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _write_private(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(text.encode("utf-8", "surrogateescape"))
