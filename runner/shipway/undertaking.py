"""What is asked of a lifecycle, what it works in, and how far it came: the values that its phases share with who calls them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Protocol

from msgspec import Struct, field

from shipway.approval import Approver, nobody
from shipway.attempt import Grace
from shipway.context import Context
from shipway.coverage import Accounting, nothing_done
from shipway.declaration import Declaration
from shipway.errors import ShipwayError
from shipway.events import Events
from shipway.holding import Locks, Unguarded
from shipway.identity import Issuer
from shipway.interruption import Interruption
from shipway.journal import Journals
from shipway.links import Anchor
from shipway.nodes import Verified
from shipway.plan import Plan
from shipway.planning import Selection
from shipway.policy import AskLabels, Breaker, Labels
from shipway.privilege import has_privilege
from shipway.receipt import Receipt
from shipway.registry import Registry
from shipway.repository import Repository
from shipway.secrecy import Vault
from shipway.shared_state import SharedState
from shipway.shelf import Shelf
from shipway.state import State
from shipway.takeover import GoOn


class Request(Struct, frozen=True):
    """What is asked of a lifecycle: its file, target, inputs (texts by name) and part. `execute` False is a dry run.

    `given` is a plan made elsewhere: only if the lifecycle still comes to the same effect is it executed. `go_on` names a
    run that was begun before: only what of it is not done is executed. `declared` is what was read of the file already, for
    whatever target: it is not read again where it would be the same. `fail_after` is a node that fails on purpose once it
    has succeeded, so that all is undone: a drill.
    `check_head` raises where what runs is not to run any more: it is asked before anything starts, and again before each node
    that cannot be undone; with `checks_each` before every node. Where it raises `run-superseded`, what was begun is left to the
    run that comes after.
    `confirm` is asked with the plan before anything starts; saying no ends the lifecycle without a receipt. `approver` says
    who approved a plan that needs it; `accounting` says what of `given` was done before, where only a part of it is left.
    `is_derived`: the declaration was made by Shipway out of one that was let through, to end or take away what that made.
    `reconciles` is the part in which what drifted is brought back, None of any other request: `selection` is what that takes.
    `derived_from` are the files of the one that it was made of: as with its own, no node reads them unless it says so.
    """

    file: Path
    target: str
    inputs: Mapping[str, str] = field(default_factory=dict)
    selection: Selection = field(default_factory=Selection)
    execute: bool = False
    given: Plan | None = None
    go_on: GoOn | None = None
    declared: Declaration | None = None
    fail_after: str = ""
    confirm: Callable[[Plan], bool] = lambda plan: True
    approver: Approver = nobody
    check_head: Callable[[Plan], None] = lambda plan: None
    checks_each: bool = False
    accounting: Accounting = nothing_done
    breaker: Breaker | None = None
    is_derived: bool = False
    reconciles: Selection | None = None
    derived_from: tuple[str, ...] = ()

    @property
    def is_undoing(self) -> bool:
        """Whether a run that was begun before is to be undone, and nothing else."""
        return self.go_on is not None and self.go_on.undo


class Reporter(Protocol):
    """Where a report goes: documents to disk, comment and summary to the forge. A ShipwayError it raises is the run's."""

    def report(self, plan: Plan | None, receipt: Receipt | None) -> None:
        """Deliver what is known; both are None where the declaration did not load."""


class Surroundings(Struct, frozen=True):
    """What a lifecycle works in. `grace` bounds how long endings take; `processors` the default parallelism.

    `journals` gives the journal of the workspace, where one is kept: without it a killed run cannot be resumed.
    `open_locks` gives the locks that a declaration asks for, by its secrets; none is taken yet. `open_state` gives the
    state of its target where that is kept elsewhere than in the workspace, `open_vault` what encrypts to its key,
    `open_shelf` what its actions keep between runs; nothing is opened before one does.
    `labels` asks the forge for those of the pull request.
    `precedents` are the receipts of the last run that was let through, as each place knows it where receipts are kept.
    `receipts` are those of a target, wherever they are kept, without what cannot be verified; `anchors` are who else remembers
    which was its last. `prior` folds them, without those of the run that is gone on with (its id, else empty): it is asked for
    by backends that plan with what exists, and raises ShipwayError where any cannot be verified.
    `issuer` gives steps that ask for one an identity token, None where there is none to be had.
    """

    context: Context
    repository: Repository
    registry: Registry
    events: Events
    reporter: Reporter
    interruption: Interruption
    grace: Grace
    processors: int
    labels: AskLabels = Labels
    has_privilege: Callable[[Mapping[str, str]], bool] = has_privilege
    journals: Callable[[], Journals] | None = None
    open_locks: Callable[[Declaration, Mapping[str, str]], Locks] = lambda declaration, secrets: Unguarded()
    open_state: Callable[[Declaration, Mapping[str, str], str], SharedState | None] = lambda *declared: None
    receipts: Callable[[Declaration, str], Iterable[Receipt]] = lambda declaration, target: ()
    anchors: Callable[[Declaration, str], Iterable[Anchor]] = lambda declaration, target: ()
    prior: Callable[[Declaration, str, str], State] = lambda declaration, target, run: State()
    precedents: Callable[[Declaration, str], Iterable[Receipt]] = lambda declaration, target: ()
    open_vault: Callable[[Declaration, Mapping[str, str]], Vault | None] = lambda declaration, secrets: None
    open_shelf: Callable[[Declaration, Mapping[str, str], str], Shelf | None] = lambda *declared: None
    issuer: Issuer | None = None


class Finished(Struct):
    """How far a lifecycle came: plan and receipt as far as they were made, and the first failure outside any node."""

    plan: Plan | None = None
    receipt: Receipt | None = None
    error: ShipwayError | None = None
    declined: bool = False
    cleanup_failures: tuple[tuple[str, str], ...] = ()
    verdicts: Mapping[str, Verified] = field(default_factory=dict)
