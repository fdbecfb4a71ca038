"""Looks for drift of one target: its receipts, and whom to ask about what they say. Writes nothing into the checkout."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from shipway.commands.kept_receipts import Archive, Finding
from shipway.commands.setting import GRACE_IN_CI, journal_of
from shipway.commands.state_cache import current_state
from shipway.commands.stores import open_state, open_vault
from shipway.context import Context
from shipway.declaration import Declaration
from shipway.deviation import Found
from shipway.drift import Answer, look
from shipway.environment import base_environment
from shipway.events import Events
from shipway.execution import ExecutionTools
from shipway.inquiry import ask_verify
from shipway.interruption import Interruption
from shipway.journal_file import JournalFile
from shipway.nodes import Verified
from shipway.plan import Plan
from shipway.redaction import Redactor
from shipway.registry import Registry
from shipway.repository import Repository
from shipway.run_record import RunRecord
from shipway.shared_journal import fetch
from shipway.unsealing import unsealed
from shipway.workspace import Workspace


class DriftReport(Struct, frozen=True):
    """What looking at every entry of a target came to, and the receipts that could not be counted."""

    lifecycle: str
    target: str
    found: tuple[Found, ...]
    findings: tuple[Finding, ...] = ()

    @property
    def differs(self) -> bool:
        """Whether anything is not as receipts say."""
        return any(each.differs for each in self.found)


def find_drift(
    declared: Declaration, target: str, context: Context, repository: Repository, interruption: Interruption
) -> DriftReport:
    """Look at all that exists in a target. Raises ShipwayError where receipts cannot be read, Interrupted after a signal."""
    # Looking writes nothing, what was worked out neither.
    state, findings = current_state(Archive(declared, target, context, repository), keep=False)
    secrets = {name: context.env[name] for name in declared.secrets if context.env.get(name)}
    registry, redactor = Registry(), Redactor(secrets)
    tools = ExecutionTools(
        context=context,
        registry=registry,
        events=Events(),
        redactor=redactor,
        interruption=interruption,
        grace=GRACE_IN_CI,
        secrets=secrets,
        root=repository.root,
        directory=repository.root,
        recovery=repository.root,
        processors=1,
    )
    interruption.hold()
    with ExitStack() as opened:
        past = _Past(declared, target, context, repository, secrets, opened)

        def ask(run: str, nodes: Sequence[str]) -> Mapping[str, Answer]:
            known = past.of(run)
            if known is None:
                why = f"the plan of run {run} is not here any more, nor in the store of the state"
                return dict.fromkeys(nodes, Answer(Verified.UNKNOWN, why))
            plan, record = known
            record, fault = unsealed(record, open_vault(declared, secrets), redactor.add)
            if fault:
                return dict.fromkeys(nodes, Answer(Verified.UNKNOWN, fault))
            recovery = Workspace(repository.root).recovery(run)
            return ask_verify(plan, record, nodes, replace(tools, recovery=recovery))

        env = base_environment(context.env)
        found = look(state.entries, registry.find_action, ask, repository.root, env)
    return DriftReport(declared.name, target, tuple(found), findings)


class _Past:
    """Plans and journals of earlier runs: those of this checkout, then the one that the store of the state has."""

    def __init__(
        self,
        declared: Declaration,
        target: str,
        context: Context,
        repository: Repository,
        secrets: Mapping[str, str],
        opened: ExitStack,
    ) -> None:
        self._declared = declared
        self._target = target
        self._context = context
        self._repository = repository
        self._secrets = secrets
        self._opened = opened
        self._journals: list[JournalFile] = []
        self._left = self._places()

    def of(self, run: str) -> tuple[Plan, RunRecord] | None:
        """Plan and journal of a run; None where neither knows it."""
        for journal in self._looked_at():
            if any(summary.run == run for summary in journal.runs()):
                return journal.plan(run), journal.read(run)
        return None

    def _looked_at(self) -> Iterator[JournalFile]:
        yield from self._journals
        for journal in self._left:
            self._journals.append(journal)
            yield journal

    def _places(self) -> Iterator[JournalFile]:
        yield journal_of(self._repository.root, self._context)
        state = open_state(self._declared, self._secrets, self._target, self._context, self._repository)
        if state is not None:
            # Nothing of the checkout is written, its journal neither: it is merged into one of our own.
            folder = Path(self._opened.enter_context(tempfile.TemporaryDirectory(prefix="shipway-drift-")))
            try:
                fetch(state, Workspace(folder))
            finally:
                state.close()
            yield journal_of(folder, self._context)
