"""`shipway runs`: the runs of this checkout and of its store; `repair` clears up after killed ones, `prune` forgets old ones."""

from __future__ import annotations

import json
import shutil
from argparse import Namespace
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from shipway.cleanup import remove_path
from shipway.commands.clearing import seal_killed
from shipway.commands.documents import write_out
from shipway.commands.setting import find_file, journal_of, lifecycle_in, root_here
from shipway.commands.stored_runs import StoredRun, StoredRuns, stored_runs
from shipway.context import Context, read_context
from shipway.durations import format_ms
from shipway.errors import EXIT_DONE, Reason, UsageError
from shipway.journal_file import JournalFile
from shipway.receipt import Pause
from shipway.redaction import trusted
from shipway.render import terminal
from shipway.render.columns import Colour
from shipway.render.foreign import one_line
from shipway.render.runs import RunRow, render_runs
from shipway.replay import pauses_between
from shipway.run_record import RunStatus, RunSummary
from shipway.state_fold import unix_ms
from shipway.workspace import Workspace


def run(arguments: Namespace) -> int:
    """0, whatever the runs came to. Raises UnreachableError where the journal cannot be read."""
    context = read_context()
    root = root_here(context)
    journal = journal_of(root, context)
    if arguments.part == "prune":
        return _prune(journal, root, arguments, context)
    if arguments.part == "repair":
        return _repair(journal, root, arguments, context)
    stored = _in_store(arguments, context)
    runs = _joined(_wanted(journal, arguments, context), stored, lambda run: pauses_between(journal.heard_of(run)))
    if arguments.json:
        write_out(json.dumps({"runs": [_json(run) for run in runs], **_store_json(stored)}, ensure_ascii=False) + "\n")
    elif arguments.quiet:
        write_out("".join(f"{run.run}\n" for run in runs))
    elif not runs:
        write_out("no run was begun here yet\n")
    else:
        stream = terminal.standard_output()
        colour = stream.isatty() and not context.no_color
        columns = context.columns if stream.isatty() else 1000
        write_out(render_runs([_row(run, stored) for run in runs], colour=colour, columns=columns))
    if stored.trouble and not arguments.json:
        said = one_line(f"{stored.place}: {stored.trouble}")
        terminal.write(terminal.standard_error(), trusted(said + "\n"))
    return EXIT_DONE


class _Run(Struct, frozen=True):
    """A run of the list, by the journal here or by the store, whichever knows more of it. `began_ms` is Unix time.

    `paused_ms` is how long nobody carried it out between its begin and its end.
    """

    run: str
    lifecycle: str
    target: str
    status: str
    standing: str
    began_ms: int
    ended_ms: int | None
    executions: int
    effect: str | None
    receipt: str | None
    where: tuple[str, ...]
    paused_ms: int = 0


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


_UNSEALED = "not sealed"
"""Of a run whose journal is in the store, and no receipt yet: it is in progress on another machine, or was killed there."""

_COLOURS = {
    RunStatus.SUCCEEDED.value: Colour.GREEN,
    RunStatus.FAILED.value: Colour.RED,
    RunStatus.NOT_UNDONE.value: Colour.RED,
    RunStatus.CANCELLED.value: Colour.YELLOW,
    RunStatus.ROLLED_BACK.value: Colour.YELLOW,
    "killed": Colour.RED,
}


def _wanted(journal: JournalFile, arguments: Namespace, context: Context) -> list[RunSummary]:
    lifecycle = lifecycle_in(arguments, context) if arguments.file else None
    return [
        summary
        for summary in journal.runs()
        if arguments.target in (None, summary.target) and lifecycle in (None, summary.lifecycle)
    ]


def _in_store(arguments: Namespace, context: Context) -> StoredRuns:
    try:
        file = find_file(arguments, context)
    except UsageError as error:
        if arguments.file or error.reason is not Reason.DECLARATION_MISSING:
            raise
        return StoredRuns()
    return stored_runs(file, arguments.target, context)


