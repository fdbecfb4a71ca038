"""`python -m bench`: answers every question once, prints the tables, and with `--record` writes them into the page."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from bench import (
    action,
    comment,
    dispatch,
    durable,
    hostile,
    in_process,
    large,
    machine,
    occupancy,
    previews,
    priority,
    receipts,
    scheduling,
    start_up,
    state,
    tables,
    trees,
)
from bench.measure import FULL, QUICK, Answer, Scale

PAGE = Path(__file__).resolve().parent.parent / "docs/benchmarks.md"

QUESTIONS: tuple[Callable[[Scale, Path], Answer], ...] = (
    dispatch.independent,
    dispatch.many_independent,
    dispatch.chain,
    in_process.no_ops,
    durable.journalled,
    durable.resume,
    occupancy.together,
    occupancy.mixed,
    priority.random_graphs,
    scheduling.decisions,
    scheduling.limited,
    scheduling.layered,
    start_up.version,
    start_up.small_plan,
    large.plan,
    large.gather,
    large.growth,
    comment.drawn,
    receipts.verified,
    trees.linked,
    state.folded,
    previews.preview_made,
    previews.preview_remote,
    previews.preview_list,
    hostile.entity_expansion,
    action.first_line,
    action.comment,
)


def main() -> None:
    """Measure, show, and keep where it was asked for. Missed targets are marked; they are not an error."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="tiny sizes, once each: proves the scripts, measures nothing"
    )
    parser.add_argument("--only", metavar="WORD", default="", help="only questions whose name holds WORD")
    parser.add_argument("--record", nargs="?", const=PAGE, type=Path, metavar="PAGE", help=f"write into {PAGE.name}")
    arguments = parser.parse_args()
    if arguments.quick and arguments.record:
        parser.error("what a quick run measures means nothing; record a whole one")
    scale = QUICK if arguments.quick else FULL
    facts = machine.facts()
    sys.stdout.write(facts + "\n")
    answers = []
    for question in QUESTIONS:
        if arguments.only in f"{question.__module__}.{question.__name__}":
            with tempfile.TemporaryDirectory(prefix="shipway-bench-") as directory:
                answers.append(question(scale, Path(directory)))
            sys.stdout.write("\n" + tables.as_text(answers[-1]))
            sys.stdout.flush()
    if arguments.record:
        tables.record(arguments.record, "\n\n".join([facts, *map(tables.as_markdown, answers)]))


if __name__ == "__main__":
    main()
