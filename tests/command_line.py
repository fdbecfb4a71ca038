"""The real command line in a folder of its own: a git repository, a fresh home, and nothing of this machine's environment."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent
from typing import Any

from tests.forked_command import call_command

IDENTITY = ("-c", "user.name=t", "-c", "user.email=t@example.invalid")


@dataclass(frozen=True)
class Done:
    """How one call ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as JSON."""
        return json.loads(self.out)


@dataclass
class Project:
    """A git repository on the branch `trunk`, and the command line in it."""

    root: Path
    env: dict[str, str] = field(default_factory=dict)

    def call(self, *arguments: str, cwd: str = "", env: Mapping[str, str] | None = None, **asked: int) -> Done:
        """`shipway ARGUMENTS` in this project, 80 columns wide; `code=2` says how it has to end (default: 0)."""
        done = call_command(arguments, self.root / cwd, self.env | dict(env or {}))
        assert done.returncode == asked.get("code", 0), f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return Done(done.returncode, done.stdout, done.stderr)

    def write(self, files: Mapping[str, str]) -> None:
        """Write files with the common indentation of each taken away."""
        for name, text in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(dedent(text).removeprefix("\n"), encoding="utf-8")

    def git(self, *arguments: str) -> str:
        """What git prints."""
        done = subprocess.run(
            ["git", *IDENTITY, *arguments], cwd=self.root, env=self.env, capture_output=True, text=True, check=True
        )
        return done.stdout

    def commit(self) -> None:
        """Everything that is there, as one commit."""
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", "a change")

    def text(self, name: str) -> str:
        """The content of a file."""
        return (self.root / name).read_text(encoding="utf-8")


def make_project(folder: Path, name: str = "shop", branch: str = "trunk") -> Project:
    """A new project in `folder/name`, with a home of its own beside it."""
    root, home = folder / name, folder / "home"
    root.mkdir(parents=True)
    home.mkdir(exist_ok=True)
    kept = {variable: os.environ[variable] for variable in ("PATH", "TMPDIR") if variable in os.environ}
    env = kept | {"HOME": str(home), "COLUMNS": "80", "NO_COLOR": "1", "LANG": "C.UTF-8", "GIT_CONFIG_NOSYSTEM": "1"}
    project = Project(root, env)
    project.git("init", "-q", "-b", branch, ".")
    return project
