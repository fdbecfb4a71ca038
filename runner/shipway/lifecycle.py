"""The eight phases of a lifecycle, one function each, and the order they run in. Commands call it; it prints nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from shipway import __version__
from shipway import declaration as declarations
from shipway.assembly import OutputSeal, RunFacts, assemble, failed_receipt
from shipway.attempt import Grace
from shipway.backend import StagePlace
from shipway.bodies import regrown, rules_of
from shipway.canonical import canonical_bytes
from shipway.ci import Provider
from shipway.cleanup import CleanupStack
from shipway.context import Context
from shipway.continuation import Resumption
from shipway.declaration import Declaration, StateStore
from shipway.drill import drilled
from shipway.environment import base_environment
from shipway.errors import Interrupted, Reason, ShipwayError, UsageError, VerificationError
from shipway.evaluation import secrets_named
from shipway.events import Events, PhaseFinished, PhaseStarted, Warned
from shipway.execution import ExecutionTools, PlanCommands, execute_plan
from shipway.executor import Execution
from shipway.holding import Locks, Unguarded
from shipway.inputs import read_inputs
from shipway.interruption import Interruption, abort
from shipway.journal import UNFINISHED, Journals, LeaseLost, Opening, RunJournal, RunRecord, RunStatus, Unjournalled
from shipway.locks import lifecycle_lock, named_lock
from shipway.nodes import WHOLE_TREE, Verified
from shipway.pace import OwnTokens, Tokens
from shipway.plan import Durability, Plan, differences
from shipway.planning import PlanRequest, Selection, build, predict
from shipway.prediction import PlanTools
from shipway.privilege import has_privilege
from shipway.receipt import RanBy, Receipt, RunOutcome, by_json, file_name
from shipway.redaction import Redactor
from shipway.registry import Registry
from shipway.replay import last_moment_ms
from shipway.repository import Repository
from shipway.resolution import Resolved, backend_failed, check_stages, resolve
from shipway.shared_journal import SharedJournal, fetch
from shipway.shared_state import SharedState
from shipway.survivors import check_gone, survivors_of
from shipway.takeback import to_undo
from shipway.takeover import (
    GoOn,
    Ground,
    can_be_asked,
    check_last,
    check_same,
    check_uncovered,
    take_back,
    take_over,
)
from shipway.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of a lifecycle: its file, target, inputs (texts by name) and part. `execute` False is a dry run.

    `given` is a plan made elsewhere: only if the lifecycle still comes to the same effect is it executed. `go_on` names a
    run that was begun before: only what of it is not done is executed. `fail_after` is a node that fails on purpose once it
    has succeeded, so that all is undone: a drill.
    `confirm` is asked with the plan before anything starts; saying no ends the lifecycle without a receipt.
    """

    file: Path
    target: str
    inputs: Mapping[str, str] = field(default_factory=dict)
    selection: Selection = field(default_factory=Selection)
    execute: bool = False
    given: Plan | None = None
    go_on: GoOn | None = None
    fail_after: str = ""
    confirm: Callable[[Plan], bool] = lambda plan: True


class Reporter(Protocol):
    """Where a report goes: documents to disk, comment and summary to the forge. A ShipwayError it raises is the run's."""

    def report(self, plan: Plan | None, receipt: Receipt | None) -> None:
        """Deliver what is known; both are None where the declaration did not load."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a lifecycle works in. `grace` bounds how long endings take; `processors` the default parallelism.

    `journals` gives the journal of the workspace, where one is kept: without it a killed run cannot be resumed.
    `open_locks` gives the locks that a declaration asks for, by its secrets; none is taken yet. `open_state` gives the
    state of its target where that is kept elsewhere than in the workspace.
    """

    context: Context
    repository: Repository
    registry: Registry
    events: Events
    reporter: Reporter
    interruption: Interruption
    grace: Grace
    processors: int
    has_privilege: Callable[[Mapping[str, str]], bool] = has_privilege
    journals: Callable[[], Journals] | None = None
    open_locks: Callable[[Declaration, Mapping[str, str]], Locks] = lambda declaration, secrets: Unguarded()
    open_state: Callable[[Declaration, Mapping[str, str], str], SharedState | None] = lambda *declared: None


