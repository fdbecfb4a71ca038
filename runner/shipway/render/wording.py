"""The words that views of plans and receipts share: of outcomes, undos, policies, counts. Lays nothing out and knows no markup."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from shipway.declaration import OnFailure
from shipway.nodes import FAILURES, Change, Fidelity, Node, Outcome
from shipway.plan import COMPENSATION_PART
from shipway.policies import Decision, Verdict
from shipway.receipt import NodeResult, own_outcome
from shipway.render.foreign import one_line

QUIET = frozenset({Change.NOOP, Change.READ})
"""Changes that leave the world as it is."""

BAD = FAILURES | {Outcome.CANCELLED, Outcome.UNDO_FAILED, Outcome.NOT_UNDOABLE, Outcome.DRIFTED}
"""Outcomes that a person has to look at."""

ON_FAILURE = {
    OnFailure.DRAIN: "those already started finish",
    OnFailure.CANCEL: "the others are stopped",
    OnFailure.CONTINUE: "those that do not depend on it go on",
}
"""What becomes of the other nodes when one fails."""


def short_digest(digest: str) -> str:
    """`sha256:` and the first 12 digits."""
    return digest[: len("sha256:") + 12]


def short_commit(commit: str) -> str:
    """The first 7 digits of a commit id."""
    return one_line(commit)[:7]


def plural(count: int, noun: str) -> str:
    """`1 node`, `2 nodes`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def outcome_word(outcome: Outcome) -> str:
    """The outcome as people read it: `timed out`, `not started`, `cannot be undone`."""
    return "cannot be undone" if outcome is Outcome.NOT_UNDOABLE else outcome.value.replace("_", " ")


def stays(node: Node) -> bool:
    """Whether what the node does outlives every rollback."""
    return node.must_be_undone and not node.reversible


def undo_word(node: Node) -> str:
    """`undo`, `stays`, or nothing where a rollback need not care."""
    return "" if not node.must_be_undone else "undo" if node.reversible else "stays"


def compensation_of(stage: str) -> str:
    """The part of a stage whose nodes run only when it is rolled back; their ids begin with it."""
    return f"{stage}.{COMPENSATION_PART}"


def is_compensation(node: str) -> bool:
    """Whether the node of this id runs only when its stage is rolled back."""
    return node.partition("/")[0].endswith(f".{COMPENSATION_PART}")


def weight(node: Node) -> int:
    """How late a shortened view gives the node up by itself: 0 with all of its kind; then, the last one last, what cannot be
    foretold, what is replaced, what cannot be undone, and what is deleted.
    """
    if node.change is Change.DELETE:
        return 4
    if stays(node):
        return 3
    return 2 if node.change is Change.REPLACE else int(node.fidelity is Fidelity.OPAQUE)


def first_in_table(node: Node) -> bool:
    """Whether the node is listed before those in declared order."""
    return node.change in (Change.DELETE, Change.REPLACE) or stays(node)


_DECIDED = {
    Decision.ALLOW: "allows it",
    Decision.WARN: "warns",
    Decision.LATER: "decides when executed",
    Decision.DENY: "denies it",
    Decision.ERROR: "came to no verdict, which counts as no",
}
_VERDICT_ORDER = (Decision.ERROR, Decision.DENY, Decision.WARN, Decision.LATER, Decision.ALLOW)


def verdict_lines(verdicts: Sequence[Verdict]) -> list[tuple[Decision, str]]:
    """`far denies it: …`, one line for each policy with what it said, those that refuse first."""
    found = sorted(verdicts, key=lambda verdict: _VERDICT_ORDER.index(verdict.decision))
    return [(verdict.decision, _verdict_line(verdict)) for verdict in found]


def _verdict_line(verdict: Verdict) -> str:
    said = "; ".join(one_line(message) for message in verdict.messages)
    return f"{one_line(verdict.words)} {_DECIDED[verdict.decision]}" + (f": {said}" if said else "")


def is_bad(result: NodeResult) -> bool:
    """Whether a person has to look at the node: it failed by itself, or was to be undone and was not."""
    return result.outcome in BAD or own_outcome(result) in FAILURES


def moment(unix_ms: int) -> str:
    """`2026-03-01 12:00:00Z`."""
    return f"{datetime.fromtimestamp(unix_ms / 1000, UTC):%Y-%m-%d %H:%M:%SZ}"
