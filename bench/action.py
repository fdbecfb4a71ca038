"""How long does a job wait for the action? From nothing made yet, packages in the installer's cache, to line and comment."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

from tests.act.job import ROOT, UPLOAD_STAND_IN, Act, act_program, export_action
from tests.forge.server import GitHubServer

from bench.measure import Answer, Figure, Sample, Scale, at_most, commit, interleaved, started

_INSTALL = Path(__file__).resolve().parent.parent / "requirements/install.py"


def first_line(scale: Scale, directory: Path) -> Answer:
    """requirements/install.py into an empty RUNNER_TEMP, then the first thing Shipway says; with uv and with pip."""
    if scale.is_quick:
        return Answer("The action, to its first line", [Figure("with uv, with pip", "not in a quick run")])
    contenders = {name: partial(_first_line, env, directory) for name, env in _installers(directory).items()}
    taken = interleaved(contenders, min(scale.rounds, 3))
    figures = [at_most(f"with {name}", sample.wall, 3, " s") for name, sample in taken.items()]
    notes = [] if "uv" in taken else ["**uv is missing and was not measured**"]
    return Answer("The action, to its first line, packages cached", figures, notes)


def _installers(directory: Path) -> dict[str, dict[str, str]]:
    """Environments that differ in whether `uv` is found, and in nothing else; `node` is found, where it is there, in both."""
    beside = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    folders = {name: directory / name for name in ("bare", "tools")}
    for name, programs in (("bare", ("node",)), ("tools", ("uv",))):
        folders[name].mkdir(parents=True)
        for program in programs:
            if found := shutil.which(program, path=beside):
                (folders[name] / program).symlink_to(found)
    bare = os.pathsep.join((str(folders["bare"]), str(Path(sys.base_prefix) / "bin"), "/usr/bin", "/bin"))
    env = {**os.environ, "PATH": bare}
    if shutil.which("uv", path=bare):
        return {"uv": env}
    if not (folders["tools"] / "uv").exists():
        return {"pip": env}
    return {"uv": {**env, "PATH": f"{folders['tools']}{os.pathsep}{bare}"}, "pip": env}


def _first_line(env: dict[str, str], directory: Path) -> Sample:
    temporary = directory / "runner"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    outputs = temporary / "outputs"
    python = str(Path(sys.base_prefix) / "bin/python3")
    env = {**env, "RUNNER_TEMP": str(temporary), "GITHUB_OUTPUT": str(outputs)}
    made = started((python, "-I", str(_INSTALL), "action"), directory, env)
    shipway = outputs.read_text(encoding="utf-8").partition("python=")[2].splitlines()[0]
    said = started((shipway, "-I", "-m", "shipway", "--version"), directory, env)
    return Sample(made.wall + said.wall, made.processor + said.processor, max(made.peak_mb, said.peak_mb))


_ACTION = "shipway-dev/shipway@v0"
_WORKFLOW = f"""
name: bench
on: [pull_request]
permissions: {{}}
jobs:
  plan:
    runs-on: ubuntu-24.04
    steps:
      - uses: actions/checkout@v6
      - run: date +%s.%N > "$BEGUN"
      - uses: {_ACTION}
"""
_LIFECYCLE = "version: 1\nname: bench\nsteps:\n  - run: 'true'\n"


def comment(scale: Scale, directory: Path) -> Answer:
    """A pull request's job under act, against a server on this machine, until the plan's comment was posted there."""
    question = "The action, to the posted comment of a plan of one step, packages cached"
    missing = [name for name, there in (("act", act_program()), ("node", shutil.which("node"))) if not there]
    if scale.is_quick or missing or not UPLOAD_STAND_IN.is_dir():
        why = f"{' and '.join(missing) or 'the upload, made by .ci/peers,'} missing"
        return Answer(question, [Figure("from the action's start", "not in a quick run" if scale.is_quick else why)])
    repository = directory / "repository"
    (repository / ".github/workflows").mkdir(parents=True)
    (repository / ".github/workflows/shipway.yml").write_text(_WORKFLOW, encoding="utf-8")
    (repository / "shipway.yml").write_text(_LIFECYCLE, encoding="utf-8")
    commit(repository)
    action = export_action(directory / "action")
    figures = []
    for name, env in _installers(directory / "programs").items():
        runners = (directory / f"runner-{name}-{number}" for number in range(min(scale.rounds, 3)))
        waits = [_until_posted(repository, action, runner, env["PATH"]) for runner in runners]
        figures.append(at_most(f"from the action's start, with {name}", min(waits), 5, " s"))
    note = "Counted from the step before the action's first one: making its environment is in it."
    return Answer(question, figures, [note])


def _until_posted(repository: Path, action: Path, home: Path, path: str) -> float:
    event: dict[str, Any] = json.loads(
        (ROOT / "tests/vendor/github/webhooks/pull_request.opened.json").read_text(encoding="utf-8")
    )
    command = ["git", "rev-parse", "HEAD"]
    head = subprocess.run(command, cwd=repository, check=True, capture_output=True, text=True).stdout.strip()
    event["pull_request"]["head"]["sha"] = event["pull_request"]["base"]["sha"] = head
    posted: list[float] = []
    with GitHubServer() as server:
        server.world.pull(event["number"], head)
        server.after("POST", rf"/issues/{event['number']}/comments", lambda world: posted.append(time.time()))
        known = server.environment()
        secrets = {"GITHUB_TOKEN": known.pop("GITHUB_TOKEN")}
        upload = (action / "action.yml").read_text(encoding="utf-8").partition("actions/upload-artifact@")[2].split()[0]
        actions = {_ACTION: action, f"actions/upload-artifact@{upload}": UPLOAD_STAND_IN}
        begun = home.with_suffix(".begun")
        job = Act(home, actions, path=path).run(
            repository, "pull_request", event, env={**known, "BEGUN": str(begun)}, secrets=secrets
        )
    if not posted:
        raise RuntimeError(f"no comment was posted:\n{job.printed()}")
    return posted[0] - float(begun.read_text(encoding="utf-8"))
