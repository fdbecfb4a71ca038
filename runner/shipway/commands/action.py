"""`shipway action`: what the GitHub Action runs. `run` does the work of the event, `report` posts it once it is uploaded."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from shipway import declaration
from shipway.approval import Sanction
from shipway.ci import CiContext, Provider, Token, origin
from shipway.commands import expectation
from shipway.commands.breaking import breaker
from shipway.commands.closing import mark_closed
from shipway.commands.delivery import Announcement, comment_body, deliver, environment_url, view_of
from shipway.commands.documents import KeptReceipts, write_out
from shipway.commands.earlier import find_earlier, keep_journal, run_of_attempt
from shipway.commands.fence import Fence, own_environment
from shipway.commands.gitlab_job import plain_log, uploaded_by_gitlab
from shipway.commands.handover import Facts, artifact_name, make_folder, outputs_of, read_handover, write_handover
from shipway.commands.head_check import HeadCheck
from shipway.commands.previous import Previous, find_previous
from shipway.commands.proofs import words_of_proofs
from shipway.commands.publish import comment_output, publish, published_lines
from shipway.commands.reporting import annotate_error, annotate_failures, summarise
from shipway.commands.review_check import tell_reviews
from shipway.commands.reviewing import reviewer
from shipway.commands.setting import (
    Unreported,
    find_file,
    find_target,
    heeding_signals,
    names_in,
    repository_of,
    surroundings,
)
from shipway.commands.staleness_check import check
from shipway.commands.telling import say, tell_check, tell_comment, tell_failure
from shipway.comparison import Comparison, compare
from shipway.context import Context, read_context
from shipway.coverage import Uncovered
from shipway.environment import BASE_NAMES
from shipway.errors import (
    EXIT_DONE,
    EXIT_NOT_UNDONE,
    DeclarationError,
    Reason,
    ShipwayError,
    UsageError,
    VerificationError,
)
from shipway.events import Events
from shipway.lifecycle import check_lifecycle, run_lifecycle
from shipway.plan import Plan
from shipway.receipt import RunOutcome
from shipway.redaction import Redactor, trusted
from shipway.render import failure, terminal, text
from shipway.render.comparison import comparison_markdown, render_comparison
from shipway.render.foreign import inert
from shipway.render.plain_log import PlainLog
from shipway.render.wording import approved_words
from shipway.render.workflow import Level, WorkflowLog, workflow_log
from shipway.repository import Repository
from shipway.trigger import Work, WorkKind, commanded_work
from shipway.undertaking import Finished, Request, Surroundings

_COMMANDS = ("auto", "plan", "run", "validate", "check", "publish")
_PREFIX = "SHIPWAY_INPUT_"


def run(arguments: Namespace) -> int:
    """The exit code of the part that was asked for; it fails the step, and the steps behind it run all the same."""
    if arguments.dry_run and arguments.part != "report":
        raise UsageError("`--dry-run` is of `report` only", next="leave it out, or look with `shipway plan`")
    context, inputs = _action_context(read_context())
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


def _whole(context: Context, inputs: _Inputs, log: PlainLog, arguments: Namespace) -> int:
    """Both parts at once: a job of GitLab uploads its files once its script has ended, to an address known before."""
    code = _run(context, inputs, log, arguments)
    uploaded = uploaded_by_gitlab(context, log.outputs.get("artifact-path", ""))
    try:
        _report(replace(context, env={**context.env, **uploaded}), inputs, log, is_dry=False)
    except ShipwayError as error:
        terminal.write(terminal.standard_error(), trusted(failure.as_text(error)))
    return code


class _Inputs(Struct, frozen=True):
    """The action's inputs, as its steps pass them."""

    command: str
    file: str
    target: str
    comment: bool
    workflow: str
    break_glass: str | None = None


class _Job(Struct, frozen=True):
    """What this job is about: declaration, checkout, lifecycle, target, and what the event leads to."""

    context: Context
    ci: CiContext
    file: Path
    repository: Repository
    lifecycle: str
    target: str
    work: Work
    workflow: str = ""
    comments: bool = True


