"""The life of a pull request under act, with GitHub's real payloads: opened, two pushes, closed, and nothing is left."""

from __future__ import annotations

import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from shipway.environment_record import EnvironmentRecord, EnvironmentState
from shipway.environments import Environments
from shipway.stores.local_files import LocalFiles
from shipway.workspace import Workspace
from tests.act.job import Act, Job
from tests.forge.fixtures import github as github
from tests.forge.server import GitHubServer
from tests.forge.world import Run
from tests.preview_pulls import LIFECYCLE, left_of
from tests.test_action import ACTION, PULL, SECRET, Checkout, payload
from tests.test_action import act as act
from tests.test_action import action as action
from tests.test_action import checkout as checkout

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
          PREVIEW_KEY: ${{{{ secrets.PREVIEW_KEY }}}}
      - if: always()
        id: after
        env:
          OUTPUTS: ${{{{ toJSON(steps.shipway.outputs) }}}}
        run: echo "$OUTPUTS"
"""


class Host:
    """A machine with a checkout of its own, on which the jobs of a repository's pull request run under act."""

    def __init__(self, root: Path, act: Act, checkout: Checkout, github: GitHubServer) -> None:
        self.work = root / "host"
        self.act, self.checkout, self.github = act, checkout, github
        self.run = 200
        checkout.write(".github/workflows/shipway.yml", WORKFLOW % {"host": self.work})
        checkout.write("shipway.yml", LIFECYCLE % {"mark": root / "mark", "python": sys.executable})
        checkout.write("deploy.sh", 'echo deploy >> "$MARK"\n')
        checkout.write("web/version.txt", "1\n")
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
        secrets = {"GITHUB_TOKEN": known.pop("GITHUB_TOKEN"), "PREVIEW_KEY": SECRET}
        return self.act.run(self.checkout.folder, "pull_request", event, env=known, secrets=secrets)

    def record(self) -> EnvironmentRecord:
        """What the store knows of the environment."""
        record = Environments(LocalFiles(Workspace(self.work).records), "shop").read(f"pr-{PULL}")
        assert record is not None
        return record


@pytest.fixture
def host(tmp_path: Path, act: Act, checkout: Checkout, github: GitHubServer) -> Iterator[Host]:
    """A host whose environment is taken away when the test is over."""
    made = Host(tmp_path, act, checkout, github)
    yield made
    if left_of(made.work):
        made.job("pull_request.closed", "closed")


def test_a_pull_request_opened_pushed_to_twice_and_closed_leaves_nothing(host: Host) -> None:
    opened = host.job("pull_request.opened", "opened")
    assert opened.exit_code == 0, opened.printed()
    first = host.record()
    assert (first.state, said(first)) == (EnvironmentState.READY, "2")
    assert any("marked" in line for line in left_of(host.work)), "a service outlives its job"
    for number in ("3", "4"):
        host.checkout.write("web/version.txt", f"{number}\n")
        head = host.checkout.commit(f"push {number}")
        pushed = host.job("pull_request.synchronize", "synchronize")
        assert pushed.exit_code == 0, pushed.printed()
        record = host.record()
        assert (record.commit, record.urls, said(record)) == (head, first.urls, number)
    (comment,) = host.github.world.pulls[PULL].comments
    assert comment.edits == 2
    (deployment,) = host.github.world.deployments
    assert deployment.statuses[-1]["environment_url"] == first.urls["web"]
    closed = host.job("pull_request.closed", "closed")
    assert closed.exit_code == 0, closed.printed()
    assert host.record().state is EnvironmentState.GONE
    assert left_of(host.work) == []
    assert host.github.world.deployments == []
    assert "pr-2: gone" in host.github.world.pulls[PULL].comments[0].body
    with pytest.raises(OSError), socket.create_connection(("127.0.0.1", port_of(first)), timeout=5):
        pass
    written = [record for job in (opened, closed) for record in job.records if record.get("command") != "add-mask"]
    assert SECRET not in str(written)


def port_of(record: EnvironmentRecord) -> int:
    port = urlsplit(record.urls["web"]).port
    assert port is not None
    return port


def said(record: EnvironmentRecord) -> str:
    with urllib.request.urlopen(f"{record.urls['web']}/version.txt", timeout=30) as answer:
        return str(answer.read().decode().strip())
