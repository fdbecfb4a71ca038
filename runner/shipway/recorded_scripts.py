"""Hooks that take away what was made at a commit that is not checked out any more: their files as that commit has them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from shlex import quote

from shipway.action import ActionFailed, Work
from shipway.checkpoint_store import known_environment
from shipway.git_work import Git
from shipway.preview_settings import file_of_hook
from shipway.reaching import base_of


@contextmanager
def recorded_script(work: Work, script: str, root: Path) -> Iterator[str]:
    """The script; where it begins with a file that `root` lacks, with that of the last commit of the environment that had it.

    As where a pull request that adds the file is closed, and its base is checked out, or where the file went with what it
    takes back. It still runs in `root`.
    """
    file, record = file_of_hook(script), known_environment(work)
    if not file.startswith("./") or (root / file).exists() or record is None or not record.commit:
        yield script
        return
    git, place = Git(work.root, base_of(work)), work.scratch / "recorded"
    has_it = git.ask("ls-tree", "--name-only", record.commit, "--", file)
    commit = (
        record.commit if has_it else git.ask("log", "-1", "--format=%H", "--diff-filter=AMR", record.commit, "--", file)
    )
    if not commit:
        yield script
        return
    work.log(f"`{file}` is not there now: it is run as commit {commit[:7]} has it\n")
    work.scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
    git.run("worktree", "add", "--quiet", "--force", "--detach", str(place), commit)
    try:
        yield script.replace(file, quote(str(place / file)), 1)
    finally:
        with suppress(ActionFailed):
            git.run("worktree", "remove", "--force", str(place))
