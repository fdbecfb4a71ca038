"""`shipway runs`: the runs of this checkout; `repair` clears up after killed ones, `prune` forgets old ones."""

from __future__ import annotations

import json
import shutil
from argparse import Namespace
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from shipway.cleanup import remove_path
from shipway.commands.clearing import seal_killed
from shipway.commands.documents import write_out
from shipway.commands.setting import journal_of, root_here
from shipway.context import Context, read_context
from shipway.durations import format_ms
from shipway.errors import EXIT_DONE, UsageError
from shipway.journal import RunStatus, RunSummary
from shipway.journal_file import JournalFile
from shipway.render import terminal
from shipway.render.columns import Colour
from shipway.render.runs import RunRow, render_runs
from shipway.workspace import Workspace


def run(arguments: Namespace) -> int:
    """0, whatever the runs came to. Raises UnreachableError where the journal cannot be read."""
    context = read_context()
    root = root_here(context)
    journal = journal_of(root, context)
    if arguments.part == "prune":
        return _prune(journal, root, arguments)
    if arguments.part == "repair":
        return _repair(journal, root, arguments, context)
    runs = _wanted(journal, arguments)
    if arguments.json:
        write_out(json.dumps({"runs": [_json(summary) for summary in runs]}, ensure_ascii=False) + "\n")
    elif arguments.quiet:
        write_out("".join(f"{summary.run}\n" for summary in runs))
    elif not runs:
        write_out("no run was begun here yet\n")
    else:
        stream = terminal.standard_output()
        colour = stream.isatty() and not context.no_color
        columns = context.columns if stream.isatty() else 1000
        write_out(render_runs([_row(summary) for summary in runs], colour=colour, columns=columns))
    return EXIT_DONE


def standing(summary: RunSummary) -> str:
    """How a run stands, in a word or two."""
    if summary.has_crashed:
        return "killed in rollback" if summary.status is RunStatus.ROLLING_BACK else "killed"
    return _WORDS.get(summary.status, summary.status.value)


_WORDS = {
    RunStatus.NOT_UNDONE: "failed, not undone",
    RunStatus.ROLLING_BACK: "rolling back",
    RunStatus.ROLLED_BACK: "rolled back",
}


_COLOURS = {
    RunStatus.SUCCEEDED: Colour.GREEN,
    RunStatus.FAILED: Colour.RED,
    RunStatus.NOT_UNDONE: Colour.RED,
    RunStatus.CANCELLED: Colour.YELLOW,
    RunStatus.ROLLED_BACK: Colour.YELLOW,
}


def _wanted(journal: JournalFile, arguments: Namespace) -> list[RunSummary]:
    return [summary for summary in journal.runs() if arguments.target in (None, summary.target)]


def _row(summary: RunSummary) -> RunRow:
    took = format_ms(summary.ended_ms - summary.began_ms) if summary.ended_ms is not None else ""
    colour = Colour.RED if summary.has_crashed else _COLOURS.get(summary.status)
    began = f"{datetime.fromtimestamp(summary.began_ms / 1000, UTC):%Y-%m-%d %H:%M:%SZ}"
    return RunRow(summary.run, summary.lifecycle, summary.target, standing(summary), began, took, colour)


def _json(summary: RunSummary) -> dict[str, object]:
    return {
        "run": summary.run,
        "lifecycle": summary.lifecycle,
        "target": summary.target,
        "status": "killed" if summary.has_crashed else summary.status.value,
        "began_ms": summary.began_ms,
        "ended_ms": summary.ended_ms,
        "executions": summary.executions,
        "effect": summary.effect,
        "receipt": summary.receipt,
    }


def _repair(journal: JournalFile, root: Path, arguments: Namespace, context: Context) -> int:
    sealed = [
        (summary.run, str(seal_killed(journal, summary, root, context)))
        for summary in _wanted(journal, arguments)
        if summary.has_crashed or (not summary.is_alive and summary.receipt is None)
    ]
    removed = []
    for number, path in journal.ephemeral():
        remove_path(Path(path))
        journal.removed(number)
        removed.append(path)
    if arguments.json:
        facts = {"sealed": [{"run": name, "receipt": path} for name, path in sealed], "removed": removed}
        write_out(json.dumps(facts, ensure_ascii=False) + "\n")
    elif not arguments.quiet:
        lines = [f"sealed {name}: {path}\n" for name, path in sealed] + [f"removed {path}\n" for path in removed]
        write_out("".join(lines) or "there is nothing to repair\n")
    return EXIT_DONE


def _prune(journal: JournalFile, root: Path, arguments: Namespace) -> int:
    if arguments.keep < 0:
        raise UsageError(f"`--keep {arguments.keep}` is less than none")
    gone = list(_old(_wanted(journal, arguments), arguments.keep))
    journal.forget([summary.run for summary in gone])
    for summary in gone:
        shutil.rmtree(Workspace(root).run_directory(summary.run), ignore_errors=True)
        Workspace(root).remove_recovery(summary.run)
    if arguments.json:
        write_out(json.dumps({"forgotten": [summary.run for summary in gone]}) + "\n")
    elif not arguments.quiet:
        write_out("".join(f"forgot {summary.run}\n" for summary in gone) or "there is nothing to forget\n")
    return EXIT_DONE


def _old(runs: Iterable[RunSummary], keep: int) -> Iterable[RunSummary]:
    """The runs beyond the last `keep` of each lifecycle and target that have ended and are sealed."""
    seen: dict[tuple[str, str], int] = {}
    for summary in runs:
        key = (summary.lifecycle, summary.target)
        seen[key] = seen.get(key, 0) + 1
        if seen[key] > keep and not summary.is_alive and not summary.has_crashed:
            yield summary
