"""A plan as the body of a comment or job summary, without its marker line. Reaches no forge."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping

from msgspec import Struct

from shipway.comparison import SubjectChange, SubjectKind, compare_first
from shipway.node_ids import readable
from shipway.nodes import Change, Node
from shipway.plan import Plan
from shipway.redaction import Redacted, trusted
from shipway.render import targets, wording
from shipway.render.blocks import (
    MAX_LISTED,
    Links,
    detail_of,
    foot,
    found_at,
    graph_blocks,
    listed,
    notes_block,
    verdict_block,
)
from shipway.render.comparison import change_lines
from shipway.render.escape import code, code_cell, html_code, link, name, prose
from shipway.render.explanation import changed_clauses
from shipway.render.folding import folded_ids, folded_nodes, is_idle_backup
from shipway.render.folding import name as folded_name
from shipway.render.foreign import lines_of, one_line
from shipway.render.mermaid import flowcharts
from shipway.render.node_facts import node_facts, plan_said, slot_text, world_change
from shipway.render.plan_words import failure_policy, plan_counts, plan_hooks, plan_locks, survives, weakened_words
from shipway.render.receipt_words import approved_words
from shipway.render.shorten import Detail, Rank, Report, Row, fit
from shipway.rollback_preview import StageRollback
from shipway.view import View

_MAX_FIELDS = 8
_MAX_FILES = 3
_CLAUSE_CELLS = 240
"""Of what is said of one field: so many that no name or value in it is cut where one is as long as it usually is at most."""
_SCRIPT_SLOTS = ("run", "until", "plan", "undo", "verify")
_MOST_WEAKENED = 600
"""Columns for what a plan loosens: it comes before everything else, which has to fit as well."""


def plan_comment(plan: Plan, *, budget: int, links: Links, previous: Plan | None = None) -> Redacted:
    """The body for `plan` in at most `budget` UTF-8 bytes, with what differs from the plan shown before.

    Raises ValueError for a budget below `shorten.MIN_BUDGET`.
    """
    return trusted(fit(plan_report(plan, budget, links, previous), budget))


def plan_report(plan: Plan, budget: int, links: Links, previous: Plan | None = None) -> Report:
    """The blocks of a plan of which nothing else is known; lists among them keep to their share of `budget`."""
    return view_report(View(plan.lifecycle, plan.target, plan, previous=previous), budget, links)


def view_report(view: View, budget: int, links: Links) -> Report:
    """The blocks that `body` is made of, for a view with a plan and without a receipt."""
    plan = view.plan
    assert plan is not None
    ordered = sorted(plan.nodes, key=lambda node: not wording.first_in_table(node))
    since = _since(view, budget)
    rows = tuple(_row(alike[0], len(alike), view.proven) for alike in folded_nodes(ordered))
    # Details go before any row is folded: beside more rows than fit none is ever seen, and drawing them takes longest.
    are_seen = sum(len(row.line) for row in rows) < budget
    details = _details(plan, view.proven) if are_seen else [_UNSEEN] * len(folded_nodes(plan.nodes))
    return Report(
        subject="plan",
        head=_head(plan, view),
        lead=(
            *(_needed(view), _approved(view, links), notes_block(links)),
            *(verdict_block(plan.verdicts), _in_the_way(plan), since.block),
        ),
        table_head=f"| node | stage | change | fidelity | {_UNDO[bool(view.proven)]} |\n| :--- | :--- | :--- | :--- | :--- |",
        rows=rows,
        folded_row=lambda stage, text: f"| … | {name(stage) if stage else '…'} | {text} | | |",
        graphs=graph_blocks(*flowcharts(plan)),
        after=(_rollback(plan, budget // 10),),
        details=(*since.details, *details),
        history=_history(view),
        foot=lambda left_out: _foot(plan, view.head, links, left_out),
    )


_UNSEEN = Detail(Rank.QUIET, "", "")
"""Stands for a detail that is counted and never shown."""


def _details(plan: Plan, proven: Mapping[str, str]) -> list[Detail]:
    found = folded_nodes([node for node in (*plan.nodes, *plan.compensations) if not is_idle_backup(node)])
    return [detail for alike in found if (detail := _detail(alike[0], len(alike), proven))]


_UNDO = {False: "undo", True: "undo, last proven"}
"""The head of the column, by whether there ever was a drill."""


def _head(plan: Plan, view: View) -> str:
    facts = [f"effect `{wording.short_digest(plan.effect)}`"]
    if view.head or plan.source.commit:
        dirty = " and uncommitted changes" if plan.source.dirty else ""
        facts[0] += f" for {code(wording.short_commit(view.head or plan.source.commit or ''))}{dirty}"
    facts += plan_counts(plan)
    point = plan.on_rollback.point_of_no_return
    if point:
        facts.append(f"cannot be undone after {code(point, 80)}")
    # What a phone shows at once ends here.
    run = ["needs approval: " + ", ".join(map(code, plan.approval_rules))] if plan.approval_rules else []
    run += [f"takes {prose(view.expected)}"] if view.expected else []
    run.append(f"survives {survives(plan)}")
    run += [f"locks {prose(plan_locks(plan))}"] if plan_locks(plan) else []
    hooks = plan_hooks(plan)
    more = f" and {len(hooks) - MAX_LISTED} more" if len(hooks) > MAX_LISTED else ""
    run += [f"tells {', '.join(code(words, 80) for words in hooks[:MAX_LISTED])}{more}"] if hooks else []
    run += [f"targets {targets.counts(plan)}"] if targets.counts(plan) else []
    stands = f" ({prose(view.stands, 120)})" if view.stands else ""
    first = f"**!** {prose(weakened_words(plan), _MOST_WEAKENED)}\n\n" if plan.weakens else ""
    head = f"### Shipway plan: {name(plan.lifecycle)} → {name(plan.target)}{stands}"
    return f"{first}{head}\n\n{' · '.join(facts)}\n\nits run {' · '.join(run)}"


def _needed(view: View) -> str:
    return f"**{prose(view.needed)}**" if view.needed else ""


def _approved(view: View, links: Links) -> str:
    """Who approved the plan so far, and where a review that comes later shows: this text is not written anew for it."""
    if not view.awaits_approval or view.stands:
        return ""
    given = [f"Approved {prose(approved_words(approval))}." for approval in view.approvals]
    check = link(code(view.name), links.checks_url)
    later = [f"What reviews say by now is in the check {check}."] if links.checks_url else []
    return " ".join((*given, *later))


class _Since(Struct, frozen=True):
    """What differs from the plan before: a list, and what each difference is in detail."""

    block: str = ""
    details: tuple[Detail, ...] = ()


def _since(view: View, budget: int) -> _Since:
    plan, previous = view.plan, view.previous
    if plan is None or previous is None:
        return _Since()
    commit = view.history[0].commit if view.history else previous.source.commit
    shown = f" for {code(wording.short_commit(commit))}" if commit else ""
    if previous.effect == plan.effect:
        return _Since(f"Same effect as the plan{shown} shown before.")
    found, count = compare_first(previous, plan, MAX_LISTED, view.changed)
    lines = [f"- {code(readable(each.subject), 80)}: {_words(each)}" for each in found]
    head = f"**Changed since the plan{shown}**, {wording.plural(count, 'part')}:"
    details = tuple(_difference(each) for each in found[:MAX_LISTED] if each.fields)
    return _Since(listed(head, lines, budget // 10, count), details)


def _words(change: SubjectChange) -> str:
    """What `shipway why` says of the change, field by field."""
    clauses = [prose(clause, _CLAUSE_CELLS) for clause in changed_clauses(change, _MAX_FILES)]
    more = f" and {len(clauses) - _MAX_FIELDS} more" if len(clauses) > _MAX_FIELDS else ""
    return ", ".join(clauses[:_MAX_FIELDS]) + more


def _difference(change: SubjectChange) -> Detail:
    lines = [f"{sign} {text}" for sign, text in change_lines(change)]
    if change.kind is SubjectKind.NODE:
        lines.append(f"  why: shipway why {shlex.quote(one_line(readable(change.subject)))}")
    return detail_of(Rank.WEIGHTY, f"changed: {html_code(readable(change.subject), 80)}", (("diff", lines),))


def _history(view: View) -> str:
    """The plans before this one, as their header facts."""
    if not view.history:
        return ""
    lines = [
        f"- {code(wording.short_commit(each.commit))} · effect `{wording.short_digest(each.effect)}` · "
        f"{', '.join(each.counts)} · {link(f'run {each.run}', f'{view.runs_url}/{each.run}')}"
        for each in view.history
    ]
    title = wording.plural(len(view.history), "earlier plan")
    return "\n".join([f"<details><summary>{title}</summary>", "", *lines, "", "</details>"])


def _row(node: Node, count: int, proven: Mapping[str, str]) -> Row:
    weighty = node.change in (Change.DELETE, Change.REPLACE)
    change = f"**{node.change.value}**" if weighty else node.change.value
    undo = {"": "–", "stays": "**stays**"}.get(wording.undo_word(node), "yes")
    if undo == "yes" and node.id in proven and count == 1:
        undo = f"yes, {prose(proven[node.id].partition(' ')[0].strip(','), 20)}"
    line = f"| {code_cell(folded_name(node.step, count))} | {name(node.stage)} | {change} | {node.fidelity.value} | {undo} |"
    return Row(node.stage, node.change.value, line, node.change in wording.QUIET, wording.weight(node), count)


def _in_the_way(plan: Plan) -> str:
    lines = targets.in_the_way(plan)
    return "\n".join(["**In the way**", "", *(f"- {code(line, 160)}" for line in lines)]) if lines else ""


def _rollback(plan: Plan, share: int) -> str:
    preview = plan.on_rollback
    head = failure_policy(plan).replace("If a node fails", "**If a node fails**", 1)
    lines = [f"- {name(each.stage)}: {_undo_and_stays(each)}" for each in preview.stages]
    text = "\n".join([head, "", *lines]) if lines else head
    if len(text.encode()) <= share:
        return text
    return listed(head, [_undo_counts(each) for each in preview.stages], share - len(head))


def _undo_and_stays(each: StageRollback) -> str:
    parts = (
        f"run {_codes(wording.compensation_of(each.stage), each.compensated)}" if each.compensated else "",
        f"undo {_codes(each.stage, each.undone)}" if each.undone else "",
        f"**stays**: {_codes(each.stage, each.stays)}" if each.stays else "",
    )
    return "; ".join(part for part in parts if part)


def _codes(stage: str, ids: Iterable[str]) -> str:
    return ", ".join(code(node.removeprefix(f"{stage}/"), 80) for node in folded_ids(list(ids)))


def _undo_counts(each: StageRollback) -> str:
    run = f"{wording.plural(len(each.compensated), 'node')} run, " if each.compensated else ""
    kept = f", **{len(each.stays)} stay{'s' if len(each.stays) == 1 else ''}**" if each.stays else ""
    return f"- {name(each.stage)}: {run}{wording.plural(len(each.undone), 'node')} undone{kept}"


def _detail(node: Node, count: int, proven: Mapping[str, str]) -> Detail | None:
    facts = [f"{label:<9} {text}" for label, text in node_facts(node)]
    if node.id in proven:
        facts.append(f"{'proven':<9} {one_line(proven[node.id])}")
    scripts = [line for label in _SCRIPT_SLOTS for line in _script(node, label)]
    said = _labelled("says", plan_said(node))
    diff = [f"{sign} {text}" for sign, text in world_change(node)]
    if not (facts or scripts or said or diff):
        return None
    title = f" {html_code(node.title, 60)}" if node.title else ""
    when = "only on rollback" if wording.is_compensation(node.id) else f"{node.change.value} · {node.fidelity.value}"
    summary = f"{html_code(folded_name(node.id, count), 80)}{title} · {when}"
    rank = _rank(node.change)
    return detail_of(rank, summary, (("diff", diff), ("", [*facts, *said, *scripts])))


def _script(node: Node, label: str) -> list[str]:
    slot = node.slots.get(label)
    return _labelled(label, slot_text(slot)) if slot is not None else []


def _labelled(label: str, text: str) -> list[str]:
    """The lines of a text of several lines beside a label; none for an empty one."""
    return [f"{'' if place else label:<9} {line}" for place, line in enumerate(lines_of(text))]


def _rank(change: Change) -> Rank:
    if change in wording.QUIET:
        return Rank.QUIET
    return Rank.USUAL if change in (Change.CREATE, Change.RUN) else Rank.WEIGHTY


def _foot(plan: Plan, head: str, links: Links, left_out: int) -> str:
    shown = head or plan.source.commit
    commit = f"@{wording.short_commit(shown)}" if shown else ""
    declared = link(code(plan.source.file + commit, 80), links.declaration_url)
    return foot((*found_at(links, "plan", plan.digest), f"declaration {declared}"), left_out)
