"""A real sshd of its own on 127.0.0.1, for this user, with all its files in one folder: the host that a preview lives on."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from shipway.canonical import Json
from tests.peers import require
from tests.runs import PATIENCE_S

_PLACES = "/usr/sbin:/usr/local/sbin:/usr/libexec:/usr/bin"


class RemoteHost:
    """One sshd. `key` and `known_hosts` are what a client needs; `root` is where previews go, `home` that of its user."""

    def __init__(self, program: str, folder: Path) -> None:
        self._program = program
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.root = folder / "srv"
        self.home = folder / "home"
        for made in (self.root, self.home):
            made.mkdir()
        self.user = pwd.getpwuid(os.getuid()).pw_name
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        for name in ("host", "user"):
            keygen = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(folder / name)]
            subprocess.run(keygen, check=True)
        self.key = (folder / "user").read_text()
        self.known_hosts = f"[127.0.0.1]:{self.port} {(folder / 'host.pub').read_text()}"
        shutil.copy(folder / "user.pub", folder / "authorized_keys")
        (folder / "config").write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nPidFile none\nUsePAM no\nStrictModes no\n"
            f"AuthorizedKeysFile {folder}/authorized_keys\nPasswordAuthentication no\nPrintMotd no\n"
            # Whatever a client would send arrives, so that a test sees that nothing was sent.
            f"SetEnv HOME={self.home}\nAcceptEnv *\nPermitRootLogin prohibit-password\nMaxStartups 100\n"
        )

    def start(self) -> None:
        """Ready for connections once this returns."""
        with open(self._folder / "log", "ab") as log:
            command = [self._program, "-D", "-e", "-f", str(self._folder / "config")]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        until = time.monotonic() + PATIENCE_S
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
                return
            assert self._process.poll() is None and time.monotonic() < until, (self._folder / "log").read_text()
            time.sleep(0.02)

    def stop(self) -> None:
        """As if its machine went away: no new connections, and those that there are end."""
        if self._process is None:
            return
        children = [int(pid) for pid in _children(self._process.pid)]
        self._process.kill()
        self._process.wait()
        for pid in children:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process = None

    def compute(self, root: Path | str) -> dict[str, Json]:
        """The outputs of a node `compute` that lives in a folder of this host."""
        return {"kind": "ssh", "root": str(root), "managed": True, **self.address}

    @property
    def address(self) -> dict[str, Json]:
        """Host, user and port."""
        return {"host": "127.0.0.1", "user": self.user, "port": self.port}

    def ssh(self, repository: Path) -> Mapping[str, Json]:
        """The slot `ssh` of a node that runs in `repository`, which gets the file that it names."""
        (repository / "known_hosts").write_text(self.known_hosts)
        return {"key": self.key, "known_hosts": "known_hosts"}


def _children(pid: int) -> list[str]:
    """Those that a process started, and theirs."""
    found: list[str] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in task.read_text().split():
                found += [child, *_children(int(child))]
    return found


@contextmanager
def remote_host() -> Iterator[RemoteHost]:
    """A host that answers; skips the test, or fails it in CI, where there is no sshd."""
    program = shutil.which("sshd", path=f"{os.environ['PATH']}:{_PLACES}")
    require("sshd", program is not None, "install it (Debian: apt-get install openssh-server)")
    assert program is not None
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where it locks itself in before a login
    with TemporaryDirectory(prefix="shipway-host-") as folder:
        host = RemoteHost(program, Path(folder))
        host.start()
        try:
            yield host
        finally:
            host.stop()


@pytest.fixture(scope="session")
def host() -> Iterator[RemoteHost]:
    """A host for all tests that leave it running: each has a folder of its own there."""
    with remote_host() as running:
        yield running


@pytest.fixture(params=["local", "ssh"])
def where(request: pytest.FixtureRequest) -> RemoteHost | None:
    """This machine, None, and then a host: what takes it is shown of both."""
    found: RemoteHost | None = request.getfixturevalue("host") if request.param == "ssh" else None
    return found
