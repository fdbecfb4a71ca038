"""Backend `steps/shell`: each step of a stage becomes one node. Plans only; the executor runs the nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from shipway.backend import Capability, Cleanups, StagePlace
from shipway.builder import GraphBuilder
from shipway.builder_options import GatherOptions, NodeOptions
from shipway.canonical import Json
from shipway.declaration import Declaration, OnFailure, Retry, Stage, Step
from shipway.errors import Position, Problem
from shipway.flow_rules import GatherRule
from shipway.nodes import Need, NeedKind
from shipway.source import Path_
from shipway.state import Prior


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

    def plan(self, stage: Stage, lifecycle: Declaration, builder: GraphBuilder, prior: Prior) -> Mapping[str, Json]:
        """One node per step, in declared order; what is inside a step comes behind it."""
        around = _Around(stage.lasting, stage.reads, (), stage.timeout_ms)
        self._body(stage.steps, stage.ordered, around, lifecycle, builder)
        return {}

    def _body(
        self, steps: Sequence[Step], ordered: bool, around: _Around, lifecycle: Declaration, builder: GraphBuilder
    ) -> None:
        before: Step | None = None
        for step in steps:
            needs = [Need(builder.step_id(other)) for other in step.needs]
            needs += [Need(builder.step_id(other), NeedKind.OPTIONAL) for other in step.optional_needs]
            if ordered and before is not None:
                needs.append(Need(builder.step_id(before.id), NeedKind.ORDER))
            self._step(step, needs, around, lifecycle, builder)
            before = step

    def _step(
        self, step: Step, needs: Sequence[Need], around: _Around, lifecycle: Declaration, builder: GraphBuilder
    ) -> None:
        options = _options(step, around, lifecycle)
        gather = _gather(step.gather) if step.gather else None
        if step.body is not None:
            names = [inner.id for inner in step.body.steps]
            with builder.body(step.id, names, needs=needs, options=options, gather=gather):
                inside = replace(
                    around,
                    lasting=around.lasting if step.lasting is None else step.lasting,
                    reads=around.reads if step.reads is None else step.reads,
                    env_from=options.env_from,
                    allow_failure=options.allow_failure,
                )
                self._body(step.body.steps, step.body.ordered, inside, lifecycle, builder)
            return
        slots = self._slots(step, lifecycle, builder)
        if step.every_ms and not options.timeout_ms:
            builder.problem(
                f"`until` of `{step.id}` has no timeout, and might ask for ever", "write `timeout: 5m`", step.where
            )
        options = replace(options, slot_place=lambda slot: _slot_place(lifecycle, step, slot))
        added = builder.add(step.action, step.id, slots, needs=needs, options=options, gather=gather)
        for template in step.templates:
            with builder.template(added, template.id, step.emits):
                self._step(template, (), around, lifecycle, builder)

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
        for name in builder.script_slots(step.action):
            if "${{" in str(step.with_.get(name, "")):
                builder.problem(
                    f"an expression inside the script `{name}` of step `{step.id}`",
                    'write `env: {NAME: "${{ … }}"}` and use `$NAME`, in PowerShell `$env:NAME`',
                    lifecycle.source.locate(_slot_path(step, name)),
                )
        texts = builder.text_slots(step.action)
        return {
            name: lifecycle.source.spelling(_slot_path(step, name)) if name in texts and _is_scalar(value) else value
            for name, value in step.with_.items()
        }


def _slot_place(lifecycle: Declaration, step: Step, slot: str) -> Position:
    """Where a slot of a step was written, else where it would be; without a name, where the action is named."""
    source = lifecycle.source
    if slot and (step.run is not None or slot in step.with_):
        return source.locate(_slot_path(step, slot), key=True)
    call = (*step.path, *(("until",) if step.every_ms else ()))
    return source.locate((*call, "with"), key=True) if slot and step.with_ else source.locate((*call, "uses"))


def _slot_path(step: Step, slot: str) -> Path_:
    """Where a slot of a step stands in the declaration."""
    if step.run is not None:
        return (*step.path, slot)
    return (*step.path, *(("until",) if step.every_ms else ()), "with", slot)


class _Around(Struct, frozen=True):
    """What holds for the steps of a stage or a body that say nothing else."""

    lasting: bool | None
    reads: tuple[str, ...] | None
    env_from: tuple[str, ...]
    timeout_ms: int | None
    allow_failure: bool = False


def _gather(rule: GatherRule) -> GatherOptions:
    policy = None if rule.on_failure is None else OnFailure(rule.on_failure)
    return GatherOptions(rule.slots, rule.key, rule.limit, rule.max, policy)


def _is_scalar(value: Json) -> bool:
    return isinstance(value, (bool, int, float))


def _options(step: Step, around: _Around, lifecycle: Declaration) -> NodeOptions:
    lasting = step.lasting if step.lasting is not None else False if step.every_ms else around.lasting
    limits = (step.timeout_ms, around.timeout_ms, lifecycle.defaults.timeout_ms)
    return NodeOptions(
        title=step.name,
        tags=step.tags,
        condition=step.condition,
        outputs=step.outputs,
        env=step.env,
        env_from=tuple(dict.fromkeys((*around.env_from, *step.env_from))),
        lasting=True if lasting is None else lasting,
        retry=step.retry or Retry(),
        timeout_ms=next((limit for limit in limits if limit is not None), 0),
        undo_retry=step.undo.retry if step.undo else None,
        undo_timeout_ms=step.undo.timeout_ms if step.undo else None,
        limits=step.limits,
        locks=step.locks,
        exclusive=step.exclusive,
        allow_failure=step.allow_failure or around.allow_failure,
        reads=step.reads if step.reads is not None else around.reads,
        writes=step.writes,
        position=step.where,
        every_ms=step.every_ms,
        privileged=step.privileged,
        dedup=step.dedup,
        oidc=step.oidc,
    )
