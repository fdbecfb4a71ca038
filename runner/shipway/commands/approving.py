"""Approving here: the effect's digest given with `--approve`, or its beginning typed at the terminal after a look at the plan."""

from __future__ import annotations

import re
import shlex
from argparse import Namespace

from shipway.approval import Approver, Sanction, missing
from shipway.approvals import Approval, ApprovedBy
from shipway.commands.prompt import answered
from shipway.context import Context
from shipway.errors import Reason, UsageError, VerificationError
from shipway.plan import Plan

_DIGEST = re.compile("sha256:[0-9a-f]{64}")
_TYPED = 8
"""How many digits of a digest have to be typed: enough to have looked at the plan that stands above it."""


def approver(arguments: Namespace, context: Context, call: str, given: Plan | None = None) -> Approver:
    """Approval by whoever makes this call; `call` is how it is made, for what to type next. Raises UsageError for no digest.

    What is approved is the plan that is `given`, of which a part may be done, else the one that is made.

    How many have to approve, and what they may do, only a forge can tell: here who may execute may approve.
    """
    digest: str | None = arguments.approve
    if digest is not None and not _DIGEST.fullmatch(digest):
        raise UsageError(
            f"`--approve {digest}` is not the digest of an effect",
            next="give the whole digest as `shipway plan` shows it: `sha256:` and 64 digits",
        )

    again = _again(call, arguments)

    def approve(plan: Plan, earlier: Sanction) -> Sanction:
        if earlier.approvals:
            return earlier
        looked_at = given or plan
        if digest is not None:
            if digest not in (looked_at.effect, plan.effect):
                raise _another(digest, looked_at)
            return Sanction((_approval(digest, ApprovedBy.OPTION, context),))
        if not context.stdin_is_tty or arguments.yes:
            approving = f"{again} --target {plan.target} --approve {looked_at.effect}"
            raise missing(plan, "nobody gave one", next=f"look at the plan, then `{approving}`")
        if not _typed(plan):
            raise missing(plan, "what was typed is not the beginning of its digest", next="nothing was started")
        return Sanction((_approval(plan.effect, ApprovedBy.TERMINAL, context),))

    return approve


def _approval(effect: str, given: ApprovedBy, context: Context) -> Approval:
    by = context.ci.actor if context.ci else context.user
    return Approval(effect, given, by or None, f"{context.now():%Y-%m-%dT%H:%M:%SZ}")


def _another(given: str, plan: Plan) -> VerificationError:
    return VerificationError(
        f"what would run has the effect `{plan.effect}`, and `{given}` was approved",
        reason=Reason.PLAN_DIFFERS,
        next="look at the plan as it is now, and approve that",
    )


def _typed(plan: Plan) -> bool:
    stages = ", ".join(f"`{stage}`" for stage in plan.approval_rules)
    digits = plan.effect.removeprefix("sha256:")
    question = f"To approve {stages} on {plan.target}, type the first {_TYPED} digits of the plan's effect: "
    typed = answered(question).removeprefix("sha256:")
    return len(typed) >= _TYPED and digits.startswith(typed)


def _again(call: str, arguments: Namespace) -> str:
    """The same call, but for its target and its approval."""
    words = [*shlex.split(call), *(["-f", str(arguments.file)] if arguments.file else [])]
    for name in ("input", "stage", "skip"):
        words += [word for value in getattr(arguments, name, ()) for word in (f"--{name}", value)]
    return shlex.join(words)
