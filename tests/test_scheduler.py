"""Which node starts when, by case and in virtual time: order, bounds, failures, stages; no clock, no processes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from random import Random

import pytest

from shipway.builder import GraphBuilder
from shipway.builder_options import BuilderScope
from shipway.declaration import OnFailure, Stage
from shipway.errors import DeclarationError, Position
from shipway.loading import load_declaration
from shipway.nodes import Need, NeedKind, Outcome, Reads
from shipway.priority import dependents_counts, longest_paths, topological, weights
from shipway.registry import Registry
from shipway.room import MOST_LIGHT, Bounds, Item
from shipway.scheduler import Scheduler, default_parallel
from tests.simulation import Simulated, simulate

FAILED, BLOCKED, NOT_STARTED = Outcome.FAILED, Outcome.BLOCKED, Outcome.NOT_STARTED
SUCCEEDED, SKIPPED, CANCELLED = Outcome.SUCCEEDED, Outcome.SKIPPED, Outcome.CANCELLED
CONTINUE, CANCEL = OnFailure.CONTINUE, OnFailure.CANCEL


def _items(*written: str) -> list[Item]:
    """One item for each text `id` or `id < need need`."""
    items = []
    for text in written:
        name, _, needs = text.partition("<")
        items.append(Item(name.strip(), tuple(Need(need) for need in needs.split())))
    return items


def _under(limit: str, *names: str) -> list[Item]:
    return [Item(name, limits=(limit,)) for name in names]


def _many(parallel: int = 99, on_failure: OnFailure = OnFailure.DRAIN, **limits: int) -> Bounds:
    return Bounds(parallel, limits=limits, on_failure=on_failure)


def _overlap(run: Simulated, one: str, other: str) -> bool:
    running: set[str] = set()
    for event, node in run.log:
        if event == "start":
            running.add(node)
        elif event == "end":
            running.discard(node)
        if {one, other} <= running:
            return True
    return False


def _problems(tmp_path: Path, text: str) -> list[str]:
    (tmp_path / "shipway.yml").write_text(f"version: 1\nname: shop\n{text}")
    with pytest.raises(DeclarationError) as caught:
        load_declaration(tmp_path / "shipway.yml", root=tmp_path)
    return [f"{problem.where}: {problem.text}; {problem.hint}" for problem in caught.value.problems]


# The graph and what is refused before anything starts.


def test_c001_a_node_needs_an_action_a_name_and_an_id_of_its_own() -> None:
    registry = Registry(lambda group: ())
    scope = BuilderScope({}, registry.find_action, registry.action_names, {}, lambda patterns: Reads((), ""))
    builder = GraphBuilder(Stage("build", ("stages", "build"), Position("shipway.yml", 3, 3)), scope)
    for action, name in (
        ("shell.exec", "b"),
        ("", "x"),
        ("shell.exec", ""),
        ("shell.exec", "a"),
        ("shell.exec", "b"),
    ):
        builder.add(action, name, {"run": "true"})
    assert [problem.text for problem in builder.problems] == [
        "unknown action ``",
        "`` is no name for a node: use lower-case letters, digits and `-`",
        "node `build/b` is declared twice",
    ]
    order = [node.id for node in builder.nodes()]
    assert order.index("build/b") < order.index("build/x") < order.index("build/a")


def test_c002_an_unknown_need_is_named_with_its_place_and_the_nearest_name(tmp_path: Path) -> None:
    [problem] = _problems(tmp_path, "steps:\n  a: {run: x, needs: [ghots]}\n  ghost: {run: x}\n")
    assert problem == "shipway.yml:4:23: unknown step `ghots` needed by step `a`; did you mean `ghost`?"


def test_c003_a_cycle_is_named_in_full(tmp_path: Path) -> None:
    steps = "steps:\n  a: {run: x, needs: [c]}\n  b: {run: x, needs: [a]}\n  c: {run: x, needs: [b]}\n"
    [problem] = _problems(tmp_path, steps)
    assert "`a` → `c` → `b` → `a`" in problem
    [problem] = _problems(tmp_path, "steps:\n  a: {run: x, needs: [a]}\n")
    assert "needs itself" in problem
    with pytest.raises(ValueError, match="cycle"):
        Scheduler(_items("a < b", "b < a"), _many())


def test_c004_unknown_need_duplicate_name_and_cycle_are_found_at_once(tmp_path: Path) -> None:
    found = _problems(
        tmp_path,
        "stages:\n  s: {steps: {a: {run: x, needs: [b]}, b: {run: x, needs: [a]}, c: {run: x, needs: [ghost]}}}\n"
        "  t: {steps: [{id: one, run: x}, {id: one, run: x}]}\n",
    )
    assert len(found) == 3
    for word in ("circle", "ghost", "called `one`"):
        assert any(word in problem for problem in found)


def test_c005_nothing_to_do_is_done_at_once_and_a_need_counts_once(tmp_path: Path) -> None:
    assert simulate([], _many()) == Simulated()
    assert simulate(_items("a", "b < a a"), _many()).order == ["a", "b"]
    assert any("`steps` is empty" in problem for problem in _problems(tmp_path, "steps: []"))


def test_unknown_ends_of_any_kind_are_refused() -> None:
    for items, text in (
        (_items("a < ghost"), "`a` needs `ghost`"),
        (_under("docker", "a"), "limit `docker`"),
        (_items("a", "a"), "same id"),
    ):
        with pytest.raises(ValueError, match=text):
            Scheduler(items, _many())


# Order and priority.


def test_c007_a_chain_runs_in_order() -> None:
    run = simulate(_items("c < b", "b < a", "a"), _many())
    assert run.log == [(event, node) for node in "abc" for event in ("start", "end")]


def test_c008_a_diamond_overlaps_in_the_middle() -> None:
    durations = {"a": 10, "b": 30, "c": 30, "d": 10}
    run = simulate(_items("a", "b < a", "c < a", "d < b c"), _many(), durations)
    assert (run.order[0], run.order[-1], run.makespan) == ("a", "d", 50)
    assert _overlap(run, "b", "c")
    assert sum(durations.values()) / run.makespan == 1.6


@pytest.mark.parametrize(("parallel", "most"), [(99, 4), (2, 2), (1, 1)])
def test_c009_a_fan_out_uses_the_room_there_is(parallel: int, most: int) -> None:
    assert simulate(_items("a", "b < a", "c < a", "d < a", "e < a"), _many(parallel)).peak == most
    assert simulate(_items(*"abcdef"), _many(parallel)).peak == min(parallel, 6)


def test_c010_without_a_number_twice_the_processors_and_at_most_the_nodes(tmp_path: Path) -> None:
    assert [default_parallel(2, 100), default_parallel(8, 3), default_parallel(1, 0)] == [4, 3, 1]
    [problem] = _problems(tmp_path, "defaults: {parallel: -1}\nsteps: [{run: x}]\n")
    assert problem.startswith("shipway.yml:3:22: `parallel` of `defaults` must be at least 0, not `-1`")


def test_c010_zero_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "shipway.yml").write_text("version: 1\nname: x\ndefaults: {parallel: 0}\nsteps: [{run: x}]\n")
    assert load_declaration(tmp_path / "shipway.yml", root=tmp_path).defaults.parallel is None


def test_c011_a_node_starts_when_its_last_need_ends() -> None:
    durations = {"long": 100} | {f"n{number}": 10 for number in range(9)}
    assert simulate(_items(*durations), _many(3), durations).makespan == 100


def test_c012_transitive_dependents() -> None:
    assert _dependents("a", "b < a", "c < b") == [2, 1, 0]
    assert _dependents("a", "b < a", "c < a", "d < b c") == [3, 1, 1, 0]
    assert _dependents("a", "b", "c") == [0, 0, 0]


def _dependents(*written: str) -> list[int]:
    items = _items(*written)
    places = {item.id: place for place, item in enumerate(items)}
    after: list[list[int]] = [[] for _ in items]
    for item in items:
        for need in item.needs:
            after[places[need.node]].append(places[item.id])
    order = topological(after, [len(item.needs) for item in items])
    return dependents_counts(order, after, [True] * len(items))


def test_c013_equal_paths_are_decided_by_how_many_wait_behind() -> None:
    items = _items(
        "package-a",
        "package-b",
        "provision-0",
        "publish-a < package-a provision-0",
        "publish-b < package-b provision-0",
        "deploy-a < publish-a",
        "deploy-b < publish-b",
    )
    order = ["provision-0", "package-a", "package-b", "publish-a", "publish-b", "deploy-a", "deploy-b"]
    assert simulate(items, _many(1)).order == order


def test_c014_a_long_chain_is_not_kept_waiting_by_a_batch() -> None:
    leaves = [f"leaf{number} < root" for number in range(4)]
    chain = ["c1 < root", "c2 < c1", "c3 < c2", "c4 < c3", "c5 < c4"]
    durations = {"root": 10} | {f"leaf{n}": 40 for n in range(4)} | {f"c{n}": 20 for n in range(1, 6)}
    run = simulate(_items("root", *leaves, *chain), _many(2), durations)
    assert run.makespan == 150
    assert sorted(run.started) == [
        (0, "root"),
        (10, "c1"),
        (10, "leaf0"),
        (30, "c2"),
        (50, "c3"),
        (50, "leaf1"),
        (70, "c4"),
        (90, "leaf2"),
        (90, "leaf3"),
        (130, "c5"),
    ]


_W = ("net", "db < net", "cache < net", "app < db cache", "web < app", "lint", "docs < lint", "audit")
_W_MS = {"net": 10, "db": 60, "cache": 90, "app": 30, "web": 20, "lint": 5, "docs": 15, "audit": 100}


@pytest.mark.parametrize(
    ("parallel", "makespan", "order"),
    [
        (99, 150, None),
        (2, 210, "net audit cache db lint docs app web"),
        (1, 330, "net cache db audit app lint web docs"),
    ],
)
def test_c015_measured_paths_go_first(parallel: int, makespan: int, order: str | None) -> None:
    items = [Item(item.id, item.needs, duration_ms=_W_MS[item.id]) for item in _items(*_W)]
    run = simulate(items, _many(parallel), _W_MS)
    assert run.makespan == makespan
    assert order is None or run.order == order.split()


def test_c015_without_measurements_nodes_count_and_a_new_one_counts_as_the_median() -> None:
    assert simulate(_items(*_W), _many(1)).order == ["net", "db", "cache", "app", "lint", "web", "docs", "audit"]
    assert weights([10, None, 30, 20, None], [True, True, True, True, False]) == [10, 20, 30, 20, 0]
    assert weights([None, None], [True, False]) == [1, 0]


# Limits, locks, exclusive.


def test_c016_a_limit_bounds_its_nodes() -> None:
    names = [f"n{number}" for number in range(6)]
    run = simulate(_under("package", *names), _many(6, package=2), dict.fromkeys(names, 20))
    assert (run.peak, run.makespan) == (2, 60)


def test_c017_a_ready_limit_does_not_wait_behind_a_longer_one() -> None:
    items = [*_under("package", "package-a", "package-b", "package-c"), *_under("provision", "provision-a")]
    assert "provision-a" in simulate(items, _many(2, package=2, provision=2)).order[:2]


def test_c018_limits_take_turns() -> None:
    root = Item("root", limits=("package",))
    needs = (Need("root"),)
    items = [root]
    items += [Item(name, needs, limits=("package",)) for name in ("package-a", "package-b")]
    items += [Item("provision-a", needs, limits=("provision",))]
    for _ in range(100):
        run = simulate(items, _many(1, package=1, provision=1))
        assert run.order == ["root", "package-a", "provision-a", "package-b"]


def test_c018_nodes_without_a_limit_take_turns_as_one() -> None:
    items = [Item("free-1"), Item("free-2"), *_under("docker", "docker-1", "docker-2")]
    items.append(Item("both", limits=("cloud", "docker")))
    run = simulate(items, _many(1, docker=1, cloud=1))
    assert run.order == ["free-1", "docker-1", "both", "free-2", "docker-2"]


def test_c019_a_higher_priority_takes_the_next_slot_of_a_full_limit() -> None:
    items = [
        Item("first", limits=("l",)),
        Item("low", limits=("l",)),
        Item("opener"),
        Item("high", (Need("opener"),), limits=("l",)),
        Item("behind", (Need("high"),)),
    ]
    run = simulate(items, _many(l=1), {"first": 5, "opener": 1})
    assert run.order.index("high") < run.order.index("low")


def test_c020_a_limit_is_a_bound_and_no_barrier() -> None:
    assert simulate(_under("x", "a", "b", "c"), _many(3, x=3)).peak == 3
    assert simulate(_under("deploy", "publish-api", "deploy-web"), _many(9, deploy=1)).peak == 1


def test_c021_a_failure_frees_its_limit_and_limits_cannot_lock_each_other_out(tmp_path: Path) -> None:
    run = simulate(_under("l", "a", "b"), _many(9, CONTINUE, l=1), outcomes={"a": FAILED})
    assert run.outcomes == {"a": FAILED, "b": SUCCEEDED}
    items = [Item(f"{limit}{n}", limits=(limit,)) for limit in "xyz" for n in range(3)]
    assert len(simulate(items, _many(1, x=1, y=1, z=1)).order) == 9
    [problem] = _problems(tmp_path, "limits: {l: {parallel: 0}}\nsteps: [{run: x}]\n")
    assert "`parallel` of limit `l` must be at least 1, not `0`" in problem


def test_c022_what_shares_a_lock_never_runs_at_once_and_takes_all_or_nothing() -> None:
    items = [Item("x", locks=("a", "b")), Item("y", locks=("b", "a")), Item("z")]
    run = simulate(items, _many(), dict.fromkeys("xyz", 5))
    assert not _overlap(run, "x", "y")
    assert run.order == ["x", "z", "y"]
    items = [Item("x", limits=("obj", "one")), Item("y", limits=("obj", "two"))]
    assert simulate(items, _many(9, obj=1, one=5, two=5)).peak == 1


def test_c022_a_node_that_waits_for_one_thing_holds_no_other() -> None:
    items = [Item("a", locks=("m",)), Item("b", limits=("l",), locks=("m",)), Item("c", limits=("l",))]
    run = simulate(items, _many(9, l=1), {"a": 10})
    assert _overlap(run, "a", "c"), "b waits for the lock m and must not hold the limit l meanwhile"


def test_c023_an_exclusive_node_runs_alone_and_waits_only_for_nodes_in_flight() -> None:
    items = [Item("a"), Item("alone", exclusive=True), Item("after", (Need("alone"),)), Item("c"), Item("d")]
    run = simulate(items, _many(2), {"a": 4, "alone": 3, "c": 1, "d": 1})
    assert run.order[0] == "alone", "it is the best node: two are on its path"
    busy = [Item("a"), Item("b", (Need("a"),)), Item("opener"), Item("alone", (Need("opener"),), exclusive=True)]
    busy += [Item("behind", (Need("alone"),)), Item("low", (Need("opener"),))]
    run = simulate(busy, _many(3), {"a": 9, "opener": 1, "low": 1})
    assert not any(_overlap(run, "alone", other) for other in ("a", "b", "opener", "behind", "low"))
    assert run.waited_for["alone"] == run.waited_for["low"] == "exclusive"
    assert run.order.index("alone") < run.order.index("low")


def test_what_is_over_at_once_takes_no_slot_and_only_so_many_start_together() -> None:
    items = [Item(f"light-{number}", is_light=True) for number in range(MOST_LIGHT + 2)]
    scheduler = Scheduler([Item("a"), Item("b"), *items, Item("alone", exclusive=True)], _many(1))
    started = [each.id for each in scheduler.dispatch()]
    assert [name for name in started if not name.startswith("light")] == ["a"]
    assert len(started) == 1 + MOST_LIGHT
    assert not scheduler.dispatch()
    scheduler.finish("a", Outcome.SUCCEEDED)
    assert [each.id for each in scheduler.dispatch()] == ["b"]
    for name in ("b", *started[1:]):
        scheduler.finish(name, Outcome.SUCCEEDED)
    assert [each.id for each in scheduler.dispatch()] == [item.id for item in items[MOST_LIGHT:]]
    for item in items[MOST_LIGHT:]:
        scheduler.finish(item.id, Outcome.SUCCEEDED)
    assert [each.id for each in scheduler.dispatch()] == ["alone"]
    assert scheduler.running == 1


def test_what_runs_alone_waits_for_what_takes_no_slot_and_keeps_it_back() -> None:
    items = [Item("alone", exclusive=True), Item("last", (Need("alone"),)), Item("light", is_light=True)]
    run = simulate(items, _many(2), {"light": 3, "alone": 3})
    assert not _overlap(run, "alone", "light")


def test_c024_independent_nodes_run_at_once_unless_told_otherwise() -> None:
    assert simulate(_items(*"abc"), _many()).peak == 3
    assert simulate(_items(*"abc"), _many(1)).peak == 1
    items = [Item("s/a", stage="s"), Item("s/b", stage="s"), Item("t/a", stage="t"), Item("t/b", stage="t")]
    run = simulate(items, Bounds(9, {"s": 1}))
    assert (run.peak, _overlap(run, "s/a", "s/b"), _overlap(run, "t/a", "t/b")) == (3, False, True)


@pytest.mark.parametrize(
    ("second", "bounds", "waited"),
    [
        (Item("b"), _many(1), "slot"),
        (Item("b", stage="s"), Bounds(9, {"s": 1}), "slot of stage s"),
        (Item("b", limits=("l",)), _many(9, l=1), "limit l"),
        (Item("b", locks=("k",)), _many(9), "lock k"),
        (Item("b", exclusive=True), _many(9), "exclusive"),
        (Item("b", (Need("a"),)), _many(9), ""),
    ],
)
def test_c025_a_node_says_what_it_waited_for(second: Item, bounds: Bounds, waited: str) -> None:
    first = Item("a", stage="s", limits=second.limits, locks=second.locks)
    # `d` is of the same kind as `a` and behind it, so that `a` is the better one and starts first.
    run = simulate([first, second, Item("d", (Need("a"),))], bounds, {"a": 5})
    assert (run.order[0], run.waited_for["a"], run.waited_for["b"]) == ("a", "", waited)


def test_c025_others_run_while_a_limit_is_full() -> None:
    run = simulate([*_under("l", "a", "b"), Item("c")], _many(9, l=1), {"a": 5})
    assert _overlap(run, "a", "c")


# Failure, timeout, cancellation.


def test_c026_cancel_ends_the_others_and_they_are_not_failures() -> None:
    items = _items("a", "b", "c < b", "d < a")
    run = simulate(items, _many(9, CANCEL), {"a": 20, "b": 300}, {"a": FAILED})
    assert run.outcomes == {"a": FAILED, "b": CANCELLED, "c": NOT_STARTED, "d": BLOCKED}


def test_c027_drain_lets_the_started_finish_and_starts_only_what_outlives_a_failure() -> None:
    items = [*_items("a", "b", "next < b"), Item("always", (Need("b"),), outlives_failure=True)]
    run = simulate(items, _many(2), {"a": 1, "b": 9}, {"a": FAILED})
    assert run.outcomes == {"a": FAILED, "b": SUCCEEDED, "next": NOT_STARTED, "always": SUCCEEDED}


@pytest.mark.parametrize("tries", [1, 2])
@pytest.mark.parametrize("at", [1, 2, 3, 4, 5, 6, 7, 8, 9])
def test_c027_a_started_node_keeps_its_tries_while_the_run_drains(tries: int, at: int) -> None:
    run = simulate(_items("a", "b"), _many(), {"a": at, "b": 2}, {"a": FAILED}, tries={"b": tries})
    assert run.outcomes == {"a": FAILED, "b": SUCCEEDED}


def test_c027_a_node_between_two_tries_for_which_there_is_no_room_yet_is_not_lost() -> None:
    items = [Item("a", limits=("l",)), Item("b"), Item("c", limits=("l",))]
    run = simulate(items, _many(9, l=1), {"a": 1, "b": 4, "c": 9}, {"b": FAILED}, tries={"a": 1})
    assert run.started[:3] == [(0, "a"), (0, "b"), (1, "c")]
    assert run.outcomes == {"a": SUCCEEDED, "b": FAILED, "c": SUCCEEDED}


def test_a_cancelled_run_abandons_what_waits_for_another_try() -> None:
    items = [Item("a", limits=("l",)), Item("b"), Item("c", limits=("l",)), Item("d", (Need("a"),))]
    run = simulate(items, _many(9, CANCEL, l=1), {"a": 1, "b": 4, "c": 9}, {"b": FAILED}, tries={"a": 1})
    assert run.outcomes == {"a": FAILED, "b": FAILED, "c": CANCELLED, "d": BLOCKED}


def test_cancelling_a_run_that_drains_ends_its_tries() -> None:
    run = simulate(_items("a", "b"), _many(), {"a": 1, "b": 2}, {"a": FAILED}, tries={"b": 9}, cancel_at=6)
    assert run.outcomes["b"] in (FAILED, CANCELLED)
    assert run.makespan == 6


def test_c028_continue_runs_what_is_independent() -> None:
    run = simulate(_items("a", "b", "c", "d < c"), _many(1, CONTINUE), outcomes={"a": FAILED, "b": FAILED})
    assert run.outcomes == {"a": FAILED, "b": FAILED, "c": SUCCEEDED, "d": SUCCEEDED}


def test_c029_what_waits_for_a_failure_is_blocked_by_its_first_cause() -> None:
    run = simulate(_items("a", "b < a", "c < b"), _many(9, CONTINUE), outcomes={"a": FAILED})
    assert run.outcomes == {"a": FAILED, "b": BLOCKED, "c": BLOCKED}
    assert run.causes == {"b": "a", "c": "a"}


def test_c030_optional_needs_do_not_block() -> None:
    items = [*_items("a", "b < a"), Item("c", (Need("a", NeedKind.OPTIONAL), Need("b", NeedKind.OPTIONAL)))]
    run = simulate(items, _many(9, CONTINUE), outcomes={"a": FAILED})
    assert run.outcomes == {"a": FAILED, "b": BLOCKED, "c": SUCCEEDED}


def test_c030_a_tolerated_failure_stops_nothing_and_blocks_by_need_only() -> None:
    items = [
        Item("a", allow_failure=True),
        Item("next", (Need("a", NeedKind.ORDER),)),
        Item("needs", (Need("a"),)),
        Item("takes", (Need("a", NeedKind.PROMISE),)),
        Item("far"),
        Item("later", (Need("far"),)),
    ]
    run = simulate(items, _many(), {"far": 9}, {"a": FAILED})
    assert run.outcomes == {
        "a": FAILED,
        "next": SUCCEEDED,
        "needs": BLOCKED,
        "takes": BLOCKED,
        "far": SUCCEEDED,
        "later": SUCCEEDED,
    }


@pytest.mark.parametrize("policy", OnFailure)
def test_c031_a_join_is_blocked_at_the_first_failure(policy: OnFailure) -> None:
    run = simulate(_items("a", "b", "join < a b"), _many(9, policy), {"a": 5, "b": 40}, {"a": FAILED})
    assert [(at, decision.id, decision.cause) for at, decision in run.decisions] == [(5, "join", "a")]


def test_c032_a_timeout_is_a_failure_of_the_node() -> None:
    items = _items("a", "b < a", "c")
    run = simulate(items, _many(9, CONTINUE), outcomes={"a": Outcome.TIMED_OUT})
    assert run.outcomes == {"a": Outcome.TIMED_OUT, "b": BLOCKED, "c": SUCCEEDED}


def test_c034_a_failure_during_a_cancellation_still_blocks_whatever_came_first() -> None:
    for first, second in (("a", "b"), ("b", "a")):
        scheduler = Scheduler(_items("a", "b", "join < a b"), _many())
        scheduler.dispatch()
        scheduler.stop()
        for node in (first, second):
            scheduler.finish(node, FAILED if node == "a" else CANCELLED)
        scheduler.settle()
        [decision] = scheduler.decided()
        assert (decision.outcome, decision.cause) == (BLOCKED, "a")


def test_c035_cancelled_before_the_start_nothing_starts() -> None:
    scheduler = Scheduler(_items("a", "b < a"), _many())
    scheduler.stop()
    assert scheduler.dispatch() == []
    scheduler.settle()
    assert [decision.outcome for decision in scheduler.decided()] == [NOT_STARTED, NOT_STARTED]
    assert scheduler.finished


def test_c036_five_causes_have_five_words() -> None:
    items = [
        *_items("running", "ready", "later < running", "failing", "dependent < failing"),
        Item("if", (), conditional=True),
    ]
    run = simulate(
        items,
        _many(2, CONTINUE),
        {"running": 9, "failing": 1, "ready": 9},
        {"failing": FAILED},
        {"if": False},
        cancel_at=3,
    )
    assert run.outcomes == {
        "running": CANCELLED,
        "ready": CANCELLED,
        "later": NOT_STARTED,
        "failing": FAILED,
        "dependent": BLOCKED,
        "if": SKIPPED,
    }


def test_c037_a_skip_is_no_failure_and_only_takers_of_its_outputs_are_skipped_too() -> None:
    items = [Item("a"), Item("after", (Need("a"),)), Item("takes", (Need("a", NeedKind.PROMISE),))]
    items += [Item("unchanged"), Item("too", (Need("unchanged", NeedKind.PROMISE),))]
    run = simulate(items, _many(), outcomes={"a": SKIPPED, "unchanged": Outcome.UNCHANGED})
    assert [run.outcomes[node] for node in ("after", "takes", "too")] == [SUCCEEDED, SKIPPED, SUCCEEDED]
    assert run.causes == {"takes": "a"}


# What comes out.


@pytest.mark.parametrize("policy", [CANCEL, OnFailure.DRAIN])
def test_c038_what_never_started_is_decided_once_and_never_started(policy: OnFailure) -> None:
    run = simulate(_items("a", "b", "c"), _many(1, policy), outcomes={"a": FAILED})
    assert run.order == ["a"]
    assert run.log == [("start", "a"), ("end", "a"), ("decide", "b"), ("decide", "c")]


def test_c039_events_of_a_chain_and_of_what_is_blocked() -> None:
    assert simulate(_items("a", "b < a"), _many(), outcomes={"a": FAILED}).log == [
        ("start", "a"),
        ("end", "a"),
        ("decide", "b"),
    ]


def test_c042_nodes_end_in_order_of_completion() -> None:
    run = simulate(_items(*"abc"), _many(), {"a": 3, "b": 1, "c": 2})
    assert list(run.ended) == ["b", "c", "a"]
    assert run.makespan == 3


def test_c043_sum_over_wall_is_the_parallelism_achieved() -> None:
    durations = {"a": 10, "b": 10, "c": 10, "d": 10}
    assert sum(durations.values()) / simulate(_items(*durations), _many(2), durations).makespan == 2


def test_c044_whoever_stops_telling_can_be_told_who_is_missing() -> None:
    scheduler = Scheduler(_items("a", "b < a"), _many())
    scheduler.dispatch()
    assert (scheduler.finished, scheduler.unfinished(), scheduler.has_ready) == (False, ["a", "b"], False)
    scheduler.finish("a", SUCCEEDED)
    assert (scheduler.unfinished(), scheduler.has_ready) == (["b"], True)


# Stages.


def _staged(*stages: tuple[str, Iterable[Item], Iterable[str]]) -> list[Item]:
    """`(stage, its items, stages before)`: the items wait for the gates before, and the stage's gate for them."""
    items: list[Item] = []
    gates: list[Item] = []
    for stage, members, before in stages:
        ends = []
        for item in members:
            kind = NeedKind.OPTIONAL if item.outlives_failure else NeedKind.NEEDS
            needs = (*item.needs, *(Need(other, kind) for other in before))
            items.append(
                Item(
                    item.id,
                    needs,
                    stage,
                    conditional=item.conditional,
                    outlives_failure=item.outlives_failure,
                    allow_failure=item.allow_failure,
                )
            )
            ends.append(Need(item.id, NeedKind.ORDER))
        gates.append(Item(stage, (*ends, *map(Need, before)), stage, gate=True))
    return [*items, *gates]


