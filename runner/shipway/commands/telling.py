"""What became of a delivery, in the job's own log, outputs and summary; and the delivery of what could not be planned."""

from __future__ import annotations

from shipway.commands.closing import mark_stale
from shipway.commands.delivery import deliver_failure
from shipway.context import Context
from shipway.errors import ShipwayError
from shipway.forges.forge import Posted
from shipway.redaction import trusted
from shipway.render import terminal
from shipway.render.foreign import inert
from shipway.render.workflow import WorkflowLog


def tell_failure(
    error: ShipwayError, lifecycle: str, target: str, context: Context, log: WorkflowLog, *, comment: bool
) -> None:
    """Fail the check of what could not be planned; on a pull request the comment says that its plan counts no more."""
    tell_check(deliver_failure(error, lifecycle, target, context), log)
    if comment and context.ci is not None and context.ci.pull_request is not None:
        stale = mark_stale(lifecycle, target, context)
        if stale is not None:
            tell_comment(stale, log)


def tell_check(check: Posted, log: WorkflowLog) -> None:
    """What became of the check: log and output."""
    say(f"check {delivery_words(check)} {check.url}".rstrip(), log)
    log.set_output("check", trusted(delivery_words(check)))


def tell_comment(comment: Posted, log: WorkflowLog) -> None:
    """What became of the comment: log, output, and where it was not posted, summary."""
    words = delivery_words(comment)
    say(f"comment {words} {comment.url}".rstrip(), log)
    log.set_output("comment", trusted(words))
    if not comment.url:
        log.write_summary(trusted(f"Comment {words}"))


def say(text: str, log: WorkflowLog) -> None:
    """One line of the log in which no runner sees a command."""
    terminal.write(log.stream, trusted(f"{inert(text)}\n"))


def delivery_words(posted: Posted) -> str:
    """The outcome, and why, on one line."""
    return inert(f"{posted.outcome.value}: {posted.why}" if posted.why else posted.outcome.value)
