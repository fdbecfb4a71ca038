"""The sweeper as a job of the action: takes down what is closed, past its time or half removed, and lists what is left over."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterable, Sequence
from pathlib import Path

from msgspec import Struct

from shipway.commands.action_job import Inputs, speaks_of_previews
from shipway.commands.action_voyage import set_outputs
from shipway.commands.preview_delivery import post_preview, settle_deployment, without_outputs
from shipway.commands.preview_desk import open_desk
from shipway.commands.preview_ground import Cleared
from shipway.commands.preview_job import Asked, executed
from shipway.commands.preview_requests import ending_request
from shipway.commands.preview_run import DOWN
from shipway.commands.preview_walk import ANY_TARGET, forge_of_job, take_away, walk
from shipway.commands.reporting import links_of
from shipway.commands.setting import find_file, repository_of
from shipway.commands.telling import say
from shipway.context import Context
from shipway.environment_record import EnvironmentRecord, EnvironmentState
from shipway.errors import (
    EXIT_DONE,
    EXIT_NOT_UNDONE,
    EXIT_UNREACHABLE,
    DeclarationError,
    Reason,
    ShipwayError,
    UsageError,
)
from shipway.forges.forge import Forge, Posted
from shipway.loading import load_declaration
from shipway.locks import LockHeld
from shipway.preview_ending import Ending
from shipway.preview_settings import Doing
from shipway.preview_trigger import has_previews, preview_work
from shipway.redaction import trusted
from shipway.render import failure, terminal
from shipway.render.escape import code
from shipway.render.preview_comment import PreviewReport
from shipway.render.workflow import WorkflowLog
from shipway.sweeping import told
from shipway.trigger import Work, WorkKind
from shipway.undertaking import Finished


def is_sweep(context: Context, inputs: Inputs, work: Work) -> bool:
    """Whether the job is to sweep: it was asked to, or it is the schedule of a lifecycle with previews. Raises ShipwayError."""
    if inputs.command != "gc" and (inputs.command != "auto" or work.kind is not WorkKind.DRIFT):
        return False
    assert context.ci is not None
    file = find_file(Namespace(file=inputs.file), context)
    if not speaks_of_previews(file):
        return False
    try:
        declared = load_declaration(file, root=repository_of(file, context).root, target=inputs.target or ANY_TARGET)
    except DeclarationError:
        return True  # what is recorded is taken away all the same
    except UsageError:
        return inputs.command == "gc"
    asked = preview_work(inputs.command, context.ci, inputs.target) if has_previews(declared) else None
    return asked is not None and asked.kind is WorkKind.GC


class Swept(Struct, frozen=True):
    """One environment: why it is over, empty where it is not; what became of it in words, and the exit code of that."""

    target: str
    why: str
    became: str
    code: int = EXIT_DONE


def sweep(context: Context, inputs: Inputs, log: WorkflowLog) -> int:
    """4 where something could not be removed, 6 where the forge could not be asked; one target's failure keeps no other back."""
    assert context.ci is not None
    removes = context.ci.event == "schedule" if inputs.remove is None else inputs.remove
    file = find_file(Namespace(file=inputs.file), context)
    terminal.write(log.stream, trusted(f"gc: {'removes' if removes else 'lists only'}\n"))
    with open_desk(Namespace(file=str(file), target=inputs.target or ANY_TARGET), context) as desk:
        for name in desk.declared.secrets if desk.declared is not None else ():
            log.mask(context.env.get(name, ""))
        forge = forge_of_job(context)
        found = walk(desk, context, forge, inputs.target)
        swept = {
            record.target: Swept(record.target, "", f"stays: {record.state.value}")
            if why is None
            else Swept(record.target, why.why.value, "would be taken down")
            for record, why in found.all
        }

        def down(record: EnvironmentRecord, why: Ending) -> int:
            swept[record.target] = _taken_down(record, why, file, forge, context, inputs, log)
            return swept[record.target].code

        gone = take_away(found, desk, context, forge, inputs.target, down) if removes else None
    left = [f"not known: {why}" for why in found.left.unknown]
    if gone is None:
        left += [f"left over: {told(each, found.now_ms)}" for each in found.left.found]
    else:
        left += [_cleared_line(each, found.now_ms) for each in gone.cleared]
    lines = [
        *_lines(swept.values()),
        *(f"{each.target}: its record cannot be read: {each.why}" for each in found.damaged),
    ]
    if desk.declared is None:
        lines.insert(0, "the declaration cannot be read: what is over goes by what its record holds")
    _tell([*lines, *left] or ["no environment is there"], log)
    if found.silence is not None:
        terminal.write(terminal.standard_error(), trusted(failure.as_text(found.silence)))
    is_left = gone is not None and any(each.failure for each in gone.cleared)
    return _concluded([*swept.values()], found.silence, log, is_left=is_left)


