"""What stops a run although no step of it failed: it is not what was planned, or not to be run any more. Pure."""

from __future__ import annotations

from shipway.errors import Reason, ShipwayError, UnreachableError, VerificationError
from shipway.foretold import BROKEN, refusal_of
from shipway.nodes import Node
from shipway.receipt import NodeResult

MOVED, UNKNOWN = "head-moved", "head-unknown"
"""What stands in an attempt's `code` where the node was not begun: its commit is off its branch, or nobody could tell."""


def is_stop(result: NodeResult) -> bool:
    """Whether the node's last attempt ended the run, whatever tolerates a failure."""
    return bool(result.attempts) and result.attempts[-1].code in (BROKEN, MOVED, UNKNOWN)


def code_of(error: ShipwayError) -> str:
    """The word for the answer to whether the commit is where it was."""
    return UNKNOWN if isinstance(error, UnreachableError) else MOVED


def stop_of(node: Node, result: NodeResult) -> ShipwayError:
    """Why the run was stopped, by what is recorded of the node that stopped it."""
    attempt = result.attempts[-1]
    if attempt.code == BROKEN:
        return refusal_of(node, attempt.error)
    text = f"`{node.id}` cannot be undone, so it was not begun: {attempt.error}"
    if attempt.code == UNKNOWN:
        return UnreachableError(
            text, reason=Reason.FORGE_UNREACHABLE, stage=node.stage, next="see that the forge answers, then run again"
        )
    next = "look at what the branch holds now, and run that"
    return VerificationError(text, reason=Reason.HEAD_MOVED, stage=node.stage, where=node.position, next=next)
