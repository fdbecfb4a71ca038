"""The graph of a plan or receipt as a Mermaid flowchart. Bounded in size; nothing foreign in it but quoted, escaped labels."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from shipway.node_ids import owner_of
from shipway.nodes import FAILURES, Change, Fidelity, Node, Outcome, Promise, change_counts
from shipway.plan import Plan
from shipway.receipt import Receipt, outcome_counts, own_outcome
from shipway.render.columns import cut
from shipway.render.folding import folded_nodes
from shipway.render.folding import name as folded_name
from shipway.render.foreign import one_line
from shipway.render.wording import outcome_word

MAX_NODES = 80
"""More are unreadable. Mermaid itself stops at 50,000 characters and 500 edges: mermaid.js.org/config/schema-docs/config.html."""

MAX_EDGES = 160
"""See MAX_NODES."""

_LABEL_CELLS = 40
_UNSAFE = re.compile(r"[^A-Za-z0-9 _/\[\]().,→…·\u00c0-\U0010ffff-]|\.(?= )|^[-.]")

_GREEN, _YELLOW, _RED, _PURPLE, _BLUE, _GREY = (
    f"fill:{fill},stroke:{stroke},color:#1f2328"
    for fill, stroke in (
        ("#dafbe1", "#1a7f37"),
        ("#fff8c5", "#9a6700"),
        ("#ffebe9", "#cf222e"),
        ("#fbefff", "#8250df"),
        ("#ddf4ff", "#0969da"),
        ("#f6f8fa", "#8c959f"),
    )
)
_STYLES = {
    "create": _GREEN,
    "update": _YELLOW,
    "replace": _PURPLE,
    "delete": _RED,
    "run": _BLUE,
    "read": _GREY,
    "noop": _GREY,
    "good": _GREEN,
    "bad": _RED,
    "back": _YELLOW,
    "idle": _GREY,
    "opaque": "stroke-dasharray:4 3",
    "stage": "fill:none,stroke:#8c959f",
}
_OUTCOME_CLASSES = {
    Outcome.SUCCEEDED: "good",
    Outcome.UNCHANGED: "good",
    Outcome.UNDONE: "back",
    Outcome.SKIPPED: "idle",
    Outcome.BLOCKED: "idle",
    Outcome.NOT_STARTED: "idle",
}


class _Vertex(Struct, frozen=True):
    label: str
    style: str
    is_opaque: bool = False


def flowchart(plan: Plan, receipt: Receipt | None = None) -> str:
    """The graph by node, coloured by change, or by outcome given a receipt; by stage, or empty, where that is too large."""
    return _by_node(plan, receipt) or stage_flowchart(plan, receipt)


def flowcharts(plan: Plan, receipt: Receipt | None = None) -> tuple[str, str]:
    """`flowchart` and `stage_flowchart`, drawn once where they are the same."""
    by_stage = stage_flowchart(plan, receipt)
    return _by_node(plan, receipt) or by_stage, by_stage


def _by_node(plan: Plan, receipt: Receipt | None) -> str:
    """The graph by node; empty where that is too large."""
    folded = folded_nodes(plan.nodes)
    if not plan.nodes or len(folded) > MAX_NODES:
        return ""
    edges = _folded_edges(plan, {node.id: alike[0].id for alike in folded for node in alike})
    if len(edges) + _stage_edge_count(plan) > MAX_EDGES:
        return ""
    names = {alike[0].id: f"n{place}" for place, alike in enumerate(folded)}
    groups = {stage.id: f"s{place}" for place, stage in enumerate(plan.stages)}
    lines = ["flowchart LR"]
    used: dict[str, _Vertex] = {}
    for stage in plan.stages:
        inside = [alike for alike in folded if alike[0].stage == stage.id]
        if not inside:
            continue
        lines.append(f'  subgraph {groups[stage.id]}["{_label(stage.id)}"]')
        for alike in inside:
            node = alike[0]
            used[names[node.id]] = vertex = _vertex(alike, receipt)
            lines.append(f'    {names[node.id]}["{vertex.label}"]:::{vertex.style}')
        lines.append("  end")
    shown = {stage.id for stage in plan.stages if any(node.stage == stage.id for node in plan.nodes)}
    lines += [f"  {names[before]} --> {names[after]}" for before, after in edges]
    lines += [
        f"  {groups[before]} --> {groups[stage.id]}"
        for stage in plan.stages
        for before in dict.fromkeys(stage.needs)
        if before in shown and stage.id in shown
    ]
    groups_shown = ",".join(groups[stage.id] for stage in plan.stages if stage.id in shown)
    return "\n".join([*lines, *_styles(used), f"  classDef stage {_STYLES['stage']}", f"  class {groups_shown} stage"])


def stage_flowchart(plan: Plan, receipt: Receipt | None = None) -> str:
    """The graph by stage, each with its counts; empty where even that is too large, or there is nothing to draw."""
    stages = {stage.id: f"n{place}" for place, stage in enumerate(plan.stages)}
    if not plan.nodes or len(stages) > MAX_NODES:
        return ""
    edges = _stage_edges(plan)
    if len(edges) > MAX_EDGES:
        return ""
    lines = ["flowchart LR"]
    used: dict[str, _Vertex] = {}
    inside: dict[str, list[Node]] = {stage: [] for stage in stages}
    for node in plan.nodes:
        inside.setdefault(node.stage, []).append(node)
    for stage, name in stages.items():
        nodes = inside[stage]
        used[name] = vertex = _Vertex(f"{_label(stage)}<br>{_counts(nodes, receipt)}", _worst(nodes, receipt))
        lines.append(f'  {name}["{vertex.label}"]:::{vertex.style}')
    lines += [f"  {stages[before]} --> {stages[after]}" for before, after in edges]
    return "\n".join([*lines, *_styles(used)])


def _vertex(alike: Sequence[Node], receipt: Receipt | None) -> _Vertex:
    node = alike[0]
    label = _label(folded_name(node.step, len(alike)))
    if receipt is None:
        return _Vertex(label, node.change.value, node.fidelity is Fidelity.OPAQUE)
    return _Vertex(label, _worst(alike, receipt))


def _folded_edges(plan: Plan, shown_as: Mapping[str, str]) -> list[tuple[str, str]]:
    found = ((shown_as[before], shown_as[after]) for before, after in _node_edges(plan))
    return [edge for edge in dict.fromkeys(found) if edge[0] != edge[1]]


def _outcome(node: Node, receipt: Receipt) -> Outcome:
    result = receipt.by_id.get(node.id)
    if result is None:
        return Outcome.NOT_STARTED
    return own_outcome(result) if own_outcome(result) in FAILURES else result.outcome


def _counts(nodes: Iterable[Node], receipt: Receipt | None) -> str:
    nodes = list(nodes)
    if receipt is None:
        found = [f"{count} {change.value}" for change, count in change_counts(nodes).items() if count]
    else:
        results = [receipt.by_id[node.id] for node in nodes if node.id in receipt.by_id]
        found = [f"{count} {outcome_word(outcome)}" for outcome, count in outcome_counts(results).items()]
    return ", ".join(found) or "no nodes"


def _worst(nodes: Iterable[Node], receipt: Receipt | None) -> str:
    if receipt is not None:
        styles = {_OUTCOME_CLASSES.get(_outcome(node, receipt), "bad") for node in nodes}
        return next((style for style in ("bad", "back", "good") if style in styles), "idle")
    order = (Change.DELETE, Change.REPLACE, Change.UPDATE, Change.CREATE, Change.RUN, Change.READ)
    changes = {node.change for node in nodes}
    return next((change.value for change in order if change in changes), Change.NOOP.value)


def _node_edges(plan: Plan) -> list[tuple[str, str]]:
    found: dict[tuple[str, str], None] = {}
    for node in plan.nodes:
        promised = [slot.node for slot in (*node.slots.values(), *node.env.values()) if isinstance(slot, Promise)]
        for before in (*(owner_of(need.node) for need in node.needs), *promised):
            if before in plan.by_id and before != node.id:
                found[before, node.id] = None
    return list(found)


def _stage_edge_count(plan: Plan) -> int:
    return sum(len(set(stage.needs)) for stage in plan.stages)


def _stage_edges(plan: Plan) -> list[tuple[str, str]]:
    declared = [(before, stage.id) for stage in plan.stages for before in stage.needs if before in plan.stages_by_id]
    derived = [(plan.by_id[before].stage, plan.by_id[after].stage) for before, after in _node_edges(plan)]
    return [edge for edge in dict.fromkeys([*declared, *derived]) if edge[0] != edge[1]]


def _styles(used: Mapping[str, _Vertex]) -> list[str]:
    opaque = [name for name, vertex in used.items() if vertex.is_opaque]
    styles = dict.fromkeys(vertex.style for vertex in used.values())
    lines = [f"  classDef {style} {_STYLES[style]}" for style in styles]
    if opaque:
        lines += [f"  classDef opaque {_STYLES['opaque']}", f"  class {','.join(opaque)} opaque"]
    return lines


def _label(text: str) -> str:
    """`text` as Mermaid reads it between quotes: what could be syntax, markup or Markdown stands as a character number."""
    return _UNSAFE.sub(lambda match: f"#{ord(match.group())};", cut(one_line(text), _LABEL_CELLS)) or " "
