"""`shipway init` in Python projects: tests are run by what finds them, and what they need is installed where they run."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from shipway.detection import detect
from tests.command_line import make_project

PIP = ".venv/bin/python -m pip install --quiet"
PYTEST = ".venv/bin/python -m pytest"
PACKAGE = '[build-system]\nrequires = ["setuptools"]\n[project]\nname = "shop"\n'
PLAIN = '[project]\nname = "shop"\nversion = "1"\n'
TESTS = {"tests/test_shop.py": "def test_shop(): pass\n"}
CASES = "import unittest\n\n\nclass ShopTest(unittest.TestCase):\n    def test_shop(self) -> None: ...\n"


def found(files: Mapping[str, str]) -> dict[str, str]:
    """The commands by id."""
    return {one.id: one.run for one in detect(list(files), files)}


@pytest.mark.parametrize(
    "files",
    [
        {"pyproject.toml": PLAIN + 'dependencies = ["pytest>=8"]\n'},
        {"pyproject.toml": PLAIN + '[project.optional-dependencies]\nqa = ["pytest"]\n'},
        {"pyproject.toml": PLAIN + '[dependency-groups]\nqa = ["pytest-cov"]\n'},
        {"pyproject.toml": PLAIN + "[tool.pytest.ini_options]\n"},
        {"pyproject.toml": PLAIN + '[tool.poetry.group.qa.dependencies]\npytest = "^8"\n'},
        {"pyproject.toml": PLAIN, "requirements-qa.txt": "PyTest==8.0 # pinned\n"},
        {"pyproject.toml": PLAIN, "pytest.ini": ""},
        {"pyproject.toml": PLAIN, "tests/test_b.py": "import pytest\n"},
        {"pyproject.toml": PLAIN, "tests/test_b.py": "async def test_it(): ...\n"},
        {"pyproject.toml": PLAIN, "tests/test_b.py": "class TestShop:\n"},
        {"setup.cfg": "[tool:pytest]\n"},
        {"requirements.txt": "pytest\n"},
    ],
)
def test_what_names_pytest_is_tested_by_pytest_even_where_there_are_cases(files: Mapping[str, str]) -> None:
    commands = found({"tests/test_a.py": CASES} | dict(files))
    assert commands["test"] == PYTEST
    assert "pytest" in commands["install"].lower() or "-r requirements" in commands["install"]


@pytest.mark.parametrize(
    ("files", "command"),
    [
        ({"tests/test_a.py": CASES}, "unittest discover -s tests"),
        ({"tests/test_a.py": CASES, "tests/__init__.py": ""}, "unittest discover -s tests -t ."),
        ({"test_a.py": CASES}, "unittest discover"),
        ({"tests/unit/test_a.py": CASES, "tests/unit/__init__.py": ""}, "unittest discover -s tests"),
        ({"tests/unit/test_a.py": CASES}, "pytest"),
        ({"tests/a_test.py": CASES}, "pytest"),
        ({"tests/test_a.py": ""}, "pytest"),
    ],
)
def test_unittest_is_used_only_where_it_finds_every_case(
    tmp_path: Path, files: Mapping[str, str], command: str
) -> None:
    assert found({"pyproject.toml": PLAIN, **files})["test"] == f".venv/bin/python -m {command}"
    project = make_project(tmp_path)
    project.write(files)
    if command != "pytest":
        run = [sys.executable, "-m", *command.split()]
        done = subprocess.run(run, cwd=project.root, capture_output=True, text=True, check=True)
        assert "Ran 1 test" in done.stderr


@pytest.mark.parametrize(
    ("files", "calls"),
    [
        ({"pyproject.toml": PACKAGE}, ["-e . pytest"]),
        ({"pyproject.toml": PACKAGE + '[project.optional-dependencies]\ntest = ["pytest"]\n'}, ["-e '.[test]'"]),
        ({"pyproject.toml": PACKAGE + '[project.optional-dependencies]\ntest = ["tox"]\n'}, ["-e '.[test]' pytest"]),
        (
            {"pyproject.toml": PACKAGE + '[project.optional-dependencies]\ndev = ["shop[qa]"]\nqa = ["pytest"]\n'},
            ["-e '.[dev]'"],
        ),
        (
            {
                "pyproject.toml": PACKAGE + '[dependency-groups]\ntest = ["pytest>=8", {include-group = "x"}]\n'
                'x = ["hypothesis", "--index-url=http://x", "${{ secrets.X }}"]\n'
            },
            ["-e . 'pytest>=8' hypothesis"],
        ),
        (
            {"pyproject.toml": PLAIN + 'dependencies = ["a>1"]\n[project.optional-dependencies]\ntest = ["pytest"]\n'},
            ["'a>1' pytest"],
        ),
        (
            {"requirements.txt": "flask\n", "requirements-dev.txt": "pytest\n"},
            ["-r requirements-dev.txt -r requirements.txt"],
        ),
        ({"requirements.txt": "flask\n"}, ["-r requirements.txt", "pytest"]),
        ({"pyproject.toml": PACKAGE, "requirements.txt": "pytest\n"}, ["-r requirements.txt", "-e ."]),
        (
            {"pyproject.toml": PACKAGE + "[tool.ruff]\n[dependency-groups]\nlint = ['ruff==0.9']\n"},
            ["-e . pytest ruff==0.9"],
        ),
    ],
)
def test_what_the_tests_need_is_installed_and_pytest_with_it(files: Mapping[str, str], calls: list[str]) -> None:
    install = found({**dict(sorted(files.items())), **TESTS})["install"]
    assert install.split("\n") == ["python3 -m venv .venv", *(f"{PIP} {call}" for call in calls)]


@pytest.mark.parametrize(
    ("lock", "named", "install", "test"),
    [
        ("uv.lock", "", "uv sync --locked", "uv run --no-sync --with pytest python -m pytest"),
        (
            "uv.lock",
            '[project.optional-dependencies]\ntest = ["pytest"]\n',
            "uv sync --locked --extra test",
            "uv run --no-sync python -m pytest",
        ),
        (
            "uv.lock",
            '[dependency-groups]\nqa = ["pytest"]\n',
            "uv sync --locked --group qa",
            "uv run --no-sync python -m pytest",
        ),
        (
            "poetry.lock",
            '[tool.poetry.group.qa.dependencies]\npytest = "^8"\n',
            "poetry install --no-interaction --with qa",
            "poetry run python -m pytest",
        ),
        (
            "poetry.lock",
            "",
            "poetry install --no-interaction\npoetry run python -m pip install --quiet pytest",
            "poetry run python -m pytest",
        ),
    ],
)
def test_a_lock_is_kept_and_pytest_is_there_too(lock: str, named: str, install: str, test: str) -> None:
    commands = found({"pyproject.toml": PLAIN + named, lock: "", **TESTS})
    assert (commands["install"], commands["test"]) == (install, test)


def test_the_environment_that_a_step_makes_is_ignored_by_git(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    project.write({"pyproject.toml": PLAIN, ".gitignore": "/.venv\n", **TESTS})
    project.call("init")
    assert project.text(".gitignore") == "/.venv\n.shipway/\n"
    project.write({".gitignore": "dist"})
    project.call("init", "--force")
    assert project.text(".gitignore") == "dist\n.shipway/\n.venv/\n"


def test_the_content_of_tests_and_requirements_is_read(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    project.write({"requirements.txt": "flask\n", "tests/unit/test_a.py": "def test_a(): ...\n"})
    project.call("init")
    install, test = yaml.safe_load(project.text("shipway.yml"))["stages"]["check"]["steps"]
    assert test["run"] == PYTEST
    assert install["run"].endswith(f"{PIP} -r requirements.txt\n{PIP} pytest\n")