@dataclass(slots=True)
class Finished:
    """How far a lifecycle came: plan and receipt as far as they were made, and the first failure outside any node."""

    plan: Plan | None = None
    receipt: Receipt | None = None
    error: ShipwayError | None = None
    declined: bool = False
    cleanup_failures: tuple[tuple[str, str], ...] = ()
    verdicts: Mapping[str, Verified] = field(default_factory=dict)


def run_lifecycle(request: Request, around: Surroundings) -> Finished:
    """Take a lifecycle through its phases: load, resolve, validate, prepare, plan, execute unless dry, report, cleanup.

    Report and cleanup run whatever happened. Raises nothing of Shipway's own: the first error is in the result.
    """
    voyage = _Voyage(request, around)
    working = [voyage.load, voyage.resolve, voyage.validate, voyage.prepare, voyage.plan]
    if request.execute:
        working.append(voyage.execute)
    try:
        for phase in working:
            voyage.enter(phase)
    except ShipwayError as error:
        voyage.finished.error = error
    with around.interruption.handled_by(lambda: None):
        try:
            voyage.enter(voyage.report)
        except ShipwayError as error:
            _both(voyage.finished, error)
        voyage.enter(voyage.cleanup)
    voyage.finished.verdicts = voyage.verdicts
    return voyage.finished


def check_lifecycle(request: Request, around: Surroundings) -> Plan:
    """Load, resolve, validate and build, without asking the world anything. Raises ShipwayError with every problem found."""
    voyage = _Voyage(request, around)
    for phase in (voyage.load, voyage.resolve, voyage.validate):
        voyage.enter(phase)
    return build(voyage.plan_request(), voyage.plan_tools())


def _both(finished: Finished, late: ShipwayError) -> None:
    """Keep the first error, with what the report's own one says to do."""
    if finished.error is None:
        finished.error = late
    else:
        finished.error.next = "; ".join(filter(None, (finished.error.next, late.next)))