def _joined(here: Iterable[RunSummary], stored: StoredRuns, pauses: Callable[[str], Sequence[Pause]]) -> list[_Run]:
    """Each run once, the last begun first, by whoever knows how it went on."""
    there = {run.run: run for run in stored.runs}
    found = [_by_journal(summary, there.pop(summary.run, None), pauses) for summary in here]
    if not there:
        return found
    return sorted([*found, *map(_by_store, there.values())], key=lambda run: run.began_ms, reverse=True)


def _by_journal(summary: RunSummary, stored: StoredRun | None, pauses: Callable[[str], Sequence[Pause]]) -> _Run:
    if stored is None:
        return _of_journal(summary, ("here",), pauses)
    last = stored.last
    if last is None or last.digest == summary.receipt or summary.is_alive:
        return _of_journal(summary, ("here", "store"), pauses)
    if summary.ended_ms is not None and unix_ms(last.ended) <= summary.ended_ms:
        return _of_journal(summary, ("here", "store"), pauses)
    return replace(_by_store(stored), where=("here", "store"))  # another machine went on with it


def _of_journal(summary: RunSummary, where: tuple[str, ...], pauses: Callable[[str], Sequence[Pause]]) -> _Run:
    paused = pauses(summary.run) if summary.executions > 1 and summary.ended_ms is not None else ()
    return _Run(
        summary.run,
        summary.lifecycle,
        summary.target,
        "killed" if summary.has_crashed else summary.status.value,
        standing(summary),
        summary.began_ms,
        summary.ended_ms,
        summary.executions,
        summary.effect,
        summary.receipt,
        where,
        sum(pause.ended_ms - pause.started_ms for pause in paused),
    )


def _by_store(stored: StoredRun) -> _Run:
    last = stored.last
    if last is None:
        began_ms, status, word = _begun_by_name(stored.run), "unsealed", _UNSEALED
    else:
        began_ms, status = unix_ms(stored.receipts[0].started), last.outcome.value
        word = _WORDS.get(RunStatus(status), status)
    return _Run(
        stored.run,
        stored.lifecycle,
        stored.target,
        status,
        word,
        began_ms,
        unix_ms(last.ended) if last else None,
        max(1, len(stored.receipts)),
        last.effect if last else None,
        last.digest if last else None,
        ("store",),
        last.paused_ms if last else 0,
    )


def _begun_by_name(run: str) -> int:
    """When a run began, by its id, which begins with that; 0 where it is called otherwise."""
    try:
        return int(datetime.strptime(run.partition("-")[0], "%Y%m%dT%H%M%S").replace(tzinfo=UTC).timestamp() * 1000)
    except ValueError:
        return 0


def _row(run: _Run, stored: StoredRuns) -> RunRow:
    took = format_ms(max(0, run.ended_ms - run.began_ms - run.paused_ms)) if run.ended_ms is not None else ""
    began = f"{datetime.fromtimestamp(run.began_ms / 1000, UTC):%Y-%m-%d %H:%M:%SZ}"
    kept = ", ".join(run.where) if stored.place else ""
    return RunRow(run.run, run.lifecycle, run.target, run.standing, began, took, _COLOURS.get(run.status), kept_in=kept)


def _json(run: _Run) -> dict[str, object]:
    return {
        "run": run.run,
        "lifecycle": run.lifecycle,
        "target": run.target,
        "status": run.status,
        "began_ms": run.began_ms,
        "ended_ms": run.ended_ms,
        "paused_ms": run.paused_ms,
        "executions": run.executions,
        "effect": run.effect,
        "receipt": run.receipt,
        "where": list(run.where),
    }


def _store_json(stored: StoredRuns) -> dict[str, object]:
    return {"store": {"name": stored.place, "trouble": stored.trouble or None} if stored.place else None}


def _repair(journal: JournalFile, root: Path, arguments: Namespace, context: Context) -> int:
    sealed = [
        (summary.run, str(seal_killed(journal, summary, root, context)))
        for summary in _wanted(journal, arguments, context)
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


def _prune(journal: JournalFile, root: Path, arguments: Namespace, context: Context) -> int:
    if arguments.keep < 0:
        raise UsageError(f"`--keep {arguments.keep}` is less than none")
    gone = list(_old(_wanted(journal, arguments, context), arguments.keep))
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
