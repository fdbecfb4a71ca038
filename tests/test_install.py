"""The environment that the action makes for itself: once per content, from the lock's hashes only, never half-made."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.act.job import export_action, runner_path

pytestmark = pytest.mark.acceptance

OFFLINE = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "", "UV_OFFLINE": "1", "UV_NO_CACHE": "1"}
"""With these nothing can be installed: what succeeds had to be there already."""


@pytest.fixture(scope="module")
def action(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The action as a runner would download it."""
    return export_action(tmp_path_factory.mktemp("action"))


@pytest.fixture(scope="module")
def runner_temp(action: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a job that has used the action once."""
    folder = tmp_path_factory.mktemp("job")
    installed = install(action, folder)
    assert installed.returncode == 0, installed.stderr
    return folder


def install(action: Path, runner_temp: Path, **more: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"RUNNER_TEMP": str(runner_temp), "GITHUB_OUTPUT": str(runner_temp / "output")}
    return subprocess.run(
        [f"{sys.base_prefix}/bin/python3", "-I", action / "requirements/install.py", "action"],
        env=environment | {"PATH": runner_path()} | more,
        capture_output=True,
        text=True,
        check=False,
    )


def environment_in(runner_temp: Path) -> Path:
    told = set((runner_temp / "output").read_text(encoding="utf-8").splitlines())
    assert len(told) == 1
    return Path(told.pop().removeprefix("python=")).parents[1]


def test_the_environment_runs_the_copy_of_the_package_isolated(action: Path, runner_temp: Path) -> None:
    environment = environment_in(runner_temp)
    program = "import shipway, yaml, requests, sys; print(shipway.__file__, sys.flags.isolated)"
    shown = subprocess.run(
        [environment / "bin/python", "-I", "-c", program],
        cwd=action / "runner",
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout.startswith(str(environment))
    assert shown.stdout.endswith(" 1\n")


def test_a_second_use_finds_the_environment_made(action: Path, runner_temp: Path) -> None:
    before = (environment_in(runner_temp) / ".shipway-ready").stat()
    assert install(action, runner_temp, **OFFLINE).returncode == 0
    assert (environment_in(runner_temp) / ".shipway-ready").stat() == before


def test_another_content_of_the_action_does_not_share_it(action: Path, runner_temp: Path, tmp_path: Path) -> None:
    changed = shutil.copytree(action, tmp_path / "changed")
    with (changed / "runner/shipway/errors.py").open("a", encoding="utf-8") as file:
        file.write("# changed\n")
    assert install(changed, runner_temp, **OFFLINE).returncode != 0


def test_a_half_made_environment_is_not_used(action: Path, runner_temp: Path, tmp_path: Path) -> None:
    half = tmp_path / environment_in(runner_temp).name
    half.mkdir()
    (half / "left-over").touch()
    assert install(action, tmp_path, **OFFLINE).returncode != 0
    assert not (half / "left-over").exists()
    assert not (half / ".shipway-ready").exists()


def test_a_package_with_another_hash_than_the_lock_is_refused(action: Path, tmp_path: Path) -> None:
    changed = shutil.copytree(action, tmp_path / "changed")
    lock = changed / "requirements/action.lock"
    text = lock.read_text(encoding="utf-8")
    pin = re.search(r"^rfc8785==.*\n(?: +--hash.*\n)+", text, re.MULTILINE)
    assert pin
    lock.write_text(
        text.replace(pin[0], re.sub(r"sha256:[0-9a-f]{64}", f"sha256:{'0' * 64}", pin[0])), encoding="utf-8"
    )
    refused = install(changed, tmp_path)
    assert refused.returncode != 0
    assert "hash" in refused.stderr.lower()
    assert not (tmp_path / "output").exists()
    assert list(tmp_path.rglob(".shipway-ready")) == []
