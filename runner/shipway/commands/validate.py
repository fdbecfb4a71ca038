"""`shipway validate`: every problem of a declaration at once. Starts nothing and asks the world nothing."""

from __future__ import annotations

import json
from argparse import Namespace

from shipway.commands.notes import noting
from shipway.commands.setting import find_file, find_target, inputs_of, repository_of, selection_of, surroundings
from shipway.context import read_context
from shipway.lifecycle import Request, check_lifecycle
from shipway.plan import Plan
from shipway.receipt import Receipt
from shipway.redaction import trusted
from shipway.render import terminal


class _Nowhere:
    def report(self, plan: Plan | None, receipt: Receipt | None) -> None:
        """A check has nothing to report."""


def run(arguments: Namespace) -> int:
    """0 where the declaration is valid for the target. Raises DeclarationError with all problems."""
    context = read_context()
    file = find_file(arguments, context)
    repository = repository_of(file, context)
    target = find_target(arguments.target, file, repository)
    request = Request(file, target, inputs=inputs_of(arguments), selection=selection_of(arguments))
    plan = check_lifecycle(request, surroundings(context, repository, noting(arguments, context), _Nowhere()))
    if arguments.json:
        facts = {
            "valid": True,
            "lifecycle": plan.lifecycle,
            "target": target,
            "stages": len(plan.stages),
            "nodes": len(plan.nodes),
        }
        terminal.write(terminal.standard_output(), trusted(json.dumps(facts) + "\n"))
    elif not arguments.quiet:
        stages = "1 stage" if len(plan.stages) == 1 else f"{len(plan.stages)} stages"
        steps = "1 step" if len(plan.nodes) == 1 else f"{len(plan.nodes)} steps"
        terminal.write(
            terminal.standard_output(),
            trusted(f"{plan.source.file} is valid: {plan.lifecycle} → {target}, {stages}, {steps}\n"),
        )
    return 0