def _taken_down(
    record: EnvironmentRecord,
    found: Ending,
    file: Path,
    forge: Forge | Posted,
    context: Context,
    inputs: Inputs,
    log: WorkflowLog,
) -> Swept:
    """One `down`, and what its pull request is told of it."""
    try:
        with open_desk(Namespace(file=str(file), target=record.target), context) as desk:
            finished = executed(Asked(DOWN, ending_request(Doing.DOWN, desk, record), found.said), context, desk, log)
            after = desk.record() or record
    except ShipwayError as error:
        return _failed(record, found, error)
    if isinstance(finished.error, LockHeld):
        return Swept(record.target, found.why.value, f"left to the run that is at it: {finished.error.message}")
    if finished.error is not None and finished.receipt is None:
        return _failed(record, found, finished.error)
    _told(after, found, finished, forge, context, inputs, log)
    is_gone = after.state is EnvironmentState.GONE
    return Swept(
        record.target,
        found.why.value,
        "removed" if is_gone else f"not removed: {after.cause}",
        0 if is_gone else EXIT_NOT_UNDONE,
    )


def _failed(record: EnvironmentRecord, found: Ending, error: ShipwayError) -> Swept:
    terminal.write(terminal.standard_error(), trusted(failure.as_text(error)))
    return Swept(record.target, found.why.value, f"not removed: {error.message}", EXIT_NOT_UNDONE)


def _told(
    record: EnvironmentRecord,
    found: Ending,
    finished: Finished,
    forge: Forge | Posted,
    context: Context,
    inputs: Inputs,
    log: WorkflowLog,
) -> None:
    ci = context.ci
    if isinstance(forge, Posted) or ci is None:
        return
    is_gone = record.state is EnvironmentState.GONE
    report = PreviewReport(without_outputs(record), "", finished.plan, finished.receipt, found.said if is_gone else "")
    if inputs.comment:
        posted = post_preview(forge, ci, report, links_of(ci, finished.plan))
        say(f"comment {posted.outcome.value}{f': {posted.why}' if posted.why else ''} {posted.url}".rstrip(), log)
    why = settle_deployment(forge, ci, record, None, "", is_over=False)
    if why:
        say(f"the deployment of {record.target} is not taken away: {why}", log)


def _cleared_line(each: Cleared, now_ms: int) -> str:
    why = each.failure or "its environment is there again"
    return f"left over: {told(each.found, now_ms)}: {'taken away' if each.is_removed else f'not taken away: {why}'}"


def _lines(swept: Iterable[Swept]) -> list[str]:
    return [f"{each.target}: {f'{each.why}: ' if each.why else ''}{each.became}" for each in swept]


def _tell(lines: Sequence[str], log: WorkflowLog) -> None:
    for line in lines:
        say(line, log)
    log.write_summary(
        trusted("### Shipway preview: the sweep\n\n" + "\n".join(f"- {code(line, 300)}" for line in lines))
    )


def _concluded(swept: Sequence[Swept], silence: ShipwayError | None, log: WorkflowLog, *, is_left: bool) -> int:
    worst = max((each.code for each in swept), default=EXIT_DONE)
    worst = EXIT_NOT_UNDONE if is_left else worst
    if worst == EXIT_DONE and silence is not None:
        worst = EXIT_UNREACHABLE
    reason = Reason.NOT_UNDONE.value if worst == EXIT_NOT_UNDONE else silence.reason.value if silence and worst else ""
    set_outputs(log, {"reason": reason, "exit-code": str(worst)})
    return worst
