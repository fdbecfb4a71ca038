"""What is missing or dangerous in a repository's settings on GitHub, each with what to type. Pure: answers in, checks out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from shipway.canonical import Json, mapping
from shipway.checkup import Check, Verdict, good
from shipway.workflow_review import Teller


def check_default_token(answer: Json, slug: str) -> Iterator[Check]:
    """`actions/permissions/workflow`: what a job's token may do where its workflow does not say."""
    told = mapping(answer)
    call = f"`gh api -X PUT repos/{slug}/actions/permissions/workflow"
    if told.get("default_workflow_permissions") == "write":
        text = "a job's token can write everything, where its workflow does not say `permissions`"
        yield Check("default token", Verdict.LOOK, text, f"{call} -f default_workflow_permissions=read`")
    else:
        yield good("default token", "can read only, where a workflow does not say `permissions`")
    if told.get("can_approve_pull_request_reviews") is True:
        text = "a workflow may approve pull requests: its review could be what a stage or a branch asks for"
        next = f"{call} -F can_approve_pull_request_reviews=false`"
        yield Check("approval by workflows", Verdict.BAD, text, next)
    else:
        yield good("approval by workflows", "a workflow may not approve pull requests")


def check_actions(answer: Json, slug: str) -> Iterator[Check]:
    """`actions/permissions`: whether workflows run, and whether what they use has to be pinned."""
    told = mapping(answer)
    if told.get("enabled") is False:
        next = f"`gh api -X PUT repos/{slug}/actions/permissions -F enabled=true`"
        yield Check("actions", Verdict.BAD, "GitHub Actions is off: no workflow runs here", next)
    elif told.get("sha_pinning_required") is not True:
        text = "actions need not be pinned by commit: a tag that is moved changes what runs here"
        allowed = str(told.get("allowed_actions") or "all")
        fields = f"-F enabled=true -f allowed_actions={allowed} -F sha_pinning_required=true"
        next = f"`gh api -X PUT repos/{slug}/actions/permissions {fields}`"
        yield Check("actions", Verdict.LOOK, text, next)
    else:
        yield good("actions", "have to be pinned by commit")


def check_fork_approval(answer: Json, slug: str) -> Check:
    """`actions/permissions/fork-pr-contributor-approval`: whose pull requests run workflows without a person's word."""
    policy = str(mapping(answer).get("approval_policy") or "")
    if policy == "all_external_contributors":
        return good("fork runs", "wait for a person's word, whoever sends them")
    text = f"runs of some strangers' pull requests start by themselves (`{policy}`): without secrets, on this repository's minutes"
    path = f"repos/{slug}/actions/permissions/fork-pr-contributor-approval"
    return Check(
        "fork runs", Verdict.LOOK, text, f"`gh api -X PUT {path} -f approval_policy=all_external_contributors`"
    )


def check_branch(rules: Json, protection: Json, branch: str, slug: str) -> Iterator[Check]:
    """What has to happen before a commit is on the branch whose pushes execute: by rulesets and by branch protection.

    `rules` is `rules/branches/{branch}`; `protection` `branches/{branch}/protection`, None where it is not told.
    """
    reviews = _reviews(rules, protection)
    address = f"https://github.com/{slug}/settings/rules"
    name = f"`{branch}`"
    if reviews is None:
        text = f"anyone who may write here can push to {name}, which executes; no pull request is required"
        next = (
            f"add a ruleset for {name} that requires a pull request with 1 approval, and blocks force pushes: {address}"
        )
        yield Check("reviews", Verdict.BAD, text, next)
        return
    count, dismisses, last_push = reviews
    if count < 1:
        text = f"a pull request to {name} needs no approval before it is merged and executed"
        yield Check("reviews", Verdict.LOOK, text, f"set `required_approving_review_count` to 1 or more: {address}")
    else:
        yield good("reviews", f"a pull request to {name} needs {count} approval{'s' if count > 1 else ''}")
    if count >= 1 and not (dismisses or last_push):
        text = f"what is pushed to a pull request after its approval can be merged to {name} unseen"
        next = f"set `dismiss_stale_reviews_on_push` or `require_last_push_approval`: {address}"
        yield Check("stale reviews", Verdict.LOOK, text, next)
    if not _forbids_force(rules, protection):
        next = f"add the rule `non_fast_forward` (block force pushes) for {name}: {address}"
        yield Check("force pushes", Verdict.LOOK, f"the history of {name} can be replaced", next)


class Told(Struct, frozen=True):
    """Whom the workflows of a repository tell the checks of a plan, all of them together.

    `unplanned` are the filters that keep pull requests from being planned, each with its place; `has_groups`: one of the
    workflows is for merge groups, so that there is a queue, which classic branch protection does not tell of.
    """

    tellers: frozenset[Teller]
    unplanned: tuple[str, ...] = ()
    has_groups: bool = False


