"""A real PostgreSQL server of its own, on 127.0.0.1, with all its files in one folder; ended by its own program."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.peers import require

_PLACES = ("/usr/lib/postgresql/*/bin", "/usr/local/pgsql/bin")


def find_programs() -> Path | None:
    """The folder with `initdb` and `pg_ctl`: the newest version that is installed."""
    on_path = shutil.which("initdb")
    found = [path for place in _PLACES for path in Path("/").glob(place.lstrip("/")) if (path / "initdb").exists()]
    return max(found, key=str) if found else Path(on_path).resolve().parent if on_path else None


class Server:
    """One cluster. `url` names its database."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs = programs
        self._folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self.url = f"postgresql://postgres@127.0.0.1:{self._port}/postgres"

    def make(self) -> None:
        """Its files; PostgreSQL refuses to run as root, who hands the folder to the user `postgres`."""
        if os.geteuid() == 0:
            shutil.chown(self._folder, "postgres")
        self._call("initdb", "-D", str(self._folder / "data"), "-A", "trust", "-U", "postgres", "-N")

    def start(self) -> None:
        """Ready for connections once this returns."""
        options = f"-p {self._port} -h 127.0.0.1 -k {self._folder} -c fsync=off"
        self._call(
            "pg_ctl", "-D", str(self._folder / "data"), "-l", str(self._folder / "log"), "-w", "-o", options, "start"
        )

    def stop(self) -> None:
        """As if it were killed."""
        self._call("pg_ctl", "-D", str(self._folder / "data"), "-m", "immediate", "stop")

    def _call(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), *arguments]
        user = "postgres" if os.geteuid() == 0 else None
        done = subprocess.run(
            command,
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            user=user,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
        )
        assert done.returncode == 0, f"{program}: {done.stderr}"


@contextmanager
def server() -> Iterator[Server]:
    """A server that runs; skips the test, or fails it in CI, where PostgreSQL is not installed.

    Not below pytest's own folder: each session that begins closes that to the user `postgres` again.
    """
    programs = find_programs()
    require("PostgreSQL", programs is not None, "install it (Debian: apt-get install postgresql)")
    assert programs is not None
    with TemporaryDirectory(prefix="shipway-postgres-") as folder:
        running = Server(programs, Path(folder))
        running.make()
        running.start()
        try:
            yield running
        finally:
            running.stop()
