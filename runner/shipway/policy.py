"""What the built-in policies decide, and what verdicts amount to. Pure: runs no program, asks no forge and no clock."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from typing import TypeAlias

from msgspec import Struct

from shipway.errors import Reason, VerificationError
from shipway.freezing import parse_window
from shipway.nodes import Change, Fidelity, Node
from shipway.plan import Plan
from shipway.policies import BreakGlass, Decision, Policy, Verdict

_DELETES = (Change.DELETE, Change.REPLACE)
_MOST_NAMED = 10


class Labels(Struct, frozen=True):
    """The labels of the pull request that a plan is of. `names` None: they cannot be known, and `why` says why not."""

    names: frozenset[str] | None = None
    why: str = "labels are those of a pull request, and there is none here"


class Clearance(Struct, frozen=True):
    """What lets a plan run as far as policies go: their verdicts right before it, and who overrode them, if somebody did."""

    verdicts: tuple[Verdict, ...] = ()
    broken: BreakGlass | None = None


Breaker: TypeAlias = Callable[[Plan, Sequence[Verdict]], BreakGlass]
"""Says who overrides these verdicts, and by which right. Raises VerificationError (`break-glass-refused`) where nobody may."""

AskLabels: TypeAlias = Callable[[], Labels]
"""Finds out about the labels; only asked where a policy needs them."""


def judge(policy: Policy, plan: Plan, now: datetime | None, labels: AskLabels) -> Verdict:
    """What a policy that is no program says of a plan. `now` None: it is only planned, so nothing is decided by the clock."""
    if policy.freeze:
        return _frozen(policy, now)
    nodes = list(_nodes(plan, policy.stage))
    if policy.deny_delete:
        return _deletes(policy, nodes, labels)
    if policy.deny_opaque:
        found = [node for node in nodes if node.fidelity is Fidelity.OPAQUE and not node.is_group]
        return _verdict(policy, _named(found, "cannot be foretold"))
    found = [
        node
        for node in nodes
        if not node.is_group and not any(fnmatchcase(node.action, pattern) for pattern in policy.only_actions)
    ]
    return _verdict(policy, _named(found, "does not use an allowed action", lambda node: f" (`{node.action}`)"))


def _nodes(plan: Plan, stage: str) -> Iterator[Node]:
    """Every node that may run, templates and compensations too: of the plan or of one stage."""
    for planned in plan.stages:
        if stage in ("", planned.id):
            own = (node for node in plan.nodes if node.stage == planned.id)
            for node in (*own, *planned.compensation):
                if node.condition != "false":
                    yield node
                    yield from node.all_templates()


def _frozen(policy: Policy, now: datetime | None) -> Verdict:
    from zoneinfo import ZoneInfo  # late: few policies know a time, and it takes milliseconds

    windows = ", ".join(policy.freeze)
    try:
        zone = ZoneInfo(policy.timezone)
        if now is None:
            said = f"not in {windows} ({policy.timezone})"
            return Verdict(policy.name, policy.stage, Decision.LATER, (said,))
        moment = now.astimezone(zone)
        inside = [window.text for window in map(parse_window, policy.freeze) if window.holds(moment)]
    except (ValueError, OSError, LookupError) as error:
        return Verdict(policy.name, policy.stage, Decision.ERROR, (f"`{policy.timezone}` is no known zone: {error}",))
    said = f"{moment:%a %Y-%m-%d %H:%M} {policy.timezone} is in the freeze {', '.join(inside)}"
    return _verdict(policy, (said,) if inside else ())


def _deletes(policy: Policy, nodes: Sequence[Node], ask: AskLabels) -> Verdict:
    found = _named([node for node in nodes if node.change in _DELETES], "deletes or replaces")
    if not found or policy.unless_label is None:
        return _verdict(policy, found)
    labels = ask()
    if labels.names is None:
        return _verdict(policy, (*found, f"whether label `{policy.unless_label}` is set is not known: {labels.why}"))
    if policy.unless_label in labels.names:
        said = (*found, f"allowed by label `{policy.unless_label}`")
        return Verdict(policy.name, policy.stage, Decision.WARN, said)
    return _verdict(policy, (*found, f"label `{policy.unless_label}` of the pull request would allow it"))


def _named(nodes: Sequence[Node], what: str, more: Callable[[Node], str] = lambda node: "") -> tuple[str, ...]:
    shown = [f"`{node.id}` {what}{more(node)}" for node in nodes[:_MOST_NAMED]]
    return (*shown, f"and {len(nodes) - _MOST_NAMED} more") if len(nodes) > _MOST_NAMED else tuple(shown)


def _verdict(policy: Policy, against: Iterable[str]) -> Verdict:
    messages = tuple(against)
    return Verdict(policy.name, policy.stage, Decision.DENY if messages else Decision.ALLOW, messages)


def refusal(verdicts: Sequence[Verdict]) -> VerificationError | None:
    """The error of a plan that policies do not let run; None where they do. A policy without a verdict counts first."""
    against = [verdict for verdict in verdicts if verdict.refuses]
    if not against:
        return None
    failed = [verdict for verdict in against if verdict.decision is Decision.ERROR]
    listed = "\n".join(f"  {line}" for verdict in against for line in _lines(verdict))
    if failed:
        return VerificationError(
            f"{_count(failed)} came to no verdict, which counts as no:\n{listed}",
            reason=Reason.POLICY_ERROR,
            next="correct the policy's program, or what it needs; nothing was started",
        )
    return VerificationError(
        f"{_count(against)} denied the plan:\n{listed}",
        reason=Reason.POLICY_DENIED,
        next="change what is to be done, or see docs/policy.md#break-glass; nothing was started",
    )


def covers(broken: BreakGlass | None, verdicts: Sequence[Verdict]) -> bool:
    """Whether an override that was made when a run was begun holds for these verdicts too: of the same policies."""
    if broken is None:
        return False
    known = {(verdict.policy, verdict.stage) for verdict in broken.overridden}
    return all((verdict.policy, verdict.stage) in known for verdict in verdicts if verdict.refuses)


def _count(verdicts: Sequence[Verdict]) -> str:
    return "a policy" if len(verdicts) == 1 else f"{len(verdicts)} policies"


def _lines(verdict: Verdict) -> Iterator[str]:
    messages = verdict.messages or ("it says no more",)
    for message in messages:
        yield f"{verdict.words}: {message}"
