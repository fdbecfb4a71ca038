"""What a repository can already do, from the files in it: which steps a first declaration may begin with. Pure; reads nothing."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import PurePosixPath

from msgspec import Struct
from msgspec.structs import replace

from shipway import python_project

MANIFESTS = (
    "Makefile",
    "GNUmakefile",
    "makefile",
    *python_project.MANIFESTS,
    "package.json",
    "go.mod",
    "Cargo.toml",
    "Dockerfile",
)
"""The files that say what can be done in their folder."""


class Part(StrEnum):
    """The stages of a first declaration, in their order."""

    CHECK = "check"
    BUILD = "build"
    INFRASTRUCTURE = "infrastructure"
    DEPLOY = "deploy"


class Suggestion(Struct, frozen=True):
    """A step to begin with. `origin` is the file that it was found in; `reads` is empty where nothing can be told.

    `**` in `reads` is the whole folder of the project. `leaves` is what the step makes that git has to ignore.
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
    leaves: tuple[str, ...] = ()


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
    "package.json": "node",
    "go.mod": "go",
    "Cargo.toml": "rust",
    "Dockerfile": "docker",
}
_PLAIN_NAME = re.compile(r"[\w@+=,./ -]+")
_MAKE_RULE = re.compile(r"^([A-Za-z0-9_./ -]+?)\s*:(?![:=])", re.MULTILINE)
# Never less than the sources: which of its files a project reads, only the project knows.
_WHOLE = ("**",)


def is_telling(name: str) -> bool:
    """Whether the content of the file with this name (relative to the folder) is needed; of all others the name suffices."""
    return name in MANIFESTS or python_project.is_telling(name)


def detect(files: Collection[str], contents: Mapping[str, str]) -> list[Suggestion]:
    """What can be done in a folder with these files (relative to it), given the contents of those that are telling.

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
            name = f"{name}-{_language(one.origin)}"
        taken.add((one.part, name))
        yield replace(one, id=name)


def _language(origin: str) -> str:
    return "python" if python_project.is_telling(origin) else _LANGUAGES.get(origin, "make")


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
    found = python_project.commands(files, contents)
    if found is None:
        return
    leaves = (".venv/",) if ".venv" in found.install else ()
    yield Suggestion(Part.CHECK, "install", found.install, found.origin, _WHOLE, leaves=leaves)
    for part, name, command in (
        (Part.CHECK, "lint", found.lint),
        (Part.CHECK, "test", found.test),
        (Part.BUILD, "build", found.build),
    ):
        if command:
            yield Suggestion(part, name, command, found.origin, _WHOLE)


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
    yield Suggestion(Part.CHECK, "install", install, "package.json", _WHOLE)
    for one in _named(told, lambda name: run + name, "package.json"):
        yield one if one.lasting else replace(one, reads=_WHOLE)


def _go(_: Sequence[str], contents: Mapping[str, str]) -> Iterator[Suggestion]:
    if "go.mod" in contents:
        yield Suggestion(Part.CHECK, "lint", "go vet ./...", "go.mod", _WHOLE)
        yield Suggestion(Part.CHECK, "test", "go test ./...", "go.mod", _WHOLE)
        yield Suggestion(Part.BUILD, "build", "go build ./...", "go.mod", _WHOLE)


def _cargo(files: Sequence[str], contents: Mapping[str, str]) -> Iterator[Suggestion]:
    if "Cargo.toml" in contents:
        locked = " --locked" if "Cargo.lock" in files else ""
        yield Suggestion(Part.CHECK, "test", f"cargo test{locked}", "Cargo.toml", _WHOLE)
        yield Suggestion(Part.BUILD, "build", f"cargo build --release{locked}", "Cargo.toml", _WHOLE)


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
    is_alone = all(PurePosixPath(other).is_relative_to(folder) for other in folders)
    reads = _WHOLE if folder == "." or not is_alone else (f"{folder}/**",)
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


def _json(text: str) -> Mapping[str, object]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _table(data: Mapping[str, object], key: str) -> Mapping[str, object]:
    found = data.get(key)
    return found if isinstance(found, Mapping) else {}
