"""The checkout that a preview lives in: a work tree of this repository, or a repository of its own on a host, by git over ssh."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from shlex import join, quote

from shipway.action import ActionFailed, PlanWork, Work
from shipway.compute_access import Access, Ran
from shipway.git_work import Git, git_at
from shipway.hook_runs import check_stopped
from shipway.local_access import LocalAccess
from shipway.preview_names import kept_folder
from shipway.reaching import base_of
from shipway.ssh_access import SshAccess
from shipway.ssh_control import Control
from shipway.workspace import Workspace

_REF = "refs/shipway/head"
_OWNER = ".git/shipway-preview"
"""Says whose preview a repository on a host is; nothing else there is ever updated or removed."""

_FOREIGN = '{ echo "it is not of this preview" >&2; exit 41; }'
_ABSENT = 3

# git on a host reads its own settings; none of them may run a program that comes with what is pushed.
_REMOTE_GIT = "git -c core.hooksPath=/dev/null -c core.fsmonitor=false -c advice.detachedHead=false"


def local_place(work: PlanWork | Work) -> Path:
    """Where the work tree of a target is: below `.shipway` of the repository."""
    return work.root / kept_folder(str(work.inputs["lifecycle"]), str(work.inputs["target"])) / "tree"


def head_of(work: Work) -> str:
    """The commit that is checked out in the workspace. Raises ActionFailed where it is no git repository."""
    commit = git_at(work, work.root).commit
    if not commit:
        raise ActionFailed("a preview needs a git repository with a commit", is_permanent=True)
    return commit


def is_checkout(git: Git) -> bool:
    """Whether the folder is the top of a work tree."""
    try:
        return git.folder.is_dir() and os.path.samefile(git.ask("rev-parse", "--show-toplevel") or "/", git.folder)
    except OSError:
        return False


def make_work_tree(work: Work) -> None:
    """Make it at the head of the workspace, or bring the one that is there to it; what git does not know in it stays."""
    commit, place = head_of(work), local_place(work)
    git, inside = git_at(work, work.root), git_at(work, place)
    Workspace(work.root).make_directory()
    with alone_with_work_trees(work.root):
        for folder in _folders_of(place)[::-1]:
            if folder.is_symlink():
                raise ActionFailed(f"`{folder}` is a link, which is not followed", is_permanent=True)
            folder.mkdir(mode=0o700, exist_ok=True)
        if not ((place / ".git").exists() and is_checkout(inside)):
            # What a killed run left half-made has no use.
            shutil.rmtree(place, ignore_errors=True)
            git.run("worktree", "prune")
            git.run("worktree", "add", "--quiet", "--force", "--no-checkout", "--detach", str(place), commit)
    _unlock(inside)
    inside.run("checkout", "--quiet", "--force", "--detach", commit)
    _check_submodules(LocalAccess(str(place), base_of(work)), work)


def _folders_of(place: Path) -> tuple[Path, ...]:
    """Those of a checkout that are there for previews only: its target's, its lifecycle's, that of all."""
    return place.parents[0], place.parents[1], place.parents[2]


def remove_work_tree(work: Work) -> bool:
    """Remove it, and what git knows of it; whether it was there."""
    place = local_place(work)
    if any(folder.is_symlink() for folder in _folders_of(place)):
        return False
    was_there = place.exists()
    if was_there:
        shutil.rmtree(place)
    git = git_at(work, work.root)
    with alone_with_work_trees(work.root):
        if git.commit:
            git.run("worktree", "prune")
        for folder in _folders_of(place):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
    return was_there


@contextmanager
def alone_with_work_trees(root: Path) -> Iterator[None]:
    """Let no other run add or prune a work tree meanwhile: git takes one that is half-made for one that is gone."""
    import fcntl  # late: there is none on Windows, where plans are made

    folder = Workspace(root).directory
    if not folder.is_dir():
        yield
        return
    descriptor = os.open(folder / "worktrees.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def push_checkout(work: Work, control: Control, root: str) -> None:
    """Bring the head of the workspace to `root` on a host, which is made where it is missing."""
    commit, owner = head_of(work), _owner(work)
    _ended(SshAccess("/", control).run(_prepare(root, owner), cancelled=work.cancelled), root)
    _push(work, control, root, commit)
    access = SshAccess(root, control)
    _ended(access.run(f"{_REMOTE_GIT} checkout --quiet --force --detach {commit}\n", cancelled=work.cancelled), root)
    _check_submodules(access, work)


def is_pushed(access: Access, work: PlanWork | Work) -> bool:
    """Whether the preview's own repository is at the root of `access`. Raises what reaching it raises."""
    ran = access.run(f'[ "$(cat {_OWNER})" = {quote(_owner(work))} ] && git rev-parse --quiet --verify HEAD >/dev/null')
    return ran.exit_code == 0


