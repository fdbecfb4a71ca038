"""`shipway diff PLAN PLAN`: how two plans differ, node by node, and whether they do the same."""

from __future__ import annotations

import json
from argparse import Namespace

from shipway.commands.documents import write_out
from shipway.commands.earlier_plans import files_between, plan_named
from shipway.comparison import Comparison, compare
from shipway.context import Context, read_context
from shipway.errors import EXIT_CHANGES, EXIT_DONE
from shipway.render import terminal
from shipway.render.comparison import comparison_json, comparison_markdown, render_comparison
from shipway.repository import open_repository


def run(arguments: Namespace) -> int:
    """0 where both have the same effect, else 3. Raises what reading them raised."""
    context = read_context()
    before, after = plan_named(arguments.before, context), plan_named(arguments.after, context)
    changed = (
        None
        if before.effect == after.effect
        else files_between(before, after, open_repository(context.cwd, context.env))
    )
    comparison = compare(before, after, changed)
    if not arguments.quiet:
        write_out(_shown(comparison, arguments, context))
    return EXIT_DONE if comparison.is_same_effect else EXIT_CHANGES


def _shown(comparison: Comparison, arguments: Namespace, context: Context) -> str:
    if arguments.json or arguments.format == "json":
        return json.dumps(comparison_json(comparison), ensure_ascii=False) + "\n"
    if arguments.format == "markdown":
        return comparison_markdown(comparison)
    stream = terminal.standard_output()
    return render_comparison(comparison, colour=stream.isatty() and not context.no_color, columns=context.columns)
