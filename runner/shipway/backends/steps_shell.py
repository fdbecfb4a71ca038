"""Backend `steps/shell`: each step of a stage becomes one node. Plans only; the executor runs the nodes."""

from __future__ import annotations

from collections.abc import Mapping

from shipway.backend import Capability, Cleanups, StagePlace
from shipway.builder import GraphBuilder, NodeOptions
from shipway.canonical import Json
from shipway.declaration import Declaration, Retry, Stage, Step
from shipway.errors import Problem
from shipway.nodes import Need, NeedKind


class StepsShell:
    """Answers mode `steps`. A list of steps runs in order; a mapping runs as its edges allow."""

    mode = "steps"
    name = "shell"
    contract = 1
    capabilities = frozenset({Capability.PLAN_EXECUTE, Capability.DRY_RUN, Capability.ROLLBACK})

    def validate(self, stage: Stage, lifecycle: Declaration) -> list[Problem]:
        """Nothing beyond what declaration and builder check."""
        return []

    def prepare(self, stage: Stage, place: StagePlace, cleanups: Cleanups) -> None:
        """Steps need nothing made beforehand."""

    def plan(self, stage: Stage, lifecycle: Declaration, builder: GraphBuilder) -> Mapping[str, Json]:
        """One node per step, in declared order."""
        before: Step | None = None
        for step in stage.steps:
            needs = [Need(f"{stage.id}/{other}") for other in step.needs]
            needs += [Need(f"{stage.id}/{other}", NeedKind.OPTIONAL) for other in step.optional_needs]
            if stage.ordered and before is not None:
                needs.append(Need(f"{stage.id}/{before.id}", NeedKind.ORDER))
            builder.add(
                step.action,
                step.id,
                self._slots(step, lifecycle, builder),
                needs=needs,
                options=_options(step, stage, lifecycle),
            )
            before = step
        return {}

    def _slots(self, step: Step, lifecycle: Declaration, builder: GraphBuilder) -> dict[str, object]:
        if step.run is not None:
            return {
                "run": step.run,
                "shell": step.shell,
                "working_directory": step.working_directory,
                "plan": step.plan.run if step.plan else None,
                "plan_requires": list(step.plan.requires) if step.plan and step.plan.requires else None,
                "undo": step.undo.run if step.undo else None,
                "verify": step.verify,
            }
        texts = builder.text_slots(step.action)
        return {
            name: lifecycle.source.spelling((*step.path, "with", name))
            if name in texts and _is_scalar(value)
            else value
            for name, value in step.with_.items()
        }


def _is_scalar(value: Json) -> bool:
    return isinstance(value, (bool, int, float))


def _options(step: Step, stage: Stage, lifecycle: Declaration) -> NodeOptions:
    lasting = step.lasting if step.lasting is not None else stage.lasting
    limits = (step.timeout_ms, stage.timeout_ms, lifecycle.defaults.timeout_ms)
    return NodeOptions(
        title=step.name,
        tags=step.tags,
        condition=step.condition,
        outputs=step.outputs,
        env=step.env,
        env_from=step.env_from,
        lasting=True if lasting is None else lasting,
        retry=step.retry or Retry(),
        timeout_ms=next((limit for limit in limits if limit is not None), 0),
        undo_retry=step.undo.retry if step.undo else None,
        undo_timeout_ms=step.undo.timeout_ms if step.undo else None,
        limits=step.limits,
        locks=step.locks,
        exclusive=step.exclusive,
        allow_failure=step.allow_failure,
        reads=step.reads,
        writes=step.writes,
        position=step.where,
    )
