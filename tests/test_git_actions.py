"""Shows what `git.clone`, `git.checkout` and `git.pull` do to real repositories, and what their undo brings back or leaves."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from msgspec.structs import replace

from shipway.action import ActionFailed, Done, Drifted, Prediction, ThreadAction
from shipway.actions.git_checkout import GitCheckout
from shipway.actions.git_clone import GitClone
from shipway.actions.git_pull import GitPull
from shipway.canonical import Json
from shipway.nodes import Change, Fidelity, Outcome, Verified
from tests.contracts.action import (
    CHECKS,
    ActionCase,
    check_leaves_process_alone,
    check_undo,
    plan_work,
    tree,
    undo_work,
    work,
)
from tests.git_remotes import git, make_remote, served
from tests.runs import declare, run

ENV = {"PATH": os.environ["PATH"], "HOME": "/nowhere"}


def _prepare(root: Path) -> None:
    """A remote with two branches and a tag, and a clone that is one commit behind."""
    bare = root / "remote.git"
    seed = root / "seed"
    git(root, "init", "-q", "--bare", "-b", "main", str(bare))
    git(root, "init", "-q", "-b", "main", str(seed))
    for number in ("1", "2"):
        (seed / "file").write_text(number)
        (seed / f"only-{number}").write_text(number)
        git(seed, "add", ".")
        git(seed, "commit", "-q", "-m", number)
        git(seed, "tag", f"v{number}")
    git(seed, "branch", "other", "v1")
    git(seed, "push", "-q", str(bare), "main", "other", "--tags")
    git(root, "clone", "-q", str(bare), str(root / "clone"))
    (seed / "file").write_text("3")
    git(seed, "commit", "-q", "-a", "-m", "3")
    git(seed, "push", "-q", str(bare), "main")


CLONE: dict[str, Json] = {"url": "remote.git", "path": "made/new"}
CHECKOUT: dict[str, Json] = {"repo": "clone", "ref": "v1"}


def _changed(name: str) -> Callable[[Path], None]:
    def disturb(root: Path) -> None:
        (root / name).write_text("theirs")

    return disturb


CASES = [
    ActionCase("clone", GitClone, CLONE, _prepare, _changed("made/new/new"), {"url": "nowhere.git"}, ENV),
    ActionCase("clone that is there", GitClone, {**CLONE, "path": "clone"}, _prepare, None, {"path": "seed"}, ENV),
    ActionCase("check out a tag", GitCheckout, CHECKOUT, _prepare, _changed("clone/file"), {"ref": "v9"}, ENV),
    ActionCase("check out a branch of origin", GitCheckout, {**CHECKOUT, "ref": "other"}, _prepare, env=ENV),
    ActionCase("check out what is", GitCheckout, {**CHECKOUT, "ref": "main"}, _prepare, env=ENV, breaks={"repo": "x"}),
    ActionCase("pull", GitPull, {"repo": "clone"}, _prepare, _changed("clone/file"), {"repo": "seed"}, ENV),
]


# git's own log of what was checked out stays: what stands in files and refs after an undo is compared below.
ASKED = [
    pytest.param(case, check, id=f"{case.name.replace(' ', '-')}-{check.__name__.removeprefix('check_')}")
    for case in CASES
    for check in CHECKS
    if check is not check_undo or case.make is GitClone
]


@pytest.mark.parametrize(("case", "check"), ASKED)
def test_every_git_action_keeps_the_contract(case: ActionCase, check: Callable[[ActionCase], None]) -> None:
    check(case)


class Place:
    """A workspace with a remote and a clone of it."""

    def __init__(self, folder: Path) -> None:
        self.root, self.recovery = folder / "work", folder / "recovery"
        self.root.mkdir()
        self.recovery.mkdir()
        _prepare(self.root)
        self.clone = self.root / "clone"

    def case(self, make: Callable[[], ThreadAction], inputs: Mapping[str, Json]) -> ActionCase:
        return ActionCase("", make, inputs, env=ENV)

    def plan(self, make: Callable[[], ThreadAction], inputs: Mapping[str, Json]) -> Prediction:
        return make().plan(plan_work(self.case(make, inputs), self.root))

    def do(self, make: Callable[[], ThreadAction], inputs: Mapping[str, Json]) -> Done:
        return make().do(work(self.case(make, inputs), self.root, self.recovery))

    def undo(self, make: Callable[[], ThreadAction], inputs: Mapping[str, Json], done: Done) -> None:
        make().undo(undo_work(self.case(make, inputs), self.root, self.recovery, done))

    def head(self) -> tuple[str, str, str, dict[str, tuple[str, ...]]]:
        """Branch, commit, local branches, and the files."""
        branch = git(self.clone, "rev-parse", "--abbrev-ref", "HEAD")
        refs = git(self.clone, "for-each-ref", "refs/heads")
        files = {name: entry for name, entry in tree(self.clone).items() if not name.startswith(".git")}
        return branch, git(self.clone, "rev-parse", "HEAD"), refs, files


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


PULL: dict[str, Json] = {"repo": "clone"}


@pytest.mark.parametrize("keeps_state", [True, False], ids=["reported", "killed"])
@pytest.mark.parametrize(
    ("make", "inputs"),
    [
        (GitCheckout, CHECKOUT),
        (GitCheckout, {**CHECKOUT, "ref": "other"}),
        (GitCheckout, {**CHECKOUT, "ref": "origin/other"}),
        (GitPull, PULL),
    ],
    ids=["tag", "branch-of-origin", "remote-branch", "pull"],
)
def test_done_and_undone_the_same_is_checked_out_as_before(
    make: Callable[[], ThreadAction], inputs: dict[str, Json], keeps_state: bool, place: Place
) -> None:
    before = place.head()
    done = place.do(make, inputs)
    assert place.head() != before
    place.undo(make, inputs, done if keeps_state else replace(done, undo=None))
    assert place.head() == before
    place.undo(make, inputs, done)
    assert place.head() == before


def test_from_a_detached_head_undo_goes_back_to_its_commit(place: Place) -> None:
    git(place.clone, "checkout", "-q", "v1")
    before = place.head()
    done = place.do(GitCheckout, {"repo": "clone", "ref": "main"})
    assert place.head()[0] == "main\n"
    place.undo(GitCheckout, {"repo": "clone", "ref": "main"}, done)
    assert place.head() == before


def test_what_is_checked_out_is_named_and_recorded(place: Place) -> None:
    commit = git(place.clone, "rev-parse", "v1").strip()
    said = place.plan(GitCheckout, CHECKOUT)
    assert (said.change, said.fidelity, said.outputs) == (
        Change.UPDATE,
        Fidelity.EXACT,
        {"ref": "v1", "commit": commit},
    )
    done = place.do(GitCheckout, CHECKOUT)
    assert done.outputs == said.outputs
    (record,) = done.records
    assert (record.kind, record.name, record.fingerprint, record.facts) == (
        "repository",
        "clone",
        commit,
        {"how": "checkout", "ref": "v1"},
    )


def test_over_local_changes_nothing_is_checked_out_or_pulled(place: Place) -> None:
    (place.clone / "file").write_text("ours")
    before = place.head()
    for make, inputs in ((GitCheckout, CHECKOUT), (GitPull, PULL)):
        with pytest.raises(ActionFailed, match="`file` in `clone` differs"):
            place.do(make, inputs)
    assert place.head() == before


def test_what_was_checked_out_or_committed_since_is_left_alone(place: Place) -> None:
    done = place.do(GitPull, PULL)
    (place.clone / "more").write_text("more")
    git(place.clone, "add", "more")
    git(place.clone, "commit", "-q", "-m", "more")
    before = place.head()
    with pytest.raises(Drifted, match="something else is checked out"):
        place.undo(GitPull, PULL, done)
    assert place.head() == before


def test_a_branch_that_went_another_way_is_not_merged(place: Place) -> None:
    (place.clone / "more").write_text("more")
    git(place.clone, "add", "more")
    git(place.clone, "commit", "-q", "-m", "more")
    before = place.head()
    with pytest.raises(ActionFailed, match="git merge: "):
        place.do(GitPull, PULL)
    assert place.head() == before


def test_a_pull_when_nothing_is_new_changes_nothing(place: Place) -> None:
    place.do(GitPull, PULL)
    assert place.do(GitPull, PULL).unchanged


def test_a_branch_that_follows_none_and_a_detached_head_are_told(place: Place) -> None:
    git(place.clone, "checkout", "-q", "-b", "mine")
    with pytest.raises(ActionFailed, match="follows no other"):
        place.do(GitPull, PULL)
    git(place.clone, "checkout", "-q", "v1")
    with pytest.raises(ActionFailed, match="no branch is checked out"):
        place.do(GitPull, PULL)


@pytest.mark.parametrize(
    "change",
    [
        lambda clone: (clone / "new").write_text("new"),
        lambda clone: (clone / "file").write_text("changed"),
        lambda clone: git(clone, "commit", "-q", "--allow-empty", "-m", "new"),
        lambda clone: git(clone, "branch", "mine"),
        lambda clone: ((clone / ".git/info/exclude").write_text("hidden\n"), (clone / "hidden").write_text("x")),
        lambda clone: ((clone / "file").write_text("x"), git(clone, "stash", "-q")),
        lambda clone: git(clone, "worktree", "add", "-q", "--detach", str(clone.parent / "tree")),
        lambda clone: (clone / ".git/modules/inner").mkdir(parents=True),
        lambda clone: (git(clone, "update-index", "--skip-worktree", "file"), (clone / "file").write_text("x")),
        lambda clone: (git(clone, "update-index", "--assume-unchanged", "file"), (clone / "file").write_text("x")),
        lambda clone: (git(clone, "config", "status.showUntrackedFiles", "no"), (clone / "new").write_text("x")),
    ],
    ids=[
        "file",
        "change",
        "commit",
        "branch",
        "ignored",
        "stash",
        "worktree",
        "submodule",
        "skipped",
        "assumed",
        "untold",
    ],
)
def test_a_clone_that_holds_anything_new_is_not_removed(change: Callable[[Path], object], place: Place) -> None:
    done = place.do(GitClone, CLONE)
    change(place.root / "made/new")
    before = tree(place.root / "made").keys()
    with pytest.raises(Drifted, match="left alone"):
        place.undo(GitClone, CLONE, done)
    assert tree(place.root / "made").keys() == before


def test_a_clone_goes_into_an_empty_folder_and_that_comes_back(place: Place) -> None:
    (place.root / "made/new").mkdir(parents=True)
    (place.root / "made/new").chmod(0o700)
    before = tree(place.root)
    done = place.do(GitClone, CLONE)
    assert (place.root / "made/new/file").read_text() == "3"
    place.undo(GitClone, CLONE, done)
    assert tree(place.root) == before


def test_a_clone_over_something_else_is_refused(place: Place) -> None:
    for path in ("seed", "clone/file"):
        with pytest.raises(ActionFailed):
            place.do(GitClone, {**CLONE, "path": path})


def test_a_killed_clone_is_removed_by_its_undo(place: Place) -> None:
    before = tree(place.root)
    done = place.do(GitClone, CLONE)
    place.undo(GitClone, CLONE, replace(done, undo=None))
    assert tree(place.root) == before


def test_a_stopped_clone_leaves_nothing(place: Place) -> None:
    before = tree(place.root)
    given = work(place.case(GitClone, {**CLONE, "url": "ssh://127.0.0.1:1/x"}), place.root, place.recovery)
    with pytest.raises(ActionFailed):
        GitClone().do(replace(given, env={**ENV, "GIT_SSH_COMMAND": "sleep 600 #"}, cancelled=lambda: True))
    assert tree(place.root) == before


@pytest.mark.parametrize(
    "url",
    [
        "ext::sh -c touch% pwned",
        "--upload-pack=touch pwned",
        "-u",
        "fd::3",
        "",
        "a\nb",
        "ssh://-oProxyCommand=touch pwned/x",
    ],
)
def test_no_address_is_an_option_or_a_program(url: str, place: Place) -> None:
    with pytest.raises(ActionFailed):
        place.do(GitClone, {**CLONE, "url": url})
    assert not list(place.root.rglob("pwned"))
    assert not (place.root / "made").exists()


@pytest.mark.parametrize("ref", ["--upload-pack=x", "-f", "", "a b", "HEAD~1", "a..b", "x:y"])
def test_no_ref_is_an_option_or_an_expression(ref: str, place: Place) -> None:
    before = place.head()
    with pytest.raises(ActionFailed):
        place.do(GitCheckout, {**CHECKOUT, "ref": ref})
    assert place.head() == before


def test_hooks_and_what_the_process_is_handed_stay_out_of_it(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_ANOTHER_STEP", "hunter2")
    told = place.root / "told"
    (place.clone / ".git/hooks/post-checkout").write_text(f"#!/bin/sh\ntouch {told}\n")
    (place.clone / ".git/hooks/post-checkout").chmod(0o755)
    (place.clone / ".git/info/attributes").write_text("file filter=tell\n")
    git(place.clone, "config", "filter.tell.smudge", f"env > {told}-env; cat")
    git(place.clone, "config", "filter.tell.clean", "cat")
    place.do(GitCheckout, CHECKOUT)
    assert not told.exists()
    assert "hunter2" not in (place.root / "told-env").read_text()


def test_a_password_in_an_address_reaches_git_and_stands_nowhere(place: Place) -> None:
    with served(place.root / "remote.git", "hunter2") as (url, seen):
        known = url.replace("http://", "http://x-access-token:hunter2@")
        inputs: dict[str, Json] = {"url": known, "path": "made/new"}
        said = place.plan(GitClone, inputs)
        done = place.do(GitClone, inputs)
        with pytest.raises(ActionFailed) as caught:
            place.do(GitClone, {**inputs, "url": known.replace("hunter2", "hunter3"), "path": "other"})
    assert (place.root / "made/new/file").read_text() == "3"
    assert any(seen)
    told = (said, done, str(caught.value), git(place.root / "made/new", "config", "--list"))
    assert "hunter" not in repr(told)
    kept = [path for path in (place.root / "made/new/.git").rglob("*") if path.is_file()]
    assert not [path for path in kept if b"hunter2" in path.read_bytes()]
    assert done.records[0].facts["source"] == url


def test_a_clone_in_a_run_is_removed_when_a_later_step_fails(tmp_path: Path) -> None:
    make_remote(tmp_path)
    declare(
        tmp_path,
        """
        steps:
          - {id: get, uses: git.clone, with: {url: remote.git, path: tools/x}}
          - {id: fail, run: exit 1}
        """,
    )
    receipt = run(tmp_path).receipt
    assert receipt.by_id["main/get"].outcome is Outcome.UNDONE
    assert not (tmp_path / "tools").exists()


def test_verify_tells_whether_it_is_there(place: Place) -> None:
    given = work(place.case(GitCheckout, {**CHECKOUT, "repo": "nowhere"}), place.root, place.recovery)
    assert GitCheckout().verify(given) is Verified.GONE
    assert GitPull().verify(work(place.case(GitPull, PULL), place.root, place.recovery)) is Verified.UNKNOWN


def test_nothing_of_ours_is_left_open(place: Place) -> None:
    check_leaves_process_alone(CASES[0])
