"""`shipway validate`: every problem of a declaration at once. Starts nothing and asks the world nothing."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Iterator

from shipway.commands.documents import write_out
from shipway.commands.notes import noting
from shipway.commands.setting import Unreported, asked_of, surroundings
from shipway.context import read_context
from shipway.declaration import StateStore
from shipway.events import Warned
from shipway.lifecycle import check_lifecycle
from shipway.plan import Plan
from shipway.redaction import trusted
from shipway.render.foreign import inert, one_line


def run(arguments: Namespace) -> int:
    """0 where the declaration is valid for the target. Raises DeclarationError with all problems."""
    context = read_context()
    request, repository = asked_of(arguments, context)
    events = noting(arguments, context)
    plan = check_lifecycle(request, surroundings(context, repository, events, Unreported()))
    for text in _advice(plan):
        events.emit(Warned(trusted(inert(one_line(text)))))
    if arguments.json:
        facts = {
            "valid": True,
            "lifecycle": plan.lifecycle,
            "target": plan.target,
            "stages": len(plan.stages),
            "nodes": len(plan.nodes),
        }
        write_out(json.dumps(facts) + "\n")
    elif not arguments.quiet:
        stages = "1 stage" if len(plan.stages) == 1 else f"{len(plan.stages)} stages"
        steps = "1 step" if len(plan.nodes) == 1 else f"{len(plan.nodes)} steps"
        write_out(f"{plan.source.file} is valid: {plan.lifecycle} → {plan.target}, {stages}, {steps}\n")
    return 0


def _advice(plan: Plan) -> Iterator[str]:
    """What is valid, and most likely not what is meant."""
    if plan.state.store is StateStore.LOCAL or plan.state.key:
        return
    for node in plan.nodes:
        secret = [name for name, rule in node.outputs.items() if rule.type == "secret"]
        if node.action.startswith("preview.") and secret:
            names = ", ".join(f"`{name}`" for name in secret)
            yield (
                f"{node.position}: `{node.id}` runs at each up: {names}, secret, can be kept in `state` only encrypted; "
                "add `key: NAME` to `state`, the name of a secret"
            )
