"""What the parts of `shipway preview` begin with: whose environment, where its record is, and what is told to it of a run."""

from __future__ import annotations

import os
import re
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from shipway.canonical import Json
from shipway.commands.setting import find_file, names_in, repository_of, said_state
from shipway.commands.stores import clock_of, open_store, open_vault
from shipway.context import Context
from shipway.declaration import Declaration, StateRule, StateStore
from shipway.environment_record import EnvironmentRecord
from shipway.environments import Environments
from shipway.errors import DeclarationError, Reason, UsageError
from shipway.loading import load_declaration
from shipway.preview_derivation import as_file
from shipway.preview_moving import roles_of
from shipway.preview_names import PREVIEWS, host_label, kept_folder
from shipway.repository import Repository, open_repository
from shipway.shelf import Shelf
from shipway.store import Store
from shipway.workspace import Workspace, write_atomically

_LONGEST_TARGET = 40
_TREE = re.compile(rf"(?P<root>.*)/{re.escape(PREVIEWS)}/[^/]+/(?P<target>[^/]+)/tree(/.*)?")


class Desk(Struct, frozen=True):
    """A declaration, one of its targets and the records of its environments, open until the command is over.

    `declared` is None where the declaration cannot be read: what was made by it can be removed all the same. `store` is the
    one that holds the records. `checkout` is one of somebody's own that it lives in, None where it lives elsewhere.
    """

    file: Path
    repository: Repository
    lifecycle: str
    target: str
    declared: Declaration | None
    store: Store
    clock_ms: Callable[[], int]
    checkout: Repository | None = None

    @property
    def environments(self) -> Environments:
        """The records of the lifecycle's environments."""
        return Environments(self.store, self.lifecycle)

    @property
    def files(self) -> tuple[str, ...]:
        """The declaration and its overlay, as far as it can be read."""
        if self.declared is not None:
            return self.declared.files
        return (os.path.relpath(self.file, self.repository.root),)

    def record(self) -> EnvironmentRecord | None:
        """The record of the target, or None where it never was. Raises StoreError."""
        return self.environments.read(self.target)

    def known(self) -> EnvironmentRecord:
        """The record of the target. Raises UsageError where there is none."""
        record = self.record()
        if record is None:
            raise UsageError(
                f"there is no environment `{self.target}` of `{self.lifecycle}`",
                reason=Reason.RUN_UNKNOWN,
                next="`shipway preview list` shows those there are; `shipway preview up` makes one",
            )
        return record


@contextmanager
def open_desk(
    arguments: Namespace, context: Context, *, writes: bool = True, names_target: bool = True
) -> Iterator[Desk]:
    """The environment that the arguments mean, or without `names_target` all of the lifecycle's. Raises ShipwayError."""
    here = open_repository(_outer(context.cwd), context.env)
    around = replace(context, cwd=_outer(context.cwd)) if not arguments.file else context
    file = find_file(arguments, around)
    repository = repository_of(file, context)
    target = (arguments.target or _target_here(context, here)) if names_target else ""
    declared, lifecycle, state = _declared(file, repository, target)
    names = declared.secrets if declared is not None else ()
    secrets = {name: context.env[name] for name in names if context.env.get(name)}
    store = open_store(state, secrets, context, repository, writes=writes)
    clock_ms = clock_of(context)
    desk = Desk(file, repository, lifecycle, target, declared, store, clock_ms)
    try:
        if names_target and not arguments.target:
            _check_branch(desk, here)
        yield desk
    finally:
        store.close()


def shelf_of(desk: Desk, declared: Declaration, context: Context) -> Shelf:
    """What nodes of `declared` keep of the environment, in the store that is open: it is not to be closed."""
    secrets = {name: context.env[name] for name in declared.secrets if context.env.get(name)}
    return Shelf(
        desk.lifecycle,
        desk.target,
        lambda: desk.store,
        open_vault=lambda: open_vault(declared, secrets),
        is_private=declared.state.store is StateStore.LOCAL,
        roles=roles_of(declared),
    )


def derived_file(desk: Desk, action: str, content: Mapping[str, Json]) -> Path:
    """A declaration that was made of another, as a file that a run of it can be gone on with."""
    Workspace(desk.repository.root).make_directory()
    path = _derived_path(desk, action)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_atomically(path, as_file(content))
    return path


def is_derived_of(desk: Desk, action: str, content: Mapping[str, Json]) -> bool:
    """Whether the file that `derived_file` made holds just that."""
    path = _derived_path(desk, action)
    return path.is_file() and path.read_bytes() == as_file(content)


def _derived_path(desk: Desk, action: str) -> Path:
    return desk.repository.root / kept_folder(desk.lifecycle, desk.target) / f"{action}.yml"


def _declared(file: Path, repository: Repository, target: str) -> tuple[Declaration | None, str, StateRule]:
    try:
        declared = load_declaration(file, root=repository.root, target=target or None)
    except DeclarationError:
        names = names_in(file, target)
        if names is None:
            raise
        return None, names[0], said_state(file, repository.root, target or None) or StateRule()
    return declared, declared.name, declared.state


def _outer(cwd: Path) -> Path:
    """The checkout that an environment belongs to, where this is a directory in the checkout of an environment."""
    found = _TREE.fullmatch(str(cwd))
    return Path(found["root"]) if found else cwd


def _target_here(context: Context, here: Repository) -> str:
    """The environment that one stands in; else that of the pull request, or of the branch that is checked out."""
    found = _TREE.fullmatch(str(context.cwd))
    if found:
        return found["target"]
    if context.ci is not None and context.ci.pull_request is not None:
        return f"pr-{context.ci.pull_request}"
    if here.branch is None:
        raise UsageError("no branch is checked out here", next="name the environment: `--target NAME`")
    return target_of_branch(here.branch)


def target_of_branch(branch: str) -> str:
    """What the environment of a branch is called: `feat/login` is `feat-login`, a long name is cut."""
    return re.sub(r"[^a-z0-9.]+", "-", branch.lower()).strip("-.")[:_LONGEST_TARGET].rstrip("-.") or host_label(branch)


def _check_branch(desk: Desk, here: Repository) -> None:
    """Refuse to take another branch's environment for this one's: two branches may come to one name. Raises UsageError."""
    record = desk.record()
    if record is not None and record.is_alive and here.branch and record.branch not in ("", here.branch):
        raise UsageError(
            f"the environment `{desk.target}` is of the branch `{record.branch}`, not of `{here.branch}`",
            next="name the one that is meant: `--target NAME`",
        )
