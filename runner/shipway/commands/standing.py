"""How a plan that was shown stands by now, and the check `…/fresh` that says so: on a head from the moment it is planned.

A rule of a branch can require that check, so whoever shows a plan tells it: the job that plans, or the one that publishes for it.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from shipway.approvals import Approval
from shipway.errors import Reason
from shipway.forges.forge import Check, Forge, ForgeError, Posted
from shipway.freshness import DECLARATION, outdated
from shipway.plan import Plan
from shipway.redaction import trusted
from shipway.render.escape import code, prose
from shipway.render.foreign import one_line
from shipway.render.receipt_words import approved_words
from shipway.view import Conclusion, View

NODES_NAMED = 50

_UNAPPROVED = frozenset({Reason.APPROVAL_MISSING, Reason.APPROVAL_STALE, Reason.APPROVAL_EXPIRED})


_NEXT = {
    "stale": "Bring the branch up to date with its base: that plans it anew, where running its job again does not.",
    "not approved": "Have the plan of the head approved as it is, then queue it again.",
}


class Standing(Struct, frozen=True):
    """How the plan of one pull request stands: `reason` is empty where it holds, else why not, with the nodes and files.

    `basis` is a sentence about what was held against what; names in it are in backticks. `said` is text from elsewhere.
    """

    pull_request: int
    head: str
    effect: str = ""
    reason: Reason | None = None
    said: str = ""
    nodes: tuple[tuple[str, tuple[str, ...]], ...] = ()
    basis: str = ""

    @property
    def is_planned(self) -> bool:
        """Whether there is a plan to hold at all."""
        return bool(self.effect)

    @property
    def word(self) -> str:
        """`holds`, `stale`, `not approved` or `not planned`."""
        if self.reason is None:
            return "holds"
        if not self.is_planned:
            return "not planned"
        return "not approved" if self.reason in _UNAPPROVED else "stale"


def fresh_name(lifecycle: str, target: str) -> str:
    """What the check is called that says whether a plan holds."""
    return f"shipway/{lifecycle}/{target}/fresh"


def standing_after(plan: Plan, number: int, head: str, base: str, changed: Sequence[str]) -> Standing:
    """How a plan stands where the branch `base` has changed these paths since."""
    found = outdated(plan, changed)
    basis = f"It was made upon {code((plan.source.merge_base or '')[:7])}, and held against {code(base)} as it is now."
    if not found:
        return Standing(number, head, plan.effect, basis=basis)
    is_declared = DECLARATION in found
    reason = Reason.DECLARATION_CHANGED if is_declared else Reason.BASE_MOVED
    said = "the declaration has changed since" if is_declared else "files that its nodes read have changed since"
    return Standing(number, head, plan.effect, reason, said, tuple(found.items()), basis)


def standing_now(forge: Forge, plan: Plan, number: int, head: str, base: str, base_head: str = "") -> Standing:
    """How a plan stands that was made just now, upon the branch `base` as it was when its job began: by one request at most.

    None is needed where `base_head`, the commit that the branch is known to be at, is what it was made upon.

    Between the two the branch may have moved on, by hours where a job is run again. Where this job may not know that, it is
    not known to hold; raises ForgeError where the forge does not answer: nobody is told then, and the job is to be run again.
    """
    upon = plan.source.merge_base
    if not upon or not base:
        return Standing(number, head, plan.effect, basis="It was made just now.")
    if upon == base_head:
        return standing_after(plan, number, head, base, ())
    try:
        changed = forge.changed_since(base, upon)
    except ForgeError as error:
        if error.reason is not Reason.FORGE_PERMISSION:
            raise
        why = "; ".join(filter(None, (error.message, error.next)))
        said = f"it was made just now, upon {upon[:7]}; what is on `{one_line(base)}` by now was not told: {why}"
        return Standing(number, head, plan.effect, Reason.BASE_UNKNOWN, said)
    if changed is None:
        said = f"`{one_line(base)}` was written anew since, or changed in more files than are told"
        return Standing(number, head, plan.effect, Reason.BASE_MOVED, said)
    return standing_after(plan, number, head, base, changed)


def tell_fresh(
    forge: Forge, view: View, number: int, head: str, base: str, url: str, *, base_head: str = "", is_ours: bool = True
) -> Posted:
    """Say in its check how a plan stands that was made just now. Of a stranger's the effect is a word that binds nothing.

    `base_head` is as `standing_now` takes it.
    """
    assert view.plan is not None
    standing = standing_now(forge, view.plan, number, head, base, base_head)
    check = check_of_standing(fresh_name(view.lifecycle, view.target), head, standing, url)
    return forge.post_check(check if is_ours else replace(check, external_id=""))


def shown_basis(number: int) -> str:
    """What a merge group is held against where no stage wants approval."""
    return f"It is held against the plan that {code(f'#{number}')} was shown last."


def approved_basis(approvals: Sequence[Approval]) -> str:
    """What a merge group is held against where a stage wants approval; none where it was not approved, or is not that any more."""
    by = "; ".join(prose(approved_words(approval)) for approval in approvals)
    return f"A stage wants approval, so it is held against the plan that was approved{': ' if by else ''}{by}."


def check_of_standing(name: str, commit: str, standing: Standing, url: str) -> Check:
    """What the check `name` on `commit` says: on a head that somebody has to act, on a merge group that it may not be merged."""
    if standing.reason is None:
        title, conclusion = f"the plan of #{standing.pull_request} holds", Conclusion.SUCCESS
    else:
        title = f"the plan of #{standing.pull_request} is {standing.word}: {standing.reason.value}"
        conclusion = Conclusion.FAILURE if commit != standing.head else Conclusion.ACTION_REQUIRED
    said = "\n".join(f"- {prose(line)}" for line in standing.said.splitlines())
    nodes = "\n".join(
        f"- {code(node)} reads {', '.join(code(file) for file in files[:5])}{' …' if len(files) > 5 else ''}"
        for node, files in standing.nodes[:NODES_NAMED]
    )
    parts = (trusted(title), trusted(standing.basis), said, nodes, _NEXT.get(standing.word, ""))
    text = "\n\n".join(filter(None, parts)) + f"\n\neffect `{standing.effect}`"
    return Check(name, commit, conclusion, standing.effect, trusted(title), trusted(text), url)
