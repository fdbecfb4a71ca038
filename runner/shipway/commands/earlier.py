"""The run that an earlier attempt of this CI job began: found by its journal, so that a re-run goes on with it."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import TypedDict

from msgspec import Struct

from shipway.ci import CiContext, Provider
from shipway.commands.handover import JOURNAL_FILE, artifact_name
from shipway.commands.stores import fetch_runs, github_of
from shipway.context import Context
from shipway.declaration import Declaration, StateStore
from shipway.errors import Reason, UnreachableError
from shipway.forges.forge import Artifact, ForgeError
from shipway.planning import Selection
from shipway.repository import Repository
from shipway.run_record import RunRecord, RunStatus
from shipway.takeover import GoOn
from shipway.workspace import Workspace, write_atomically

_JOURNAL_BYTES_MAX = 256_000_000


class _Asked(TypedDict, total=False):
    go_on: GoOn
    inputs: dict[str, str]
    selection: Selection


class Earlier(Struct, frozen=True):
    """What an earlier attempt means for this one: parts of the request, none for a new run, and what to say about it."""

    asked: _Asked
    said: str = ""


def find_earlier(
    declared: Declaration, target: str, context: Context, ci: CiContext, repository: Repository
) -> Earlier:
    """What the attempts before this one left to go on with.

    Raises UnreachableError where that cannot be found out: a new run could do again what one before has done.
    """
    if ci.run_attempt < 2 or ci.provider is not Provider.GITHUB:
        return Earlier(_Asked())
    if declared.state.store is StateStore.LOCAL:
        _fetch_artifact(declared.name, target, context, ci, repository)
    else:
        fetch_runs(declared, target, context, repository)
    record = _last_of(declared.name, target, context, ci, repository)
    attempt = f"attempt {ci.run_attempt}"
    if record is None:
        return Earlier(_Asked(), f"{attempt}: no attempt before left a journal; a new run begins")
    run, status = record.summary.run, record.summary.status
    if status is RunStatus.SUCCEEDED:
        return Earlier(_Asked(), f"{attempt}: run {run} of an attempt before succeeded; a new run begins")
    opening = record.opening
    asked = _Asked(go_on=GoOn(run), inputs=dict(opening.inputs), selection=Selection(opening.stages, opening.skipped))
    return Earlier(asked, f"{attempt}: going on with run {run}, which attempt {_attempt_of(record)} began")


def run_of_attempt(context: Context, ci: CiContext, repository: Repository, lifecycle: str, target: str) -> str | None:
    """The run that this CI run, in this or an earlier attempt, carried out last in this checkout; None where it began none."""
    record = _last_of(lifecycle, target, context, ci, repository)
    return record.summary.run if record else None


def keep_journal(run: str, repository: Repository, folder: Path) -> Path:
    """Copy the journal of a run into a folder. Raises UnreachableError."""
    from shipway.journal_copy import copy_run  # late: SQLite

    path = folder / JOURNAL_FILE
    write_atomically(path, copy_run(Workspace(repository.root).journal, run), 0o644)
    return path


def _fetch_artifact(lifecycle: str, target: str, context: Context, ci: CiContext, repository: Repository) -> None:
    """Bring the journal of the latest attempt that left one into the checkout's own."""
    from shipway.journal_copy import merge_run  # late: SQLite

    if ci.token is None:
        raise ForgeError(
            "whether an attempt before left a journal cannot be asked: the job has no token",
            reason=Reason.FORGE_PERMISSION,
            next="pass the action its `token`, with `permissions: {actions: read}`",
        )
    forge = github_of(ci, context)
    named = {artifact.name: artifact for artifact in forge.artifacts(ci.run_id)}
    for attempt in range(ci.run_attempt - 1, 0, -1):
        for purpose in ("receipt", "journal", "plan"):
            found = named.get(artifact_name(purpose, lifecycle, target, context, ci, attempt))
            content = _journal_in(forge.archive(found), found) if found else None
            if content is not None:
                workspace = Workspace(repository.root)
                workspace.make_directory()
                merge_run(workspace.journal, content)
                return


def _journal_in(archive: bytes, artifact: Artifact) -> bytes | None:
    """The journal in an artifact's zip file, None where there is none. Only this one member is read, and only so far."""
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as members:
            if JOURNAL_FILE not in members.namelist():
                return None
            with members.open(JOURNAL_FILE) as member:
                content = member.read(_JOURNAL_BYTES_MAX + 1)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, RuntimeError) as error:
        raise _unreadable(artifact, str(error)) from error
    if len(content) > _JOURNAL_BYTES_MAX:
        raise _unreadable(artifact, f"its journal has more than {_JOURNAL_BYTES_MAX} bytes")
    return content


def _unreadable(artifact: Artifact, why: str) -> UnreachableError:
    return UnreachableError(
        f"artifact `{artifact.name}` cannot be read: {why}",
        reason=Reason.JOURNAL_DAMAGED,
        next="look at what the attempt before did, then start a new run of the workflow",
    )


def _last_of(lifecycle: str, target: str, context: Context, ci: CiContext, repository: Repository) -> RunRecord | None:
    from shipway.commands.setting import journal_of  # late: SQLite comes with it

    journal = journal_of(repository.root, context)
    for summary in journal.runs():
        if (summary.lifecycle, summary.target) == (lifecycle, target):
            record = journal.read(summary.run)
            if record.opening.by.get("run") == ci.run_id:
                return record
    return None


def _attempt_of(record: RunRecord) -> str:
    return str(record.opening.by.get("attempt") or 1)
