"""How far each node of a run is, and what a run works with: the values that executing and unwinding share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from msgspec import Struct, field
from msgspec.structs import replace

from shipway.action import Action, Work
from shipway.attempt import Ended, Grace
from shipway.attempts import Attempts
from shipway.canonical import Json
from shipway.declaration import OnCancel
from shipway.errors import ShipwayError
from shipway.evaluation import Evaluation, Unresolved
from shipway.events import Events
from shipway.identity import ID_TOKEN, Identify
from shipway.journal import Journal
from shipway.nodes import Change, Immediate, Node, Outcome
from shipway.notebook import Notebook
from shipway.pace import OwnTokens, Tokens
from shipway.receipt import Attempt, NodeResult, RollbackEntry
from shipway.replay import Standing
from shipway.shelf import Shelf
from shipway.step_locks import StepLocks

STILL_RUNNING_MS = 60_000
"""After this long without output a running node is announced once more, and again after as long."""


class ExecutionOptions(Struct, frozen=True):
    """How to run: on how many processors, with which grace when something is ended, and what a cancellation does.

    `most_children` is how many at once the system leaves room for, whatever is asked; `usual_ms` what nodes took in earlier
    runs, by id, where that is known. `fail_after` is a node that fails once it has succeeded, for a drill. `checks_each`: before
    each node it is asked whether it is still to run, not only before what cannot be undone.
    """

    processors: int
    most_children: int
    grace: Grace
    on_cancel: OnCancel
    still_running_ms: int = STILL_RUNNING_MS
    usual_ms: Mapping[str, int] = field(default_factory=dict)
    fail_after: str = ""
    checks_each: bool = False


class Surroundings(Struct, frozen=True):
    """What an execution works with: directories, actions by name, base environment, clock, randomness, and who listens.

    `directory` is private to the run and on the workspace's file system, and so is `recovery`, which outlives the run.
    `clock_ms` counts from the start of the run; `fraction()` is random in [0, 1). `passed` gives the variables that
    `env_from` patterns let through. `check_head` raises where what cannot be undone is not to begin any more.
    `identify` gives what a step with `oidc` is known by.
    `shelf` is where actions keep what later runs need, `notebook` what those of this run note before they change something.
    """

    root: Path
    directory: Path
    recovery: Path
    require_action: Callable[[str], Action]
    base_env: Mapping[str, str]
    passed: Callable[[tuple[str, ...]], Mapping[str, str]]
    clock_ms: Callable[[], int]
    fraction: Callable[[], float]
    evaluation: Evaluation
    attempts: Attempts
    events: Events
    journal: Journal
    step_locks: StepLocks
    notebook: Notebook
    started_unix_ms: int
    tokens: Tokens = field(default_factory=OwnTokens)
    check_head: Callable[[], None] = lambda: None
    identify: Identify = lambda audience: ""
    shelf: Shelf | None = None

    def unix_ms(self) -> int:
        """The wall clock, carried on from the start of the run."""
        return self.started_unix_ms + self.clock_ms()


class Known(Struct, frozen=True):
    """What an earlier execution of the same run left of a node: its `result` as it stands, and how far it came.

    `outcome` is None where it is to be run (again), else its outcome in this execution too. `tried` are its
    attempts, of which `tried_before` were made before it was opened again, and the first `taken_back` were undone.
    """

    result: NodeResult
    outcome: Outcome | None = None
    order: int = -1
    began: bool = False
    last: Ended | None = None
    tried: tuple[Attempt, ...] = ()
    tried_before: int = 0
    taken_back: int = 0


class Progress(Struct):
    """A node on its way: what has been tried, and what its undo will need.

    `order` counts first starts from 0 and is -1 before; `began` says that an attempt came so far that it may have done
    something; `resolve_error` is set where its inputs could not be worked out. `tried_before` attempts belong to earlier
    attempts of its stage, or were made before it was opened again. `undone` is how its last attempt was taken back, for a
    retry that has not begun; the first `taken_back` attempts were.
    """

    node: Node
    attempts: list[Attempt] = field(default_factory=list)
    order: int = -1
    began: bool = False
    waited_for: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    inputs: Mapping[str, Json] = field(default_factory=dict)
    last: Ended | None = None
    resolve_error: str = ""
    tried_before: int = 0
    undone: RollbackEntry | None = None
    taken_back: int = 0

    def take(self, ended: Ended) -> None:
        """The attempt in progress has ended so."""
        begun = self.attempts[-1]
        self.last = ended
        self.began = self.began or ended.began
        self.attempts[-1] = Attempt(
            begun.number, ended.outcome, ended.started_ms, ended.ended_ms, ended.error, ended.exit_code, ended.code
        )

    @property
    def left_something(self) -> bool:
        """Whether there may be something to undo: not where no attempt began its work, or the only one changed nothing."""
        if not (self.began and (self.node.must_be_undone or self._did_more)):
            return False
        changed_nothing = self.attempts[-1].outcome in (Outcome.UNCHANGED, Outcome.SKIPPED)
        return not changed_nothing or len(self.attempts) - self.taken_back > 1

    @property
    def _did_more(self) -> bool:
        """Whether a node that was planned to change nothing changed something: steps before it had changed what it found."""
        change = self.last.change if self.last is not None else None
        return self.node.lasting and change not in (None, Change.READ, Change.NOOP)


def work_of(
    progress: Progress,
    around: Surroundings,
    *,
    more_env: Mapping[str, str] = MappingProxyType({}),
    outcome: Outcome | None = None,
    outputs: Mapping[str, Json] = MappingProxyType({}),
    state: Json = None,
) -> Work:
    """What an action is given for a node whose inputs are settled; for anything but `do`, what `do` came to and left.

    Raises Unresolved where the node wants an identity token and none is given out: one for `do` may have ended by its undo.
    """
    node = progress.node
    if node.oidc:
        more_env = {**more_env, ID_TOKEN: _identified(node, around)}
    return Work(
        node,
        progress.inputs,
        {**progress.env, **more_env} if more_env else progress.env,
        around.root,
        around.recovery,
        started_ms=around.unix_ms(),
        outcome=outcome,
        outputs=outputs,
        state=state,
        shelf=around.shelf,
        notebook=around.notebook,
    )


def work_where_it_stands(standing: Standing, around: Surroundings) -> Work:
    """What `verify` of a node is given that an earlier execution of the run began. Raises Unresolved."""
    progress = Progress(standing.node)
    settle_inputs(progress, around)
    last = standing.last
    return work_of(
        progress,
        around,
        outcome=standing.own,
        outputs=last.outputs if last else {},
        state=last.undo if last else None,
    )


def settle_inputs(progress: Progress, around: Surroundings) -> None:
    """Work out a node's environment and inputs from what has ended so far. Raises Unresolved."""
    node, evaluation = progress.node, around.evaluation
    declared = evaluation.environment(node) if node.env else {}
    progress.env = {**around.base_env, **around.passed(node.env_from), **declared}
    if all(type(slot) is Immediate for slot in node.slots.values()):
        progress.inputs = {name: slot.value for name, slot in node.slots.items() if isinstance(slot, Immediate)}
    else:
        progress.inputs = evaluation.inputs(node, declared)