def test_a_stage_begins_when_those_before_it_have_ended_through_empty_ones_too() -> None:
    items = _staged(("a", [Item("a/1"), Item("a/2")], ()), ("empty", (), ("a",)), ("b", [Item("b/1")], ("empty",)))
    run = simulate(items, _many(), {"a/1": 3, "a/2": 7})
    assert run.started[-1] == (7, "b/1")


@pytest.mark.parametrize("gates_first", [True, False])
def test_gates_may_stand_anywhere_among_the_items(gates_first: bool) -> None:
    items = _staged(("none", (), ()), ("b", [Item("b/1")], ("none",)))
    items.sort(key=lambda item: item.gate is not gates_first)
    assert simulate(items, _many()).order == ["b/1"]


def test_a_failure_blocks_the_stages_behind_at_once_whatever_is_between() -> None:
    stages: list[tuple[str, list[Item], tuple[str, ...]]] = [("a", [Item("a/1"), Item("a/2")], ())]
    stages += [
        (f"e{n}{side}", [], ("a",) if not n else (f"e{n - 1}l", f"e{n - 1}r")) for n in range(40) for side in "lr"
    ]
    run = simulate(
        _staged(*stages, ("z", [Item("z/1")], ("e39l",))), _many(9, CONTINUE), {"a/1": 1, "a/2": 9}, {"a/1": FAILED}
    )
    assert [(at, decision.id, decision.cause) for at, decision in run.decisions] == [(1, "z/1", "a/1")]


