"""Shows how fast nodes start under a limit with a rate, who waits meanwhile, and that nobody waits for ever. Virtual time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from random import Random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from shipway.limits import Limit, Rate, limit_from_json, limit_json, parse_rate
from shipway.pace import Bucket, Pace
from shipway.room import Bounds, Item
from tests.simulation import Simulated, simulate

many = settings(max_examples=300, deadline=None)
seeds = st.integers(0, 2**48)
rates = st.builds(Rate, st.integers(1, 50), st.integers(1, 5000), st.integers(1, 9))


def starts(rate: Rate, asked: Sequence[int]) -> list[bool]:
    """Whether a token was given, at each of these moments in turn."""
    bucket = Bucket.full(rate, 0)
    given_: list[bool] = []
    for now in asked:
        bucket = bucket.at(now)
        given_.append(bucket.has_token)
        if bucket.has_token:
            bucket = bucket.taken()
    return given_


# The bucket.


@pytest.mark.parametrize(
    ("rate", "asked", "given_"),
    [
        (Rate(1, 1000), (0, 0, 999, 1000), (True, False, False, True)),
        (Rate(1, 1000, 2), (0, 0, 0, 1000), (True, True, False, True)),
        (Rate(2, 1000), (0, 499, 500), (True, False, True)),
    ],
)
def test_d037_tokens_come_at_the_rate_and_a_burst_of_them_is_kept(
    rate: Rate, asked: Sequence[int], given_: Sequence[bool]
) -> None:
    assert starts(rate, asked) == list(given_)


def test_d038_a_clock_that_steps_back_adds_nothing() -> None:
    bucket = Bucket.full(Rate(1, 1000), 5000).taken()
    back = bucket.at(1000)
    assert not back.has_token and back.token_at_ms == 2000
    assert not bucket.at(1000).at(500).at(0).at(999).has_token
    assert Bucket.full(Rate(2, 1000, 3), 5000).at(0) == Bucket.full(Rate(2, 1000, 3), 0)


def test_d039_starts_are_exact_and_never_drift() -> None:
    names = [f"n{number}" for number in range(7)]
    run = simulate(_under("l", *names), _bounds(Rate(2, 1000, 3)), dict.fromkeys(names, 0))
    assert [at for at, _ in run.started] == [0, 0, 0, 500, 1000, 1500, 2000]
    # A third of a second is no whole number of milliseconds: no start comes early, and after an hour none is late.
    names = [f"n{number}" for number in range(3 * 3600 + 1)]
    run = simulate(_under("l", *names), _bounds(Rate(3, 1000)), dict.fromkeys(names, 0))
    at = [at for at, _ in run.started]
    assert at[:4] == [0, 334, 667, 1000] and at[-1] == 3_600_000


@many
@given(rates, seeds)
def test_no_window_sees_more_starts_than_the_rate_and_its_burst_allow(rate: Rate, seed: int) -> None:
    rng = Random(seed)
    now, asked = 0, list[int]()
    for _ in range(60):
        now += rng.choice((0, 0, 1, rate.period_ms // rate.count, rng.randint(0, 2 * rate.period_ms)))
        asked.append(now)
    got = [at for at, ok in zip(asked, starts(rate, asked), strict=True) if ok]
    for place, first in enumerate(got):
        for later in range(place, len(got)):
            # The moments are whole milliseconds, each up to one late.
            window = got[later] - first + 1
            assert later - place + 1 <= rate.burst + Fraction(window * rate.count, rate.period_ms)


@many
@given(rates, seeds)
def test_a_token_is_there_exactly_when_it_is_said_to_be(rate: Rate, seed: int) -> None:
    rng = Random(seed)
    bucket = Bucket.full(rate, 0)
    for _ in range(20):
        bucket = bucket.at(bucket.at_ms + rng.randint(0, rate.period_ms))
        if bucket.has_token:
            bucket = bucket.taken()
        else:
            assert bucket.at(bucket.token_at_ms).has_token
            assert not bucket.at(bucket.token_at_ms - 1).has_token


def test_a_bucket_keeps_its_tokens_when_its_rate_changes() -> None:
    half = Bucket(Rate(1, 1000, 4), 2500, 7)
    assert half.under(Rate(5, 60_000, 4)) == Bucket(Rate(5, 60_000, 4), 150_000, 7)
    assert half.under(Rate(1, 1000, 2)).parts == 2000
    with pytest.raises(ValueError, match="no token"):
        Bucket(Rate(1, 1000), 999, 0).taken()


# How it is written.


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("10/1m", (10, 60_000)),
        ("2/s", (2, 1000)),
        ("1/250ms", (1, 250)),
        ("100/24h", (100, 86_400_000)),
        ("5/d", (5, 86_400_000)),
    ],
)
def test_d040_a_rate_is_a_number_in_a_time(text: str, rate: tuple[int, int]) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize(
    "text",
    [
        "10",
        "10/",
        "/1m",
        "10/m1",
        "10 / 1m",
        "1.5/s",
        "-1/s",
        "10/1m/2",
        "ten/s",
        "",
        "10/min",
        "1/1m30s",
        "0/s",
        "5/0s",
    ],
)
def test_d040_any_other_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a rate|lets nothing ever start"):
        parse_rate(text)


@pytest.mark.parametrize("limit", [Limit(), Limit(4), Limit(2, Rate(10, 60_000, 3))])
def test_a_limit_comes_back_out_of_a_document(limit: Limit) -> None:
    found = limit_json(limit)
    assert isinstance(found, dict) and limit_from_json(found) == limit


# Who waits for what.


def test_d041_a_limit_without_a_token_keeps_no_other_waiting() -> None:
    items = [*_under("a", "a1", "a2", "a3"), *_under("b", "b1", "b2", "b3"), Item("free")]
    bounds = Bounds(1, limits={"a": 9, "b": 9}, rates={"a": Rate(1, 1000)})
    run = simulate(items, bounds, dict.fromkeys((item.id for item in items), 10))
    assert run.ended == {"a1": 10, "b1": 20, "free": 30, "b2": 40, "b3": 50, "a2": 1010, "a3": 2010}


def test_d041_an_exclusive_node_that_waits_for_a_token_holds_nobody_back() -> None:
    items = [Item("a1", limits=("a",)), Item("alone", limits=("a",), exclusive=True, duration_ms=9), Item("b")]
    bounds = Bounds(2, limits={"a": 9}, rates={"a": Rate(1, 1000)})
    items = [Item("first", limits=("a",), duration_ms=50), *items]
    run = simulate(items, bounds, {"first": 5, "a1": 5, "alone": 5, "b": 5})
    assert run.ended["b"] == 5
    assert run.waited_for["alone"] == "rate of limit a"


@pytest.mark.parametrize(
    ("parallel", "cap", "rate", "waited"),
    [(9, 9, Rate(1, 1000), "rate of limit l"), (9, 1, None, "limit l"), (1, 9, None, "slot")],
)
def test_d042_what_a_node_waited_for_is_told_apart(parallel: int, cap: int, rate: Rate | None, waited: str) -> None:
    bounds = Bounds(parallel, limits={"l": cap}, rates={"l": rate} if rate else {})
    assert simulate(_under("l", "a", "b"), bounds, {"a": 5}).waited_for == {"a": "", "b": waited}


def test_d043_a_limit_rests_once_for_all_however_many_are_told_to_slow_down() -> None:
    names = [f"n{number}" for number in range(10)]
    told = dict.fromkeys(names[:5], 7000)
    durations = {name: 10 + number for number, name in enumerate(names)}
    items = [*_under("l", *names), *_under("other", "x1", "x2"), Item("x3")]
    run = simulate(items, Bounds(8, limits={"l": 5, "other": 1}), durations, throttled=told)
    at = {node: at for at, node in run.started}
    # The last of the five was told at 14; each began before anybody rested.
    assert [at[name] for name in names] == [0, 0, 0, 0, 0, 7014, 7014, 7014, 7014, 7014]
    assert run.waited_for["n9"] == "pause of limit l"
    assert max(run.ended[name] for name in ("x1", "x2", "x3")) < 100, "whoever has another limit does not rest"


def test_d043_who_never_ran_loses_no_attempt_and_who_did_tries_again_after_the_pause() -> None:
    run = simulate(_under("l", "a", "b"), _bounds(None, cap=1), {"a": 5, "b": 5}, tries={"a": 1}, throttled={"a": 7000})
    assert run.started == [(0, "a"), (7005, "a"), (14_010, "b")]


def test_a_pause_that_is_over_is_a_pause_again() -> None:
    pace = Pace({})
    assert pace.rest(("l",), 0, 7000) == ("l",)
    assert pace.rest(("l", "m"), 10, 3000) == ("m",)
    assert [pace.held(("l",), now) for now in (6999, 7000)] == ["pause of limit l", ""]
    assert pace.rest(("l",), 8000, 9000) == ("l",)
    assert pace.rest(("l",), 9500, 9500) == ()


def test_d044_d045_an_ended_node_is_replaced_at_once() -> None:
    assert simulate([Item(name) for name in "abc"], Bounds(3), dict.fromkeys("abc", 100)).makespan == 100
    mixed = {"slow": 100, **{f"fast{number}": 10 for number in range(9)}}
    assert simulate([Item(name) for name in mixed], Bounds(3), mixed).makespan == 100


def test_d046_under_a_limit_the_most_urgent_goes_first_also_behind_hundreds() -> None:
    items = [Item(f"low{number}", limits=("l",), duration_ms=1) for number in range(300)]
    items.append(Item("high", limits=("l",), duration_ms=2))
    assert simulate(items, _bounds(Rate(1, 1000)), dict.fromkeys((item.id for item in items), 0)).order[0] == "high"


def test_when_the_run_is_ended_time_holds_nothing_back() -> None:
    pace = Pace({"l": Rate(1, 60_000)})
    pace.take(("l",), 0)
    pace.rest(("m",), 0, 1000)
    assert pace.held(("l",), 0) and pace.held(("m",), 0)
    pace.lift()
    assert not pace.held(("l", "m"), 0)


# Fair, for every lifecycle.


def test_two_queues_cannot_hand_to_and_fro_what_a_more_urgent_node_wants() -> None:
    # `x` wants both; each queue alone would never leave both free at the same moment.
    items = [Item(f"{limit}{number}", limits=(limit,), duration_ms=1) for limit in "ab" for number in range(40)]
    items += [Item("first", limits=("a",), duration_ms=3), Item("x", limits=("a", "b"), duration_ms=2)]
    durations = {item.id: 10 for item in items} | {"first": 5}
    run = simulate(items, Bounds(9, limits={"a": 1, "b": 1}), durations)
    at = {node: at for at, node in run.started}
    assert at["x"] <= 25, "no queue goes before it twice"


def test_what_is_in_use_for_long_keeps_the_rest_of_the_world_going() -> None:
    items = [Item("long", locks=("m",), duration_ms=999), Item("x", limits=("l",), locks=("m",), duration_ms=99)]
    items += _under("l", *(f"n{number}" for number in range(20)))
    run = simulate(items, _bounds(None, cap=1), {item.id: 10 for item in items} | {"long": 1000})
    assert max(at for at, node in run.started if node.startswith("n")) < 300
    assert run.ended["x"] == 1010


@many
@given(seeds)
def test_nobody_starts_before_a_more_urgent_node_that_could(seed: int) -> None:
    lifecycle, bounds, durations = _crowd(Random(seed), with_rates=True)
    run = simulate(lifecycle, bounds, durations)
    assert len(run.outcomes) == len(lifecycle)
    for index, (_, node) in enumerate(run.started):
        for other in _waiting(lifecycle, run, index):
            if _urgency(other) < _urgency(_item(lifecycle, node)) and not _keeps_back(lifecycle, run, index, other):
                assert not _could_start(lifecycle, bounds, run, index, other), f"{other.id} could start before {node}"


@many
@given(seeds)
@example(2879053)
def test_nobody_loses_two_of_the_things_it_waits_for_to_less_urgent_ones(seed: int) -> None:
    crowd, bounds, durations = _crowd(Random(seed), with_rates=False)
    # Each is of a kind of its own: behind another of its kind it could lose something before its turn comes.
    items = [replace(item, locks=(*item.locks, f"own-{item.id}")) for item in crowd]
    run = simulate(items, bounds, durations)
    lost: dict[str, set[str]] = {}
    for index, (_, node) in enumerate(run.started):
        taker = _item(items, node)
        for other in _waiting(items, run, index):
            shared = (set(other.limits) & set(taker.limits)) | (set(other.locks) & set(taker.locks))
            if shared and _urgency(other) < _urgency(taker):
                had = lost.setdefault(other.id, shared)
                assert not shared - had, f"{other.id} lost {shared} to {node} and {had} before"


@many
@given(seeds)
def test_limits_take_turns_however_long_their_queues_are(seed: int) -> None:
    rng = Random(seed)
    names = [f"l{number}" for number in range(rng.randint(2, 5))]
    items = [Item(f"{name}-{number}", limits=(name,)) for name in names for number in range(rng.randint(1, 8))]
    rng.shuffle(items)
    run = simulate(items, Bounds(1, limits=dict.fromkeys(names, 9)))
    left = {name: sum(item.limits == (name,) for item in items) for name in names}
    since: dict[str, int] = dict.fromkeys(names, 0)
    for node in run.order:
        name = node.partition("-")[0]
        left[name] -= 1
        since = {other: 0 if other == name else since[other] + 1 for other in names if left[other] or other == name}
        assert all(count < len(names) for other, count in since.items() if left[other])


def _crowd(rng: Random, *, with_rates: bool) -> tuple[list[Item], Bounds, Mapping[str, int]]:
    """Nodes that need nothing, so that all wait from the start, each with its own urgency."""
    urgencies = rng.sample(range(1, 60), rng.randint(3, 16))
    items = [
        Item(
            f"n{number}",
            limits=tuple(name for name in "ab" if rng.random() < 0.4),
            locks=tuple(name for name in "xy" if rng.random() < 0.25),
            duration_ms=urgency,
        )
        for number, urgency in enumerate(urgencies)
    ]
    rated = {"a": Rate(rng.randint(1, 3), rng.randint(1, 20), rng.randint(1, 2))} if with_rates else {}
    bounds = Bounds(rng.randint(1, 5), limits={"a": rng.randint(1, 2), "b": 1}, rates=rated)
    return items, bounds, {item.id: rng.randint(0, 12) for item in items}


def _urgency(item: Item) -> int:
    return -(item.duration_ms or 0)


def _item(items: Iterable[Item], node: str) -> Item:
    return next(item for item in items if item.id == node)


def _waiting(items: Sequence[Item], run: Simulated, index: int) -> list[Item]:
    """Who had not started when the start number `index` was decided, without the one that it is."""
    begun = {node for _, node in run.started[: index + 1]}
    return [item for item in items if item.id not in begun]


def _keeps_back(items: Sequence[Item], run: Simulated, index: int, wanted: Item) -> bool:
    """Whether one still more urgent waits for something that `wanted` needs, and for more, so that it may be kept for it."""
    return any(
        _urgency(other) < _urgency(wanted) and {*other.limits, *other.locks} & {*wanted.limits, *wanted.locks}
        for other in _waiting(items, run, index)
    )


def _could_start(items: Sequence[Item], bounds: Bounds, run: Simulated, index: int, wanted: Item) -> bool:
    """Whether all that `wanted` needs was free when the start number `index` was decided: counted anew, from the log."""
    now = run.started[index][0]
    before = run.log[: [place for place, (what, _) in enumerate(run.log) if what == "start"][index]]
    running = [_item(items, node) for what, node in before if what == "start"]
    for what, node in before:
        if what == "end":
            running.remove(_item(items, node))
    for limit in wanted.limits:
        if sum(limit in item.limits for item in running) >= bounds.limits[limit]:
            return False
        if limit in bounds.rates:
            taken = [at for at, node in run.started[:index] if limit in _item(items, node).limits]
            if _tokens(bounds.rates[limit], taken, now) < 1:
                return False
    return not any(set(wanted.locks) & set(item.locks) for item in running)


def _tokens(rate: Rate, taken: Sequence[int], now: int) -> Fraction:
    level, last = Fraction(rate.burst), 0
    for at in taken:
        level = min(Fraction(rate.burst), level + Fraction((at - last) * rate.count, rate.period_ms)) - 1
        last = at
    return min(Fraction(rate.burst), level + Fraction((now - last) * rate.count, rate.period_ms))


def _under(limit: str, *names: str) -> list[Item]:
    return [Item(name, limits=(limit,)) for name in names]


def _bounds(rate: Rate | None, cap: int = 99) -> Bounds:
    return Bounds(99, limits={"l": cap}, rates={"l": rate} if rate else {})
