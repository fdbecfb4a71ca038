"""The words and short facts of a plan that every view of it shares. Lays nothing out and knows no markup."""

from __future__ import annotations

from shipway.approvals import ApprovalRule, Permission
from shipway.declaration import Rollback
from shipway.durations import format_ms
from shipway.limits import Limit
from shipway.nodes import Fidelity, change_counts, fidelity_counts
from shipway.plan import Durability, Plan, PlannedStage
from shipway.render.foreign import one_line
from shipway.render.wording import ON_FAILURE, plural
from shipway.weakenings import Rule


def plan_counts(plan: Plan) -> list[str]:
    """`3 create`, `1 delete`, … by change, then `2 opaque`: those that occur."""
    changes = [f"{count} {change.value}" for change, count in change_counts(plan.nodes).items() if count]
    opaque = fidelity_counts(plan.nodes)[Fidelity.OPAQUE]
    return [*changes, *([f"{opaque} opaque"] if opaque else [])] or ["no nodes"]


_SURVIVES = {
    Durability.PROCESS: "a killed process",
    Durability.ATTEMPT: "the end of its job, if the journal was uploaded",
    Durability.MACHINE: "the loss of its machine",
}


def survives(plan: Plan) -> str:
    """What a run of the plan survives, so that it can be gone on with."""
    return _SURVIVES[plan.durability]


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


def limit_counts(plan: Plan) -> list[str]:
    """Each limit of the plan with how much it lets run at once and how fast, such as `docker: 2 at once, 10 in 1m`."""
    return [f"{one_line(name)}: {_pace(limit)}" for name, limit in plan.limits.items()]


def _pace(limit: Limit) -> str:
    if limit.rate is None:
        return f"{limit.parallel} at once"
    burst = f", {limit.rate.burst} saved up" if limit.rate.burst > 1 else ""
    return f"{limit.parallel} at once, {limit.rate.count} in {format_ms(limit.rate.period_ms)}{burst}"


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


def failure_policy(plan: Plan) -> str:
    """What happens when a node fails, as the start of a sentence or a whole one."""
    others = ON_FAILURE[plan.on_failure]
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
