"""How a Python project is set up, tested and built, told from its files, and what has to be installed for it. Pure."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import takewhile
from pathlib import PurePosixPath

from msgspec import Struct

MANIFESTS = ("pyproject.toml", "setup.cfg", "setup.py")
"""What a Python project is described by, the one that says most first."""

_TOOLS = ("pytest", "ruff")
_TEST_NAMES = ("test", "tests", "testing", "dev")
_REQUIREMENTS = re.compile(r"requirements[\w.-]*\.txt|(dev|tests?)[-_]requirements\.txt")
_TEST_FILE = re.compile(r"(^|/)(test_[^/]*|[^/]*_test)\.py$")
_PYTEST_TEST = re.compile(r"^(?:import pytest|from pytest|(?:async )?def test_|class Test\w*(?:\(\))?:)", re.MULTILINE)
_UNITTEST_TEST = re.compile(r"^class \w+\(.*TestCase\b", re.MULTILINE)
# What is copied into a command: no option of pip's, no line break, and no expression of a declaration.
_REQUIREMENT = re.compile(r"(?!.*\$\{\{)[A-Za-z0-9][ -~]*")


class PythonCommands(Struct, frozen=True):
    """Commands of a project; one that it has no use for is empty. `origin` is the file that it was known by."""

    origin: str
    install: str
    lint: str
    test: str
    build: str


def is_telling(name: str) -> bool:
    """Whether the content of the file with this name (relative to the project) is needed by `commands`."""
    return name in MANIFESTS or is_requirements(name) or _TEST_FILE.search(name) is not None


def is_requirements(name: str) -> bool:
    """Whether the file lists requirements for `pip install -r`."""
    return _REQUIREMENTS.fullmatch(name) is not None


def commands(files: Sequence[str], contents: Mapping[str, str]) -> PythonCommands | None:
    """The commands of the project with these files, given the contents of those that are telling; None for no project."""
    listed = [name for name in files if is_requirements(name)]
    origin = next((name for name in (*MANIFESTS, *listed) if name in contents), "")
    if not origin:
        return None
    project = _Project.read(files, contents)
    runner = _test_runner(project)
    has_ruff = project.has_table("ruff") or bool({"ruff.toml", ".ruff.toml"} & set(files))
    needed = [name for name, wanted in (("pytest", runner == "pytest"), ("ruff", has_ruff)) if wanted]
    install, run = _set_up(project, needed)
    return PythonCommands(
        origin=origin,
        install=install,
        lint=f"{run}ruff check" if has_ruff else "",
        test=f"{run}{runner}" if runner else "",
        build=_build(project),
    )


class _Project(Struct, frozen=True):
    files: Sequence[str]
    contents: Mapping[str, str]
    declared: Mapping[str, object]

    @classmethod
    def read(cls, files: Sequence[str], contents: Mapping[str, str]) -> _Project:
        try:
            declared: Mapping[str, object] = tomllib.loads(contents.get("pyproject.toml", ""))
        except tomllib.TOMLDecodeError:
            declared = {}
        return cls(files, contents, declared)

    @property
    def is_package(self) -> bool:
        """Whether pip can install it: by a build backend that it names, or by setuptools."""
        has_metadata = "[metadata]" in self.contents.get("setup.cfg", "") and "pyproject.toml" in self.files
        return "build-system" in self.declared or "setup.py" in self.files or has_metadata

    @property
    def requirement_files(self) -> list[str]:
        """Those to install: `requirements.txt`, and those for tests by their name or because they name a tool."""
        found = [name for name in self.files if is_requirements(name)]
        return [
            name
            for name in found
            if name == "requirements.txt" or re.search("dev|test", name) or _names(self.listed_in(name), _TOOLS)
        ]

    def listed_in(self, name: str) -> list[str]:
        lines = (line.split(" #")[0].strip() for line in self.contents.get(name, "").splitlines())
        return [line for line in lines if line and line[0].isalnum()]

    def has_table(self, tool: str) -> bool:
        return tool in _table(self.declared, "tool")

    @property
    def dependencies(self) -> list[str]:
        return _strings(_table(self.declared, "project").get("dependencies"))

    @property
    def extras(self) -> dict[str, list[str]]:
        tables = _table(_table(self.declared, "project"), "optional-dependencies")
        own = _canonical(str(_table(self.declared, "project").get("name", "")))
        return {name: list(_extra(name, tables, own, [])) for name in tables}

    @property
    def groups(self) -> dict[str, list[str]]:
        """By name: the standard ones, those of Poetry (whose versions are not those of pip: names only), and uv's old one."""
        tables = _table(self.declared, "dependency-groups")
        found = {name: list(_group(name, tables, [])) for name in tables}
        poetry = _table(_table(self.declared, "tool"), "poetry")
        grouped = _table(poetry, "group")
        for name in grouped:
            found.setdefault(name, list(_table(_table(grouped, name), "dependencies")))
        older = list(_table(poetry, "dev-dependencies"))
        older += _strings(_table(_table(self.declared, "tool"), "uv").get("dev-dependencies"))
        return found | ({"dev": [*found.get("dev", []), *older]} if older else {})

    @property
    def is_pytest_named(self) -> bool:
        listed = [*self.dependencies, *(one for name in self.files for one in self._if_requirements(name))]
        listed += [one for table in (self.extras, self.groups) for many in table.values() for one in many]
        older = self.contents.get("setup.cfg", "") + self.contents.get("setup.py", "")
        configured = {"pytest.ini", "conftest.py"} & {PurePosixPath(name).name for name in self.files}
        return bool(self.has_table("pytest") or configured or _names(listed, ["pytest"]) or "pytest" in older)

    def _if_requirements(self, name: str) -> list[str]:
        return self.listed_in(name) if is_requirements(name) else []


