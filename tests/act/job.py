"""Runs one workflow with act, on this machine and offline, and gives back what act read. Knows nothing of Shipway's output."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zipfile import ZipFile

ROOT = Path(__file__).resolve().parents[2]
UPLOAD_STAND_IN = ROOT / ".cache/upload-artifact"
PASSED_ON = ("PIP_", "UV_", "SSL_CERT", "REQUESTS_CA_BUNDLE", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "LANG", "TZ")
"""How this machine reaches a package index; nothing else of its environment gets into a job."""


@dataclass(frozen=True, slots=True)
class Job:
    """What act made of one job. `records` are its JSON lines, in order; `artifacts` is its artifact server's folder."""

    exit_code: int
    records: tuple[Mapping[str, Any], ...]
    artifacts: Path

    def results(self) -> dict[str, str]:
        """The result of each step by its id; steps of a composite action are `<step>/<step inside>`."""
        return {
            "/".join(record["stepID"]): record["stepResult"]
            for record in self.records
            if "stepResult" in record and record.get("stage") == "Main"
        }

    def outputs(self, step: str) -> dict[str, str]:
        """The outputs that act read for the step with this id (composite: `<step>/<step inside>`)."""
        return {record["name"]: record["arg"] for record in self._of(step) if record.get("command") == "set-output"}

    def commands(self, *names: str) -> list[tuple[str, str]]:
        """Each workflow command with one of these names that act obeyed, as (name, argument)."""
        return [(record["command"], record.get("arg", "")) for record in self.records if record.get("command") in names]

    def printed(self, step: str = "") -> str:
        """All text that the step with this id, or all of them, wrote to the log, commands that were stopped included."""
        return "".join(
            record["raw"] if record.get("command") == "ignored" else record["msg"]
            for record in self._of(step)
            if record.get("raw_output") or record.get("command") == "ignored"
        )

    def summary(self) -> str:
        """The job summary, as far as act read it."""
        return "\n".join(record["content"] for record in self.records if record.get("command") == "summary")

    def artifact(self, name: str) -> dict[str, bytes]:
        """The files of the uploaded artifact with this name."""
        (archive,) = self.artifacts.rglob(f"{name}.zip")
        with ZipFile(archive) as content:
            return {member: content.read(member) for member in content.namelist()}

    def _of(self, step: str) -> list[Mapping[str, Any]]:
        return [record for record in self.records if not step or "/".join(record.get("stepID", [])) == step]


@dataclass(frozen=True, slots=True)
class Act:
    """One machine for jobs: a home, the folders that stand for actions by `owner/name@ref`, and `wheels` instead of an index.

    `path` is the machine's PATH, empty for this one's.
    """

    home: Path
    actions: Mapping[str, Path] = field(default_factory=dict)
    wheels: Path | None = None
    path: str = ""

    def run(
        self,
        repository: Path,
        event_name: str,
        event: Mapping[str, Any],
        *,
        env: Mapping[str, str],
        secrets: Mapping[str, str],
        workflow: str = ".github/workflows/shipway.yml",
        arguments: Sequence[str] = (),
    ) -> Job:
        """Runs `workflow` of the work tree `repository` for `event`; `env` is set on the runner, as `GITHUB_…` may be."""
        self.home.mkdir(parents=True, exist_ok=True)
        payload = self.home / "event.json"
        payload.write_text(json.dumps(event), encoding="utf-8")
        command = [
            *(act_program(), event_name, "--eventpath", str(payload), "--workflows", workflow, "--json"),
            *(
                "--platform",
                "ubuntu-24.04=-self-hosted",
                "--no-cache-server",
                "--action-cache-path",
                str(self.home / "act"),
            ),
            *("--artifact-server-path", str(self.home / "artifacts"), "--artifact-server-addr", "127.0.0.1"),
            *("--artifact-server-port", str(free_port())),
            *(word for name, value in env.items() for word in ("--env", f"{name}={value}")),
            *(word for name, value in secrets.items() for word in ("--secret", f"{name}={value}")),
            *(word for name, folder in self.actions.items() for word in ("--local-repository", f"{name}={folder}")),
            *arguments,
        ]
        done = subprocess.run(
            command, cwd=repository, env=self._environment(), capture_output=True, text=True, check=False, timeout=300
        )
        lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
        return Job(done.returncode, tuple(json.loads(line) for line in lines), self.home / "artifacts")

    def _environment(self) -> dict[str, str]:
        passed = {name: value for name, value in os.environ.items() if name.startswith(PASSED_ON)}
        cache = Path.home() / ".cache"
        passed.setdefault("PIP_CACHE_DIR", str(cache / "pip"))
        passed.setdefault("UV_CACHE_DIR", str(cache / "uv"))
        if self.wheels is not None:
            passed |= dict.fromkeys(("PIP_NO_INDEX", "UV_NO_INDEX"), "1")
            passed |= dict.fromkeys(("PIP_FIND_LINKS", "UV_FIND_LINKS"), str(self.wheels))
        return {**passed, "PATH": self.path or runner_path(), "HOME": str(self.home)}


def locked_wheels() -> Path:
    """A folder with the wheels of the action's lock, fetched once: an index takes longer to read than they to install."""
    lock = ROOT / "requirements/action.lock"
    folder = (
        ROOT / ".cache" / f"action-wheels-{hashlib.sha256(lock.read_bytes()).hexdigest()[:16]}-{sys.version_info.minor}"
    )
    if not folder.exists():
        folder.parent.mkdir(exist_ok=True)
        fetched = Path(tempfile.mkdtemp(dir=folder.parent))
        options = ["--quiet", "--no-deps", "--require-hashes", "--only-binary", ":all:"]
        pip = [sys.executable, "-m", "pip", "download", *options, "--requirement", str(lock), "--dest", str(fetched)]
        try:
            subprocess.run(pip, check=True)
            with suppress(OSError):  # another worker was faster
                fetched.rename(folder)
        finally:
            shutil.rmtree(fetched, ignore_errors=True)
    return folder


def act_program() -> str:
    """Where act is: beside this Python, else on PATH, else empty."""
    return shutil.which("act", path=sysconfig.get_path("scripts")) or shutil.which("act") or ""


def runner_path() -> str:
    """PATH as on a runner: this Python without its virtual environment first, then this machine's."""
    own = sysconfig.get_path("scripts")
    rest = [folder for folder in os.environ["PATH"].split(os.pathsep) if folder != own]
    return os.pathsep.join([f"{sys.base_prefix}/bin", *rest])


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def export_action(destination: Path) -> Path:
    """A copy of this repository's action as a runner would download it: tracked files and the ones not yet committed."""
    listed = subprocess.run(
        [
            "git",
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
            ".github/workflows/plan.yml",
            ".github/workflows/publish.yml",
            "action.yml",
            "requirements",
            "runner",
            "schemas",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (destination / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, destination / name)
    return destination
