"""The receipt: the plan's graph with what happened to each node, sealed. Pure; times come in as values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import StrEnum
from functools import cached_property
from typing import cast

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from shipway import canonical
from shipway.approvals import AccountedNode, Approval, accounted_json, approval_json
from shipway.canonical import Json, integer_or_none, text_or_none
from shipway.errors import EXIT_DONE, EXIT_FAILED, EXIT_INTERRUPTED, EXIT_NOT_UNDONE
from shipway.node_ids import bodies_of
from shipway.nodes import DONE, FAILURES, Change, Outcome
from shipway.policies import BreakGlass, Verdict, break_glass_json, verdict_json
from shipway.records import Record
from shipway.signing import Signature, signature_json

RECEIPT_SCHEMA = 1

MAX_OUTPUT_BYTES = 64 * 1024
"""Largest output value kept in a receipt; a larger one is kept as its digest and size."""


class RunOutcome(StrEnum):
    """How a run ended; each has one exit code."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    NOT_UNDONE = "not_undone"
    CANCELLED = "cancelled"
    ROLLED_BACK = "rolled_back"


EXIT_CODES = {
    RunOutcome.SUCCEEDED: EXIT_DONE,
    RunOutcome.FAILED: EXIT_FAILED,
    RunOutcome.NOT_UNDONE: EXIT_NOT_UNDONE,
    RunOutcome.CANCELLED: EXIT_INTERRUPTED,
    RunOutcome.ROLLED_BACK: EXIT_DONE,
}


class Attempt(Struct, frozen=True):
    """One try of a node, numbered from 1. Times are milliseconds since the run began; `exit_code` None in-process.

    `code` is a word for what failed, or empty. `undo` is how it was taken back before the next try, None where it was not.
    """

    number: int
    outcome: Outcome
    started_ms: int
    ended_ms: int
    error: str = ""
    exit_code: int | None = None
    code: str = ""
    undo: Outcome | None = None


class NodeResult(Struct, frozen=True, rename={"node": "id"}):
    """What happened to one node. Times are milliseconds since the run began; a node that never ran has no start.

    `ready_ms` is when its needs were met, `waited_for` what it then waited for (slot, limit, lock, exclusive, or empty).
    `cause` names the node that blocked it, or says why it was skipped. `outputs` are redacted; a secret one is
    `{"secret": keyed digest}`, a file `{"file": digest, "size": bytes, "name": …}`, a large one `{"large": digest, "size"}`.
    `emitted` are the nodes it added to the run. `action` is what it carried out, `records` what it says it made. `tail` is the
    last redacted lines of its log, `log` the log's path under the run's directory, or empty. In a receipt it is written by its
    fields, and so are its attempts and records.
    """

    node: str
    outcome: Outcome
    attempts: tuple[Attempt, ...] = ()
    ready_ms: int | None = None
    started_ms: int | None = None
    ended_ms: int | None = None
    waited_for: str = ""
    cause: str = ""
    error: str = ""
    warning: str = ""
    change: Change | None = None
    outputs: Mapping[str, Json] = field(default_factory=dict)
    tail: str = ""
    log: str = ""
    emitted: tuple[str, ...] = ()
    action: str = ""
    records: tuple[Record, ...] = ()

    @property
    def duration_ms(self) -> int:
        """From first start to last end, 0 for a node that never ran."""
        if self.started_ms is None or self.ended_ms is None:
            return 0
        return self.ended_ms - self.started_ms

    @property
    def worked_ms(self) -> int:
        """How long its attempts took, without what was between them, which may be the pause before a resume."""
        if not self.attempts:
            return self.duration_ms
        return sum(attempt.ended_ms - attempt.started_ms for attempt in self.attempts)


class RollbackEntry(Struct, frozen=True):
    """One undo, in the order they were tried; `outcome` is undone, undo_failed, not_undoable or drifted.

    Of a node of a compensation, whose id is `stage.compensate/step`, it is what became of a node that ran forward.
    `tail` is the last redacted lines of one that failed, `log` the name of its log; both may be empty. `left` names the things
    that one that drifted left alone, as records do, where it put back all else; empty where it put back nothing.
    """

    node: str
    stage: str
    outcome: Outcome
    started_ms: int
    ended_ms: int
    error: str = ""
    attempts: int = 0
    tail: str = ""
    log: str = ""
    left: tuple[str, ...] = ()


class RanBy(Struct, frozen=True):
    """Who ran it and where; the CI fields are None for a run at a terminal. `invoker` is `ci` or `local`."""

    invoker: str
    actor: str | None = None
    provider: str | None = None
    repository: str | None = None
    run: str | None = None
    attempt: int | None = None
    url: str | None = None
    commit: str | None = None


class StageResult(Struct, frozen=True):
    """Outcome of a stage: the worst of its nodes' by order failed, cancelled, blocked, not_started, else succeeded or skipped.

    `attempts` is how often it was tried.
    """

    stage: str
    outcome: Outcome
    attempts: int = 1


