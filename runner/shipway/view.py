"""The one view of a plan or receipt that every sink is given: what it says, where, and how it stands. Pure; draws nothing.

Comment, check, deployment, job summary and outputs are drawn from it, for any forge.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct, field

from shipway.approvals import Approval
from shipway.errors import Position, Problem, ShipwayError
from shipway.nodes import Change, Node, Outcome
from shipway.plan import Plan
from shipway.receipt import NodeResult, Receipt, own_outcome
from shipway.redaction import Redacted, strip_control, trusted

ANNOTATIONS_MAX = 100
"""Of one report: a reader looks at no more, and each fifty are a request."""


_FOR_A_PERSON = frozenset(
    {"plan-differs", "head-moved", "base-moved", "declaration-changed", "version-changed", "plan-expired"}
    | {"approval-missing", "approval-stale", "approval-expired"}
)
"""Reasons that say: not approved, or not what was approved. A person can approve it, or plan anew."""


HISTORY_MAX = 10
"""Plans before this one whose header facts are kept and shown."""


class Conclusion(StrEnum):
    """How a report stands: `action_required` where a person has to approve or plan anew."""

    SUCCESS = "success"
    ACTION_REQUIRED = "action_required"
    FAILURE = "failure"


class Weight(StrEnum):
    """How much an annotation asks for a look, from least to most."""

    NOTICE = "notice"
    WARNING = "warning"
    FAILURE = "failure"


class Annotation(Struct, frozen=True):
    """Something said about a line of the declaration, in plain text without control characters."""

    where: Position
    weight: Weight
    title: Redacted
    text: Redacted


Run = Annotated[str, Meta(pattern="^[0-9]{1,20}$")]
Commit = Annotated[str, Meta(pattern="^([0-9a-f]{40}|[0-9a-f]{64})$")]
Effect = Annotated[str, Meta(pattern="^sha256:[0-9a-f]{64}$")]
Count = Annotated[str, Meta(pattern="^([0-9]{1,9} [a-z]{1,12}|no nodes)$")]


class Shown(Struct, frozen=True, forbid_unknown_fields=True):
    """A plan that was shown before: by which run, of which head commit, its effect, and its counts (`3 create`)."""

    run: Run
    commit: Commit
    effect: Effect
    counts: Annotated[tuple[Count, ...], Meta(max_length=12)]


class View(Struct, frozen=True):
    """What is reported about one lifecycle and target: a plan, a receipt with its plan, or the `error` that prevented both.

    `previous` is the plan that was shown before this one, `history` the header facts of it and those before it, the latest
    first, in runs whose pages are below `runs_url`; `changed` are the files that differ between those two plans' trees, None
    where they are not known. `head` is the commit under discussion, empty where it is the planned one. `stands` is a word or
    two behind the title of a plan that counts no more (`closed`, `stale: head moved to …`), else empty. `needed` says what a
    person has to do before the plan can be executed, `approvals` who approved it so far, where that was asked. `expected` is
    how long a run takes, `proven` by node when its undo was last seen to work, in words.
    `notes` are sentences of Shipway's own, names in backticks.
    """

    lifecycle: str
    target: str
    plan: Plan | None = None
    receipt: Receipt | None = None
    error: ShipwayError | None = None
    head: str = ""
    previous: Plan | None = None
    history: tuple[Shown, ...] = ()
    changed: tuple[str, ...] | None = None
    runs_url: str = ""
    stands: str = ""
    needed: str = ""
    approvals: tuple[Approval, ...] = ()
    expected: str = ""
    proven: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """`shipway/<lifecycle>/<target>`: what the check of it is called."""
        return f"shipway/{self.lifecycle}/{self.target}"

    @property
    def effect(self) -> str:
        """`sha256:…` of what is or was done, empty where nothing was planned."""
        return self.plan.effect if self.plan else (self.receipt.effect or "") if self.receipt else ""

    @property
    def awaits_approval(self) -> bool:
        """Whether it is of a plan that could be made, of which a stage needs approval."""
        return self.receipt is None and self.error is None and self.plan is not None and bool(self.plan.approval_rules)

    @property
    def conclusion(self) -> Conclusion:
        """Failure where anything failed or a policy refuses; otherwise action required where a person has to do something first."""
        if self.error is not None:
            is_needed = self.error.reason.value in _FOR_A_PERSON
            return Conclusion.ACTION_REQUIRED if is_needed else Conclusion.FAILURE
        if self.receipt is not None and self.receipt.exit_code:
            return Conclusion.FAILURE
        if self.receipt is None and self.plan is not None and any(verdict.refuses for verdict in self.plan.verdicts):
            return Conclusion.FAILURE
        return Conclusion.ACTION_REQUIRED if self.needed or self.stands else Conclusion.SUCCESS

    def annotations(self) -> tuple[Annotation, ...]:
        """What is to be seen at lines of the declaration, the weightiest first, ANNOTATIONS_MAX of them at most."""
        if self.error is not None:
            found = [*_of_error(self.error)]
        elif self.receipt is not None:
            found = [*_of_receipt(self.receipt, self.plan)]
        else:
            found = [*_of_plan(self.plan)] if self.plan else []
        order = (Weight.FAILURE, Weight.WARNING, Weight.NOTICE)
        return tuple(sorted(found, key=lambda each: order.index(each.weight))[:ANNOTATIONS_MAX])


def _of_error(error: ShipwayError) -> Iterable[Annotation]:
    problems: Sequence[Problem] = error.problems or (Problem(error.message, error.where, hint=error.next),)
    for problem in problems:
        if problem.where is not None:
            text = f"{problem.text}\n{problem.hint}".strip()
            yield _annotation(problem.where, Weight.FAILURE, error.reason.value, text)


def _of_receipt(receipt: Receipt, plan: Plan | None) -> Iterable[Annotation]:
    nodes = plan.by_id if plan else {}
    left = (Outcome.UNDO_FAILED, Outcome.NOT_UNDOABLE, Outcome.DRIFTED)
    seen = [*receipt.failed, *(result for result in receipt.nodes if result.outcome in left)]
    for result in {result.node: result for result in seen}.values():
        if result.node in nodes:
            yield _annotation(nodes[result.node].position, Weight.FAILURE, result.node, _ended(result))


def _ended(result: NodeResult) -> str:
    words = dict.fromkeys([own_outcome(result), result.outcome])
    told = ", ".join(outcome.value.replace("_", " ") for outcome in words)
    return f"{told}: {result.error}" if result.error else told


def _of_plan(plan: Plan) -> Iterable[Annotation]:
    """What deletes, replaces or cannot be undone: the nodes of one line together, such as those of a gather."""
    found: dict[tuple[Position, str], list[Node]] = {}
    for node in plan.nodes:
        if told := _weighty(node):
            found.setdefault((node.position, told), []).append(node)
    for (where, told), nodes in found.items():
        weight = Weight.NOTICE if told == _STAYS else Weight.WARNING
        more = f" and {len(nodes) - 1} more of this step" if len(nodes) > 1 else ""
        yield _annotation(where, weight, nodes[0].id, f"{nodes[0].id}{more}: {told}")


def _annotation(where: Position, weight: Weight, title: str, text: str) -> Annotation:
    # What a document or an error holds was masked where it was observed.
    return Annotation(where, weight, trusted(strip_control(title)), trusted(strip_control(text)))


_STAYS = "cannot be undone: a rollback leaves it as it is"


def _weighty(node: Node) -> str:
    stays = node.must_be_undone and not node.reversible
    if node.change in (Change.DELETE, Change.REPLACE):
        return f"{node.change.value}s what is there" + (f", and {_STAYS}" if stays else "")
    return _STAYS if stays else ""
