"""What stops a run although no step of it failed: it is not what was planned, or not to be run any more. Pure."""

from __future__ import annotations

from shipway.errors import Reason, ShipwayError, UnreachableError, VerificationError
from shipway.foretold import BROKEN, refusal_of
from shipway.nodes import Node
from shipway.receipt import NodeResult

MOVED, UNKNOWN = "head-moved", "head-unknown"
"""What stands in an attempt's `code` where the node was not begun: its commit is off its branch, or nobody could tell."""

SUPERSEDED = "superseded"
"""The same where a later run is to have what this one began: nothing of it is taken back."""


def is_stop(result: NodeResult) -> bool:
    """Whether the node's last attempt ended the run, whatever tolerates a failure."""
    return bool(result.attempts) and result.attempts[-1].code in (BROKEN, MOVED, UNKNOWN, SUPERSEDED)


def is_superseded(result: NodeResult) -> bool:
    """Whether the node was left to a later run, which goes on from what was begun."""
    return bool(result.attempts) and result.attempts[-1].code == SUPERSEDED


def code_of(error: ShipwayError) -> str:
    """The word for the answer to whether the commit is where it was."""
    if error.reason is Reason.RUN_SUPERSEDED:
        return SUPERSEDED
    return UNKNOWN if isinstance(error, UnreachableError) else MOVED


def stop_of(node: Node, result: NodeResult) -> ShipwayError:
    """Why the run was stopped, by what is recorded of the node that stopped it."""
    attempt = result.attempts[-1]
    if attempt.code == BROKEN:
        return refusal_of(node, attempt.error)
    if attempt.code == SUPERSEDED:
        text, next = f"stopped before `{node.id}`: {attempt.error}", "the later run goes on from what was begun"
        return VerificationError(text, reason=Reason.RUN_SUPERSEDED, stage=node.stage, next=next)
    text = f"`{node.id}` cannot be undone, so it was not begun: {attempt.error}"
    if attempt.code == UNKNOWN:
        return UnreachableError(
            text, reason=Reason.FORGE_UNREACHABLE, stage=node.stage, next="see that the forge answers, then run again"
        )
    next = "look at what the branch holds now, and run that"
    return VerificationError(text, reason=Reason.HEAD_MOVED, stage=node.stage, where=node.position, next=next)
