"""A repository on the false GitHub with a pull request: planned, reviewed, merged and run by the action's real command."""

from __future__ import annotations

import io
import json
import os
import subprocess
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.command_line import IDENTITY
from tests.forge.server import GitHubServer
from tests.forge.world import Run, Stored
from tests.forked_command import call_command

WORKFLOW = ".github/workflows/shipway.yml"
PLAN_RUN, PUSH_RUN = 77, 90
NUMBER = 7
REPOSITORY = {"id": 1, "full_name": "octo/shop", "default_branch": "main"}
LIFECYCLE = """\
version: 1
name: shop
stages:
  build: {lasting: false, steps: [{id: image, run: 'echo build >> "$MARK"', env_from: [MARK]}]}
  release:
    needs: [build]
    approval: required
    steps: [{id: up, run: 'echo up >> "$MARK"', undo: 'echo down >> "$MARK"', env_from: [MARK]}]
"""


@dataclass
class Acted:
    """How one call of the action's first part ended: exit code, outputs of the step, all that was printed, and the job summary."""

    code: int
    outputs: Mapping[str, str]
    text: str
    summary: str

    @property
    def reason(self) -> str:
        """The output `reason`."""
        return self.outputs.get("reason", "")

    def document(self, name: str) -> Any:
        """`plan` or `receipt`, as it was handed over."""
        return json.loads(Path(self.outputs[f"{name}-path"]).read_bytes())


@dataclass
class Checkout:
    """That of `octo/shop`, whose pull request 7 comes from the branch `topic`, by `octocat`. `mark` is written to by what runs."""

    root: Path
    github: GitHubServer
    env: dict[str, str] = field(default_factory=dict)
    jobs: int = 0

    @property
    def work(self) -> Path:
        """The repository."""
        return self.root / "work"

    @property
    def head(self) -> str:
        """The head commit of the pull request."""
        return self.github.world.pulls[NUMBER].head

    @property
    def mark(self) -> list[str]:
        """What steps and hooks wrote, line by line."""
        path = self.root / "mark"
        return path.read_text().splitlines() if path.exists() else []

    def git(self, *arguments: str) -> str:
        """What git prints in the repository."""
        command = ["git", *IDENTITY, *arguments]
        return subprocess.run(command, cwd=self.work, capture_output=True, text=True, check=True).stdout.strip()

    def begin_with(self, files: Mapping[str, str]) -> None:
        """The first commit, on `main`."""
        self.work.mkdir(parents=True)
        self.git("init", "-q", "-b", "main")
        self.commit(files)
        self.git("checkout", "-q", "-b", "topic")

    def write(self, files: Mapping[str, str]) -> None:
        """Write files into the checkout."""
        for name, text in files.items():
            (self.work / name).parent.mkdir(parents=True, exist_ok=True)
            (self.work / name).write_text(text)

    def commit(self, files: Mapping[str, str] | None = None) -> str:
        """Commit everything on the current branch, with these files."""
        self.write(files or {})
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "a change")
        return self.git("rev-parse", "HEAD")

    def change(self, files: Mapping[str, str]) -> str:
        """Push a commit to the pull request: its new head."""
        self.git("checkout", "-q", "topic")
        self.github.world.pulls[NUMBER].head = head = self.commit(files)
        return head

    def asked(self, head: str = "", repository: int = 1) -> dict[str, Any]:
        """The pull request as an event has it; another head, or one of another repository."""
        return {
            "number": NUMBER,
            "user": {"id": 583231, "type": "User"},
            "head": {"sha": head or self.head, "ref": "topic", "repo": {"id": repository, "full_name": "octo/shop"}},
            "base": {"sha": self.git("rev-parse", "main"), "ref": "main", "repo": REPOSITORY},
        }

    def job(
        self, event: str, payload: Mapping[str, Any], run: int, *, token: str = "SHIPWAY_INPUT_TOKEN", **env: str
    ) -> dict[str, str]:
        """The environment of one more job, with files of its own. `token` is the variable in which it is given its token."""
        self.jobs += 1
        job = self.root / f"job-{self.jobs}"
        job.mkdir()
        (job / "event.json").write_text(json.dumps(payload))
        for name in ("output", "summary"):
            (job / name).touch()
        known = {"PATH": os.environ["PATH"], "HOME": str(self.root), "MARK": str(self.root / "mark")}
        known |= self.github.environment(GITHUB_EVENT_NAME=event, GITHUB_RUN_ID=str(run))
        known |= {"GITHUB_SHA": self.git("rev-parse", "HEAD"), "GITHUB_REF_TYPE": "branch", "GITHUB_JOB": "shipway"}
        workflow = f"octo/shop/{WORKFLOW}@{env.get('GITHUB_REF', 'refs/heads/main')}"
        known |= {"GITHUB_WORKFLOW_REF": workflow, "GITHUB_ACTOR": "octocat"}
        known |= {"GITHUB_WORKSPACE": str(self.work), "RUNNER_TEMP": str(job)}
        known |= {"GITHUB_EVENT_PATH": str(job / "event.json"), "GITHUB_OUTPUT": str(job / "output")}
        known |= {"GITHUB_STEP_SUMMARY": str(job / "summary")}
        known[token] = known.pop("GITHUB_TOKEN", "")
        return known | self.env | env


