"""The words and short facts of a receipt that every view of it shares. Lays nothing out and knows no markup."""

from __future__ import annotations

from shipway.approvals import Approval, ApprovedBy
from shipway.durations import format_ms
from shipway.node_ids import readable
from shipway.nodes import DONE, FAILURES, Outcome
from shipway.plan import Plan
from shipway.policies import BreakGlass
from shipway.receipt import NodeResult, Receipt, RollbackEntry, RunOutcome, own_outcome
from shipway.render.foreign import one_line
from shipway.render.wording import is_bad, outcome_word, short_commit

_OUTCOMES = tuple(Outcome)
ENDINGS = {
    RunOutcome.SUCCEEDED: "succeeded",
    RunOutcome.FAILED: "failed",
    RunOutcome.NOT_UNDONE: "failed, not everything was undone",
    RunOutcome.CANCELLED: "cancelled",
    RunOutcome.ROLLED_BACK: "rolled back",
}


def receipt_counts(receipt: Receipt) -> list[str]:
    """`3 succeeded`, `1 failed, undone`, …: how nodes ended; what needs a look first, then in the order of outcomes."""
    words: dict[str, int] = {}
    for result in sorted(receipt.nodes, key=lambda result: (not is_bad(result), _OUTCOMES.index(result.outcome))):
        words[result_word(result)] = words.get(result_word(result), 0) + 1
    return [f"{count} {word}" for word, count in words.items()] or ["no nodes"]


def ending(receipt: Receipt) -> str:
    """How the run ended, in a few words."""
    undone = any(entry.outcome in (Outcome.UNDONE, *DONE) for entry in receipt.rollback)
    if receipt.outcome in (RunOutcome.FAILED, RunOutcome.CANCELLED) and undone:
        return f"{ENDINGS[receipt.outcome]}, rolled back"
    own = {own_outcome(result) for result in receipt.nodes}
    if receipt.outcome is RunOutcome.NOT_UNDONE and own.isdisjoint(FAILURES | {Outcome.UNKNOWN}):
        # Nothing failed: it was stopped, or rolled back later.
        return ("cancelled, " if Outcome.CANCELLED in own else "") + "not everything was undone"
    return ENDINGS[receipt.outcome]


def took_words(receipt: Receipt) -> str:
    """`12s`, of a run that was gone on with `12s, paused for 1h2m`: how long it was carried out."""
    paused = f", paused for {format_ms(receipt.paused_ms)}" if receipt.paused_ms else ""
    return f"{format_ms(receipt.running_ms)}{paused}"


def preview_next(receipt: Receipt, plan: Plan | None) -> str:
    """What to type after a run that made, stopped or removed an environment of mode `preview`; empty for any other run.

    It is gone on with by the same command: a bare `resume` or `rollback` would tell the environment's record nothing.
    """
    stages = plan.stages if plan is not None else ()
    if not stages or any(stage.mode != "preview" for stage in stages):
        return ""
    doing = next((str(stage.context["action"]) for stage in stages if "action" in stage.context), "up")
    command, target = "shipway preview", f"--target {one_line(receipt.target)}"
    up, look = f"{command} up {target}", f"{command} status {target}, to look at it"
    if doing in ("down", "stop"):
        again = "to make it again" if doing == "down" else "to start it again"
        is_done = receipt.outcome is RunOutcome.SUCCEEDED
        return f"{up}, {again}" if is_done else f"{look}; {command} {doing} {target}, to try again"
    if receipt.outcome is RunOutcome.SUCCEEDED:
        return f"{look}; {command} down {target}, to take it away"
    if receipt.outcome is RunOutcome.CANCELLED:
        return f"{up}, to go on; {look}"
    return f"{up}, once the cause is gone; {look}"


def broken_glass(broken: BreakGlass) -> str:
    """Who overrode which policies, by which right, and why: on one line, what others wrote in backticks."""
    right = "typed at the terminal" if broken.right == "terminal" else f"who may {broken.right}"
    names = " and ".join(one_line(verdict.words) for verdict in broken.overridden)
    by, reason = (one_line(text).replace("`", "'") for text in (broken.by, broken.reason))
    return f"break-glass by `{by}` ({right}) against {names} because `{reason}`"


def approved_words(approval: Approval) -> str:
    """`by ana, review 80 of #7 at 1f2e3d4`: who approved and how."""
    by = f"by {one_line(approval.by)}" if approval.by else "by somebody"
    if approval.given is not ApprovedBy.REVIEW:
        return f"{by}, {'with `--approve`' if approval.given is ApprovedBy.OPTION else 'typed at the terminal'}"
    return f"{by}, review {approval.review} of #{approval.pull_request} at {short_commit(approval.commit or '')}"


def accounted_words(receipt: Receipt) -> list[str]:
    """`build/image: succeeded in run …`, for each node that was approved and not part of the run."""
    return [f"{one_line(readable(each.node))}: {one_line(each.why)}" for each in receipt.accounted]


def result_word(result: NodeResult) -> str:
    """The outcome, and for a node that failed and was then undone (or not), both."""
    own = own_outcome(result)
    if result.outcome is Outcome.UNKNOWN and own in DONE:
        return "undo not reported"
    if own is not result.outcome and own not in DONE:
        return f"{outcome_word(own)}, {outcome_word(result.outcome)}"
    return outcome_word(result.outcome)


def cause_of(result: NodeResult) -> str:
    """Why a node ended as it did, on one line: its error, who blocked it, why it was skipped; with its exit code.

    A negative code is a signal, which the error names.
    """
    code = result.attempts[-1].exit_code if result.attempts else None
    error = one_line(result.error)
    if own_outcome(result) in FAILURES and code and (code > 0 or not error) and f"{code}" not in error:
        error = f"exit {code}" + (f": {error}" if error else "")
    blocked = result.outcome is Outcome.BLOCKED and result.cause
    cause = f"by {one_line(readable(result.cause))}" if blocked else one_line(result.cause)
    return "; ".join(part for part in (error, cause, one_line(result.warning)) if part)


def not_undone(receipt: Receipt) -> list[NodeResult]:
    """The nodes that were to be undone and were not."""
    left = (Outcome.UNDO_FAILED, Outcome.NOT_UNDOABLE, Outcome.DRIFTED)
    return [result for result in receipt.nodes if result.outcome in left]


def undo_text(entry: RollbackEntry) -> str:
    """`undone in 2.0s`, `undo failed: …`, of a compensation `ran in 2.0s`: how one undo went."""
    if entry.outcome is Outcome.UNDONE or entry.outcome in DONE:
        word = "undone" if entry.outcome is Outcome.UNDONE else "ran"
        return f"{word} in {format_ms(entry.ended_ms - entry.started_ms)}"
    error = one_line(entry.error)
    separator = " " if entry.outcome is Outcome.BLOCKED else ": "
    return outcome_word(entry.outcome) + (separator + error if error else "")


def parallelism(receipt: Receipt) -> str:
    """`1.4`: nodes running at once on average; empty where that is less than one."""
    if receipt.parallelism_thousandths < 1000:
        return ""
    whole, part = divmod(receipt.parallelism_thousandths, 1000)
    return f"{whole}.{part // 100}"
