"""Makes a Python environment from a hash lock, for the action and for this checkout. Standard library only; imports no Shipway.

python3 -I requirements/install.py development .venv    the checkout's own environment, what `make` uses
python3 -I requirements/install.py action               the action's, under RUNNER_TEMP; a copy of the package goes into it
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import venv
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OLDEST = (3, 11)
READY = ".shipway-ready"


def main(arguments: list[str]) -> int:
    """Does what the first argument names and answers with an exit code."""
    if sys.version_info < OLDEST:
        return _refuse(
            f"Python {'.'.join(map(str, OLDEST))} or later is needed; {sys.executable} is {sys.version.split()[0]}"
        )
    match arguments:
        case ["development", environment]:
            return _install_development(Path(environment).absolute())
        case ["action"]:
            return _install_action(Path(os.environ["RUNNER_TEMP"]), Path(os.environ["GITHUB_OUTPUT"]))
    return _refuse("usage: install.py development ENVIRONMENT, or install.py action")


def _install_development(environment: Path) -> int:
    if not (environment / "bin/python").exists():
        _create(environment)
    _install_packages(environment, ROOT / "requirements/dev.lock")
    # The package is imported from the checkout, by a path file: nothing to build, and no copy that could be stale.
    (_site_packages(environment) / "shipway-dev.pth").write_text(f"{ROOT / 'runner'}\n", encoding="utf-8")
    return 0


def _install_action(runner_temp: Path, outputs: Path) -> int:
    lock = ROOT / "requirements/action.lock"
    environment = runner_temp / f"shipway-{_version()}-{_content_digest(lock)[:16]}"
    if not (environment / READY).exists():
        shutil.rmtree(environment, ignore_errors=True)
        _create(environment)
        _install_packages(environment, lock)
        _copy_package(_site_packages(environment) / "shipway")
        (environment / READY).touch()
    with outputs.open("a", encoding="utf-8") as file:
        file.write(f"python={environment / 'bin/python'}\n")
    return 0


def _version() -> str:
    source = (ROOT / "runner/shipway/__init__.py").read_text(encoding="utf-8")
    found = re.search(r'__version__ = "([^"]+)"', source)
    return found[1] if found else "unknown"


def _content_digest(lock: Path) -> str:
    """Over the lock and everything that is copied: two commits of the action in one job never share an environment."""
    content = hashlib.sha256()
    for path in [lock, *sorted(_package_files())]:
        data = path.read_bytes()
        content.update(f"{path.relative_to(ROOT)} {len(data)}\n".encode() + data)
    return content.hexdigest()


def _package_files() -> list[Path]:
    folders = (ROOT / "runner/shipway", ROOT / "schemas")
    return [
        path for folder in folders for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts
    ]


def _copy_package(destination: Path) -> None:
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "runner/shipway", destination, ignore=ignore)
    shutil.copytree(ROOT / "schemas", destination / "schemas", ignore=ignore)


def _create(environment: Path) -> None:
    venv.EnvBuilder(symlinks=True, with_pip=False).create(environment)


def _site_packages(environment: Path) -> Path:
    base = str(environment)
    return Path(sysconfig.get_path("purelib", "venv", vars={"base": base, "platbase": base}))


def _install_packages(environment: Path, lock: Path) -> None:
    """The packages of `lock` and no other: hashes required, wheels only, no dependency that the lock leaves out."""
    python = str(environment / "bin/python")
    # From the environment's folder, so that no configuration or module of the working directory has a say.
    if uv := shutil.which("uv"):
        subprocess.run([uv, "pip", "install", "--python", python, *_options(lock)], cwd=environment, check=True)
        return
    pip = _pip(python)
    with tempfile.TemporaryDirectory() as folder:
        quick = ["--no-compile", "--disable-pip-version-check"]
        halves = [[*pip, "install", *quick, *_options(half)] for half in _halves(lock, Path(folder))]
        # Two at once: pip spends seconds on reading indexes, on one core. Neither half has a package of the other.
        running = [subprocess.Popen(half, cwd=environment) for half in halves]
        if failed := max(process.wait() for process in running):
            raise subprocess.CalledProcessError(failed, pip)


def _pip(python: str) -> list[str]:
    """The pip of the Python that runs this, at work on the environment of `python`."""
    found = find_spec("pip")
    if found is None or not found.submodule_search_locations:
        raise SystemExit(
            _refuse(f"{sys.executable} has no pip: install pip (Debian: python3-pip) or uv, then try again")
        )
    # What `pip --python` starts once it is up itself, which takes it as long again.
    runner = Path(found.submodule_search_locations[0], "__pip-runner__.py")
    return [python, "-I", str(runner)] if runner.exists() else [sys.executable, "-I", "-m", "pip", "--python", python]


def _options(lock: Path) -> list[str]:
    return ["--quiet", "--no-deps", "--require-hashes", "--only-binary", ":all:", "--requirement", str(lock)]


def _halves(lock: Path, folder: Path) -> list[Path]:
    """Two locks that together are `lock`, of about the same work: a package with many files has a long index to read."""
    pins = re.split(r"^(?=[a-z])", lock.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    halves: tuple[list[str], list[str]] = ([], [])
    for pin in sorted(pins, key=_files_of, reverse=True):
        min(halves, key=lambda half: sum(map(_files_of, half)) + _OF_ANY * len(half)).append(pin)
    paths = [folder / "one.lock", folder / "other.lock"]
    for half, path in zip(halves, paths, strict=True):
        path.write_text("".join(half), encoding="utf-8")
    return paths


def _files_of(pin: str) -> int:
    return pin.count("--hash=")


_OF_ANY = 10
"""What a package costs besides its index, in files of it."""


def _refuse(text: str) -> int:
    sys.stderr.write(f"install: {text}\n")
    return 1


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)
