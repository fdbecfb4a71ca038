"""The rules of before: those of the commit that this change is put upon, and of the last run that was let through, hold as well."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from shipway.baseline import gone_with_run, held_by, stood_before, unknown
from shipway.ci import rules_base
from shipway.declaration import Declaration
from shipway.errors import ShipwayError, VerificationError
from shipway.events import Warned
from shipway.gear import Gear
from shipway.inputs import read_inputs
from shipway.plan import Plan
from shipway.planning import Selection, build
from shipway.precedent import commit_of, is_of_tree
from shipway.receipt import Receipt
from shipway.resolution import resolve
from shipway.rules import Held, approved_as


def hold_earlier_rules(gear: Gear) -> None:
    """Add the rules of before to what the run works with, and to its declaration the locks that they hold.

    Raises VerificationError where they are not known.
    """
    request = gear.request
    if gear.context.ci is None or request.is_undoing or request.is_derived:
        return
    for commit, run in _earlier(gear):
        gear.held = _held(gear, commit, run)
        declared, held = gear.declaration, gear.held
        is_locked, locks = declared.is_locked or held.is_locked, tuple(dict.fromkeys((*declared.locks, *held.locks)))
        gear.declaration = replace(declared, is_locked=is_locked, locks=locks)
        if held.secrets:
            gear.mask(held.secrets)


def under_earlier_rules(plan: Plan, gear: Gear) -> Plan:
    """The plan under the rules of before; in CI a part of a lifecycle also under those of the stages that are left out."""
    plan = gear.held.applied(plan)
    shown = gear.request.given or plan
    left_out = [stage.approval for stage in gear.declaration.stages if stage.id not in shown.stages_by_id]
    left_out += [rule for stage, rule in gear.held.approvals.items() if stage not in shown.stages_by_id]
    return plan if gear.context.ci is None else approved_as(plan, left_out)


def _earlier(gear: Gear) -> Iterator[tuple[str, str]]:
    """The commits whose rules hold, each with the run that executed it, if that is why. What one says is held before the next."""
    ci = gear.context.ci
    if ci is None:
        return
    if base := rules_base(ci):
        yield base, ""
    if ci.pull_request is not None and gear.request.target == f"pr-{ci.pull_request}":
        return  # it is run by test merges, which nobody has later; what they are put upon is the base
    for receipt in _precedents(gear):
        if not is_of_tree(receipt, gear.around.repository.tree):
            yield commit_of(receipt), receipt.run


def _precedents(gear: Gear) -> tuple[Receipt, ...]:
    try:
        found = tuple(gear.around.precedents(gear.recorded, gear.request.target))
    except ShipwayError as error:
        if gear.request.execute:
            raise
        _warn_of_precedents(gear, error)
        return ()
    return found or _precedents_elsewhere(gear)


def _precedents_elsewhere(gear: Gear) -> tuple[Receipt, ...]:
    """Where the lifecycle had another name, or its store was another: a change that was refused may have moved them."""
    for before, target in stood_before(gear.recorded, gear.request.target, gear.around.repository):
        try:
            if found := tuple(gear.around.precedents(before, target)):
                return found
        except ShipwayError as error:
            _warn_of_precedents(gear, error)  # a store that was given up must not keep all from being run
    return ()


def _warn_of_precedents(gear: Gear, error: ShipwayError) -> None:
    text = f"the rules of the last run that was let through are not known: {error.message}"
    gear.around.events.emit(Warned(gear.redactor.clean(text)))


def _held(gear: Gear, commit: str, run: str) -> Held:
    """What holds by now, with the rules of a commit; `run` is what executed it, if that is why."""
    declared, before = gear.declaration, gear.held

    def planned(one: Declaration) -> Plan:
        plan = _whole_plan(gear, one)
        return before.applied(plan) if one is declared else plan

    try:
        held = held_by(commit, declared, gear.request.target, gear.around.repository, planned)
    except VerificationError as error:
        found = gone_with_run(error, commit, run) if run else error
        if gear.request.execute:
            raise found from error
        held = unknown(found, commit)
    return before.joined(held)


def _whole_plan(gear: Gear, declared: Declaration) -> Plan:
    """All of a declaration as a plan without predictions, whatever part of it was asked for."""
    given = {name: text for name, text in gear.request.inputs.items() if name in declared.inputs}
    request = replace(gear.plan_request(), declaration=declared, inputs=read_inputs(given, declared.inputs))
    is_own = declared is gear.declaration
    resolved = gear.resolved if is_own else resolve(declared, gear.around.registry)
    return build(replace(request, selection=Selection()), replace(gear.plan_tools(), resolved=resolved))
