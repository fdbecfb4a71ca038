"""Compensations as nodes: what runs only on the rollback of a stage, planned with it. Plans only, carries nothing out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from shipway.backend import Backend
from shipway.builder import GraphBuilder
from shipway.builder_options import BuilderScope
from shipway.declaration import Declaration, Stage
from shipway.errors import Problem
from shipway.nodes import Node
from shipway.plan import COMPENSATION_PART
from shipway.state import State


def plan_compensation(
    stage: Stage, declaration: Declaration, forward: GraphBuilder, scope: BuilderScope, steps: Backend
) -> tuple[tuple[Node, ...], Sequence[Problem]]:
    """The nodes of the stage's compensation, in declared order, and what is wrong with them; none where it has none.

    `forward` holds the stage's own nodes, which they may refer to; the stages they refer to become needs of the stage.
    `steps` is the backend that turns steps into nodes. Their ids are `stage.compensate/step`.
    """
    if stage.compensation is None:
        return (), ()
    part = replace(
        stage,
        id=f"{stage.id}.{COMPENSATION_PART}",
        mode="steps",
        steps=stage.compensation.steps,
        ordered=stage.compensation.ordered,
        lasting=False,
        compensation=None,
    )
    planned: Mapping[str, Sequence[Node]] = {**scope.planned, stage.id: forward.nodes()}
    builder = GraphBuilder(part, replace(scope, planned=planned))
    steps.plan(part, declaration, builder, State)
    builder.check_references()
    forward.stage_needs.update((need, None) for need in builder.stage_needs if need != stage.id)
    return builder.nodes(), builder.problems