def check_required(rules: Json, protection: Json, wanted: str, branch: str, slug: str, told: Told) -> Iterator[Check]:
    """Whether the check that Shipway makes (`shipway/<lifecycle>/<target>`) has to be there before a merge, and can be.

    A required check that nobody tells leaves its pull request waiting for ever, so it is not advised.
    """
    required = [name for name in (wanted, f"{wanted}/fresh") if name in _required(rules, protection)]
    gaps = list(_gaps(rules, told))
    for text, next in gaps:
        if required:
            names = " and ".join(f"`{name}`" for name in required)
            text = f"`{branch}` requires {names}, and {text}: it could never be merged"
            yield Check("required check", Verdict.BAD, text, f"{next}, or require it no more")
        else:
            text = f"`{branch}` can be merged to without `{wanted}`; before it is required: {text}"
            yield Check("required check", Verdict.LOOK, text, f"{next}, then require `{wanted}`")
    if f"{wanted}/fresh" in required and Teller.AGAIN not in told.tellers:
        text = f"`{wanted}/fresh` is required on `{branch}`, and no job renews it where the base has moved"
        yield Check("required check", Verdict.LOOK, text, _STALENESS)
    elif required and not gaps:
        yield good("required check", f"{' and '.join(f'`{name}`' for name in required)} required on `{branch}`")
    elif not gaps:
        names = f"`{wanted}` and `{wanted}/fresh`" if Teller.AGAIN in told.tellers else f"`{wanted}`"
        next = f"add {names} to the required status checks of `{branch}`: https://github.com/{slug}/settings/rules"
        yield Check("required check", Verdict.LOOK, f"`{branch}` can be merged to without `{wanted}`", next)


_STALENESS = "add a job with `command: check` under `push` and `merge_group`: docs/github.md#staleness-before-merge"


def _gaps(rules: Json, told: Told) -> Iterator[tuple[str, str]]:
    """What would never be told the check, with what to do first."""
    if Teller.HEADS not in told.tellers:
        yield "no job tells it on a pull request", "plan in a job with `command: plan` under `pull_request`"
    for where in told.unplanned:
        yield (
            f"a pull request that {where} leaves out is not planned",
            "plan each: `reads` of a step says what it depends on",
        )
    if Teller.FORKS not in told.tellers:
        yield "no job tells it on a fork's pull request", "`shipway init --forks` writes the workflows for it"
    has_groups = told.has_groups or any(mapping(rule).get("type") == "merge_queue" for rule in _items(rules))
    if has_groups and Teller.GROUPS not in told.tellers:
        yield "no job tells it on a merge group, whose queue waits for it", _STALENESS


def _required(rules: Json, protection: Json) -> frozenset[str]:
    names = [
        str(mapping(one).get("context"))
        for rule in _of_kind(rules, "required_status_checks")
        for one in _list(rule, "required_status_checks")
    ]
    checks = mapping(mapping(protection).get("required_status_checks"))
    names += [str(one) for one in _list(checks, "contexts")] + [
        str(mapping(one).get("context")) for one in _list(checks, "checks")
    ]
    return frozenset(names)


def _reviews(rules: Json, protection: Json) -> tuple[int, bool, bool] | None:
    """Approvals, whether a push dismisses them, whether the last push needs one of its own; None: no pull request is required."""
    told = [
        (
            _count(rule.get("required_approving_review_count")),
            rule.get("dismiss_stale_reviews_on_push") is True,
            rule.get("require_last_push_approval") is True,
        )
        for rule in _of_kind(rules, "pull_request")
    ]
    by_branch = mapping(protection).get("required_pull_request_reviews")
    if isinstance(by_branch, Mapping):
        told.append(
            (
                _count(by_branch.get("required_approving_review_count")),
                by_branch.get("dismiss_stale_reviews") is True,
                by_branch.get("require_last_push_approval") is True,
            )
        )
    if not told:
        return None
    return max(one[0] for one in told), any(one[1] for one in told), any(one[2] for one in told)


def _forbids_force(rules: Json, protection: Json) -> bool:
    if any(mapping(rule).get("type") == "non_fast_forward" for rule in _items(rules)):
        return True
    allowed = mapping(mapping(protection).get("allow_force_pushes")).get("enabled")
    return isinstance(protection, Mapping) and allowed is not True


def _of_kind(rules: Json, kind: str) -> Iterator[Mapping[str, Json]]:
    for rule in _items(rules):
        if mapping(rule).get("type") == kind:
            yield mapping(mapping(rule).get("parameters"))


def _items(value: Json) -> Sequence[Json]:
    return value if isinstance(value, Sequence) and not isinstance(value, str) else ()


def _list(value: Mapping[str, Json], name: str) -> Sequence[Json]:
    return _items(value.get(name))


def _count(value: Json) -> int:
    return value if isinstance(value, int) else 0
