"""The words and short facts that every view of a plan or receipt shares. Lays nothing out and knows no markup."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from shipway.approvals import Approval, ApprovalRule, ApprovedBy, Permission
from shipway.canonical import Json
from shipway.declaration import OnFailure, Retry, Rollback
from shipway.durations import format_ms
from shipway.limits import Limit
from shipway.node_ids import owner_of
from shipway.nodes import (
    DONE,
    FAILURES,
    Change,
    Computed,
    Fidelity,
    Immediate,
    NeedKind,
    Node,
    Outcome,
    Promise,
    Proxy,
    Slot,
    change_counts,
    fidelity_counts,
)
from shipway.plan import COMPENSATION_PART, Durability, Plan, PlannedStage
from shipway.policies import BreakGlass, Decision, Verdict
from shipway.receipt import NodeResult, Receipt, RollbackEntry, RunOutcome, own_outcome
from shipway.render.difference import SignedLine, diff_lines, inline
from shipway.render.foreign import one_line
from shipway.weakenings import Rule

Fact: TypeAlias = tuple[str, str]
"""A label of one word and a text on one line, cleaned."""

_SECRET = re.compile(r"""secrets\s*(?:\.\s*([A-Za-z_][A-Za-z0-9_-]*)|\[\s*'([^']*)'\s*\])""")

QUIET = frozenset({Change.NOOP, Change.READ})
"""Changes that leave the world as it is."""

BAD = FAILURES | {Outcome.CANCELLED, Outcome.UNDO_FAILED, Outcome.NOT_UNDOABLE, Outcome.DRIFTED}
"""Outcomes that a person has to look at."""

_OUTCOMES = tuple(Outcome)

# What a step without a plan of its own, or with one, says of itself: its fidelity says so already.
_IDLE_WHYS = frozenset({"only running it tells", "its plan command says so"})

ENDINGS = {
    RunOutcome.SUCCEEDED: "succeeded",
    RunOutcome.FAILED: "failed",
    RunOutcome.NOT_UNDONE: "failed, not everything was undone",
    RunOutcome.CANCELLED: "cancelled",
    RunOutcome.ROLLED_BACK: "rolled back",
}

_ON_FAILURE = {
    OnFailure.DRAIN: "those already started finish",
    OnFailure.CANCEL: "the others are stopped",
    OnFailure.CONTINUE: "those that do not depend on it go on",
}


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


def kept_last(node: Node) -> bool:
    """Whether a shortened view gives the node up last: it deletes, replaces, cannot be foretold or cannot be undone."""
    return node.change in (Change.DELETE, Change.REPLACE) or node.fidelity is Fidelity.OPAQUE or stays(node)


def first_in_table(node: Node) -> bool:
    """Whether the node is listed before those in declared order."""
    return node.change in (Change.DELETE, Change.REPLACE) or stays(node)


def plan_counts(plan: Plan) -> list[str]:
    """`3 create`, `1 delete`, … by change, then `2 opaque`: those that occur."""
    changes = [f"{count} {change.value}" for change, count in change_counts(plan.nodes).items() if count]
    opaque = fidelity_counts(plan.nodes)[Fidelity.OPAQUE]
    return [*changes, *([f"{opaque} opaque"] if opaque else [])] or ["no nodes"]


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
    stopped = FAILURES | {Outcome.CANCELLED, Outcome.UNKNOWN}
    if receipt.outcome is RunOutcome.NOT_UNDONE and not any(own_outcome(result) in stopped for result in receipt.nodes):
        return "not everything was undone"  # it was rolled back later, and nothing had failed
    return ENDINGS[receipt.outcome]


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


def needed(node: Node) -> list[str]:
    """What the node waits for, each once: ids, within its stage the steps, with the outputs it takes."""
    taken: dict[str, list[str]] = {}
    for slot in (*node.slots.values(), *node.env.values()):
        if isinstance(slot, Promise):
            taken.setdefault(slot.node, []).extend([slot.output] if slot.output else [])
    befores = (owner_of(need.node) for need in node.needs if need.kind is not NeedKind.WITHIN)
    known = dict.fromkeys([*befores, *taken])
    for need in node.needs:
        more = "optional" if need.kind is NeedKind.OPTIONAL else f"reads {need.resource}" if need.resource else ""
        if more:
            taken.setdefault(owner_of(need.node), []).append(more)
    return [_need_text(node, name, taken.get(name, [])) for name in known]


