"""The action `git.pull`: what the remote has newer of the branch that is checked out. Merges nothing: it only goes forward."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from shipway.action import ActionFailed, Done, Drifted, PlanWork, Prediction, SlotRule, Work
from shipway.canonical import Json
from shipway.declaration import OutputRule
from shipway.file_content import unplanned
from shipway.git_work import REPO, forget, note, noted, repository_of, repository_record
from shipway.nodes import Change, Fidelity, Verified
from shipway.replacement import faults_told


class GitPull:
    """Fetches and goes forward in `repo`; undo goes back to the commit before, where nothing was changed since."""

    runs_in: Literal["thread"] = "thread"
    name = "git.pull"
    contract = 1
    slots: Mapping[str, SlotRule] = {
        "repo": REPO,
    }
    outputs: Mapping[str, OutputRule] = {"repo": OutputRule("string"), "commit": OutputRule("string")}

    def plan(self, work: PlanWork) -> Prediction:
        """Predicted, since no network is asked."""
        unknown = unplanned(work, Change.UPDATE, "repo")
        if unknown is not None:
            return unknown
        before: Json = None
        with faults_told():
            try:
                git = repository_of(work)
                before = {"kind": "repository", "branch": git.branch or None, "commit": git.commit or None}
            except ActionFailed:
                if not work.node.needs:
                    raise
            return Prediction(
                Change.UPDATE,
                Fidelity.PREDICTED,
                why="what the remote has is known when it is asked",
                before=before,
                outputs={"repo": work.inputs["repo"]},
                reversible=True,
            )

    def do(self, work: Work) -> Done:
        """Fetch, then go forward. Fails where files differ from the commit, or the branch has gone another way."""
        repo, git = work.inputs["repo"], repository_of(work)
        branch, before = git.branch, git.commit
        if not branch:
            raise ActionFailed(f"no branch is checked out in `{repo}`")
        remote = git.ask("config", "--get", f"branch.{branch}.remote")
        if not remote:
            raise ActionFailed(f"the branch `{branch}` of `{repo}` follows no other: there is nothing to pull")
        git.run("fetch", "--quiet", "--no-recurse-submodules", "--", remote)
        to = git.run("rev-parse", "--verify", "--quiet", f"{branch}@{{upstream}}^{{commit}}")
        outputs: dict[str, Json] = {"repo": repo, "commit": to}
        record = repository_record(repo, to, "pull", ref=branch)
        if to == before:
            return Done(outputs, unchanged=True, change=Change.NOOP, records=(record,))
        changed = git.changed()
        if changed:
            raise ActionFailed(f"`{changed}` in `{repo}` differs from the commit: nothing is pulled")
        state = note(work, {"branch": branch, "commit": before, "to": to})
        git.run("merge", "--quiet", "--ff-only", to)
        return Done(outputs, undo=state, change=Change.UPDATE, records=(record,))

    def undo(self, work: Work) -> None:
        """Go back. Raises Drifted where files differ from the commit, or another commit or branch is checked out by now."""
        state = noted(work)
        if state is None:
            return
        repo, git = work.inputs["repo"], repository_of(work)
        if (git.branch, git.commit) != (state["branch"], state["commit"]):
            if (git.branch, git.commit) != (state["branch"], state["to"]):
                raise Drifted(f"something else is checked out in `{repo}` by now; it is left alone")
            changed = git.changed()
            if changed:
                raise Drifted(f"`{changed}` in `{repo}` differs from the commit; it is left alone")
            git.run("reset", "--quiet", "--keep", str(state["commit"]))
        forget(work)

    def verify(self, work: Work) -> Verified:
        """Whether what was pulled is checked out; `unknown` where it is not known what that was."""
        commit = work.outputs.get("commit")
        if commit is None:
            return Verified.UNKNOWN
        try:
            return Verified.HOLDS if repository_of(work).commit == commit else Verified.GONE
        except ActionFailed:
            return Verified.GONE
