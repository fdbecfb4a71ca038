"""`shipway init`: writes a working declaration and the two-job workflow for the repository it is called in. Runs nothing."""

from __future__ import annotations

import json
import os
import shlex
from argparse import Namespace
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from shipway import __version__, scaffold
from shipway.commands.documents import write_out
from shipway.commands.setting import find_target
from shipway.context import Context, read_context
from shipway.declaration import StateStore
from shipway.declaration_files import DEFAULT_FILE
from shipway.detection import MANIFESTS, Part, Suggestion, detect, is_telling
from shipway.errors import UsageError
from shipway.fork_workflows import fork_workflows, plan_path
from shipway.gitlab_pipeline import PIPELINE, include_text, jobs_path, jobs_text
from shipway.loading import load_declaration
from shipway.render.columns import wrap
from shipway.repository import Repository, open_repository
from shipway.scaffold import Scaffold
from shipway.workspace import unwritable, write_atomically

_GITLAB_TOKEN = (
    "Set the masked CI/CD variable `GITLAB_TOKEN` to a project access token with the scope `api` and the role Developer: "
    "without it the plan is not shown on the merge request."
)

ACTION = "shipway/shipway"
"""Where the action is published, if this installation does not say otherwise."""

_MANIFEST_BYTES_MAX = 1_000_000
_TELLING_MAX = 500


class _Written(Struct, frozen=True):
    """One file of the result: `what` is written, replaced, changed, kept or unchanged."""

    path: str
    what: str


class _Place(Struct, frozen=True):
    """The root of the repository, and where in it the command was called; both resolved."""

    root: Path
    cwd: Path

    def shown(self, path: str) -> str:
        """A path from the root as it is typed from here."""
        return os.path.relpath(self.root / path, self.cwd)

    def is_found(self, file: str) -> bool:
        """Whether a command that is called here takes this declaration where none is named."""
        above = (folder / DEFAULT_FILE for folder in (self.cwd, *self.cwd.parents))
        return next((path for path in above if path.is_file()), None) == self.root / file

    @property
    def own_manifest(self) -> str:
        """The name of the file that makes the folder below the root, where the command was called, a project; or empty."""
        is_below = self.cwd != self.root and not (self.cwd / DEFAULT_FILE).exists()
        return next((name for name in MANIFESTS if (self.cwd / name).is_file()), "") if is_below else ""


def run(arguments: Namespace) -> int:
    """0 where everything was written. Raises UsageError where files exist already, or the default branch is not known."""
    if arguments.gitlab and arguments.forks:
        raise UsageError("`--forks` writes workflows of GitHub", next="leave one of `--gitlab` and `--forks` out")
    context = read_context()
    repository = open_repository(context.cwd, context.env)
    if not repository.is_git:
        raise UsageError(
            f"`{context.cwd}` is in no git repository", next="make one with `git init`, then call this again"
        )
    file = _declaration_path(arguments, context, repository)
    planned, how = _planned(arguments, context, repository, file)
    place = _Place(repository.root.resolve(), context.cwd.resolve())
    is_kept = (place.root / file).is_file() and not arguments.force
    if is_kept:
        planned = _as_declared(planned, arguments, repository)
    texts = _pipeline(planned, place.root) if arguments.gitlab else _workflows(planned, for_forks=arguments.forks)
    if not is_kept:
        texts = {planned.file: scaffold.declaration_text(planned), **texts}
    written = _write(place, texts, is_forced=arguments.force, is_kept=is_kept)
    if is_kept:
        written.insert(0, _Written(planned.file, "kept"))
    written.append(_ignore(repository.root, scaffold.ignored(planned)))
    if arguments.json:
        write_out(json.dumps(_facts(planned, written), ensure_ascii=False) + "\n")
    elif not arguments.quiet:
        write_out(_told(planned, written, how, place, context.columns, is_gitlab=arguments.gitlab))
    return 0


def _as_declared(planned: Scaffold, arguments: Namespace, repository: Repository) -> Scaffold:
    """What to write beside a declaration that is there and stays as it is. Raises ShipwayError where it is not valid."""
    path = repository.root / planned.file
    find_target(arguments.target, path, repository)
    declared = load_declaration(path, root=repository.root, target=arguments.target)
    is_git = declared.state.store is StateStore.GIT
    return replace(planned, name=declared.name, folder="", steps=(), has_remote=is_git)


