"""Shows that the worked example of a signer installs, keeps the contract, and signs what a real run seals."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
EXAMPLE = REPOSITORY / "examples" / "third-party-signer"
DECLARED = """
version: 1
name: shop
signing: {allowed_keys: [transit/shop], signers: [{method: transit, key: shop}]}
steps: [{id: a, run: env}]
"""
CALL = """
import subprocess, sys
from vault import vault
import os
with vault() as more:
    for arguments in (["run", "--yes", "-q"], ["verify", "--json"]):
        call = [sys.executable, "-c", "from shipway.cli import main; main()", *arguments]
        done = subprocess.run(call, env={**os.environ, **more})
        if done.returncode:
            sys.exit(done.returncode)
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the example is installed, with its entry points, as pip does it."""
    target = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    command += ["--disable-pip-version-check", "--target", str(target), str(EXAMPLE)]
    subprocess.run(command, check=True, capture_output=True)
    return target


def _python(installed: Path, *arguments: str, cwd: Path) -> str:
    paths = [installed, REPOSITORY / "runner", EXAMPLE / "tests"]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}
    done = subprocess.run([sys.executable, *arguments], cwd=cwd, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_signer_of_a_package_signs_a_receipt_and_no_step_sees_its_token(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "shipway.yml").write_text(DECLARED)
    printed = _python(installed, "-c", CALL, cwd=tmp_path)
    told = json.loads(printed[printed.index('{"valid"') :])
    assert told["documents"][0]["signed_by"] == ["transit/shop (transit/shop)"]
    [log] = (tmp_path / ".shipway/runs").rglob("*.log")
    assert "PATH=" in log.read_text() and "VAULT" not in log.read_text()


def test_the_example_keeps_the_contract(installed: Path) -> None:
    printed = _python(installed, "-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=EXAMPLE)
    assert " passed" in printed and "skipped" not in printed