class Pause(Struct, frozen=True):
    """A span in which nobody carried the run out, before it was gone on with; milliseconds since the run began."""

    started_ms: int
    ended_ms: int


class Receipt(Struct, frozen=True, dict=True):
    """A whole run. `started` and `ended` are RFC 3339 UTC, `duration_ms` is from the one to the other, with the `pauses`
    in it; every node of the plan stands in `nodes`, in declared order.

    `critical_path` holds node ids by measured time with its length; `parallelism` is the sum of node durations over
    the wall clock, in thousandths. `error` is the phase, stage and text of a failure outside any node. `approvals` are
    those the run relied on; `accounted` are approved nodes that were not part of it, and why that is all right.
    `planned_with` is the version of Shipway that made the plan that was given, if one was. `verdicts` are what
    the policies said right before it, `break_glass` who overrode them. `previous` is the digest of the receipt before it of
    the same lifecycle and target, None where whoever sealed it knew of none: it begins a chain.
    `signatures` are of the digest, and no part of what it covers.
    """

    lifecycle: str
    target: str
    run: str
    plan_digest: str | None
    effect: str | None
    started: str
    ended: str
    duration_ms: int
    outcome: RunOutcome
    nodes: tuple[NodeResult, ...]
    stages: tuple[StageResult, ...]
    rollback: tuple[RollbackEntry, ...]
    by: RanBy
    shipway: str
    platform: str
    source: Mapping[str, Json] = field(default_factory=dict)
    critical_path: tuple[str, ...] = ()
    critical_path_ms: int = 0
    parallelism_thousandths: int = 0
    redactions: int = 0
    warnings: tuple[str, ...] = ()
    error: str = ""
    approved: str | None = None
    planned_with: str | None = None
    approvals: tuple[Approval, ...] = ()
    accounted: tuple[AccountedNode, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    break_glass: BreakGlass | None = None
    previous: str | None = None
    signatures: tuple[Signature, ...] = ()
    pauses: tuple[Pause, ...] = ()

    @property
    def paused_ms(self) -> int:
        """How long nobody carried it out."""
        return sum(pause.ended_ms - pause.started_ms for pause in self.pauses)

    @property
    def running_ms(self) -> int:
        """How long it was carried out."""
        return max(0, self.duration_ms - self.paused_ms)

    @property
    def exit_code(self) -> int:
        """The exit code of this outcome."""
        return EXIT_CODES[self.outcome]

    @cached_property
    def by_id(self) -> dict[str, NodeResult]:
        """Results by node id."""
        return {result.node: result for result in self.nodes}

    @cached_property
    def digest(self) -> str:
        """`sha256:…` over the whole document; what seals it."""
        return canonical.digest(self._body(), is_plain=self._is_plain)

    @property
    def failed(self) -> tuple[NodeResult, ...]:
        """The nodes that failed by themselves, before any undo changed their outcome, first failure first."""
        failures = [result for result in self.nodes if own_outcome(result) in FAILURES]
        around = {body for result in failures for body in bodies_of(result.node)}
        failures = [result for result in failures if result.node not in around]
        return tuple(sorted(failures, key=lambda result: result.ended_ms or 0))

    @cached_property
    def document(self) -> Mapping[str, Json]:
        """The receipt as JSON, digest included; its canonical bytes are the file."""
        return canonical.object_of(canonical.parse(self.content))

    @cached_property
    def content(self) -> bytes:
        """The canonical bytes of the document, which are the file."""
        signatures = [signature_json(signature) for signature in self.signatures]
        whole = {**self._body(), "digest": self.digest, "signatures": signatures}
        return canonical.canonical_bytes(whole, is_plain=self._is_plain)

    @cached_property
    def _is_plain(self) -> bool:
        """Whether no number in the document is odd: of the nodes only what others have written is searched, beside our times."""
        signatures = [signature_json(signature) for signature in self.signatures]
        written: list[object] = [self._about(), signatures]
        for result in self.nodes:
            written.append(result.outputs)
            written += (record.facts for record in result.records)
        return not any(map(canonical.has_odd_value, written))

    def _body(self) -> dict[str, Json]:
        """All that is digested."""
        # To make an object of each of thousands takes longer than writing them.
        nodes = cast("Json", self.nodes) if self._is_plain else [_in_objects(result) for result in self.nodes]
        return {**self._about(), "nodes": nodes}

    def _about(self) -> dict[str, Json]:
        """All that is digested, without the nodes."""
        return {
            "kind": "receipt",
            "schema": RECEIPT_SCHEMA,
            "lifecycle": self.lifecycle,
            "target": self.target,
            "run": self.run,
            "previous": self.previous,
            "plan": self.plan_digest,
            "effect": self.effect,
            "approved": self.approved,
            "approvals": [approval_json(approval) for approval in self.approvals],
            "accounted": [accounted_json(node) for node in self.accounted],
            "verdicts": [verdict_json(verdict) for verdict in self.verdicts],
            "break_glass": break_glass_json(self.break_glass),
            "started": self.started,
            "ended": self.ended,
            "duration_ms": self.duration_ms,
            "pauses": [{"started_ms": each.started_ms, "ended_ms": each.ended_ms} for each in self.pauses],
            "outcome": self.outcome.value,
            "error": self.error,
            "stages": [_stage_json(stage) for stage in self.stages],
            "rollback": [_rollback_json(entry) for entry in self.rollback],
            "by": by_json(self.by),
            "versions": {"shipway": self.shipway, "plan": self.planned_with},
            "platform": self.platform,
            "source": dict(self.source),
            "critical_path": {"nodes": list(self.critical_path), "duration_ms": self.critical_path_ms},
            "parallelism_thousandths": self.parallelism_thousandths,
            "redactions": self.redactions,
            "warnings": list(self.warnings),
        }


def without_pauses(from_ms: int, to_ms: int, pauses: Iterable[Pause]) -> int:
    """How much of a span lies in none of the pauses."""
    paused = sum(max(0, min(to_ms, pause.ended_ms) - max(from_ms, pause.started_ms)) for pause in pauses)
    return max(0, to_ms - from_ms - paused)


def own_outcome(result: NodeResult) -> Outcome:
    """The outcome of the node's last attempt, before an undo replaced it; the outcome itself where it was never tried."""
    return result.attempts[-1].outcome if result.attempts and result.outcome not in _NEVER_BEGUN else result.outcome


_NEVER_BEGUN = frozenset({Outcome.BLOCKED, Outcome.SKIPPED, Outcome.NOT_STARTED})


def stage_outcome(outcomes: Collection[Outcome]) -> Outcome:
    """The outcome of a stage whose nodes ended so: the worst of them; skipped where all were."""
    worst = next((outcome for outcome in _WORST_FIRST if outcome in outcomes), None)
    if worst is not None:
        return worst
    return Outcome.SUCCEEDED if not DONE.isdisjoint(outcomes) or not outcomes else Outcome.SKIPPED


_WORST_FIRST = (
    Outcome.UNDO_FAILED,
    Outcome.NOT_UNDOABLE,
    Outcome.DRIFTED,
    Outcome.FAILED,
    Outcome.TIMED_OUT,
    Outcome.UNDONE,
    Outcome.CANCELLED,
    Outcome.BLOCKED,
    Outcome.NOT_STARTED,
)


def outcome_counts(results: Sequence[NodeResult]) -> dict[Outcome, int]:
    """How many nodes of each outcome, only those that occur, in the enum's order."""
    counts = Counter(result.outcome for result in results)
    return {kind: counts[kind] for kind in Outcome if kind in counts}


def _in_objects(result: NodeResult) -> Json:
    """As msgspec writes it, in objects: what others have written in it is for rfc8785 to write, or to refuse."""
    own = msgspec.to_builtins(replace(result, outputs={}, records=()))
    records = [{**msgspec.to_builtins(replace(record, facts={})), "facts": record.facts} for record in result.records]
    return {**own, "outputs": result.outputs, "records": records}


def _stage_json(stage: StageResult) -> Json:
    return {"stage": stage.stage, "outcome": stage.outcome.value, "attempts": stage.attempts}


def _rollback_json(entry: RollbackEntry) -> Json:
    return {
        "node": entry.node,
        "stage": entry.stage,
        "outcome": entry.outcome.value,
        "started_ms": entry.started_ms,
        "ended_ms": entry.ended_ms,
        "error": entry.error,
        "attempts": entry.attempts,
        "tail": entry.tail,
        "log": entry.log,
        "left": list(entry.left),
    }


def by_json(by: RanBy) -> dict[str, Json]:
    """Who ran it, as it stands in a receipt."""
    return {
        "invoker": by.invoker,
        "actor": by.actor,
        "provider": by.provider,
        "repository": by.repository,
        "run": by.run,
        "attempt": by.attempt,
        "url": by.url,
        "commit": by.commit,
    }


def by_from_json(data: Mapping[str, Json]) -> RanBy:
    """Who ran it, as `by_json` wrote it."""
    return RanBy(
        invoker=str(data["invoker"]),
        actor=text_or_none(data["actor"]),
        provider=text_or_none(data["provider"]),
        repository=text_or_none(data["repository"]),
        run=text_or_none(data["run"]),
        attempt=integer_or_none(data["attempt"]),
        url=text_or_none(data["url"]),
        commit=text_or_none(data["commit"]),
    )


def file_name(lifecycle: str, target: str, started: str, run: str) -> str:
    """A name that sorts by time and never repeats: `<lifecycle>-<target>-<YYYYMMDDTHHMMSSZ>-<run>.json`."""
    moment = started.split(".")[0].rstrip("Z").replace("-", "").replace(":", "")
    return f"{lifecycle}-{target}-{moment}Z-{run}.json"
