"""What approval asks of a plan, and whether what would run was approved. Pure: reads no forge, no clock and no file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

from msgspec import Struct

from shipway.approvals import AccountedNode, Approval
from shipway.errors import Reason, VerificationError
from shipway.nodes import Immediate, Node
from shipway.plan import Plan


class Sanction(Struct, frozen=True):
    """What lets a plan run: the approvals it relies on, and approved nodes that it lacks, each with the reason.

    `reviewed` is the plan as it was looked at elsewhere, None where it was looked at here.
    """

    approvals: tuple[Approval, ...] = ()
    accounted: tuple[AccountedNode, ...] = ()
    reviewed: Plan | None = None


Approver: TypeAlias = Callable[[Plan, Sanction], Sanction]
"""Says who approved a plan of which a stage needs approval, given what the run was approved by when it was begun, if it was
begun before with the same effect. Raises VerificationError where nobody did, UnreachableError where that cannot be found out.
"""


def nobody(plan: Plan, earlier: Sanction) -> Sanction:
    """The approver of a command that asks nobody: what was approved when it was begun is gone on with, and nothing else."""
    if earlier.approvals:
        return earlier
    raise missing(plan, "nobody was asked", next=f"`shipway run --target {plan.target}` asks")


def missing(plan: Plan, why: str, *, next: str) -> VerificationError:
    """The refusal of a plan that nobody approved, naming the stages that need it."""
    stages = ", ".join(f"`{stage}`" for stage in plan.approval_rules)
    text = f"stage {stages} needs approval" if len(plan.approval_rules) == 1 else f"stages {stages} need approval"
    return VerificationError(f"{text}, and {why}", reason=Reason.APPROVAL_MISSING, next=next)


def unbounded(nodes: Iterable[Node]) -> Iterator[Node]:
    """The gathers that learn their items only when run, and do not say how many there are at most."""
    for node in nodes:
        if node.gather is None or node.gather.keys is not None:
            continue
        inner = [each for each in node.all_templates() if each.gather is not None and not _is_known(each)]
        for each in (node, *inner):
            if each.gather is not None and not each.gather.max:
                yield each


def _is_known(template: Node) -> bool:
    """Whether a gather inside another has the same items in each iteration, known when planned."""
    return all(isinstance(slot, Immediate) for slot in template.slots.values())
