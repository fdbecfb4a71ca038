"""Plan and receipt as the body of a comment or job summary, without its marker line. Reaches no forge.

Whatever others wrote stands in code only, and was redacted before it came into a document. What is shown, and in which
order, does not depend on the budget but for the moves of `shorten`.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from shipway.comparison import FieldChange, Presence, SubjectChange, SubjectKind, compare_first
from shipway.durations import format_ms
from shipway.nodes import WHOLE, Change, Node, Outcome
from shipway.plan import Plan
from shipway.policies import Decision, Verdict
from shipway.receipt import NodeResult, Receipt, RollbackEntry, RunOutcome
from shipway.redaction import Redacted, trusted
from shipway.render import targets, wording
from shipway.render.columns import cut
from shipway.render.comparison import change_lines
from shipway.render.difference import inline
from shipway.render.escape import code, code_cell, fence, html_code, link, name, prose
from shipway.render.folding import folded_ids, folded_nodes, folded_results, is_idle_backup
from shipway.render.folding import name as folded_name
from shipway.render.foreign import lines_of, one_line
from shipway.render.mermaid import flowchart, stage_flowchart
from shipway.render.node_facts import node_facts, plan_said, slot_text, world_change
from shipway.render.plan_words import failure_policy, plan_counts, plan_hooks, plan_locks, survives, weakened_words
from shipway.render.receipt_words import (
    accounted_words,
    approved_words,
    broken_glass,
    cause_of,
    ending,
    is_bad,
    parallelism,
    receipt_counts,
    result_word,
    undo_text,
)
from shipway.render.shorten import Detail, Rank, Report, Row, fit, shorten_lines
from shipway.rollback_preview import StageRollback
from shipway.summary import made_words, summarise
from shipway.view import View

_MAX_NOTES = 5
_MAX_LISTED = 20
_MAX_FIELDS = 8
_MAX_FILES = 3
_MAX_TAILS = 5
_TAIL_LINES = 20
_SCRIPT_SLOTS = ("run", "until", "plan", "undo", "verify")


class Links(Struct, frozen=True):
    """Where a report's facts can be looked up; None leaves a link out. `run` is its label, such as `run 17, attempt 1`.

    `notes` are sentences of Shipway's own, names in backticks, shown under the header.
    """

    run_url: str | None = None
    run: str = ""
    artifact_id: str | None = None
    artifact_url: str | None = None
    declaration_url: str | None = None
    notes: tuple[str, ...] = ()


_MOST_WEAKENED = 600
"""Columns for what a plan loosens: it comes before everything else, which has to fit as well."""


def body(view: View, *, budget: int, links: Links) -> Redacted:
    """What a comment or job summary shows of `view`, which has a plan or a receipt, in at most `budget` UTF-8 bytes.

    Raises ValueError for a budget below `shorten.MIN_BUDGET`.
    """
    links = replace(links, notes=(*view.notes, *links.notes))
    if view.receipt is not None:
        return receipt_comment(view.receipt, view.plan, budget=budget, links=links)
    return trusted(fit(view_report(view, budget, links), budget))


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
    rows = tuple(_plan_row(alike[0], len(alike), view.proven) for alike in folded_nodes(ordered))
    # Details go before any row is folded: beside more rows than fit none is ever seen, and drawing them takes longest.
    are_seen = sum(len(row.line) for row in rows) < budget
    details = _plan_details(plan, view.proven) if are_seen else [_UNSEEN] * len(folded_nodes(plan.nodes))
    return Report(
        subject="plan",
        head=_plan_head(plan, view),
        lead=(_needed(view), _notes(links), _verdicts(plan.verdicts), _in_the_way(plan), since.block),
        table_head=f"| node | stage | change | fidelity | {_UNDO[bool(view.proven)]} |\n| :--- | :--- | :--- | :--- | :--- |",
        rows=rows,
        folded_row=lambda stage, text: f"| … | {name(stage)} | {text} | | |",
        graphs=(_graph(flowchart(plan)), _graph(stage_flowchart(plan))),
        after=(_rollback(plan, budget // 10),),
        details=(*since.details, *details),
        history=_history(view),
        foot=lambda left_out: _plan_foot(plan, view.head, links, left_out),
    )


def receipt_comment(receipt: Receipt, plan: Plan | None, *, budget: int, links: Links) -> Redacted:
    """The body for `receipt` in at most `budget` UTF-8 bytes; without its plan there is no graph and no title.

    Raises ValueError for a budget below `shorten.MIN_BUDGET`.
    """
    return trusted(fit(receipt_report(receipt, plan, budget, links), budget))


def receipt_report(receipt: Receipt, plan: Plan | None, budget: int, links: Links) -> Report:
    """The blocks that `receipt_comment` is made of; lists among them keep to their share of `budget`."""
    ordered = sorted(receipt.nodes, key=lambda result: not is_bad(result))
    return Report(
        subject="receipt",
        head=_receipt_head(receipt),
        lead=(
            _notes(links),
            _run_error(receipt),
            _verdicts(receipt.verdicts),
            _accounted(receipt),
            *_failures(receipt, plan, budget // 5),
        ),
        table_head="| node | stage | outcome | attempts | took | cause |\n| :--- | :--- | :--- | ---: | ---: | :--- |",
        rows=tuple(_receipt_row(alike[0], len(alike)) for alike in folded_results(ordered)),
        folded_row=lambda stage, text: f"| … | {name(stage)} | {text} | | | |",
        graphs=(_graph(flowchart(plan, receipt)), _graph(stage_flowchart(plan, receipt))) if plan else ("", ""),
        after=(_undone(receipt, budget // 10),),
        details=tuple(detail for result in receipt.nodes if (detail := _receipt_detail(result))),
        foot=lambda left_out: _receipt_foot(receipt, plan, links, left_out),
    )


_UNSEEN = Detail(Rank.QUIET, "", "")
"""Stands for a detail that is counted and never shown."""


def _plan_details(plan: Plan, proven: Mapping[str, str]) -> list[Detail]:
    found = folded_nodes([node for node in (*plan.nodes, *plan.compensations) if not is_idle_backup(node)])
    return [detail for alike in found if (detail := _plan_detail(alike[0], len(alike), proven))]


_UNDO = {False: "undo", True: "undo, last proven"}
"""The head of the column, by whether there ever was a drill."""


def _plan_head(plan: Plan, view: View) -> str:
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
    more = f" and {len(hooks) - _MAX_LISTED} more" if len(hooks) > _MAX_LISTED else ""
    run += [f"tells {', '.join(code(words, 80) for words in hooks[:_MAX_LISTED])}{more}"] if hooks else []
    run += [f"targets {targets.counts(plan)}"] if targets.counts(plan) else []
    stands = f" ({prose(view.stands, 120)})" if view.stands else ""
    first = f"**!** {prose(weakened_words(plan), _MOST_WEAKENED)}\n\n" if plan.weakens else ""
    head = f"### Shipway plan: {name(plan.lifecycle)} → {name(plan.target)}{stands}"
    return f"{first}{head}\n\n{' · '.join(facts)}\n\nits run {' · '.join(run)}"


def _needed(view: View) -> str:
    return f"**{prose(view.needed)}**" if view.needed else ""


def _receipt_head(receipt: Receipt) -> str:
    facts = [f"effect `{wording.short_digest(receipt.effect)}`"] if receipt.effect else []
    commit = receipt.by.commit or ""
    if commit:
        facts = [f"{' '.join(facts)} at {code(wording.short_commit(commit))}".strip()]
    facts += [
        *receipt_counts(receipt),
        *map(prose, made_words(summarise(receipt))),
        f"took {format_ms(receipt.duration_ms)}",
    ]
    facts += [f"approved {prose(approved_words(approval))}" for approval in receipt.approvals]
    sign = {RunOutcome.SUCCEEDED: "✅", RunOutcome.CANCELLED: "⏹", RunOutcome.ROLLED_BACK: "↩️"}.get(
        receipt.outcome, "❌"
    )
    title = f"### {sign} Shipway receipt: {name(receipt.lifecycle)} → {name(receipt.target)}: {ending(receipt)}"
    broken = f"### ⚠️ {prose(broken_glass(receipt.break_glass))}\n\n" if receipt.break_glass else ""
    return f"{broken}{title}\n\n{' · '.join(facts)}"


def _verdicts(verdicts: Sequence[Verdict]) -> str:
    """What the policies said, one line each, those that refuse first; those that allow it only counted."""
    told = [line for decision, line in wording.verdict_lines(verdicts) if decision is not Decision.ALLOW]
    allowing = len(verdicts) - len(told)
    lines = [f"- policy {prose(line)}" for line in told[:_MAX_LISTED]]
    if len(told) > _MAX_LISTED:
        lines.append(f"- {len(told) - _MAX_LISTED} more policies have something to say: see the artifact")
    if allowing:
        lines.append("- 1 policy allows it" if allowing == 1 else f"- {allowing} policies allow it")
    return "\n".join(lines)


def _accounted(receipt: Receipt) -> str:
    """Approved nodes that were not part of the run, each with the reason."""
    told = [code(text) for text in accounted_words(receipt)]
    more = f" and {len(told) - _MAX_LISTED} more" if len(told) > _MAX_LISTED else ""
    return f"Approved, and not part of this run: {', '.join(told[:_MAX_LISTED])}{more}" if told else ""


def _notes(links: Links) -> str:
    return "\n>\n".join(f"> {prose(note)}" for note in links.notes[:_MAX_NOTES])


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
    found, count = compare_first(previous, plan, _MAX_LISTED, view.changed)
    lines = [f"- {code(each.subject, 80)}: {_fields(each)}" for each in found]
    head = f"**Changed since the plan{shown}**, {wording.plural(count, 'part')}:"
    details = tuple(_difference(each) for each in found[:_MAX_LISTED] if each.fields)
    return _Since(_listed(head, lines, budget // 10, count), details)


def _fields(change: SubjectChange) -> str:
    if change.presence is not Presence.CHANGED:
        return code(change.presence.value)
    names = [_field(field) for field in change.fields]
    more = f" and {len(names) - _MAX_FIELDS} more" if len(names) > _MAX_FIELDS else ""
    return ", ".join(names[:_MAX_FIELDS]) + more


def _field(field: FieldChange) -> str:
    files = field.files or ()
    if not files:
        return code(field.name, 40)
    more = f" and {len(files) - _MAX_FILES} more" if len(files) > _MAX_FILES else ""
    return f"{code(field.name, 40)} ({', '.join(code(file, 60) for file in files[:_MAX_FILES])}{more})"


def _difference(change: SubjectChange) -> Detail:
    lines = [f"{sign} {text}" for sign, text in change_lines(change)]
    if change.kind is SubjectKind.NODE:
        lines.append(f"  why: shipway why {shlex.quote(one_line(change.subject))}")
    return _detail(Rank.WEIGHTY, f"changed: {html_code(change.subject, 80)}", (("diff", lines),))


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


def _listed(head: str, lines: Sequence[str], share: int, count: int = 0) -> str:
    """A list under `head` with as many whole lines as `share` bytes and _MAX_LISTED allow, and how many are missing.

    `count` is how many there are, where `lines` are not all of them.
    """
    shown: list[str] = []
    for line in lines[:_MAX_LISTED]:
        share -= len(line.encode()) + 1
        if share < 0:
            break
        shown.append(line)
    left = max(count, len(lines)) - len(shown)
    return "\n".join([head, "", *shown, *([f"- … and {left} more"] if left else [])])


def _plan_row(node: Node, count: int, proven: Mapping[str, str]) -> Row:
    weighty = node.change in (Change.DELETE, Change.REPLACE)
    change = f"**{node.change.value}**" if weighty else node.change.value
    undo = {"": "–", "stays": "**stays**"}.get(wording.undo_word(node), "yes")
    if undo == "yes" and node.id in proven and count == 1:
        undo = f"yes, {prose(proven[node.id].partition(' ')[0].strip(','), 20)}"
    line = f"| {code_cell(folded_name(node.step, count))} | {name(node.stage)} | {change} | {node.fidelity.value} | {undo} |"
    return Row(node.stage, node.change.value, line, node.change in wording.QUIET, wording.kept_last(node))


def _receipt_row(result: NodeResult, count: int) -> Row:
    stage, _, step = folded_name(result.node, count).partition("/")
    word = result_word(result)
    shown = f"**{word}**" if is_bad(result) else word
    attempts = str(len(result.attempts)) if result.attempts and count == 1 else "–"
    took = format_ms(result.duration_ms) if result.started_ms is not None and count == 1 else "–"
    cause = cause_of(result)
    line = f"| {code_cell(step or stage)} | {name(stage)} | {shown} | {attempts} | {took} | {code_cell(cause) if cause else ''} |"
    quiet = result.outcome in (Outcome.UNCHANGED, Outcome.SKIPPED)
    return Row(stage, word, line, quiet, is_bad(result))


def _graph(text: str) -> str:
    return fence(text.split("\n"), "mermaid") if text else ""


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
    return _listed(head, [_undo_counts(each) for each in preview.stages], share - len(head))


def _undo_and_stays(each: StageRollback) -> str:
    parts = (
        f"run {_codes(wording.compensation_of(each.stage), each.compensated)}" if each.compensated else "",
        f"undo {_codes(each.stage, each.undone)}" if each.undone else "",
        f"**stays**: {_codes(each.stage, each.stays)}" if each.stays else "",
    )
    return "; ".join(part for part in parts if part)


def _undo_counts(each: StageRollback) -> str:
    run = f"{wording.plural(len(each.compensated), 'node')} run, " if each.compensated else ""
    kept = f", **{len(each.stays)} stay{'s' if len(each.stays) == 1 else ''}**" if each.stays else ""
    return f"- {name(each.stage)}: {run}{wording.plural(len(each.undone), 'node')} undone{kept}"


def _codes(stage: str, ids: Iterable[str]) -> str:
    return ", ".join(code(node.removeprefix(f"{stage}/"), 80) for node in folded_ids(list(ids)))


def _plan_detail(node: Node, count: int, proven: Mapping[str, str]) -> Detail | None:
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
    return _detail(rank, summary, (("diff", diff), ("", [*facts, *said, *scripts])))


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


def _detail(rank: Rank, summary: str, parts: Iterable[tuple[str, Sequence[str]]]) -> Detail:
    shown = [(language, lines) for language, lines in parts if lines]
    whole = "\n\n".join(fence(lines, language) for language, lines in shown)
    short = "\n\n".join(fence(shorten_lines(lines, cut), language) for language, lines in shown)
    frame = f"<details><summary>{summary}</summary>\n\n", "\n\n</details>"
    return Detail(rank, frame[0] + whole + frame[1], frame[0] + short + frame[1])


def _run_error(receipt: Receipt) -> str:
    return f"**Error**: {code(receipt.error, 500)}" if receipt.error else ""


def _failures(receipt: Receipt, plan: Plan | None, share: int) -> list[str]:
    """What failed, with its last lines, in at most `share` bytes."""
    blocks: list[str] = []
    for result in receipt.failed[:_MAX_TAILS]:
        block = _failure(result, plan)
        share -= len(block.encode())
        if share < 0:
            break
        blocks.append(block)
    left = len(receipt.failed) - len(blocks)
    return [*blocks, *([f"**Failed**: {wording.plural(left, 'more node')}, see the table."] if left else [])]


def _failure(result: NodeResult, plan: Plan | None) -> str:
    node = plan.by_id.get(result.node) if plan else None
    cause = cause_of(result) or wording.outcome_word(result.outcome)
    where = f" ({code(str(node.position), 80)})" if node else ""
    head = f"**Failed**: {code(result.node, 80)}{where}: {code(cause, 200)}"
    tail = lines_of(result.tail)[-_TAIL_LINES:]
    return f"{head}\n\n{fence([cut(line, 300) for line in tail], 'text')}" if tail else f"{head}. It printed nothing."


def _undone(receipt: Receipt, share: int) -> str:
    if not receipt.rollback:
        return ""
    lines = [f"- {code(entry.node, 80)}: {_undo_told(entry)}" for entry in receipt.rollback]
    left = sum(entry.outcome not in WHOLE for entry in receipt.rollback)
    head = "**Rolled back**, in this order:"
    if left:
        head = f"**Rolled back, but for {wording.plural(left, 'node')}**, in this order:"
    return _listed(head, lines, share)


def _undo_told(entry: RollbackEntry) -> str:
    if entry.outcome in WHOLE:
        return undo_text(entry)
    said = lines_of(entry.tail)[-1:]
    told = f"**{wording.outcome_word(entry.outcome)}**" + (f": {code(entry.error, 200)}" if entry.error else "")
    return told + (f", its last line {code(said[0], 200)}" if said and said[0] else "")


def _receipt_detail(result: NodeResult) -> Detail | None:
    outputs = [f"{one_line(key)} = {inline(value)}" for key, value in result.outputs.items()]
    tries = [
        f"attempt {each.number}: {wording.outcome_word(each.outcome)} after {format_ms(each.ended_ms - each.started_ms)}"
        + (f" (exit {each.exit_code})" if each.exit_code and each.exit_code > 0 else "")
        + (f": {one_line(each.error)}" if each.error else "")
        + (f"; {wording.outcome_word(each.undo)}" if each.undo else "")
        for each in result.attempts
        if len(result.attempts) > 1
    ]
    if not (outputs or tries):
        return None
    rank = Rank.WEIGHTY if is_bad(result) else Rank.USUAL
    return _detail(rank, f"{html_code(result.node, 80)} · {result_word(result)}", (("", [*outputs, *tries]),))


def _plan_foot(plan: Plan, head: str, links: Links, left_out: int) -> str:
    shown = head or plan.source.commit
    commit = f"@{wording.short_commit(shown)}" if shown else ""
    declared = link(code(plan.source.file + commit, 80), links.declaration_url)
    return _foot((*_found(links, "plan", plan.digest), f"declaration {declared}"), left_out)


def _receipt_foot(receipt: Receipt, plan: Plan | None, links: Links, left_out: int) -> str:
    path = " → ".join(receipt.critical_path)
    redactions = wording.plural(receipt.redactions, "redaction") if receipt.redactions else ""
    average = parallelism(receipt)
    facts = (
        f"longest path {code(path, 200)} {format_ms(receipt.critical_path_ms)}" if path else "",
        f"{average} nodes at once on average" if average else "",
        *_found(links, "receipt", str(receipt.document["digest"])),
        f"declaration {link(code(plan.source.file, 80), links.declaration_url)}" if plan else "",
        redactions,
    )
    return _foot(facts, left_out)


def _found(links: Links, subject: str, digest: str) -> tuple[str, ...]:
    """Where the document and the run are found."""
    artifact = (
        f"{subject} artifact {link(code(links.artifact_id, 40), links.artifact_url)}" if links.artifact_id else ""
    )
    run = link(prose(links.run, 80) or "run", links.run_url) if links.run or links.run_url else ""
    return artifact, f"{subject} `{digest}`", run


def _foot(facts: Iterable[str], left_out: int) -> str:
    told = [*facts, f"{left_out} left out" if left_out else ""]
    return " · ".join(fact for fact in told if fact)
