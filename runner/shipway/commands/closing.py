"""What becomes of a plan's comment once the plan counts no more, and of a closed pull request's lock. Executes nothing."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from msgspec.structs import replace

from shipway.ci import CiContext
from shipway.commands.delivery import open_forge, post_view
from shipway.commands.lock_desk import Desk, open_desk
from shipway.commands.previous import Previous, find_previous, plan_of_head
from shipway.commands.reporting import links_of
from shipway.commands.unlock import free_lock, freed_line
from shipway.context import Context
from shipway.declaration import Declaration
from shipway.errors import ShipwayError
from shipway.forges.forge import Forge, Outcome, Posted
from shipway.locks import PREFIX, Holder, Lock
from shipway.redaction import Redactor
from shipway.render.wording import short_commit
from shipway.store import StoreError
from shipway.view import View

CLOSED = "closed"
"""What stands beside the title of a plan whose pull request was closed without a merge."""


def mark_closed(lifecycle: str, target: str, context: Context) -> Posted:
    """Head the plan's comment `closed`, drawn anew from the artifact of the run that planned the head."""
    said: list[str] = []
    ci = context.ci
    assert ci is not None
    if _was_merged(ci):
        return Posted(Outcome.REFUSED, why="what was merged is reported by the run that executes it")
    redact = Redactor({"GITHUB_TOKEN": ci.token.value} if ci.token else {}).redact
    forge = open_forge(ci, context, redact, is_trusted=True)
    if isinstance(forge, Posted):
        return forge
    found = plan_of_head(forge, ci, lifecycle, target, said.append)
    if found is None:
        return Posted(Outcome.DEFERRED, why="; ".join(said) or "no run of this workflow left a plan of this head")
    return _restated(forge, ci, found, CLOSED)


def free_own_locks(declared: Declaration, target: str, file: Path, context: Context) -> str:
    """Give back the lock of the pull request's own target (`pr-7` for pull request 7), whoever left it; what became of it.

    With it go the locks that are shared with others, if the same run left them. Empty for any other target: its locks are not
    the pull request's. What a run holds that may go on stays held.
    """
    ci = context.ci
    if ci is None or target != f"pr-{ci.pull_request}" or not declared.is_locked:
        return ""
    try:
        with open_desk(Namespace(file=str(file), target=target, name=[]), context, writes=True) as desk:
            own = [free_lock(desk, name, force=False) for name in desk.names]
            shared = [free_lock(desk, name, force=False) for lock in own for name in _left_with(desk, lock)]
            return "; ".join(freed_line(lock).rstrip() for lock in (*own, *shared))
    except ShipwayError as error:
        return f"the lock of `{declared.name}` on `{target}` was not given back: {error.message}; {error.next}"


def _left_with(desk: Desk, own: Lock) -> Iterator[str]:
    """The locks that whoever held this one holds besides: by the same claim, or as the same run of CI in a later one."""
    holder = own.holder
    if holder is None:
        return
    for key in desk.store.entries(PREFIX):
        with suppress(StoreError):  # a broken record is somebody else's, as far as can be told
            lock, _ = desk.lock(key.removeprefix(PREFIX))
            other = lock.holder
            if other is not None and (other.id == holder.id or (holder.run and _run_of(other) == _run_of(holder))):
                yield lock.name


def _run_of(holder: Holder) -> tuple[str, str, str]:
    return holder.provider, holder.repository, holder.run


def mark_stale(lifecycle: str, target: str, context: Context) -> Posted | None:
    """Head the comment of the plan before `stale`, where what the head has moved to cannot be planned; None without one."""
    ci = context.ci
    assert ci is not None
    redact = Redactor({"GITHUB_TOKEN": ci.token.value} if ci.token else {}).redact
    found = find_previous(lifecycle, target, context, redact, lambda why: None)
    if found is None:
        return None
    forge = open_forge(ci, context, redact, is_trusted=True)
    if isinstance(forge, Posted):
        return forge
    needed = f"What is at `{short_commit(ci.head_sha)}` cannot be planned: the check says why."
    return _restated(forge, ci, found, f"stale: head moved to `{short_commit(ci.head_sha)}`", needed)


def _restated(forge: Forge, ci: CiContext, found: Previous, stands: str, needed: str = "") -> Posted:
    """Draw the plan anew from the artifact of its run, as what it is now."""
    runs_url = f"{ci.server_url}/{ci.repository}/actions/runs"
    view = View(
        found.plan.lifecycle,
        found.plan.target,
        found.plan,
        head=found.history[0].commit,
        history=found.history[1:],
        runs_url=runs_url,
        stands=stands,
        needed=needed,
    )
    artifact_url = f"{runs_url}/{found.run}/artifacts/{found.artifact}"
    shown = replace(ci, head_sha=view.head)  # the declaration as it was planned
    links = links_of(shown, found.plan, artifact_id=str(found.artifact), artifact_url=artifact_url)
    return post_view(forge, ci, view, links)


def _was_merged(ci: CiContext) -> bool:
    pull = ci.payload.get("pull_request")
    return isinstance(pull, dict) and pull.get("merged") is True
