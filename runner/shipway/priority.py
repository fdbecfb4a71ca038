"""How urgent each node is: its longest remaining path, then how many wait behind it. Pure; sees indexes, not nodes."""

from __future__ import annotations

from collections.abc import Sequence

_BLOCK = 4096
"""Nodes counted per pass over the edges: bounds memory at 512 bytes a node, whatever the size of the graph."""


def topological(after: Sequence[Sequence[int]], missing: Sequence[int]) -> list[int]:
    """An order of all indexes with `after[i]` behind `i`; `missing[i]` is how many stand before `i`. Shorter for a cycle."""
    left = list(missing)
    order = [node for node, count in enumerate(left) if not count]
    for node in order:  # grows while it is walked
        for follower in after[node]:
            left[follower] -= 1
            if not left[follower]:
                order.append(follower)
    return order


def longest_paths(order: Sequence[int], after: Sequence[Sequence[int]], weight: Sequence[int]) -> list[int]:
    """For each index the weight of the heaviest path that starts with it, itself included."""
    longest = [0] * len(order)
    for node in reversed(order):
        longest[node] = weight[node] + max((longest[follower] for follower in after[node]), default=0)
    return longest


def dependents_counts(order: Sequence[int], after: Sequence[Sequence[int]], counted: Sequence[bool]) -> list[int]:
    """For each index how many counted indexes lie transitively behind it, each once.

    Reachability by bit sets, one block of nodes at a time, so that time is edges × nodes / block and memory linear.
    """
    total = [0] * len(order)
    targets = [node for node in order if counted[node]]
    for start in range(0, len(targets), _BLOCK):
        bit = {node: 1 << place for place, node in enumerate(targets[start : start + _BLOCK])}
        behind = [0] * len(order)
        for node in reversed(order):
            reached = 0
            for follower in after[node]:
                reached |= behind[follower] | bit.get(follower, 0)
            behind[node] = reached
            if reached:
                total[node] += reached.bit_count()
    return total


def weights(durations: Sequence[int | None], counted: Sequence[bool]) -> list[int]:
    """What each index adds to a path: its measured duration, the median of the others where it was never measured.

    Where none was measured each counts 1. Indexes that are not counted (stage vertices) add nothing.
    """
    measured = sorted(
        duration for duration, real in zip(durations, counted, strict=True) if real and duration is not None
    )
    # Not `statistics`: importing it takes longer than planning a small lifecycle's order.
    stand_in = measured[(len(measured) - 1) // 2] if measured else 1
    return [
        (stand_in if duration is None else duration) if real else 0
        for duration, real in zip(durations, counted, strict=True)
    ]