def _workflows(planned: Scaffold, *, for_forks: bool) -> dict[str, str]:
    path = scaffold.workflow_path(planned)
    if not for_forks:
        return {path: scaffold.workflow_text(planned)}
    return {path: scaffold.execute_text(planned, plan_path(planned)), **fork_workflows(planned)}


def _pipeline(planned: Scaffold, root: Path) -> dict[str, str]:
    """The jobs, and a pipeline where there is none: one that is there is somebody's, and is never replaced."""
    jobs = {jobs_path(planned): jobs_text(planned)}
    return jobs if (root / PIPELINE).exists() else {**jobs, PIPELINE: include_text(planned)}


def _declaration_path(arguments: Namespace, context: Context, repository: Repository) -> str:
    """The declaration relative to the root. Raises UsageError for one that is outside."""
    root = repository.root.resolve()
    path = (context.cwd / arguments.file).resolve() if arguments.file else root / DEFAULT_FILE
    if not path.is_relative_to(root) or path == root:
        raise UsageError(f"`{arguments.file}` is outside the repository `{root}`", next="name a file inside it")
    if path.suffix not in (".yml", ".yaml"):
        raise UsageError(
            f"`{arguments.file}` is no YAML file", next=f"call it `{path.name}/{DEFAULT_FILE}`, for example"
        )
    return path.relative_to(root).as_posix()


def _planned(arguments: Namespace, context: Context, repository: Repository, file: str) -> tuple[Scaffold, str]:
    """What to write, and how the default branch was found."""
    from shipway.remotes import read_origin  # late: git's library takes 80 ms, and a call outside git needs none of it

    origin = read_origin(repository.root)
    told = context.ci.default_branch if context.ci else None
    branch, how = (arguments.branch, "as you said") if arguments.branch else (told, "as the CI says")
    if not branch:
        branch, how = origin.default_branch, origin.how
    if not branch:
        raise UsageError(
            "git does not know which branch is the default one",
            next="ask the remote with `git remote set-head origin --auto`, or name it with `--branch NAME`",
        )
    folder = file.rpartition("/")[0]
    files = [name.removeprefix(f"{folder}/") for name in origin.files if not folder or name.startswith(f"{folder}/")]
    steps = detect(files, _contents(repository.root / folder, files)) or [scaffold.greeting()]
    name = scaffold.lifecycle_name(_name_of(file) or origin.name)
    return Scaffold(
        name=name,
        file=file,
        folder=folder if _needs_folder(steps) else "",
        target=_target(arguments.target),
        branch=branch,
        action=arguments.uses or _action(),
        steps=tuple(steps),
        has_remote=bool(origin.slug),
    ), how


def _name_of(file: str) -> str:
    """What a lifecycle that is not the root's is called after: its folder, or the file where that says more."""
    folder, _, name = file.rpartition("/")
    stem = name.rpartition(".")[0]
    return "" if file == DEFAULT_FILE else folder if stem == "shipway" else stem.removeprefix("shipway.")


def _needs_folder(steps: list[Suggestion]) -> bool:
    return steps != [scaffold.greeting()]


def _target(name: str | None) -> str:
    if name and scaffold.lifecycle_name(name.replace(".", "-")) != name.replace(".", "-"):
        raise UsageError(f"`{name}` is not the name of a target", next="use lower-case letters, digits, `-` and `.`")
    return name or ""


def _contents(folder: Path, files: list[str]) -> dict[str, str]:
    """The files that are telling. One that is too large for text counts as empty, and so do those after the first 500."""
    found = {}
    telling = sorted(filter(is_telling, files), key=lambda name: (name.count("/"), name))
    for number, name in enumerate(telling):
        path = folder / name
        if path.is_file():
            is_readable = number < _TELLING_MAX and path.stat().st_size <= _MANIFEST_BYTES_MAX
            found[name] = path.read_text(encoding="utf-8", errors="replace") if is_readable else ""
    return found


def _action() -> str:
    """The action of this version: by commit where the installation knows its own, else by tag, which is to be pinned."""
    from shipway.installation import installed_from  # late: it reads package metadata

    slug, commit = installed_from()
    if commit:
        return f"{slug or ACTION}@{commit} # v{__version__}"
    return f"{ACTION}@v{__version__} # pin this by the full commit id of the release"


