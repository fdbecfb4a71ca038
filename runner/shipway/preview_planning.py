"""Phase plan of mode `preview`: what the stages say, checked, becomes nodes. The same for every backend of the mode."""

from __future__ import annotations

from collections.abc import Mapping

from shipway.builder import GraphBuilder
from shipway.canonical import Json
from shipway.declaration import Declaration, Stage
from shipway.errors import Position
from shipway.preview_home import add_provisioner
from shipway.preview_parts import read_preview
from shipway.preview_runner import add_runner
from shipway.preview_settings import role_of
from shipway.preview_shape import shape_faults
from shipway.preview_stage import PreviewNodes


def plan_preview(stage: Stage, lifecycle: Declaration, builder: GraphBuilder) -> Mapping[str, Json]:
    """Add the nodes of a preview stage to the builder; problems go there too. Returns the stage's context for the plan."""
    builder.problems += shape_faults(stage, lifecycle, stage.with_)
    if builder.problems:
        return {}

    def fold(text: str, where: Position) -> Json:
        return builder.folded(text, where)

    target = str(builder.known.get("target", ""))
    preview, compose = read_preview(lifecycle, target, builder.site.root, fold)
    builder.problems += compose.problems
    if preview is None or builder.problems:
        return {}
    on = PreviewNodes(stage, lifecycle, builder, preview)
    if stage.id == preview.provisioner_id and preview.provisioner is not None:
        add_provisioner(on, preview.provisioner)
        return {"role": "provisioner"}
    if stage.id == preview.runner_id and preview.runner is not None:
        add_runner(on, preview.runner)
        runner = preview.runner
        return {"role": "runner", "domain": runner.domain, "ttl_ms": runner.ttl_ms, "quota": runner.quota}
    role = role_of(stage)
    return {} if role is None else {"role": role.value}
