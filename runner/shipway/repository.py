"""What git knows of the checkout, and digests of the files that nodes read. Runs `git`, read-only; changes nothing."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from msgspec import Struct

from shipway.errors import Reason, UsageError
from shipway.globs import match_globs

_COMMIT = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")

_OURS = (".git", ".shipway")

# The checkout's own settings may name programs (filters, as for large files), which are then run: they get what git needs
# to find its settings, and no secret or token. The last line is for Windows.
_PASSED = frozenset({"PATH", "HOME", "USER", "TMPDIR", "XDG_CONFIG_HOME", "LD_LIBRARY_PATH"})
_PASSED |= {"SYSTEMROOT", "USERPROFILE", "HOMEDRIVE", "HOMEPATH", "APPDATA", "LOCALAPPDATA", "PROGRAMDATA", "TEMP"}

# A plan must not take locks beside a running git, run hooks or a file monitor, or ask for a password.
_QUIET = {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}

# A folder that only looks like a repository (`HEAD`, `objects`, `config`) can be part of a pull request: it is none.
_SETTINGS = ("-c", "core.fsmonitor=false", "-c", "core.quotePath=false", "-c", "safe.bareRepository=explicit")


class Repository(Struct, frozen=True, dict=True):
    """A checkout, or a plain directory (`commit` None and `is_git` False). `env` is what git is run with.

    `commit` and `tree` are None in a repository without a commit. `branch` is None on a detached head. `aside` is a document
    of Shipway's own that may lie among the files without git: it is none of them.
    """

    root: Path
    env: Mapping[str, str]
    is_git: bool = False
    commit: str | None = None
    tree: str | None = None
    branch: str | None = None
    aside: Path | None = None

    @cached_property
    def changed(self) -> tuple[str, ...]:
        """Tracked files that differ from the commit, relative to the root, sorted."""
        if not self.is_git:
            return ()
        entries = _git(self.root, self.env, "status", "--porcelain=v1", "-z", "--untracked-files=no", "--no-renames")
        return tuple(sorted(entry[3:] for entry in entries.split("\0") if entry))

    @cached_property
    def files(self) -> Mapping[str, str]:
        """Path to digest (git's blob id and mode) of every tracked file as it is in the work tree; outside git every file."""
        if not self.is_git:
            aside = None if self.aside is None else Path(os.path.abspath(self.aside))
            paths = (path for path in sorted(_walk(self.root)) if self.root / path != aside)
            return {path: f"100644 {_blob_id(self.root / path)}" for path in paths}
        found: dict[str, str] = {}
        for entry in _git(self.root, self.env, "ls-files", "--stage", "-z").split("\0"):
            if entry:
                facts, _, path = entry.partition("\t")
                mode, blob, _ = facts.split(" ")
                found[path] = f"{mode} {blob}"
        for path in self.changed:
            found[path] = _work_tree_entry(self.root / path)
        return {path: entry for path, entry in found.items() if entry}

    @cached_property
    def committed_files(self) -> Mapping[str, str]:
        """`files` as the commit has them; as they are where there is no commit."""
        if self.commit is None or not self.changed:
            return self.files
        found = {}
        for entry in _git(self.root, self.env, "ls-tree", "-r", "-z", self.commit).split("\0"):
            if entry:
                facts, _, path = entry.partition("\t")
                mode, _, blob = facts.split(" ")
                found[path] = f"{mode} {blob}"
        return found

    @cached_property
    def _links(self) -> Mapping[str, str]:
        """Path to the path that it leads to, of every tracked link that stays in the checkout by its own words."""
        links = (path for path, entry in self.files.items() if entry.startswith("120000 "))
        leads = {path: (self.root / path) for path in links}
        return {
            path: os.path.normpath(os.path.join(os.path.dirname(path), os.readlink(link)))
            for path, link in leads.items()
            if link.is_symlink()
        }

    def _with_linked(self, chosen: list[str], wanted: Sequence[str]) -> Iterable[str]:
        """These files, with those behind links among them and behind links on the way to what is named."""
        if not self._links:
            return chosen
        found = dict.fromkeys(chosen)
        named = [pattern.removeprefix("./") for pattern in wanted]
        waiting = [link for link in self._links if link in found or any(name.startswith(f"{link}/") for name in named)]
        followed: set[str] = set()
        while waiting:
            link = waiting.pop()
            if link in followed:
                continue
            followed.add(link)
            leads = self._links[link]
            behind = [path for path in self.files if leads in (".", path) or path.startswith(f"{leads}/")]
            found |= dict.fromkeys([link, *behind])
            waiting += [other for other in self._links if other in found or leads.startswith(f"{other}/")]
        return found

    def merge_base(self, base: str | None) -> str | None:
        """The merge base of `base` and the head; None where there is none or a shallow clone does not reach it."""
        if not self.is_git or self.commit is None or base is None:
            return None
        try:
            return _git(self.root, self.env, "merge-base", base, self.commit).strip() or None
        except UsageError:
            return None

    def merged_onto(self, head: str) -> str | None:
        """What a test merge of the commit `head` was made upon: its first parent. None where something else is checked out.

        A pull request's event may name an older commit of its base: the one from when its head was pushed.
        """
        if not self.is_git or self.commit is None or not _COMMIT.fullmatch(head):
            return None
        try:
            _, *parents = _git(self.root, self.env, "rev-list", "--parents", "--max-count=1", self.commit).split()
        except UsageError:
            return None
        return parents[0] if parents[1:] == [head] else None

    def changed_between(self, before: str, after: str | None) -> tuple[str, ...] | None:
        """Paths that differ between two commits, or a commit and the work tree, sorted; None where one is not in this clone."""
        if not self.is_git:
            return None
        try:
            listed = _git(
                self.root, self.env, "diff", "--name-only", "-z", "--no-renames", *filter(None, (before, after)), "--"
            )
        except (UsageError, FileNotFoundError):
            return None
        return tuple(sorted(filter(None, listed.split("\0"))))

    def files_at(self, commit: str, paths: Sequence[str]) -> dict[str, bytes] | None:
        """Content of those of `paths` that are files in a commit, also behind links in it.

        None where the commit is not in this clone, or a link leads out of it.
        """
        if not self.is_git or not _COMMIT.fullmatch(commit) or any("\n" in path for path in paths):
            return None
        asked = "".join(f"{commit}:{path}\n" for path in paths)
        try:
            _git(self.root, self.env, "cat-file", "-e", f"{commit}^{{tree}}")
            answer = _git(self.root, self.env, "cat-file", "--batch", "--follow-symlinks", given=asked)
        except (UsageError, FileNotFoundError):
            return None
        return _batch(answer.encode("utf-8", "surrogateescape"), paths)

    def files_with(self, commit: str, pattern: str, names: Sequence[str]) -> tuple[str, ...]:
        """The files in a commit whose name matches one of `names` (pathspecs) and of which a line matches an extended pattern."""
        found = ("grep", "--name-only", "-z", "-I", "-E", "-e", pattern, commit, "--", *names)
        try:
            listed = _git(self.root, self.env, *found)
        except (UsageError, FileNotFoundError):  # also where there is none
            return ()
        return tuple(sorted(entry.removeprefix(f"{commit}:") for entry in listed.split("\0") if entry))

    def before_changes(self, paths: Sequence[str], pattern: str, most: int) -> tuple[str, ...]:
        """The parents of the commits that added or took a line of `paths` that matches an extended pattern, the latest first.

        Of `most` such commits; empty outside git, and where nothing is known.
        """
        asked = ("--full-history", "-m", "--no-ext-diff", "--no-textconv", "--format=%P", f"--max-count={most}")
        if not self.is_git:
            return ()
        try:
            listed = _git(self.root, self.env, "log", *asked, "-G", pattern, "HEAD", "--", *paths)
        except (UsageError, FileNotFoundError):
            return ()
        return tuple(dict.fromkeys(listed.split()))

    def digest_of(self, patterns: Iterable[str], without: Iterable[str] = (), *, is_committed: bool = False) -> str:
        """`sha256:…` over path, mode and content digest of the files that match, the files in `without` left out.

        With `is_committed` as the commit has them, whatever lies in the work tree.
        What a link leads to in this checkout is among them: whoever names the link, or a path through it, reads that.
        """
        left_out = set(without)
        wanted = tuple(patterns)
        files = self.committed_files if is_committed else self.files
        chosen: Iterable[str] = files
        if wanted != ("**",):
            chosen = self._with_linked([path for path in files if match_globs(path, wanted)], wanted)
        lines = [f"{files[path]} {path}\n" for path in chosen if path in files and path not in left_out]
        return "sha256:" + hashlib.sha256("".join(sorted(lines)).encode("utf-8", "surrogateescape")).hexdigest()


def open_repository(start: Path, env: Mapping[str, str]) -> Repository:
    """The checkout that `start` is in; the directory itself where it is in none, or where git is not installed.

    Raises UsageError where git refuses the checkout, with what git says.
    """
    passed = {name: value for name, value in env.items() if name in _PASSED or name.startswith("GIT_")}
    env = {**passed, **_QUIET}
    try:
        root = Path(_git(start, env, "rev-parse", "--show-toplevel").strip())
    except FileNotFoundError:
        return Repository(start, env)
    except UsageError as error:
        if "not a git repository" in error.message:
            return Repository(start, env)
        raise
    try:
        commit, tree = _git(root, env, "rev-parse", "HEAD", "HEAD^{tree}").split()
    except UsageError:
        return Repository(root, env, is_git=True)
    return Repository(root, env, True, commit, tree, _branch(root))


def _branch(root: Path) -> str | None:
    """The branch that HEAD names; None on a detached head. Read from the file: a process less for every command."""
    git_dir = root / ".git"
    try:
        if git_dir.is_file():
            git_dir = root / git_dir.read_text().partition(":")[2].strip()
        head = (git_dir / "HEAD").read_text().strip()
    except OSError:
        return None
    return head.removeprefix("ref: refs/heads/") if head.startswith("ref: refs/heads/") else None


def _batch(answer: bytes, paths: Sequence[str]) -> dict[str, bytes] | None:
    """What `git cat-file --batch --follow-symlinks` said of each path; None where one is a link that leads out of the tree.

    Source: https://git-scm.com/docs/git-cat-file#_batch_output
    """
    found: dict[str, bytes] = {}
    for path in paths:
        header, _, answer = answer.partition(b"\n")
        words = header.split(b" ")
        if words[0] == b"symlink":
            return None
        if header.endswith((b" missing", b" submodule")):
            continue
        size = int(words[-1])
        if words[-2] == b"blob":
            found[path] = answer[:size]
        answer = answer[size + 1 :]
    return found


def _git(directory: Path, env: Mapping[str, str], *arguments: str, given: str = "") -> str:
    """What git prints. Raises UsageError with its complaint, and FileNotFoundError where there is no git."""
    command = ("git", *_SETTINGS, *arguments)
    fed = given.encode("utf-8", "surrogateescape")
    done = subprocess.run(command, cwd=directory, env=env, input=fed, capture_output=True, check=False)
    if done.returncode != 0:
        complaint = done.stderr.decode("utf-8", "replace").strip().removeprefix("fatal: ")
        if "dubious ownership" in complaint:
            raise UsageError(
                f"git refuses this checkout, since another user owns it: {directory}",
                next=f"if you trust it: git config --global --add safe.directory {directory}",
            )
        raise UsageError(f"git {arguments[0]}: {complaint}", reason=Reason.USAGE)
    return done.stdout.decode("utf-8", "surrogateescape")


def _work_tree_entry(path: Path) -> str:
    """Mode and blob id of a changed file as it is now; empty where it was deleted."""
    if path.is_symlink():
        return f"120000 {_blob_id_of(os.readlink(path).encode('utf-8', 'surrogateescape'))}"
    if not path.is_file():
        return ""
    mode = "100755" if os.access(path, os.X_OK) else "100644"
    return f"{mode} {_blob_id(path)}"


def _blob_id(path: Path) -> str:
    return _blob_id_of(os.readlink(path).encode() if path.is_symlink() else path.read_bytes())


def _blob_id_of(content: bytes) -> str:
    """git's object id of a file's content. Source: git-scm.com/book/en/v2/Git-Internals-Git-Objects."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _walk(root: Path) -> Iterable[str]:
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name not in _OURS]
        for name in names:
            path = Path(folder) / name
            if path.is_file() or path.is_symlink():
                yield path.relative_to(root).as_posix()
