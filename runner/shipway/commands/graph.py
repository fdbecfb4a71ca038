"""`shipway graph`: how the nodes of a lifecycle depend on each other. Runs no command of any step."""

from __future__ import annotations

import json
from argparse import Namespace

from shipway.commands.documents import write_out
from shipway.commands.notes import noting
from shipway.commands.setting import Unreported, asked_of, surroundings
from shipway.context import read_context
from shipway.lifecycle import check_lifecycle
from shipway.node_graph import node_graph, only, part_of, tagged
from shipway.render import mermaid, terminal
from shipway.render.graph import graph_json, render_graph


def run(arguments: Namespace) -> int:
    """0. Raises DeclarationError with all problems, and UsageError for a node that does not exist."""
    context = read_context()
    request, repository = asked_of(arguments, context)
    plan = check_lifecycle(request, surroundings(context, repository, noting(arguments, context), Unreported()))
    whole = node_graph(plan)
    kept = part_of(plan, whole, arguments.start, arguments.end)
    if arguments.tag is not None:
        chosen = set(tagged(plan, arguments.tag))
        kept = [node for node in kept if node in chosen]
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