def _need_text(node: Node, name: str, notes: Sequence[str]) -> str:
    notes = [*dict.fromkeys(notes)]
    shown = one_line(name.removeprefix(f"{node.stage}/"))
    return shown + (f" ({', '.join(map(one_line, notes))})" if notes else "")


def secret_names(node: Node) -> list[str]:
    """Names of the secrets that the node's slots and environment refer to, sorted. Never a value."""
    texts = (text for slot in (*node.slots.values(), *node.env.values()) for text in _expressions(slot))
    found = {first or second for text in texts for first, second in _SECRET.findall(text)}
    return sorted(one_line(name) for name in found)


def _expressions(slot: Slot) -> Iterator[str]:
    return _texts(slot.expression) if isinstance(slot, Computed) else iter(())


def _texts(value: Json) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for member in value.values():
            yield from _texts(member)
    elif isinstance(value, Sequence):
        for member in value:
            yield from _texts(member)


_SURVIVES = {
    Durability.PROCESS: "a killed process",
    Durability.ATTEMPT: "the end of its job, if the journal was uploaded",
    Durability.MACHINE: "the loss of its machine",
}


def survives(plan: Plan) -> str:
    """What a run of the plan survives, so that it can be gone on with."""
    return _SURVIVES[plan.durability]


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


def broken_glass(broken: BreakGlass) -> str:
    """Who overrode which policies, by which right, and why: on one line, what others wrote in backticks."""
    right = "typed at the terminal" if broken.right == "terminal" else f"who may {broken.right}"
    names = " and ".join(one_line(verdict.words) for verdict in broken.overridden)
    by, reason = (one_line(text).replace("`", "'") for text in (broken.by, broken.reason))
    return f"break-glass by `{by}` ({right}) against {names} because `{reason}`"


def plan_hooks(plan: Plan) -> list[str]:
    """Who is told what happens, in order: the name of an installed hook, else the event and the first line of the command."""
    return [hook.uses or f"{hook.event}: {_first_line(hook.run)}" for hook in plan.hooks]


def _first_line(script: str) -> str:
    lines = script.strip().splitlines()
    return one_line(lines[0]) + (" …" if len(lines) > 1 else "")


def plan_locks(plan: Plan) -> str:
    """The locks that the run holds besides that of lifecycle and target; empty where there is nothing to say."""
    if not plan.is_locked:
        return "none: the forge's concurrency is the only guard"
    return ", ".join(map(one_line, plan.locks))


_MOST_WEAKENED = 4


def weakened_words(plan: Plan) -> str:
    """`weakens 2 rules, which hold all the same: …; …`: what is said before anything else; empty where nothing is loosened."""
    if not plan.weakens:
        return ""
    texts = [one_line(weakening.text) for weakening in plan.weakens[:_MOST_WEAKENED]]
    more = len(plan.weakens) - len(texts)
    shown = "; ".join(texts) + (f"; and {more} more" if more else "")
    if all(weakening.rule is Rule.BASE for weakening in plan.weakens):
        return shown
    return f"weakens {plural(len(plan.weakens), 'rule')} of the commit before, and the stricter hold: {shown}"


def node_facts(node: Node) -> list[Fact]:
    """What a reviewer asks about a node: why, if, waits, each, adds, env (names, then secrets), predicts, bounds.

    Those it has.
    """
    is_own = node.action.startswith("preview.")  # whose counter of how often it was made is for no person
    predicted = (
        f"{one_line(name)} = {inline(value)}"
        for name, value in node.predicted.items()
        if not (is_own and name == "made")
    )
    facts = [
        ("why", "" if node.why in _IDLE_WHYS else one_line(node.why)),
        ("if", one_line(node.condition or "")),
        ("waits", ", ".join(needed(node))),
        ("each", _each(node)),
        ("adds", _adds(node)),
        ("env", _environment(node)),
        ("predicts", ", ".join(predicted)),
        ("bounds", _bounds(node)),
    ]
    return [(label, text) for label, text in facts if text]


