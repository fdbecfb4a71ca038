"""What a plan says of the forge that it would be run from, where that lacks something, and how such a run is refused there."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from shipway.ci import Provider
from shipway.forges.consequences import LACKED
from tests.forge.gitea_server import JOB_TOKEN
from tests.forge.kinds import KINDS, Kind, Running
from tests.forge.server import ForgeServer
from tests.forked_command import call_command
from tests.pull_requests import step_outputs
from tests.test_action_command import HEAD, git, pull_request

APPROVED = """\
version: 1
name: shop
stages:
  build:
    lasting: false
    steps: [{id: image, run: touch built}]
  prod:
    approval: required
    needs: [build]
    steps: [{id: rollout, run: touch shipped, undo: rm shipped}]
"""

LABELLED = """\
version: 1
name: shop
policy: {keep: {deny_delete: true, unless_label: may-delete}}
steps:
  - {id: tidy, uses: file.remove, with: {path: old.txt}}
"""

_OTHERS = [kind for kind in KINDS if kind.name != "github"]


class ForeignJob:
    """A job on another forge than GitHub, in a checkout of its own: of pull request 7, or of the push that it was merged by."""

    def __init__(self, kind: Kind, server: ForgeServer, root: Path, declared: str) -> None:
        self.root = root / "checkout"
        self.root.mkdir(parents=True)
        (self.root / "shipway.yml").write_text(declared)
        (self.root / "old.txt").write_text("old\n")
        git(self.root, "init", "-q", "-b", "main")
        git(self.root, "add", "-A")
        git(self.root, "commit", "-qm", "first")
        self.server = server
        self._kind = kind
        self._temp = root / "temp"
        self._temp.mkdir()

    def call(
        self, *words: str, push: bool = False, more: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run `shipway …` in the job."""
        event = self._gitlab(push) if self._kind.name == "gitlab" else self._gitea(push)
        env = {"PATH": os.environ["PATH"], "HOME": str(self._temp), **self.server.environment(**event)}
        env |= more or {}
        return call_command(words, self.root, env)

    @property
    def commit(self) -> str:
        """The commit that is checked out."""
        return git(self.root, "rev-parse", "HEAD").strip()

    def comment(self) -> str:
        """The one comment of the pull request."""
        (written,) = self.server.world.pulls[7].comments
        return written.body

    def output(self, name: str) -> str:
        """One of the outputs of the job's first part."""
        if self._kind.name != "gitlab":
            return step_outputs(self._temp / "output")[name]
        (said,) = self.root.rglob("outputs.env")
        return dict(line.split("=", 1) for line in said.read_text().splitlines())[f"SHIPWAY_{name.upper()}"]

    def report(self) -> subprocess.CompletedProcess[str]:
        """The action's second part, where the first does not report by itself."""
        return self.call("action", "report", more={"SHIPWAY_ARTIFACT_PATH": self.output("artifact-path")})

    def _gitlab(self, push: bool) -> dict[str, str]:
        if not push:
            return {"CI_PROJECT_DIR": str(self.root)}
        pushed = {"CI_PIPELINE_SOURCE": "push", "CI_COMMIT_BRANCH": "main", "CI_COMMIT_SHA": self.commit}
        return {"CI_PROJECT_DIR": str(self.root), "CI_MERGE_REQUEST_IID": "", **pushed}

    def _gitea(self, push: bool) -> dict[str, str]:
        event = (
            {"repository": {"id": 1, "full_name": "octo/shop", "default_branch": "main"}} if push else pull_request()
        )
        (self._temp / "event.json").write_text(json.dumps(event))
        for name in ("output", "summary"):
            (self._temp / name).touch()
        return {
            "GITHUB_EVENT_NAME": "push" if push else "pull_request",
            "GITHUB_EVENT_PATH": str(self._temp / "event.json"),
            "GITHUB_OUTPUT": str(self._temp / "output"),
            "GITHUB_REF": "refs/heads/main" if push else "refs/pull/7/merge",
            "GITHUB_RUN_NUMBER": "12",
            "GITHUB_SHA": self.commit if push else HEAD,
            "GITHUB_STEP_SUMMARY": str(self._temp / "summary"),
            "GITHUB_WORKSPACE": str(self.root),
            "RUNNER_TEMP": str(self._temp),
            "SHIPWAY_INPUT_TOKEN": JOB_TOKEN,
        }


