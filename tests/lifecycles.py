"""Random lifecycles for the scheduler, and what must become of their nodes, worked out in the plainest way."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from msgspec import Struct, field
from msgspec.structs import replace

from shipway.declaration import OnFailure
from shipway.limits import Rate
from shipway.nodes import DONE, FAILURES, Need, NeedKind, Outcome
from shipway.room import Bounds, Item

_OWN = (Outcome.SUCCEEDED,) * 6 + (Outcome.UNCHANGED, Outcome.FAILED, Outcome.TIMED_OUT, Outcome.SKIPPED)
_LIMITS = ("docker", "cloud")
_LOCKS = ("a", "b")

_KINDS = [kind for kind in NeedKind if kind is not NeedKind.WITHIN]
"""Why one waits for another beside it; bodies have tests of their own."""


class Lifecycle(Struct, frozen=True):
    """Items with how long each takes, how each ends, and which conditions hold."""

    items: tuple[Item, ...]
    bounds: Bounds
    durations: Mapping[str, int] = field(default_factory=dict)
    outcomes: Mapping[str, Outcome] = field(default_factory=dict)
    conditions: Mapping[str, bool] = field(default_factory=dict)
    tries: Mapping[str, int] = field(default_factory=dict)

    @property
    def nodes(self) -> list[Item]:
        """The items that are not gates."""
        return [item for item in self.items if not item.gate]

    @property
    def by_id(self) -> dict[str, Item]:
        """Items by id."""
        return {item.id: item for item in self.items}

    def under(self, policy: OnFailure) -> Lifecycle:
        """The same with one failure policy for all."""
        return replace(self, bounds=replace(self.bounds, on_failure=policy, stage_policies={}))


def random_lifecycle(rng: Random, size: int) -> Lifecycle:
    """Up to `size` nodes in up to 5 stages: empty ones, gates behind gates, stages and nodes that outlive a failure."""
    stages = [f"s{number}" for number in range(rng.randint(1, 5))]
    before = {stage: [other for other in stages[:place] if rng.random() < 0.4] for place, stage in enumerate(stages)}
    outliving = {stage for stage in stages if rng.random() < 0.2}
    gated = {need for needs in before.values() for need in needs}
    nodes: list[Item] = []
    for number in range(rng.randint(1, size)):
        stage = rng.choice(stages)
        nodes.append(_random_item(rng, f"{stage}/n{number}", stage, nodes, outliving))
    items = [_behind_gates(item, before[item.stage], item.stage in outliving) for item in nodes]
    rng.shuffle(items)
    gates = [_gate(stage, nodes, before[stage]) for stage in stages if stage in gated]
    if rng.random() < 0.5:
        items, gates = gates, items
    return Lifecycle(
        (*items, *gates),
        _random_bounds(rng, stages),
        {node.id: rng.choice((0, 1, 1, 2, 3, 5, 8)) for node in nodes},
        {node.id: rng.choice(_OWN) for node in nodes},
        {node.id: rng.random() < 0.7 for node in nodes},
        {node.id: rng.randint(1, 2) for node in nodes if rng.random() < 0.15},
    )


def _random_item(rng: Random, node: str, stage: str, earlier: list[Item], outliving: set[str]) -> Item:
    inside = [item for item in earlier if item.stage == stage]
    needs = [Need(item.id, rng.choice(_KINDS)) for item in inside if rng.random() < 0.4]
    outlives = stage in outliving or rng.random() < 0.15
    return Item(
        node,
        tuple(needs),
        stage,
        limits=tuple(name for name in _LIMITS if rng.random() < 0.2),
        locks=tuple(name for name in _LOCKS if rng.random() < 0.15),
        exclusive=rng.random() < 0.08,
        conditional=outlives or rng.random() < 0.2,
        outlives_failure=outlives,
        allow_failure=rng.random() < 0.15,
        duration_ms=rng.choice((None, 1, 5, 50)),
        is_light=rng.random() < 0.15,
    )


def _behind_gates(item: Item, before: list[str], outlives: bool) -> Item:
    if any(need.kind is not NeedKind.OPTIONAL for need in item.needs):
        return item
    kind = NeedKind.OPTIONAL if outlives else NeedKind.NEEDS
    return replace(item, needs=(*item.needs, *(Need(stage, kind) for stage in before)))


def _gate(stage: str, nodes: list[Item], before: list[str]) -> Item:
    members = [node for node in nodes if node.stage == stage]
    inner = {need.node for node in members for need in node.needs if need.kind is not NeedKind.OPTIONAL}
    ends = [Need(node.id, NeedKind.ORDER) for node in members if node.id not in inner]
    return Item(stage, (*ends, *map(Need, before)), stage, gate=True)


def _random_bounds(rng: Random, stages: list[str]) -> Bounds:
    return Bounds(
        parallel=rng.randint(1, 6),
        stage_parallel={stage: rng.randint(1, 2) for stage in stages if rng.random() < 0.3},
        limits={name: rng.randint(1, 2) for name in _LIMITS},
        rates={
            name: Rate(rng.randint(1, 3), rng.randint(1, 9), rng.randint(1, 3))
            for name in _LIMITS
            if rng.random() < 0.3
        },
        on_failure=rng.choice(list(OnFailure)),
        stage_policies={stage: rng.choice(list(OnFailure)) for stage in stages if rng.random() < 0.3},
    )


class Expected(Struct, frozen=True):
    """What becomes of each node where nothing is stopped, and whom it may blame: failed nodes that reach it, or none."""

    outcomes: Mapping[str, Outcome]
    blames: Mapping[str, frozenset[str]]


def expected(lifecycle: Lifecycle) -> Expected:
    """The outcome of every node under `on_failure: continue`, needs first; no queue, no clock, no scheduler."""
    outcomes: dict[str, Outcome] = {}
    blames: dict[str, frozenset[str]] = {}
    own: dict[str, bool] = {}
    for item in _needs_first(lifecycle):
        inherited: set[str] = set()
        for need in item.needs:
            tolerated = own.get(need.node, False) and (need.kind is NeedKind.ORDER or item.gate)
            if need.kind is not NeedKind.OPTIONAL and not tolerated:
                inherited |= blames[need.node]
        if item.gate:
            blames[item.id] = frozenset(inherited)
            continue
        outcome = _outcome(item, lifecycle, outcomes, blocked=bool(inherited))
        outcomes[item.id] = outcome
        failed = outcome in FAILURES
        blames[item.id] = frozenset(inherited or ({item.id} if failed else ()))
        own[item.id] = failed and item.allow_failure and not inherited
    return Expected(outcomes, blames)


def _outcome(item: Item, lifecycle: Lifecycle, outcomes: Mapping[str, Outcome], *, blocked: bool) -> Outcome:
    if blocked and not item.outlives_failure:
        return Outcome.BLOCKED
    promises = [need.node for need in item.needs if need.kind is NeedKind.PROMISE]
    if any(outcomes[node] is Outcome.SKIPPED for node in promises):
        return Outcome.SKIPPED
    if item.conditional and not lifecycle.conditions[item.id]:
        return Outcome.SKIPPED
    return lifecycle.outcomes[item.id]


def _needs_first(lifecycle: Lifecycle) -> list[Item]:
    by_id, found = lifecycle.by_id, dict[str, Item]()

    def visit(item: Item) -> None:
        for need in item.needs:
            visit(by_id[need.node])
        found.setdefault(item.id, item)

    for item in lifecycle.items:
        visit(item)
    return list(found.values())


def upstream(lifecycle: Lifecycle) -> dict[str, set[str]]:
    """All that lies before each item."""
    found: dict[str, set[str]] = {}
    for item in _needs_first(lifecycle):
        found[item.id] = {need.node for need in item.needs}.union(*(found[need.node] for need in item.needs))
    return found


def may_follow(item: Item, need: Need, outcome: Outcome, tolerated: bool) -> bool:
    """Whether `item`, which does not outlive a failure, may run although `need` ended with `outcome`."""
    if need.kind is NeedKind.OPTIONAL or outcome in DONE:
        return True
    if outcome is Outcome.SKIPPED:
        return need.kind is not NeedKind.PROMISE
    return tolerated and need.kind is NeedKind.ORDER
