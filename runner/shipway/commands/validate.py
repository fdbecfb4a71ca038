"""`shipway validate`: every problem of a declaration at once. Starts nothing and asks the world nothing."""

from __future__ import annotations

import json
from argparse import Namespace

from shipway.commands.documents import write_out
from shipway.commands.notes import noting
from shipway.commands.setting import Unreported, asked_of, surroundings
from shipway.context import read_context
from shipway.lifecycle import check_lifecycle


def run(arguments: Namespace) -> int:
    """0 where the declaration is valid for the target. Raises DeclarationError with all problems."""
    context = read_context()
    request, repository = asked_of(arguments, context)
    plan = check_lifecycle(request, surroundings(context, repository, noting(arguments, context), Unreported()))
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
