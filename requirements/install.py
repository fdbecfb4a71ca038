"""Makes a Python environment from a hash lock, for the action and for this checkout. Standard library only; imports no Shipway.

python3 -I requirements/install.py development .venv    the checkout's own environment, what `make` uses
python3 -I requirements/install.py action               the action's, under RUNNER_TEMP; a copy of the package goes into it
"""

from __future__ import annotations

import hashlib
import json
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
from typing import Any

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
    _install_with_pip(_pip(python), lock, environment)


def _install_with_pip(pip: list[str], lock: Path, environment: Path) -> None:
    """What pip has to do is mostly to read indexes, so it is told where the files are, once it has found them for a lock.

    An address may be gone, or be on another mirror by now: then they are looked for again. It is trusted with nothing: what
    is there has to have one of the lock's hashes.
    """
    pins, remembered = _pins(lock), _remembered(lock)
    known = _addressed(pins, remembered)
    if known and not _run_pip(pip, known, environment, is_quiet=True):
        return
    found: dict[str, tuple[str, str]] = {}
    if failed := _run_pip(pip, [pin for _, pin in pins], environment, found):
        raise subprocess.CalledProcessError(failed, pip)
    _remember(found, remembered)


def _run_pip(
    pip: list[str],
    pins: list[str],
    environment: Path,
    found: dict[str, tuple[str, str]] | None = None,
    *,
    is_quiet: bool = False,
) -> int:
    """Installs the pins by two processes at once, each busy on one core; neither half has a package of the other.

    The greater exit code. Where from each package came, and its hash, goes into `found`.
    """
    told = subprocess.DEVNULL if is_quiet else None
    with tempfile.TemporaryDirectory() as folder:
        running = []
        for name, half in zip(("one", "other"), _halves(pins), strict=True):
            path = Path(folder, f"{name}.lock")
            path.write_text("".join(half), encoding="utf-8")
            quick = ["--no-compile", "--disable-pip-version-check", "--report", str(path.with_suffix(".json"))]
            command = [*pip, "install", *quick, *_options(path)]
            running.append(subprocess.Popen(command, cwd=environment, stderr=told))
        if failed := max(process.wait() for process in running):
            return failed
        for report in Path(folder).glob("*.json") if found is not None else ():
            found |= _told(json.loads(report.read_text(encoding="utf-8")))
    return 0


def _told(report: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Address and hash of each package of an installation report.

    Source: https://pip.pypa.io/en/stable/reference/installation-report/
    """
    found = {}
    for each in report["install"]:
        file = each["download_info"]
        if digest := file.get("archive_info", {}).get("hashes", {}).get("sha256"):
            found[_normal(each["metadata"]["name"])] = (file["url"], digest)
    return found


def _addressed(pins: list[tuple[str, str]], remembered: Path | None) -> list[str]:
    """The pins as addresses with the hash of what is there, one of the lock's; none where they are not known, or not to be used.

    A pin with a condition that is not known stays as it is: where it does not hold, pip looks for nothing.
    """
    try:
        known = json.loads(remembered.read_text(encoding="utf-8")) if remembered else {}
        found = [
            pin if name not in known and ";" in pin.splitlines()[0] else _address(name, pin, *known[name])
            for name, pin in pins
        ]
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return []
    return found


_ADDRESS = re.compile(r"(?:https?|file)://[A-Za-z0-9._~/:@%+!-]+\.whl")
"""What is taken for an address. pip would believe a hash behind `#` or `&` as it believes one of the lock's, put a variable
of the environment in place of `${NAME}`, and take what is behind `;` for a condition.

Source: https://pip.pypa.io/en/stable/reference/requirements-file-format/#using-environment-variables
"""


def _address(name: str, pin: str, address: str, digest: str) -> str:
    """Raises ValueError for a hash that the lock has not, and for what is no address."""
    if f"--hash=sha256:{digest}" not in pin.split() or not _ADDRESS.fullmatch(address):
        raise ValueError(name)
    return f"{name} @ {address} --hash=sha256:{digest}\n"


def _remembered(lock: Path) -> Path | None:
    """Where it is kept which files pip takes for a lock: in pip's own cache, so that what keeps one keeps the other.

    Another Python, machine or setting of pip takes others.
    """
    if os.environ.get("PIP_NO_CACHE_DIR"):
        return None
    settings = sorted(f"{name}={value}" for name, value in os.environ.items() if name.startswith("PIP_"))
    of = [sys.implementation.cache_tag, sysconfig.get_platform(), *settings, lock.read_text(encoding="utf-8")]
    home = Path(os.path.expanduser("~"))  # Path.home() raises where nobody knows it
    default = home / "Library/Caches" if sys.platform == "darwin" else home / ".cache"
    caches = os.environ.get("XDG_CACHE_HOME", "") if sys.platform != "darwin" else ""
    folder = os.environ.get("PIP_CACHE_DIR") or Path(caches or default, "pip")
    return Path(folder, "shipway", f"{hashlib.sha256(json.dumps(of).encode()).hexdigest()}.json")


def _remember(found: dict[str, tuple[str, str]], path: Path | None) -> None:
    if path is None or not path.parent.parent.is_dir():  # pip has no cache here
        return
    try:
        path.parent.mkdir(exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as file:
            json.dump(found, file)
        os.replace(file.name, path)
    except OSError:
        return  # it is looked for again next time


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


def _pins(lock: Path) -> list[tuple[str, str]]:
    """The name and the lines of each package of a lock."""
    parts = re.split(r"^(?=[a-z])", lock.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    return [(_normal(part.partition("==")[0]), part) for part in parts]


def _normal(name: str) -> str:
    """Source: https://packaging.python.org/en/latest/specifications/name-normalization/"""
    return re.sub(r"[-_.]+", "-", name).lower()


def _halves(pins: list[str]) -> tuple[list[str], list[str]]:
    """Two parts of about the same work: a package with many files has a long index to read."""
    halves: tuple[list[str], list[str]] = ([], [])
    for pin in sorted(pins, key=_files_of, reverse=True):
        min(halves, key=lambda half: sum(map(_files_of, half)) + _OF_ANY * len(half)).append(pin)
    return halves


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
