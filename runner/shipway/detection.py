"""What a repository can already do, from the files in it: which steps a first declaration may begin with. Pure; reads nothing."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import PurePosixPath

MANIFESTS = (
    "Makefile",
    "GNUmakefile",
    "makefile",
    "pyproject.toml",
    "setup.cfg",
    "setup.py",
    "package.json",
    "go.mod",
    "Cargo.toml",
    "Dockerfile",
)
"""The files whose content says what can be done; of all others the name suffices."""


class Part(StrEnum):
    """The stages of a first declaration, in their order."""

    CHECK = "check"
    BUILD = "build"
    INFRASTRUCTURE = "infrastructure"
    DEPLOY = "deploy"


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A step to begin with. `origin` is the file that it was found in; `reads` is empty where nothing can be told.

    `plan` is a command that is known to be read-only. `hints` are values of keys that a person has to decide on.
    """

    part: Part
    id: str
    run: str
    origin: str
    reads: tuple[str, ...] = ()
    plan: str = ""
    lasting: bool = False
    hints: Mapping[str, str] | None = None


# What makefiles and package.json call things, in the order in which they are done.
_ROLES: Mapping[Part, tuple[str, ...]] = {
    Part.CHECK: ("lint", "typecheck", "types", "check", "test"),
    Part.BUILD: ("build",),
    Part.DEPLOY: ("deploy", "release", "publish"),
}
_HINTS: Mapping[str, tuple[str, ...]] = {
    "plan": ("plan", "diff", "dry-run", "preview"),
    "undo": ("rollback", "undeploy", "undo", "destroy"),
    "verify": ("verify", "status", "smoke"),
}
_LANGUAGES: Mapping[str, str] = {
    "pyproject.toml": "python",
    "setup.cfg": "python",
    "setup.py": "python",
    "package.json": "node",
    "go.mod": "go",
    "Cargo.toml": "rust",
    "Dockerfile": "docker",
}
_PLAIN_NAME = re.compile(r"[\w@+=,./ -]+")
_MAKE_RULE = re.compile(r"^([A-Za-z0-9_./ -]+?)\s*:(?![:=])", re.MULTILINE)
_SOURCE_FOLDERS_MAX = 12


def detect(files: Collection[str], contents: Mapping[str, str]) -> list[Suggestion]:
    """What can be done in a folder with these files (relative to it), given the contents of those named in MANIFESTS.

    A target of a makefile stands for what a language would do under the same name. In the order of the stages.
    """
    plain = sorted(name for name in files if _PLAIN_NAME.fullmatch(name))
    found = list(_make(contents))
    shadowed = {suggestion.id for suggestion in found}
    for language in (_python, _node, _go, _cargo):
        offered = [one for one in language(plain, contents) if one.id not in shadowed]
        if any(one.id != "install" for one in offered):
            found += offered
    found += [*_docker(contents), *_terraform(plain)]
    return sorted(_distinct(found), key=lambda one: list(Part).index(one.part))


def _distinct(found: Iterable[Suggestion]) -> Iterator[Suggestion]:
    """The same with ids that are unique in their stage: the second `test` is called after where it was found."""
    taken: set[tuple[Part, str]] = set()
    for one in found:
        name = one.id
        if (one.part, name) in taken:
            name = f"{name}-{_LANGUAGES.get(one.origin, 'make')}"
        taken.add((one.part, name))
        yield replace(one, id=name)


def _named(names: Collection[str], command: Callable[[str], str], origin: str) -> Iterator[Suggestion]:
    """A step for each name that says what it does, the hints of a deployment from names that say so too."""
    hints = {key: command(name) for key, words in _HINTS.items() for name in words[::-1] if name in names}
    for part, words in _ROLES.items():
        for name in words:
            if name in names and not (name == "check" and "test" in names):
                is_deploy = part is Part.DEPLOY
                yield Suggestion(
                    part, name, command(name), origin, lasting=is_deploy, hints=hints if is_deploy else None
                )


def _make(contents: Mapping[str, str]) -> Iterator[Suggestion]:
    origin = next((name for name in ("GNUmakefile", "makefile", "Makefile") if name in contents), "")
    if origin:
        targets = {word for rule in _MAKE_RULE.finditer(contents[origin]) for word in rule[1].split()}
        yield from _named(targets, lambda name: f"make {name}", origin)


