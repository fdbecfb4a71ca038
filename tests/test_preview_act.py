"""The life of a pull request under act, with GitHub's real payloads: opened, two pushes, closed, and nothing is left."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from shipway.environment_record import EnvironmentRecord, EnvironmentState
from shipway.environments import Environments
from shipway.port_leases import PortLeases
from shipway.stores.local_files import LocalFiles
from shipway.workspace import Workspace
from tests.act.job import Act, Job
from tests.forge.fixtures import github as github
from tests.forge.server import GitHubServer
from tests.forge.world import Run
from tests.postgres import Server
from tests.preview_full import Machine, files, page, port_of
from tests.preview_pulls import left_of
from tests.preview_shop import is_free
from tests.test_action import ACTION, PULL, Checkout, payload
from tests.test_action import act as act
from tests.test_action import action as action
from tests.test_action import checkout as checkout

TARGET = f"pr-{PULL}"
pytestmark = pytest.mark.acceptance

WORKFLOW = f"""
name: preview
on:
  pull_request: {{types: [opened, reopened, synchronize, closed]}}
permissions: {{}}
jobs:
  preview:
    runs-on: ubuntu-24.04
    steps:
      - name: The checkout that environments live in, which outlives the job
        env:
          HOST: "%(host)s"
          BASE: ${{{{ github.event.pull_request.base.sha }}}}
          HEAD: ${{{{ github.event.pull_request.head.sha }}}}
          IS_OVER: ${{{{ github.event.action == 'closed' }}}}
        run: |
          git -C "$HOST" fetch -q origin
          if "$IS_OVER"; then COMMIT=$BASE; else COMMIT=$HEAD; fi
          git -C "$HOST" checkout -q --detach "$COMMIT"
      - uses: {ACTION}
        id: shipway
        with: {{working-directory: "%(host)s"}}
        env:
          ADMIN_URL: ${{{{ secrets.ADMIN_URL }}}}
          DOCKER_HOST: "%(docker)s"
      - if: always()
        id: after
        env:
          OUTPUTS: ${{{{ toJSON(steps.shipway.outputs) }}}}
        run: echo "$OUTPUTS"
"""


class Host:
    """A machine with a checkout of its own, on which the jobs of a repository's pull request run under act."""

    def __init__(self, machine: Machine, act: Act, checkout: Checkout, github: GitHubServer) -> None:
        self.machine, self.work = machine, machine.work
        self.act, self.checkout, self.github = act, checkout, github
        self.run = 200
        docker = machine.engine.get("DOCKER_HOST", "")
        checkout.write(".github/workflows/shipway.yml", WORKFLOW % {"host": self.work, "docker": docker})
        for name, text in files("shop", contained=bool(docker)).items():
            checkout.write(name, text)
        for script in (checkout.folder / "scripts").iterdir():
            script.chmod(0o755)
        checkout.commit("a preview")
        checkout.write("web/version.txt", "2\n")
        checkout.commit("their change")
        subprocess.run(["git", "clone", "-q", checkout.folder, self.work], check=True)
        github.world.tokens["ghs_job"].permissions |= {"contents": "write", "deployments": "write"}

    def job(self, name: str, action: str = "") -> Job:
        """The job of the vendored event, as this action of it."""
        event = payload(name, self.checkout)
        event["action"] = action or event["action"]
        event["pull_request"]["number"] = PULL
        world = self.github.world
        pull = world.pull(PULL, "")
        pull.head, pull.is_closed = event["pull_request"]["head"]["sha"], action == "closed"
        self.run += 1
        world.runs[self.run] = Run(self.run, head=pull.head, started_at=world.tick())
        known = self.github.environment(GITHUB_RUN_ID=str(self.run))
        secrets = {"GITHUB_TOKEN": known.pop("GITHUB_TOKEN"), "ADMIN_URL": self.machine.cluster.url}
        return self.act.run(self.checkout.folder, "pull_request", event, env=known, secrets=secrets)

    def record(self) -> EnvironmentRecord:
        """What the store knows of the environment."""
        record = Environments(LocalFiles(Workspace(self.work).records), "shop").read(TARGET)
        assert record is not None
        return record

    def leases(self) -> list[object]:
        """The ports that are leased."""
        hosts = PortLeases(LocalFiles(Workspace(self.work).records)).all()
        return [lease for host in hosts for block in host.blocks.values() if block for lease in block.leases]


@pytest.fixture
def machine(tmp_path: Path, request: pytest.FixtureRequest, cluster: Server) -> Machine:
    """One with containers, if this one can have any."""
    try:
        engine = request.getfixturevalue("engine")
    except pytest.skip.Exception:
        engine = {"PATH": os.environ["PATH"]}
    return Machine("shop", tmp_path / "host", engine, cluster)


@pytest.fixture
def host(machine: Machine, act: Act, checkout: Checkout, github: GitHubServer) -> Iterator[Host]:
    """A host whose environment is taken away when the test is over."""
    made = Host(machine, act, checkout, github)
    yield made
    if left_of(made.work):
        made.job("pull_request.closed", "closed")


def test_a_pull_request_opened_pushed_to_twice_and_closed_leaves_nothing(host: Host) -> None:
    machine = host.machine
    said = "cache" if machine.has_engine else "none"
    template = [sys.executable, "-I", "-m", "shipway", "preview", "init", "postgres", "--target", TARGET, "--yes"]
    subprocess.run(template, cwd=host.work, env={**os.environ, **machine.env}, check=True, capture_output=True)
    opened = host.job("pull_request.opened", "opened")
    assert opened.exit_code == 0, opened.printed()
    first = host.record()
    url = first.urls["web"]
    assert (first.state, page(url)) == (EnvironmentState.READY, f"2 42 {said}")
    assert any("marked" in line for line in left_of(host.work)), "a service outlives its job"
    assert machine.databases() == ["shop_pr-2"]
    assert len(machine.containers(TARGET)) == (2 if machine.has_engine else 0)
    machine.ask(f"shop_{TARGET}", "update goods set price = 43")
    for number in ("3", "4"):
        host.checkout.write("web/version.txt", f"{number}\n")
        head = host.checkout.commit(f"push {number}")
        pushed = host.job("pull_request.synchronize", "synchronize")
        assert pushed.exit_code == 0, pushed.printed()
        record = host.record()
        assert (record.commit, record.urls) == (head, first.urls)
        assert page(url) == f"{number} 43 {said}", "its data outlives a push"
    (comment,) = host.github.world.pulls[PULL].comments
    assert comment.edits == 2
    (deployment,) = host.github.world.deployments
    assert deployment.statuses[-1]["environment_url"] == url
    closed = host.job("pull_request.closed", "closed")
    assert closed.exit_code == 0, closed.printed()
    assert host.record().state is EnvironmentState.GONE
    assert (left_of(host.work), machine.left(TARGET)) == ([], [])
    assert (host.leases(), is_free(port_of(url))) == ([], True)
    assert host.github.world.deployments == []
    assert "pr-2: gone" in host.github.world.pulls[PULL].comments[0].body
    written = [record for job in (opened, closed) for record in job.records if record.get("command") != "add-mask"]
    assert machine.cluster.url not in str(written)
