"""Real runs for tests: a declaration in a directory, taken through its phases here or by the real command line."""

from __future__ import annotations

import os
import select
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from textwrap import dedent

from shipway.approval import Approver, nobody
from shipway.attempt import Grace
from shipway.ci import ci_context
from shipway.context import Context, Invoker, Platform
from shipway.declaration import Declaration
from shipway.errors import ShipwayError
from shipway.events import Event, Events, NodeFinished, NodeStarted
from shipway.interruption import Interruption
from shipway.journal_file import JournalFile
from shipway.lifecycle import run_lifecycle
from shipway.nodes import Outcome
from shipway.plan import Plan
from shipway.privilege import has_privilege
from shipway.receipt import NodeResult, Receipt
from shipway.registry import Registry
from shipway.repository import open_repository
from shipway.shelf import Shelf
from shipway.state import State
from shipway.stores.local_files import LocalFiles
from shipway.takeover import GoOn
from shipway.undertaking import Finished, Reporter, Request, Surroundings
from shipway.workspace import Workspace
from tests.forked_command import COMMAND, call_command

SHIPWAY = COMMAND
GRACE = Grace(interrupt_ms=200, terminate_ms=200)
_LONG_AGO = datetime(2001, 1, 1, tzinfo=UTC)
PATIENCE_S = 60
"""How long a test waits for what must come; only a failing test ever waits that long."""


@dataclass
class Kept:
    """A reporter that keeps what it is given, and raises `error` if it has one."""

    error: ShipwayError | None = None
    plan: Plan | None = None
    receipt: Receipt | None = None
    calls: int = 0

    def report(self, plan: Plan | None, receipt: Receipt | None) -> None:
        self.plan, self.receipt = plan, receipt
        self.calls += 1
        if self.error is not None:
            raise self.error


@dataclass
class Ran:
    """What came of a run, and what was announced on the way."""

    root: Path
    finished: Finished
    events: list[Event]
    faults: list[str]

    @property
    def receipt(self) -> Receipt:
        assert self.finished.receipt is not None, self.finished.error
        return self.finished.receipt

    @property
    def error(self) -> ShipwayError:
        assert self.finished.error is not None
        return self.finished.error

    @property
    def exit_code(self) -> int:
        return self.receipt.exit_code

    def __getitem__(self, node: str) -> NodeResult:
        return self.receipt.by_id[node]

    @property
    def outcomes(self) -> dict[str, str]:
        """Outcome by the id of the node without its stage, where that is `main`."""
        return {result.node.removeprefix("main/"): result.outcome.value for result in self.receipt.nodes}

    @property
    def started(self) -> list[str]:
        return [event.node.removeprefix("main/") for event in self.events if isinstance(event, NodeStarted)]

    def log(self, node: str) -> str:
        """The whole log of a node, empty where it has none."""
        [event] = [event for event in self.events if isinstance(event, NodeFinished) and event.node == node]
        return Path(event.log).read_text() if event.log else ""

    def most_at_once(self) -> int:
        """How many nodes were between their started and finished events at most."""
        running = most = 0
        for event in self.events:
            running += isinstance(event, NodeStarted)
            running -= isinstance(event, NodeFinished) and event.node in self._ever_started
            most = max(most, running)
        return most

    @property
    def _ever_started(self) -> set[str]:
        return {event.node for event in self.events if isinstance(event, NodeStarted)}


@dataclass
class Setting:
    """How a run is started; every part has a default that fits most tests."""

    env: Mapping[str, str] = field(default_factory=dict)
    registry: Registry = field(default_factory=Registry)
    reporter: Reporter = field(default_factory=Kept)
    interruption: Interruption = field(default_factory=Interruption)
    subscribers: Sequence[Callable[[Event], None]] = ()
    grace: Grace = GRACE
    processors: int = 4
    target: str = "default"
    given: Plan | None = None
    confirm: Callable[[Plan], bool] = lambda plan: True
    go_on: GoOn | None = None
    approver: Approver = nobody
    strike: Callable[[str], None] = lambda name: None
    check_head: Callable[[Plan], None] = lambda plan: None
    checks_each: bool = False
    derived_from: tuple[str, ...] = ()
    is_terminal: bool = False
    has_privilege: Callable[[Mapping[str, str]], bool] = has_privilege
    prior: Callable[[Declaration, str], State] = lambda declaration, target: State()
    speed: int = 1
    """How many times faster than real the run's clock goes."""


def declare(root: Path, text: str, name: str = "shipway.yml") -> Path:
    """Write a declaration; `text` is what follows `version` and `name`."""
    file = root / name
    file.write_text("version: 1\nname: test\n" + dedent(text))
    return file


def environment(**more: str) -> dict[str, str]:
    """The environment of a run: where programs are, and what a test adds."""
    return {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **more}