def _each(node: Node) -> str:
    """How a gather goes over its items."""
    gather = node.gather
    if gather is None:
        return ""
    many = "item, known when run" if gather.keys is None else plural(len(gather.keys), "item")
    most = f"at most {gather.max}" if gather.max and gather.keys is None else ""
    policy = f"if one fails, {_ON_FAILURE[gather.on_failure]}" if gather.on_failure else ""
    return ", ".join(part for part in (many, most, f"{gather.limit} at once", policy) if part)


def _adds(node: Node) -> str:
    """What a node adds when it runs: its templates, with what undoes them."""
    if not node.templates:
        return ""
    shown = [
        f"{one_line(_template_name(each, node, name))} ({undo_word(each) or 'leaves nothing'})"
        for name, nodes in node.templates.items()
        for each in nodes
        if not each.is_group
    ]
    return ", ".join(shown) + (f", {node.emits} at most" if node.emits else "")


def _template_name(template: Node, node: Node, name: str) -> str:
    return name if template.id.count("/") == node.id.count("/") else template.id.rpartition("/")[2]


def _environment(node: Node) -> str:
    secrets = secret_names(node)
    is_own = node.action.startswith("preview.")  # every hook gets those of Shipway
    named = [name for name in node.env if not (is_own and name.startswith("SHIPWAY_"))]
    names = ", ".join(one_line(name) for name in (*named, *node.env_from))
    return " · ".join(part for part in (names, f"secrets {', '.join(secrets)}" if secrets else "") if part)


def limit_counts(plan: Plan) -> list[str]:
    """Each limit of the plan with how much it lets run at once and how fast, such as `docker: 2 at once, 10 in 1m`."""
    return [f"{one_line(name)}: {_pace(limit)}" for name, limit in plan.limits.items()]


def _pace(limit: Limit) -> str:
    if limit.rate is None:
        return f"{limit.parallel} at once"
    burst = f", {limit.rate.burst} saved up" if limit.rate.burst > 1 else ""
    return f"{limit.parallel} at once, {limit.rate.count} in {format_ms(limit.rate.period_ms)}{burst}"


def _bounds(node: Node) -> str:
    bounds = (
        "needs privilege" if node.privileged else "",
        f"limits {', '.join(map(one_line, node.limits))}" if node.limits else "",
        f"locks {', '.join(map(one_line, node.locks))}" if node.locks else "",
        "runs alone" if node.exclusive else "",
        f"timeout {format_ms(node.timeout_ms)}" if node.timeout_ms else "",
        f"up to {node.retry.attempts} attempts" if node.retry.attempts > 1 else "",
        _undo_bounds(node),
        "may fail" if node.allow_failure else "",
        f"done once as {one_line(node.dedup)}" if node.dedup is not None else "",
    )
    return " · ".join(bound for bound in bounds if bound)


def _undo_bounds(node: Node) -> str:
    """Where they are others than those of the node."""
    if not node.reversible or (node.undo_retry, node.undo_timeout_ms) in ((node.retry, node.timeout_ms), (Retry(), 0)):
        return ""
    timeout = f"timeout {format_ms(node.undo_timeout_ms)}" if node.undo_timeout_ms else "no timeout"
    tries = f", up to {node.undo_retry.attempts} attempts" if node.undo_retry.attempts > 1 else ""
    return f"undo {timeout}{tries}"


def plan_said(node: Node) -> str:
    """What a step's read-only `plan` command printed; empty where there is none."""
    if node.before is None and isinstance(node.after, Mapping) and set(node.after) == {"plan"}:
        return str(node.after["plan"])
    return ""


def world_change(node: Node) -> list[SignedLine]:
    """Before → after of what the node changes, as a diff; what a `plan` command printed is none."""
    return [] if plan_said(node) else diff_lines(node.before, node.after)


