"""What says the same as one line: iterations of large gathers, idle backups. Lays nothing out and knows no markup."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TypeVar

from shipway.node_ids import readable, written_as
from shipway.nodes import Change, Node, Outcome
from shipway.receipt import NodeResult
from shipway.render import wording
from shipway.render.wording import is_bad

MOST_ITERATIONS = 12
"""A gather of more than these is shown by what its iterations have in common."""

_BACKUP = "=backup"
"""What the id of a node ends with that moves aside what is in the way of a target; see docs/files.md."""

_Thing = TypeVar("_Thing")


def folded_nodes(nodes: Sequence[Node]) -> list[list[Node]]:
    """The nodes, each by itself, but together, where the first stood, those of large gathers that are planned alike, and
    backups of a stage with nothing to move.
    """
    return _folded(
        nodes, lambda node: node.id, lambda node: (node.change, node.fidelity, wording.undo_word(node)), is_idle_backup
    )


def folded_results(results: Sequence[NodeResult]) -> list[list[NodeResult]]:
    """The results in the same way; one that a person has to look at stands by itself."""
    return _folded(results, lambda result: result.node, _result_key, _moved_nothing)


def folded_ids(ids: Sequence[str]) -> list[str]:
    """Ids, those of large gathers as `step[…] × 40`."""
    return [name(found[0], len(found)) for found in _folded(ids, lambda each: each, lambda each: 0, lambda each: False)]


def name(node: str, count: int) -> str:
    """What a line stands for: an id, `step[…] × 40`, or `…=backup × 40`."""
    if count > 1 and node.endswith(_BACKUP):
        stage, slash, _ = node.rpartition("/")
        return f"{stage}{slash}…{_BACKUP} × {count}"
    return readable(node) if count == 1 else f"{written_as(node).replace('[?]', '[…]')} × {count}"


def is_idle_backup(node: Node) -> bool:
    """Whether it would move aside what is in the way of a target, and nothing is."""
    return node.change is Change.NOOP and node.action == "file.backup" and node.id.endswith(_BACKUP)


def _moved_nothing(result: NodeResult) -> bool:
    return result.outcome is Outcome.UNCHANGED and result.action == "file.backup" and result.node.endswith(_BACKUP)


def _result_key(result: NodeResult) -> Hashable:
    return result.node if is_bad(result) else (result.outcome, bool(result.cause))


def _folded(
    things: Iterable[_Thing],
    node: Callable[[_Thing], str],
    alike: Callable[[_Thing], Hashable],
    is_idle: Callable[[_Thing], bool],
) -> list[list[_Thing]]:
    things = list(things)
    counts: dict[str, int] = {}
    for thing in things:
        if "[" in node(thing):
            written = written_as(node(thing))
            counts[written] = counts.get(written, 0) + 1
    found: list[list[_Thing]] = []
    groups: dict[Hashable, list[_Thing]] = {}
    for thing in things:
        written = written_as(node(thing)) if "[" in node(thing) else ""
        if is_idle(thing):
            key: Hashable = (node(thing).partition("/")[0], _BACKUP)
        elif counts.get(written, 0) <= MOST_ITERATIONS:
            found.append([thing])
            continue
        else:
            key = (written, alike(thing))
        if key not in groups:
            groups[key] = []
            found.append(groups[key])
        groups[key].append(thing)
    return found