def _python(files: Sequence[str], contents: Mapping[str, str]) -> Iterator[Suggestion]:
    origin = next((name for name in ("pyproject.toml", "setup.cfg", "setup.py") if name in contents), "")
    if not origin:
        return
    project = _toml(contents.get("pyproject.toml", ""))
    tools = _table(project, "tool")
    reads = _reads(files, (".py",), ("pyproject.toml", "setup.cfg", "setup.py", "uv.lock", "poetry.lock"))
    has_tests = any(re.search(r"(^|/)(test_[^/]*|[^/]*_test)\.py$", name) for name in files)
    has_pytest = "pytest" in tools or "[tool:pytest]" in contents.get("setup.cfg", "") or "conftest.py" in _names(files)
    has_ruff = "ruff" in tools or bool({"ruff.toml", ".ruff.toml"} & set(files))
    needed = [name for name, wanted in (("pytest", has_pytest and has_tests), ("ruff", has_ruff)) if wanted]
    install, run, build = _python_tools(files, project, needed)
    yield Suggestion(Part.CHECK, "install", install, origin, reads)
    if has_ruff:
        yield Suggestion(Part.CHECK, "lint", f"{run}ruff check", origin, reads)
    if has_tests:
        command = "pytest" if has_pytest else "unittest discover" + (" -s tests" if _has_folder(files, "tests") else "")
        yield Suggestion(Part.CHECK, "test", f"{run}{command}", origin, reads)
    if "build-system" in project or "setup.py" in contents:
        yield Suggestion(Part.BUILD, "build", build, origin, reads)


def _python_tools(files: Sequence[str], project: Mapping[str, object], needed: Sequence[str]) -> tuple[str, str, str]:
    """How to install, what stands before the name of a module that is run, and how to build."""
    if "uv.lock" in files:
        return "uv sync --locked", "uv run python -m ", "uv build"
    if "poetry.lock" in files:
        return "poetry install --no-interaction", "poetry run python -m ", "poetry build"
    names = ("test", "tests", "dev")
    extra = next((name for name in names if name in _table(_table(project, "project"), "optional-dependencies")), "")
    group = next((name for name in names if name in _table(project, "dependency-groups")), "")
    is_package = "build-system" in project or "setup.py" in files or "setup.cfg" in files
    wanted = ["-r requirements.txt"] if "requirements.txt" in files else []
    wanted += [f"-e '.[{extra}]'" if extra else "-e ."] if is_package else []
    wanted += [f"--group {group}"] if group and not extra else []
    wanted += needed
    pip = ".venv/bin/python -m pip"
    lines = ["python3 -m venv .venv"]
    lines += [f"{pip} install --quiet --upgrade pip"] if group and not extra else []
    lines += [f"{pip} install --quiet {' '.join(wanted)}"] if wanted else []
    return "\n".join(lines), ".venv/bin/python -m ", f"{pip} wheel --quiet --no-deps --wheel-dir dist ."


def _node(files: Sequence[str], contents: Mapping[str, str]) -> Iterator[Suggestion]:
    if "package.json" not in contents:
        return
    scripts = _table(_json(contents["package.json"]), "scripts")
    told = {name for name, script in scripts.items() if "no test specified" not in str(script)}
    locks = {
        "pnpm-lock.yaml": ("pnpm install --frozen-lockfile", "pnpm run "),
        "yarn.lock": (f"yarn install --{'immutable' if '.yarnrc.yml' in files else 'frozen-lockfile'}", "yarn run "),
        "bun.lock": ("bun install --frozen-lockfile", "bun run "),
        "package-lock.json": ("npm ci", "npm run "),
        "npm-shrinkwrap.json": ("npm ci", "npm run "),
    }
    lock = next((name for name in locks if name in files), "")
    install, run = locks.get(lock, ("npm install", "npm run "))
    manifests = tuple(name for name in ("package.json", lock, "tsconfig.json") if name)
    reads = _reads(files, (".js", ".mjs", ".cjs", ".jsx", ".ts", ".mts", ".tsx", ".vue", ".svelte", ".css"), manifests)
    yield Suggestion(Part.CHECK, "install", install, "package.json", manifests[:2] if lock else ())
    for one in _named(told, lambda name: run + name, "package.json"):
        yield one if one.lasting else replace(one, reads=reads)


