"""What a plan has to do without on the forge that a job would run it from, and what that means for it. Pure; asks no forge."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from shipway.ci import Provider
from shipway.forges.forge import Capability
from shipway.forges.lacking import in_words
from shipway.plan import Durability, Plan

LACKED: Mapping[Provider, frozenset[Capability]] = {
    Provider.GITHUB: frozenset(),
    Provider.GITEA: frozenset(Capability),
    Provider.FORGEJO: frozenset(Capability),
    Provider.GITLAB: frozenset(Capability),
}
"""What each forge lacks, known without reaching it: what its class says."""


def told(plan: Plan, provider: Provider) -> tuple[str, ...]:
    """One sentence for each thing that this plan would have had a use for, what stops it first; names in backticks."""
    if provider is Provider.GITHUB:
        return ()
    lacking = [
        f"{provider.shown} {in_words(capability)}: {meaning}"
        for capability, meaning in _meanings(plan)
        if capability in LACKED[provider]
    ]
    return (*lacking, *_not_asked(plan, provider.shown))


def by_hand(plan: Plan) -> str:
    """What to type to approve a plan where no review does."""
    return f"approve here: `shipway run --target {plan.target} --approve {plan.effect}`"


def _meanings(plan: Plan) -> Iterator[tuple[Capability, str]]:
    stages = list(plan.approval_rules)
    if stages:
        more = f" and {len(stages) - 1} more" if len(stages) > 1 else ""
        refused = "a job that executes it is refused with exit 5 (approval-missing)"
        yield Capability.REVIEWS, f"stage `{stages[0]}`{more} needs approval, and {refused} unless you {by_hand(plan)}"
    softened = [policy for policy in plan.all_policies if policy.unless_label]
    for policy in softened[:1]:
        more = f", as for {len(softened) - 1} more" if len(softened) > 1 else ""
        yield Capability.LABELS, f"label `{policy.unless_label}` of policy `{policy.name}` counts as not set{more}"
    if plan.all_policies:
        yield Capability.PERMISSIONS, "what its policies refuse cannot be overridden in a job"
    if plan.has_changes:
        resumed = " unless `shipway resume` is called before" if plan.durability is Durability.MACHINE else ""
        yield Capability.ARTIFACTS, f"what a job that was cut off began is begun anew by the next one{resumed}"
        yield Capability.DEPLOYMENTS, f"that `{plan.target}` is executed is announced nowhere"


def _not_asked(plan: Plan, name: str) -> Iterator[str]:
    """What only GitHub is asked or heard by this version, whatever another forge could tell."""
    if any(stage.mode == "preview" for stage in plan.stages) and plan.target.startswith("pr-"):
        events = "only events of GitHub bring one up and take it down"
        yield f"{name} brings no environment up: `{plan.target}` is only planned, since {events}"
    if point := plan.on_rollback.point_of_no_return:
        yield f"{name} is not asked whether the commit is still on its branch when `{point}` begins, which cannot be undone"
