"""A real engine for containers, without a network, all its files in one folder; ended by its number. Needs root."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

IMAGE = "bb:1"
_PATIENCE_S = 60.0


@contextmanager
def container_engine() -> Iterator[dict[str, str]]:
    """The variables that `docker` needs to reach it; IMAGE holds a shell. Skips the test where it cannot be started.

    In CI too: many machines allow no engine of one's own.
    """
    missing = [name for name in ("dockerd", "docker", "busybox") if shutil.which(name) is None]
    if missing or os.geteuid() != 0:
        pytest.skip("no container engine: as root, apt-get install docker.io busybox-static")
    with TemporaryDirectory(prefix="shipway-engine-") as name:
        folder = Path(name)
        env = {"PATH": os.environ["PATH"], "HOME": name, "DOCKER_HOST": f"unix://{name}/docker.sock"}
        with (folder / "log").open("wb") as log:
            engine = subprocess.Popen(_command(folder), stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        try:
            until = time.monotonic() + _PATIENCE_S
            while subprocess.run(["docker", "version"], env=env, capture_output=True, check=False).returncode != 0:
                if engine.poll() is not None or time.monotonic() > until:
                    pytest.skip(f"no container engine: it does not start here: {(folder / 'log').read_text()[-400:]}")
                time.sleep(0.05)
            _image(folder, env)
            yield env
        finally:
            engine.terminate()
            engine.wait()
            with suppress(OSError):
                subprocess.run(["umount", f"{name}/exec/netns/default"], capture_output=True, check=False)


def _command(folder: Path) -> list[str]:
    places = [f"--data-root={folder}/data", f"--exec-root={folder}/exec", f"--pidfile={folder}/docker.pid"]
    return [
        "dockerd",
        f"--host=unix://{folder}/docker.sock",
        *places,
        "--iptables=false",
        "--bridge=none",
        "--storage-driver=vfs",
    ]


def _image(folder: Path, env: dict[str, str]) -> None:
    busybox = shutil.which("busybox")
    assert busybox is not None
    (folder / "rootfs/bin").mkdir(parents=True)
    shutil.copy(busybox, folder / "rootfs/bin/sh")
    subprocess.run(["tar", "-C", "rootfs", "-cf", "rootfs.tar", "."], cwd=folder, check=True)
    subprocess.run(["docker", "import", "rootfs.tar", IMAGE], cwd=folder, env=env, capture_output=True, check=True)
