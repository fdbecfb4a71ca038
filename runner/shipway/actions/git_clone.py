"""The action `git.clone`: a repository cloned to where nothing is. Keeps no password: neither in the clone nor in a record."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from msgspec.structs import replace

from shipway.action import Access, ActionFailed, Done, Drifted, PlanWork, Prediction, SlotRule, SlotType, Work
from shipway.declaration import OutputRule
from shipway.file_content import outside, unplanned
from shipway.file_state import Kind, describe, fingerprint, kind_of
from shipway.git_work import Git, address, forget, git_at, note, noted, path_of, repository_record
from shipway.nodes import Change, Fidelity, Verified
from shipway.replacement import changing, faults_told, undo_changes


class GitClone:
    """Clones `url` to `path`, where nothing or an empty folder is; undo removes it as long as it holds nothing new.

    A clone of the same address that is there is `unchanged`, whatever is checked out in it.
    """

    runs_in: Literal["thread"] = "thread"
    name = "git.clone"
    contract = 1
    slots: Mapping[str, SlotRule] = {
        "url": SlotRule(SlotType.STRING, required=True, description="http, https, ssh, git or file, or a path"),
        "path": SlotRule(
            SlotType.STRING,
            required=True,
            description="where to clone to; in the workspace, or absolute",
            access=Access.CLEARS,
        ),
    }
    outputs: Mapping[str, OutputRule] = {"path": OutputRule("string"), "commit": OutputRule("string", required=False)}

    def plan(self, work: PlanWork) -> Prediction:
        """Predicted, since no network is asked: exact where the clone is there."""
        unknown = unplanned(work, Change.CREATE, "path", "url")
        if unknown is not None:
            return unknown
        with faults_told():
            path = path_of(work)
            url = address(str(work.inputs["url"])).shown
            is_there = _is_there(work, path, url)
            return Prediction(
                Change.NOOP if is_there else Change.CREATE,
                Fidelity.EXACT if is_there else Fidelity.PREDICTED,
                why="; ".join(
                    filter(
                        None, ("" if is_there else "its commit is known when it is cloned", outside(work.root, path))
                    )
                ),
                before=describe(path),
                after={"kind": "repository", "url": url},
                outputs={"path": work.inputs["path"]},
                reversible=True,
            )

    def do(self, work: Work) -> Done:
        """Clone beside, then rename: it is there as a whole or not at all."""
        name, remote = work.inputs["path"], address(str(work.inputs["url"]))
        with changing(work) as ledger:
            path = path_of(work)
            beside = _beside(path)
            _remove(beside)
            if _is_there(work, path, remote.shown):
                commit = git_at(work, path).commit
                record = repository_record(name, commit, "clone", source=remote.shown)
                return Done(_outputs(name, commit), unchanged=True, change=Change.NOOP, records=(record,))
            ledger.make_parents(path)
            try:
                git = Git(path.parent, {**work.env, **remote.env}, work.cancelled)
                git.run(
                    "clone", "--quiet", "--no-recurse-submodules", "--", _absolute(work.root, remote.shown), str(beside)
                )
                cloned = git_at(work, beside)
                commit = cloned.commit
                state = note(work, {"before": fingerprint(path), "holds": _holds(cloned)})
                beside.rename(path)
            finally:
                _remove(beside)
            ledger.complete()
            record = repository_record(name, commit, "clone", source=remote.shown)
            return Done(_outputs(name, commit), undo=state, change=Change.CREATE, records=(record,))

    def undo(self, work: Work) -> None:
        """Remove it. Raises Drifted where anything in it is new: a file, a commit, a branch, a stash."""
        with faults_told():
            path = path_of(work)
            beside = _beside(path)
            _remove(beside)
            state = noted(work)
            if state is not None and kind_of(path) is Kind.DIRECTORY and (path / ".git").exists():
                _refuse_new(git_at(work, path), str(work.inputs["path"]), state["holds"])
                path.rename(beside)
                kind, *mode = str(state["before"]).split()
                if kind == Kind.DIRECTORY.value:
                    path.mkdir()
                    path.chmod(int(mode[0], 8))
                _remove(beside)
            forget(work)
        undo_changes(replace(work, state=None))  # the state is ours: of the folders above only the notes tell

    def verify(self, work: Work) -> Verified:
        """Whether a clone of that address is there."""
        try:
            is_there = _is_there(work, path_of(work), address(str(work.inputs["url"])).shown)
        except (ActionFailed, OSError):
            return Verified.GONE
        return Verified.HOLDS if is_there else Verified.GONE


def _outputs(name: object, commit: str) -> dict[str, str]:
    return {"path": str(name), **({"commit": commit} if commit else {})}


def _is_there(work: PlanWork | Work, path: Path, url: str) -> bool:
    """Whether a clone of `url` stands there. Raises ActionFailed where something else does."""
    kind = kind_of(path)
    if kind is Kind.ABSENT or (kind is Kind.DIRECTORY and not any(path.iterdir())):
        return False
    if kind is Kind.DIRECTORY and (path / ".git").exists():
        found = git_at(work, path).ask("config", "--get", "remote.origin.url")
        if found == _absolute(work.root, url):
            return True
    raise ActionFailed(f"`path` `{work.inputs['path']}` is there and no clone of `{url}`")


def _holds(git: Git) -> str:
    """A digest over all that a clone holds beside its files: every ref, and what is checked out."""
    told = git.ask("for-each-ref", "--format=%(refname) %(objectname)") + "\n" + git.commit + "\n" + git.branch
    return hashlib.sha256(told.encode("utf-8", "surrogateescape")).hexdigest()


def _refuse_new(git: Git, name: str, holds: object) -> None:
    new = git.changed(with_new=True)
    if new:
        raise Drifted(f"`{name}` holds something new: `{new}`; it is left alone")
    for inner, what in (("worktrees", "other work trees"), ("modules", "submodules")):
        # A clone of ours has none, and what they hold may be nowhere else.
        if kind_of(git.folder / ".git" / inner) is not Kind.ABSENT:
            raise Drifted(f"`{name}` has {what}; it is left alone")
    # Files that git was told not to look at: `update-index --assume-unchanged`, `--skip-worktree`.
    hidden = next((line[2:] for line in git.run("ls-files", "-v").splitlines() if not line.startswith("H ")), "")
    if hidden:
        raise Drifted(f"whether `{hidden}` in `{name}` was changed is kept from git; it is left alone")
    if _holds(git) != holds:
        raise Drifted(f"`{name}` holds other commits or branches than were cloned; it is left alone")


def _beside(path: Path) -> Path:
    return path.parent / f".shipway-clone-{hashlib.sha256(os.fsencode(path)).hexdigest()[:16]}"


def _remove(folder: Path) -> None:
    if kind_of(folder) is Kind.DIRECTORY:
        shutil.rmtree(folder)


def _absolute(root: Path, url: str) -> str:
    """A path is relative to the workspace, and not to where git happens to run."""
    is_path = "://" not in url and (":" not in url or url.startswith(("/", "./", "../")))
    return os.path.normpath(root / url) if is_path else url