@pytest.fixture(params=_OTHERS, ids=lambda kind: kind.name)
def where(request: pytest.FixtureRequest) -> Iterator[tuple[Kind, ForgeServer]]:
    kind: Kind = request.param
    with kind.server() as server:
        yield kind, server
    assert server.violations == []


def test_what_is_said_to_be_lacking_is_what_each_forge_says_of_itself() -> None:
    for kind in KINDS:
        with kind.server() as server:
            assert Running(kind, server).forge().lacks == LACKED[Provider(kind.name)]
    assert LACKED[Provider.FORGEJO] == LACKED[Provider.GITEA]


def test_a_stage_that_needs_approval_is_refused_before_anything_starts(
    where: tuple[Kind, ForgeServer], tmp_path: Path
) -> None:
    kind, server = where
    job = ForeignJob(kind, server, tmp_path, APPROVED)
    server.world.pulls[7].merge_commit = job.commit
    server.world.review(7, "bob", "APPROVED", commit=HEAD)  # whatever was approved there, it is not read
    done = job.call("action", "run", push=True)
    assert done.returncode == 5, done.stdout + done.stderr
    name = Provider(kind.name).shown
    assert f"stage `prod` needs approval, and {name} does not tell who approved what" in done.stderr
    assert job.output("reason") == "approval-missing"
    assert not list(job.root.glob("built")) + list(job.root.glob("shipped"))
    (receipt,) = job.root.glob(".shipway/receipts/*.json")
    assert json.loads(receipt.read_text())["nodes"] == []


