"""How long does a job wait for the action? From nothing made yet, packages in the installer's cache, to the first line."""

from __future__ import annotations

import os
import shutil
import sys
from functools import partial
from pathlib import Path

from bench.measure import Answer, Figure, Sample, Scale, at_most, interleaved, started

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
    """Environments that differ in whether `uv` is found, and in nothing else."""
    bare = directory / "bare"
    bare.mkdir()
    env = {**os.environ, "PATH": os.pathsep.join((str(bare), "/usr/bin", "/bin"))}
    if shutil.which("uv", path=env["PATH"]):
        return {"uv": env}
    beside = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    if (uv := shutil.which("uv", path=beside)) is None:
        return {"pip": env}
    tools = directory / "tools"
    tools.mkdir()
    (tools / "uv").symlink_to(uv)
    return {"uv": {**env, "PATH": f"{tools}{os.pathsep}{env['PATH']}"}, "pip": env}


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
