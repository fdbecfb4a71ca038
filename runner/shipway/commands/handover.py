"""What the action's first part leaves for its second: plan and receipt in one folder, to be uploaded and then reported."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import msgspec
from msgspec import Struct, field

from shipway.canonical import Json, canonical_bytes
from shipway.ci import CiContext
from shipway.commands.documents import read_document
from shipway.context import Context
from shipway.environment_record import EnvironmentRecord, load_environment
from shipway.errors import Reason, UnreachableError
from shipway.nodes import change_counts, fidelity_counts
from shipway.plan import Plan
from shipway.receipt import Receipt, outcome_counts
from shipway.statement import PREDICATE_TYPE, checksums, predicate, statement
from shipway.undertaking import Finished
from shipway.view import Shown
from shipway.workspace import unwritable, write_atomically

PLAN_FILE = "plan.json"
RECEIPT_FILE = "receipt.json"
JOURNAL_FILE = "journal.bin"
"""The run's journal as `journal_copy` makes it: what a later attempt of the job goes on with."""
STATEMENT_FILE = "statement.json"
"""The receipt as an in-toto Statement."""
PULL_REQUEST_FILE = "pull-request.json"
"""`{"base":"main","number":7}` where a pull request was planned: a hint for the publisher, which asks the API whose plan this is.

An approval counts a plan of the workflow's own only for the pull request that was shown it.
"""
HISTORY_FILE = "history.json"
"""Header facts of the plans that the pull request was shown before, the latest first; not there where there are none."""

PLAN_MEMBERS = (PLAN_FILE, PULL_REQUEST_FILE, HISTORY_FILE)
"""What may be in the artifact of a plan."""


class Facts(Struct, frozen=True):
    """What the report says and no document holds. `deployment` is its id on the forge, empty where there is none.

    `expected` is how long a run takes, `proven` by node when its undo was last seen to work, in words. `reason` and `said`
    are of the error that keeps the plan from being executed, empty where there is none. `changed` are the files that differ
    from those of the plan before, None where they are not known. `environment` is the record of the preview that the run was on, as
    a store keeps it but without what its nodes left, and `why` a sentence about what was done to it. `started_at` is when this
    attempt of the CI run started, empty where the forge was not asked.
    """

    is_trusted: bool
    deployment: str = ""
    notes: tuple[str, ...] = ()
    reason: str = ""
    said: str = ""
    expected: str = ""
    proven: Mapping[str, str] = field(default_factory=dict)
    history: tuple[Shown, ...] = ()
    changed: tuple[str, ...] | None = None
    environment: str = ""
    why: str = ""
    started_at: str = ""

    @property
    def preview(self) -> EnvironmentRecord | None:
        """The record of the preview that the run was on; None where it was on none."""
        return load_environment(self.environment.encode()) if self.environment else None


class Handover(Struct, frozen=True):
    """Plan and receipt as they were sealed, the folder that holds them, and the artifact's name."""

    folder: Path
    artifact: str
    plan: Plan | None
    receipt: Receipt | None
    facts: Facts
    previous: Plan | None = None

    @property
    def secrets(self) -> tuple[str, ...]:
        """Names of the lifecycle's secrets."""
        return self.plan.secrets if self.plan else ()


def write_handover(
    context: Context, ci: CiContext, target: str, finished: Finished, facts: Facts, previous: Plan | None = None
) -> Handover:
    """Write the documents into a folder of their own under the job's temporary directory. Raises UnreachableError."""
    plan, receipt = finished.plan, finished.receipt
    lifecycle = plan.lifecycle if plan else receipt.lifecycle if receipt else ""
    purpose = "receipt" if receipt else "plan"
    artifact = artifact_name(purpose, lifecycle, target, context, ci)
    folder = make_folder(artifact, context, ci)
    if plan is not None:
        write_atomically(folder / PLAN_FILE, plan.content, 0o644)
    if receipt is not None:
        write_atomically(folder / RECEIPT_FILE, receipt.content, 0o644)
        write_atomically(folder / STATEMENT_FILE, canonical_bytes(statement(receipt, RECEIPT_FILE)), 0o644)
        write_atomically(_predicate_file(folder), canonical_bytes(predicate(receipt)), 0o644)
        write_atomically(_subjects_file(folder), checksums(receipt, RECEIPT_FILE).encode(), 0o644)
    if ci.pull_request is not None:
        write_atomically(folder / PULL_REQUEST_FILE, canonical_bytes(_asked(ci)), 0o644)
    if facts.history:
        write_atomically(folder / HISTORY_FILE, msgspec.json.encode(facts.history), 0o644)
    write_atomically(_facts_file(folder), msgspec.json.encode(facts))
    _previous_file(folder).unlink(missing_ok=True)  # what an earlier use of the action in this job left
    if previous is not None:
        write_atomically(_previous_file(folder), previous.content)
    return Handover(folder, artifact, plan, receipt, facts, previous)