def test_a_stage_that_outlives_a_failure_runs_after_all_of_it_has_ended() -> None:
    always = Item("clean/1", conditional=True, outlives_failure=True)
    items = _staged(
        ("a", [Item("a/1"), Item("a/2")], ()), ("clean", [always], ("a",)), ("b", [Item("b/1")], ("clean",))
    )
    run = simulate(items, _many(9, CONTINUE), {"a/1": 1, "a/2": 9}, {"a/1": FAILED})
    assert run.started[-1] == (9, "clean/1")
    assert run.outcomes["b/1"] is BLOCKED, "a failure is known to all that come later, whatever outlived it"
    assert run.causes["b/1"] == "a/1"


def test_an_optional_need_of_a_stage_does_not_block() -> None:
    items = _staged(("a", [Item("a/1"), Item("a/2")], ()))
    items += [Item("b", (Need("a", NeedKind.OPTIONAL),))]
    run = simulate(items, _many(9, CONTINUE), {"a/2": 5}, {"a/1": FAILED})
    assert (run.outcomes["b"], run.started[-1]) == (SUCCEEDED, (5, "b"))


def test_a_stage_behind_one_that_never_ran_is_not_judged() -> None:
    items = [Item("fails"), *_staged(("a", [Item("a/1")], ()), ("b", [Item("b/1", conditional=True)], ("a",)))]
    items[1] = Item("a/1", (Need("slow"),), "a")
    run = simulate([*items, Item("slow")], _many(), {"slow": 9}, {"fails": FAILED}, {"b/1": False})
    assert (run.outcomes["a/1"], run.outcomes["b/1"]) == (NOT_STARTED, NOT_STARTED)


