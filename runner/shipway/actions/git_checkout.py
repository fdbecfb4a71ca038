"""The action `git.checkout`: another branch, tag or commit in a repository that is there. Fetches nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from shipway.action import ActionFailed, Done, Drifted, PlanWork, Prediction, SlotRule, SlotType, Work
from shipway.canonical import Json
from shipway.declaration import OutputRule
from shipway.file_content import unplanned
from shipway.git_work import REPO, Git, checked_ref, forget, note, noted, repository_of, repository_record
from shipway.nodes import Change, Fidelity, Verified
from shipway.replacement import faults_told


class GitCheckout:
    """Checks `ref` out in `repo`; undo checks out again what was before, where nothing was changed since."""

    runs_in: Literal["thread"] = "thread"
    name = "git.checkout"
    contract = 1
    slots: Mapping[str, SlotRule] = {
        "repo": REPO,
        "ref": SlotRule(SlotType.STRING, required=True, description="a branch, a tag, or a commit; of `origin` too"),
    }
    outputs: Mapping[str, OutputRule] = {"ref": OutputRule("string"), "commit": OutputRule("string")}

    def plan(self, work: PlanWork) -> Prediction:
        """Exact where the repository has the commit and nothing runs before."""
        unknown = unplanned(work, Change.UPDATE, "repo", "ref")
        if unknown is not None:
            return unknown
        ref = checked_ref(str(work.inputs["ref"]))
        outputs: dict[str, Json] = {"ref": ref}
        with faults_told():
            try:
                git = repository_of(work)
                to = _found(git, ref)
            except ActionFailed:
                if not work.node.needs:
                    raise
                why = "it is not there before what it needs"
                return Prediction(Change.UPDATE, Fidelity.OPAQUE, why=why, outputs=outputs, reversible=True)
            why = "it is checked out after what it needs" if work.node.needs else ""
            return Prediction(
                Change.NOOP if _is_there(git, to) else Change.UPDATE,
                Fidelity.PREDICTED if why else Fidelity.EXACT,
                why=why,
                before={"kind": "repository", "branch": git.branch or None, "commit": git.commit or None},
                after={"kind": "repository", "branch": to.branch or None, "commit": to.commit},
                outputs=outputs if why else {**outputs, "commit": to.commit},
                reversible=True,
            )

    def do(self, work: Work) -> Done:
        """Check it out. Fails with nothing changed where files differ from the commit, or `ref` is not known."""
        ref = checked_ref(str(work.inputs["ref"]))
        git = repository_of(work)
        to = _found(git, ref)
        outputs: dict[str, Json] = {"ref": ref, "commit": to.commit}
        record = repository_record(work.inputs["repo"], to.commit, "checkout", ref=ref)
        if _is_there(git, to):
            return Done(outputs, unchanged=True, change=Change.NOOP, records=(record,))
        changed = git.changed()
        if changed:
            raise ActionFailed(
                f"`{changed}` in `{work.inputs['repo']}` differs from the commit: nothing is checked out"
            )
        state = note(
            work,
            {"branch": git.branch, "commit": git.commit, "to_branch": to.branch, "to": to.commit, "is_new": to.is_new},
        )
        git.run("checkout", "--quiet", "--no-guess", *to.arguments, "--")
        return Done(outputs, undo=state, change=Change.UPDATE, records=(record,))

    def undo(self, work: Work) -> None:
        """Go back. Raises Drifted where files differ from the commit, or something else is checked out by now."""
        state = noted(work)
        if state is None:
            return
        git = repository_of(work)
        branch, commit = str(state["branch"]), str(state["commit"])
        if (git.branch, git.commit) != (branch, commit):
            self._go_back(work, git, state, branch, commit)
        new = str(state["to_branch"])
        if state["is_new"] and git.ask("rev-parse", "--verify", "--quiet", f"refs/heads/{new}") == state["to"]:
            git.run("branch", "--quiet", "-D", "--", new)
        forget(work)

    def _go_back(self, work: Work, git: Git, state: Mapping[str, Json], branch: str, commit: str) -> None:
        repo = work.inputs["repo"]
        if (git.branch, git.commit) != (state["to_branch"], state["to"]):
            raise Drifted(f"something else is checked out in `{repo}` by now; it is left alone")
        changed = git.changed()
        if changed:
            raise Drifted(f"`{changed}` in `{repo}` differs from the commit; it is left alone")
        if branch and git.ask("rev-parse", "--verify", "--quiet", f"refs/heads/{branch}") != commit:
            raise Drifted(f"the branch `{branch}` of `{repo}` is another by now; it is left alone")
        git.run("checkout", "--quiet", "--no-guess", *((branch,) if branch else ("--detach", commit)), "--")

    def verify(self, work: Work) -> Verified:
        """Whether it is checked out."""
        try:
            git = repository_of(work)
            to = _found(git, checked_ref(str(work.inputs["ref"])))
        except ActionFailed:
            return Verified.GONE
        return Verified.HOLDS if _is_there(git, to) else Verified.GONE


class _Found(Struct, frozen=True):
    """What a ref is: `branch` the local one, empty for a tag or a commit; `is_new`: one that only `origin` has."""

    commit: str
    branch: str
    arguments: tuple[str, ...]
    is_new: bool = False


def _found(git: Git, ref: str) -> _Found:
    for name, branch in ((f"refs/heads/{ref}", ref), (f"refs/tags/{ref}", ""), (f"refs/remotes/{ref}", "")):
        commit = git.ask("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
        if commit:
            return _Found(commit, branch, (branch,) if branch else ("--detach", commit))
    commit = git.ask("rev-parse", "--verify", "--quiet", f"refs/remotes/origin/{ref}^{{commit}}")
    if commit:
        return _Found(commit, ref, ("--track", "-b", ref, f"refs/remotes/origin/{ref}"), is_new=True)
    commit = git.ask("rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}")
    if commit:
        return _Found(commit, "", ("--detach", commit))
    raise ActionFailed(f"`ref` `{ref}` is no branch, tag or commit that the repository has; nothing is fetched for it")


def _is_there(git: Git, to: _Found) -> bool:
    return (git.branch, git.commit) == (to.branch, to.commit)
