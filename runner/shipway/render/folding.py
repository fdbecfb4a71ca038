"""The iterations of large gathers as one line each, where they say the same. Lays nothing out and knows no markup."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TypeVar

from shipway.node_ids import written_as
from shipway.nodes import Node
from shipway.receipt import NodeResult
from shipway.render import wording

MOST_ITERATIONS = 12
"""A gather of more than these is shown by what its iterations have in common."""

_Thing = TypeVar("_Thing")


def folded_nodes(nodes: Sequence[Node]) -> list[list[Node]]:
    """The nodes, each by itself, but those of large gathers that are planned alike together, where the first stood."""
    return _folded(nodes, lambda node: node.id, lambda node: (node.change, node.fidelity, wording.undo_word(node)))


def folded_results(results: Sequence[NodeResult]) -> list[list[NodeResult]]:
    """The results in the same way; one that a person has to look at stands by itself."""
    return _folded(results, lambda result: result.node, _result_key)


def folded_ids(ids: Sequence[str]) -> list[str]:
    """Ids, those of large gathers as `step[…] × 40`."""
    return [name(found[0], len(found)) for found in _folded(ids, lambda each: each, lambda each: 0)]


def name(node: str, count: int) -> str:
    """What a line stands for: an id, or `step[…] × 40`."""
    return node if count == 1 else f"{written_as(node).replace('[?]', '[…]')} × {count}"


def _result_key(result: NodeResult) -> Hashable:
    return result.node if wording.is_bad(result) else (result.outcome, bool(result.cause))


def _folded(
    things: Iterable[_Thing], node: Callable[[_Thing], str], alike: Callable[[_Thing], Hashable]
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
        if counts.get(written, 0) <= MOST_ITERATIONS:
            found.append([thing])
            continue
        key = (written, alike(thing))
        if key not in groups:
            groups[key] = []
            found.append(groups[key])
        groups[key].append(thing)
    return found
