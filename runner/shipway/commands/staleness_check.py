"""`shipway plan --check`: whether what was planned on pull requests still holds by now. Reads, and says so in checks."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence

from shipway.approvals import ApprovalRule
from shipway.ci import CiContext, Provider
from shipway.commands.documents import write_out
from shipway.commands.plan_artifacts import Place, PlanArtifacts, workflow_of
from shipway.commands.reviewing import approved_so_far
from shipway.commands.setting import heeding_signals
from shipway.commands.standing import (
    NODES_NAMED,
    Standing,
    approved_basis,
    check_of_standing,
    fresh_name,
    shown_basis,
    standing_after,
)
from shipway.commands.stores import github_of
from shipway.context import Context
from shipway.coverage import covered, nothing_done
from shipway.errors import EXIT_DONE, EXIT_UNVERIFIED, Reason, UsageError, VerificationError
from shipway.forges.forge import Check, Forge, ForgeError, Outcome, PullRequest
from shipway.lifecycle import check_lifecycle, run_lifecycle
from shipway.plan import Plan
from shipway.planning import Selection
from shipway.redaction import trusted
from shipway.render import terminal
from shipway.render.foreign import inert, one_line
from shipway.repository import Repository
from shipway.undertaking import Request, Surroundings

_QUEUED = re.compile(r"(?:refs/heads/)?gh-readonly-queue/.+/pr-([0-9]{1,9})-[0-9a-f]{40,64}")
"""The branch of a merge group, which names the pull request that it was made for.

Source: https://docs.github.com/en/repositories/configuring-branches-and-merges-in-your-repository/configuring-pull-request-merges/managing-a-merge-queue
"""


def check(request: Request, around: Surroundings, workflow: str, *, as_json: bool) -> int:
    """The exit code: 5 where what was planned on a pull request does not hold any more. Only a merge group is planned for that.

    `workflow` is the path of the one that plans, empty for this job's own.
    """
    inquiry = _Inquiry(around.context, around.repository, workflow)
    if not inquiry.is_group:
        plan = check_lifecycle(request, around)
        return _concluded(inquiry.of_open(plan), inquiry, plan, as_json=as_json)
    with heeding_signals(around.interruption):
        finished = run_lifecycle(request, around)
    if finished.error is not None:
        raise finished.error
    assert finished.plan is not None
    return _concluded(inquiry.of_group(finished.plan), inquiry, finished.plan, as_json=as_json)


class _Inquiry:
    """Asks about the pull requests that this job's event is about, on GitHub."""

    def __init__(self, context: Context, repository: Repository, workflow: str) -> None:
        """Raises UsageError outside a job of GitHub Actions with a token, and in one of a pull request."""
        ci = context.ci
        if ci is None or ci.provider is not Provider.GITHUB or ci.token is None:
            raise UsageError(
                "`--check` asks GitHub about pull requests, and this is no job of GitHub Actions with a token",
                next="pass `GITHUB_TOKEN: ${{ github.token }}` in `env` of the step; here, compare: `shipway diff PLAN PLAN`",
            )
        if ci.pull_request is not None:
            raise UsageError(
                "a pull request's own job plans it: there is nothing older to check",
                reason=Reason.EVENT_REFUSED,
                next="use `merge_group`, `push`, `schedule` or `workflow_dispatch`",
            )
        self._ci: CiContext = ci
        self.is_group = ci.event == "merge_group"
        self._forge: Forge = github_of(ci, context)
        self._workflow = workflow_of(workflow, context)
        self._context = context
        self._repository = repository

    def of_group(self, plan: Plan) -> list[Standing]:
        """Of a merge group, how the plan of its pull request stands beside this one, made of the group.

        Where a stage wants approval that is the plan that was approved, by the reviews that there are, else the one shown last.
        """
        group = self._ci.payload.get("merge_group")
        branch = str(group.get("head_ref", "")) if isinstance(group, dict) else ""
        match = _QUEUED.fullmatch(branch)
        if match is None:
            raise UsageError(f"the merge group's branch `{one_line(branch)}` names no pull request")
        pull = self._forge.pull_to_merge(int(match[1]))
        basis = approved_basis(()) if plan.approval_rules else shown_basis(pull.number)
        try:
            if plan.approval_rules:
                sanction = approved_so_far(self._forge, self._ci, self._context, plan, self._workflow, pull)
                basis = approved_basis(sanction.approvals)
            else:
                shown = self._artifacts(plan, pull.repository).latest(pull.head, pull.number).plan
                covered(shown, plan, Selection(), nothing_done)
        except VerificationError as error:
            return [Standing(pull.number, pull.head, plan.effect, error.reason, error.message, basis=basis)]
        return [Standing(pull.number, pull.head, plan.effect, basis=basis)]

    def of_open(self, plan: Plan) -> list[Standing]:
        """How the plans of all open pull requests onto this branch stand, by what has changed on it since."""
        branch = self._ci.branch or self._ci.default_branch
        if not branch:
            raise UsageError(
                "it is not known which branch this is", next="run it on `push`, `schedule` or `merge_group`"
            )
        return [self._open(plan, pull, branch) for pull in self._forge.pulls_onto(branch)]

    def _open(self, plan: Plan, pull: PullRequest, branch: str) -> Standing:
        number, head = pull.number, pull.head
        try:
            shown = self._artifacts(plan, pull.repository).latest(head, number).plan
        except VerificationError as error:
            return Standing(number, head, "", error.reason, error.message)
        base = shown.source.merge_base
        changed = self._repository.changed_between(base, "HEAD") if base else None
        if changed is None:
            said = "what it was put upon is not in this clone: check out the whole history (`fetch-depth: 0`)"
            return Standing(number, head, shown.effect, Reason.BASE_UNKNOWN, said)
        return standing_after(shown, number, head, branch, changed)

    def _artifacts(self, plan: Plan, source: int | None) -> PlanArtifacts:
        """The plans of a head in the repository `source` (an id). A fork's is looked at for what it was shown as."""
        place = Place(plan.lifecycle, plan.target, self._workflow, self._ci.repository_id, source)
        return PlanArtifacts(self._forge, place, ApprovalRule(), self._context)

    def tell(self, standings: Sequence[Standing], plan: Plan) -> Iterator[str]:
        """Say it in checks that can be required: on each head, or on the group's commit. What could not be said is given."""
        name = f"shipway/{plan.lifecycle}/{plan.target}"
        for standing in standings:
            if not self.is_group and not standing.is_planned:
                continue
            commit = self._ci.sha if self.is_group else standing.head
            # A required check has to come on the group too, or it blocks the queue.
            for each in (fresh_name(plan.lifecycle, plan.target), *((name,) if self.is_group else ())):
                yield from self._post(check_of_standing(each, commit, standing, self._ci.run_url))

    def _post(self, check: Check) -> Iterator[str]:
        try:
            posted = self._forge.post_check(check)
        except ForgeError as error:
            yield f"the check `{check.name}` is not told: {error.message}"
            return
        if posted.outcome in (Outcome.DEFERRED, Outcome.REFUSED):
            yield f"the check `{check.name}` is not told: {posted.why}"


