"""What one run works with, as far as it is known by now, and the tools that are made of it for its phases. Decides nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache, cached_property
from pathlib import Path

from shipway.attestation import Endorsement
from shipway.checkpoint_store import left_nodes
from shipway.ci import Provider
from shipway.cleanup import CleanupStack
from shipway.continuation import Resumption
from shipway.declaration import Declaration, StateStore
from shipway.environment import base_environment
from shipway.errors import ShipwayError
from shipway.execution import ExecutionTools, PlanCommands
from shipway.holding import Locks, Unguarded
from shipway.inputs import read_inputs
from shipway.journal import Unjournalled
from shipway.locks import lifecycle_lock
from shipway.logbook import Guard, Logbook
from shipway.plan import Durability
from shipway.planning import PlanRequest
from shipway.policing import PolicyTools
from shipway.prediction import PlanTools
from shipway.redaction import Redactor
from shipway.resolution import Resolved
from shipway.rules import Held
from shipway.secrecy import Secrecy, Vault
from shipway.shared_state import SharedState
from shipway.shelf import Shelf
from shipway.signer import SigningTools
from shipway.site import site_of
from shipway.state import Prior
from shipway.undertaking import Request, Surroundings


class Gear:
    """What is known of a run by now: load tells the declaration, resolve its backends, prepare the locks, vault and state.

    `held` are the rules of before, which hold as well; validate finds them.
    """

    def __init__(self, request: Request, around: Surroundings, cleanups: CleanupStack) -> None:
        self.request = request
        self.around = around
        self.context = around.context
        self.redactor = Redactor({})
        self.secrets: Mapping[str, str] = {}
        self.resolved: Mapping[str, Resolved] = {}
        self.held = Held()
        self.locks: Locks = Unguarded()
        self.vault: Vault | None = None
        self.state: SharedState | None = None
        gone_on_with = request.go_on.run if request.go_on else ""
        self.prior: Prior = cache(lambda: around.prior(self.recorded, request.target, gone_on_with))
        self._cleanups = cleanups
        self._declaration: Declaration | None = None
        self._plan_commands: PlanCommands | None = None

    @property
    def is_loaded(self) -> bool:
        """Whether there is a declaration."""
        return self._declaration is not None

    @property
    def declaration(self) -> Declaration:
        """What phase load found, with the locks that the rules of before add."""
        assert self._declaration is not None
        return self._declaration

    @declaration.setter
    def declaration(self, declared: Declaration) -> None:
        self._declaration = declared

    @property
    def recorded(self) -> Declaration:
        """The declaration, with where locks and records are for this run: a change that moves them does so for the next."""
        return self.held.recorded(self.declaration)

    def mask(self, secrets: Iterable[str]) -> None:
        """Learn the secrets of these names that the environment has: from now on they are masked."""
        env = self.context.env
        self.secrets = {**self.secrets, **{name: env[name] for name in secrets if env.get(name)}}
        self.redactor = Redactor(self.secrets)

    def learn(self, name: str, text: str) -> None:
        """Mask what is secret by itself, not what only has a secret in it that is masked already."""
        if not self.redactor.finds(text):
            self.redactor.add(name, text)

    @cached_property
    def endorsement(self) -> Endorsement:
        """The signatures that the receipt needs, by the declaration and by the rules of before."""
        context, held = self.context, self.held
        tools = SigningTools(self.around.repository.root, context.home, context.env, self.secrets)
        rules = [(self.declaration.signing, None), *([(held.signing, held.allowed_signers)] if held.signing else [])]
        return Endorsement(rules, self.around.registry.make_signer, tools)

    @cached_property
    def shelf(self) -> Shelf | None:
        """What actions keep between runs, open until cleanup."""
        shelf = self.around.open_shelf(self.recorded, self.secrets, self.request.target)
        if shelf is not None:
            self._cleanups.register("what actions keep", shelf.close)
        return shelf

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
            base=(self.around.repository.merged_onto(ci.head_sha) or ci.base_sha or None) if ci else None,
            platform=f"{self.context.platform.os}/{self.context.platform.arch}",
            durability=self._durability(),
            site=site_of(self.context, self.around.repository, self._left),
            derived_from=self.request.derived_from,
        )

    def _durability(self) -> Durability:
        """What a run of this will survive: the store decides, else whether a job uploads the journal."""
        if self.recorded.state.store is not StateStore.LOCAL:
            return Durability.MACHINE
        ci = self.context.ci
        return Durability.ATTEMPT if ci is not None and ci.provider is Provider.GITHUB else Durability.PROCESS

    def _left(self) -> Sequence[str]:
        """The nodes of this target's environment. Where nothing is carried out, none are known of a store that cannot be read."""
        try:
            return left_nodes(self.shelf)
        except ShipwayError:
            if self.request.execute:
                raise
            return ()

    def open_plan_commands(self) -> PlanCommands:
        """What carries out the `plan` commands of steps from now on, until it is closed: at cleanup at the latest."""
        self._plan_commands = self._commands("directory of plan commands")
        return self._plan_commands

    def _commands(self, name: str) -> PlanCommands:
        commands = self._unregistered_commands()
        self._cleanups.register(name, commands.close)
        return commands

    def _unregistered_commands(self) -> PlanCommands:
        return PlanCommands(self.context, self.redactor, self.around.grace, self.around.interruption)

    def plan_tools(self) -> PlanTools:
        """What planning may use."""
        commands = self._plan_commands or self._unregistered_commands()
        return PlanTools(
            registry=self.around.registry,
            resolved=self.resolved,
            env=self.context.env,
            base_env=base_environment(self.context.env),
            secrets=self.secrets,
            execute=commands.execute,
            redact=self.redactor.redact,
            withheld=self._withheld,
            prior=self.prior,
            shelf=self.shelf,
        )

    def policy_tools(self) -> PolicyTools:
        """What policies may use, until cleanup."""
        return PolicyTools(
            execute=self._commands("directory of policies").execute,
            redact=self.redactor.redact,
            labels=self.around.labels,
            base_env=base_environment(self.context.env),
            secrets=self.secrets,
            withheld=self._withheld,
            root=self.around.repository.root,
        )

    @property
    def _withheld(self) -> Mapping[str, frozenset[str]]:
        return {} if self.request.execute else self.held.withheld

    def guard(self) -> Guard:
        """What keeps the journal: secrets out of it, and whoever lost the lock from writing to it."""
        lock = lifecycle_lock(self.declaration.name, self.request.target)
        return Guard(Secrecy(self.redactor.finds, self.vault), self.learn, self.state, lambda: self.locks.token(lock))

    def execution_tools(self, logbook: Logbook, directory: Path, resumption: Resumption | None) -> ExecutionTools:
        """What execution may use, for the run of `logbook`, whose files go to `directory`."""
        around, request = self.around, self.request
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
            recovery=logbook.workspace.recovery(logbook.run),
            processors=around.processors,
            journal=logbook.journal or Unjournalled(),
            tokens=logbook.tokens,
            locks=self.locks,
            elapsed_ms=logbook.elapsed_ms,
            resumption=resumption,
            fail_after=request.fail_after,
            check_head=request.check_head,
            checks_each=request.checks_each,
            issuer=around.issuer,
            usual_ms=logbook.usual_ms,
            shelf=self.shelf,
        )