class _Voyage:
    """One pass through the phases; each is one method, which finds what those before it left."""

    def __init__(self, request: Request, around: Surroundings) -> None:
        self.request = request
        self.around = around
        self.context = around.context
        self.finished = Finished()
        self.cleanups = CleanupStack(around.events, around.journals)
        self.redactor = Redactor({})
        self.secrets: Mapping[str, str] = {}
        self.resolved: Mapping[str, Resolved] = {}
        self._declaration: Declaration | None = None
        self._execution: Execution | None = None
        self._plan_commands: PlanCommands | None = None
        self._locks: Locks = Unguarded()
        self._state: SharedState | None = None
        self._is_refused = False
        self._run = ""
        self._journal: RunJournal | None = None
        self._tokens: Tokens = OwnTokens()
        self._record: RunRecord | None = None
        self._elapsed_ms = 0
        self._usual_ms: Mapping[str, int] = {}
        self._began: datetime = self.context.now()
        self._began_ns = self.context.monotonic_ns()

    def enter(self, phase: Callable[[], None]) -> None:
        """Run one phase between its started and finished events. Raises ShipwayError that names the phase."""
        name = phase.__name__
        self.around.events.emit(PhaseStarted(name))
        started = self.context.monotonic_ns()
        failure = ""
        try:
            phase()
        except ShipwayError as error:
            failure = error.message
            error.phase = error.phase or name
            raise
        except Exception as error:
            failure = f"{type(error).__name__}: {error}"
            raise ShipwayError(failure, reason=Reason.BUG, phase=name) from error
        finally:
            duration = (self.context.monotonic_ns() - started) // 1_000_000
            self.around.events.emit(PhaseFinished(name, duration, failure))

    @property
    def verdicts(self) -> Mapping[str, Verified]:
        """What `verify` said after a drill."""
        return self._execution.verdicts if self._execution is not None else {}

    @property
    def declaration(self) -> Declaration:
        """What phase load found."""
        assert self._declaration is not None
        return self._declaration

    def load(self) -> None:
        """Read the declaration and its overlay for the target; learn the secrets to mask."""
        root = self.around.repository.root
        self._declaration = declarations.load(self.request.file, root=root, target=self.request.target)
        env = self.context.env
        self.secrets = {name: env[name] for name in self.declaration.secrets if env.get(name)}
        self.redactor = Redactor(self.secrets)
        if self.redactor.too_short:
            names = ", ".join(f"`{name}`" for name in self.redactor.too_short)
            self.around.events.emit(Warned(f"too short to be masked in what steps print: {names}"))

    def resolve(self) -> None:
        """Choose a backend for every stage."""
        self.resolved = resolve(self.declaration, self.around.registry)

    def validate(self) -> None:
        """Check capabilities of all stages, then let each backend check its own."""
        check_stages(self.declaration, self.resolved)

    def prepare(self) -> None:
        """Take the locks of a run; let backends make what is ephemeral, each removal registered before the thing is made."""
        if self.request.execute:
            self._lock()
        place = StagePlace(self.around.repository.root, self.request.target)
        for stage in self.declaration.stages:
            chosen = self.resolved[stage.id]
            try:
                chosen.backend.prepare(stage, place, self.cleanups)
            except Exception as error:
                raise backend_failed("prepare", self.declaration, stage, chosen.key, error) from error

    def plan(self) -> None:
        """Make the plan, with predictions; where a plan was given, make sure that it still is what would be done.

        A run that is to be rolled back has its plan, and no other will do.
        """
        if self.request.go_on is not None and self.request.go_on.undo:
            self._recall(self.request.go_on)
            return
        commands = PlanCommands(self.context, self.redactor, self.around.grace, self.around.interruption)
        self.cleanups.register("directory of plan commands", commands.close)
        self._plan_commands = commands
        plan = predict(
            build(self.plan_request(), self.plan_tools()),
            self.plan_tools(),
            self.declaration,
            self.around.repository.root,
        )
        commands.close()
        self.finished.plan = plan = drilled(plan, self.request.fail_after) if self.request.fail_after else plan
        if self.request.go_on is not None:
            self._check_begun(self.request.go_on, plan)
        if self.request.given is not None:
            # The plan just made is executed, not the given one: only what `effect` covers was found equal in them.
            _check_given(self.request.given, plan)
        if self.request.execute:
            self._check_privilege(plan)

    def _lock(self) -> None:
        """Hold lifecycle, target and what is declared until cleanup, so that the plan still holds when it is executed."""
        declaration = self.declaration
        self._is_refused = True
        self._locks = self.around.open_locks(declaration, self.secrets)
        self.cleanups.register("locks", self._locks.close)
        names = [lifecycle_lock(declaration.name, self.request.target), *map(named_lock, declaration.locks)]
        struck = self.around.interruption.struck
        with self.around.interruption.handled_by(lambda: None):
            # An exception out of the signal handler could come between the claim and its being known.
            self._locks.take(names)
        if self.around.interruption.struck > struck:
            abort()
        self._state = self.around.open_state(declaration, self.secrets, self.request.target)
        if self._state is not None:
            self.cleanups.register("state", self._state.close)
            fetch(self._state, Workspace(self.around.repository.root))
        self._is_refused = False

    def _recall(self, go_on: GoOn) -> None:
        assert self.around.journals is not None
        journals = self.around.journals()
        self._record = record = journals.read(go_on.run)
        self.finished.plan = plan = journals.plan(go_on.run)
        if plan.lifecycle != self.declaration.name:
            raise UsageError(
                f"run `{go_on.run}` is of the lifecycle `{plan.lifecycle}`", next="name its file with `-f`"
            )
        if not to_undo(plan, record):
            raise UsageError(f"nothing is left of run `{go_on.run}` that could be undone", next="see `shipway runs`")
        if not go_on.accepts_drift:
            check_uncovered(record, journals)

    def _check_begun(self, go_on: GoOn, plan: Plan) -> None:
        assert self.around.journals is not None
        journals = self.around.journals()
        self._record = journals.read(go_on.run)
        check_last(self._record, journals)
        warning = check_same(self._record, plan, lambda: journals.plan(go_on.run))
        if warning:
            self.around.events.emit(Warned(warning))

    def execute(self) -> None:
        """Execute the plan and no other, then assemble its receipt."""
        plan = self.finished.plan
        assert plan is not None
        self._check_secrets(plan)
        if not self.request.confirm(plan):
            self.finished.declined = True
            return
        if self._locks.lost is not None:
            raise self._locks.lost
        self.around.interruption.hold()
        # Someone may have looked at the plan for an hour: the run begins now.
        self._began, self._began_ns = self.context.now(), self.context.monotonic_ns()
        workspace = Workspace(self.around.repository.root)
        self._run = self.request.go_on.run if self.request.go_on else self._new_run_id()
        resumption = None
        if self.request.go_on is not None:
            resumption = self._go_on(self.request.go_on, plan, workspace)
        else:
            self._begin(plan, workspace)
        self.cleanups.register("scratch of the run", lambda: workspace.remove_scratch(self._run))
        self.cleanups.register("what no undo needs any more", lambda: self._let_go(workspace))
        try:
            tools = self._execution_tools(workspace.run_directory(self._run), resumption)
            self._execution = execute_plan(plan, tools)
        except VerificationError:
            self._put_down()
            raise
        if self._execution.fault is not None:
            raise self._execution.fault

    def report(self) -> None:
        """Seal the receipt of whatever was executed, then deliver."""
        finished = self.finished
        if isinstance(finished.error, LeaseLost) or (self.request.go_on and self._execution is None):
            return  # whoever has taken the run over reports it; one that could not be gone on with stays as it was
        is_a_run = self.request.execute and not finished.declined and not self._is_refused
        if is_a_run and self._declaration is not None:
            finished.receipt = self._receipt()
        try:
            self._end_journal()
        finally:
            self.around.reporter.report(finished.plan, finished.receipt)
        receipt = finished.receipt
        if self._journal is not None and receipt is not None:
            self._journal.sealed(receipt.digest)
            if self._state is not None:
                name = file_name(receipt.lifecycle, receipt.target, receipt.started, receipt.run)
                self._state.add_receipt(name, canonical_bytes(receipt.document))

    def cleanup(self) -> None:
        """Remove everything that was registered, last in first out."""
        self.cleanups.run()
        self.finished.cleanup_failures = tuple(self.cleanups.failures)

    def plan_request(self) -> PlanRequest:
        """What is to be planned."""
        ci = self.context.ci
        return PlanRequest(
            declaration=self.declaration,
            target=self.request.target,
            inputs=read_inputs(self.request.inputs, self.declaration.inputs),
            selection=self.request.selection,
            repository=self.around.repository,
            repository_name=ci.repository if ci else None,
            base=(ci.base_sha or None) if ci else None,
            platform=f"{self.context.platform.os}/{self.context.platform.arch}",
            durability=self._durability(),
        )

    def _durability(self) -> Durability:
        """What a run of this will survive: the store decides, else whether a job uploads the journal."""
        if self.declaration.state.store is not StateStore.LOCAL:
            return Durability.MACHINE
        ci = self.context.ci
        return Durability.ATTEMPT if ci is not None and ci.provider is Provider.GITHUB else Durability.PROCESS

    def plan_tools(self) -> PlanTools:
        """What planning may use."""
        commands = self._plan_commands or PlanCommands(
            self.context, self.redactor, self.around.grace, self.around.interruption
        )
        return PlanTools(
            registry=self.around.registry,
            resolved=self.resolved,
            env=self.context.env,
            base_env=base_environment(self.context.env),
            secrets=self.secrets,
            execute=commands.execute,
            redact=self.redactor.redact,
        )

    def _execution_tools(self, directory: Path, resumption: Resumption | None) -> ExecutionTools:
        around = self.around
        return ExecutionTools(
            context=self.context,
            registry=around.registry,
            events=around.events,
            redactor=self.redactor,
            interruption=around.interruption,
            grace=around.grace,
            secrets=self.secrets,
            root=around.repository.root,
            directory=directory,
            recovery=Workspace(around.repository.root).recovery(self._run),
            processors=around.processors,
            journal=self._journal or Unjournalled(),
            tokens=self._tokens,
            locks=self._locks,
            elapsed_ms=self._elapsed_ms,
            resumption=resumption,
            fail_after=self.request.fail_after,
            usual_ms=self._usual_ms,
        )

    def _begin(self, plan: Plan, workspace: Workspace) -> None:
        """From here on everything is written down before it happens. Raises UnreachableError where another run is on."""
        if self.around.journals is not None:
            journals = self.around.journals()
            for crashed in journals.crashed(plan.lifecycle, plan.target):
                record = journals.read(crashed.run)
                check_gone(record, survivors_of(record, workspace.run_directory(crashed.run)))
                self.around.events.emit(Warned(_unfinished(crashed.run)))
            opening = self._opening(plan, workspace.identity(lambda: self.context.random_hex(16)))
            self._hold(journals.begin(opening, plan, self.redactor.finds, self._blind(plan)))
            self._learn(journals, plan)
        workspace.make_run_directory(self._run)

    def _go_on(self, go_on: GoOn, plan: Plan, workspace: Workspace) -> Resumption:
        """Take the run over from whoever began it; its clock goes on where it was."""
        assert self.around.journals is not None and self._record is not None
        record = self._record
        began_ms = record.opening.began_ms
        self._elapsed_ms = max(_unix_ms(self.context.now()) - began_ms, last_moment_ms(record) + 1)
        self._began = datetime.fromtimestamp(began_ms / 1000, UTC)
        self._began_ns -= self._elapsed_ms * 1_000_000
        directory = workspace.run_directory(self._run)
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        identity = workspace.identity(lambda: self.context.random_hex(16))
        journals = self.around.journals()
        grown = regrown(plan, record, rules_of(self.around.registry.require_action))
        ground = Ground(self.around.registry, directory, identity, self.redactor.finds, self._blind(grown))
        if go_on.undo:
            resumption = take_back(grown, record, to_undo(plan, record), go_on, journals, ground)
        else:
            resumption = take_over(grown, record, go_on.wish, journals, ground)
        self._hold(resumption.journal)
        self._learn(self.around.journals(), plan)
        return resumption

    def _put_down(self) -> None:
        """A run that had ended and is not rolled back after all stays what it was."""
        record, journal = self._record, self._journal
        if record is None or journal is None or record.summary.status in UNFINISHED or record.summary.ended_ms is None:
            return
        if self.request.go_on is not None and self.request.go_on.undo:
            journal.finished(record.summary.status, record.summary.ended_ms, record.files)
            if record.summary.receipt is not None:
                journal.sealed(record.summary.receipt)

    def _learn(self, journals: Journals, plan: Plan) -> None:
        """What earlier runs leave to this one: how long its nodes take, and the tokens of its limits."""
        self._usual_ms = journals.usual_ms(plan.lifecycle, plan.target)
        if plan.limits:
            self._tokens = tokens = journals.tokens(plan.lifecycle)
            self.cleanups.register("limits", tokens.close)

    def _blind(self, plan: Plan) -> dict[str, bool]:
        """Of each planned node, whether it leaves something that nobody can ask about afterwards."""
        registry = self.around.registry
        return {node.id: node.must_be_undone and not can_be_asked(node, registry) for node in plan.nodes}

    def _hold(self, journal: RunJournal) -> None:
        if self._state is not None:
            lock = lifecycle_lock(self.declaration.name, self.request.target)
            path = Workspace(self.around.repository.root).journal
            journal = SharedJournal(
                journal, self._state, path=path, run=self._run, token=lambda: self._locks.token(lock)
            )
        self._journal = journal
        self.cleanups.register("journal", journal.close)

    def _opening(self, plan: Plan, workspace: str) -> Opening:
        request = self.request
        return Opening(
            run=self._run,
            lifecycle=plan.lifecycle,
            target=plan.target,
            file=plan.source.file,
            began_ms=_unix_ms(self._began),
            inputs=request.inputs,
            stages=request.selection.stages,
            skipped=request.selection.skip,
            approved=request.given.effect if request.given else None,
            by=by_json(_ran_by(self.context, self.around.repository)),
            shipway=__version__,
            platform=plan.platform,
            workspace=workspace,
        )

    def _end_journal(self) -> None:
        receipt = self.finished.receipt
        if self._journal is not None and receipt is not None:
            failed = receipt.outcome not in (RunOutcome.SUCCEEDED, RunOutcome.ROLLED_BACK)
            status = RunStatus(receipt.outcome.value)
            self._journal.finished(status, _unix_ms(self.context.now()), self._files() if failed else None)

    def _files(self) -> str:
        """The digest of all files as they are now: what the run itself changed does not keep it from being gone on with."""
        return replace(self.around.repository).digest_of(WHOLE_TREE, self.declaration.files)

    def _let_go(self, workspace: Workspace) -> None:
        """Keep what undos need for the last sealed run of a target that left something behind, and for no other of it."""
        execution, plan = self._execution, self.finished.plan
        if execution is None or plan is None or execution.fault is not None:
            return
        if not execution.leaves_something:
            workspace.remove_recovery(self._run)
            return
        others = [run for run in workspace.kept_recoveries() if run != self._run]
        if others and self.around.journals is not None:
            for summary in self.around.journals().runs():
                is_same = (summary.lifecycle, summary.target) == (plan.lifecycle, plan.target)
                if summary.run in others and is_same and summary.status not in UNFINISHED:
                    workspace.remove_recovery(summary.run)

    def _check_privilege(self, plan: Plan) -> None:
        needing = [each for node in plan.nodes for each in (node, *node.all_templates()) if each.privileged]
        if needing and not self.around.has_privilege(self.context.env):
            listed = ", ".join(f"`{node.id}`" for node in needing[:5]) + (" …" if len(needing) > 5 else "")
            raise UsageError(
                f"privilege is needed by {listed}, and this process is neither root nor has sudo without a password",
                where=needing[0].position,
                next="run it as root or allow sudo without a password; nothing was started",
            )

    def _check_secrets(self, plan: Plan) -> None:
        nodes = (*plan.nodes, *plan.compensations)
        missing = {name: node.id for node in nodes for name in secrets_named(node) if name not in self.secrets}
        if missing:
            shown = ", ".join(f"`{name}` (named by `{node}`)" for name, node in missing.items())
            raise UsageError(
                f"secrets are not set in the environment: {shown}", next="set them, then run again; nothing was started"
            )

    def _new_run_id(self) -> str:
        return f"{self._began:%Y%m%dT%H%M%S}-{self.context.random_hex(3)}"

    def _receipt(self) -> Receipt:
        plan, error = self.finished.plan, self.finished.error
        facts = self._facts()
        if plan is not None and self._execution is not None:
            seal = OutputSeal(self.redactor.clean, bytes.fromhex(self.context.random_hex(32)))
            receipt = assemble(plan, self._execution, facts, seal)
            if self.request.go_on is None or not self.request.go_on.undo:
                return receipt
            is_whole = receipt.outcome is not RunOutcome.NOT_UNDONE
            return replace(receipt, outcome=RunOutcome.ROLLED_BACK) if is_whole else receipt
        text = self.redactor.clean(f"{error.phase}: {error.message}") if error else ""
        outcome = RunOutcome.CANCELLED if isinstance(error, Interrupted) else RunOutcome.FAILED
        return failed_receipt(self.declaration.name, self.request.target, plan, outcome, text, facts)

    def _facts(self) -> RunFacts:
        context = self.context
        return RunFacts(
            run=self._run or self._new_run_id(),
            started=_rfc3339(self._began),
            ended=_rfc3339(context.now()),
            duration_ms=(context.monotonic_ns() - self._began_ns) // 1_000_000,
            by=_ran_by(context, self.around.repository),
            platform=f"{context.platform.os}/{context.platform.arch}",
            shipway=__version__,
            redactions=self.redactor.count,
            warnings=tuple(self.around.events.faults),
            approved=self.request.given.effect if self.request.given else None,
        )