def _action_context(context: Context) -> tuple[Context, _Inputs]:
    """The context with the action's token and working directory in place. Raises UsageError for inputs that cannot be."""
    if context.ci is None:
        raise UsageError("`shipway action` runs in a job of a CI", next="use `shipway plan` or `shipway run` here")
    given = {name.removeprefix(_PREFIX): value for name, value in context.env.items() if name.startswith(_PREFIX)}
    command, comment = given.get("COMMAND") or "auto", given.get("COMMENT") or "true"
    if command not in _COMMANDS:
        raise UsageError(
            f"input `command` is `{command}`", next="use one of " + ", ".join(f"`{word}`" for word in _COMMANDS)
        )
    if comment not in ("true", "false"):
        raise UsageError(f"input `comment` is `{comment}`", next="use `true` or `false`")
    token = given.get("TOKEN", "")
    ci = replace(context.ci, token=Token(token, origin(context.ci.api_url)) if token else context.ci.token)
    cwd = context.cwd / (given.get("WORKING_DIRECTORY") or ".")
    if not cwd.is_dir():
        raise UsageError(f"input `working-directory` is `{given['WORKING_DIRECTORY']}`, which is no folder here")
    inputs = _Inputs(
        command,
        given.get("FILE", ""),
        given.get("TARGET", ""),
        comment == "true",
        given.get("WORKFLOW", ""),
        given.get("BREAK_GLASS") or None,
    )
    return replace(context, ci=ci, cwd=cwd), inputs


# The first part: do the work.


def _run(context: Context, inputs: _Inputs, log: WorkflowLog, arguments: Namespace) -> int:
    try:
        told = _told_by_event(context, inputs)
        if told.kind is WorkKind.PUBLISH:
            return _publish(context, inputs, told, log)
        job = _job(context, inputs, log)
        terminal.write(log.stream, trusted(f"{job.ci.event} → {job.work.kind.value}: {job.work.why}\n"))
        if inputs.command == "check" and job.work.kind is WorkKind.PLAN:
            return _checked(job, log)
        if job.work.kind is WorkKind.PLAN or job.work.kind is WorkKind.RUN:
            return _voyage(job, inputs, log, arguments)
        if job.work.kind is WorkKind.REFUSE:
            raise UsageError(job.work.why, reason=job.work.reason, next=job.work.next)
        if job.work.kind is WorkKind.REVIEW:
            tell_check(tell_reviews(job.lifecycle, job.target, inputs.workflow, job.context), log)
        if job.work.kind is WorkKind.CLOSED and job.work.is_trusted and inputs.comment:
            tell_comment(mark_closed(job.lifecycle, job.target, job.context), log)
    except DeclarationError as error:
        _tell_broken(error, context, inputs, log)
        return _refused(error, log)
    except ShipwayError as error:
        return _refused(error, log)
    _set_outputs(log, {"exit-code": str(EXIT_DONE)})
    return EXIT_DONE


def _told_by_event(context: Context, inputs: _Inputs) -> Work:
    """What event and payload alone lead to. Raises UsageError for a refusal, before a file of the checkout is looked at."""
    assert context.ci is not None
    work = commanded_work(inputs.command, context.ci)
    if work.reason in (Reason.EVENT_REFUSED, Reason.FORK_CODE):
        raise UsageError(work.why, reason=work.reason, next=work.next)
    return work


def _job(context: Context, inputs: _Inputs, log: WorkflowLog) -> _Job:
    """Find out what is to be done, and mask the lifecycle's secrets before anything else is printed."""
    ci = context.ci
    assert ci is not None
    file = find_file(Namespace(file=inputs.file), context)
    repository = repository_of(file, context)
    target = find_target(inputs.target, file, repository)
    declared = declaration.load(file, root=repository.root, target=target)
    for name in declared.secrets:
        log.mask(context.env.get(name, ""))
    patterns = declared.target_rule(target).on
    work = commanded_work(inputs.command, ci, patterns)
    context = context if work.is_trusted else _without_credentials(context)
    return _Job(context, ci, file, repository, declared.name, target, work, inputs.workflow, inputs.comment)


def _without_credentials(context: Context) -> Context:
    """The context for a stranger's code: none of the job's own variables, no token."""
    kept = {
        name: value
        for name, value in context.env.items()
        if name in BASE_NAMES or (name.startswith(("GITHUB_", "RUNNER_")) and "TOKEN" not in name)
    }
    return replace(context, env=kept, ci=replace(context.ci, token=None) if context.ci else None)


