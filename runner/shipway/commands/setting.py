"""What every command on a lifecycle begins with: the file, the repository, the target, and who listens."""

from __future__ import annotations

import re
import signal
from argparse import Namespace
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from shipway import declaration
from shipway.attempt import Grace
from shipway.canonical import mapping
from shipway.commands.stores import open_locks, open_shelf, open_state, open_vault, precedents_of, receipts_of
from shipway.context import Context
from shipway.declaration import StateRule
from shipway.declaration_files import DEFAULT_FILE, read_merged
from shipway.declaring import state_rule
from shipway.errors import DeclarationError, Reason, ShipwayError, UsageError
from shipway.events import Events, Warned
from shipway.forges.job_identity import job_identity
from shipway.interruption import Interruption
from shipway.links import Anchor
from shipway.loading import load_declaration
from shipway.plan import Plan
from shipway.planning import Selection
from shipway.policy import Labels
from shipway.receipt import Receipt
from shipway.redaction import trusted
from shipway.registry import Registry
from shipway.repository import Repository, open_repository
from shipway.state import State
from shipway.trigger import strangers_work
from shipway.undertaking import Reporter, Request, Surroundings
from shipway.workspace import DIRECTORY, Workspace

if TYPE_CHECKING:
    from shipway.journal_file import JournalFile

DEFAULT_TARGET = "default"

GRACE_AT_TERMINAL = Grace(interrupt_ms=5_000, terminate_ms=5_000)
GRACE_IN_CI = Grace(interrupt_ms=2_000, terminate_ms=2_000)
"""In CI all endings take 4 s at most: GitHub kills 10 s after its first signal, and the receipt has to be written."""


def find_file(arguments: Namespace, context: Context) -> Path:
    """The declaration: the one given, else the nearest `shipway.yml` in this directory or above. Raises UsageError."""
    if arguments.file:
        path = context.cwd / str(arguments.file)
        if path.is_file():
            return path
        raise UsageError(
            f"there is no file `{arguments.file}`",
            reason=Reason.DECLARATION_MISSING,
            next="name the declaration with `-f FILE`",
        )
    for directory in (context.cwd, *context.cwd.parents):
        if (directory / DEFAULT_FILE).is_file():
            return directory / DEFAULT_FILE
    raise UsageError(
        f"there is no `{DEFAULT_FILE}` in `{context.cwd}` or above",
        reason=Reason.DECLARATION_MISSING,
        next="write one with `shipway init`, or name another file with `-f FILE`",
    )


def lifecycle_in(arguments: Namespace, context: Context) -> str:
    """The name of the lifecycle that the declaration describes which `find_file` finds."""
    file = find_file(arguments, context)
    return load_declaration(file, root=repository_of(file, context).root).name


def find_target(wanted: str | None, file: Path, repository: Repository) -> str:
    """The target: the one given; else the only one declared; `default` where none is. Raises UsageError where one must be named."""
    if wanted:
        return wanted
    if b"targets" not in file.read_bytes():
        return DEFAULT_TARGET  # the usual case, and one reading of a large file less
    targets = load_declaration(file, root=repository.root).targets
    if targets is None:
        return DEFAULT_TARGET
    names = list(targets)
    concrete = [name for name in names if "*" not in name]
    if len(concrete) == 1 and len(names) == 1:
        return concrete[0]
    listed = ", ".join(f"`{name}`" for name in names)
    raise UsageError(
        f"name a target: this lifecycle has {listed}", next="for example `--target " + (concrete or ["pr-1"])[0] + "`"
    )


_NAME_LINE = re.compile(rb"""^name:[ \t]*["']?([a-z0-9][a-z0-9-]{0,63})["']?[ \t]*(?:#.*)?$""", re.MULTILINE)


def names_in(file: Path, wanted: str) -> tuple[str, str] | None:
    """Lifecycle and target of a declaration that does not load, as far as it says them in the usual way; else None."""
    content = file.read_bytes()
    found = _NAME_LINE.search(content)
    target = wanted or ("" if b"targets" in content else DEFAULT_TARGET)
    return (found[1].decode(), target) if found and target else None


def said_state(file: Path, root: Path, target: str | None) -> StateRule | None:
    """Where a declaration that does not load says its state is kept; None where not even that can be read."""
    try:
        return state_rule(mapping(read_merged(file, root, target).data).get("state"))
    except (DeclarationError, ValueError):
        return None


def asked_of(arguments: Namespace, context: Context) -> tuple[Request, Repository]:
    """What a command on a lifecycle was asked for, as a dry run, and the checkout that it is about."""
    refuse_strangers(context)
    file = find_file(arguments, context)
    repository = repository_of(file, context)
    target = find_target(arguments.target, file, repository)
    return Request(file, target, inputs=inputs_of(arguments), selection=selection_of(arguments)), repository


class Unreported:
    """Reports to nobody: the command shows what it found by itself, and leaves nothing behind."""

    def report(self, plan: Plan | None, receipt: Receipt | None) -> None:
        """Nothing is delivered."""


