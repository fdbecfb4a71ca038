"""Everything a schema cannot say of a declaration: names that must exist, each once, and no circles. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain, islice

from msgspec.structs import replace

from shipway.canonical import Json, mapping
from shipway.edges import Edge, duplicate_findings, edge_findings, stage_edges, step_edges
from shipway.errors import did_you_mean
from shipway.flow_rules import flow_findings
from shipway.limits import RATE_PATTERN, parse_rate
from shipway.outline import StageOutline, outline, texts
from shipway.places import Finding, place
from shipway.policy_checks import policy_findings
from shipway.references import References, read_references
from shipway.scripts import misplaced_expressions
from shipway.signing_checks import signing_findings

_NAME = re.compile("[a-z0-9][a-z0-9-]*")


def cross_findings(data: Json, most: int) -> list[Finding]:
    """Up to `most` findings in declaration `data` of any shape: what the schema refuses is skipped here."""
    stages = outline(data)
    references = read_references(data, stages, most)
    found = chain(
        references.findings,
        _stage_findings(stages, references),
        *(_step_findings(data, body, references) for stage in stages for body in stage.bodies),
        _wrong_rates(data),
        _wrong_writes(data, stages),
        _unknown_limits(data, stages),
        _unknown_locks(data, stages),
        _idle_locks(data),
        _wrong_promotions(data),
        _wrong_state(data),
        _wrong_defaults(data),
        policy_findings(data, stages),
        signing_findings(data),
        misplaced_expressions(data),
    )
    return list(islice(found, most))


def _stage_findings(stages: tuple[StageOutline, ...], references: References) -> Iterator[Finding]:
    yield from edge_findings("stage", tuple(s.id for s in stages), stage_edges(stages) + references.stage_edges)


def _step_findings(data: Json, stage: StageOutline, references: References) -> Iterator[Finding]:
    where = stage.words
    yield from duplicate_findings(stage, where)
    ids = tuple(dict.fromkeys(step.id for step in stage.steps))
    yield from edge_findings("step", ids, step_edges(stage) + references.step_edges[stage.path], where)
    yield from _outputs_twice(stage, where)
    yield from flow_findings(data, stage)
    yield from _ids_compensated_twice(stage)
    if not stage.is_ordered:
        for step in stage.steps:
            if "id" in step.data:
                text = f"the id of {place(step.path, data)} is its key"
                yield Finding((*step.path, "id"), text, "remove `id`", is_key=True, anchor="steps")


def _ids_compensated_twice(compensation: StageOutline) -> Iterator[Finding]:
    for step in compensation.steps:
        if step.id and step.id in (compensation.compensates or ()):
            path = (*step.path, "id") if "id" in step.data else step.path
            text = f"a step of stage `{compensation.id}` and one of its compensation are both called `{step.id}`"
            hint = "give this one an `id` of its own: `steps` refers to both"
            yield Finding(path, text, hint, is_key=isinstance(path[-1], str) and path[-1] != "id", anchor="compensate")


def _outputs_twice(stage: StageOutline, where: str) -> Iterator[Finding]:
    declared: dict[str, str] = {}
    for step in stage.steps:
        for name in step.outputs or ():
            if name in declared and declared[name] != step.id:
                text = f"the output `{name}`{where} is declared by step `{declared[name]}` and by step `{step.id}`"
                hint = "give one of them another name: a stage's outputs are those of all its steps"
                yield Finding((*step.path, "outputs", name), text, hint, is_key=True, anchor="outputs")
            declared.setdefault(name, step.id)


def _unknown_limits(data: Json, stages: tuple[StageOutline, ...]) -> Iterator[Finding]:
    known = mapping(mapping(data).get("limits"))
    for body in (body for stage in stages for body in stage.bodies):
        for step in body.steps:
            for path, name in texts(step.data, step.path, "limits"):
                if name not in known:
                    hint = did_you_mean(name, known) or f"declare it: `limits: {{{name}: {{parallel: 1}}}}`"
                    yield Finding(path, f"unknown limit `{name}` of {place(step.path, data)}", hint, anchor="limits")


def _unknown_locks(data: Json, stages: tuple[StageOutline, ...]) -> Iterator[Finding]:
    top = mapping(data)
    listed = [name for _, name in texts(top, (), "locks")]
    known = mapping(top.get("locks")) or dict.fromkeys(listed, "run")
    shown = "".join(f"{name}: {word}, " for name, word in known.items() if len(known) <= 3)
    for body in (body for stage in stages for body in stage.bodies):
        for step in body.steps:
            for path, name in texts(step.data, step.path, "locks"):
                if name not in known and _NAME.fullmatch(name):
                    hint = did_you_mean(name, known) or f"declare it: `locks: {{{shown}{name}: step}}`"
                    yield Finding(path, f"unknown lock `{name}` of {place(step.path, data)}", hint, anchor="locks")


def _wrong_writes(data: Json, stages: tuple[StageOutline, ...]) -> Iterator[Finding]:
    for stage in stages:
        for step in stage.steps:
            for path, text in texts(step.data, step.path, "writes"):
                if text.startswith("!"):
                    yield Finding(
                        path,
                        f"`writes` of {place(step.path, data)} takes nothing away: `{text}`",
                        "list what it writes, and nothing else",
                        anchor="reads",
                    )


def _wrong_rates(data: Json) -> Iterator[Finding]:
    """Rates that let nothing start, which a pattern cannot tell from others, and bursts of no rate."""
    for name, rule in mapping(mapping(data).get("limits")).items():
        rate, path = mapping(rule).get("rate"), ("limits", name)
        if isinstance(rate, str) and re.fullmatch(RATE_PATTERN, rate):
            try:
                parse_rate(rate)
            except ValueError as error:
                hint = "write a number and a duration that are not 0, such as `10/1m`"
                yield Finding((*path, "rate"), f"{error}: the rate of limit `{name}`", hint, anchor="limits")
        if "burst" in mapping(rule) and "rate" not in mapping(rule):
            text = f"limit `{name}` has a `burst` and no `rate`"
            yield Finding((*path, "burst"), text, "give it a rate, such as `rate: 10/1m`", is_key=True, anchor="limits")


def _idle_locks(data: Json) -> Iterator[Finding]:
    top = mapping(data)
    if top.get("lock") == "none" and top.get("locks"):
        text = "`locks` has nothing to hold them where `lock` is `none`"
        yield Finding(("locks",), text, "take one of the two away", is_key=True, anchor="locks")


def _wrong_promotions(data: Json) -> Iterator[Finding]:
    """Targets that come after one there is not, after a pattern, after themselves or in a circle."""
    rules = mapping(mapping(data).get("targets"))
    names = tuple(name for name in rules if "*" not in name)
    edges = [
        Edge(target, before, path)
        for target, rule in rules.items()
        for path, before in texts(mapping(rule), ("targets", target), "after")
    ]
    for finding in edge_findings("target", (*names, *(name for name in rules if name not in names)), edges):
        yield replace(finding, anchor="targets")
    for edge in edges:
        if "*" in edge.before and edge.before in rules:
            text = f"target `{edge.after}` comes after the pattern `{edge.before}`, which is no target"
            yield Finding(edge.path, text, "name the target that has to come first", anchor="targets")


def _wrong_state(data: Json) -> Iterator[Finding]:
    state = mapping(mapping(data).get("state"))
    store, url = state.get("store", "local"), state.get("url")
    secrets = [name for _, name in texts(mapping(data), (), "secrets")]
    if store == "postgres" and url is None:
        yield Finding(("state",), "`state` of `postgres` needs `url`", "name the secret that holds it", anchor="state")
    for key, owner in (("url", "postgres"), ("remote", "git")):
        if key in state and store in ("local", "git", "postgres") and store != owner:
            text = f"`{key}` belongs to the store `{owner}`, and this is `{store}`"
            yield Finding(("state", key), text, "remove it", is_key=True, anchor="state")
    for key, owners in (("url", ("postgres",)), ("key", ("local", "git", "postgres"))):
        name = state.get(key)
        if store in owners and isinstance(name, str) and name not in secrets:
            hint = did_you_mean(name, secrets) or f"list it: `secrets: [{name}]`"
            yield Finding(("state", key), f"unknown secret `{name}` of `state`", hint, anchor="secrets")


def _wrong_defaults(data: Json) -> Iterator[Finding]:
    for name, rule in mapping(mapping(data).get("inputs")).items():
        rules = mapping(rule)
        wanted, default = rules.get("type", "string"), rules.get("default")
        if default is not None and not _fits(default, wanted):
            path = ("inputs", name, "default")
            yield Finding(path, f"the default of input `{name}` is not of its type `{wanted}`", anchor="inputs")


def _fits(value: Json, wanted: Json) -> bool:
    """Whether `value` can be a default of the type `wanted`; a scalar is text where text is wanted."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    match wanted:
        case "string":
            return not isinstance(value, (list, dict))
        case "integer":
            return is_number and float(value).is_integer()  # type: ignore[arg-type]
        case "number":
            return is_number
        case "boolean":
            return isinstance(value, bool)
        case "list":
            return isinstance(value, list)
        case "object":
            return isinstance(value, dict)
        case _:
            return True