def remove_pushed(work: Work, control: Control, root: str) -> bool:
    """Remove it from its host; whether it was there."""
    script = (
        f"cd -- {quote(root)} 2>/dev/null || exit {_ABSENT}\n"
        f'[ "$(cat {_OWNER} 2>/dev/null)" = {quote(_owner(work))} ] || {_FOREIGN}\n'
        f"cd / && rm -rf -- {quote(root)}\n"
    )
    ran = SshAccess("/", control).run(script, cancelled=work.cancelled)
    if ran.exit_code == _ABSENT:
        return False
    _ended(ran, root)
    return True


def _prepare(root: str, owner: str) -> str:
    return (
        "umask 077\n"
        f"mkdir -p -- {quote(root)} && cd -- {quote(root)} || exit 1\n"
        f"if [ ! -e .git ]; then\n"
        '    [ -z "$(ls -A)" ] || { echo "it is not empty, and not of this preview" >&2; exit 41; }\n'
        f"    {_REMOTE_GIT} init --quiet . && printf %s {quote(owner)} > {_OWNER} || exit 1\n"
        "    git config receive.shallowUpdate true && git config gc.auto 0\n"
        f"    umask 022; chmod 755 .\n"
        "fi\n"
        f'[ "$(cat {_OWNER} 2>/dev/null)" = {quote(owner)} ] || {_FOREIGN}\n'
        "rm -f .git/index.lock .git/shallow.lock\n"
    )


def _push(work: Work, control: Control, root: str, commit: str) -> None:
    """git's own connection is one more session of the one that is there, and never another."""
    told: Mapping[str, str] = {
        **base_of(work),
        "GIT_SSH_COMMAND": join(["ssh", *control.command]),
        "GIT_SSH_VARIANT": "simple",
    }
    control.open()
    name = control.host.name
    address = f"[{name}]:{root}" if ":" in name and not name.startswith("[") else f"{name}:{root}"
    Git(work.root, told, work.cancelled).run("push", "--quiet", "--force", "--no-verify", address, f"{commit}:{_REF}")


def _check_submodules(access: Access, work: Work) -> None:
    """Check out the submodules, if there are any. Raises ActionFailed with what git says of one that cannot be had."""
    script = (
        "[ -f .gitmodules ] || exit 0\n"
        "GIT_TERMINAL_PROMPT=0 GIT_ALLOW_PROTOCOL=file:git:http:https:ssh; export GIT_TERMINAL_PROMPT GIT_ALLOW_PROTOCOL\n"
        f"{_REMOTE_GIT} submodule --quiet sync --recursive && "
        f"{_REMOTE_GIT} submodule --quiet update --init --recursive --force\n"
    )
    ran = check_stopped(access.run(script, cancelled=work.cancelled))
    if ran.exit_code != 0:
        work.log(ran.err.decode("utf-8", "replace"))
        raise ActionFailed(f"a submodule cannot be checked out: {ran.said()}", code="git")


def _ended(ran: Ran, root: str) -> None:
    check_stopped(ran)
    if ran.exit_code != 0:
        raise ActionFailed(f"`{root}`: {ran.said() or f'exit {ran.exit_code}'}", code="git")


def _owner(work: PlanWork | Work) -> str:
    return f"{work.inputs['lifecycle']}/{work.inputs['target']}"


def _unlock(git: Git) -> None:
    """A killed git leaves its lock behind; the lock of the target says that no other is at it."""
    lock = git.ask("rev-parse", "--git-path", "index.lock")
    if lock:
        (git.folder / lock).unlink(missing_ok=True)
