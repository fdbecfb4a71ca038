"""Whether a plan that was made before is still what would be done. Pure."""

from __future__ import annotations

from shipway.errors import Reason, VerificationError
from shipway.foretold import check_foretold
from shipway.plan import Plan, differences


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
    listed = "\n".join(f"  {difference}" for difference in differences(given, now))
    raise VerificationError(
        f"what would run now is not what was planned:\n{listed}",
        reason=_why_different(given, now),
        next="look at it with `shipway plan`, and apply the new plan",
    )


def _why_different(given: Plan, now: Plan) -> Reason:
    contracts = {stage.id: stage.contract for stage in given.stages}
    if any(contracts.get(stage.id, stage.contract) != stage.contract for stage in now.stages):
        return Reason.VERSION_CHANGED
    if given.source.declaration != now.source.declaration:
        return Reason.DECLARATION_CHANGED
    return Reason.HEAD_MOVED if given.source.commit != now.source.commit else Reason.PLAN_DIFFERS
