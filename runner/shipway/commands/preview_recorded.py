"""Environments whose declaration is not to be had where a job runs: found by their records, and taken down by what these hold.

As where a pull request first adds the declaration, so that its base has none, or where that of the base is broken.
"""

from __future__ import annotations

import json
import os
from argparse import Namespace
from collections.abc import Generator, Iterator
from contextlib import closing, suppress
from pathlib import Path

from msgspec.structs import replace

from shipway.canonical import mapping
from shipway.commands.action_job import Inputs, job_of
from shipway.commands.action_voyage import set_outputs
from shipway.commands.preview_job import environment_job
from shipway.commands.preview_sweep import sweep
from shipway.commands.setting import said_state
from shipway.commands.stores import open_store
from shipway.commands.telling import say
from shipway.context import Context
from shipway.declaration import StateRule, StateStore
from shipway.declaration_files import DEFAULT_FILE
from shipway.environment_record import EnvironmentRecord, load_environment
from shipway.environments import PREFIX
from shipway.errors import EXIT_DONE, Reason, ShipwayError, UsageError
from shipway.preview_derivation import as_file
from shipway.preview_names import PREVIEWS
from shipway.preview_trigger import own_target, preview_work
from shipway.render.workflow import WorkflowLog
from shipway.repository import Repository, open_repository
from shipway.store import Store, StoreError
from shipway.trigger import WorkKind
from shipway.workspace import Workspace, write_atomically

_UNREADABLE = (Reason.DECLARATION_INVALID, Reason.DECLARATION_MISSING)
_MADE = "recorded.yml"


def recorded_work(error: ShipwayError, context: Context, inputs: Inputs, log: WorkflowLog, arguments: Namespace) -> int:
    """What the job comes to though its declaration cannot be read, where it only takes away. Raises `error` where it does not."""
    if error.reason not in _UNREADABLE or context.ci is None:
        raise error
    target = inputs.target or own_target(context.ci)
    work = preview_work(inputs.command, context.ci, target)
    if work is None or work.kind not in (WorkKind.DOWN, WorkKind.GC):
        raise error
    return _taken_away(error, work.kind, target, context, inputs, log, arguments)


def undeclared_end(state: StateRule, context: Context, inputs: Inputs, log: WorkflowLog, arguments: Namespace) -> int:
    """`down` of the environment that a closed pull request had by a declaration of its own: that of its base has no previews."""
    assert context.ci is not None
    repository = open_repository(context.cwd, context.env)
    codes = [EXIT_DONE]
    try:
        with closing(_files([state], own_target(context.ci), context, repository, inputs)) as files:
            codes += [_down(file, context, inputs, log, arguments) for file in files]
    except StoreError as error:  # of most lifecycles there is nothing to be asked
        say(f"whether it had an environment is not known: {error.message}", log)
    set_outputs(log, {"exit-code": str(max(codes))})
    return max(codes)


def _taken_away(
    error: ShipwayError,
    kind: WorkKind,
    target: str,
    context: Context,
    inputs: Inputs,
    log: WorkflowLog,
    arguments: Namespace,
) -> int:
    is_missing = error.reason is Reason.DECLARATION_MISSING
    repository = open_repository(context.cwd, context.env)
    file = context.cwd / (inputs.file or DEFAULT_FILE)
    said = said_state(file, repository.root, target or None) if file.is_file() else None
    rules = [said] if said is not None else [StateRule(), StateRule(StateStore.GIT)]
    codes: list[int] = []
    with closing(_files(rules, target if kind is WorkKind.DOWN else "", context, repository, inputs)) as files:
        for made in files:
            say(f"{error.message.splitlines()[0]}; its environments are taken away by what their records hold", log)
            if kind is WorkKind.DOWN:
                codes.append(_down(made, context, inputs, log, arguments))
            else:
                codes.append(sweep(context, replace(inputs, file=str(made)), log))
    if codes:
        return max(codes)
    if not is_missing and said is None:
        raise error  # its environments may be in a store that nobody knows of
    say("nothing to do: there is no environment by a declaration that was", log)
    set_outputs(log, {"exit-code": str(EXIT_DONE), "preview-state": ""})
    return EXIT_DONE


def _down(file: Path, context: Context, inputs: Inputs, log: WorkflowLog, arguments: Namespace) -> int:
    given = replace(inputs, file=str(file))
    return environment_job(job_of(context, given, log), given, log, arguments)


def _files(
    rules: list[StateRule], target: str, context: Context, repository: Repository, inputs: Inputs
) -> Generator[Path]:
    """The recorded declaration of each lifecycle that was declared in this job's file, as a file while it is at work.

    With `target` of those that have an environment of that name. Raises StoreError where a store does not answer.
    """
    shown = os.path.relpath(context.cwd / (inputs.file or DEFAULT_FILE), repository.root)
    seen: dict[str, EnvironmentRecord] = {}
    for rule in rules:
        secrets = {rule.url: context.env[rule.url]} if context.env.get(rule.url) else {}
        try:
            store = open_store(rule, secrets, context, repository, writes=False)
        except (UsageError, StoreError):
            continue  # no such store is here: no remote, no address of a database
        with closing(store):
            for record in _records(store):
                is_ours = record.file in ("", shown) and target in ("", record.target)
                if record.is_alive and record.declaration and is_ours:
                    seen.setdefault(record.lifecycle, record)
    for lifecycle, record in sorted(seen.items()):
        Workspace(repository.root).make_directory()
        path = repository.root / PREVIEWS / lifecycle / _MADE
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(path, as_file(mapping(json.loads(record.declaration))))
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)
            with suppress(OSError):  # environments of others are in them
                path.parent.rmdir()
                path.parent.parent.rmdir()


def _records(store: Store) -> Iterator[EnvironmentRecord]:
    for kept in store.entries(PREFIX).values():
        with suppress(ValueError):  # damaged ones are told of where they are swept
            yield load_environment(kept.content)
