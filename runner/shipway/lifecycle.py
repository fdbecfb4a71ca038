"""The eight phases of a lifecycle, one function each, and the order they run in. Commands call it; it prints nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from msgspec.structs import replace

from shipway.admission import Admission
from shipway.backend import StagePlace
from shipway.chain import Chain
from shipway.cleanup import CleanupStack
from shipway.coverage import covered, idle
from shipway.drafting import executed_receipt, refused_receipt, rfc3339
from shipway.drill import drilled
from shipway.earlier_rules import hold_earlier_rules, under_earlier_rules
from shipway.errors import Problem, Reason, ShipwayError, UsageError, VerificationError, trace_of
from shipway.evaluation import secrets_named
from shipway.events import PhaseFinished, PhaseStarted, Warned
from shipway.execution import ExecutionTools, execute_plan
from shipway.foretold import keeping
from shipway.gear import Gear
from shipway.identity import asking, no_issuer
from shipway.interruption import abort
from shipway.journal import LeaseLost
from shipway.listening import Listening
from shipway.loading import is_same_for, load_declaration
from shipway.locks import LockLost, lifecycle_lock, named_lock
from shipway.logbook import Logbook
from shipway.look_ahead import looked_ahead
from shipway.nodes import WHOLE_TREE, Verified
from shipway.plan import Plan
from shipway.planning import Selection, build, predict
from shipway.preflight import refuse_changed
from shipway.promotion_gate import check_promoted
from shipway.receipt import Receipt
from shipway.resolution import backend_failed, check_stages, resolve
from shipway.results import Execution
from shipway.shared_journal import fetch
from shipway.shared_state import SharedState
from shipway.slot_checks import slot_problems
from shipway.source import SourceTree
from shipway.undertaking import Finished, Request, Surroundings
from shipway.workspace import Workspace


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
    return voyage.built()


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
        self._gear = Gear(request, around, self.cleanups)
        self._execution: Execution | None = None
        self._is_refused = False
        self._listening = Listening(around, self.cleanups)
        self._logbook = Logbook(request, around, self.cleanups)
        self._admission = Admission(request, around, self._logbook, self._gear.policy_tools)

    def enter(self, phase: Callable[[], None]) -> None:
        """Run one phase between its started and finished events. Raises ShipwayError that names the phase."""
        name = phase.__name__
        self.around.events.emit(PhaseStarted(name))
        started = self.context.monotonic_ns()
        failure = ""
        try:
            phase()
        except ShipwayError as error:
            failure = error.message = self._gear.redactor.redact(error.message)
            error.next = self._gear.redactor.redact(error.next)
            error.phase = error.phase or name
            raise
        except Exception as error:
            failure = self._gear.redactor.redact(f"{type(error).__name__}: {error}")
            bug = ShipwayError(failure, reason=Reason.BUG, phase=name)
            bug.trace = self._gear.redactor.redact(trace_of(error))
            raise bug from error
        finally:
            duration = (self.context.monotonic_ns() - started) // 1_000_000
            self.around.events.emit(PhaseFinished(name, duration, failure))

    @property
    def verdicts(self) -> Mapping[str, Verified]:
        """What `verify` said after a drill."""
        return self._execution.verdicts if self._execution is not None else {}

    def load(self) -> None:
        """Read the declaration and its overlay for the target; learn the secrets to mask."""
        root, request = self.around.repository.root, self.request
        known = request.declared
        if known is None or not is_same_for(known, request.file, root=root, target=request.target):
            known = load_declaration(request.file, root=root, target=request.target, more=self._slot_problems)
        self._gear.declaration = known
        self._gear.mask(known.secrets)
        if self._gear.redactor.too_short:
            names = ", ".join(f"`{name}`" for name in self._gear.redactor.too_short)
            self.around.events.emit(Warned(f"too short to be masked in what steps print: {names}"))

    def _slot_problems(self, tree: SourceTree) -> Iterable[Problem]:
        registry = self.around.registry
        return slot_problems(tree, registry.find_action, registry.action_names)

    def resolve(self) -> None:
        """Choose a backend for every stage."""
        self._gear.resolved = resolve(self._gear.declaration, self.around.registry)

    def validate(self) -> None:
        """Check capabilities of all stages, then let each backend check its own."""
        root, target = self.around.repository.root, self.request.target
        check_stages(self._gear.declaration, self._gear.resolved, root, target, self._slot_problems)
        self._listening.find(self._gear.declaration)
        hold_earlier_rules(self._gear)

    def prepare(self) -> None:
        """Take the locks of a run; let backends make what is ephemeral, each removal registered before the thing is made."""
        if self.request.execute:
            self._check_signers()
            check_promoted(self._gear)
            self._lock()
        place = StagePlace(self.around.repository.root, self.request.target)
        for stage in self._gear.declaration.stages:
            chosen = self._gear.resolved[stage.id]
            try:
                chosen.backend.prepare(stage, place, self.cleanups)
            except Exception as error:
                raise backend_failed("prepare", self._gear.declaration, stage, chosen.key, error) from error

    def plan(self) -> None:
        """Make the plan, with predictions; where a plan was given, make sure that it still is what would be done.

        A run that is to be rolled back has its plan, and no other will do.
        """
        if self.request.go_on is not None and self.request.go_on.undo:
            self.finished.plan = self._logbook.recall(self.request.go_on, self._gear.declaration.name)
            return
        self.finished.plan = plan = self._predicted()
        if self.request.go_on is not None:
            self.finished.plan = plan = keeping(plan, self._logbook.check_begun(self.request.go_on, plan))
        given = self.request.given
        if given is not None:
            # The plan just made is executed, not the given one: only what `effect` covers was found equal in them.
            self._admission.accounted = covered(
                given, plan, self.request.selection, lambda _: self._accounted(given, plan)
            )
            refuse_changed(given.preflight, plan.preflight)
            self.finished.plan = plan = keeping(plan, given)
        self.finished.plan = plan = self._admission.judged(plan)
        if self.request.execute:
            self._check_privilege(plan)
            self._check_identity(plan)

    def built(self) -> Plan:
        """The plan without predictions: the world is not asked."""
        return build(self._gear.plan_request(), self._gear.plan_tools())

    def _accounted(self, given: Plan, plan: Plan) -> Mapping[str, str]:
        """What records say was done of what is left out of a plan; where they say too little, what the world does not need."""
        done = self.request.accounting(given.effect)
        if all(node in plan.by_id or node in done for node in given.by_id):
            return done
        return {**idle(given, self._predicted(Selection())), **done}

    def _predicted(self, selection: Selection | None = None) -> Plan:
        """The plan under the rules of before, with what its `plan` commands and actions foretell; of another part, if asked."""
        gear, root = self._gear, self.around.repository.root
        commands = gear.open_plan_commands()
        made = (
            self.built()
            if selection is None
            else build(replace(gear.plan_request(), selection=selection), gear.plan_tools())
        )
        plan = predict(under_earlier_rules(made, gear), gear.plan_tools(), gear.declaration, root)
        commands.close()
        plan = looked_ahead(plan, self.around.registry.require_action)
        return drilled(plan, self.request.fail_after) if self.request.fail_after else plan

    def _check_signers(self) -> None:
        """Refuse a run whose receipt has to be signed and could not be. An undo goes on all the same: it counts unsigned."""
        if self.request.fail_after:
            return  # a drill's receipt is not kept
        refusal = self._gear.endorsement.early_refusal()
        if refusal is None:
            return
        if self._gear.endorsement.is_required and not self.request.is_undoing:
            self._is_refused = True
            raise refusal
        self.around.events.emit(Warned(self._gear.redactor.clean(refusal.message)))

    def _lock(self) -> None:
        """Hold lifecycle, target and what is declared until cleanup, so that the plan still holds when it is executed."""
        gear, interruption = self._gear, self.around.interruption
        declaration = gear.recorded
        self._is_refused = True
        gear.vault = self.around.open_vault(declaration, gear.secrets)
        gear.locks = self.around.open_locks(declaration, gear.secrets)
        self.cleanups.register("locks", gear.locks.close)
        names = [lifecycle_lock(declaration.name, self.request.target), *map(named_lock, declaration.locks)]
        struck = interruption.struck
        with interruption.handled_by(lambda: None):
            # An exception out of the signal handler could come between the claim and its being known.
            gear.locks.take(names)
        if interruption.struck > struck:
            abort()
        gear.state = self.around.open_state(declaration, gear.secrets, self.request.target)
        if gear.state is not None:
            self.cleanups.register("state", gear.state.close)
            fetch(gear.state, Workspace(self.around.repository.root))
        self._is_refused = False

    def execute(self) -> None:
        """Execute the plan and no other, then assemble its receipt."""
        plan = self.finished.plan
        assert plan is not None
        self._check_secrets(plan)
        self._admission.refuse_early(plan)
        if not self.request.confirm(plan):
            self.finished.declined = True
            return
        if self._gear.locks.lost is not None:
            raise self._gear.locks.lost
        self.finished.plan = plan = self._admission.admitted(plan)
        for name, key in self._gear.endorsement.private_keys():
            self._gear.learn(name, key)
        self.around.interruption.hold()
        tools = self._begin(plan)
        try:
            self._execution = execution = execute_plan(plan, tools)
        except VerificationError:
            self._logbook.put_down()
            raise
        if execution.fault is not None:
            raise execution.fault
        if execution.refusal is not None and not self.request.is_undoing:
            raise execution.refusal

    def _begin(self, plan: Plan) -> ExecutionTools:
        """Open the run in its journal, and tell its hooks. Returns what carries it out."""
        gear, logbook, admission = self._gear, self._logbook, self._admission
        resumption = logbook.open(plan, gear.guard(), admission.sanction, admission.clearance)
        workspace, run = logbook.workspace, logbook.run
        self.cleanups.register("scratch of the run", lambda: workspace.remove_scratch(run))
        self.cleanups.register("what no undo needs any more", lambda: logbook.let_go(self._execution, plan))
        self._listening.begin(plan, run, gear.redactor.clean, lambda: rfc3339(self.context.now()))
        return gear.execution_tools(logbook, workspace.run_directory(run), resumption)

    def report(self) -> None:
        """Seal the receipt of whatever was executed, then deliver."""
        finished = self.finished
        if isinstance(finished.error, LeaseLost) or (self.request.go_on and self._execution is None):
            return  # whoever has taken the run over reports it; one that could not be gone on with stays as it was
        is_a_run = self.request.execute and not finished.declined and not self._is_refused
        draft = self._receipt() if is_a_run and self._gear.is_loaded else None
        if draft is not None and self._execution is not None:
            draft = self._listening.ended(draft)
        # Whoever has the lock by now adds to the store: the receipt of a run that lost it stays here.
        state = None if isinstance(finished.error, LockLost) else self._gear.state
        try:
            self._logbook.end(draft, self._files)
        except ShipwayError:
            state = None  # whoever has taken the run over adds to the store; this receipt stays here
            raise
        finally:
            self._deliver(draft, state)
        self._logbook.seal(finished.receipt)
        is_kept = draft is not None and not self.request.fail_after
        if is_kept and (refusal := self._gear.endorsement.refusal()):
            raise refusal

    def _deliver(self, draft: Receipt | None, state: SharedState | None) -> None:
        """Put the receipt behind the one before it, and hand it to the reporter."""
        if draft is None:
            self.around.reporter.report(self.finished.plan, None)
            return
        if self.request.fail_after:
            self._keep(draft)  # a drill's receipt is nobody's proof of anything, and is not kept
            return
        chain = Chain(self._logbook.workspace, draft.lifecycle, draft.target, state)
        chain.add(draft, self._gear.endorsement.sign, self._keep)

    def _keep(self, receipt: Receipt) -> None:
        self.finished.receipt = receipt
        self.around.reporter.report(self.finished.plan, receipt)

    def cleanup(self) -> None:
        """Remove everything that was registered, last in first out."""
        self.cleanups.run()
        self.finished.cleanup_failures = tuple(self.cleanups.failures)

    def _files(self) -> str:
        """The digest of all files as they are now."""
        return replace(self.around.repository).digest_of(
            WHOLE_TREE, (*self._gear.declaration.files, *self.request.derived_from)
        )

    def _check_privilege(self, plan: Plan) -> None:
        needing = [each for node in plan.nodes for each in (node, *node.all_templates()) if each.privileged]
        if needing and not self.around.has_privilege(self.context.env):
            listed = ", ".join(f"`{node.id}`" for node in needing[:5]) + (" …" if len(needing) > 5 else "")
            raise UsageError(
                f"privilege is needed by {listed}, and this process is neither root nor has sudo without a password",
                where=needing[0].position,
                next="run it as root or allow sudo without a password; nothing was started",
            )

    def _check_identity(self, plan: Plan) -> None:
        needing = asking((*plan.nodes, *plan.compensations))
        if needing and self.around.issuer is None:
            error = no_issuer(needing[0].oidc[0])
            error.where = needing[0].position
            raise error

    def _check_secrets(self, plan: Plan) -> None:
        nodes = (*plan.nodes, *plan.compensations)
        missing = {name: node.id for node in nodes for name in secrets_named(node) if name not in self._gear.secrets}
        if missing:
            shown = ", ".join(f"`{name}` (named by `{node}`)" for name, node in missing.items())
            raise UsageError(
                f"secrets are not set in the environment: {shown}", next="set them, then run again; nothing was started"
            )

    def _receipt(self) -> Receipt:
        plan, gear = self.finished.plan, self._gear
        if plan is None or self._execution is None:
            return refused_receipt(gear, plan, self.finished.error, self._logbook, self._admission)
        return executed_receipt(gear, plan, self._execution, self._logbook, self._admission)
