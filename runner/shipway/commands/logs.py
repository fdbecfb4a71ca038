"""`shipway logs`: what the steps of a run printed, as it was kept: masked, and without what a terminal would obey."""

from __future__ import annotations

import json
import re
from argparse import Namespace
from pathlib import Path

from msgspec import Struct

from shipway.action import Verb
from shipway.commands.documents import write_out
from shipway.commands.setting import journal_of, root_here
from shipway.context import Context, read_context
from shipway.errors import EXIT_DONE, Reason, UsageError, did_you_mean
from shipway.exchange import file_name
from shipway.journal_file import JournalFile
from shipway.node_ids import readable
from shipway.render.foreign import inert, one_line
from shipway.run_record import RunRecord
from shipway.workspace import Workspace

_RUN = re.compile(r"\d{8}T")
"""How the id of a run begins, and none of a step would."""


class _Log(Struct, frozen=True):
    node: str
    verb: Verb
    path: Path

    @property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8", errors="replace") if self.path.is_file() else ""


def run(arguments: Namespace) -> int:
    """0. Raises UsageError where there is no such run or step."""
    context = read_context()
    root = root_here(context)
    journal = journal_of(root, context)
    name, step = _asked(arguments, journal)
    journal.find(name)
    logs = _logs(journal.read(name), Workspace(root).run_directory(name), step)
    if arguments.json:
        told = [{"node": log.node, "verb": log.verb.value, "text": log.text} for log in logs]
        write_out(json.dumps({"run": name, "logs": told}, ensure_ascii=False) + "\n")
        return EXIT_DONE
    for log in logs:
        _show(log, arguments, context)
    return EXIT_DONE


def _asked(arguments: Namespace, journal: JournalFile) -> tuple[str, str | None]:
    """The run and the step. One word that is no run is a step of the last one."""
    if not arguments.run:
        return _last(journal), None
    if arguments.step or _RUN.match(arguments.run):
        return arguments.run, arguments.step
    return _last(journal), arguments.run


def _last(journal: JournalFile) -> str:
    runs = journal.runs()
    if not runs:
        raise UsageError("no run was begun here yet", reason=Reason.RUN_UNKNOWN, next="begin one with `shipway run`")
    return runs[0].run


def _logs(record: RunRecord, directory: Path, step: str | None) -> list[_Log]:
    """What there is of each node that began, in the order of start; an undo's own behind it."""
    begun = dict.fromkeys((entry.node, entry.verb) for entry in record.history if entry.verb is not Verb.VERIFY)
    nodes = list(dict.fromkeys(node for node, _ in begun))
    named = None if step is None else readable(step)
    wanted = {node for node in nodes if named in (None, readable(node), readable(node).partition("/")[2])}
    if not wanted and step is not None:
        raise UsageError(
            f"no step `{step}` began in run `{record.summary.run}`",
            next=did_you_mean(step, nodes) or f"see `shipway show {record.summary.run}`",
        )
    return [
        _Log(node, verb, directory / "logs" / f"{file_name(node, verb)}.log") for node, verb in begun if node in wanted
    ]


def _show(log: _Log, arguments: Namespace, context: Context) -> None:
    text = log.text
    if not arguments.quiet:
        undo = "undo of " if log.verb is Verb.UNDO else ""
        write_out(f"── {undo}{one_line(readable(log.node))}" + ("\n" if text else ": it printed nothing\n"))
    if text:
        # In a CI the lines of a step must not be taken for commands to its runner.
        shown = inert(text) if context.ci else text
        write_out(shown if shown.endswith("\n") else shown + "\n")
