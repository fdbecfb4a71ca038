"""One environment as a job of the action brings it up, stops it, resets a part of it or takes it down: run, and handed over."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Callable

from msgspec import Struct
from msgspec.structs import replace

from shipway.commands.action_job import Inputs, Job
from shipway.commands.action_voyage import check_fence, handed_over, is_cancelled, set_outputs
from shipway.commands.delivery import Announcement
from shipway.commands.documents import KeptReceipts, write_out
from shipway.commands.fence import Fence, own_environment
from shipway.commands.handover import Facts
from shipway.commands.preview_delivery import PreviewAnnouncement, main_url, without_outputs
from shipway.commands.preview_desk import Desk, open_desk
from shipway.commands.preview_head import PullHead, Superseded
from shipway.commands.preview_orphans import Orphans, clear_orphans, cleared_line, orphans_of, untold
from shipway.commands.preview_requests import clear_folder, ending_request, renewing_request
from shipway.commands.preview_run import DOWN, MOST_PLANS, STOP, UP, Operation, Telling, is_outrun, outrun_words
from shipway.commands.setting import heeding_signals, surroundings
from shipway.commands.telling import say
from shipway.context import Context
from shipway.environment_record import EnvironmentRecord, EnvironmentState, environment_bytes
from shipway.errors import EXIT_DONE, EXIT_FAILED, EXIT_NOT_UNDONE, Reason, UsageError
from shipway.events import Events
from shipway.lifecycle import run_lifecycle
from shipway.locks import LockHeld
from shipway.plan import Plan
from shipway.preview_settings import Doing
from shipway.render import terminal
from shipway.render.plan_text import render_plan
from shipway.render.workflow import WorkflowLog
from shipway.trigger import WorkKind
from shipway.undertaking import Finished, Request

LOCK_PATIENCE_S = 1_800.0
"""How long a run waits for the one before it on the same environment: that one stops between two nodes, or has this long to end."""

LOCK_LOOK_S = 2.0
"""Between two looks at a lock that another run holds."""


RESET = Operation("reset", EnvironmentState.CREATING, EnvironmentState.READY)


class Asked(Struct, frozen=True):
    """What is to be done to an environment: the operation, its request, and a sentence about it for the comment."""

    operation: Operation
    request: Request
    why: str = ""


def environment_job(job: Job, inputs: Inputs, log: WorkflowLog, arguments: Namespace) -> int:
    """The exit code; documents, summary and outputs are written. Raises ShipwayError where nothing could be begun."""
    with open_desk(Namespace(file=str(job.file), target=job.target), job.context) as desk:
        asked = _asked(job, inputs, desk)
        if asked is None:
            if job.work.kind is WorkKind.DOWN and (orphans := orphans_of(desk, job.context)).found:
                return _ended(orphans, desk, job.context, log)
            state = record.state.value if (record := desk.record()) is not None else "not there"
            say(f"nothing to do: `{job.target}` is {state}", log)
            set_outputs(log, {"exit-code": str(EXIT_DONE), "preview-state": "" if record is None else state})
            return EXIT_DONE
        return _carried_out(asked, job, desk, log, arguments)


def _ended(orphans: Orphans, desk: Desk, context: Context, log: WorkflowLog) -> int:
    """What no record tells of, taken away as the sweeper does."""
    say(f"no record tells of `{desk.target}`, and something of it is there", log)
    cleared = clear_orphans(orphans, desk, context)
    for line in (*map(cleared_line, cleared), *untold(orphans)):
        say(line, log)
    is_left = any(each.failure for each in cleared)
    code = EXIT_NOT_UNDONE if is_left else EXIT_DONE
    set_outputs(log, {"exit-code": str(code), "reason": Reason.NOT_UNDONE.value if is_left else ""})
    return code


def _asked(job: Job, inputs: Inputs, desk: Desk) -> Asked | None:
    """None where there is nothing to take away or to stop."""
    kind, record, by = job.work.kind, desk.record(), f"by `{job.ci.actor}`"
    if kind is WorkKind.UP:
        request = Request(job.file, job.target, execute=True, declared=job.declared, checks_each=True)
        return Asked(UP, request)
    if kind is WorkKind.RESET:
        if not inputs.service:
            raise UsageError("`reset` is of one service, and none is named", next="input `service`")
        return Asked(RESET, renewing_request(Doing.RESET, inputs.service, desk), f"`{inputs.service}` was reset {by}")
    if record is None or not record.is_alive or (kind is WorkKind.STOP and record.state is EnvironmentState.STOPPED):
        return None
    if kind is WorkKind.STOP:
        return Asked(
            STOP, ending_request(Doing.STOP, desk, record), f"stopped {by}: the next push, or `up`, starts it again"
        )
    return Asked(DOWN, ending_request(Doing.DOWN, desk, record), down_words(job, by))


def down_words(job: Job, by: str) -> str:
    """Why an environment goes, for its comment."""
    pull = job.ci.payload.get("pull_request")
    if job.ci.event != "pull_request" or not isinstance(pull, dict):
        return f"removed {by}"
    return (
        "removed: the pull request was merged" if pull.get("merged") is True else "removed: the pull request was closed"
    )


def _carried_out(asked: Asked, job: Job, desk: Desk, log: WorkflowLog, arguments: Namespace) -> int:
    announcement, check = PreviewAnnouncement(job.context), _head_check(asked, job, log)
    listener = announcement if asked.operation is UP else None

    def run(around: Run) -> Finished:
        def once() -> Finished:
            record = desk.record()
            if asked.operation.removes and record is not None:
                # The run that was waited for has made more than was known before.
                ending_request(Doing(asked.operation.name), desk, record)
            return around()

        return patiently(once, job.context, lambda line: say(line, log), check)

    request = asked.request if check is None else replace(asked.request, check_head=check)
    for left in reversed(range(MOST_PLANS)):
        whole = replace(asked, request=request)
        finished = executed(whole, job.context, desk, log, listener, run, is_verbose=arguments.verbose)
        if not left or not is_outrun(asked.operation, finished):
            break
        say(outrun_words(finished), log)
    return _told(asked, job, desk, finished, announcement, log)


Run = Callable[[], Finished]
"""Takes a lifecycle through its phases, once; may be called again where another run held its lock."""


def executed(
    asked: Asked,
    context: Context,
    desk: Desk,
    log: WorkflowLog,
    announcement: Announcement | None = None,
    run: Callable[[Run], Finished] = lambda run: run(),
    *,
    is_verbose: bool = False,
) -> Finished:
    """Carry it out, shown in the job's log, with the environment's record kept. Raises StoreError where that cannot be written."""
    assert context.ci is not None
    telling, events, keeper = Telling(asked.operation, desk, context), Events(), KeptReceipts(desk.repository.root)
    verbosity = terminal.Verbosity.VERBOSE if is_verbose else terminal.Verbosity.NORMAL
    view = terminal.terminal_for(context, log.stream, verbosity, log)
    events.subscribe(view)
    if announcement is not None:
        events.subscribe(announcement)
    fence = Fence(context.env, own_environment(context.ci.temp))

    def begin(plan: Plan) -> bool:
        write_out(render_plan(plan, colour=False, columns=context.columns, has_next=False))
        view.expect((*plan.nodes, *plan.compensations))
        if announcement is not None:
            announcement.plan = plan
        telling.begin(plan)
        return True

    request = replace(asked.request, execute=True, confirm=begin)
    around = surroundings(context, desk.repository, events, keeper)
    with heeding_signals(around.interruption), view:
        finished = run(lambda: run_lifecycle(request, around))
    telling.end(finished)
    if asked.operation is DOWN:
        clear_folder(desk)
    check_fence(fence, finished, log)
    return finished


def _head_check(asked: Asked, job: Job, log: WorkflowLog) -> PullHead | None:
    """Only what is brought up for a pull request is overtaken by its next head."""
    is_pulled = asked.operation is UP and job.ci.pull_request is not None
    return PullHead(job.context, lambda line: say(line, log)) if is_pulled else None


def patiently(run: Run, context: Context, tell: Callable[[str], None], check: PullHead | None = None) -> Finished:
    """What came of it, once no other run has the environment, or that has it for too long; meanwhile it may be superseded."""
    until_ns = context.monotonic_ns() + int(LOCK_PATIENCE_S * 1e9)
    has_said = False
    while True:
        try:
            if check is not None:
                check.check()
        except Superseded as error:
            return Finished(error=error)
        finished = run()
        if not isinstance(finished.error, LockHeld) or context.monotonic_ns() >= until_ns:
            return finished
        if not has_said:
            tell(f"waiting: {finished.error.message}")
        has_said = True
        context.sleep(LOCK_LOOK_S)


def _told(asked: Asked, job: Job, desk: Desk, finished: Finished, announcement: Announcement, log: WorkflowLog) -> int:
    deployment, why_none = announcement.result(is_cancelled=is_cancelled(finished))
    if why_none:
        say(f"no deployment is announced: {why_none}", log)
    error = finished.error
    if isinstance(error, Superseded) and (finished.receipt is None or not finished.receipt.nodes):
        say(f"nothing is done: {error.message}; {error.next}", log)
        set_outputs(log, {"exit-code": str(EXIT_DONE), "comment": "superseded", "reason": error.reason.value})
        return EXIT_DONE
    record = desk.record()
    if record is None and finished.plan is not None and error is not None:
        # Refused before it was begun, so that no store knows of it; its pull request is told all the same.
        record = EnvironmentRecord(job.lifecycle, job.target, EnvironmentState.FAILED, cause=error.message)
    facts = Facts(
        job.work.is_trusted,
        deployment,
        reason=error.reason.value if error else "",
        said=error.message if error else "",
        environment=environment_bytes(without_outputs(record)).decode() if record is not None else "",
        why=asked.why if error is None else f"{asked.operation.name}: {error.message}",
    )
    failed = EXIT_NOT_UNDONE if asked.operation.removes else EXIT_FAILED
    code = handed_over(job, finished, facts, None, log, failed=failed)
    if record is not None:
        set_outputs(log, preview_outputs(record))
    return code


def preview_outputs(record: EnvironmentRecord) -> dict[str, str]:
    """What later steps of the job may want of the environment."""
    found = {"preview-state": record.state.value, "preview-urls": json.dumps(dict(record.urls))}
    return found | ({"environment-url": url} if (url := main_url(record)) else {})