def _voyage(job: _Job, inputs: _Inputs, log: WorkflowLog, arguments: Namespace) -> int:
    events, keeper = Events(), KeptReceipts(job.repository.root)
    around = surroundings(job.context, job.repository, events, keeper)
    executes = job.work.kind is WorkKind.RUN
    request = Request(job.file, job.target, execute=executes)
    if inputs.command == "validate":
        return _validated(request, around, log)
    if executes:
        request = replace(request, breaker=breaker(inputs.break_glass, job.context))
        declared = declaration.load(job.file, root=job.repository.root, target=job.target)
        earlier = find_earlier(declared, job.target, job.context, job.ci, job.repository)
        request = replace(request, **earlier.asked)
        if earlier.said:
            terminal.write(log.stream, trusted(f"{earlier.said}\n"))
    verbosity = terminal.Verbosity.VERBOSE if arguments.verbose else terminal.Verbosity.NORMAL
    view = terminal.terminal_for(job.context, log.stream, verbosity, log)
    events.subscribe(view)

    announcement = Announcement(job.context)
    events.subscribe(announcement)

    def show(plan: Plan) -> bool:
        write_out(text.render_plan(plan, colour=False, columns=job.context.columns))
        view.expect((*plan.nodes, *plan.compensations))
        announcement.plan = plan if executes else None
        return True

    def approve(plan: Plan, begun_with: Sanction) -> Sanction:
        sanction = reviewer(job.context, job.workflow)(plan, begun_with)
        for approval in sanction.approvals:
            terminal.write(log.stream, trusted(f"approved {inert(approved_words(approval))}\n"))
        return sanction

    fence = Fence(job.context.env, own_environment(job.ci.temp))
    with heeding_signals(around.interruption), view:
        request = replace(request, confirm=show, approver=approve, check_head=_head_check(job, log))
        finished = run_lifecycle(request, around)
    deployment, why = announcement.result(is_cancelled=_is_cancelled(finished))
    if why:
        say(f"no deployment is announced: {why}", log)
    _check_fence(fence, finished, log)
    if finished.plan is not None and not executes:
        show(finished.plan)
    previous = None
    if finished.plan is not None and not executes and job.work.is_trusted:
        redact = Redactor({"GITHUB_TOKEN": job.ci.token.value} if job.ci.token else {}).redact
        previous = find_previous(job.lifecycle, job.target, job.context, redact, lambda why: say(why, log))
    return _handed_over(job, finished, _facts(job, finished, deployment, previous), previous, log)


def _head_check(job: _Job, log: WorkflowLog) -> HeadCheck:
    return HeadCheck(job.context, job.ci, lambda text: terminal.write(log.stream, trusted(inert(f"{text}\n"))))


def _is_cancelled(finished: Finished) -> bool:
    return finished.receipt is not None and finished.receipt.outcome is RunOutcome.CANCELLED


def _check_fence(fence: Fence, finished: Finished, log: WorkflowLog) -> None:
    """Take back what steps told the runner; that one changed Shipway itself is the error of this run."""
    for name in fence.put_back():
        log.annotate(Level.WARNING, trusted(f"a step wrote to {name}: it was taken back"), title="Shipway")
    try:
        fence.check()
    except VerificationError as error:
        finished.error = error


def _facts(job: _Job, finished: Finished, deployment: str, previous: Previous | None) -> Facts:
    """What the report says beside the documents."""
    plan, error = finished.plan, finished.error
    if plan is None or finished.receipt is not None:
        return Facts(job.work.is_trusted, deployment)
    root = job.repository.root
    return Facts(
        job.work.is_trusted,
        deployment,
        notes=() if job.work.is_trusted else (job.work.why,),
        expected=expectation.words(plan, root, job.context),
        proven=words_of_proofs(plan, root),
        reason=error.reason.value if error else "",
        said=error.message if error else "",
        history=previous.history if previous else (),
        changed=_changed(job, plan, previous) if previous else None,
    )


def _checked(job: _Job, log: WorkflowLog) -> int:
    """Whether what was planned on pull requests holds still."""
    around = surroundings(job.context, job.repository, Events(), Unreported())
    code = check(Request(job.file, job.target), around, job.workflow, as_json=False)
    _set_outputs(log, {"exit-code": str(code)})
    return code


def _validated(request: Request, around: Surroundings, log: WorkflowLog) -> int:
    plan = check_lifecycle(request, around)
    write_out(f"{plan.source.file} is valid: {plan.lifecycle} → {plan.target}, {len(plan.nodes)} nodes\n")
    _set_outputs(log, {"exit-code": str(EXIT_DONE)})
    return EXIT_DONE


def _changed(job: _Job, plan: Plan, previous: Previous) -> tuple[str, ...] | None:
    """The files that the pull request has changed since the plan before; None where the base moved as well, or it is not known."""
    if plan.source.merge_base != previous.plan.source.merge_base:
        return None
    files = job.repository.changed_between(previous.history[0].commit, job.ci.head_sha)
    return files if files is not None and len(files) <= _MOST_FILES else None


_MOST_FILES = 2_000


