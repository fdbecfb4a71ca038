"""What undoing a run later would do, as plain text: what a person is shown before being asked. Decides nothing."""

from __future__ import annotations

from collections.abc import Sequence

from shipway.node_ids import readable
from shipway.nodes import Node
from shipway.plan import Plan
from shipway.render.columns import Colour, cut, paint, width
from shipway.render.foreign import one_line
from shipway.render.node_facts import slot_text
from shipway.render.wording import is_compensation, plural


def render_rollback(plan: Plan, order: Sequence[str], run: str, *, colour: bool, columns: int) -> str:
    """The nodes in the order in which they are undone, each with how. Ends with a line end."""
    nodes = {node.id: node for node in (*plan.nodes, *plan.compensations)}
    title = f"Rollback of run {one_line(run)}: {one_line(plan.lifecycle)} → {one_line(plan.target)}"
    lines = [paint(title, Colour.BOLD, colour), ""]
    cells = min(max((width(one_line(readable(node))) for node in order), default=0), columns // 2)
    for name in order:
        sign, text, how = _told(nodes[name])
        label = one_line(readable(name))
        gap = " " * max(cells - width(label), 0)
        lines.append(paint(cut(f"  {sign} {label}{gap}  {text}", columns), how, colour))
    stays = sum(_told(nodes[name])[2] is Colour.RED for name in order)
    some = f", {stays} of them cannot be undone" if len(order) > 1 else ", which cannot be undone"
    lines += ["", plural(len(order), "node") + (some if stays else "")]
    return "\n".join(lines) + "\n"


def _told(node: Node) -> tuple[str, str, Colour | None]:
    if is_compensation(node.id):
        return ">", f"run {_script(node, 'run')}".rstrip(), None
    if not node.reversible:
        return "!", "stays: it has no `undo`", Colour.RED
    return "↩", f"undo {_script(node, 'undo')}".rstrip(), None


def _script(node: Node, slot: str) -> str:
    """The first line of a script; of an action, its name."""
    found = node.slots.get(slot)
    if found is None:
        return node.action
    return next((one_line(line) for line in slot_text(found).splitlines() if line.strip()), "")
