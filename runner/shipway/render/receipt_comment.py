"""A receipt as the body of a comment or job summary, without its marker line. Reaches no forge."""

from __future__ import annotations

from shipway.durations import format_ms
from shipway.node_ids import readable
from shipway.nodes import WHOLE, Outcome
from shipway.plan import Plan
from shipway.receipt import NodeResult, Receipt, RollbackEntry, RunOutcome, own_outcome
from shipway.redaction import Redacted, trusted
from shipway.render import wording
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
from shipway.render.columns import cut
from shipway.render.difference import inline
from shipway.render.escape import code, code_cell, fence, html_code, link, name, prose
from shipway.render.folding import folded_results
from shipway.render.folding import name as folded_name
from shipway.render.foreign import lines_of, one_line
from shipway.render.mermaid import flowcharts
from shipway.render.receipt_words import (
    accounted_words,
    approved_words,
    broken_glass,
    cause_of,
    ending,
    parallelism,
    receipt_counts,
    result_word,
    took_words,
    undo_text,
)
from shipway.render.shorten import Detail, Rank, Report, Row, fit
from shipway.render.wording import is_bad
from shipway.summary import made_words, summarise

_MAX_TAILS = 5
_TAIL_LINES = 20


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
        head=_head(receipt),
        lead=(
            notes_block(links),
            _run_error(receipt),
            verdict_block(receipt.verdicts),
            _accounted(receipt),
            *_failures(receipt, plan, budget // 5),
        ),
        table_head="| node | stage | outcome | attempts | took |\n| :--- | :--- | :--- | ---: | ---: |",
        rows=tuple(_row(alike[0], len(alike)) for alike in folded_results(ordered)),
        folded_row=lambda stage, text: f"| … | {name(stage) if stage else '…'} | {text} | | |",
        graphs=graph_blocks(*flowcharts(plan, receipt)) if plan else ("", ""),
        after=(_undone(receipt, budget // 10),),
        details=tuple(detail for result in receipt.nodes if (detail := _detail(result))),
        foot=lambda left_out: _foot(receipt, plan, links, left_out),
    )


def _head(receipt: Receipt) -> str:
    facts = [f"effect `{wording.short_digest(receipt.effect)}`"] if receipt.effect else []
    commit = receipt.by.commit or ""
    if commit:
        facts = [f"{' '.join(facts)} at {code(wording.short_commit(commit))}".strip()]
    facts += [
        *receipt_counts(receipt),
        *map(prose, made_words(summarise(receipt))),
        f"took {took_words(receipt)}",
    ]
    facts += [f"approved {prose(approved_words(approval))}" for approval in receipt.approvals]
    sign = {RunOutcome.SUCCEEDED: "✅", RunOutcome.CANCELLED: "⏹", RunOutcome.ROLLED_BACK: "↩️"}.get(
        receipt.outcome, "❌"
    )
    title = f"### {sign} Shipway receipt: {name(receipt.lifecycle)} → {name(receipt.target)}: {ending(receipt)}"
    broken = f"### ⚠️ {prose(broken_glass(receipt.break_glass))}\n\n" if receipt.break_glass else ""
    return f"{broken}{title}\n\n{' · '.join(facts)}"


def _accounted(receipt: Receipt) -> str:
    """Approved nodes that were not part of the run, each with the reason."""
    told = [code(text) for text in accounted_words(receipt)]
    more = f" and {len(told) - MAX_LISTED} more" if len(told) > MAX_LISTED else ""
    return f"Approved, and not part of this run: {', '.join(told[:MAX_LISTED])}{more}" if told else ""


def _row(result: NodeResult, count: int) -> Row:
    stage, _, step = folded_name(result.node, count).partition("/")
    word = result_word(result)
    shown = f"**{word}**" if is_bad(result) else word
    attempts = str(len(result.attempts)) if result.attempts and count == 1 else "–"
    is_known = result.started_ms is not None and own_outcome(result) is not Outcome.UNKNOWN
    took = format_ms(result.worked_ms) if is_known and count == 1 else "–"
    cause = cause_of(result)
    # Beside the outcome, and not in a column of its own behind the others, which a phone does not show.
    why = f"{'' if result.outcome is Outcome.BLOCKED else ':'} {code_cell(cause)}" if cause else ""
    line = f"| {code_cell(step or stage)} | {name(stage)} | {shown}{why} | {attempts} | {took} |"
    quiet = result.outcome in (Outcome.UNCHANGED, Outcome.SKIPPED)
    return Row(stage, word, line, quiet, int(is_bad(result)), count)


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
    if own_outcome(result) is Outcome.UNKNOWN:
        return f"**Never reported**: {code(readable(result.node), 80)}: it was begun, and Shipway was gone before it ended."
    cause = cause_of(result) or wording.outcome_word(result.outcome)
    where = f" ({code(str(node.position), 80)})" if node else ""
    head = f"**Failed**: {code(readable(result.node), 80)}{where}: {code(cause, 200)}"
    tail = lines_of(result.tail)[-_TAIL_LINES:]
    return f"{head}\n\n{fence([cut(line, 300) for line in tail], 'text')}" if tail else f"{head}. It printed nothing."


def _undone(receipt: Receipt, share: int) -> str:
    if not receipt.rollback:
        return ""
    lines = [f"- {code(readable(entry.node), 80)}: {_undo_told(entry)}" for entry in receipt.rollback]
    left = sum(entry.outcome not in WHOLE for entry in receipt.rollback)
    head = "**Rolled back**, in this order:"
    if left:
        head = f"**Rolled back, but for {wording.plural(left, 'node')}**, in this order:"
    return listed(head, lines, share)


def _undo_told(entry: RollbackEntry) -> str:
    if entry.outcome in WHOLE:
        return undo_text(entry)
    said = lines_of(entry.tail)[-1:]
    told = f"**{wording.outcome_word(entry.outcome)}**" + (f": {code(entry.error, 200)}" if entry.error else "")
    return told + (f", its last line {code(said[0], 200)}" if said and said[0] else "")


def _detail(result: NodeResult) -> Detail | None:
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
    return detail_of(
        rank, f"{html_code(readable(result.node), 80)} · {result_word(result)}", (("", [*outputs, *tries]),)
    )


def _foot(receipt: Receipt, plan: Plan | None, links: Links, left_out: int) -> str:
    path = " → ".join(map(readable, receipt.critical_path))
    redactions = wording.plural(receipt.redactions, "redaction") if receipt.redactions else ""
    average = parallelism(receipt)
    facts = (
        f"longest path {code(path, 200)} {format_ms(receipt.critical_path_ms)}" if path else "",
        f"{average} nodes at once on average" if average else "",
        *found_at(links, "receipt", receipt.digest),
        f"declaration {link(code(plan.source.file, 80), links.declaration_url)}" if plan else "",
        redactions,
    )
    return foot(facts, left_out)