def test_what_was_settled_is_not_judged_again() -> None:
    items = [Item("a"), Item("b", (Need("a"),)), Item("c", (Need("b", NeedKind.OPTIONAL),), conditional=True)]
    run = simulate(items, _many(), conditions={"c": False}, cancel_at=0)
    assert run.outcomes == {"a": CANCELLED, "b": NOT_STARTED, "c": NOT_STARTED}


def test_outliving_nodes_may_follow_each_other_and_fail() -> None:
    chain = [Item("fails")]
    for before, name in (("fails", "a"), ("a", "b"), ("b", "c")):
        chain.append(Item(name, (Need(before),), conditional=True, outlives_failure=True))
    run = simulate([*chain, Item("plain", (Need("b"),))], _many(), outcomes={"fails": FAILED, "b": FAILED})
    assert run.order == ["fails", "a", "b", "c"]
    assert (run.outcomes["plain"], run.causes["plain"]) == (BLOCKED, "fails")


def test_a_policy_of_a_stage_beats_that_of_the_run() -> None:
    items = [Item("s/a", stage="s"), Item("t/a", stage="t"), Item("t/b", (Need("t/a"),), "t")]
    bounds = Bounds(9, stage_policies={"s": CONTINUE})
    assert simulate(items, bounds, outcomes={"s/a": FAILED}).outcomes["t/b"] is SUCCEEDED
    run = simulate(items, Bounds(9, on_failure=CONTINUE, stage_policies={"s": CANCEL}), {"t/a": 9}, {"s/a": FAILED})
    assert run.outcomes == {"s/a": FAILED, "t/a": CANCELLED, "t/b": NOT_STARTED}


