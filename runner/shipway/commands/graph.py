"""`shipway graph`: how the nodes of a lifecycle depend on each other. Runs no command of any step."""

from __future__ import annotations

import json
from argparse import Namespace

from shipway.commands.documents import write_out
from shipway.commands.notes import noting
from shipway.commands.setting import find_file, find_target, inputs_of, repository_of, selection_of, surroundings
from shipway.context import read_context
from shipway.lifecycle import Request, check_lifecycle
from shipway.node_graph import node_graph, only, part_of
from shipway.plan import Plan
from shipway.receipt import Receipt
from shipway.render import mermaid, terminal
from shipway.render.graph import graph_json, render_graph


class _Nowhere:
    def report(self, plan: Plan | None, receipt: Receipt | None) -> None:
        """A graph is shown by the command itself."""


def run(arguments: Namespace) -> int:
    """0. Raises DeclarationError with all problems, and UsageError for a node that does not exist."""
    context = read_context()
    file = find_file(arguments, context)
    repository = repository_of(file, context)
    target = find_target(arguments.target, file, repository)
    request = Request(file, target, inputs=inputs_of(arguments), selection=selection_of(arguments))
    plan = check_lifecycle(request, surroundings(context, repository, noting(arguments, context), _Nowhere()))
    whole = node_graph(plan)
    kept = part_of(plan, whole, arguments.start, arguments.end)
    graph = whole.subgraph(kept)
    if arguments.json or arguments.format == "json":
        write_out(json.dumps(graph_json(plan, graph), ensure_ascii=False) + "\n")
    elif arguments.format == "mermaid":
        write_out(mermaid.flowchart(only(plan, kept)).rstrip("\n") + "\n")
    elif arguments.quiet:
        write_out("".join(f"{node}\n" for node in graph.topological_order()))
    else:
        stream = terminal.standard_output()
        colour = stream.isatty() and not context.no_color
        text = render_graph(plan, graph, colour=colour, columns=context.columns, verbose=arguments.verbose)
        write_out(text)
    return 0
