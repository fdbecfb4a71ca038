"""What does the executor itself cost a node? An action that does nothing, on this process's own threads, no child started."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bench.measure import Answer, Sample, Scale, at_most, commit, computed, interleaved
from shipway.action import Done, PlanWork, Prediction, SlotRule, Work
from shipway.attempt import Grace
from shipway.context import read_context
from shipway.declaration import OutputRule
from shipway.events import Events
from shipway.execution import ExecutionTools, execute_plan
from shipway.interruption import Interruption
from shipway.journal import Journal, Unjournalled
from shipway.journal_file import JournalFile
from shipway.journal_writer import RunWriter
from shipway.lifecycle import check_lifecycle
from shipway.nodes import Change, Fidelity, Outcome, Verified
from shipway.plan import Plan
from shipway.receipt import Receipt
from shipway.redaction import Redactor
from shipway.registry import Registry
from shipway.repository import open_repository
from shipway.results import Execution
from shipway.run_record import Opening, RunStatus
from shipway.secrecy import NOTHING_SECRET
from shipway.undertaking import Reporter, Request, Surroundings
from shipway.workspace import Workspace

_GRACE = Grace(interrupt_ms=1_000, terminate_ms=1_000)


class NoOp:
    """Does nothing, as quickly as it can."""

    runs_in: Literal["thread"] = "thread"
    name = "bench.noop"
    contract = 1
    slots: Mapping[str, SlotRule] = {}
    outputs: Mapping[str, OutputRule] = {}

    def plan(self, work: PlanWork) -> Prediction:
        """Nothing will be done."""
        return Prediction(Change.NOOP, Fidelity.EXACT)

    def do(self, work: Work) -> Done:
        """Nothing."""
        return Done()

    def undo(self, work: Work) -> None:
        """Nothing was done."""

    def verify(self, work: Work) -> Verified:
        """What was not made is there."""
        return Verified.HOLDS


class _Nobody(Reporter):
    def report(self, plan: Plan | None, receipt: Receipt | None) -> None:
        """Only the execution is measured."""


@dataclass(slots=True)
class NoOps:
    """A plan of nodes that do nothing, executed as often as it is measured, each time in a directory of its own."""

    plan: Plan
    around: Surroundings
    directory: Path
    number: int = 0

    @staticmethod
    def made(count: int, directory: Path) -> NoOps:
        """`count` independent ones, two at a time, planned in a new repository."""
        steps = "".join(f"  s{number}: {{uses: bench.noop}}\n" for number in range(count))
        file = directory / "shipway.yml"
        file.write_text(f"version: 1\nname: bench\ndefaults: {{parallel: 2}}\nsteps:\n{steps}", encoding="utf-8")
        commit(directory)
        context = read_context()
        registry = Registry()
        registry.register_action(NoOp(), "bench")
        around = Surroundings(
            context=context,
            repository=open_repository(directory, context.env),
            registry=registry,
            events=Events(),
            reporter=_Nobody(),
            interruption=Interruption(),
            grace=_GRACE,
            processors=2,
        )
        return NoOps(check_lifecycle(Request(file, "default"), around), around, directory)

    def measured(self, rounds: int, *, journalled: bool) -> Sample:
        """The best of some rounds."""
        return interleaved({"no-op": lambda: self._measured(journalled)}, rounds)["no-op"]

    def journal_bytes(self) -> float:
        """How large the journal of all rounds is, what SQLite has not moved into its file yet included."""
        journal = Workspace(self.directory).journal
        return sum(file.stat().st_size for file in journal.parent.glob(f"{journal.name}*"))

    def _measured(self, journalled: bool) -> Sample:
        self.number += 1
        directory = self.directory / f"run-{self.number}"
        directory.mkdir()
        journal = self._journal() if journalled else Unjournalled()
        try:
            return computed(lambda: self._execute(directory, journal))
        finally:
            if isinstance(journal, RunWriter):
                journal.finished(RunStatus.SUCCEEDED, 0)
                journal.close()

    def _journal(self) -> RunWriter:
        context = self.around.context
        file = JournalFile(Workspace(self.directory), token=lambda: context.random_hex(16), unix_ms=lambda: 0)
        # Its `verify` can be asked about each of them, so that no start has to wait for the disk.
        opening = Opening(f"run-{self.number}", "bench", "default", "shipway.yml", 0)
        return file.begin(opening, self.plan, NOTHING_SECRET, {node.id: False for node in self.plan.nodes})

    def _execute(self, directory: Path, journal: Journal) -> Execution:
        around = self.around
        execution = execute_plan(
            self.plan,
            ExecutionTools(
                context=around.context,
                registry=around.registry,
                events=around.events,
                redactor=Redactor({}),
                interruption=around.interruption,
                grace=_GRACE,
                secrets={},
                root=around.repository.root,
                directory=directory,
                recovery=directory / "recovery",
                processors=around.processors,
                journal=journal,
            ),
        )
        assert all(result.outcome is Outcome.SUCCEEDED for result in execution.results)
        return execution


def no_ops(scale: Scale, directory: Path) -> Answer:
    """Independent nodes of an action that does nothing, two at a time, from a plan that is there already."""
    taken = NoOps.made(scale.many, directory).measured(scale.rounds, journalled=False)
    return Answer(
        f"{scale.many:,} in-process nodes that do nothing",
        [
            at_most("wall time a node", taken.wall / scale.many * 1e6, 60, " µs"),
            at_most("processor time a node", taken.processor / scale.many * 1e6, 60, " µs"),
        ],
    )