def context_of(root: Path, env: Mapping[str, str], *, is_terminal: bool = False, speed: int = 1) -> Context:
    ci = ci_context(env, {})
    return Context(
        env=env,
        cwd=root,
        home=root,
        invoker=Invoker.LOCAL if ci is None else Invoker.CI,
        ci=ci,
        platform=Platform("linux", "amd64", "3.11.0"),
        stdin_is_tty=is_terminal,
        stdout_is_tty=is_terminal,
        no_color=True,
        columns=100,
        monotonic_ns=lambda: time.monotonic_ns() * speed,
        now=lambda: datetime.now(UTC) if speed == 1 else _LONG_AGO + timedelta(seconds=time.monotonic() * speed),
    )


def journal_of(
    root: Path, context: Context | None = None, strike: Callable[[str], None] = lambda name: None
) -> JournalFile:
    """The journal of what ran in `root`."""
    context = context or context_of(root, environment())
    return JournalFile(
        Workspace(root),
        token=lambda: context.random_hex(16),
        unix_ms=lambda: int(context.now().timestamp() * 1000),
        strike=strike,
    )


def run(
    root: Path,
    text: str | None = None,
    setting: Setting | None = None,
    *,
    execute: bool = True,
    live: bool = False,
    file: Path | None = None,
) -> Ran:
    """Take the lifecycle declared by `text`, or the one that is there, through all its phases in this process."""
    setting = setting or Setting()
    file = (file or root / "shipway.yml") if text is None else declare(root, text)
    context = context_of(root, environment(**setting.env), is_terminal=setting.is_terminal, speed=setting.speed)
    seen: list[Event] = []
    events = Events(seen.append, *setting.subscribers, wants_output=live)
    around = Surroundings(
        context=context,
        repository=open_repository(root, context.env),
        registry=setting.registry,
        events=events,
        reporter=setting.reporter,
        interruption=setting.interruption,
        grace=setting.grace,
        processors=setting.processors,
        has_privilege=setting.has_privilege,
        prior=lambda declared, target, run: setting.prior(declared, target),
        journals=lambda: journal_of(root, context, setting.strike),
        open_shelf=lambda declared, secrets, target: Shelf(
            declared.name, target, lambda: LocalFiles(Workspace(root).make_records()), is_private=True
        ),
    )
    request = Request(
        file,
        setting.target,
        execute=execute,
        given=setting.given,
        go_on=setting.go_on,
        confirm=setting.confirm,
        approver=setting.approver,
        check_head=setting.check_head,
        checks_each=setting.checks_each,
        derived_from=setting.derived_from,
    )
    return Ran(root, run_lifecycle(request, around), seen, events.faults)


@dataclass
class Called:
    """What a call of the real command line left."""

    exit_code: int
    out: str
    err: str

    def __str__(self) -> str:
        return f"exit {self.exit_code}\n{self.out}\n{self.err}"


def begin(root: Path, *arguments: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """Start `shipway` in `root` with null as input."""
    return subprocess.Popen(
        [*SHIPWAY, *arguments],
        cwd=root,
        env={**environment(), **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> Called:
    """Wait for its end."""
    try:
        out, err = process.communicate(timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise AssertionError(f"shipway did not end\n{out}\n{err}") from None
    return Called(process.returncode, out, err)


def call(root: Path, *arguments: str, env: Mapping[str, str] | None = None) -> Called:
    """Run `shipway` to its end."""
    done = call_command(arguments, root, {**environment(), **(env or {})})
    return Called(done.returncode, done.stdout, done.stderr)


def call_anew(root: Path, *arguments: str, env: Mapping[str, str] | None = None) -> Called:
    """Run `shipway` to its end in a Python that is started for it: for what its start and its environment decide."""
    return finish(begin(root, *arguments, env=env))


class Lifeline:
    """A pipe that processes hold open: `is_held` as long as one of those that opened it for writing lives."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self._descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)

    def is_held(self) -> bool:
        try:
            while os.read(self._descriptor, 4096):
                pass
        except BlockingIOError:
            return True
        return False

    def wait(self) -> str:
        """What is written next, once something is."""
        waiting = select.poll()
        waiting.register(self._descriptor, select.POLLIN)
        while waiting.poll(PATIENCE_S * 1000):
            # Woken by the end of one writer, it may find another that has not written yet.
            with suppress(BlockingIOError):
                return os.read(self._descriptor, 4096).decode()
        raise AssertionError("nothing was written")


def outcomes(results: Sequence[NodeResult]) -> dict[str, Outcome]:
    return {result.node: result.outcome for result in results}


def stage(steps: str, *, lasting: bool = False, defaults: str = "", more: str = "") -> str:
    """A declaration of one stage `main` with these steps; `more` are keys of the top level."""
    lines = ["      " + line for line in dedent(steps).strip().splitlines()]
    head = [dedent(more).strip(), f"defaults: {{{defaults}}}" if defaults else "", "stages:", "  main:"]
    head += [f"    lasting: {str(lasting).lower()}", "    steps:"]
    return "\n".join([*filter(None, head), *lines]) + "\n"
