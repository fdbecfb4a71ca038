"""Phases validate and plan of mode `preview`: what the stages say is checked and becomes nodes. The same for every backend."""

from __future__ import annotations

from collections.abc import Mapping

from shipway import expressions
from shipway.backend import Capability, Cleanups, StagePlace
from shipway.builder import GraphBuilder
from shipway.canonical import Json
from shipway.declaration import Declaration, Stage
from shipway.errors import Position, Problem
from shipway.expressions import ExpressionError
from shipway.preview_checks import preview_faults
from shipway.preview_home import add_provisioner
from shipway.preview_parts import once, read_preview
from shipway.preview_removal import add_removal
from shipway.preview_runner import add_runner
from shipway.preview_settings import Doing, Role, role_of
from shipway.preview_shape import shape_faults
from shipway.preview_stage import PreviewNodes
from shipway.state import Prior


class PreviewBackend:
    """What the backends of mode `preview` share, which is all but `name` and what they can do."""

    mode = "preview"
    name: str
    contract = 1
    capabilities = frozenset({Capability.PLAN_EXECUTE, Capability.DRY_RUN, Capability.ROLLBACK})

    def validate(self, stage: Stage, lifecycle: Declaration) -> list[Problem]:
        """What is wrong with `with` as written."""
        return shape_faults(stage, lifecycle, stage.with_)

    def inspect(self, stage: Stage, lifecycle: Declaration, place: StagePlace) -> list[Problem]:
        """Everything wrong with a preview stage, files and other stages included, as far as its texts are known before the plan."""
        known: dict[str, Json] = {"values": lifecycle.values, "target": place.target}

        def fold(text: str, where: Position) -> Json:
            try:
                template = expressions.parse_template(text)
                return expressions.evaluate_template(template, known) if template.is_known_with(known) else text
            except ExpressionError:
                return text  # what is wrong with it is told when it is planned

        found = shape_faults(stage, lifecycle, stage.with_)
        if role_of(stage) is None:
            return found
        preview, compose = read_preview(lifecycle, place.target, place.root, fold)
        problems = [*found, *preview_faults(stage, lifecycle, preview, place.root)]
        return once([*problems, *(compose.problems if stage.with_["role"] == Role.RUNNER else ())])

    def prepare(self, stage: Stage, place: StagePlace, cleanups: Cleanups) -> None:
        """The place is made by a node, so that it is journalled."""

    def plan(self, stage: Stage, lifecycle: Declaration, builder: GraphBuilder, prior: Prior) -> Mapping[str, Json]:
        """Add the nodes of a preview stage to the builder; problems go there too. Returns the stage's context for the plan."""
        builder.problems += shape_faults(stage, lifecycle, stage.with_)
        if builder.problems:
            return {}

        def fold(text: str, where: Position) -> Json:
            return builder.folded(text, where)

        if role_of(stage) is None:
            return {}
        target = str(builder.known.get("target", ""))
        preview, compose = read_preview(lifecycle, target, builder.site.root, fold)
        builder.problems += once([*preview_faults(stage, lifecycle, preview, builder.site.root), *compose.problems])
        if builder.problems:
            return {}
        on = PreviewNodes(stage, lifecycle, builder, preview)
        settings = preview.settings_of(stage.id)
        if settings is None:
            return {}
        if settings.action in (Doing.DOWN, Doing.STOP):
            add_removal(on, settings)
        elif settings.role is Role.RUNNER:
            add_runner(on, settings)
        elif settings.manifest is None:
            add_provisioner(on, settings)
        context: dict[str, Json] = {"role": settings.role.value}
        if settings.role is Role.RUNNER:
            context |= {"domain": settings.domain, "ttl_ms": settings.ttl_ms, "quota": settings.quota}
        if settings.action is not Doing.UP:
            context["action"] = settings.action.value
        return context