def _write(place: _Place, texts: dict[str, str], *, is_forced: bool, is_kept: bool) -> list[_Written]:
    """Write all files, or none where one exists and may not be replaced. Raises UsageError, UnreachableError."""
    root = place.root
    there = [path for path in texts if (root / path).exists() or (root / path).is_symlink()]
    if there and not is_forced:
        named = " and ".join(f"`{place.shown(path)}`" for path in there)
        own = f"; {_own(place)}" if (root / DEFAULT_FILE).is_file() and place.own_manifest else ""
        exist, it = ("exists", "it") if len(there) == 1 else ("exist", "them")
        next = f"keep {it}, or replace {it} with `--force`"
        if is_kept:
            next = f"keep {it}, or remove {it} and call this again: `--force` would replace the declaration too"
        raise UsageError(f"{named} {exist}; nothing was written", next=next + own)
    for path, text in texts.items():
        _write_text(root / path, text)
    return [_Written(path, "replaced" if path in there else "written") for path in texts]


def _ignore(root: Path, patterns: tuple[str, ...]) -> _Written:
    path = root / ".gitignore"
    before = path.read_bytes().decode("utf-8", "surrogateescape") if path.is_file() else ""
    after = scaffold.with_ignored(before, patterns)
    if after == before:
        return _Written(".gitignore", "unchanged")
    write_atomically(path, after.encode("utf-8", "surrogateescape"), 0o644)
    return _Written(".gitignore", "changed" if before else "written")


def _write_text(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(path, error) from error
    write_atomically(path, text.encode(), 0o644)


def _facts(planned: Scaffold, written: list[_Written]) -> dict[str, object]:
    return {
        "lifecycle": planned.name,
        "default_branch": planned.branch,
        "action": planned.action,
        "files": [{"path": one.path, "what": one.what} for one in written],
        "steps": [{"stage": step.part.value, "id": step.id, "origin": step.origin} for step in planned.steps],
    }


def _told(planned: Scaffold, written: list[_Written], how: str, place: _Place, columns: int, *, is_gitlab: bool) -> str:
    stages = ", then ".join(_told_stage(part, planned) for part in Part if any(s.part is part for s in planned.steps))
    lines = [f"{one.what:<9}  {place.shown(one.path)}" for one in written]
    named = f"{planned.name}: {stages}" if stages else planned.name
    lines += ["", *wrap(named, columns, f"{'lifecycle':<9}  ")]
    lines += wrap(f"on pushes to `{planned.branch}` ({how})", columns, f"{'executes':<9}  ")
    path = jobs_path(planned) if is_gitlab else scaffold.workflow_path(planned)
    what = "the version" if is_gitlab else "the action"
    made = [place.shown(one.path) for one in written if one.path.startswith(".github/")]
    where = ", ".join(made) or place.shown(path)
    if is_gitlab and PIPELINE not in [one.path for one in written]:
        lines += ["", f"Add to {place.shown(PIPELINE)}:", *(f"  {line}" for line in include_text(planned).splitlines())]
    if is_gitlab:
        lines += ["", *wrap(_GITLAB_TOKEN, columns)]
    if "pin this" in planned.action:
        lines += [
            "",
            *wrap(f"Pin {what} in {where} by the full commit id of the release:", columns),
        ]
        lines += [f"  git ls-remote https://github.com/{ACTION} refs/tags/v{__version__}"]
    file = place.shown(planned.file)
    call = "" if place.is_found(planned.file) else f" -f {shlex.quote(file)}"
    call += f" --target {planned.target}" if planned.target else ""
    if planned.file == DEFAULT_FILE and place.own_manifest:
        lines += ["", *wrap(_own(place), columns)]
    return "\n".join([*lines, "", "next", *_next(file, call, "merge" if is_gitlab else "pull")]) + "\n"


def _own(place: _Place) -> str:
    """What to type, from here, for a lifecycle of the folder where the command was called."""
    folder = place.cwd.relative_to(place.root).as_posix()
    return (
        f"`{folder}` has a `{place.own_manifest}` of its own: "
        f"`shipway init -f {DEFAULT_FILE}`, called here, writes `{folder}/{DEFAULT_FILE}`"
    )


def _next(file: str, call: str, request: str) -> list[str]:
    steps = {
        f"shipway plan{call}": "look at what would be done",
        f"shipway run{call}": "do it here; it asks first",
        f"shipway doctor{call}": "see whether anything is missing",
        f"edit {file}": "say what undoes each step that lasts",
    }
    cells = max(map(len, steps))
    told = [f"  {step:<{cells}}  {why}" for step, why in steps.items()]
    return [*told, f"  then commit these files and open a {request} request: it is shown the plan"]


def _told_stage(part: Part, planned: Scaffold) -> str:
    return f"{part.value} ({', '.join(step.id for step in planned.steps if step.part is part)})"
