"""`shipway action`: what the GitHub Action runs. `run` does the work of the event, `report` posts it once it is uploaded."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from msgspec.structs import replace

from shipway.ci import Provider
from shipway.commands.action_job import Inputs, Job, action_context, job_of, told_by_event
from shipway.commands.action_voyage import set_outputs, voyage
from shipway.commands.closing import free_own_locks, mark_closed
from shipway.commands.delivery import comment_body, deliver
from shipway.commands.documents import write_out
from shipway.commands.drift_job import look_for_drift
from shipway.commands.earlier import keep_journal, run_of_attempt
from shipway.commands.gitlab_job import plain_log, uploaded_by_gitlab
from shipway.commands.handover import artifact_name, make_folder, read_handover
from shipway.commands.preview_delivery import deliver_preview
from shipway.commands.preview_job import environment_job
from shipway.commands.preview_recorded import recorded_work, undeclared_end
from shipway.commands.preview_sweep import is_sweep, sweep
from shipway.commands.publish import comment_output, publish, published_lines
from shipway.commands.reporting import annotate_error
from shipway.commands.review_check import tell_reviews
from shipway.commands.setting import (
    Unreported,
    find_file,
    names_in,
    surroundings,
)
from shipway.commands.staleness_check import check
from shipway.commands.telling import delivery_words, say, tell_check, tell_comment, tell_failure
from shipway.context import Context, read_context
from shipway.errors import (
    EXIT_DONE,
    DeclarationError,
    ShipwayError,
    UsageError,
)
from shipway.events import Events
from shipway.lifecycle import check_lifecycle
from shipway.preview_trigger import WORK as ENVIRONMENT_WORK
from shipway.redaction import Redactor, trusted
from shipway.render import failure, terminal
from shipway.render.plain_log import PlainLog
from shipway.render.workflow import WorkflowLog, workflow_log
from shipway.stragglers import ended_stragglers
from shipway.trigger import Work, WorkKind
from shipway.undertaking import Request


def run(arguments: Namespace) -> int:
    """The exit code of the part that was asked for; it fails the step, and the steps behind it run all the same."""
    if arguments.dry_run and arguments.part != "report":
        raise UsageError("`--dry-run` is of `report` only", next="leave it out, or look with `shipway plan`")
    context, inputs = action_context(read_context())
    log = workflow_log(context)
    if context.ci is not None and context.ci.provider is Provider.GITLAB:
        if arguments.part != "run":
            raise UsageError(
                f"there is no `shipway action {arguments.part}` on GitLab",
                next="`shipway action run` reports by itself",
            )
        return _whole(context, inputs, plain_log(context, log), arguments)
    if arguments.part == "report":
        return _report(context, inputs, log, is_dry=arguments.dry_run)
    if arguments.part == "keep":
        return _keep(context, inputs, log)
    return _run(context, inputs, log, arguments)


def _whole(context: Context, inputs: Inputs, log: PlainLog, arguments: Namespace) -> int:
    """Both parts at once: a job of GitLab uploads its files once its script has ended, to an address known before."""
    code = _run(context, inputs, log, arguments)
    uploaded = uploaded_by_gitlab(context, log.outputs.get("artifact-path", ""))
    try:
        _report(replace(context, env={**context.env, **uploaded}), inputs, log, is_dry=False)
    except ShipwayError as error:
        terminal.write(terminal.standard_error(), trusted(failure.as_text(error)))
    return code


# The first part: do the work.


def _run(context: Context, inputs: Inputs, log: WorkflowLog, arguments: Namespace) -> int:
    try:
        try:
            return _done(context, inputs, log, arguments)
        except UsageError as error:
            return recorded_work(error, context, inputs, log, arguments)
    except DeclarationError as error:
        _tell_broken(error, context, inputs, log)
        return _refused(error, log)
    except ShipwayError as error:
        return _refused(error, log)


def _done(context: Context, inputs: Inputs, log: WorkflowLog, arguments: Namespace) -> int:
    """The exit code of what the event wants. Raises ShipwayError for a refusal."""
    told = told_by_event(context, inputs)
    if told.kind is WorkKind.PUBLISH:
        return _publish(context, inputs, told, log)
    if is_sweep(context, inputs, told):
        return sweep(context, inputs, log)
    if told.kind is WorkKind.DRIFT:
        terminal.write(log.stream, trusted(f"{WorkKind.DRIFT.value}: {told.why}\n"))
        with ended_stragglers(context.sleep):
            return look_for_drift(context, inputs, log)
    job = job_of(context, inputs, log)
    terminal.write(log.stream, trusted(f"{job.ci.event} → {job.work.kind.value}: {job.work.why}\n"))
    if job.work.kind in ENVIRONMENT_WORK:
        return environment_job(job, inputs, log, arguments)
    if inputs.command == "check" and job.work.kind is WorkKind.PLAN:
        with ended_stragglers(context.sleep):
            return _checked(job, log)
    if job.work.kind is WorkKind.PLAN or job.work.kind is WorkKind.RUN:
        if inputs.command == "validate":
            return _validated(job, log)
        return voyage(job, inputs, log, arguments)
    if job.work.kind is WorkKind.REFUSE:
        raise UsageError(job.work.why, reason=job.work.reason, next=job.work.next)
    if job.work.kind is WorkKind.REVIEW:
        tell_check(tell_reviews(job.lifecycle, job.target, inputs.workflow, job.context), log)
    if job.work.kind is WorkKind.CLOSED and job.work.is_trusted:
        _closed(job, log)
        return undeclared_end(job.declared.state, context, inputs, log, arguments)
    set_outputs(log, {"exit-code": str(EXIT_DONE)})
    return EXIT_DONE


def _closed(job: Job, log: WorkflowLog) -> None:
    """The pull request's own lock is given back, and its comment says that it is closed."""
    became = free_own_locks(job.declared, job.target, job.file, job.context)
    if became:
        say(became, log)
    if job.comments:
        tell_comment(mark_closed(job.lifecycle, job.target, job.context), log)