def _asked(ci: CiContext) -> dict[str, Json]:
    return {"number": ci.pull_request, "base": ci.base_ref}


def artifact_name(purpose: str, lifecycle: str, target: str, context: Context, ci: CiContext, attempt: int = 0) -> str:
    """What the artifact of this job is called, or that of an earlier attempt of it."""
    index = context.env.get("SHIPWAY_JOB_INDEX") or "0"
    return f"shipway-{purpose}-{lifecycle}-{target}-{ci.run_id or 0}-{attempt or ci.run_attempt or 1}-{index}"


def make_folder(artifact: str, context: Context, ci: CiContext) -> Path:
    """The folder of an artifact under the job's temporary directory. Raises UnreachableError."""
    folder = (ci.temp or context.cwd / ".shipway") / "shipway-handover" / artifact
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(folder, error) from error
    return folder


def read_handover(folder: Path) -> Handover:
    """What `write_handover` left, every seal checked again. Raises VerificationError or UnreachableError."""
    plan = read_document(folder / PLAN_FILE) if (folder / PLAN_FILE).is_file() else None
    receipt = read_document(folder / RECEIPT_FILE) if (folder / RECEIPT_FILE).is_file() else None
    previous = read_document(_previous_file(folder)) if _previous_file(folder).is_file() else None
    try:
        facts = msgspec.json.decode(_facts_file(folder).read_bytes(), type=Facts)
    except (OSError, ValueError) as error:
        raise UnreachableError(
            f"`{folder}` is not what the first part of the action left", reason=Reason.UNWRITABLE
        ) from error
    return Handover(
        folder,
        folder.name,
        plan if isinstance(plan, Plan) else None,
        receipt if isinstance(receipt, Receipt) else None,
        facts,
        previous if isinstance(previous, Plan) else None,
    )


def outputs_of(finished: Finished, handover: Handover, exit_code: int) -> dict[str, str]:
    """The outputs of the action's first part, all text; structures are JSON."""
    plan, receipt, error = finished.plan, finished.receipt, finished.error
    found = {
        "artifact-name": handover.artifact,
        "artifact-path": str(handover.folder),
        "exit-code": str(exit_code),
        "outcome": receipt.outcome.value if receipt else "",
        "reason": _reason(receipt, error.reason if error else None),
        "receipt-path": str(handover.folder / RECEIPT_FILE) if receipt else "",
        "statement-path": str(handover.folder / STATEMENT_FILE) if receipt else "",
        "predicate-path": str(_predicate_file(handover.folder)) if receipt else "",
        "predicate-type": PREDICATE_TYPE if receipt else "",
        "subjects-path": str(_subjects_file(handover.folder)) if receipt else "",
    }
    if plan is not None:
        counts: Mapping[str, int] = {
            change.value: count for change, count in change_counts(plan.nodes).items() if count
        }
        if receipt is not None:
            counts = {outcome.value: count for outcome, count in outcome_counts(receipt.nodes).items()}
        found |= {
            "plan-path": str(handover.folder / PLAN_FILE),
            "plan-digest": plan.digest,
            "effect-digest": plan.effect,
            "changes": "true" if plan.has_changes else "false",
            "fidelity": json.dumps({kind.value: count for kind, count in fidelity_counts(plan.nodes).items()}),
            "counts": json.dumps(counts),
        }
    return found


_REASONS = {1: Reason.STEP_FAILED, 4: Reason.NOT_UNDONE, 130: Reason.INTERRUPTED}


def _reason(receipt: Receipt | None, reason: Reason | None) -> str:
    if reason is not None:
        return reason.value
    return _REASONS[receipt.exit_code].value if receipt is not None and receipt.exit_code else ""


def _facts_file(folder: Path) -> Path:
    """Beside the folder, not in it: the artifact holds documents only."""
    return folder.parent / f"{folder.name}.facts.json"


def _predicate_file(folder: Path) -> Path:
    return folder.parent / f"{folder.name}.predicate.json"


def _subjects_file(folder: Path) -> Path:
    return folder.parent / f"{folder.name}.subjects.sha256"


def _previous_file(folder: Path) -> Path:
    return folder.parent / f"{folder.name}.previous.json"
