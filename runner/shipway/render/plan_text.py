"""A plan as plain text, for a terminal or a file. Complete without colour; decides nothing and prints nothing."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType

from msgspec.structs import replace

from shipway.nodes import Fidelity, Node, Outcome
from shipway.plan import Plan, PlannedStage
from shipway.policies import Verdict
from shipway.render import targets, wording
from shipway.render.columns import Colour, cut, paint, width
from shipway.render.folding import folded_ids, folded_nodes, is_idle_backup
from shipway.render.folding import name as folded_name
from shipway.render.foreign import lines_of, one_line
from shipway.render.node_facts import node_facts, plan_said, world_change
from shipway.render.page import LABEL, Page, unbroken, widest
from shipway.render.plan_words import (
    failure_policy,
    limit_counts,
    plan_counts,
    plan_hooks,
    plan_locks,
    stage_facts,
    survives,
    weakened_words,
)
from shipway.render.signs import CHANGE_COLOURS, CHANGE_SIGNS, OUTCOME_SIGNS, VERDICT_COLOURS

_DIFF_COLOURS = {"+": Colour.GREEN, "-": Colour.RED}
_MAX_DIFF_LINES = 40
_MAX_SAID_LINES = 20


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
    without: Sequence[str] = (),
    kept: Collection[str] = (),
) -> str:
    """The whole plan, stage by stage, with what a rollback would do; with `has_next`, what to type. Ends with a line end.

    As typed, and typed next again: `file` the declaration that was named, `options` what else makes this plan and no other,
    `kept_as` the file it is kept in, which is applied with `kept_options`, where these are others. `expected` says how long a
    run will take, where that is known, `proven` when each undo was last proven by a drill, `without` what the forge lacks that
    this plan would have had a use for, in sentences, `kept` nodes that are done already, in the run that is gone on with.
    """
    page = Page(columns, colour)
    _head(page, plan, expected, kept)
    for stage in plan.stages:
        _stage(page, stage, [node for node in plan.nodes if node.stage == stage.id], kept)
    _listed_under(page, "In the way", targets.in_the_way(plan), Colour.YELLOW)
    _listed_under(
        page, "Of several sources of one target the highest layer counts, then the most specific", targets.losers(plan)
    )
    _listed_under(page, "Put nowhere", targets.left_out(plan))
    _rollback(page, plan)
    _proven(page, proven)
    _listed_under(page, "What this forge cannot do for it", [one_line(words) for words in without], Colour.YELLOW)
    _foot(page, plan, kept)
    if plan.has_changes and has_next:
        page.line()
        what = f"{f'-f {file} ' if file else ''}--target {plan.target}"
        _next(page, plan, what, options, options if kept_options is None else kept_options, kept_as)
    return page.text()


def _head(page: Page, plan: Plan, expected: str, kept: Collection[str]) -> None:
    size = f"{wording.plural(len(plan.stages), 'stage')}, {wording.plural(len(plan.nodes), 'node')}"
    if plan.weakens:
        page.wrapped(weakened_words(plan), "! ", Colour.RED)
    page.heading(f"Plan: {one_line(plan.lifecycle)} → {one_line(plan.target)}", size)
    page.fact("declared", one_line(" + ".join(plan.source.files or (plan.source.file,))))
    if plan.source.commit:
        dirty = ", and tracked files differ from it" if plan.source.dirty else ""
        page.fact("commit", wording.short_commit(plan.source.commit) + dirty)
    counts = plan_counts(
        replace(plan, nodes=tuple(node for node in plan.nodes if node.id not in kept)) if kept else plan
    )
    page.fact("summary", unbroken([f"{len(kept)} done", *counts] if kept else counts))
    if expected:
        page.fact("expected", expected)
    if plan.limits:
        page.fact("limits", unbroken(limit_counts(plan)))
    page.fact("survives", survives(plan))
    if plan_locks(plan):
        page.fact("locks", plan_locks(plan))
    for place, words in enumerate(plan_hooks(plan)):
        page.fact("" if place else "hooks", words)
    if targets.counts(plan):
        page.fact("targets", targets.counts(plan))


def _stage(page: Page, stage: PlannedStage, nodes: Sequence[Node], kept: Collection[str]) -> None:
    page.heading(f"stage {one_line(stage.id)}", stage_facts(stage))
    if done := [node.id for node in nodes if node.id in kept]:
        page.wrapped(_steps(stage.id, done), f"  {OUTCOME_SIGNS[Outcome.SUCCEEDED]} {'done':<8}", Colour.DIM)
    for alike in folded_nodes([node for node in nodes if node.id not in kept]):
        _node(page, alike[0], len(alike))
    if not nodes:
        page.line("  nothing to do", Colour.DIM)
    for node in stage.compensation:
        _compensation(page, node)


def _compensation(page: Page, node: Node) -> None:
    right = "only on rollback"
    name, title = one_line(node.step), one_line(node.title)
    room = page.columns - len(right) - 1
    label = cut(f"  ↩ {node.change.value:<8}" + (f"{name}  {title}" if title and title != name else name), room)
    page.line(label + " " * (room - width(label) + 1) + right, Colour.DIM)
    for fact in node_facts(node):
        page.fact(*fact, indent="      ", colour=Colour.DIM)


def _node(page: Page, node: Node, count: int = 1) -> None:
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
    for fact in node_facts(node):
        page.fact(*fact, indent="      ", colour=Colour.DIM)
    _said(page, node)
    _diff(page, node)


def _said(page: Page, node: Node) -> None:
    lines = lines_of(plan_said(node))
    for place, line in enumerate(lines[:_MAX_SAID_LINES]):
        label = "" if place else "says"
        page.line(cut(f"      {label:<{LABEL}} {line}", page.columns))
    if len(lines) > _MAX_SAID_LINES:
        page.line(f"{'':17}… {wording.plural(len(lines) - _MAX_SAID_LINES, 'more line')}", Colour.DIM)


def _diff(page: Page, node: Node) -> None:
    lines = world_change(node)
    for sign, text in lines[:_MAX_DIFF_LINES]:
        page.line(cut(f"      {sign} {text}", page.columns), _DIFF_COLOURS.get(sign))
    if len(lines) > _MAX_DIFF_LINES:
        page.line(
            f"        … {wording.plural(len(lines) - _MAX_DIFF_LINES, 'more line')}, all in the plan file", Colour.DIM
        )


def _listed_under(page: Page, head: str, lines: Sequence[str], colour: Colour | None = None) -> None:
    if lines:
        page.line()
        page.wrapped(f"{head}:", colour=colour)
    for line in lines:
        page.wrapped(line, "  ")


def _rollback(page: Page, plan: Plan) -> None:
    preview = plan.on_rollback
    page.line()
    page.wrapped(failure_policy(plan))
    cells = widest([each.stage for each in preview.stages], page.columns // 3)
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


def _proven(page: Page, proven: Mapping[str, str]) -> None:
    if not proven:
        return
    page.line()
    page.line("Undos, and when a drill last proved them:")
    cells = widest(list(proven), page.columns // 2)
    for node, when in proven.items():
        page.labelled(one_line(node), cells, when)


def _steps(stage: str, ids: Sequence[str]) -> str:
    return ", ".join(one_line(name.removeprefix(f"{stage}/")) for name in folded_ids(ids))


def _foot(page: Page, plan: Plan, kept: Collection[str]) -> None:
    opaque = sum(node.fidelity is Fidelity.OPAQUE and node.id not in kept for node in plan.nodes)
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


def _verdicts(page: Page, verdicts: Sequence[Verdict]) -> None:
    if not verdicts:
        return
    page.line()
    refused = any(verdict.refuses for verdict in verdicts)
    page.line("Policies do not let it run:" if refused else "Policies:", Colour.RED if refused else None)
    for decision, line in wording.verdict_lines(verdicts):
        page.wrapped(line, "  ", VERDICT_COLOURS.get(decision))


def _next(page: Page, plan: Plan, what: str, options: str, kept: str, kept_as: str) -> None:
    if any(verdict.refuses for verdict in plan.verdicts):
        page.fact("run it", "not before its policies let it: change what it does, or say --break-glass and why")
    elif targets.stops(plan):
        page.fact("run it", "not before nothing is in the way: move it, adopt it, or say `on_conflict`")
    else:
        _what_to_type(page, what, options, kept, kept_as)
        if plan.approval_rules:
            page.fact(
                "approve it", "add --approve and the effect above"
            )  # which stands there in one piece, to be copied


def _what_to_type(page: Page, what: str, options: str, kept: str, kept_as: str) -> None:
    if kept_as:
        page.fact("run it", one_line(f"shipway apply {kept_as} {kept}"))
        return
    page.fact("run it", one_line(f"shipway run {what} {options}"))
    page.fact("or keep it", one_line(f"shipway plan {what} {options} -o plan.json"))
    if kept == options:  # else that is said of the file, once it is there
        page.fact("", one_line(f"shipway apply plan.json {options}"))