def refuse_strangers(context: Context) -> None:
    """Raises UsageError in a job that has credentials for a stranger's event, before any file of the checkout is read."""
    work = strangers_work(context.ci) if context.ci else None
    if work is not None:
        raise UsageError(work.why, reason=work.reason, next=work.next)


def selection_of(arguments: Namespace) -> Selection:
    """The part of the lifecycle that was asked for."""
    return Selection(tuple(arguments.stage), tuple(arguments.skip))


def inputs_of(arguments: Namespace) -> Mapping[str, str]:
    """Inputs as given, by name. Raises UsageError for one without `=`."""
    found: dict[str, str] = {}
    for text in arguments.input:
        name, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"`--input {text}` has no `=`", next="write `--input NAME=VALUE`")
        found[name] = value
    return found


def repository_of(file: Path, context: Context) -> Repository:
    """The checkout that the declaration is in."""
    return open_repository(file.parent, context.env)


def root_here(context: Context) -> Path:
    """The root of the checkout around this directory; outside git the nearest directory above that Shipway has worked in."""
    repository = open_repository(context.cwd, context.env)
    if repository.is_git:
        return repository.root
    above = (context.cwd, *context.cwd.parents)
    return next((path for path in above if (path / DIRECTORY).is_dir() or (path / DEFAULT_FILE).is_file()), context.cwd)


def surroundings(
    context: Context, repository: Repository, events: Events, reporter: Reporter, *, is_run: bool = False
) -> Surroundings:
    """What a lifecycle works in, for this call. What `is_run` may leave notes in the workspace, a plan none."""
    return Surroundings(
        context=context,
        repository=repository,
        registry=Registry(),
        events=events,
        reporter=reporter,
        interruption=Interruption(),
        grace=GRACE_IN_CI if context.ci else GRACE_AT_TERMINAL,
        processors=context.processors,
        journals=lambda: journal_of(repository.root, context),
        labels=lambda: _labels(context),
        open_locks=lambda declared, secrets: open_locks(declared, secrets, context, repository),
        open_state=lambda declared, secrets, target: open_state(declared, secrets, target, context, repository),
        open_vault=open_vault,
        open_shelf=lambda declared, secrets, target: open_shelf(declared, secrets, target, context, repository),
        receipts=lambda declared, target: receipts_of(declared, target, context, repository),
        anchors=lambda declared, target: _anchors(declared, target, context, repository, events),
        prior=lambda declared, target, run: _prior(declared, target, run, context, repository, keep=is_run),
        precedents=lambda declared, target: precedents_of(declared, target, context, repository),
        issuer=job_identity(context.env, context.now),
    )


def journal_of(root: Path, context: Context) -> JournalFile:
    """The journal of the checkout at `root`; nothing is made before something is written to it."""
    from shipway.journal_file import JournalFile  # late: only what executes or looks back needs SQLite

    return JournalFile(
        Workspace(root),
        token=lambda: context.random_hex(16),
        unix_ms=lambda: int(context.now().timestamp() * 1000),
    )


def _prior(
    declared: declaration.Declaration, target: str, run: str, context: Context, repository: Repository, *, keep: bool
) -> State:
    from shipway.commands.state_cache import prior_state  # late: only a backend that looks back asks for it

    return prior_state(declared, target, context, repository, keep=keep, without=run)


def _anchors(
    declared: declaration.Declaration, target: str, context: Context, repository: Repository, events: Events
) -> Iterator[Anchor]:
    from shipway.commands.anchors import anchor_here, anchor_on_forge  # late: few runs ask for them

    yield from anchor_here(declared, target, repository.root)
    try:
        yield from anchor_on_forge(declared.name, target, context)
    except ShipwayError as error:  # a job need not be allowed to: docs/github.md
        events.emit(Warned(trusted(f"GitHub was not asked for the last receipt of `{target}`: {error.message}")))


def _labels(context: Context) -> Labels:
    from shipway.commands.labels import labels_of  # late: only a plan that deletes something asks for them

    return labels_of(context)


@contextmanager
def heeding_signals(interruption: Interruption) -> Iterator[None]:
    """While inside, SIGINT, SIGTERM and SIGHUP are told to `interruption` instead of ending the process."""
    heeded = [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]

    def strike(number: int, frame: FrameType | None) -> None:
        interruption.strike()

    before = {number: signal.signal(number, strike) for number in heeded}
    if hasattr(signal, "SIGCHLD"):
        # Whoever started us may ignore it, and then no child's exit code could be learnt.
        before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def refuse_on_windows(context: Context) -> None:
    """Raises UsageError on Windows, where process groups and signals that a rollback relies on do not exist."""
    if context.platform.os == "windows":
        raise UsageError(
            "shipway does not execute lifecycles on Windows",
            reason=Reason.PLATFORM_UNSUPPORTED,
            next="`validate`, `plan`, `show` and `graph` work here; run on Linux or macOS, or in WSL",
        )
