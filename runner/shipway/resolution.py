"""Picks a backend for each stage, by name or by what it can do, and says everything that is in the way. Calls no backend."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from msgspec import Struct

from shipway.backend import Backend, Capability, Inspecting, StagePlace, derive_required, facts_of
from shipway.declaration import Declaration, Stage
from shipway.errors import DeclarationError, Problem, Reason, RunFailed, ShipwayError, UsageError, did_you_mean
from shipway.registry import BackendKey, Registry, show, unknown_backend
from shipway.source import SourceTree


class Resolved(Struct, frozen=True):
    """The backend of one stage, made for it alone, and its key."""

    key: BackendKey
    backend: Backend


def resolve(declaration: Declaration, registry: Registry) -> dict[str, Resolved]:
    """A fresh backend for each stage, by stage id in declared order.

    A stage that names its backend gets that one. Any other gets the only one of its mode that has every required capability;
    installed ones are asked only where no built-in one will do, so that installing a package changes no stage. Raises
    UsageError with one problem for each stage that none, or more than one, can carry out.
    """
    found: dict[str, Resolved] = {}
    problems: list[Problem] = []
    for stage in declaration.stages:
        answer = _resolve_stage(stage, declaration, registry)
        if isinstance(answer, Problem):
            problems.append(answer)
        else:
            found[stage.id] = answer
    if problems:
        raise _refusal("resolve", Reason.NO_BACKEND, problems)
    return found


def check_capabilities(declaration: Declaration, resolved: Mapping[str, Resolved]) -> None:
    """Check what every stage requires against what its backend declares, before any backend is called.

    Raises UsageError with one problem for each stage that lacks something, in derivation order.
    """
    problems = []
    for stage in declaration.stages:
        chosen = resolved[stage.id]
        lacks = _lacks(stage, chosen.backend, declaration)
        if lacks:
            text = f'stage "{stage.id}": backend {chosen.key[1]} lacks: {", ".join(lacks)}'
            problems.append(_problem(declaration, stage, _where_required(stage, lacks), text))
    if problems:
        raise _refusal("validate", Reason.CAPABILITY_MISSING, problems)


def check_stages(
    declaration: Declaration,
    resolved: Mapping[str, Resolved],
    root: Path | None = None,
    target: str = "",
    more: Callable[[SourceTree], Iterable[Problem]] | None = None,
) -> None:
    """Phase validate: capabilities of all stages first, then each backend's own checks, in the workspace `root` if there is one.

    Raises UsageError or, where a backend found something, DeclarationError with the problems of all stages, and what `more`
    says of a declaration that is refused anyway.
    """
    check_capabilities(declaration, resolved)
    problems: list[Problem] = []
    for stage in declaration.stages:
        chosen = resolved[stage.id]
        try:
            found = list(chosen.backend.validate(stage, declaration))
            if root is not None and isinstance(chosen.backend, Inspecting):
                found += chosen.backend.inspect(stage, declaration, StagePlace(root, target))
            problems.extend(dict.fromkeys(found))
        except Exception as error:  # a backend is foreign code: whatever it raises is told as its failure
            raise backend_failed("validate", declaration, stage, chosen.key, error) from error
    if problems:
        problems += more(declaration.source) if more is not None else ()
        problems = sorted(dict.fromkeys(problems), key=declaration.source.order)
        raise _refusal("validate", Reason.DECLARATION_INVALID, problems, DeclarationError)


def backend_failed(
    phase: str, declaration: Declaration, stage: Stage, key: BackendKey, error: Exception
) -> ShipwayError:
    """The error to raise `from error`, which a backend raised in `phase`: it names phase, stage, backend and position.

    An error of Shipway's own keeps its class, reason, position and next step.
    """
    known = error if isinstance(error, ShipwayError) else None
    where = (known and known.where) or stage.where
    return (type(known) if known else RunFailed)(
        f'{phase}: stage "{stage.id}" ({show(key)}): {known.message if known else error}',
        reason=known.reason if known else Reason.BACKEND_FAILED,
        phase=phase,
        stage=stage.id,
        backend=show(key),
        where=where,
        line=(known and known.line) or declaration.source.line(where),
        next=(known and known.next) or f"correct stage `{stage.id}`, or report it to whoever makes backend {show(key)}",
        problems=known.problems if known else (),
    )


def _resolve_stage(stage: Stage, declaration: Declaration, registry: Registry) -> Resolved | Problem:
    if stage.backend is not None:
        named = registry.find_backend(stage.mode, stage.backend)
        if named is not None:
            return Resolved((stage.mode, stage.backend), named)
        return _unknown(stage, declaration, registry)
    for installed in (False, True):
        candidates = registry.backends(stage.mode, installed=installed)
        able = _fitting(stage, candidates, declaration)
        if len(able) == 1:
            return Resolved((stage.mode, able[0]), candidates[able[0]])
        if able:
            text = f'stage "{stage.id}": mode {stage.mode} has more than one backend that can carry it out: {", ".join(able)}'
            return _problem(declaration, stage, "mode", text, "name one with `backend:`")
    if not candidates:
        return _unknown(stage, declaration, registry)
    each = "; ".join(
        f"{name} lacks: {', '.join(_lacks(stage, backend, declaration))}" for name, backend in candidates.items()
    )
    text = f'stage "{stage.id}": no backend of mode {stage.mode} has all that is required ({each})'
    return _problem(declaration, stage, "requires" if stage.requires else "mode", text)


def _unknown(stage: Stage, declaration: Declaration, registry: Registry) -> Problem:
    names, modes = registry.backend_names(stage.mode), registry.modes()
    text = unknown_backend(stage.mode, stage.backend or "", names, modes)
    if names:
        return _problem(declaration, stage, "backend", text, did_you_mean(stage.backend or "", names))
    return _problem(declaration, stage, "mode", text, did_you_mean(stage.mode, modes))


def _fitting(stage: Stage, candidates: Mapping[str, Backend], declaration: Declaration) -> list[str]:
    """The backends that can carry out a stage; those that do so elsewhere only where none does it here."""
    able = [name for name, backend in candidates.items() if not _lacks(stage, backend, declaration)]
    if Capability.REMOTE in derive_required(facts_of(stage, declaration)):
        return able
    return [name for name in able if Capability.REMOTE not in candidates[name].capabilities] or able


def _lacks(stage: Stage, backend: Backend, declaration: Declaration) -> list[Capability]:
    needed = derive_required(facts_of(stage, declaration))
    return [capability for capability in needed if capability not in backend.capabilities]


def _where_required(stage: Stage, lacks: Iterable[Capability]) -> str:
    """The key of the stage that asks for what is lacking."""
    if any(needed in stage.requires for needed in lacks):
        return "requires"
    return "approval" if stage.approval is not None and Capability.DRY_RUN in lacks else "mode"


def _problem(declaration: Declaration, stage: Stage, key: str, text: str, hint: str = "") -> Problem:
    return declaration.source.problem((*stage.path, key), text, hint)


def _refusal(phase: str, reason: Reason, problems: list[Problem], kind: type[UsageError] = UsageError) -> UsageError:
    count = f"{len(problems)} problem" + ("" if len(problems) == 1 else "s")
    return kind(
        f"{phase} failed with {count}; nothing was planned",
        reason=reason,
        phase=phase,
        where=problems[0].where,
        line=problems[0].line,
        next="see docs/extending.md#capabilities" if reason is Reason.CAPABILITY_MISSING else "",
        problems=problems,
    )
