"""One execution of a plan in its own directory: wires attempts, evaluation and executor; runs single `plan` commands."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from msgspec import Struct, field
from msgspec.structs import replace

from shipway.action import Command, Completed, Verb
from shipway.aside import aside
from shipway.asking import Asking
from shipway.attempt import Grace
from shipway.attempts import Attempts
from shipway.bodies import regrown, rules_of
from shipway.canonical import Json
from shipway.ci import github_context
from shipway.context import Context, runner_context
from shipway.continuation import Continuation, Resumption
from shipway.declaration import OnCancel
from shipway.environment import base_environment, passed_through
from shipway.evaluation import Evaluation
from shipway.events import Events
from shipway.executor import Executor
from shipway.holding import Locks, Unguarded
from shipway.identity import Issuer, no_issuer
from shipway.interruption import Interruption, abort
from shipway.journal import Journal, Unjournalled
from shipway.nodes import FAILURES, Node, Outcome
from shipway.notebook import NOTES, Notebook
from shipway.pace import OwnTokens, Tokens
from shipway.plan import Plan
from shipway.process import most_children
from shipway.progress import ExecutionOptions, Surroundings
from shipway.redaction import Redactor
from shipway.registry import Registry
from shipway.results import Execution
from shipway.shelf import Shelf
from shipway.step_locks import StepLocks

PLAN_COMMAND_TIMEOUT_MS = 300_000
"""How long a `plan` command may look at the world where its step has no timeout."""

_MOST_THREADS = 32


class ExecutionTools(Struct, frozen=True):
    """What an execution needs besides its plan. `directory` is made for this run; `processors` bound the default parallelism.

    Of a run that is gone on with, `resumption` is what was found of it, and `elapsed_ms` how long ago it began.
    """

    context: Context
    registry: Registry
    events: Events
    redactor: Redactor
    interruption: Interruption
    grace: Grace
    secrets: Mapping[str, str]
    root: Path
    directory: Path
    recovery: Path
    processors: int
    journal: Journal = field(default_factory=Unjournalled)
    tokens: Tokens = field(default_factory=OwnTokens)
    locks: Locks = field(default_factory=Unguarded)
    elapsed_ms: int = 0
    resumption: Resumption | None = None
    usual_ms: Mapping[str, int] = field(default_factory=dict)
    fail_after: str = ""
    check_head: Callable[[Plan], None] = lambda plan: None
    checks_each: bool = False
    issuer: Issuer | None = None
    shelf: Shelf | None = None


def execute_plan(plan: Plan, tools: ExecutionTools) -> Execution:
    """Execute a plan to its end, rollback included. Signals cancel it; whatever happens, nothing it started is left running.

    `tools.interruption` is on hold: a signal raises nothing here. The calling thread waits, and handles signals; all that is
    told of the execution, to `tools.events` and `tools.journal` as well, comes from another one.
    """
    return aside(lambda: _execute(plan, tools))


def _execute(plan: Plan, tools: ExecutionTools) -> Execution:
    started_ns = tools.context.monotonic_ns()

    def clock_ms() -> int:
        return tools.elapsed_ms + (tools.context.monotonic_ns() - started_ns) // 1_000_000

    attempts = Asking(
        clock_ms=clock_ms,
        grace=tools.grace,
        redactor=tools.redactor,
        directory=tools.directory,
        threads=_threads(plan, tools),
        own_path=tools.context.env.get("PATH", ""),
    ).watch(clock_ms)
    step_locks = StepLocks(tools.locks, plan.locks, attempts.wake)
    around = surroundings_of(plan, tools, attempts, step_locks, clock_ms)
    try:
        whole = plan
        if tools.resumption is not None:
            plan = regrown(plan, tools.resumption.record, rules_of(tools.registry.require_action))
        continuation = _continuation(plan, tools, around)
        known = continuation.known(tools.grace) if continuation is not None else {}
        executor = Executor(plan, _options(plan, tools), around, known)
        tools.locks.watch(executor.lose)
        with tools.interruption.handled_by(executor.cancel):
            if tools.interruption.is_pending and not executor.is_cancelled:
                executor.cancel()
            if continuation is not None and continuation.is_rolling_back:
                order, before = continuation.left_to_undo()
                continuation.refuse_drift(order)
                return with_added(whole, plan, executor.go_on_undoing(order, before))
            return with_added(whole, plan, executor.execute())
    finally:
        attempts.close()
        step_locks.close()
        around.notebook.close()


def with_added(plan: Plan, grown: Plan, execution: Execution) -> Execution:
    """The execution of a grown plan as that of the one it grew from."""
    if grown is plan:
        return execution
    earlier = tuple(node for node in grown.nodes if node.id not in plan.by_id)
    return replace(execution, added=(*earlier, *execution.added))


def _continuation(plan: Plan, tools: ExecutionTools, around: Surroundings) -> Continuation | None:
    if tools.resumption is None:
        return None
    return Continuation(plan, around, tools.resumption, tools.redactor, tools.interruption)


def _threads(plan: Plan, tools: ExecutionTools) -> int:
    return min(plan.parallel or 2 * tools.processors, _MOST_THREADS)


def _options(plan: Plan, tools: ExecutionTools) -> ExecutionOptions:
    in_ci = tools.context.ci is not None
    on_cancel = plan.on_cancel or (OnCancel.LEAVE if in_ci or not tools.context.stdin_is_tty else OnCancel.UNDO)
    return ExecutionOptions(
        tools.processors,
        most_children(),
        tools.grace,
        on_cancel,
        usual_ms=tools.usual_ms,
        fail_after=tools.fail_after,
        checks_each=tools.checks_each,
    )


def surroundings_of(
    plan: Plan, tools: ExecutionTools, attempts: Attempts, step_locks: StepLocks, clock_ms: Callable[[], int]
) -> Surroundings:
    """What one execution of a plan works in, or whoever asks about the nodes of one that is over."""
    context = tools.context
    evaluation = Evaluation(
        github=github_context(context.ci) if context.ci else {},
        runner=runner_context(context),
        secrets=tools.secrets,
        known={},
        root=tools.root,
    )
    passed: dict[tuple[str, ...], Mapping[str, str]] = {}

    def pass_through(patterns: tuple[str, ...]) -> Mapping[str, str]:
        if patterns not in passed:
            passed[patterns] = passed_through(patterns, context.env, tools.secrets)
        return passed[patterns]

    return Surroundings(
        root=tools.root,
        directory=tools.directory,
        recovery=tools.recovery,
        require_action=tools.registry.require_action,
        base_env=base_environment(context.env),
        passed=pass_through,
        clock_ms=clock_ms,
        fraction=lambda: int(context.random_hex(4), 16) / 2**32,
        evaluation=evaluation,
        attempts=attempts,
        events=tools.events,
        journal=tools.journal,
        tokens=tools.tokens,
        step_locks=step_locks,
        check_head=lambda: tools.check_head(plan),
        started_unix_ms=int(context.now().timestamp() * 1000) - tools.elapsed_ms,
        identify=lambda audience: _identity(tools, audience),
        shelf=tools.shelf,
        notebook=Notebook(tools.recovery / NOTES),
    )


def _identity(tools: ExecutionTools, audience: str) -> str:
    """A token for an audience, masked before anybody is given it. Raises UnreachableError, and UsageError without an issuer."""
    if tools.issuer is None:
        raise no_issuer(audience)
    token = tools.issuer.token(audience)
    if not tools.redactor.knows(token):
        tools.redactor.add(f"identity token for {audience}", token)
    return token


class PlanCommands:
    """Runs the `plan` commands of steps, one at a time, in a private directory that is gone after `close`."""

    def __init__(self, context: Context, redactor: Redactor, grace: Grace, interruption: Interruption) -> None:
        self._interruption = interruption
        self._context = context
        self._redactor = redactor
        self._grace = grace
        self._directory: Path | None = None
        self._attempts: Attempts | None = None

    def execute(self, node: Node, command: Command) -> Completed:
        """Run one command to its end. Outputs are typed as the node declares them; none is required of a plan.

        Raises Interrupted, once the command has ended, where a signal came meanwhile.
        """
        attempts = self._opened()
        rules = {name: replace(rule, required=False) for name, rule in node.outputs.items()}
        timeout = node.timeout_ms or PLAN_COMMAND_TIMEOUT_MS
        struck = self._interruption.struck
        # An exception out of the signal handler could come between the start of the child and its being known.
        with self._interruption.handled_by(attempts.wake):
            attempts.begin_command(node.id, Verb.PLAN, command, timeout_ms=timeout, outputs=rules)
            while not (found := attempts.wait(None)):
                if self._interruption.struck > struck + 1:
                    attempts.kill()
                elif self._interruption.struck > struck:
                    attempts.stop(node.id, Outcome.CANCELLED)
        if self._interruption.struck > struck:
            abort()
        ended = found[0]
        outputs: dict[str, Json] = {
            name: value for name, value in ended.outputs.items() if rules[name].type not in ("secret", "file")
        }
        failed = ended.outcome in FAILURES
        return Completed(ended.exit_code or (1 if failed else 0), outputs, ended.tail, ended.error if failed else "")

    def close(self) -> None:
        """End what is still running and remove the directory."""
        if self._attempts is not None and self._directory is not None:
            self._attempts.close()
            shutil.rmtree(self._directory, ignore_errors=True)
            self._attempts = None

    def _opened(self) -> Attempts:
        if self._attempts is None:
            self._directory = Path(tempfile.mkdtemp(prefix="shipway-plan-"))
            monotonic_ns = self._context.monotonic_ns
            self._attempts = Attempts(
                clock_ms=lambda: monotonic_ns() // 1_000_000,
                grace=self._grace,
                redactor=self._redactor,
                directory=self._directory,
                threads=1,
            )
        return self._attempts
