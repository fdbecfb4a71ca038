"""What git knows of where a repository comes from: its name, its default branch, its files. Asks no remote; changes nothing."""

from __future__ import annotations

from pathlib import Path

import git
from msgspec import Struct


class Origin(Struct, frozen=True):
    """`name` is that of the repository, `slug` its `owner/name` on a forge and `host` that forge's, empty where there is no remote.

    `default_branch` is None where git cannot tell; `how` says how it was found. `files` are those tracked and those that
    are new and not ignored, relative to the root, sorted.
    """

    name: str
    slug: str
    default_branch: str | None
    how: str
    files: tuple[str, ...]
    host: str = ""


class Checkout(Struct, frozen=True):
    """The git that is used, whether history is cut off, and whether git ignores `.shipway/` by the repository's own rules."""

    git_version: tuple[int, ...]
    is_shallow: bool
    ignores_ours: bool


def read_checkout(root: Path) -> Checkout:
    """What git is and has at `root`, which has to be a repository."""
    with git.Repo(root) as repository:
        return Checkout(
            git_version=repository.git.version_info,
            is_shallow=(Path(repository.common_dir) / "shallow").is_file(),
            ignores_ours=bool(repository.ignored(".shipway/receipts")),
        )


def read_origin(root: Path) -> Origin:
    """The origin of the git repository at `root`, which has to be one."""
    with git.Repo(root) as repository:
        remote = _remote(repository)
        slug, host = (_slug(remote.url), _host(remote.url)) if remote is not None else ("", "")
        branch, how = _default_branch(repository, remote)
        listed = repository.git.ls_files(
            "-z", "--cached", "--others", "--exclude-standard", strip_newline_in_stdout=False
        )
        files = tuple(sorted({name for name in listed.split("\0") if name}))
    return Origin(slug.rpartition("/")[2] or root.name, slug, branch, how, files, host)


def _remote(repository: git.Repo) -> git.Remote | None:
    """`origin`, else the first by name."""
    remotes = sorted(repository.remotes, key=lambda remote: (remote.name != "origin", remote.name))
    return remotes[0] if remotes else None


def _slug(url: str) -> str:
    """`owner/name` out of `https://host/owner/name.git` or `git@host:owner/name.git`."""
    parts = url.removesuffix("/").removesuffix(".git").replace(":", "/").split("/")
    return "/".join(parts[-2:]) if len(parts) > 1 else ""


def _host(url: str) -> str:
    """The host of `https://host:port/…`, `ssh://user@host/…` or `user@host:…`; empty for a path."""
    scheme, has_scheme, rest = url.partition("://")
    place = rest if has_scheme else url.partition(":")[0] if ":" in url.partition("/")[0] else ""
    return "" if scheme == "file" else place.partition("/")[0].rpartition("@")[2].partition(":")[0].lower()


def _default_branch(repository: git.Repo, remote: git.Remote | None) -> tuple[str | None, str]:
    """The branch and how it was found. A remote's HEAD is what it said when it was cloned."""
    prefix = f"refs/remotes/{remote.name}/" if remote is not None else ""
    refs = [ref.path for ref in repository.refs if prefix and ref.path.startswith(prefix)]
    if f"{prefix}HEAD" in refs and remote is not None:
        return repository.git.symbolic_ref(f"{prefix}HEAD").removeprefix(prefix), f"the HEAD of `{remote.name}`"
    if len(refs) == 1 and remote is not None:
        return refs[0].removeprefix(prefix), f"the only branch of `{remote.name}`"
    if refs or repository.head.is_detached:
        return None, ""
    return repository.active_branch.name, "the branch that you are on; no remote was fetched"