def slot_text(slot: Slot) -> str:
    """What a slot holds, as written: a value, an expression, or whose output."""
    match slot:
        case Immediate(value):
            return value if isinstance(value, str) else inline(value)
        case Promise(node, output):
            return f"{node} ({output})" if output else node
        case Computed(expression):
            return expression if isinstance(expression, str) else inline(expression)
        case Proxy(gather, part):
            return f"item of {gather}" + (f" ({part})" if part else "")


def stage_facts(stage: PlannedStage) -> str:
    """`after build, if …, mode gitops by argo`: how a stage differs from a plain one."""
    facts = [
        f"after {', '.join(stage.needs)}" if stage.needs else "",
        f"if {stage.condition}" if stage.condition else "",
        f"mode {stage.mode} by {stage.backend}" if stage.mode != "steps" else "",
        f"up to {stage.retry.attempts} attempts" if stage.retry.attempts > 1 else "",
        f"needs {approval_words(stage.approval)}" if stage.approval else "",
    ]
    return one_line(", ".join(fact for fact in facts if fact))


def approval_words(rule: ApprovalRule) -> str:
    """`approval`, `2 approvals by maintain, at most 7d old`: what a stage asks for."""
    count = "approval" if rule.reviews == 1 else f"{rule.reviews} approvals"
    by = f" by {rule.permission.value}" if rule.permission is not Permission.WRITE else ""
    return count + by + (f", at most {format_ms(rule.fresh_ms)} old" if rule.fresh_ms else "")


def approved_words(approval: Approval) -> str:
    """`by ana, review 80 of #7 at 1f2e3d4`: who approved and how."""
    by = f"by {one_line(approval.by)}" if approval.by else "by somebody"
    if approval.given is not ApprovedBy.REVIEW:
        return f"{by}, {'with `--approve`' if approval.given is ApprovedBy.OPTION else 'typed at the terminal'}"
    return f"{by}, review {approval.review} of #{approval.pull_request} at {short_commit(approval.commit or '')}"


def accounted_words(receipt: Receipt) -> list[str]:
    """`build/image: succeeded in run …`, for each node that was approved and not part of the run."""
    return [f"{one_line(each.node)}: {one_line(each.why)}" for each in receipt.accounted]


def failure_policy(plan: Plan) -> str:
    """What happens when a node fails, as the start of a sentence or a whole one."""
    others = _ON_FAILURE[plan.on_failure]
    if plan.rollback is Rollback.NONE:
        return f"If a node fails, {others} and nothing is undone."
    if not plan.on_rollback.stages:
        return f"If a node fails, {others}. Nothing lasting is done: there is nothing to undo."
    scope = (
        "the failed stage is undone"
        if plan.rollback is Rollback.STAGE
        else "what was begun is undone, the last stage first"
    )
    return f"If a node fails, {others}; then {scope}:"


def result_word(result: NodeResult) -> str:
    """The outcome, and for a node that failed and was then undone (or not), both."""
    own = own_outcome(result)
    if own is not result.outcome and own not in DONE:
        return f"{outcome_word(own)}, {outcome_word(result.outcome)}"
    return outcome_word(result.outcome)


def is_bad(result: NodeResult) -> bool:
    """Whether a person has to look at the node: it failed by itself, or was to be undone and was not."""
    return result.outcome in BAD or own_outcome(result) in FAILURES


def cause_of(result: NodeResult) -> str:
    """Why a node ended as it did, on one line: its error, who blocked it, why it was skipped; with its exit code.

    A negative code is a signal, which the error names.
    """
    code = result.attempts[-1].exit_code if result.attempts else None
    error = one_line(result.error)
    if own_outcome(result) in FAILURES and code and (code > 0 or not error) and f"{code}" not in error:
        error = f"exit {code}" + (f": {error}" if error else "")
    blocked = result.outcome is Outcome.BLOCKED and result.cause
    cause = f"by {one_line(result.cause)}" if blocked else one_line(result.cause)
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