def _test_runner(project: _Project) -> str:
    """The module that runs the tests, with its arguments; empty where there are none.

    unittest only where it finds every test: without one it reports success before Python 3.12, and pytest runs its cases too.
    """
    tests = [name for name in project.files if _TEST_FILE.search(name)]
    if not tests:
        return ""
    texts = [project.contents.get(name, "") for name in tests]
    cases = [name for name, text in zip(tests, texts, strict=True) if _UNITTEST_TEST.search(text)]
    if project.is_pytest_named or any(_PYTEST_TEST.search(text) for text in texts) or not cases:
        return "pytest"
    return _discovery(cases, set(project.files)) or "pytest"


def _discovery(cases: Sequence[str], files: Collection[str]) -> str:
    """The call of unittest that finds all these files; empty where none does: it looks into packages only, for `test*.py`."""
    tops = {name.split("/")[0] if "/" in name else "" for name in cases}
    start = tops.pop() if len(tops) == 1 else ""
    for name in cases:
        inner = [str(folder) for folder in PurePosixPath(name).parents if str(folder) not in (".", start)]
        if not PurePosixPath(name).name.startswith("test") or any(
            f"{folder}/__init__.py" not in files for folder in inner
        ):
            return ""
    top = " -t ." if f"{start}/__init__.py" in files else ""
    return f"unittest discover -s {shlex.quote(start)}{top}" if start else "unittest discover"


def _set_up(project: _Project, needed: Sequence[str]) -> tuple[str, str]:
    """How to install the project with the tools that are needed, and what stands before a module that is run."""
    if "uv.lock" in project.files:
        extra, group = _chosen(project)
        options = [f" --extra {extra}"] if extra else []
        options += [f" --group {group}"] if group and group != "dev" else []
        missing = _missing(needed, [*project.dependencies, *project.extras.get(extra, []), *_synced(project, group)])
        given = "".join(f"--with {name} " for name in missing)
        return f"uv sync --locked{''.join(options)}", f"uv run --no-sync {given}python -m "
    if "poetry.lock" in project.files:
        extra, group = _chosen(project)
        options = [f" --extras {extra}"] if extra else []
        options += [f" --with {group}"] if group else []
        known = [one for table in (project.extras, project.groups) for many in table.values() for one in many]
        poetry = _table(_table(_table(project.declared, "tool"), "poetry"), "dependencies")
        missing = _missing(needed, [*project.dependencies, *poetry, *known])
        lines = [f"poetry install --no-interaction{''.join(options)}"]
        lines += [f"poetry run python -m pip install --quiet {' '.join(missing)}"] if missing else []
        return "\n".join(lines), "poetry run python -m "
    return "\n".join(_pip(project, needed)), ".venv/bin/python -m "


def _synced(project: _Project, group: str) -> list[str]:
    """What uv installs of the groups: the one that is named, and `dev`."""
    return [*project.groups.get(group, []), *project.groups.get("dev", [])]