@dataclass
class Shop(Checkout):
    """One whose changes are planned, reviewed, merged and run."""

    def __post_init__(self) -> None:
        self.begin_with({"shipway.yml": LIFECYCLE, "README": "hello\n"})
        self.change({"README": "hello, world\n"})
        world = self.github.world
        world.branches["main"] = self.git("rev-parse", "main")
        for login, number, role in (("ana", 5, "write"), ("ben", 6, "maintain"), ("eve", 7, "read")):
            world.account(login, number)
            world.roles[login] = role

    def plan(self, run: int = PLAN_RUN, **facts: Any) -> Acted:
        """The plan run of the pull request's head, on its test merge, its artifact uploaded; `facts` of the run differ."""
        self.git("checkout", "-q", "--detach", "main")
        self.git("merge", "-q", "--no-ff", "-m", "test merge", "topic")
        acted = self.plan_again(run)
        told = {"path": WORKFLOW, "head": self.head, "status": "completed", "conclusion": "success"} | facts
        self.github.world.runs[run] = Run(run, **told)
        if acted.code == 0:
            self.upload(acted, run)
        return acted

    def plan_again(self, run: int = PLAN_RUN, number: int = 7, base: str = "main") -> Acted:
        """A plan of what is checked out, as that of a pull request onto `base` with this head; nothing is uploaded."""
        asked = {**self.asked(), "number": number}
        asked["base"] = {"sha": self.git("rev-parse", base), "ref": base, "repo": REPOSITORY}
        payload = {"action": "synchronize", "repository": REPOSITORY, "pull_request": asked}
        return self._act("pull_request", payload, run, GITHUB_REF=f"refs/pull/{number}/merge")

    def review_event(self, run: int = 91) -> Acted:
        """What the action does once a review was submitted."""
        payload = {"action": "submitted", "repository": REPOSITORY, "pull_request": self.asked()}
        return self._act("pull_request_review", payload, run, GITHUB_REF="refs/pull/7/merge")

    def upload(self, acted: Acted, run: int, name: str = "") -> Stored:
        """Keep what was handed over as the artifact of a run, as the action's upload step does, under its name or another."""
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as members:
            for path in sorted(Path(acted.outputs["artifact-path"]).iterdir()):
                members.writestr(path.name, path.read_bytes())
        return self.github.world.upload(run, name or acted.outputs["artifact-name"], archive.getvalue())

    def merge(self, how: str = "merge") -> str:
        """Merge the pull request; gives the commit that `main` is at then."""
        if how == "rebase":
            self.git("checkout", "-q", "--detach", "topic")
            self.git("-c", "rebase.autoStash=false", "rebase", "-q", "--force-rebase", "main")
            rebased = self.git("rev-parse", "HEAD")
            self.git("checkout", "-q", "main")
            self.git("reset", "-q", "--hard", rebased)
        else:
            self.git("checkout", "-q", "main")
            self.git("merge", "-q", *(["--squash"] if how == "squash" else ["--no-ff", "-m", "merge"]), "topic")
            if how == "squash":
                self.git("commit", "-q", "-m", "squashed")
        return self.pushed(7)

    def report(self, planned: Acted, run: int = PLAN_RUN) -> Acted:
        """The report of a plan, once it is uploaded."""
        payload = {"action": "synchronize", "repository": REPOSITORY, "pull_request": self.asked()}
        known = {"GITHUB_REF": "refs/pull/7/merge", "SHIPWAY_ARTIFACT_PATH": planned.outputs["artifact-path"]}
        return self._act("pull_request", payload, run, "action", "report", **known)

    def pushed(self, pull: int | None = None) -> str:
        """Tell GitHub where `main` is now, what it changed since it was elsewhere, and which pull request was merged as that."""
        commit, *before = self.git("rev-list", "main").split()
        world = self.github.world
        world.branches["main"], world.held["main"] = commit, before
        world.changed = {each: self.git("diff", "--name-only", each, commit).splitlines() for each in before}
        if pull is not None:
            self.github.world.pulls[pull].merge_commit = commit
        return commit

    def push(self, **env: str) -> Acted:
        """The run of the push to `main`."""
        self.git("checkout", "-q", "--detach", "main")
        before = self.git("rev-parse", "main^1") if self.git("rev-list", "--count", "main") != "1" else "0" * 40
        payload = {"repository": REPOSITORY, "ref": "refs/heads/main", "before": before}
        self.github.world.runs[PUSH_RUN] = Run(PUSH_RUN, event="push", head=self.git("rev-parse", "main"))
        return self._act("push", payload, PUSH_RUN, GITHUB_REF="refs/heads/main", GITHUB_REF_NAME="main", **env)

    def check(self, event: str, payload: Mapping[str, Any], *arguments: str, **env: str) -> Acted:
        """`shipway plan --check` in a job of this event, in the checkout as it is."""
        head = self.git("rev-parse", "HEAD")
        self.github.world.runs[PUSH_RUN] = Run(PUSH_RUN, event=event, head=head)
        known = {"GITHUB_REF": "refs/heads/main", "GITHUB_REF_NAME": "main"} | env
        return self._act(event, {"repository": REPOSITORY, **payload}, PUSH_RUN, "plan", "--check", *arguments, **known)

    def call(self, event: str, *arguments: str) -> Acted:
        """A command of Shipway in a job of this event on `main`, in the checkout as it is."""
        known = {"GITHUB_REF": "refs/heads/main", "GITHUB_REF_NAME": "main"}
        return self._act(event, {"repository": REPOSITORY}, PUSH_RUN + 1, *arguments, **known)

    def _act(self, event: str, payload: Mapping[str, Any], run: int, *arguments: str, **env: str) -> Acted:
        """What `shipway` did in a job: `action run`, or what `arguments` say."""
        token = "GITHUB_TOKEN" if arguments else "SHIPWAY_INPUT_TOKEN"
        known = self.job(event, payload, run, token=token, **env)
        done = call_command(arguments or ("action", "run"), self.work, known)
        assert "Traceback" not in done.stderr, done.stderr
        return acted(known, done.returncode, done.stdout + done.stderr)


def acted(known: Mapping[str, str], code: int, text: str) -> Acted:
    """What came of a job with this environment."""
    outputs, summary = Path(known["GITHUB_OUTPUT"]), Path(known["GITHUB_STEP_SUMMARY"])
    return Acted(code, step_outputs(outputs), text, summary.read_text())


def step_outputs(path: Path) -> dict[str, str]:
    """Step outputs from the heredoc form."""
    found: dict[str, str] = {}
    lines = iter(path.read_text().splitlines())
    for line in lines:
        name, _, mark = line.partition("<<")
        value = []
        for inner in lines:
            if inner == mark:
                break
            value.append(inner)
        found[name] = "\n".join(value)
    return found