def _checked(job: Job, log: WorkflowLog) -> int:
    """Whether what was planned on pull requests holds still."""
    around = surroundings(job.context, job.repository, Events(), Unreported())
    code = check(Request(job.file, job.target, declared=job.declared), around, job.workflow, as_json=False)
    set_outputs(log, {"exit-code": str(code)})
    return code


def _validated(job: Job, log: WorkflowLog) -> int:
    around = surroundings(job.context, job.repository, Events(), Unreported())
    plan = check_lifecycle(Request(job.file, job.target, declared=job.declared), around)
    write_out(f"{plan.source.file} is valid: {plan.lifecycle} → {plan.target}, {len(plan.nodes)} nodes\n")
    set_outputs(log, {"exit-code": str(EXIT_DONE)})
    return EXIT_DONE


def _refused(error: ShipwayError, log: WorkflowLog) -> int:
    terminal.write(terminal.standard_error(), trusted(failure.as_text(error)))
    annotate_error(error, log)
    set_outputs(log, {"reason": error.reason.value, "exit-code": str(error.exit_code)})
    return error.exit_code


def _tell_broken(error: DeclarationError, context: Context, inputs: Inputs, log: WorkflowLog) -> None:
    """Fail the check of a declaration that did not load, where what it says of its name can still be made out."""
    work = told_by_event(context, inputs)
    names = names_in(find_file(Namespace(file=inputs.file), context), inputs.target)
    if work.is_trusted and work.kind in (WorkKind.PLAN, WorkKind.RUN) and names is not None:
        tell_failure(error, *names, context, log, comment=inputs.comment)


# Publishing: what another run has planned.


def _publish(context: Context, inputs: Inputs, work: Work, log: WorkflowLog) -> int:
    """Post what the run before has planned; what could not be posted stands in the summary, and fails nothing."""
    terminal.write(log.stream, trusted(f"{WorkKind.PUBLISH.value}: {work.why}\n"))
    nothing, published = publish(context, inputs.workflow)
    for line in published_lines(nothing, published):
        terminal.write(log.stream, trusted(f"{line}\n"))
        log.write_summary(trusted(f"- {line}"))
    set_outputs(log, {"comment": comment_output(published), "exit-code": str(EXIT_DONE)})
    return EXIT_DONE


# The part between: keep the journal, also of a run that was killed.


def _keep(context: Context, inputs: Inputs, log: WorkflowLog) -> int:
    """Copy this attempt's journal into what is uploaded. Never fails the job: without it a later attempt begins anew."""
    try:
        told = told_by_event(context, inputs)
        if told.kind in (WorkKind.PUBLISH, WorkKind.DRIFT) or is_sweep(context, inputs, told):
            return EXIT_DONE
        job = job_of(context, inputs, log)
        if job.work.kind is not WorkKind.RUN:
            return EXIT_DONE
        run = run_of_attempt(job.context, job.ci, job.repository, job.lifecycle, job.target)
        if run is None:
            return EXIT_DONE
        folder = context.env.get("SHIPWAY_ARTIFACT_PATH", "")
        name = artifact_name("journal", job.lifecycle, job.target, context, job.ci)
        kept = keep_journal(run, job.repository, Path(folder) if folder else make_folder(name, context, job.ci))
        set_outputs(log, {"artifact-name": kept.parent.name, "artifact-path": str(kept.parent)})
    except ShipwayError as error:
        terminal.write(terminal.standard_error(), trusted(failure.as_text(error)))
    return EXIT_DONE


# The last part: tell it.


def _report(context: Context, inputs: Inputs, log: WorkflowLog, *, is_dry: bool) -> int:
    """Post comment and check. Never fails the job: what could not be posted stands in the summary and the outputs.

    A dry one prints the comment's body instead and asks the forge nothing.
    """
    path = context.env.get("SHIPWAY_ARTIFACT_PATH", "")
    if not path:
        return EXIT_DONE
    handover = read_handover(Path(path))
    if is_dry:
        write_out(comment_body(handover, context))
        return EXIT_DONE
    secrets = {name: context.env[name] for name in handover.secrets if context.env.get(name)}
    redact, environment = Redactor(secrets).redact, handover.facts.preview
    if environment is not None:
        delivered = deliver_preview(handover, environment, context, redact, comment=inputs.comment)
    else:
        delivered = deliver(handover, context, redact, comment=inputs.comment)
    tell_check(delivered.check, log)
    if delivered.fresh is not None:
        say(f"check of staleness {delivery_words(delivered.fresh)} {delivered.fresh.url}".rstrip(), log)
    if delivered.deployment:
        say(f"how the deployment ended is not told: {delivered.deployment}", log)
    if not inputs.comment:
        log.set_output("comment", trusted("off"))
        return EXIT_DONE
    tell_comment(delivered.comment, log)
    return EXIT_DONE
