"""The environment that the action makes for itself: once per content, from the lock's hashes only, never half-made."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.act.job import export_action, locked_wheels, runner_path

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


@pytest.fixture
def small(action: Path, tmp_path: Path) -> Path:
    """The action with two packages only, whose wheels are in `wheels` beside it; pip's cache is beside it as well."""
    changed = shutil.copytree(action, tmp_path / "small")
    (tmp_path / "wheels").mkdir()
    (tmp_path / "cache").mkdir()
    lock = changed / "requirements/action.lock"
    pins = re.split(r"^(?=[a-z])", lock.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    lock.write_text("".join(pin for pin in pins if pin.startswith(NAMES)), encoding="utf-8")
    for wheel in locked_wheels().iterdir():
        if wheel.name.startswith(NAMES):
            shutil.copy(wheel, tmp_path / "wheels")
    return changed


NAMES = ("rfc8785", "smmap")


def with_pip(small: Path, job: str) -> tuple[subprocess.CompletedProcess[str], Path]:
    """A job of its own on the same machine, which has no index and no uv; and the folder that it made for itself."""
    beside = small.parent
    (beside / job).mkdir()
    path = os.pathsep.join((f"{sys.base_prefix}/bin", "/usr/bin", "/bin"))
    if shutil.which("uv", path=path):
        pytest.skip("uv stands beside this Python, so that pip is not what installs")
    settings = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(beside / "wheels"), "PIP_CACHE_DIR": str(beside / "cache")}
    return install(small, beside / job, PATH=path, **settings), beside / job


def remembered(small: Path) -> Path:
    (found,) = (small.parent / "cache/shipway").iterdir()
    return found


def test_what_pip_found_once_is_not_looked_for_again(small: Path) -> None:
    first, _ = with_pip(small, "first")
    assert first.returncode == 0, first.stderr
    moved = small.parent / "elsewhere"
    (small.parent / "wheels").rename(moved)
    (small.parent / "wheels").mkdir()
    known = remembered(small)
    known.write_text(known.read_text().replace("/wheels/", "/elsewhere/"))
    second, job = with_pip(small, "second")
    assert second.returncode == 0, second.stderr
    assert (environment_in(job) / "bin/python").exists()


@pytest.mark.parametrize("altered", ["gone", "content", "hash", "package", "json"])
def test_what_pip_found_once_is_trusted_with_nothing(small: Path, altered: str) -> None:
    first, job = with_pip(small, "first")
    assert first.returncode == 0, first.stderr
    known = remembered(small)
    told = json.loads(known.read_text())
    assert sorted(told) == sorted(NAMES)
    other = small.parent / "other" / next((small.parent / "wheels").glob("rfc8785*")).name
    other.parent.mkdir()
    other.write_bytes(b"no wheel, and not of this hash")
    if altered == "gone":
        told["smmap"][0] += "gone"
    elif altered == "content":
        told["rfc8785"][0] = other.as_uri()
    elif altered == "hash":
        told["rfc8785"] = [other.as_uri(), hashlib.sha256(other.read_bytes()).hexdigest()]
    elif altered == "package":
        del told["smmap"]
    known.write_text("[" if altered == "json" else json.dumps(told))
    second, job = with_pip(small, "second")
    assert second.returncode == 0, second.stderr
    assert not any(name in second.stderr for name in ("ERROR", "Traceback")), second.stderr
    program = "import rfc8785, smmap"
    assert subprocess.run([environment_in(job) / "bin/python", "-I", "-c", program], check=False).returncode == 0


@pytest.mark.parametrize("mark", ["#sha256=", "#egg=x&sha256="])
def test_no_hash_in_what_pip_found_once_counts_beside_the_lock(small: Path, mark: str) -> None:
    first, _ = with_pip(small, "first")
    assert first.returncode == 0, first.stderr
    known = remembered(small)
    told = json.loads(known.read_text())
    wheel = next((small.parent / "wheels").glob("rfc8785*"))
    other = small.parent / "other" / wheel.name
    other.parent.mkdir()
    with zipfile.ZipFile(wheel) as kept, zipfile.ZipFile(other, "w") as forged:
        for name in kept.namelist():
            forged.writestr(name, b"is_forged = True\n" if name == "rfc8785/__init__.py" else kept.read(name))
    told["rfc8785"][0] = f"{other.as_uri()}{mark}{hashlib.sha256(other.read_bytes()).hexdigest()}"
    known.write_text(json.dumps(told))
    second, job = with_pip(small, "second")
    assert second.returncode == 0, second.stderr
    program = "import rfc8785, sys; sys.exit(hasattr(rfc8785, 'is_forged'))"
    assert subprocess.run([environment_in(job) / "bin/python", "-I", "-c", program], check=False).returncode == 0


@pytest.mark.parametrize("more", ["/${TOKEN}", "#sha256=0", "?a=1&sha256=0", ";os_name=='x'", " --pre", "\\", "\n-r x"])
def test_no_address_that_pip_would_read_more_into_is_given_to_it(tmp_path: Path, more: str) -> None:
    program = (
        "import json, runpy, sys; from pathlib import Path; module = runpy.run_path(sys.argv[1]); "
        "print(json.dumps(module['_addressed']([('a', 'a==1 --hash=sha256:00')], Path(sys.argv[2]))))"
    )
    known = tmp_path / "known.json"

    def addressed(content: str) -> object:
        known.write_text(content)
        command = [sys.executable, "-I", "-c", program, "requirements/install.py", str(known)]
        return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    good = "https://host/a-1-py3-none-any.whl"
    assert addressed(json.dumps({"a": [good, "00"]})) == [f"a @ {good} --hash=sha256:00\n"]
    assert addressed(json.dumps({"a": [f"{good}{more}", "00"]})) == []
    assert addressed(json.dumps({"a": [f"https://host{more}/a-1-py3-none-any.whl", "00"]})) == []
    assert addressed("[" * 100_000) == []


def test_a_package_with_a_condition_that_was_not_kept_is_looked_for_all_the_same(small: Path) -> None:
    lock = small / "requirements/action.lock"
    lock.write_text(re.sub(r"(smmap==\S+) ", r"\1 ; python_full_version > '3' ", lock.read_text("utf-8")), "utf-8")
    first, _ = with_pip(small, "first")
    assert first.returncode == 0, first.stderr
    known = remembered(small)
    told = json.loads(known.read_text())
    del told["smmap"]
    known.write_text(json.dumps(told))
    second, job = with_pip(small, "second")
    assert second.returncode == 0, second.stderr
    program = "import rfc8785, smmap"
    assert subprocess.run([environment_in(job) / "bin/python", "-I", "-c", program], check=False).returncode == 0
