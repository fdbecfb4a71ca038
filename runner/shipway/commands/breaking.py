"""Breaking the glass: who may override policies, by a permission on the forge, or typed at a terminal; and always with a reason."""

from __future__ import annotations

from collections.abc import Sequence

from shipway.approvals import Permission
from shipway.ci import CiContext, Provider
from shipway.commands.prompt import answered
from shipway.commands.stores import github_of
from shipway.context import Context
from shipway.errors import Reason, VerificationError
from shipway.forges.forge import Capability
from shipway.forges.lacking import in_words
from shipway.plan import Plan
from shipway.policies import BreakGlass, Verdict
from shipway.policy import Breaker, refusal
from shipway.render.foreign import one_line

NEEDED = Permission.MAINTAIN
"""What somebody has to be allowed in the repository to override its policies: more than to merge."""

_LONGEST_REASON = 500


def breaker(reason: str | None, context: Context) -> Breaker | None:
    """Who overrides what policies refuse, for a call that says so; None for one that does not.

    Raises VerificationError (`break-glass-refused`) where there is no reason.
    """
    if reason is None:
        return None
    said = one_line(reason)[:_LONGEST_REASON]
    if not said:
        raise _refused("it has no reason", '`--break-glass "why"`, and whoever reads the receipt will know')

    def override(plan: Plan, verdicts: Sequence[Verdict]) -> BreakGlass:
        if context.ci is not None:
            return _by_permission(context.ci, context, said, verdicts)
        return _typed(plan, context, said, verdicts)

    return override


def _by_permission(ci: CiContext, context: Context, reason: str, verdicts: Sequence[Verdict]) -> BreakGlass:
    """Whoever started the run or its latest attempt, as the forge tells: names in the environment decide nothing."""
    if ci.provider is not Provider.GITHUB:
        why = f"{ci.provider.shown} {in_words(Capability.PERMISSIONS)}"
        raise _refused(why, "call it at a terminal, outside the job")
    if ci.token is None:
        raise _refused("nobody can be asked what who runs this may do", "pass the action its `token`")
    forge = github_of(ci, context)
    person = forge.started_by(ci.run_id)
    held = forge.permission_of(person)
    if not held.covers(NEEDED):
        raise _refused(
            f"`{one_line(person.login)}` may {held.value} in this repository, and has to be allowed to {NEEDED.value}",
            "let somebody who may start this run again",
        )
    return BreakGlass(reason, person.login, held.value, person.id, tuple(verdicts))


def _typed(plan: Plan, context: Context, reason: str, verdicts: Sequence[Verdict]) -> BreakGlass:
    if not context.stdin_is_tty:
        raise _refused("there is no terminal to confirm it on, and `--yes` does not", "call it at a terminal")
    against = refusal(verdicts)
    question = f"{against}\nTo override that, type the name of the target ({plan.target}): "
    if answered(question) != plan.target:
        raise _refused("what was typed is not the name of the target", "nothing was started")
    return BreakGlass(reason, context.user or "somebody", "terminal", None, tuple(verdicts))


def _refused(why: str, next: str) -> VerificationError:
    return VerificationError(f"policies are not overridden: {why}", reason=Reason.BREAK_GLASS_REFUSED, next=next)
