"""The bodies that a builder is inside of, and the nodes they hold: which name means which node. Checks no slot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct, field
from msgspec.structs import replace

from shipway.declaration import Stage
from shipway.node_ids import gate_of
from shipway.nodes import Need, NeedKind, Node


class Frame(Struct):
    """A body whose nodes are being added: their ids begin with `path`, `names` are all it will hold, `env` holds for each.

    `within` is the node that opens the body; None for the stage itself. `gather` is the name that its items go by. In the
    frame of a template the one node that is added has `path` itself as its id.
    """

    path: str
    names: frozenset[str] = frozenset()
    within: str | None = None
    gather: str | None = None
    is_template: bool = False
    env: Mapping[str, str] = field(default_factory=dict)
    nodes: dict[str, Node] = field(default_factory=dict)


class Frames:
    """The open bodies of one stage, the stage itself first. `written` has every node as it was added, those of templates too."""

    def __init__(self, stage: Stage, planned: Mapping[str, Sequence[Node]]) -> None:
        self._stage = stage.id
        self._planned = planned
        self._open = [Frame(stage.id, env=stage.env)]
        self.written: dict[str, Node] = {}
        self._elsewhere: dict[str, dict[str, Node]] = {}
        self._stage_outputs: dict[str, Mapping[str, str]] = {}

    @property
    def top(self) -> Frame:
        """The innermost body."""
        return self._open[-1]

    def push(self, frame: Frame) -> None:
        """Open a body."""
        self._open.append(frame)

    def pop(self) -> Frame:
        """Close the innermost body: what was added to it is the caller's to put somewhere."""
        return self._open.pop()

    def put(self, node: Node) -> None:
        """Keep a node as it was written."""
        self.written[node.id] = node
        self.add(node)

    def add(self, node: Node) -> None:
        """Keep a node in the innermost body, with the edge from what opens it."""
        within = self.top.within
        if within is not None and not any(need.kind is NeedKind.WITHIN for need in node.needs):
            node = replace(node, needs=(*node.needs, Need(within, NeedKind.WITHIN)))
        self.top.nodes[node.id] = node

    def nodes(self) -> tuple[Node, ...]:
        """The nodes of the stage, in the order they were added; what waits for a body waits for all of it."""
        return tuple(self._gated(node) for node in self._open[0].nodes.values())

    def find(self, node_id: str) -> Node | None:
        """The node of this stage or of one planned before, or None."""
        found = self.written.get(node_id)
        if found is not None:
            return found
        stage = node_id.partition("/")[0]
        if stage == self._stage:
            return None
        index = self._elsewhere.get(stage)
        if index is None:
            index = self._elsewhere[stage] = {node.id: node for node in self._planned.get(stage, ())}
        return index.get(node_id)

    def stage_outputs(self, stage: str) -> Mapping[str, str]:
        """Output name to node id, over the steps of a stage planned before."""
        found = self._stage_outputs.get(stage)
        if found is None:
            steps = (node for node in self._planned.get(stage, ()) if not set("/[") & set(node.step))
            found = self._stage_outputs[stage] = {output: node.id for node in steps for output in node.outputs}
        return found

    def step_id(self, name: str) -> str:
        """The id of the node that `steps.<name>` means here: the nearest of that name, from the inside out.

        In a compensation it may be a step of the stage that it compensates.
        """
        for frame in reversed(self._open):
            if name in frame.names:
                return f"{frame.path}/{name}"
        compensated, dot, _ = self._stage.partition(".")
        of_stage = f"{compensated}/{name}"
        return of_stage if dot and self.find(of_stage) is not None else f"{self._stage}/{name}"

    @property
    def gathers(self) -> tuple[str, ...]:
        """The names of the gathers around what is being added, outermost first."""
        return tuple(frame.gather for frame in self._open if frame.gather is not None)

    def _gated(self, node: Node) -> Node:
        """The node with its needs of bodies turned into needs of all that is in them."""
        needs = tuple(self._gated_need(need) for need in node.needs)
        templates = {name: tuple(map(self._gated, nodes)) for name, nodes in node.templates.items()}
        return replace(node, needs=needs, templates=templates) if needs != node.needs or templates else node

    def _gated_need(self, need: Need) -> Need:
        if need.kind is NeedKind.WITHIN:
            return need
        found = self._open[0].nodes.get(need.node) or self.find(need.node)
        waits = found is not None and found.has_gate and (found.is_group or need.kind is not NeedKind.PROMISE)
        return Need(gate_of(need.node), need.kind) if waits else need


def is_within(node: Node, opener: str) -> bool:
    """Whether a node is directly in the body that `opener` opens."""
    return any(need.kind is NeedKind.WITHIN and need.node == opener for need in node.needs)
