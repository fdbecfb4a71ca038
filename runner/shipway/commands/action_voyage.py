"""A plan or a run as a job of the action does it: shown in its log, handed over to the step that reports."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping

from msgspec.structs import replace

from shipway.approval import Sanction
from shipway.ci import Provider
from shipway.commands import expectation
from shipway.commands.action_job import Inputs, Job
from shipway.commands.breaking import breaker
from shipway.commands.delivery import Announcement, environment_url, view_of
from shipway.commands.documents import KeptReceipts, write_out
from shipway.commands.earlier import find_earlier
from shipway.commands.fence import Fence, own_environment
from shipway.commands.handover import Facts, outputs_of, write_handover
from shipway.commands.head_check import HeadCheck
from shipway.commands.previous import Previous, find_previous
from shipway.commands.proofs import words_of_proofs
from shipway.commands.reporting import annotate_error, annotate_failures, summarise, summarise_preview
from shipway.commands.reviewing import reviewer
from shipway.commands.setting import heeding_signals, surroundings
from shipway.commands.telling import say, tell_failure
from shipway.comparison import Comparison, compare
from shipway.context import Context
from shipway.coverage import Uncovered
from shipway.errors import EXIT_DONE, EXIT_FAILED, EXIT_NOT_UNDONE, VerificationError
from shipway.events import Events
from shipway.forges import consequences
from shipway.lifecycle import run_lifecycle
from shipway.plan import Plan
from shipway.receipt import RunOutcome
from shipway.redaction import Redactor, trusted
from shipway.render import failure, terminal
from shipway.render.comparison import comparison_markdown, render_comparison
from shipway.render.foreign import inert
from shipway.render.plan_text import render_plan
from shipway.render.preview_comment import PreviewReport
from shipway.render.receipt_text import render_receipt
from shipway.render.receipt_words import approved_words
from shipway.render.workflow import Level, WorkflowLog
from shipway.stragglers import ended_stragglers
from shipway.trigger import WorkKind
from shipway.undertaking import Finished, Request


def voyage(job: Job, inputs: Inputs, log: WorkflowLog, arguments: Namespace) -> int:
    """Plan, and execute where the event leads to that. The exit code; documents, summary and outputs are written."""
    events, keeper = Events(), KeptReceipts(job.repository.root)
    around = surroundings(job.context, job.repository, events, keeper)
    executes = job.work.kind is WorkKind.RUN
    request = Request(job.file, job.target, execute=executes, declared=job.declared)
    if executes:
        request = replace(request, breaker=breaker(inputs.break_glass, job.context))
        earlier = find_earlier(job.declared, job.target, job.context, job.ci, job.repository)
        request = replace(request, **earlier.asked)
        if earlier.said:
            terminal.write(log.stream, trusted(f"{earlier.said}\n"))
    verbosity = terminal.Verbosity.VERBOSE if arguments.verbose else terminal.Verbosity.NORMAL
    view = terminal.terminal_for(job.context, log.stream, verbosity, log)
    events.subscribe(view)

    announcement = Announcement(job.context)
    events.subscribe(announcement)

    def show(plan: Plan) -> bool:
        without = consequences.told(plan, job.ci.provider)
        write_out(render_plan(plan, colour=False, columns=job.context.columns, without=without))
        view.expect((*plan.nodes, *plan.compensations))
        announcement.plan = plan if executes else None
        return True

    def approve(plan: Plan, begun_with: Sanction) -> Sanction:
        sanction = reviewer(job.context, job.workflow)(plan, begun_with)
        for approval in sanction.approvals:
            terminal.write(log.stream, trusted(f"approved {inert(approved_words(approval))}\n"))
        return sanction

    fence = Fence(job.context.env, own_environment(job.ci.temp))
    with ended_stragglers(job.context.sleep), heeding_signals(around.interruption), view:
        request = replace(request, confirm=show, approver=approve, check_head=_head_check(job, log))
        finished = run_lifecycle(request, around)
    deployment, why = announcement.result(is_cancelled=is_cancelled(finished))
    if why:
        say(f"no deployment is announced: {why}", log)
    check_fence(fence, finished, log)
    if finished.plan is not None and not executes:
        show(finished.plan)
    previous = None
    if finished.plan is not None and not executes and job.work.is_trusted:
        redact = Redactor({"GITHUB_TOKEN": job.ci.token.value} if job.ci.token else {}).redact
        previous = find_previous(job.lifecycle, job.target, job.context, redact, lambda why: say(why, log))
    return handed_over(job, finished, _facts(job, finished, deployment, previous), previous, log)


def _head_check(job: Job, log: WorkflowLog) -> HeadCheck:
    return HeadCheck(job.context, job.ci, lambda text: terminal.write(log.stream, trusted(inert(f"{text}\n"))))


def is_cancelled(finished: Finished) -> bool:
    """Whether the run was interrupted."""
    return finished.receipt is not None and finished.receipt.outcome is RunOutcome.CANCELLED


def check_fence(fence: Fence, finished: Finished, log: WorkflowLog) -> None:
    """Take back what steps told the runner; that one changed Shipway itself is the error of this run."""
    for name in fence.put_back():
        log.annotate(Level.WARNING, trusted(f"a step wrote to {name}: it was taken back"), title="Shipway")
    try:
        fence.check()
    except VerificationError as error:
        finished.error = error


def _facts(job: Job, finished: Finished, deployment: str, previous: Previous | None) -> Facts:
    """What the report says beside the documents."""
    plan, error = finished.plan, finished.error
    if plan is None or finished.receipt is not None:
        return Facts(job.work.is_trusted, deployment)
    root = job.repository.root
    return Facts(
        job.work.is_trusted,
        deployment,
        notes=(*(() if job.work.is_trusted else (job.work.why,)), *consequences.told(plan, job.ci.provider)),
        expected=expectation.words(plan, root, job.context),
        proven=words_of_proofs(plan, root),
        reason=error.reason.value if error else "",
        said=error.message if error else "",
        history=previous.history if previous else (),
        changed=_changed(job, plan, previous) if previous else None,
        started_at=previous.began if previous else "",
    )


def _changed(job: Job, plan: Plan, previous: Previous) -> tuple[str, ...] | None:
    """The files that the pull request has changed since the plan before; None where the base moved as well, or it is not known."""
    if plan.source.merge_base != previous.plan.source.merge_base:
        return None
    files = job.repository.changed_between(previous.history[0].commit, job.ci.head_sha)
    return files if files is not None and len(files) <= _MOST_FILES else None


_MOST_FILES = 2_000


def handed_over(
    job: Job,
    finished: Finished,
    facts: Facts,
    previous: Previous | None,
    log: WorkflowLog,
    *,
    failed: int = EXIT_FAILED,
) -> int:
    """Write documents, summary, annotations and outputs; what the report needs is left beside the documents.

    The exit code; `failed` is that of a run in which something failed.
    """
    code = finished.receipt.exit_code if finished.receipt else EXIT_DONE
    code = failed if code == EXIT_FAILED else code
    if finished.receipt is not None and finished.receipt.nodes:
        write_out(render_receipt(finished.receipt, finished.plan, colour=False, columns=job.context.columns))
        annotate_failures(finished.receipt, finished.plan, log)
    if finished.error is not None:
        terminal.write(terminal.standard_error(), trusted(failure.as_text(finished.error)))
        annotate_error(finished.error, log)
        if isinstance(finished.error, Uncovered):
            _tell_difference(compare(finished.error.approved, finished.error.now), job.context, log)
        code = code if code == EXIT_NOT_UNDONE else max(code, finished.error.exit_code)
    if finished.plan is None and finished.receipt is None:
        assert finished.error is not None
        if job.work.is_trusted:
            tell_failure(finished.error, job.lifecycle, job.target, job.context, log, comment=job.comments)
        set_outputs(log, {"reason": finished.error.reason.value, "exit-code": str(code)})
        return code
    handover = write_handover(job.context, job.ci, job.target, finished, facts, previous.plan if previous else None)
    if (environment := facts.preview) is not None:
        report = PreviewReport(environment, job.ci.head_sha, finished.plan, finished.receipt, facts.why)
        summarise_preview(report, job.context, log)
    else:
        summarise(view_of(handover, job.ci), job.context, log)
    outputs = outputs_of(finished, handover, code)
    if finished.plan is not None:
        outputs["environment-url"] = environment_url(job.ci, finished.plan, finished.receipt)
    if job.work.kind is not WorkKind.RUN:
        outputs["journal"] = "none"  # the action's own step need not look for one
    if job.ci.provider is not Provider.GITHUB:
        outputs["uploads"] = "false"  # the action's own step: actions/upload-artifact refuses other forges
    set_outputs(log, outputs)
    return code


def _tell_difference(comparison: Comparison, context: Context, log: WorkflowLog) -> None:
    """How what would run differs from what was approved, node by node, in log and summary."""
    write_out(render_comparison(comparison, colour=False, columns=context.columns))
    told = comparison_markdown(comparison)
    if len(told.encode()) <= log.summary_room() // 2:
        log.write_summary(trusted(told))


def set_outputs(log: WorkflowLog, outputs: Mapping[str, str]) -> None:
    """Hand outputs, none of which holds a secret, to the steps that come after."""
    for name, value in outputs.items():
        log.set_output(name, trusted(value))
