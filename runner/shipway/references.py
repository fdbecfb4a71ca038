"""What the expressions of a declaration refer to: whether it exists, and the edges that references make. Evaluates nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from shipway import expressions
from shipway.canonical import Json, mapping
from shipway.edges import Edge
from shipway.errors import did_you_mean
from shipway.expression_functions import FUNCTIONS, HASH_FUNCTION, STATUS_FUNCTIONS
from shipway.expressions import ExpressionError, Reference
from shipway.outline import StageOutline, StepOutline, leaves, texts
from shipway.places import Finding, place
from shipway.source import Path_

CONTEXTS = ("values", "inputs", "target", "item", "items", "github", "runner", "env", "secrets", "steps", "stages")
"""The contexts that an expression of a declaration may name."""

CONTEXTS_OF_MODE: Mapping[str, tuple[str, ...]] = {
    "preview": ("self", "services", "infrastructure", "provisioner", "pull_request")
}
"""The contexts that only `with` of a stage of a mode may name; what they hold, its backends check."""

_ELSEWHERE = {
    "vars": "declare it under `inputs`, or write it under `values`",
    "needs": "the outputs of another stage are `stages.<id>.outputs.<name>`",
    "job": "the outputs of another stage are `stages.<id>.outputs.<name>`",
    "jobs": "the outputs of another stage are `stages.<id>.outputs.<name>`",
    "matrix": "a matrix belongs to the workflow; hand its values over as `inputs`",
    "strategy": "a strategy belongs to the workflow",
}
_FUNCTIONS = STATUS_FUNCTIONS | {FUNCTIONS[HASH_FUNCTION].spelling}
_OF_STEP = ("outputs", "outcome")
_OF_STAGE = ("outputs", "steps")


class _Site(Struct, frozen=True):
    """One text with expressions: where it stands, in which stage, and in which step (None: in the stage itself).

    `around` are the bodies and steps that it is inside of, outermost first, `gathers` the names of the gathers among them.
    """

    path: Path_
    text: str
    stage: StageOutline
    step: StepOutline | None
    is_condition: bool
    around: tuple[tuple[StageOutline, StepOutline], ...] = ()
    gathers: tuple[str, ...] = ()


class References(Struct):
    """What all expressions of a declaration came to: findings, edges among stages, and edges among the steps of each body.

    `step_edges` are by the path of the stage or compensation that has the steps.
    """

    findings: list[Finding]
    stage_edges: list[Edge]
    step_edges: dict[Path_, list[Edge]]


def read_references(data: Json, stages: tuple[StageOutline, ...], most: int) -> References:
    """Reads every expression of `data`; stops after `most` findings."""
    result = References([], [], {body.path: [] for stage in stages for body in stage.bodies})
    reader = _Reader(data, {stage.id: stage for stage in stages}, result)
    for site in _sites(stages):
        if len(result.findings) >= most:
            break
        reader.read(site)
    return result


_Around: TypeAlias = tuple[tuple[StageOutline, StepOutline], ...]


def _sites(stages: tuple[StageOutline, ...]) -> Iterator[_Site]:
    for stage in stages:
        yield from _sites_of_body(stage, (), ())
        if stage.compensation is not None:
            yield from _sites_of_body(stage.compensation, (), ())


def _sites_of_body(body: StageOutline, around: _Around, gathers: tuple[str, ...]) -> Iterator[_Site]:
    if not around:
        yield from _sites_in(body, None, ("if", "env", "with"), around, gathers)
    for step in body.steps:
        inner = (*gathers, step.id) if "gather" in step.data else gathers
        yield from _sites_in(body, step, ("if", "env", "with", "until", "dedup"), around, inner)
        for site in _sites_in(body, step, ("gather",), around, gathers):
            yield replace(site, gathers=inner) if site.path[-1] == "key" else site
        if step.body is not None:
            yield from _sites_of_body(step.body, (*around, (body, step)), inner)
        if step.templates is not None:
            yield from _sites_of_body(step.templates, (*around, (body, step)), (*inner, step.id))


def _sites_in(
    stage: StageOutline, step: StepOutline | None, keys: tuple[str, ...], around: _Around, gathers: tuple[str, ...]
) -> Iterator[_Site]:
    holder = step or stage
    for key in keys:
        if key not in holder.data:
            continue
        for path, text in leaves(holder.data[key], (*holder.path, key)):
            if key == "if" or ("${{" in text and path != (*holder.path, "until")):
                yield _Site(path, text, stage, step, key == "if", around, gathers)


class _Reader:
    def __init__(self, data: Json, stages: Mapping[str, StageOutline], result: References) -> None:
        self._data = data
        self._stages = stages
        self._result = result
        top = mapping(data)
        secrets = [name for _, name in texts(top, (), "secrets")]
        self._declared: dict[str, Iterable[str]] = {
            "values": mapping(top.get("values")),
            "inputs": mapping(top.get("inputs")),
            "secrets": secrets,
        }
        self._checks: dict[str, Callable[[_Site, Reference], None]] = {
            "values": self._check_declared,
            "inputs": self._check_declared,
            "secrets": self._check_declared,
            "item": self._check_item,
            "items": self._check_item,
            "steps": self._check_step,
            "stages": self._check_stage,
        }

    def read(self, site: _Site) -> None:
        try:
            read = expressions.parse if site.is_condition else expressions.parse_template
            parsed = read(site.text, functions=_FUNCTIONS)
        except ExpressionError as error:
            self._find(site, error.message, error.hint, (error.offset, error.width))
            return
        misplaced = sorted(parsed.functions & STATUS_FUNCTIONS)
        if misplaced and not site.is_condition:
            at = site.text.lower().find(misplaced[0] + "(")
            self._find(
                site, f"`{misplaced[0]}()` cannot stand", "it belongs into an `if`", (max(at, 0), len(misplaced[0]))
            )
        for reference in parsed.references:
            self._check(site, reference)

    def _check(self, site: _Site, reference: Reference) -> None:
        context = _word(reference, 0).lower()
        if context in _contexts_of(site):
            return
        if context not in CONTEXTS:
            hint = _ELSEWHERE.get(context) or did_you_mean(context, CONTEXTS) or f"contexts: {_listed(CONTEXTS)}"
            self._complain(site, reference, f"unknown context `{context}`", hint)
        elif check := self._checks.get(context):
            check(site, reference)

    def _check_declared(self, site: _Site, reference: Reference) -> None:
        context = _word(reference, 0).lower()
        declared, name = list(self._declared[context]), _word(reference, 1)
        if not name:
            if context == "secrets":
                hint = "a step is handed only the secrets that it names: write `secrets.NAME`"
                self._complain(site, reference, "`secrets` without a name", hint)
            return
        if _is_in(name, declared):
            return
        hint = did_you_mean(name, declared) or (
            f"declare it: `secrets: [{name}]`" if context == "secrets" else f"declare it under `{context}`"
        )
        self._complain(site, reference, f"unknown {context[:-1]} `{name}`", hint)

    def _check_item(self, site: _Site, reference: Reference) -> None:
        name = _word(reference, 1)
        if not site.gathers:
            hint = "give the step a `gather`; `item` is each of its items"
            self._complain(site, reference, f"`{reference.name}` outside a `gather`", hint)
        elif _word(reference, 0).lower() == "items" and name not in site.gathers:
            hint = did_you_mean(name, site.gathers) or f"enclosing gathers: {_listed(site.gathers)}"
            self._complain(site, reference, f"no gather `{name}`" if name else "`items` without a name", hint)

    def _check_step(self, site: _Site, reference: Reference) -> None:
        if site.step is None:
            hint = "it means the steps of the same stage: write it in the steps that need it"
            self._complain(site, reference, "`steps` cannot stand", hint)
            return
        name = _word(reference, 1)
        outer = next(((b, s) for b, s in reversed(site.around) if name in b.step_by_id), None)
        if not name:
            self._complain_unnamed(site, reference, "steps")
        elif outer is not None and name not in site.stage.step_by_id:
            self._check_outer_step(site, reference, *outer)
        elif name == site.step.id:
            self._complain(
                site, reference, f"step `{name}` refers to itself", "its own outputs are known when it is done"
            )
        elif step := (site.stage.compensates or {}).get(name):
            # Of what it compensates all has ended, however it did: no edge keeps the two in order.
            self._check_members(site, reference, 2, _OF_STEP, step.outputs, f"step `{name}`")
        elif step := self._step(site, reference, site.stage, name):
            edge = Edge(site.step.id, name, site.path, (reference.offset, reference.width))
            self._result.step_edges[site.stage.path].append(edge)
            self._check_members(site, reference, 2, _OF_STEP, step.outputs, f"step `{name}`")

    def _check_outer_step(self, site: _Site, reference: Reference, body: StageOutline, around: StepOutline) -> None:
        """A reference out of a body is an edge of the step that the body belongs to."""
        step = body.step_by_id[_word(reference, 1)]
        if step is around:
            hint = "what is in a body ends before the step it belongs to"
            self._complain(site, reference, f"step `{step.id}` refers to itself", hint)
            return
        edge = Edge(around.id, step.id, site.path, (reference.offset, reference.width))
        self._result.step_edges[body.path].append(edge)
        self._check_members(site, reference, 2, _OF_STEP, step.outputs, f"step `{step.id}`")

    def _check_stage(self, site: _Site, reference: Reference) -> None:
        name = _word(reference, 1)
        if not name:
            self._complain_unnamed(site, reference, "stages")
        elif name not in self._stages:
            hint = did_you_mean(name, self._stages) or f"known stages: {_listed(list(self._stages)[:8])}"
            self._complain(site, reference, f"unknown stage `{name}`", hint)
        elif name == site.stage.id:
            hint = "inside its stage a step's outputs are `steps.<id>.outputs.<name>`"
            self._complain(site, reference, f"stage `{name}` refers to itself", hint)
        else:
            edge = Edge(site.stage.id, name, site.path, (reference.offset, reference.width))
            self._result.stage_edges.append(edge)
            self._check_inside_stage(site, reference, self._stages[name])

    def _check_inside_stage(self, site: _Site, reference: Reference, stage: StageOutline) -> None:
        if _word(reference, 2).lower() != "steps":
            self._check_members(site, reference, 2, _OF_STAGE, stage.outputs, f"stage `{stage.id}`")
        elif not (name := _word(reference, 3)):
            self._complain_unnamed(site, reference, f"stages.{stage.id}.steps")
        elif step := self._step(site, reference, stage, name):
            owner = f"step `{name}` of stage `{stage.id}`"
            self._check_members(site, reference, 4, _OF_STEP, step.outputs, owner)

    def _step(self, site: _Site, reference: Reference, stage: StageOutline, name: str) -> StepOutline | None:
        step = stage.step_by_id.get(name)
        if step is None:
            ids = [*(step.id for step in stage.steps), *(stage.compensates or ())]
            hint = did_you_mean(name, ids) or (f"known steps: {_listed(ids[:8])}" if ids else "the stage has no steps")
            if name in self._stages and name != stage.id:
                hint = f"`{name}` is a stage: write `stages.{name}`"
            where = "" if stage is site.stage else f" of stage `{stage.id}`"
            self._complain(site, reference, f"unknown step `{name}`{where}", hint)
        return step

    def _check_members(
        self,
        site: _Site,
        reference: Reference,
        depth: int,
        members: tuple[str, ...],
        outputs: tuple[str, ...] | None,
        owner: str,
    ) -> None:
        """What follows the name of a step or stage: one of `members`, and behind `outputs` one of `outputs` (None: any)."""
        member, name = _word(reference, depth), _word(reference, depth + 1)
        if not member:
            return
        if member.lower() not in members:
            hint = f"write `outputs.{member}`" if outputs and _is_in(member, outputs) else f"known: {_listed(members)}"
            self._complain(site, reference, f"{owner} has no `{member}`", did_you_mean(member, members) or hint)
        elif member.lower() == "outputs" and name and outputs is not None and not _is_in(name, outputs):
            hint = f"known outputs: {_listed(outputs)}" if outputs else "declare it: `outputs: {" + name + ": string}`"
            self._complain(site, reference, f"unknown output `{name}` of {owner}", did_you_mean(name, outputs) or hint)

    def _complain_unnamed(self, site: _Site, reference: Reference, what: str) -> None:
        hint = f"what is waited for has to be known before the run: write `{what}.<id>.outputs.<name>`"
        self._complain(site, reference, f"`{what}` without a name", hint)

    def _complain(self, site: _Site, reference: Reference, text: str, hint: str) -> None:
        self._find(site, text, hint, (reference.offset, reference.width))

    def _find(self, site: _Site, text: str, hint: str, span: tuple[int, int]) -> None:
        where = f"{text} in {place(site.path, self._data)}"
        self._result.findings.append(Finding(site.path, where, hint, anchor="expressions", span=span))


def _contexts_of(site: _Site) -> tuple[str, ...]:
    """The contexts that the mode of a stage adds where the text stands."""
    is_with = site.step is None and site.path[len(site.stage.path) :][:1] == ("with",)
    mode = site.stage.data.get("mode")
    return CONTEXTS_OF_MODE.get(mode, ()) if is_with and isinstance(mode, str) else ()


def _word(reference: Reference, index: int) -> str:
    """The name at `index` of a reference; empty where it ends before, or where the name is computed."""
    part = reference.path[index] if index < len(reference.path) else None
    return part if isinstance(part, str) else ""


def _is_in(name: str, names: Iterable[str]) -> bool:
    """Property names of expressions are compared without regard to case."""
    return name.casefold() in {known.casefold() for known in names}


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
