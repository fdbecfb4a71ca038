"""The sweeper as a job of the action: takes down what is closed, past its time or half removed, and lists what is left over."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from shipway.commands.action_job import Inputs, speaks_of_previews
from shipway.commands.action_voyage import set_outputs
from shipway.commands.delivery import open_forge
from shipway.commands.preview_delivery import post_preview, pull_request_of, settle_deployment, without_outputs
from shipway.commands.preview_desk import Desk, open_desk
from shipway.commands.preview_ground import clear, left_over, open_ground
from shipway.commands.preview_job import Asked, executed
from shipway.commands.preview_requests import ending_request
from shipway.commands.preview_run import DOWN
from shipway.commands.reporting import links_of
from shipway.commands.setting import find_file, repository_of
from shipway.commands.telling import say
from shipway.context import Context
from shipway.environment_record import EnvironmentRecord, EnvironmentState
from shipway.errors import EXIT_DONE, EXIT_NOT_UNDONE, EXIT_UNREACHABLE, Reason, ShipwayError, UsageError
from shipway.forges.forge import Forge, ForgeError, Posted
from shipway.forges.previews import PullState
from shipway.loading import load_declaration
from shipway.locks import LockHeld
from shipway.preview_ending import Ending, ending
from shipway.preview_settings import Doing
from shipway.preview_trigger import has_previews, preview_work
from shipway.redaction import Redactor, trusted
from shipway.render import failure, terminal
from shipway.render.escape import code
from shipway.render.preview_comment import PreviewReport
from shipway.render.workflow import WorkflowLog
from shipway.sweeping import told
from shipway.trigger import Work, WorkKind
from shipway.undertaking import Finished

ANY_TARGET = "pr-0"
"""Stands for the target of any pull request where a declaration is read for none in particular."""


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
        records, damaged = desk.environments.all()
        now_ms = desk.clock_ms()
    alive = [record for record in records if record.is_alive and inputs.target in ("", record.target)]
    forge = forge_of_job(context)
    pulls, silence = pulls_of(alive, forge)
    swept: list[Swept] = []
    for record in alive:
        state = pulls.get(record.target)
        found = ending(record, now_ms, is_closed=None if state is None else not state.is_open)
        if found is None:
            swept.append(Swept(record.target, "", f"stays: {record.state.value}"))
        elif not removes:
            swept.append(Swept(record.target, found.why.value, "would be taken down"))
        else:
            swept.append(_taken_down(record, found, file, forge, context, inputs, log))
    left, failed = _leftovers(desk, forge, context, removes=removes)
    lines = [*_lines(swept), *(f"{each.target}: its record cannot be read: {each.why}" for each in damaged), *left]
    _tell(lines or ["no environment is there"], log)
    if silence is not None:
        terminal.write(terminal.standard_error(), trusted(failure.as_text(silence)))
    return _concluded(swept, silence, log, is_left=failed)


def forge_of_job(context: Context) -> Forge | Posted:
    """The forge of this job, or why there is none."""
    ci = context.ci
    assert ci is not None
    token = {"GITHUB_TOKEN": ci.token.value} if ci.token else {}
    return open_forge(ci, context, Redactor(token).redact, is_trusted=True)


def pulls_of(
    records: Sequence[EnvironmentRecord], forge: Forge | Posted
) -> tuple[Mapping[str, PullState], ShipwayError | None]:
    """How the pull request of each target stands, and why that could not be learnt of all: then none counts as closed."""
    from shipway.forges.github import GitHub  # late: requests takes 100 ms

    asked = {record.target: number for record in records if (number := pull_request_of(record)) is not None}
    if not asked:
        return {}, None
    if not isinstance(forge, GitHub):
        return {}, ForgeError(
            forge.why if isinstance(forge, Posted) else "only GitHub is asked how pull requests stand"
        )
    try:
        return {target: forge.pull(number) for target, number in asked.items()}, None
    except ForgeError as error:
        return {}, error


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


def _leftovers(desk: Desk, forge: Forge | Posted, context: Context, *, removes: bool) -> tuple[list[str], bool]:
    """A line for each thing without an environment, and whether any of it could not be taken away."""
    with open_ground(desk, context) as ground:
        now_ms = desk.clock_ms()
        found = left_over(ground, now_ms, forge)
        lines = [f"not known: {why}" for why in found.unknown]
        if not removes:
            return [*lines, *(f"left over: {told(each, now_ms)}" for each in found.found)], False
        cleared = clear(found.found, ground, context, forge)
    for each in cleared:
        became = (
            "taken away" if each.is_removed else f"not taken away: {each.failure or 'its environment is there again'}"
        )
        lines.append(f"left over: {told(each.found, now_ms)}: {became}")
    return lines, any(each.failure for each in cleared)


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
