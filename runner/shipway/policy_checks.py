"""What a schema cannot say of `policy`: windows, the names that expressions may use, and secrets. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from shipway import expressions
from shipway.canonical import Json, mapping
from shipway.errors import did_you_mean
from shipway.expression_functions import FUNCTIONS, HASH_FUNCTION, STATUS_FUNCTIONS
from shipway.expressions import ExpressionError, Reference
from shipway.freezing import parse_window
from shipway.outline import StageOutline, leaves, texts
from shipway.places import Finding, place
from shipway.source import Path_

_CONTEXTS = ("values", "inputs", "target", "secrets")
_FUNCTIONS = STATUS_FUNCTIONS | {FUNCTIONS[HASH_FUNCTION].spelling}


def policy_findings(data: Json, stages: tuple[StageOutline, ...]) -> Iterator[Finding]:
    """Everything wrong with the policies of the declaration and of its stages that the schema lets pass."""
    top = mapping(data)
    owners: list[tuple[Mapping[str, Json], Path_]] = [(top, ())]
    owners += [(stage.data, stage.path) for stage in stages if stage.path]
    for owner, path in owners:
        for name, rule in mapping(owner.get("policy")).items():
            at: Path_ = (*path, "policy", name)
            yield from _windows(data, mapping(rule), at)
            for member, text in leaves(mapping(rule).get("env"), (*at, "env")):
                yield from _references(data, member, text)


def _windows(data: Json, rule: Mapping[str, Json], at: Path_) -> Iterator[Finding]:
    for path, text in texts(rule, at, "freeze"):
        try:
            parse_window(text)
        except ValueError as error:
            hint = "write `fri 16:00..mon 08:00`, `sat..sun`, `2026-12-20..2027-01-02` or `2026-12-24`"
            yield Finding(path, f"{error}: {place(path, data)}", hint, anchor="policy")


def _references(data: Json, path: Path_, text: str) -> Iterator[Finding]:
    if "${{" not in text:
        return
    try:
        parsed = expressions.parse_template(text, functions=_FUNCTIONS)
    except ExpressionError as error:
        where = f"{error.message} in {place(path, data)}"
        yield Finding(path, where, error.hint, anchor="expressions", span=(error.offset, error.width))
        return
    if parsed.functions & {name.lower() for name in _FUNCTIONS}:
        yield Finding(path, f"a policy is decided before anything runs: {place(path, data)}", anchor="policy")
    for reference in parsed.references:
        yield from _reference(data, path, reference)


def _reference(data: Json, path: Path_, reference: Reference) -> Iterator[Finding]:
    context = str(reference.path[0])
    name = reference.path[1] if len(reference.path) > 1 else None
    span = (reference.offset, reference.width)
    if context not in _CONTEXTS:
        text = f"a policy cannot refer to `{reference.name}`: {place(path, data)}"
        hint = "it is decided before anything runs, by `values`, `inputs`, `target` and `secrets`"
        yield Finding(path, text, hint, anchor="policy", span=span)
    elif context != "target":
        known = _declared(data, context)
        if not isinstance(name, str) or name not in known:
            shown = f"`{name}`" if isinstance(name, str) else "without a name"
            hint = did_you_mean(str(name), known) or f"declare it under `{context}`"
            yield Finding(
                path, f"unknown {context[:-1]} {shown} in {place(path, data)}", hint, anchor="policy", span=span
            )


def _declared(data: Json, context: str) -> list[str]:
    top = mapping(data)
    return [text for _, text in texts(top, (), "secrets")] if context == "secrets" else list(mapping(top.get(context)))
