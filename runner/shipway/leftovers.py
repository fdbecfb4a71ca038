"""Looks for what bears the mark of an environment: processes, containers, checkouts, leases, locks; and takes it away.

Of this machine only what belongs to this very repository is seen: another clone of it has environments of the same names.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from shlex import quote

from msgspec import Struct, field

from shipway.action import ActionFailed
from shipway.attempt import Grace
from shipway.canonical import mapping
from shipway.checkouts import alone_with_work_trees
from shipway.compute_access import Ran
from shipway.environments import Environments, environment_key
from shipway.local_access import LocalAccess
from shipway.port_blocks import Owner
from shipway.port_leases import PortLeases
from shipway.preview_names import PREVIEWS
from shipway.process_identity import carried, group_of
from shipway.programs import run_program
from shipway.store import Store
from shipway.store_leftovers import leases, locks, unlock
from shipway.supervision import MARK
from shipway.survivors import Survivor, end
from shipway.sweeping import Found, Kind, machines_in, owner_of, variables_of

LABEL = "shipway.preview"
"""What the containers of an environment are labelled with: `<lifecycle>/<target>`."""

_FOLDER = "com.docker.compose.project.working_dir"
_PROJECT = "com.docker.compose.project"
_GRACE = Grace(2_000, 2_000)
_HOOK_TIMEOUT_MS = 300_000


class Ground(Struct, frozen=True):
    """Where to look: the repository, the store of its lifecycle, and the base of every child environment.

    `list_script` and `destroy_script` are the hooks of `compute`, empty where there are none; `hook_env` are their variables.
    """

    root: Path
    store: Store
    lifecycle: str
    env: Mapping[str, str]
    list_script: str = ""
    destroy_script: str = ""
    hook_env: Mapping[str, str] = field(default_factory=dict)

    @property
    def previews(self) -> Path:
        """The folder in which the environments of this machine live."""
        return self.root.resolve() / PREVIEWS / self.lifecycle


class Unasked(Struct, frozen=True):
    """What could not be looked at, and why."""

    kind: Kind
    why: str

    def __str__(self) -> str:
        """One line for people."""
        return f"{'machines' if self.kind is Kind.MACHINE else self.kind.value}: {self.why}"


class Evidence(Struct, frozen=True):
    """What was found, and what could not be looked at."""

    found: tuple[Found, ...]
    unknown: tuple[Unasked, ...] = ()


def look(ground: Ground, now_ms: int) -> Evidence:
    """Everything with the mark of an environment of the lifecycle, whether that is there or not. Changes nothing.

    Records that it is held against are read after this: whoever makes an environment writes its record first.
    Raises StoreError where the store cannot be asked: without it nobody knows what has an owner.
    """
    found = [*_processes(ground), *_checkouts(ground), *leases(ground.store, ground.lifecycle)]
    found += locks(ground.store, ground.lifecycle, now_ms)
    unknown: list[Unasked] = []
    for kind, ask in ((Kind.CONTAINERS, _containers), (Kind.MACHINE, _machines)):
        try:
            found += ask(ground)
        except ActionFailed as error:
            unknown.append(Unasked(kind, str(error)))
    return Evidence(tuple(found), tuple(unknown))


def remove(found: Found, ground: Ground, pause: Callable[[int], None]) -> bool:
    """Take one thing away, unless its environment was made meanwhile: then False. What is gone already is no error.

    `pause` takes milliseconds. Deployments are the forge's. Raises ActionFailed and UnreachableError.
    """
    record = Environments(ground.store, found.owner.lifecycle).read(found.owner.target)
    if record is not None and record.is_alive:
        return False
    _take_away(found, ground, pause)
    return True


def _take_away(found: Found, ground: Ground, pause: Callable[[int], None]) -> None:
    match found.kind:
        case Kind.PROCESS:
            _end(found, ground, pause)
        case Kind.CONTAINERS:
            ids = [each for each, owner, _ in _labelled(ground) if owner == found.owner]
            if ids:
                _docker(ground, "rm", "--force", "--volumes", *ids)
        case Kind.CHECKOUT:
            place = ground.previews / found.owner.target
            if place.is_symlink() or place.parent.is_symlink():
                raise ActionFailed(f"`{place}` is a link, which is not followed")
            shutil.rmtree(place, ignore_errors=True)
            with alone_with_work_trees(ground.root):
                _git(ground, "worktree", "prune")
        case Kind.MACHINE:
            _destroy(found, ground)
        case Kind.LEASE:
            PortLeases(ground.store).release(found.owner)
        case Kind.LOCK:
            unlock(found, ground.store)
        case _:
            raise ActionFailed(f"a {found.kind.value} is not taken away here")


# Processes.


def _processes(ground: Ground) -> Iterator[Found]:
    """The process groups whose leader bears the mark and stands in a checkout of ours; a group once."""
    groups: dict[int, Found] = {}
    for pid, mark in carried(f"{MARK}={ground.lifecycle}/").items():
        owner, group = owner_of(mark.removeprefix(f"{MARK}=")), group_of(pid)
        if owner is None or group is None or group in groups or not _stands_in(ground, pid, owner):
            continue
        name = mark.removeprefix(f"{MARK}=")
        groups[group] = Found(
            Kind.PROCESS,
            str(group),
            owner,
            f"process {pid} has {MARK}={name}",
            f"kill -TERM -- -{group}",
            _begun_ms(pid),
        )
    yield from groups.values()


def _stands_in(ground: Ground, pid: int, owner: Owner) -> bool:
    try:
        folder = os.readlink(f"/proc/{pid}/cwd").removesuffix(" (deleted)")
    except OSError:
        return False
    return Path(folder).is_relative_to(ground.previews / owner.target)


def _begun_ms(pid: int) -> int | None:
    """When a process began: the folder of it in /proc is made then."""
    with suppress(OSError):
        return int(os.stat(f"/proc/{pid}").st_mtime * 1000)
    return None


def _end(found: Found, ground: Ground, pause: Callable[[int], None]) -> None:
    """End the group, if it is still the one that was found: numbers are used again."""
    if any(each.name == found.name and each.owner == found.owner for each in _processes(ground)):
        end([Survivor(str(found.owner), int(found.name))], _GRACE, pause)


# Containers.


def _containers(ground: Ground) -> Iterator[Found]:
    projects: dict[tuple[Owner, str], int] = {}
    for _, owner, project in _labelled(ground):
        projects[owner, project] = projects.get((owner, project), 0) + 1
    for (owner, project), count in projects.items():
        label = f"{LABEL}={owner.lifecycle}/{owner.target}"
        evidence = f"{count} container{'s' * (count > 1)} with the label {label}"
        command = f"docker rm --force --volumes $(docker ps --all --quiet --filter label={quote(label)})"
        yield Found(Kind.CONTAINERS, project or owner.target, owner, evidence, command)


def _labelled(ground: Ground) -> Iterator[tuple[str, Owner, str]]:
    """Id, owner and project of each container of ours. Raises ActionFailed where they cannot be asked for; none without docker."""
    if shutil.which("docker", path=ground.env.get("PATH")) is None:
        return
    fields = (".ID", *(f'(.Label "{name}")' for name in (LABEL, _PROJECT, _FOLDER)))
    form = " ".join(f"{{{{json {each}}}}}" for each in fields)
    arguments = ("--all", "--no-trunc", "--filter", f"label={LABEL}", "--format", form)
    for line in _docker(ground, "ps", *arguments).splitlines():
        ident, mark, project, folder = _texts(line)
        owner = owner_of(mark)
        is_ours = owner is not None and owner.lifecycle == ground.lifecycle
        if owner is not None and is_ours and Path(folder or "/").is_relative_to(ground.previews / owner.target):
            yield ident, owner, project


def _texts(line: str) -> list[str]:
    """The JSON texts that stand in a line."""
    found: list[str] = []
    while line := line.lstrip():
        text, end_of_it = json.JSONDecoder().raw_decode(line)
        found.append(str(text))
        line = line[end_of_it:]
    return found


def _docker(ground: Ground, *arguments: str) -> str:
    told = run_program(["docker", *arguments], cwd=ground.root, env=ground.env, cancelled=lambda: False)
    if told.code != 0:
        raise ActionFailed(f"docker {arguments[0]}: {told.complaint or f'exit {told.code}'}", code="docker")
    return told.out.decode("utf-8", "replace")


# Checkouts.


def _checkouts(ground: Ground) -> Iterator[Found]:
    """The folders of targets of which something says that they are of this lifecycle."""
    if ground.previews.is_symlink() or ground.previews.parent.is_symlink() or not ground.previews.is_dir():
        return
    for place in sorted(ground.previews.iterdir()):
        if not (place / "tree").is_dir() or place.is_symlink():
            continue
        owner = Owner(ground.lifecycle, place.name)
        evidence = _claim(ground, place, owner)
        if evidence:
            since = int((place / "tree").stat().st_ctime * 1000)
            command = f"git worktree remove --force {quote(str((place / 'tree').relative_to(ground.root.resolve())))}"
            yield Found(Kind.CHECKOUT, str(place / "tree"), owner, evidence, command, since)


def _claim(ground: Ground, place: Path, owner: Owner) -> str:
    """What says that a checkout is of an environment of ours, besides the folder that it lies in; empty where nothing does."""
    if ground.store.read(environment_key(owner.lifecycle, owner.target)) is not None:
        return "its environment is gone by its record"
    try:
        said = mapping(json.loads((place / "manifest.json").read_bytes()))
    except (OSError, ValueError, RecursionError):
        return ""
    is_ours = (said.get("lifecycle"), said.get("target")) == (owner.lifecycle, owner.target)
    return "its manifest says whose it is" if is_ours else ""


def _git(ground: Ground, *arguments: str) -> None:
    run_program(["git", *arguments], cwd=ground.root, env=ground.env, cancelled=lambda: False)


# Machines.


def _machines(ground: Ground) -> list[Found]:
    if not ground.list_script:
        return []
    ran = _hook(ground, ground.list_script, {"SHIPWAY_LIFECYCLE": ground.lifecycle, "SHIPWAY_ACTION": "list"})
    return machines_in(ran.text, ground.destroy_script)


def _destroy(found: Found, ground: Ground) -> None:
    if not ground.destroy_script:
        raise ActionFailed("`compute` has no hook `destroy`")
    _hook(ground, ground.destroy_script, {**variables_of(found.owner), "SHIPWAY_MACHINE": found.name})


def _hook(ground: Ground, script: str, more: Mapping[str, str]) -> Ran:
    given = {"SHIPWAY_ROOT": str(ground.root), **ground.hook_env, **more}
    ran = LocalAccess(str(ground.root), ground.env).run(script, env=given, timeout_ms=_HOOK_TIMEOUT_MS)
    if ran.exit_code != 0 or ran.stopped:
        raise ActionFailed(f"the hook ended with {ran.stopped or f'exit {ran.exit_code}'}: {ran.said()}", code="exit")
    return ran
