"""The record of one run: its id and clock, its journal, what earlier runs leave to it, and what it leaves to later ones.

Executes nothing and makes no receipt; the phases of `lifecycle` say when something is to be written down.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from msgspec import Struct

from shipway import __version__
from shipway.approval import Sanction
from shipway.bodies import regrown, rules_of
from shipway.cleanup import CleanupStack
from shipway.context import Context
from shipway.continuation import Resumption
from shipway.errors import UsageError
from shipway.events import Warned
from shipway.journal import Journals, RunJournal
from shipway.nodes import Node
from shipway.pace import OwnTokens, Tokens
from shipway.plan import Plan
from shipway.policy import Clearance
from shipway.receipt import Pause, RanBy, Receipt, RunOutcome, by_json
from shipway.replay import last_moment_ms, pauses_of
from shipway.repository import Repository
from shipway.results import Execution
from shipway.run_record import UNFINISHED, Opening, RunRecord, RunStatus
from shipway.secrecy import Secrecy
from shipway.shared_journal import SharedJournal
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
from shipway.undertaking import Request, Surroundings
from shipway.unsealing import unsealed
from shipway.workspace import Workspace


class Guard(Struct, frozen=True):
    """What has to be known before anything is written down: `secrecy` says of what that it must not be kept as it is.

    `learn` is told what comes back of it, by name, so that it is masked. `state` is where the record is kept besides, and
    `lock_token` fences what is written there.
    """

    secrecy: Secrecy
    learn: Callable[[str, str], None]
    state: SharedState | None
    lock_token: Callable[[], int]


class Logbook:
    """Begins the record of a run or takes that of an earlier one over, keeps it, and ends it."""

    def __init__(self, request: Request, around: Surroundings, cleanups: CleanupStack) -> None:
        self._request = request
        self._around = around
        self._cleanups = cleanups
        self._context = around.context
        self._record: RunRecord | None = None
        self.workspace = Workspace(around.repository.root)
        self.run = ""
        self.journal: RunJournal | None = None
        self.tokens: Tokens = OwnTokens()
        self.usual_ms: dict[str, int] = {}
        self.elapsed_ms = 0
        self.pauses: tuple[Pause, ...] = ()
        self.began: datetime = self._context.now()
        self.began_ns = self._context.monotonic_ns()

    # Before the run.

    def recall(self, go_on: GoOn, lifecycle: str) -> Plan:
        """The plan of a run that is to be rolled back. Raises UsageError where nothing is left to undo."""
        journals = self._journals
        self._record = record = journals.read(go_on.run)
        plan = journals.plan(go_on.run)
        if plan.lifecycle != lifecycle:
            raise UsageError(
                f"run `{go_on.run}` is of the lifecycle `{plan.lifecycle}`", next="name its file with `-f`"
            )
        if not to_undo(plan, record):
            then = f"`shipway resume {go_on.run}` seals it" if record.summary.has_crashed else "see `shipway runs`"
            raise UsageError(f"nothing is left of run `{go_on.run}` that could be undone", next=then)
        if not go_on.accepts_drift:
            check_uncovered(record, journals)
        return plan

    def check_begun(self, go_on: GoOn, plan: Plan) -> Plan:
        """The plan a run was begun with. Refuses one that would do something else by now, or that another came after."""
        journals = self._journals
        self._record = record = journals.read(go_on.run)
        check_last(record, journals)
        begun = journals.plan(go_on.run, plan)
        warning = check_same(record, plan, begun)
        if warning:
            self._around.events.emit(Warned(warning))
        return begun

    def sanction(self) -> Sanction:
        """What the run that is gone on with was approved by, when it was begun; nothing for a new one."""
        if self._record is None:
            return Sanction()
        opening = self._record.opening
        return Sanction(opening.approvals, opening.accounted)

    def clearance(self) -> Clearance:
        """What the policies said of the run that is gone on with when it was begun; nothing for a new one."""
        if self._record is None:
            return Clearance()
        return Clearance(self._record.opening.verdicts, self._record.opening.break_glass)

    # The run.

    def open(self, plan: Plan, guard: Guard, sanction: Sanction, clearance: Clearance) -> Resumption | None:
        """From here on everything is written down before it happens; what is known of it where it was begun before.

        Raises UnreachableError where somebody else carries it out, or another run of that lifecycle and target.
        """
        # Someone may have looked at the plan for an hour: the run begins now.
        self.began, self.began_ns = self._context.now(), self._context.monotonic_ns()
        go_on = self._request.go_on
        self.run = go_on.run if go_on else self.new_run_id()
        if go_on is not None:
            return self._take_over(go_on, plan, guard)
        self._begin(plan, guard, sanction, clearance)
        return None

    def new_run_id(self) -> str:
        """An id that sorts by time and never repeats."""
        return f"{self.began:%Y%m%dT%H%M%S}-{self._context.random_hex(3)}"

    def put_down(self) -> None:
        """A run that had ended and is not rolled back after all stays what it was."""
        record, journal = self._record, self.journal
        if record is None or journal is None or record.summary.status in UNFINISHED or record.summary.ended_ms is None:
            return
        if self._request.is_undoing:
            journal.finished(record.summary.status, record.summary.ended_ms, record.files)
            if record.summary.receipt is not None:
                journal.sealed(record.summary.receipt)

    def end(self, receipt: Receipt | None, files: Callable[[], str]) -> None:
        """The run has come to its end; `files` gives the digest of all files as they are now.

        What a failed run itself changed does not keep it from being gone on with.
        """
        if self.journal is not None and receipt is not None:
            failed = receipt.outcome not in (RunOutcome.SUCCEEDED, RunOutcome.ROLLED_BACK)
            status = RunStatus(receipt.outcome.value)
            self.journal.finished(status, _unix_ms(self._context.now()), files() if failed else None)

    def seal(self, receipt: Receipt | None) -> None:
        """Its receipt was kept."""
        if self.journal is not None and receipt is not None:
            self.journal.sealed(receipt.digest)

    def let_go(self, execution: Execution | None, plan: Plan | None) -> None:
        """Keep what undos need for the last sealed run of a target that left something behind, and for no other of it."""
        if execution is None or plan is None or execution.fault is not None:
            return
        if not execution.leaves_something:
            self.workspace.remove_recovery(self.run)
            return
        if execution.found_all_done and not plan.compensations:
            return  # nothing can be undone of it, and nobody has to read it again to know that
        others = [run for run in self.workspace.kept_recoveries() if run != self.run]
        if others and self._around.journals is not None:
            journals = self._journals
            if not to_undo(plan, journals.read(self.run)):
                return  # all was as it should be, so that the run before is still the one to roll back
            for summary in journals.runs():
                is_same = (summary.lifecycle, summary.target) == (plan.lifecycle, plan.target)
                if summary.run in others and is_same and summary.status not in UNFINISHED:
                    self.workspace.remove_recovery(summary.run)

    @property
    def is_taken_back(self) -> bool:
        """Whether the run is one that somebody asked to be undone later, by this call or by one that was killed."""
        asked = self._request.is_undoing
        return asked or (self._record is not None and self._record.is_taken_back and self._record.summary.has_crashed)

    @property
    def _journals(self) -> Journals:
        assert self._around.journals is not None
        return self._around.journals()

    def _begin(self, plan: Plan, guard: Guard, sanction: Sanction, clearance: Clearance) -> None:
        workspace = self.workspace
        if self._around.journals is not None:
            journals = self._journals
            for crashed in journals.crashed(plan.lifecycle, plan.target):
                record = journals.read(crashed.run)
                check_gone(record, survivors_of(record, workspace.run_directory(crashed.run)))
                self._around.events.emit(Warned(_unfinished(crashed.run)))
            self._hold(
                journals.begin(self._opening(plan, sanction, clearance), plan, guard.secrecy, self._blind(plan)),
                guard,
            )
            self._learn(journals, plan)
        workspace.make_run_directory(self.run)

    def _take_over(self, go_on: GoOn, plan: Plan, guard: Guard) -> Resumption:
        """Take the run over from whoever began it; its clock goes on where it was."""
        assert self._record is not None
        record, fault = unsealed(self._record, guard.secrecy.vault, guard.learn)
        if fault:
            self._around.events.emit(Warned(fault))
        self._record, journals = record, self._journals
        began_ms = record.opening.began_ms
        self.elapsed_ms = max(_unix_ms(self._context.now()) - began_ms, last_moment_ms(record) + 1)
        self.pauses = (*pauses_of(record), Pause(last_moment_ms(record), self.elapsed_ms))
        self.began = datetime.fromtimestamp(began_ms / 1000, UTC)
        self.began_ns -= self.elapsed_ms * 1_000_000
        directory = self.workspace.run_directory(self.run)
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        grown = regrown(plan, record, rules_of(self._around.registry.require_action))
        ground = Ground(self._around.registry, directory, self._identity(), guard.secrecy, self._blind(grown))
        if go_on.undo:
            resumption = take_back(grown, record, to_undo(plan, record), go_on, journals, ground)
        else:
            resumption = take_over(grown, record, go_on.wish, journals, ground)
        self._hold(resumption.journal, guard)
        self._learn(journals, plan)
        return resumption

    def _learn(self, journals: Journals, plan: Plan) -> None:
        """What earlier runs leave to this one: how long its nodes take, and the tokens of its limits."""
        self.usual_ms = dict(journals.usual_ms(plan.lifecycle, plan.target))
        if plan.limits:
            self.tokens = tokens = journals.tokens(plan.lifecycle)
            self._cleanups.register("limits", tokens.close)

    def _blind(self, plan: Plan) -> dict[str, bool]:
        """Of each planned node, whether it leaves something that nobody can ask about afterwards."""
        return {node.id: self._is_blind(node) for node in plan.nodes}

    def _is_blind(self, node: Node) -> bool:
        return node.must_be_undone and not can_be_asked(node, self._around.registry)

    def _hold(self, journal: RunJournal, guard: Guard) -> None:
        if guard.state is not None:
            journal = SharedJournal(
                journal,
                guard.state,
                path=self.workspace.journal,
                run=self.run,
                token=guard.lock_token,
                is_blind=self._is_blind,
            )
        self.journal = journal
        self._cleanups.register("journal", journal.close)

    def _opening(self, plan: Plan, sanction: Sanction, clearance: Clearance) -> Opening:
        request = self._request
        return Opening(
            run=self.run,
            lifecycle=plan.lifecycle,
            target=plan.target,
            file=plan.source.file,
            began_ms=_unix_ms(self.began),
            inputs=request.inputs,
            stages=request.selection.stages,
            skipped=request.selection.skip,
            reconciled=request.reconciles.skip if request.reconciles else None,
            approved=request.given.effect if request.given else None,
            approvals=sanction.approvals,
            accounted=sanction.accounted,
            verdicts=clearance.verdicts,
            break_glass=clearance.broken,
            by=by_json(ran_by(self._context, self._around.repository)),
            shipway=__version__,
            platform=plan.platform,
            workspace=self._identity(),
        )

    def _identity(self) -> str:
        return self.workspace.identity(lambda: self._context.random_hex(16))


def ran_by(context: Context, repository: Repository) -> RanBy:
    """Who runs it, and where."""
    ci = context.ci
    if ci is None:
        return RanBy(invoker=context.invoker.value, actor=context.user or None, commit=repository.commit)
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