def _pip(project: _Project, needed: Sequence[str]) -> Iterator[str]:
    """The calls for an environment of its own. Groups are listed one by one: pip knows `--group` since 25.1 only."""
    pip = ".venv/bin/python -m pip install --quiet"
    yield "python3 -m venv .venv"
    files, (extra, group) = project.requirement_files, _chosen(project)
    covered = [one for name in files for one in project.listed_in(name)]
    listed = project.groups.get(group, [])
    if project.is_package:
        covered += [*project.dependencies, *project.extras.get(extra, [])]
    else:
        listed = [*([] if files else project.dependencies), *project.extras.get(extra, []), *listed]
    wanted = [one for one in dict.fromkeys(listed) if _REQUIREMENT.fullmatch(one)]
    known = [one for table in (project.extras, project.groups) for many in table.values() for one in many]
    for tool in _missing(needed, [*covered, *wanted]):
        pinned = (one for one in known if _names([one], [tool], plugins=False) and _REQUIREMENT.fullmatch(one))
        wanted.append(next(pinned, tool))
    # A call of their own: a file with hashes accepts nothing beside it that has none.
    if files:
        yield f"{pip} {' '.join(f'-r {name}' for name in files)}"
    package = [f"-e {shlex.quote(f'.[{extra}]') if extra else '.'}"] if project.is_package else []
    if package or wanted:
        yield f"{pip} {' '.join([*package, *map(shlex.quote, wanted)])}"


def _chosen(project: _Project) -> tuple[str, str]:
    """The extra and the group that tests need, each empty where there is none; of both kinds only where one does not do."""
    extra, group = _for_tests(project.extras), _for_tests(project.groups)
    if extra and (_has_pytest(project.extras[extra]) or not _has_pytest(project.groups.get(group, []))):
        return extra, ""
    return extra, group


def _for_tests(tables: Mapping[str, list[str]]) -> str:
    usual = [name for name in _TEST_NAMES if name in tables]
    others = [name for name in tables if name not in usual and re.fullmatch(r"[\w.-]+", name)]
    return next((name for name in (*usual, *others) if _has_pytest(tables[name])), usual[0] if usual else "")


def _has_pytest(requirements: Iterable[str]) -> bool:
    return _names(requirements, ["pytest"])


def _missing(needed: Sequence[str], installed: Sequence[str]) -> list[str]:
    return [name for name in needed if not _names(installed, [name])]


def _build(project: _Project) -> str:
    if not ("build-system" in project.declared or "setup.py" in project.files):
        return ""
    if "uv.lock" in project.files:
        return "uv build"
    if "poetry.lock" in project.files:
        return "poetry build"
    return ".venv/bin/python -m pip wheel --quiet --no-deps --wheel-dir dist ."


def _names(requirements: Iterable[str], tools: Iterable[str], *, plugins: bool = True) -> bool:
    """Whether a requirement is one of these tools, or a plugin that brings pytest along (`pytest-cov`)."""
    known = {_name(requirement) for requirement in requirements}
    return any(
        tool in known or (plugins and tool == "pytest" and any(name.startswith("pytest-") for name in known))
        for tool in tools
    )


def _name(requirement: str) -> str:
    return _canonical("".join(takewhile(lambda char: char.isalnum() or char in "-_.", requirement)))


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _extra(name: str, tables: Mapping[str, object], own: str, seen: list[str]) -> Iterator[str]:
    """The requirements of an extra, those of extras of the project itself that it names (`shop[test]`) included."""
    if name in seen:
        return
    seen.append(name)
    for one in _strings(tables.get(name)):
        inner = re.search(r"\[(.*?)\]", one)
        if own and _name(one) == own and inner:
            for other in inner[1].split(","):
                yield from _extra(other.strip(), tables, own, seen)
        else:
            yield one


def _group(name: str, tables: Mapping[str, object], seen: list[str]) -> Iterator[str]:
    """The requirements of a group, those of the groups that it includes among them."""
    if name in seen:
        return
    seen.append(name)
    listed = tables.get(name)
    for one in listed if isinstance(listed, list) else []:
        if isinstance(one, str):
            yield one
        elif isinstance(one, Mapping) and isinstance(included := one.get("include-group"), str):
            yield from _group(included, tables, seen)


def _table(data: Mapping[str, object], key: str) -> Mapping[str, object]:
    found = data.get(key)
    return found if isinstance(found, Mapping) else {}


def _strings(found: object) -> list[str]:
    return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []
