"""What a run came to in numbers, worked out of its receipt each time they are shown; they stand nowhere. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from msgspec import Struct, field

from shipway.nodes import DONE, FAILURES, Change, Outcome
from shipway.plan import Plan
from shipway.receipt import NodeResult, Receipt, own_outcome
from shipway.records import SPARED, STEP, Record


class Summary(Struct, frozen=True):
    """A resource counts once, however many nodes it went through; what was undone is counted apart from what is there.

    `changes` are those of nodes that are done, `outcomes` of all; both without zeros. `kinds` counts what the run made by kind:
    files and links, packages, services, …; no folders, no steps, and nothing that was there already. `links` and `copies` are
    among the files; `templates` and `secrets` are texts that were rendered or decrypted on the way to one.
    """

    changes: Mapping[Change, int] = field(default_factory=dict)
    outcomes: Mapping[Outcome, int] = field(default_factory=dict)
    kinds: Mapping[str, int] = field(default_factory=dict)
    links: int = 0
    copies: int = 0
    templates: int = 0
    secrets: int = 0
    removed: int = 0
    undone: int = 0
    skipped: int = 0
    failed: int = 0
    not_run: int = 0

    @property
    def files(self) -> int:
        """Files and links that were made."""
        return self.kinds.get("file", 0)

    @property
    def packages(self) -> int:
        """Packages that were installed."""
        return self.kinds.get("package", 0)


class Undoable(Enum):
    """How much of what a run left behind a rollback would undo, where it is anything."""

    WHOLE = "whole"
    PART = "part"


def undoable(receipt: Receipt, plan: Plan) -> Undoable | None:
    """What a rollback of the run would come to: None where no lasting node has an undo, and no stage a compensation.

    A node that was added on the way is not asked.
    """
    began = {result.node for result in receipt.nodes if result.started_ms is not None}
    ended = (Outcome.SUCCEEDED, *FAILURES)
    changed = {result.node for result in receipt.nodes if result.node in began and result.outcome in ended}
    left = [node.reversible for node in plan.nodes if node.must_be_undone and node.id in changed]
    stages = {node.stage for node in plan.nodes if node.id in began}
    if not any(left) and not any(stage.compensation and stage.id in stages for stage in plan.stages):
        return None
    return Undoable.WHOLE if all(left) else Undoable.PART


def summarise(receipt: Receipt) -> Summary:
    """The numbers of a run; of one without nodes all are zero."""
    put_back = _put_back_in_part(receipt)
    there: dict[tuple[str, str], Record] = {}
    undone: set[tuple[str, str]] = set()
    changes: dict[Change, int] = {}
    outcomes: dict[Outcome, int] = {}
    for result in receipt.nodes:
        outcomes[result.outcome] = outcomes.get(result.outcome, 0) + 1
        if result.outcome in DONE and result.change is not None:
            changes[result.change] = changes.get(result.change, 0) + 1
        for record in result.records:
            if record.kind == STEP or record.facts.get("how") == "directory" or record.facts.get(SPARED):
                continue
            if result.outcome is Outcome.SUCCEEDED:
                there[record.kind, record.name] = record
            elif result.outcome is Outcome.UNDONE or record.name in put_back.get(result.node, ()):
                undone.add((record.kind, record.name))
    present = [record for record in there.values() if record.present]
    kinds: dict[str, int] = {}
    for record in present:
        kinds[record.kind] = kinds.get(record.kind, 0) + 1
    hows = [record.facts.get("how") for record in present if record.kind == "file"]
    return Summary(
        changes=changes,
        outcomes=outcomes,
        kinds=kinds,
        links=hows.count("link"),
        copies=hows.count("copy"),
        templates=_done(receipt, "template.render"),
        secrets=_done(receipt, "encryption.decrypt"),
        removed=len(there) - len(present),
        undone=len(undone - set(there)),
        skipped=outcomes.get(Outcome.SKIPPED, 0),
        failed=sum(_has_failed(result) for result in receipt.nodes),
        not_run=outcomes.get(Outcome.NOT_STARTED, 0) + outcomes.get(Outcome.BLOCKED, 0),
    )


def _put_back_in_part(receipt: Receipt) -> Mapping[str, frozenset[str]]:
    """By node that drifted, what of it was put back all the same."""
    made = {result.node: result for result in receipt.nodes if result.outcome is Outcome.DRIFTED}
    return {
        entry.node: frozenset(record.name for record in made[entry.node].records).difference(entry.left)
        for entry in receipt.rollback
        if entry.left and entry.node in made
    }


def made_words(summary: Summary) -> list[str]:
    """What the run made, in words: `5 files (2 links, 1 copy)`, `1 removed`; those that occur, none where nothing stayed."""
    of_files = [_plural(summary.links, "link"), _plural(summary.copies, "copy", "copies")]
    of_files += [_plural(summary.templates, "template"), _plural(summary.secrets, "secret")]
    inside = ", ".join(filter(None, of_files))
    told = []
    for kind in sorted(summary.kinds):
        plural = f"{kind[:-1]}ies" if kind.endswith("y") else f"{kind}s"
        words = _plural(summary.kinds[kind], kind, plural)
        told.append(f"{words} ({inside})" if kind == "file" and inside else words)
    told += [f"{summary.removed} removed"] if summary.removed else []
    # Where nothing is left of it, the counts of nodes have said so.
    return [*told, f"{summary.undone} undone"] if told and summary.undone else told


def _plural(count: int, one: str, many: str = "") -> str:
    return "" if not count else f"{count} {one if count == 1 else many or one + 's'}"


def _done(receipt: Receipt, action: str) -> int:
    return sum(result.action == action and result.outcome in DONE for result in receipt.nodes)


def _has_failed(result: NodeResult) -> bool:
    return own_outcome(result) in FAILURES
