"""Delivery of what became of an environment: its comment, its deployment, and the check of the commit it is of."""

from __future__ import annotations

import re
from collections.abc import Callable

from msgspec.structs import replace

from shipway.ci import CiContext
from shipway.commands.delivery import Announcement, Delivered, check_of, guarded, open_forge, view_of
from shipway.commands.handover import Handover
from shipway.commands.reporting import links_of
from shipway.context import Context
from shipway.environment_record import EnvironmentRecord, EnvironmentState
from shipway.errors import Reason
from shipway.forges.forge import DeploymentState, Forge, ForgeError, Outcome, Posted
from shipway.forges.previews import Announced, Previews
from shipway.forges.sticky import Note, Purpose, post
from shipway.plan import Plan
from shipway.redaction import Redacted, Redactor
from shipway.render.blocks import Links
from shipway.render.foreign import one_line
from shipway.render.preview_comment import PreviewReport, preview_body

_PULL_TARGET = re.compile("pr-([0-9]{1,9})")


def without_outputs(record: EnvironmentRecord) -> EnvironmentRecord:
    """The record as it may leave the run: nothing of what nodes left, which may be secret, and no declaration."""
    return replace(record, checkpoints={}, declaration="")


def pull_request_of(record: EnvironmentRecord) -> int | None:
    """Whose environment it is: what the record says, else what the target is called; None where it is no pull request's."""
    found = _PULL_TARGET.fullmatch(record.target)
    return record.pull_request if record.pull_request is not None else int(found[1]) if found else None


def main_url(record: EnvironmentRecord) -> str:
    """Where the environment answers first of all, empty where it answers nowhere."""
    is_up = record.state is EnvironmentState.READY
    return next((url for _, url in sorted(record.urls.items())), "") if is_up else ""


def deliver_preview(
    handover: Handover, record: EnvironmentRecord, context: Context, redact: Callable[[str], Redacted], *, comment: bool
) -> Delivered:
    """Post or update the comment and the check, and say how the deployment stands now."""
    ci = context.ci
    assert ci is not None
    forge = open_forge(ci, context, redact, is_trusted=handover.facts.is_trusted)
    if isinstance(forge, Posted):
        return Delivered(forge, forge)
    links = links_of(
        ci,
        handover.plan,
        artifact_id=context.env.get("SHIPWAY_ARTIFACT_ID", ""),
        artifact_url=context.env.get("SHIPWAY_ARTIFACT_URL", ""),
    )
    is_over = handover.facts.reason == Reason.RUN_SUPERSEDED.value
    report = PreviewReport(record, "", handover.plan, handover.receipt, handover.facts.why)
    return Delivered(
        post_preview(forge, ci, report, links) if comment else Posted(Outcome.REFUSED, why="off"),
        guarded(forge, lambda: _check(forge, ci, handover, links, is_over=is_over)),
        settle_deployment(forge, ci, record, handover.plan, handover.facts.deployment, is_over=is_over),
    )


def post_preview(forge: Forge, ci: CiContext, report: PreviewReport, links: Links) -> Posted:
    """Post or update the one comment of the environment, on its own pull request."""
    return guarded(forge, lambda: _posted(forge, ci, report, links))


def _posted(forge: Forge, ci: CiContext, report: PreviewReport, links: Links) -> Posted:
    record = report.record
    number = pull_request_of(record)
    if number is None:
        return Posted(Outcome.REFUSED, why="it is no pull request's environment; the report is in the job summary")
    head = ci.head_sha if number == ci.pull_request else forge.head(number)
    effect = report.plan.effect if report.plan else (report.receipt.effect or "") if report.receipt else ""
    if not effect:
        return Posted(Outcome.REFUSED, why="nothing was run that could be told of")
    note = Note(number, record.lifecycle, record.target, Purpose.PREVIEW, ci.run_id, ci.run_attempt, head, effect)
    shown = replace(report, head=head)
    return post(forge, note, lambda budget: preview_body(shown, budget=budget, links=links))


def _check(forge: Forge, ci: CiContext, handover: Handover, links: Links, *, is_over: bool) -> Posted:
    if is_over:
        return Posted(Outcome.SUPERSEDED, why="a later run has taken over")
    if ci.pull_request is None or ci.action == "closed":
        return Posted(Outcome.REFUSED, why="no open pull request waits for it")
    return forge.post_check(check_of(view_of(handover, ci), links, ci.head_sha))


class PreviewAnnouncement(Announcement):
    """The deployment of an environment that is brought up: announced beside the run once its first node starts."""

    def _announce(self, plan: Plan) -> None:
        ci = self._context.ci
        assert ci is not None
        token = {"GITHUB_TOKEN": ci.token.value} if ci.token else {}
        forge = open_forge(ci, self._context, Redactor(token).redact, is_trusted=True, is_hasty=True)
        previews = _previews(forge)
        if previews is None:
            self._result = "", forge.why if isinstance(forge, Posted) else "this forge has no deployments"
            return
        try:
            self._result = previews.announce(_announced(ci, plan), f"bringing {plan.target} up"), ""
        except ForgeError as error:
            self._result = "", f"{error.message}; {error.next}" if error.next else error.message


def settle_deployment(
    forge: Forge, ci: CiContext, record: EnvironmentRecord, plan: Plan | None, number: str, *, is_over: bool
) -> str:
    """Say how the environment's deployment stands, and take away what it has besides. Empty, or why that could not be told.

    None is left of what is gone, nor of a run that another one has taken over (`is_over`): that one has its own.
    """
    previews = _previews(forge)
    if previews is None:
        return ""
    try:
        if is_over:
            return ""  # the later run takes all away but its own
        if number and plan is not None:
            is_good = record.state is EnvironmentState.READY
            state = DeploymentState.SUCCESS if is_good else DeploymentState.FAILURE
            told = replace(_announced(ci, plan), url=main_url(record))
            previews.tell(number, told, state, one_line(record.cause or f"{record.target} is {record.state.value}"))
            previews.retire(record.lifecycle, record.target, keep=number)
        elif not record.is_alive:
            previews.retire(record.lifecycle, record.target)
    except ForgeError as error:
        return f"{error.message}; {error.next}" if error.next else error.message
    return ""


def _announced(ci: CiContext, plan: Plan) -> Announced:
    return Announced(plan.lifecycle, plan.target, ci.head_sha, plan.effect, ci.run_id, ci.run_url)


def _previews(forge: Forge | Posted) -> Previews | None:
    from shipway.forges.github import GitHub  # late: requests takes 100 ms

    return forge if isinstance(forge, GitHub) else None