def _go(files: Sequence[str], contents: Mapping[str, str]) -> Iterator[Suggestion]:
    if "go.mod" in contents:
        reads = ("**/*.go", *(name for name in ("go.mod", "go.sum") if name in files))
        yield Suggestion(Part.CHECK, "lint", "go vet ./...", "go.mod", reads)
        yield Suggestion(Part.CHECK, "test", "go test ./...", "go.mod", reads)
        yield Suggestion(Part.BUILD, "build", "go build ./...", "go.mod", reads)


def _cargo(files: Sequence[str], contents: Mapping[str, str]) -> Iterator[Suggestion]:
    if "Cargo.toml" in contents:
        locked = " --locked" if "Cargo.lock" in files else ""
        reads = ("**/*.rs", *(name for name in ("**/Cargo.toml", "Cargo.lock") if "*" in name or name in files))
        yield Suggestion(Part.CHECK, "test", f"cargo test{locked}", "Cargo.toml", reads)
        yield Suggestion(Part.BUILD, "build", f"cargo build --release{locked}", "Cargo.toml", reads)


def _docker(contents: Mapping[str, str]) -> Iterator[Suggestion]:
    if "Dockerfile" in contents:
        yield Suggestion(Part.BUILD, "image", "docker build .", "Dockerfile")


def _terraform(files: Sequence[str]) -> Iterator[Suggestion]:
    """One configuration: the folder nearest to the top that holds `*.tf` and is no module of another."""
    folders = {str(PurePosixPath(name).parent) for name in files if name.endswith(".tf")}
    own = sorted(folder for folder in folders if "modules" not in PurePosixPath(folder).parts)
    if not own:
        return
    folder = min(own, key=lambda name: (name.count("/") if name != "." else -1, name))
    chdir = "" if folder == "." else f" {shlex.quote(f'-chdir={folder}')}"
    reads = ("**/*.tf", "**/*.tfvars", ".terraform.lock.hcl") if folder == "." else (f"{folder}/**",)
    terraform, origin = f"terraform{chdir}", f"{folder}/*.tf" if folder != "." else "*.tf"
    where = Part.INFRASTRUCTURE
    yield Suggestion(where, "init", f"{terraform} init -input=false", origin, reads)
    yield Suggestion(where, "save", f"{terraform} plan -input=false -out=tfplan", origin, reads)
    yield Suggestion(
        where,
        "apply",
        f"{terraform} apply -input=false tfplan",
        origin,
        reads,
        plan=f"{terraform} init -input=false >/dev/null\n{terraform} plan -input=false -lock=false -no-color",
        lasting=True,
        hints={
            "undo": "./apply-previous-release",
            "verify": f"{terraform} plan -input=false -lock=false -detailed-exitcode",
        },
    )


def _reads(files: Sequence[str], suffixes: tuple[str, ...], manifests: tuple[str, ...]) -> tuple[str, ...]:
    """Patterns for the top folders that hold such files, and the manifests that are there; none for too many folders."""
    folders = {name.split("/")[0] for name in files if "/" in name and name.endswith(suffixes)}
    if len(folders) > _SOURCE_FOLDERS_MAX:
        return ()
    loose = sorted({f"*{PurePosixPath(name).suffix}" for name in files if "/" not in name and name.endswith(suffixes)})
    requirements = [name for name in files if re.fullmatch(r"requirements[\w.-]*\.txt", name)]
    kept = [name for name in (*manifests, *requirements) if name in files]
    return (*(f"{folder}/**" for folder in sorted(folders)), *loose, *dict.fromkeys(kept))


def _has_folder(files: Sequence[str], folder: str) -> bool:
    return any(name.startswith(f"{folder}/") for name in files)


def _names(files: Sequence[str]) -> set[str]:
    return {PurePosixPath(name).name for name in files}


def _toml(text: str) -> Mapping[str, object]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return {}


def _json(text: str) -> Mapping[str, object]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _table(data: Mapping[str, object], key: str) -> Mapping[str, object]:
    found = data.get(key)
    return found if isinstance(found, Mapping) else {}