def _identified(node: Node, around: Surroundings) -> str:
    """A token that is good now. Raises Unresolved."""
    try:
        return around.identify(node.oidc[0])
    except ShipwayError as error:
        raise Unresolved(error.message) from error


def result_of_end(progress: Progress, ended: Ended, emitted: tuple[str, ...]) -> NodeResult:
    """The result of a node whose last attempt `ended`, having added the nodes `emitted`."""
    return NodeResult(
        node=progress.node.id,
        outcome=ended.outcome,
        attempts=tuple(progress.attempts),
        started_ms=progress.attempts[0].started_ms,
        ended_ms=ended.ended_ms,
        waited_for=progress.waited_for,
        cause=ended.cause,
        error=ended.error,
        warning=ended.warning,
        change=ended.change,
        outputs=ended.outputs,
        records=ended.records,
        emitted=emitted,
        tail=ended.tail,
        log=ended.log,
    )


def result_as_left(progress: Progress) -> NodeResult:
    """The result of a node that was begun, where the execution broke off before its end was dealt with."""
    last = progress.attempts[-1]
    return NodeResult(
        progress.node.id,
        Outcome.CANCELLED if progress.node.is_group else last.outcome,
        attempts=tuple(progress.attempts),
        started_ms=progress.attempts[0].started_ms,
        ended_ms=max(last.ended_ms, last.started_ms),
        error=last.error,
        tail=progress.last.tail if progress.last else "",
        log=progress.last.log if progress.last else "",
    )


def with_what_was_tried(result: NodeResult, progress: Progress) -> NodeResult:
    """The result of a node that was not tried now, with the attempts that there were before."""
    tried = tuple(progress.attempts)
    if not tried:
        return result
    return replace(result, attempts=tried, started_ms=tried[0].started_ms, ended_ms=tried[-1].ended_ms)