def _handed_over(job: _Job, finished: Finished, facts: Facts, previous: Previous | None, log: WorkflowLog) -> int:
    """Write documents, summary, annotations and outputs; what the report needs is left beside the documents."""
    code = finished.receipt.exit_code if finished.receipt else EXIT_DONE
    if finished.receipt is not None and finished.receipt.nodes:
        write_out(text.render_receipt(finished.receipt, finished.plan, colour=False, columns=job.context.columns))
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
        _set_outputs(log, {"reason": finished.error.reason.value, "exit-code": str(code)})
        return code
    handover = write_handover(job.context, job.ci, job.target, finished, facts, previous.plan if previous else None)
    summarise(view_of(handover, job.ci), job.context, log)
    outputs = outputs_of(finished, handover, code)
    if finished.plan is not None:
        outputs["environment-url"] = environment_url(job.ci, finished.plan)
    if job.ci.provider is not Provider.GITHUB:
        outputs["uploads"] = "false"  # the action's own step: actions/upload-artifact refuses other forges
    _set_outputs(log, outputs)
    return code


def _tell_difference(comparison: Comparison, context: Context, log: WorkflowLog) -> None:
    """How what would run differs from what was approved, node by node, in log and summary."""
    write_out(render_comparison(comparison, colour=False, columns=context.columns))
    told = comparison_markdown(comparison)
    if len(told.encode()) <= log.summary_room() // 2:
        log.write_summary(trusted(told))


def _refused(error: ShipwayError, log: WorkflowLog) -> int:
    terminal.write(terminal.standard_error(), trusted(failure.as_text(error)))
    annotate_error(error, log)
    _set_outputs(log, {"reason": error.reason.value, "exit-code": str(error.exit_code)})
    return error.exit_code


def _tell_broken(error: DeclarationError, context: Context, inputs: _Inputs, log: WorkflowLog) -> None:
    """Fail the check of a declaration that did not load, where what it says of its name can still be made out."""
    work = _told_by_event(context, inputs)
    names = names_in(find_file(Namespace(file=inputs.file), context), inputs.target)
    if work.is_trusted and work.kind in (WorkKind.PLAN, WorkKind.RUN) and names is not None:
        tell_failure(error, *names, context, log, comment=inputs.comment)


def _set_outputs(log: WorkflowLog, outputs: Mapping[str, str]) -> None:
    for name, value in outputs.items():
        log.set_output(name, trusted(value))


# Publishing: what another run has planned.


def _publish(context: Context, inputs: _Inputs, work: Work, log: WorkflowLog) -> int:
    """Post what the run before has planned; what could not be posted stands in the summary, and fails nothing."""
    terminal.write(log.stream, trusted(f"{WorkKind.PUBLISH.value}: {work.why}\n"))
    nothing, published = publish(context, inputs.workflow)
    for line in published_lines(nothing, published):
        terminal.write(log.stream, trusted(f"{line}\n"))
        log.write_summary(trusted(f"- {line}"))
    _set_outputs(log, {"comment": comment_output(published), "exit-code": str(EXIT_DONE)})
    return EXIT_DONE


# The part between: keep the journal, also of a run that was killed.


def _keep(context: Context, inputs: _Inputs, log: WorkflowLog) -> int:
    """Copy this attempt's journal into what is uploaded. Never fails the job: without it a later attempt begins anew."""
    try:
        if _told_by_event(context, inputs).kind is WorkKind.PUBLISH:
            return EXIT_DONE
        job = _job(context, inputs, log)
        if job.work.kind is not WorkKind.RUN:
            return EXIT_DONE
        declared = declaration.load(job.file, root=job.repository.root, target=job.target)
        run = run_of_attempt(job.context, job.ci, job.repository, declared.name, job.target)
        if run is None:
            return EXIT_DONE
        folder = context.env.get("SHIPWAY_ARTIFACT_PATH", "")
        name = artifact_name("journal", declared.name, job.target, context, job.ci)
        kept = keep_journal(run, job.repository, Path(folder) if folder else make_folder(name, context, job.ci))
        _set_outputs(log, {"artifact-name": kept.parent.name, "artifact-path": str(kept.parent)})
    except ShipwayError as error:
        terminal.write(terminal.standard_error(), trusted(failure.as_text(error)))
    return EXIT_DONE


# The last part: tell it.


def _report(context: Context, inputs: _Inputs, log: WorkflowLog, *, is_dry: bool) -> int:
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
    delivered = deliver(handover, context, Redactor(secrets).redact, comment=inputs.comment)
    tell_check(delivered.check, log)
    if delivered.deployment:
        say(f"how the deployment ended is not told: {delivered.deployment}", log)
    if not inputs.comment:
        log.set_output("comment", trusted("off"))
        return EXIT_DONE
    tell_comment(delivered.comment, log)
    return EXIT_DONE
