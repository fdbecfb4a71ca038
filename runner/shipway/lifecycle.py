"""The eight phases of a lifecycle, one function each, and the order they run in. Commands call it; it prints nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache, cached_property
from pathlib import Path

from msgspec.structs import replace

from shipway import __version__
from shipway.admission import Admission
from shipway.assembly import OutputSeal, RunFacts, assemble, failed_receipt
from shipway.attestation import Endorsement
from shipway.backend import StagePlace
from shipway.baseline import gone_with_run, held_by, stood_before, unknown
from shipway.chain import Chain
from shipway.checkpoint_store import left_nodes
from shipway.ci import Provider, rules_base
from shipway.cleanup import CleanupStack
from shipway.continuation import Resumption
from shipway.coverage import covered
from shipway.declaration import Declaration, StateStore
from shipway.drill import drilled
from shipway.environment import base_environment
from shipway.errors import Interrupted, Problem, Reason, ShipwayError, UsageError, VerificationError, trace_of
from shipway.evaluation import secrets_named
from shipway.events import PhaseFinished, PhaseStarted, Warned
from shipway.execution import ExecutionTools, PlanCommands, execute_plan
from shipway.foretold import keeping
from shipway.holding import Locks, Unguarded
from shipway.inputs import read_inputs
from shipway.interruption import abort
from shipway.journal import LeaseLost, Unjournalled
from shipway.listening import Listening
from shipway.loading import is_same_for, load_declaration
from shipway.locks import lifecycle_lock, named_lock
from shipway.logbook import Guard, Logbook, ran_by
from shipway.look_ahead import looked_ahead
from shipway.nodes import WHOLE_TREE, Verified
from shipway.plan import Durability, Plan
from shipway.planning import PlanRequest, Selection, build, predict
from shipway.policing import PolicyTools
from shipway.precedent import commit_of, is_of_tree
from shipway.prediction import PlanTools
from shipway.preflight import refuse_changed
from shipway.promotion import gap_after, proves, refused, shortfall, torn
from shipway.receipt import Receipt, RunOutcome
from shipway.redaction import Redactor
from shipway.resolution import Resolved, backend_failed, check_stages, resolve
from shipway.results import Execution
from shipway.rules import Held, approved_as
from shipway.secrecy import Secrecy, Vault
from shipway.shared_journal import fetch
from shipway.shared_state import SharedState
from shipway.shelf import Shelf
from shipway.signer import SigningTools
from shipway.site import site_of
from shipway.slot_checks import slot_problems
from shipway.source import SourceTree
from shipway.state import Prior
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
        self._vault: Vault | None = None
        self._is_refused = False
        self._held = Held()
        self._listening = Listening(around, self.cleanups)
        self._logbook = Logbook(request, around, self.cleanups)
        self._admission = Admission(request, around, self._logbook, self._policy_tools)
        self._prior: Prior = cache(lambda: around.prior(self._recorded, request.target))

    def enter(self, phase: Callable[[], None]) -> None:
        """Run one phase between its started and finished events. Raises ShipwayError that names the phase."""
        name = phase.__name__
        self.around.events.emit(PhaseStarted(name))
        started = self.context.monotonic_ns()
        failure = ""
        try:
            phase()
        except ShipwayError as error:
            failure = error.message = self.redactor.redact(error.message)
            error.next = self.redactor.redact(error.next)
            error.phase = error.phase or name
            raise
        except Exception as error:
            failure = self.redactor.redact(f"{type(error).__name__}: {error}")
            bug = ShipwayError(failure, reason=Reason.BUG, phase=name)
            bug.trace = self.redactor.redact(trace_of(error))
            raise bug from error
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

    @property
    def _recorded(self) -> Declaration:
        """The declaration, with where locks and records are for this run: a change that moves them does so for the next."""
        return self._held.recorded(self.declaration)

    def load(self) -> None:
        """Read the declaration and its overlay for the target; learn the secrets to mask."""
        root, request = self.around.repository.root, self.request
        known = request.declared
        if known is None or not is_same_for(known, request.file, root=root, target=request.target):
            known = load_declaration(request.file, root=root, target=request.target, more=self._slot_problems)
        self._declaration = known
        env = self.context.env
        self.secrets = {name: env[name] for name in self.declaration.secrets if env.get(name)}
        self.redactor = Redactor(self.secrets)
        if self.redactor.too_short:
            names = ", ".join(f"`{name}`" for name in self.redactor.too_short)
            self.around.events.emit(Warned(f"too short to be masked in what steps print: {names}"))

    def _slot_problems(self, tree: SourceTree) -> Iterable[Problem]:
        registry = self.around.registry
        return slot_problems(tree, registry.find_action, registry.action_names)

    def resolve(self) -> None:
        """Choose a backend for every stage."""
        self.resolved = resolve(self.declaration, self.around.registry)

    def validate(self) -> None:
        """Check capabilities of all stages, then let each backend check its own."""
        root, target = self.around.repository.root, self.request.target
        check_stages(self.declaration, self.resolved, root, target, self._slot_problems)
        self._listening.find(self.declaration)
        self._hold_base()

    def _hold_base(self) -> None:
        """Let the rules before hold as well: of the commit that this change is put upon, and of the last run that was let through.

        Raises VerificationError where they are not known.
        """
        ci, target = self.context.ci, self.request.target
        if ci is None or self.request.is_undoing or self.request.is_derived:
            return
        if base := rules_base(ci):
            self._hold(base, "")
        if ci.pull_request is not None and target == f"pr-{ci.pull_request}":
            return  # it is run by test merges, which nobody has later; what they are put upon is the base
        for receipt in self._precedents():
            if not is_of_tree(receipt, self.around.repository.tree):
                self._hold(commit_of(receipt), receipt.run)

    def _precedents(self) -> tuple[Receipt, ...]:
        try:
            found = tuple(self.around.precedents(self._recorded, self.request.target))
        except ShipwayError as error:
            if self.request.execute:
                raise
            self._warn_of_precedents(error)
            return ()
        return found or self._precedents_elsewhere()

    def _precedents_elsewhere(self) -> tuple[Receipt, ...]:
        """Where the lifecycle had another name, or its store was another: a change that was refused may have moved them."""
        for before, target in stood_before(self._recorded, self.request.target, self.around.repository):
            try:
                if found := tuple(self.around.precedents(before, target)):
                    return found
            except ShipwayError as error:
                self._warn_of_precedents(error)  # a store that was given up must not keep all from being run
        return ()

    def _warn_of_precedents(self, error: ShipwayError) -> None:
        text = f"the rules of the last run that was let through are not known: {error.message}"
        self.around.events.emit(Warned(self.redactor.clean(text)))

    def _hold(self, commit: str, run: str) -> None:
        """Let the rules of a commit hold as well; `run` is what executed it, if that is why."""
        declared, before = self.declaration, self._held

        def planned(one: Declaration) -> Plan:
            plan = self._whole_plan(one)
            return before.applied(plan) if one is declared else plan

        try:
            held = held_by(commit, declared, self.request.target, self.around.repository, planned)
        except VerificationError as error:
            found = gone_with_run(error, commit, run) if run else error
            if self.request.execute:
                raise found from error
            held = unknown(found, commit)
        self._held = held = before.joined(held)
        env = self.context.env
        is_locked, locks = declared.is_locked or held.is_locked, tuple(dict.fromkeys((*declared.locks, *held.locks)))
        self._declaration = replace(declared, is_locked=is_locked, locks=locks)
        if held.secrets:
            self.secrets = {**self.secrets, **{name: env[name] for name in held.secrets if env.get(name)}}
            self.redactor = Redactor(self.secrets)

    def _whole_plan(self, declared: Declaration) -> Plan:
        """All of a declaration as a plan without predictions, whatever part of it was asked for."""
        given = {name: text for name, text in self.request.inputs.items() if name in declared.inputs}
        request = replace(self.plan_request(), declaration=declared, inputs=read_inputs(given, declared.inputs))
        is_own = declared is self.declaration
        resolved = self.resolved if is_own else resolve(declared, self.around.registry)
        return build(replace(request, selection=Selection()), replace(self.plan_tools(), resolved=resolved))

    def _under_rules(self, plan: Plan) -> Plan:
        """The plan under the rules of before; in CI a part of a lifecycle also under those of the stages that are left out."""
        plan = self._held.applied(plan)
        shown = self.request.given or plan
        left_out = [stage.approval for stage in self.declaration.stages if stage.id not in shown.stages_by_id]
        left_out += [rule for stage, rule in self._held.approvals.items() if stage not in shown.stages_by_id]
        return plan if self.context.ci is None else approved_as(plan, left_out)

    def prepare(self) -> None:
        """Take the locks of a run; let backends make what is ephemeral, each removal registered before the thing is made."""
        if self.request.execute:
            self._check_signers()
            self._check_promoted()
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
            self.finished.plan = self._logbook.recall(self.request.go_on, self.declaration.name)
            return
        commands = PlanCommands(self.context, self.redactor, self.around.grace, self.around.interruption)
        self.cleanups.register("directory of plan commands", commands.close)
        self._plan_commands = commands
        plan = predict(
            self._under_rules(build(self.plan_request(), self.plan_tools())),
            self.plan_tools(),
            self.declaration,
            self.around.repository.root,
        )
        commands.close()
        plan = looked_ahead(plan, self.around.registry.require_action)
        self.finished.plan = plan = drilled(plan, self.request.fail_after) if self.request.fail_after else plan
        if self.request.go_on is not None:
            self.finished.plan = plan = keeping(plan, self._logbook.check_begun(self.request.go_on, plan))
        given = self.request.given
        if given is not None:
            # The plan just made is executed, not the given one: only what `effect` covers was found equal in them.
            self._admission.accounted = covered(given, plan, self.request.selection, self.request.accounting)
            refuse_changed(given.preflight, plan.preflight)
            self.finished.plan = plan = keeping(plan, given)
        self.finished.plan = plan = self._admission.judged(plan)
        if self.request.execute:
            self._check_privilege(plan)

    def _check_signers(self) -> None:
        """Refuse a run whose receipt has to be signed and could not be. An undo goes on all the same: it counts unsigned."""
        if self.request.fail_after:
            return  # a drill's receipt is not kept
        refusal = self._endorsement.early_refusal()
        if refusal is None:
            return
        if self._endorsement.is_required and not self.request.is_undoing:
            self._is_refused = True
            raise refusal
        self.around.events.emit(Warned(self.redactor.clean(refusal.message)))

    def _check_promoted(self) -> None:
        """Refuse a target before the same tree succeeded on those that come first. What was begun may be ended."""
        target, request = self.request.target, self.request
        wanted = (*self.declaration.target_rule(target).after, *self._held.after)
        if not wanted or request.go_on is not None:
            return
        repository = self.around.repository
        tree = None if repository.changed else repository.tree
        counts = self._endorsement.counts
        missing = [name for name in dict.fromkeys(wanted) if tree is None or not self._proof(name, tree, counts)]
        if missing:
            uncounted = self._proof(missing[0], tree, lambda receipt: True) if tree else None
            lack = shortfall(*self._proofs(missing[0], tree)) if tree else ""
            raise refused(target, missing, tree, request.inputs, uncounted.run if uncounted else None, lack)

    def _proof(self, target: str, tree: str, counts: Callable[[Receipt], bool]) -> Receipt | None:
        kept, _, declared, _ = self._proofs(target, tree)
        proof = proves(kept, tree, declared, target, counts)
        if proof is not None and self._endorsement.is_required:
            gap = gap_after(proof, kept, self.around.anchors(self._held.recorded(declared), target))
            if gap:
                raise torn(self.request.target, target, proof, gap)
        return proof

    def _proofs(self, target: str, tree: str) -> tuple[Iterable[Receipt], str, Declaration, str]:
        declared = load_declaration(self.request.file, root=self.around.repository.root, target=target)
        return list(self.around.receipts(self._held.recorded(declared), target)), tree, declared, target

    @cached_property
    def _endorsement(self) -> Endorsement:
        context, held = self.context, self._held
        tools = SigningTools(self.around.repository.root, context.home, context.env, self.secrets)
        rules = [(self.declaration.signing, None), *([(held.signing, held.allowed_signers)] if held.signing else [])]
        return Endorsement(rules, self.around.registry.make_signer, tools)

    def _lock(self) -> None:
        """Hold lifecycle, target and what is declared until cleanup, so that the plan still holds when it is executed."""
        declaration = self._recorded
        self._is_refused = True
        self._vault = self.around.open_vault(declaration, self.secrets)
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

    def execute(self) -> None:
        """Execute the plan and no other, then assemble its receipt."""
        plan = self.finished.plan
        assert plan is not None
        self._check_secrets(plan)
        self._admission.refuse_early(plan)
        if not self.request.confirm(plan):
            self.finished.declined = True
            return
        if self._locks.lost is not None:
            raise self._locks.lost
        self.finished.plan = plan = self._admission.admitted(plan)
        for name, key in self._endorsement.private_keys():
            self._learn(name, key)
        self.around.interruption.hold()
        resumption = self._logbook.open(plan, self._guard(), self._admission.sanction, self._admission.clearance)
        workspace, run = self._logbook.workspace, self._logbook.run
        self.cleanups.register("scratch of the run", lambda: workspace.remove_scratch(run))
        self.cleanups.register("what no undo needs any more", lambda: self._logbook.let_go(self._execution, plan))
        self._listening.begin(plan, run, self.redactor.clean, lambda: _rfc3339(self.context.now()))
        try:
            self._execution = execute_plan(plan, self._execution_tools(workspace.run_directory(run), resumption))
        except VerificationError:
            self._logbook.put_down()
            raise
        if self._execution.fault is not None:
            raise self._execution.fault
        if self._execution.refusal is not None and not self.request.is_undoing:
            raise self._execution.refusal

    def report(self) -> None:
        """Seal the receipt of whatever was executed, then deliver."""
        finished = self.finished
        if isinstance(finished.error, LeaseLost) or (self.request.go_on and self._execution is None):
            return  # whoever has taken the run over reports it; one that could not be gone on with stays as it was
        is_a_run = self.request.execute and not finished.declined and not self._is_refused
        draft = self._receipt() if is_a_run and self._declaration is not None else None
        if draft is not None and self._execution is not None:
            draft = self._listening.ended(draft)
        state = self._state
        try:
            self._logbook.end(draft, self._files)
        except ShipwayError:
            state = None  # whoever has taken the run over adds to the store; this receipt stays here
            raise
        finally:
            self._deliver(draft, state)
        self._logbook.seal(finished.receipt)
        is_kept = draft is not None and not self.request.fail_after
        if is_kept and (refusal := self._endorsement.refusal()):
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
        chain.add(draft, self._endorsement.sign, self._keep)

    def _keep(self, receipt: Receipt) -> None:
        self.finished.receipt = receipt
        self.around.reporter.report(self.finished.plan, receipt)

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
            site=site_of(self.context, self.around.repository, self._left),
            derived_from=self.request.derived_from,
        )

    def _durability(self) -> Durability:
        """What a run of this will survive: the store decides, else whether a job uploads the journal."""
        if self._recorded.state.store is not StateStore.LOCAL:
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
            withheld={} if self.request.execute else self._held.withheld,
            prior=self._prior,
            shelf=self._shelf,
        )

    @cached_property
    def _shelf(self) -> Shelf | None:
        shelf = self.around.open_shelf(self._recorded, self.secrets, self.request.target)
        if shelf is not None:
            self.cleanups.register("what actions keep", shelf.close)
        return shelf

    def _left(self) -> Sequence[str]:
        """The nodes of this target's environment. Where nothing is carried out, none are known of a store that cannot be read."""
        try:
            return left_nodes(self._shelf)
        except ShipwayError:
            if self.request.execute:
                raise
            return ()

    def _policy_tools(self) -> PolicyTools:
        commands = PlanCommands(self.context, self.redactor, self.around.grace, self.around.interruption)
        self.cleanups.register("directory of policies", commands.close)
        return PolicyTools(
            execute=commands.execute,
            redact=self.redactor.redact,
            labels=self.around.labels,
            base_env=base_environment(self.context.env),
            secrets=self.secrets,
            withheld={} if self.request.execute else self._held.withheld,
            root=self.around.repository.root,
        )

    def _guard(self) -> Guard:
        lock = lifecycle_lock(self.declaration.name, self.request.target)
        return Guard(
            Secrecy(self.redactor.finds, self._vault), self._learn, self._state, lambda: self._locks.token(lock)
        )

    def _learn(self, name: str, text: str) -> None:
        """Mask what is secret by itself, not what only has a secret in it that is masked already."""
        if not self.redactor.finds(text):
            self.redactor.add(name, text)

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
            recovery=self._logbook.workspace.recovery(self._logbook.run),
            processors=around.processors,
            journal=self._logbook.journal or Unjournalled(),
            tokens=self._logbook.tokens,
            locks=self._locks,
            elapsed_ms=self._logbook.elapsed_ms,
            resumption=resumption,
            fail_after=self.request.fail_after,
            check_head=self.request.check_head,
            checks_each=self.request.checks_each,
            usual_ms=self._logbook.usual_ms,
            shelf=self._shelf,
        )

    def _files(self) -> str:
        """The digest of all files as they are now."""
        return replace(self.around.repository).digest_of(
            WHOLE_TREE, (*self.declaration.files, *self.request.derived_from)
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

    def _check_secrets(self, plan: Plan) -> None:
        nodes = (*plan.nodes, *plan.compensations)
        missing = {name: node.id for node in nodes for name in secrets_named(node) if name not in self.secrets}
        if missing:
            shown = ", ".join(f"`{name}` (named by `{node}`)" for name, node in missing.items())
            raise UsageError(
                f"secrets are not set in the environment: {shown}", next="set them, then run again; nothing was started"
            )

    def _receipt(self) -> Receipt:
        plan, error = self.finished.plan, self.finished.error
        facts = self._facts()
        if plan is not None and self._execution is not None:
            seal = OutputSeal(self.redactor.clean, bytes.fromhex(self.context.random_hex(32)))
            receipt = assemble(plan, self._execution, facts, seal)
            if not self._logbook.is_taken_back:
                return receipt
            is_whole = receipt.outcome is not RunOutcome.NOT_UNDONE
            return replace(receipt, outcome=RunOutcome.ROLLED_BACK) if is_whole else receipt
        text = self.redactor.clean(f"{error.phase}: {error.message}") if error else ""
        outcome = RunOutcome.CANCELLED if isinstance(error, Interrupted) else RunOutcome.FAILED
        return failed_receipt(self.declaration.name, self.request.target, plan, outcome, text, facts)

    def _facts(self) -> RunFacts:
        context, logbook = self.context, self._logbook
        admission = self._admission
        looked_at = self.request.given or admission.sanction.reviewed
        return RunFacts(
            run=logbook.run or logbook.new_run_id(),
            started=_rfc3339(logbook.began),
            ended=_rfc3339(context.now()),
            duration_ms=(context.monotonic_ns() - logbook.began_ns) // 1_000_000,
            by=ran_by(context, self.around.repository),
            platform=f"{context.platform.os}/{context.platform.arch}",
            shipway=__version__,
            redactions=self.redactor.count,
            warnings=tuple(self.around.events.faults),
            approved=looked_at.effect if looked_at else None,
            planned_with=looked_at.shipway if looked_at else None,
            approvals=admission.sanction.approvals,
            accounted=admission.sanction.accounted or admission.accounted,
            verdicts=admission.clearance.verdicts,
            break_glass=admission.clearance.broken,
        )


def _rfc3339(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"