def _check_given(given: Plan, now: Plan) -> None:
    """Refuse a plan that is not what would be done now, saying where they differ and why. Raises VerificationError."""
    if given.platform != now.platform:
        raise VerificationError(
            f"the plan was made for {given.platform}, this is {now.platform}",
            reason=Reason.PLATFORM_DIFFERS,
            next="plan and apply on the same platform",
        )
    if given.effect == now.effect:
        return
    listed = "\n".join(f"  {difference}" for difference in differences(given, now))
    raise VerificationError(
        f"what would run now is not what was planned:\n{listed}",
        reason=_why_different(given, now),
        next="look at it with `shipway plan`, and apply the new plan",
    )


def _why_different(given: Plan, now: Plan) -> Reason:
    contracts = {stage.id: stage.contract for stage in given.stages}
    if any(contracts.get(stage.id, stage.contract) != stage.contract for stage in now.stages):
        return Reason.VERSION_CHANGED
    if given.source.declaration != now.source.declaration:
        return Reason.DECLARATION_CHANGED
    return Reason.HEAD_MOVED if given.source.commit != now.source.commit else Reason.PLAN_DIFFERS


def _ran_by(context: Context, repository: Repository) -> RanBy:
    ci = context.ci
    if ci is None:
        return RanBy(invoker=context.invoker.value, actor=context.env.get("USER"), commit=repository.commit)
    return RanBy(
        invoker=context.invoker.value,
        actor=ci.actor or None,
        provider=ci.provider.value,
        repository=ci.repository or None,
        run=str(ci.run_id) if ci.run_id else None,
        attempt=ci.run_attempt or None,
        url=ci.run_url or None,
        commit=repository.commit,
    )


def _unfinished(run: str) -> str:
    return f"run {run} was killed and is unfinished: `shipway resume {run}` goes on with it"


def _unix_ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _rfc3339(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"
