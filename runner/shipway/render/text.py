"""Plan and receipt as plain text, for a terminal or a file. Complete without colour; decides nothing and prints nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from msgspec.structs import replace

from shipway.durations import format_ms
from shipway.errors import Reason
from shipway.nodes import DONE, FAILURES, WHOLE, Change, Fidelity, Node, Outcome
from shipway.plan import Plan, PlannedStage
from shipway.policies import Decision, Verdict
from shipway.receipt import NodeResult, Receipt, RollbackEntry, RunOutcome, own_outcome
from shipway.render import targets, wording
from shipway.render.columns import NARROWEST, Colour, cut, pad, paint, width, wrap
from shipway.render.folding import folded_ids, folded_nodes, folded_results, is_idle_backup
from shipway.render.folding import name as folded_name
from shipway.render.foreign import inert, lines_of, one_line
from shipway.summary import made_words, summarise

CHANGE_SIGNS = {
    Change.CREATE: "+",
    Change.UPDATE: "~",
    Change.REPLACE: "±",
    Change.DELETE: "-",
    Change.RUN: ">",
    Change.READ: "<",
    Change.NOOP: "=",
}
CHANGE_COLOURS = {
    Change.CREATE: Colour.GREEN,
    Change.UPDATE: Colour.YELLOW,
    Change.REPLACE: Colour.MAGENTA,
    Change.DELETE: Colour.RED,
    Change.RUN: Colour.CYAN,
    Change.READ: Colour.DIM,
    Change.NOOP: Colour.DIM,
}
OUTCOME_SIGNS = {
    Outcome.SUCCEEDED: "✓",
    Outcome.UNCHANGED: "=",
    Outcome.SKIPPED: "-",
    Outcome.FAILED: "✗",
    Outcome.TIMED_OUT: "✗",
    Outcome.CANCELLED: "■",
    Outcome.BLOCKED: "·",
    Outcome.NOT_STARTED: "·",
    Outcome.UNDONE: "↩",
    Outcome.UNDO_FAILED: "✗",
    Outcome.NOT_UNDOABLE: "!",
    Outcome.DRIFTED: "≠",
    Outcome.UNKNOWN: "?",
}
_VERDICT_COLOURS = {Decision.DENY: Colour.RED, Decision.ERROR: Colour.RED, Decision.WARN: Colour.YELLOW}
_DIFF_COLOURS = {"+": Colour.GREEN, "-": Colour.RED}
_MAX_DIFF_LINES = 40
_MAX_SAID_LINES = 20
_LABEL = 10
_NO_BREAK = "\xa0"
_TAIL_LINES = 20


_ENDING_COLOURS = {RunOutcome.SUCCEEDED: Colour.GREEN, RunOutcome.ROLLED_BACK: Colour.YELLOW}


def outcome_colour(outcome: Outcome) -> Colour:
    """Red for what needs a look, green for what is done, yellow for undone, dim for what never ran."""
    if outcome in wording.BAD:
        return Colour.RED
    if outcome in (Outcome.SUCCEEDED, Outcome.UNCHANGED):
        return Colour.GREEN
    return Colour.YELLOW if outcome is Outcome.UNDONE else Colour.DIM


def render_plan(
    plan: Plan,
    *,
    colour: bool,
    columns: int,
    has_next: bool = True,
    expected: str = "",
    proven: Mapping[str, str] = MappingProxyType({}),
    file: str = "",
    options: str = "",
    kept_options: str | None = None,
    kept_as: str = "",
) -> str:
    """The whole plan, stage by stage, with what a rollback would do; with `has_next`, what to type. Ends with a line end.

    As typed, and typed next again: `file` the declaration that was named, `options` what else makes this plan and no other,
    `kept_as` the file it is kept in, which is applied with `kept_options`, where these are others. `expected` says how long a
    run will take, where that is known, `proven` when each undo was last proven by a drill.
    """
    page = _Page(columns, colour)
    _plan_head(page, plan, expected)
    for stage in plan.stages:
        _stage(page, stage, [node for node in plan.nodes if node.stage == stage.id])
    _listed_under(page, "In the way", targets.in_the_way(plan), Colour.YELLOW)
    _listed_under(
        page, "Of several sources of one target the highest layer counts, then the most specific", targets.losers(plan)
    )
    _listed_under(page, "Put nowhere", targets.left_out(plan))
    _rollback(page, plan)
    _proven(page, proven)
    _plan_foot(page, plan)
    if plan.has_changes and has_next and any(verdict.refuses for verdict in plan.verdicts):
        page.line()
        page.fact("run it", "not before its policies let it: change what it does, or say --break-glass and why")
    elif plan.has_changes and has_next and targets.stops(plan):
        page.line()
        page.fact("run it", "not before nothing is in the way: move it, adopt it, or say `on_conflict`")
    elif plan.has_changes and has_next:
        what = f"{f'-f {file} ' if file else ''}--target {plan.target}"
        kept = options if kept_options is None else kept_options
        _what_to_type(page, what, options, kept, kept_as, needs_approval=bool(plan.approval_rules))
    return page.text()


def render_receipt(receipt: Receipt, plan: Plan | None, *, colour: bool, columns: int) -> str:
    """Every node with its outcome and cause, what failed and was undone, and what to type next. Ends with a line end."""
    page = _Page(columns, colour)
    _receipt_head(page, receipt)
    _results(page, receipt)
    for result in receipt.failed:
        # The log of a run in CI is gone with its machine.
        _failure(page, result, plan, receipt.run if receipt.by.invoker == "local" else "")
    _undone(page, receipt)
    _receipt_foot(page, receipt, plan)
    return page.text()


class _Page:
    """Lines of one page, `columns` wide."""

    def __init__(self, columns: int, colour: bool) -> None:
        self.columns = max(columns, NARROWEST)
        self.colour = colour
        self._lines: list[str] = []

    def line(self, text: str = "", colour: Colour | None = None) -> None:
        self._lines.append(paint(text.rstrip(), colour, self.colour))

    def wrapped(self, text: str, first: str = "", colour: Colour | None = None) -> None:
        for line in wrap(text, self.columns, first):
            self.line(line, colour)

    def fact(self, label: str, text: str, indent: str = "  ", colour: Colour | None = None) -> None:
        self.wrapped(text, f"{indent}{label:<{_LABEL}} ", colour)

    def labelled(self, label: str, cells: int, text: str, indent: str = "  ", colour: Colour | None = None) -> None:
        """`text` beside a label `cells` wide; a wider label has lines of its own above it."""
        if width(label) > cells:
            self.wrapped(label, indent, colour)
            indent, label = " " * width(indent), ""
        self.wrapped(text, f"{indent}{pad(label, cells)}  ", colour)

    def heading(self, left: str, right: str = "", colour: Colour = Colour.BOLD) -> None:
        left, right = left.rstrip(), right.rstrip()
        room = self.columns - width(left) - width(right)
        self.line()
        if right and room >= 2:
            self._lines.append(paint(left, colour, self.colour) + " " * room + paint(right, Colour.DIM, self.colour))
            return
        self.wrapped(left, colour=colour)
        if right:
            self.wrapped(right, "  ", Colour.DIM)

    def text(self) -> str:
        # These texts end up in the logs of CI, where a wrapped title may begin a line.
        lines = "\n".join(line.rstrip() for line in self._lines).lstrip("\n").replace(_NO_BREAK, " ")
        return inert(lines) + "\n"


def _widest(names: Sequence[str], limit: int) -> int:
    return min(max((width(one_line(name)) for name in names), default=0), limit)


def _unbroken(counts: Sequence[str]) -> str:
    return " · ".join(count.replace(" ", _NO_BREAK) for count in counts)


def _plan_head(page: _Page, plan: Plan, expected: str) -> None:
    size = f"{wording.plural(len(plan.stages), 'stage')}, {wording.plural(len(plan.nodes), 'node')}"
    if plan.weakens:
        page.wrapped(wording.weakened_words(plan), "! ", Colour.RED)
    page.heading(f"Plan: {one_line(plan.lifecycle)} → {one_line(plan.target)}", size)
    page.fact("declared", one_line(" + ".join(plan.source.files or (plan.source.file,))))
    if plan.source.commit:
        dirty = ", and tracked files differ from it" if plan.source.dirty else ""
        page.fact("commit", wording.short_commit(plan.source.commit) + dirty)
    page.fact("summary", _unbroken(wording.plan_counts(plan)))
    if expected:
        page.fact("expected", expected)
    if plan.limits:
        page.fact("limits", _unbroken(wording.limit_counts(plan)))
    page.fact("survives", wording.survives(plan))
    if wording.plan_locks(plan):
        page.fact("locks", wording.plan_locks(plan))
    for place, words in enumerate(wording.plan_hooks(plan)):
        page.fact("" if place else "hooks", words)
    if targets.counts(plan):
        page.fact("targets", targets.counts(plan))


def _stage(page: _Page, stage: PlannedStage, nodes: Sequence[Node]) -> None:
    page.heading(f"stage {one_line(stage.id)}", wording.stage_facts(stage))
    for alike in folded_nodes(nodes):
        _node(page, alike[0], len(alike))
    if not nodes:
        page.line("  nothing to do", Colour.DIM)
    for node in stage.compensation:
        _compensation(page, node)


def _compensation(page: _Page, node: Node) -> None:
    right = "only on rollback"
    name, title = one_line(node.step), one_line(node.title)
    room = page.columns - len(right) - 1
    label = cut(f"  ↩ {node.change.value:<8}" + (f"{name}  {title}" if title and title != name else name), room)
    page.line(label + " " * (room - width(label) + 1) + right, Colour.DIM)
    for fact in wording.node_facts(node):
        page.fact(*fact, indent="      ", colour=Colour.DIM)


def _node(page: _Page, node: Node, count: int = 1) -> None:
    """A node, or the first of `count` that are planned alike."""
    is_idle = is_idle_backup(node)
    sign = f"  {CHANGE_SIGNS[node.change]} {node.change.value:<8}"
    right = f"{node.fidelity.value:<9}  {wording.undo_word(node):<5}"
    name, title = one_line(folded_name(node.step, count)), one_line(node.why if is_idle else node.title)
    room = page.columns - width(sign) - width(right) - 1
    label = cut(f"{name}  {title}" if title and title != name else name, room)
    paints = CHANGE_COLOURS[node.change]
    if width(name) > room:
        page.wrapped(name, sign, paints)
        page.line(" " * (page.columns - width(right)) + right)
    else:
        shown = (
            paint(sign, paints, page.colour) + label[: len(name)] + paint(label[len(name) :], Colour.DIM, page.colour)
        )
        page.line(shown + " " * (room - width(label) + 1) + right)
    if is_idle or (node.change in wording.QUIET and not node.why and not node.condition):
        return
    for fact in wording.node_facts(node):
        page.fact(*fact, indent="      ", colour=Colour.DIM)
    _said(page, node)
    _diff(page, node)


def _said(page: _Page, node: Node) -> None:
    lines = lines_of(wording.plan_said(node))
    for place, line in enumerate(lines[:_MAX_SAID_LINES]):
        label = "" if place else "says"
        page.line(cut(f"      {label:<{_LABEL}} {line}", page.columns))
    if len(lines) > _MAX_SAID_LINES:
        page.line(f"{'':17}… {wording.plural(len(lines) - _MAX_SAID_LINES, 'more line')}", Colour.DIM)


def _diff(page: _Page, node: Node) -> None:
    lines = wording.world_change(node)
    for sign, text in lines[:_MAX_DIFF_LINES]:
        page.line(cut(f"      {sign} {text}", page.columns), _DIFF_COLOURS.get(sign))
    if len(lines) > _MAX_DIFF_LINES:
        page.line(
            f"        … {wording.plural(len(lines) - _MAX_DIFF_LINES, 'more line')}, all in the plan file", Colour.DIM
        )


def _listed_under(page: _Page, head: str, lines: Sequence[str], colour: Colour | None = None) -> None:
    if lines:
        page.line()
        page.wrapped(f"{head}:", colour=colour)
    for line in lines:
        page.wrapped(line, "  ")


def _rollback(page: _Page, plan: Plan) -> None:
    preview = plan.on_rollback
    page.line()
    page.wrapped(wording.failure_policy(plan))
    cells = _widest([each.stage for each in preview.stages], page.columns // 3)
    for each in preview.stages:
        parts = ["run " + _steps(wording.compensation_of(each.stage), each.compensated)] if each.compensated else []
        parts += ["undo " + _steps(each.stage, each.undone)] if each.undone else []
        parts += ["stays: " + _steps(each.stage, each.stays)] if each.stays else []
        page.labelled(one_line(each.stage), cells, parts[0])
        for part in parts[1:]:
            page.labelled("", cells, part)
    if preview.point_of_no_return:
        page.wrapped(
            f"Once {one_line(preview.point_of_no_return)} has begun, not everything can be undone.",
            colour=Colour.YELLOW,
        )


def _proven(page: _Page, proven: Mapping[str, str]) -> None:
    if not proven:
        return
    page.line()
    page.line("Undos, and when a drill last proved them:")
    cells = _widest(list(proven), page.columns // 2)
    for node, when in proven.items():
        page.labelled(one_line(node), cells, when)


def _steps(stage: str, ids: Sequence[str]) -> str:
    return ", ".join(one_line(name.removeprefix(f"{stage}/")) for name in folded_ids(ids))


def _plan_foot(page: _Page, plan: Plan) -> None:
    opaque = sum(node.fidelity is Fidelity.OPAQUE for node in plan.nodes)
    if opaque:
        page.line()
        subject = (
            "1 node is opaque: only running it tells"
            if opaque == 1
            else f"{opaque} nodes are opaque: only running them tells"
        )
        page.wrapped(f"{subject} what changes.")
    _verdicts(page, plan.verdicts)
    page.line()
    page.wrapped(f"effect {plan.effect}", colour=Colour.DIM)
    if not plan.has_changes:
        page.line()
        page.line("Nothing would change.")


def _verdicts(page: _Page, verdicts: Sequence[Verdict]) -> None:
    if not verdicts:
        return
    page.line()
    refused = any(verdict.refuses for verdict in verdicts)
    page.line("Policies do not let it run:" if refused else "Policies:", Colour.RED if refused else None)
    for decision, line in wording.verdict_lines(verdicts):
        page.wrapped(line, "  ", _VERDICT_COLOURS.get(decision))


def _what_to_type(page: _Page, what: str, options: str, kept: str, kept_as: str, *, needs_approval: bool) -> None:
    page.line()
    if kept_as:
        page.fact("run it", one_line(f"shipway apply {kept_as} {kept}"))
    else:
        page.fact("run it", one_line(f"shipway run {what} {options}"))
        page.fact("or keep it", one_line(f"shipway plan {what} {options} -o plan.json"))
        if kept == options:  # else that is said of the file, once it is there
            page.fact("", one_line(f"shipway apply plan.json {options}"))
    if needs_approval:
        page.fact("approve it", "add --approve and the effect above")  # which stands there in one piece, to be copied


def _receipt_head(page: _Page, receipt: Receipt) -> None:
    colour = _ENDING_COLOURS.get(receipt.outcome, Colour.RED)
    if receipt.break_glass is not None:
        page.wrapped(f"{wording.broken_glass(receipt.break_glass)}", "! ", Colour.RED)
    title = f"{one_line(receipt.lifecycle)} → {one_line(receipt.target)}: {wording.ending(receipt)}"
    page.heading(title, f"run {one_line(receipt.run)}", colour)
    page.fact("started", f"{one_line(receipt.started)}, took {format_ms(receipt.duration_ms)}{_by(receipt)}")
    page.fact("summary", _unbroken(wording.receipt_counts(receipt)))
    if made := made_words(summarise(receipt)):
        page.fact("made", _unbroken(made))
    for signature in receipt.signatures:
        page.fact("signed", one_line(f"{signature.method}, {signature.key}"))
    for approval in receipt.approvals:
        page.fact("approved", wording.approved_words(approval))
    for text in wording.accounted_words(receipt):
        page.fact("left out", text)
    for decision, line in wording.verdict_lines(receipt.verdicts):
        if decision is not Decision.ALLOW:
            page.fact("policy", line, colour=_VERDICT_COLOURS.get(decision))
    if receipt.error:
        page.fact("error", one_line(receipt.error), colour=Colour.RED)
    for warning in receipt.warnings:
        page.fact("warning", one_line(warning), colour=Colour.YELLOW)


def _by(receipt: Receipt) -> str:
    return f", by {one_line(receipt.by.actor)}" if receipt.by.actor else ""


def _results(page: _Page, receipt: Receipt) -> None:
    stages = {result.stage: result.outcome for result in receipt.stages}
    cells = _widest([_step(_as_one(alike)) for alike in folded_results(receipt.nodes)], page.columns // 3)
    last = ""
    for alike in folded_results(receipt.nodes):
        result = alike[0]
        stage = result.node.split("/", 1)[0]
        if stage != last:
            outcome = stages.get(stage)
            page.heading(f"stage {one_line(stage)}", wording.outcome_word(outcome) if outcome else "")
            last = stage
        _result(page, _as_one(alike), cells)


def _as_one(alike: Sequence[NodeResult]) -> NodeResult:
    """One result, or what several iterations that ended alike came to together, as one."""
    first = alike[0]
    if len(alike) == 1:
        return first
    starts = [result.started_ms for result in alike if result.started_ms is not None]
    ends = [result.ended_ms for result in alike if result.ended_ms is not None]
    return replace(
        first,
        node=folded_name(first.node, len(alike)),
        started_ms=min(starts, default=None),
        ended_ms=max(ends, default=None),
        attempts=first.attempts[-1:],
        warning="",
    )


def _step(result: NodeResult) -> str:
    return one_line(result.node.split("/", 1)[-1])


def _result(page: _Page, result: NodeResult, cells: int) -> None:
    colour = outcome_colour(result.outcome)
    sign = f"  {OUTCOME_SIGNS[own_outcome(result) if own_outcome(result) in FAILURES else result.outcome]} "
    tries = f"{len(result.attempts)} attempts" if len(result.attempts) > 1 else ""
    right = f"{tries:>11} {format_ms(result.duration_ms):>6}" if result.started_ms is not None else ""
    name = _step(result)
    if width(name) > cells:
        page.wrapped(name, sign, colour)
        sign, name = " " * width(sign), ""
    room = page.columns - width(right)
    first, *others = wrap(_told(result), room, f"{sign}{pad(name, cells)}  ")
    page.line(paint(pad(first, room) if right else first, colour, page.colour) + right)
    for line in others:
        page.line(line, colour)


def _told(result: NodeResult) -> str:
    cause = wording.cause_of(result)
    separator = " " if result.outcome is Outcome.BLOCKED else ": "
    return wording.result_word(result) + (separator + cause if cause else "")


def _failure(page: _Page, result: NodeResult, plan: Plan | None, run: str) -> None:
    node = plan.by_id.get(result.node) if plan else None
    page.heading(f"failed: {one_line(result.node)}", colour=Colour.RED)
    if node and node.title:
        page.fact("what", one_line(node.title))
    page.fact("how", wording.cause_of(result) or wording.outcome_word(result.outcome))
    if node:
        page.fact("declared", str(node.position))
    if result.log and run:
        page.fact("log", one_line(f".shipway/runs/{run}/logs/{result.log}"))
    tail = lines_of(result.tail)[-_TAIL_LINES:]
    page.line("  its last output" if tail else "  it printed nothing", Colour.DIM)
    for line in tail:
        page.line(cut(f"  | {line}", page.columns))


def _undone(page: _Page, receipt: Receipt) -> None:
    if receipt.rollback:
        page.heading("rollback, in this order")
    cells = _widest([entry.node for entry in receipt.rollback], page.columns // 2)
    for entry in receipt.rollback:
        sign = f"  {OUTCOME_SIGNS[entry.outcome]} "
        page.labelled(one_line(entry.node), cells, wording.undo_text(entry), sign, outcome_colour(entry.outcome))
        _undo_output(page, entry, receipt.run)
    left = wording.not_undone(receipt)
    if left:
        page.line()
        page.wrapped(f"Not undone: {', '.join(one_line(result.node) for result in left)}.", colour=Colour.RED)


def _undo_output(page: _Page, entry: RollbackEntry, run: str) -> None:
    """What an undo that failed said last, and where the rest of it is."""
    for line in lines_of(entry.tail)[-_TAIL_LINES:]:
        page.line(cut(f"    | {line}", page.columns))
    if entry.outcome not in WHOLE and entry.log:
        page.wrapped(f"    log: .shipway/runs/{one_line(run)}/logs/{one_line(entry.log)}", colour=Colour.DIM)


def _receipt_foot(page: _Page, receipt: Receipt, plan: Plan | None) -> None:
    page.line()
    if receipt.critical_path:
        path = " → ".join(map(one_line, receipt.critical_path))
        page.fact(
            "longest",
            f"{path}, {format_ms(receipt.critical_path_ms)} of {format_ms(receipt.duration_ms)}",
            colour=Colour.DIM,
        )
    if wording.parallelism(receipt):
        page.fact("at once", f"{wording.parallelism(receipt)} nodes on average", colour=Colour.DIM)
    page.fact("next", wording.preview_next(receipt, plan) or _next(receipt))


def _next(receipt: Receipt) -> str:
    again = f"shipway run --target {one_line(receipt.target)}"
    if receipt.outcome is RunOutcome.SUCCEEDED:
        return "shipway show, to see this again; shipway rollback, to undo it"
    if receipt.outcome is RunOutcome.ROLLED_BACK:
        return f"{again}, to do it again"
    if not receipt.nodes:
        return f"{again}, once the cause is gone"  # nothing began: there is no run to go on with
    if receipt.outcome is RunOutcome.NOT_UNDONE and all(
        own_outcome(result) in (*DONE, Outcome.SKIPPED) for result in receipt.nodes
    ):
        return f"look at what was not undone; {again}, to do it again"  # it had succeeded: somebody wanted it undone
    if receipt.outcome is RunOutcome.NOT_UNDONE:
        return f"look at what was not undone, then shipway resume; {again}, to begin anew"
    if any(attempt.code == Reason.PREDICTION_BROKEN for result in receipt.failed for attempt in result.attempts[-1:]):
        return f"shipway plan --target {one_line(receipt.target)}, to look at a new plan; {again}, to run that"
    if receipt.outcome is RunOutcome.CANCELLED:
        return f"shipway resume, to go on; {again}, to begin anew"
    return f"shipway resume, once the cause is gone; {again}, to begin anew"
