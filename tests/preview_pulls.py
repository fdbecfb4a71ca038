"""A repository on the false GitHub whose pull requests have environments: what the action does on each event, in one checkout.

As on a self-hosted runner with a checkout of its own: environments of the backend `local` outlive the job that made them.
"""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shipway.environment_record import EnvironmentRecord
from shipway.environments import Environments
from shipway.stores.local_files import LocalFiles
from shipway.workspace import Workspace
from tests.forge.world import Run, Written
from tests.forked_command import call_command
from tests.pull_requests import NUMBER as NUMBER
from tests.pull_requests import REPOSITORY, Acted, Checkout, acted, step_outputs

STRANGER = 999000111
LIFECYCLE = """\
version: 1
name: shop
targets: {prod: {}, pr-*: {}}
secrets: [PREVIEW_KEY]
stages:
  runner:
    mode: preview
    with:
      role: runner
      before:
        run: echo "before $SHIPWAY_COMMIT $KEY" >> "$MARK"
        cache: false
        env: {MARK: "%(mark)s", KEY: "${{ secrets.PREVIEW_KEY }}"}
      deploy: {run: 'sh ./deploy.sh', cache: false, env: {MARK: "%(mark)s"}}
      destroy: {run: 'echo destroy >> "$MARK"', env: {MARK: "%(mark)s"}}
      services:
        web:
          path: web
          command: exec %(python)s -m http.server --bind 127.0.0.1 "$LISTEN_PORT"
          env: {LISTEN_PORT: "${{ self.port }}"}
          ready: {http: /version.txt, within: 60s, every: 100ms}
      ttl: 72h
"""


@dataclass
class PreviewShop(Checkout):
    """One whose pull request has an environment."""

    run: int = 100
    known: dict[int, Mapping[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        text = LIFECYCLE % {"mark": self.root / "mark", "python": sys.executable}
        self.begin_with(
            {"shipway.yml": text, "web/version.txt": "1\n", "deploy.sh": 'echo deploy >> "$MARK"\n', ".gitignore": ""}
        )
        self.push({"web/version.txt": "2\n"})
        self.env = {"PREVIEW_KEY": "correct-horse-battery", "GITHUB_JOB": "preview"} | self.env
        permissions = self.github.world.tokens["ghs_job"].permissions
        permissions |= {"contents": "write", "deployments": "write"}

    @property
    def comments(self) -> list[Written]:
        """The comments of the pull request."""
        return self.github.world.pulls[NUMBER].comments

    def push(self, files: Mapping[str, str]) -> str:
        """Push a commit to the pull request: its new head."""
        return self.change(files)

    def close(self, *, merged: bool = False) -> None:
        """Close the pull request, or merge it."""
        pull = self.github.world.pulls[NUMBER]
        pull.is_closed = True
        if merged:
            self.git("checkout", "-q", "main")
            self.git("merge", "-q", "--no-ff", "-m", "merge", "topic")
            pull.merge_commit = self.git("rev-parse", "main")

    def event(self, action: str, *, head: str = "", repository: int = 1, **env: str) -> Acted:
        """What the action does on this event of the pull request, both parts of it."""
        return self.finish(self.begin_event(action, head=head, repository=repository, **env))

    def begin_event(self, action: str, *, head: str = "", repository: int = 1, **env: str) -> subprocess.Popen[str]:
        """Start the first part, on the head of the request; on `closed` on its base."""
        self.git("checkout", "-q", "--detach", "main" if action == "closed" else head or "topic")
        asked = self.asked(head, repository) | {"merged": bool(self.github.world.pulls[NUMBER].merge_commit)}
        payload = {"action": action, "repository": REPOSITORY, "pull_request": asked}
        return self.begin(self.known_job("pull_request", payload, GITHUB_REF=f"refs/pull/{NUMBER}/merge", **env))

    def by_hand(self, command: str, branch: str = "main", **env: str) -> Acted:
        """What the action does where someone starts it on a branch."""
        self.git("checkout", "-q", "--detach", branch)
        known = {"GITHUB_REF": f"refs/heads/{branch}", "SHIPWAY_INPUT_COMMAND": command} | env
        return self.act("workflow_dispatch", {"repository": REPOSITORY}, **known)

    def sweep(self, **env: str) -> Acted:
        """What the action does on the schedule."""
        self.git("checkout", "-q", "--detach", "main")
        return self.act("schedule", {"repository": REPOSITORY}, GITHUB_REF="refs/heads/main", **env)

    def known_job(self, event: str, payload: Mapping[str, Any], **env: str) -> dict[str, str]:
        """The environment of one more job, as a run that is known to the false GitHub."""
        self.run += 1
        world = self.github.world
        world.runs[self.run] = Run(self.run, event=event, head=self.head, started_at=world.tick())
        return self.job(event, payload, self.run, **env)

    def act(self, event: str, payload: Mapping[str, Any], **env: str) -> Acted:
        """Both parts of the action in one job."""
        known = self.known_job(event, payload, **env)
        done = call_command(("action", "run"), self.work, known)
        return self._reported(known, done.returncode, done.stdout + done.stderr)

    def begin(self, known: Mapping[str, str]) -> subprocess.Popen[str]:
        """Start the first part."""
        command = [sys.executable, "-I", "-m", "shipway", "action", "run"]
        started = subprocess.Popen(
            command, cwd=self.work, env=known, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.known[started.pid] = known
        return started

    def finish(self, started: subprocess.Popen[str]) -> Acted:
        """Wait for the first part, then have the second one report."""
        known = self.known[started.pid]
        text, _ = started.communicate(timeout=180)
        return self._reported(known, started.returncode, text)

    def _reported(self, known: Mapping[str, str], code: int, text: str) -> Acted:
        assert "Traceback" not in text, text
        outputs = step_outputs(Path(known["GITHUB_OUTPUT"]))
        if outputs.get("artifact-path"):
            told = call_command(
                ("action", "report"), self.work, {**known, "SHIPWAY_ARTIFACT_PATH": outputs["artifact-path"]}
            )
            assert told.returncode == 0, told.stdout + told.stderr
            text += told.stdout + told.stderr
        return acted(known, code, text)

    @property
    def environments(self) -> Environments:
        """What the store knows of all of them."""
        return Environments(LocalFiles(Workspace(self.work).records), "shop")

    def record(self, target: str = f"pr-{NUMBER}") -> EnvironmentRecord | None:
        """What the store knows of an environment."""
        return self.environments.read(target)

    def answered(self) -> str:
        """What the service of the environment says."""
        record = self.record()
        assert record is not None
        with urllib.request.urlopen(f"{record.urls['web']}/version.txt", timeout=30) as answer:
            return str(answer.read().decode().strip())

    def left(self) -> list[str]:
        """What of any environment is on this machine."""
        return left_of(self.work)


def left_of(work: Path) -> list[str]:
    """What environments of a checkout left on this machine: processes that bear their mark or live there, worktrees, folders."""
    home = f"{work}/.shipway/previews"
    processes = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environ = (folder / "environ").read_bytes().split(b"\0")
            where = os.readlink(folder / "cwd")
        except OSError:
            continue
        if where.startswith(home):
            marked = any(each.startswith(b"SHIPWAY_PREVIEW=shop/") for each in environ)
            processes.append(f"process {folder.name} in {where}, {'marked' if marked else 'without a mark'}")
    listed = subprocess.run(["git", "worktree", "list"], cwd=work, capture_output=True, text=True, check=True).stdout
    trees = [line for line in listed.splitlines() if line.startswith(home)]
    return [*processes, *trees, *(str(path) for path in Path(home).glob("*"))]
