"""Reviews, permissions, runs of a commit and heads of branches of the false GitHub."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from tests.forge.contract import example
from tests.forge.world import Grant, Run, World

if TYPE_CHECKING:
    from tests.forge.server import Seen

Answer = tuple[int, Any]
"""A status and a document; of 403 the permission that is missing, of 404 nothing."""


def answer(world: World, seen: Seen, grant: Grant) -> Answer | None:
    """The answer to a request about what this module knows; None for any other."""
    root = f"/repos/{world.repository}"
    routes: tuple[tuple[str, str, Callable[[World, Seen, str], Answer]], ...] = (
        (rf"{root}/pulls/(\d+)/reviews", "pull-requests", _reviews),
        (rf"{root}/issues/(\d+)/labels", "pull-requests", _labels),
        (rf"{root}/collaborators/([^/]+)/permission", "metadata", _permission),
        (rf"{root}/actions/runs()", "actions", _runs),
        (rf"{root}/git/ref/heads/(.+)", "contents", _branch),
        (rf"{root}/compare/(.+)", "contents", _compared),
    )
    for pattern, needed, carry_out in routes:
        match = re.fullmatch(pattern, seen.path)
        if match and seen.method == "GET":
            return carry_out(world, seen, unquote(match[1])) if needed in grant.permissions else (403, f"{needed}=read")
    return None


def run_document(world: World, run: Run) -> dict[str, Any]:
    """A workflow run as REST tells it."""
    document: dict[str, Any] = json.loads(example("workflow-run"))
    document |= {"id": run.id, "run_attempt": run.attempt, "run_started_at": run.started_at, "status": run.status}
    document |= {"event": run.event, "path": run.path, "head_sha": run.head, "head_branch": run.branch}
    document |= {"conclusion": run.conclusion, "created_at": run.created_at}
    document["head_repository"] |= {"id": run.repository}
    document["head_repository"]["owner"] |= {"login": run.owner}
    document["repository"] |= {"id": run.host}
    document["triggering_actor"] |= {"login": run.started_by, "id": world.accounts[run.started_by].id}
    return document


def _reviews(world: World, seen: Seen, number: str) -> Answer:
    pull = world.pulls.get(int(number))
    if pull is None:
        return 404, None
    listed = []
    for review in pull.reviews[_page(seen)]:
        (document,) = json.loads(example("pull-request-review-items"))
        account = world.accounts[review.login]
        document["user"] |= {"login": account.login, "id": account.id, "type": account.type}
        told = {"id": review.id, "state": review.state, "commit_id": review.commit}
        listed.append(document | told | {"submitted_at": review.submitted_at, "body": "approved: LGTM, ship it"})
    return 200, listed


def _labels(world: World, seen: Seen, number: str) -> Answer:
    pull = world.pulls.get(int(number))
    if pull is None:
        return 404, None
    (document, *_) = json.loads(example("label-items"))
    return 200, [document | {"name": name} for name in pull.labels[_page(seen)]]


def _permission(world: World, seen: Seen, login: str) -> Answer:
    account = world.accounts.get(login)
    if account is None:
        return 404, None
    document = json.loads(example("repository-collaborator-permission-response-if-user-has-admin-permissions"))
    role = world.roles.get(login, "read")
    legacy = {"maintain": "write", "triage": "read"}.get(role, role)
    document["user"] |= {"login": login, "id": account.id, "role_name": role}
    return 200, document | {"role_name": role, "permission": legacy}


def _runs(world: World, seen: Seen, _: str) -> Answer:
    """Runs of all workflows, the latest first, by head commit, event and branch where the query names them."""
    found = [
        run_document(world, run)
        for run in sorted(world.runs.values(), key=lambda run: run.id, reverse=True)
        if seen.query.get("head_sha", run.head) == run.head
        and seen.query.get("event", run.event) == run.event
        and seen.query.get("branch", run.branch) == run.branch
    ]
    return 200, {"total_count": len(found), "workflow_runs": found[_page(seen)]}


def _page(seen: Seen) -> slice:
    size, page = int(seen.query.get("per_page", "30")), int(seen.query.get("page", "1"))
    return slice((page - 1) * size, page * size)


def _branch(world: World, seen: Seen, name: str) -> Answer:
    if name not in world.branches:
        return 404, None
    document = json.loads(example("git-ref")) | {"ref": f"refs/heads/{name}"}
    document["object"]["sha"] = world.branches[name]
    return 200, document


def _named(now: str, before: str = "") -> dict[str, str]:
    return {"filename": now, **({"previous_filename": before, "status": "renamed"} if before else {})}


def _compared(world: World, seen: Seen, basehead: str) -> Answer:
    """A commit and a branch: `ahead` where the branch holds the commit, with what it has changed since; `diverged` where it
    held it once."""
    commit, _, branch = basehead.partition("...")
    is_head, is_held = world.branches.get(branch) == commit, commit in world.held.get(branch, ())
    if branch not in world.branches or not (is_head or is_held or commit in world.lost):
        return 404, None
    document = json.loads(example("commit-comparison"))
    (file,) = document["files"]
    document["files"] = [file | _named(*name.split(" <- ")) for name in world.changed.get(commit, ())]
    return 200, document | {"status": "identical" if is_head else "ahead" if is_held else "diverged"}