def _concluded(standings: Sequence[Standing], inquiry: _Inquiry, plan: Plan, *, as_json: bool) -> int:
    """Show it, tell it in checks, and give the exit code: 5 where a plan does not hold any more."""
    if as_json:
        write_out(json.dumps({"effect": plan.effect, "checked": [_json(each) for each in standings]}) + "\n")
    else:
        write_out(
            "".join(f"{inert(line)}\n" for each in standings for line in _lines(each)) or "no pull request is open\n"
        )
    for fault in inquiry.tell(standings, plan):
        terminal.write(terminal.standard_error(), trusted(inert(f"{fault}\n")))
    return EXIT_UNVERIFIED if any(each.reason and each.is_planned for each in standings) else EXIT_DONE


def _lines(standing: Standing) -> Iterator[str]:
    why = f" ({standing.reason.value}): {standing.said}" if standing.reason else ""
    first, *rest = f"#{standing.pull_request} at {standing.head[:7]} {standing.word}{why}".splitlines()
    yield first
    yield from rest
    for node, files in standing.nodes[:NODES_NAMED]:
        yield f"  {node}: {', '.join(map(one_line, files[:NODES_NAMED]))}"
    if len(standing.nodes) > NODES_NAMED:
        yield f"  and {len(standing.nodes) - NODES_NAMED} more"


def _json(standing: Standing) -> dict[str, object]:
    return {
        "pull_request": standing.pull_request,
        "head": standing.head,
        "effect": standing.effect or None,
        "holds": standing.is_planned and not standing.reason,
        "reason": standing.reason.value if standing.reason else None,
        "said": standing.said,
        "nodes": {node: list(files) for node, files in standing.nodes},
    }