# Scale: what is counted is work, never time.


def test_c049_the_dispatch_order_of_a_thousand_nodes_is_always_the_same() -> None:
    rng = Random(49)
    items = [
        Item(f"n{n}", tuple(Need(f"n{m}") for m in rng.sample(range(n), min(n, 2))), limits=rng.choice(((), ("l",))))
        for n in range(1000)
    ]
    orders = {tuple(simulate(items, _many(7, l=3)).order) for _ in range(5)}
    assert len(orders) == 1


def test_c049_ten_thousand_independent_nodes_are_each_decided_once() -> None:
    run = simulate([Item(f"n{number}") for number in range(10_000)], _many(16))
    assert (len(run.log), run.makespan, run.peak) == (20_000, 625, 16)


def test_c050_a_layered_graph_of_ten_thousand_nodes_is_prioritised_as_by_definition() -> None:
    rng = Random(50)
    width, count = 100, 10_000
    after: list[list[int]] = [[] for _ in range(count)]
    missing = [0] * count
    for node in range(width, count):
        layer = node // width
        for before in rng.sample(range((layer - 1) * width, layer * width), 3):
            after[before].append(node)
            missing[node] += 1
    assert sum(missing) == 29_700
    order = topological(after, missing)
    paths = longest_paths(order, after, [1] * count)
    counts = dependents_counts(order, after, [True] * count)
    assert max(paths) == count // width
    for node in rng.sample(range(count), 20):
        behind: set[int] = set()
        queue = [node]
        while queue:
            for follower in after[queue.pop()]:
                if follower not in behind:
                    behind.add(follower)
                    queue.append(follower)
        assert counts[node] == len(behind)
        assert paths[node] == 1 + max((paths[follower] for follower in after[node]), default=0)
