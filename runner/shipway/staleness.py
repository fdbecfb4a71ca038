"""Whether a plan that was made before is still what would be done. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from shipway.effect_differences import Difference, differences
from shipway.errors import Reason, VerificationError
from shipway.foretold import check_foretold
from shipway.plan import Plan


def check_given(given: Plan, now: Plan) -> None:
    """Refuse a plan that is not what would be done now, saying where they differ and why. Raises VerificationError."""
    if given.platform != now.platform:
        raise VerificationError(
            f"the plan was made for {given.platform}, this is {now.platform}",
            reason=Reason.PLATFORM_DIFFERS,
            next="plan and apply on the same platform",
        )
    if given.effect == now.effect:
        check_foretold(given, now)
        return
    found = differences(given, now)
    listed = "\n".join(f"  {difference}" for difference in (*_versions(given, now), *found))
    raise VerificationError(
        f"what would run now is not what was planned:\n{listed}",
        reason=_why_different(given, now, found),
        next="look at it with `shipway plan`, and apply the new plan",
    )


def _why_different(given: Plan, now: Plan, found: Sequence[Difference]) -> Reason:
    if any(_contracts(given, now)):
        return Reason.VERSION_CHANGED
    if given.source.declaration != now.source.declaration:
        return Reason.DECLARATION_CHANGED
    if given.source.commit == now.source.commit:
        return Reason.PLAN_DIFFERS
    # Only files that nodes read are others than they were: somebody else's commits came in between.
    return Reason.BASE_MOVED if all(each.fields == ("reads",) for each in found) else Reason.HEAD_MOVED


def _versions(given: Plan, now: Plan) -> Iterator[str]:
    """Both versions of everything whose contract changed, in words."""
    changed = list(_contracts(given, now))
    for backend, before, after in dict.fromkeys(changed):
        yield f"backend {backend}: contract {before} when planned, {after} now"
    if changed:
        yield f"Shipway {given.shipway} when planned, {now.shipway} now"


def _contracts(given: Plan, now: Plan) -> Iterator[tuple[str, int, int]]:
    for stage in now.stages:
        before = given.stages_by_id.get(stage.id, stage)
        if before.contract != stage.contract:
            yield f"{stage.mode}/{stage.backend}", before.contract, stage.contract