def test_what_the_refusal_says_to_type_runs_it(where: tuple[Kind, ForgeServer], tmp_path: Path) -> None:
    job = ForeignJob(*where, tmp_path, APPROVED)
    refused = job.call("action", "run", push=True)
    (words,) = set(re.findall(r"`shipway (run --target default --approve sha256:[0-9a-f]{64})`", refused.stderr))
    done = job.call(*words.split(), push=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (job.root / "shipped").is_file()


def test_a_policy_that_a_label_would_soften_refuses(where: tuple[Kind, ForgeServer], tmp_path: Path) -> None:
    kind, server = where
    job = ForeignJob(kind, server, tmp_path, LABELLED)
    server.world.pulls[7].labels.append("may-delete")
    server.world.pulls[7].merge_commit = job.commit
    done = job.call("action", "run", push=True)
    assert done.returncode == 5, done.stdout + done.stderr
    assert job.output("reason") == "policy-denied"
    lacking = f"{Provider(kind.name).shown} has no labels that Shipway reads"
    assert f"whether label `may-delete` is set is not known: {lacking}" in done.stderr
    assert f"{lacking}: label `may-delete` of policy `keep` counts as not set" in " ".join(
        job.call("plan").stdout.split()
    )
    assert (job.root / "old.txt").is_file()


def test_nobody_overrides_a_policy_in_a_job(where: tuple[Kind, ForgeServer], tmp_path: Path) -> None:
    kind, server = where
    job = ForeignJob(kind, server, tmp_path, LABELLED)
    server.world.pulls[7].merge_commit = job.commit
    server.world.roles["octocat"] = "admin"
    done = job.call("action", "run", push=True, more={"SHIPWAY_INPUT_BREAK_GLASS": "an outage"})
    assert done.returncode == 5, done.stdout + done.stderr
    assert job.output("reason") == "break-glass-refused"
    assert f"policies are not overridden: {Provider(kind.name).shown} does not tell who started a run" in done.stderr
    assert (job.root / "old.txt").is_file()


def test_the_plan_says_on_a_line_each_what_is_lacking_and_what_that_means(
    where: tuple[Kind, ForgeServer], tmp_path: Path
) -> None:
    kind, server = where
    job = ForeignJob(kind, server, tmp_path, APPROVED)
    assert job.call("action", "run").returncode == 0
    if kind.name != "gitlab":  # which reports by itself
        assert job.report().returncode == 0
    shown = " ".join(job.call("plan").stdout.split())
    name = Provider(kind.name).shown
    for place in (shown, job.comment()):
        (effect,) = set(re.findall("--approve (sha256:[0-9a-f]{64})", place))
        assert (
            f"{name} does not tell who approved what in a way that Shipway reads: stage `prod` needs approval, and a job "
            f"that executes it is refused with exit 5 (approval-missing) unless you "
            f"approve here: `shipway run --target default --approve {effect}`"
        ) in place
        assert (
            f"{name} has no deployments that Shipway announces: that `default` is executed is announced nowhere"
            in place
        )
        assert (
            f"{name} has no artifacts of runs that Shipway reads: what a job that was cut off began is begun anew"
            in place
        )
        assert "labels" not in place


def test_what_is_not_asked_of_another_forge_is_said_where_the_plan_would_have_needed_it(
    where: tuple[Kind, ForgeServer], tmp_path: Path
) -> None:
    kind, server = where
    final = APPROVED.replace("    lasting: false\n", "").replace("touch built", "touch built, undo: rm built")
    final = final.replace(", undo: rm shipped", "").replace("    approval: required\n", "")
    shown = " ".join(ForeignJob(kind, server, tmp_path / "final", final).call("plan").stdout.split())
    name = Provider(kind.name).shown
    assert f"{name} is not asked whether the commit is still on its branch when `prod/rollout` begins" in shown
    assert "environment" not in shown
    preview = (
        "version: 1\nname: shop\ntargets: {pr-*: {}}\nstages:\n  runner: {mode: preview, with: {role: runner, "
        "services: {web: {path: ., command: exec sleep 60, ready: {tcp: true}}}}}\n"
    )
    done = ForeignJob(kind, server, tmp_path / "preview", preview).call("plan", "--target", "pr-7")
    assert f"{name} brings no environment up: `pr-7` is only planned" in " ".join(done.stdout.split()), done.stderr


def test_on_github_and_outside_a_job_nothing_is_lacking(tmp_path: Path) -> None:
    kind = next(kind for kind in KINDS if kind.name == "github")
    with kind.server() as server:
        job = ForeignJob(kind, server, tmp_path, APPROVED)
        for env in ({}, {"GITHUB_ACTIONS": ""}):
            done = job.call("plan", more=env)
            assert done.returncode == 0, done.stderr
            assert "cannot do" not in done.stdout


def test_a_run_behind_another_one_publishes_nothing_on_gitea(tmp_path: Path) -> None:
    kind = next(kind for kind in KINDS if kind.name == "gitea")
    with kind.server() as server:
        job = ForeignJob(kind, server, tmp_path, APPROVED)
        event = tmp_path / "completed.json"
        run = {"id": 77, "event": "pull_request", "head_sha": HEAD, "head_repository": {"id": 1}, "run_attempt": 1}
        event.write_text(json.dumps({"action": "completed", "repository": {"id": 1}, "workflow_run": run}))
        more = {"GITHUB_EVENT_NAME": "workflow_run", "GITHUB_EVENT_PATH": str(event)}
        done = job.call("action", "run", more=more)
        assert done.returncode == 6, done.stdout + done.stderr
        assert "nothing is published: Gitea does not tell what another run was of" in done.stderr
        assert job.output("reason") == "capability-missing"
        assert server.requests == []
