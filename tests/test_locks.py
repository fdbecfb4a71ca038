"""Locks as values: who may take one, when a lease is over, what the record says."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from shipway.errors import EXIT_UNREACHABLE, Reason
from shipway.locks import (
    Claim,
    Holder,
    KeptBy,
    Life,
    Lock,
    LockHeld,
    heartbeat_ms,
    last_moment_ms,
    lifecycle_lock,
    load_lock,
    lock_bytes,
    lock_json,
    may_take,
    named_lock,
    released,
    renewed,
    taken,
)

NAME = lifecycle_lock("shop", "prod")
OCTOCAT = Holder(
    "a1",
    actor="octocat",
    host="runner-1",
    url="https://github.com/octo/shop/actions/runs/77",
    provider="github",
    repository="octo/shop",
    run="77",
    attempt=1,
)
SIX_PM = 1_795_370_400_000


def held(kept_by: KeptBy, until_ms: int = 0, holder: Holder = OCTOCAT) -> Lock:
    return Lock(NAME, 3, holder, kept_by, SIX_PM - 60_000, until_ms)


def test_d048_a_lease_until_one_second_is_over_half_a_second_later() -> None:
    lock = held(KeptBy.LEASE, SIX_PM + 1_000)
    assert not may_take(lock, SIX_PM + 999, Life.OVER)
    assert may_take(lock, SIX_PM + 1_500, Life.OVER)


@pytest.mark.parametrize(
    ("life", "allowed"),
    [(Life.OVER, True), (Life.UNASKED, True), (Life.GOES_ON, False), (Life.UNKNOWN, False)],
)
def test_case_47_a_lease_that_is_over_is_taken_only_from_a_run_that_is_over_too(life: Life, allowed: bool) -> None:
    assert may_take(held(KeptBy.LEASE, SIX_PM), SIX_PM + 1, life) is allowed


def test_a_run_that_is_over_keeps_its_lock_until_its_lease_is() -> None:
    assert not may_take(held(KeptBy.LEASE, SIX_PM), SIX_PM - 1, Life.OVER)


@pytest.mark.parametrize("life", list(Life))
def test_what_a_process_holds_is_free_once_it_has_gone_whatever_the_clock_says(life: Life) -> None:
    assert may_take(held(KeptBy.PROCESS), SIX_PM + 10**12, life) is (life is Life.OVER)


def test_what_a_person_holds_is_never_taken_before_its_time() -> None:
    assert not may_take(held(KeptBy.HAND), SIX_PM + 10**12, Life.OVER)
    assert not may_take(held(KeptBy.HAND, SIX_PM + 1), SIX_PM, Life.UNASKED)
    assert may_take(held(KeptBy.HAND, SIX_PM + 1), SIX_PM + 1, Life.UNASKED)


def test_d050_a_lease_is_renewed_each_third_to_its_whole_length_from_then() -> None:
    claim = Claim(OCTOCAT, KeptBy.LEASE, 30_000)
    lock, now_ms = taken(Lock(NAME), claim, SIX_PM), SIX_PM
    for _ in range(9):  # 95 seconds and more under a lease of 30
        now_ms += heartbeat_ms(30_000)
        assert not may_take(lock, now_ms, Life.OVER)
        lock = renewed(lock, claim, now_ms)
        assert lock.until_ms == now_ms + 30_000
    assert lock.token == 1


def test_d052_every_claim_has_its_own_token() -> None:
    one = taken(Lock(NAME), Claim(OCTOCAT, KeptBy.LEASE, 30_000), SIX_PM)
    other = taken(one, Claim(replace(OCTOCAT, id="b2"), KeptBy.LEASE, 30_000), SIX_PM)
    assert (one.token, other.token) == (1, 2)
    assert not other.is_of(OCTOCAT)


def test_d053_a_lease_counts_from_when_it_is_taken() -> None:
    assert taken(Lock(NAME), Claim(OCTOCAT, KeptBy.LEASE, 30_000), SIX_PM + 25_000).until_ms == SIX_PM + 55_000


def test_a_clock_that_steps_back_shortens_no_lease() -> None:
    claim = Claim(OCTOCAT, KeptBy.LEASE, 30_000)
    lock = taken(Lock(NAME), claim, SIX_PM)
    assert renewed(lock, claim, SIX_PM - 3_600_000).until_ms == lock.until_ms


def test_a_holder_that_cannot_renew_stops_before_its_lease_ends() -> None:
    assert SIX_PM + 120_000 < last_moment_ms(SIX_PM + 180_000, 180_000) < SIX_PM + 180_000


@given(st.lists(st.sampled_from(["take", "release"]), max_size=30))
def test_tokens_only_ever_grow_also_over_a_release(moves: list[str]) -> None:
    lock, seen = Lock(NAME), [0]
    for move in moves:
        if move == "release":
            lock = released(lock)
            assert lock.holder is None
        else:
            lock = taken(lock, Claim(OCTOCAT, KeptBy.LEASE, 1), SIX_PM)
            assert lock.token > seen[-1]
            seen.append(lock.token)


@pytest.mark.parametrize(
    "lock", [Lock(NAME), held(KeptBy.LEASE, SIX_PM), held(KeptBy.HAND, 0, replace(OCTOCAT, why="a backup"))]
)
def test_a_record_is_read_as_it_was_written(lock: Lock) -> None:
    assert load_lock(lock_bytes(lock)) == lock


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"kind":"lock","schema":2}',
        b'{"kind":"lock","schema":1}',
        b"\xff\xfe",
        b"[" * 99_999,
        lock_bytes(held(KeptBy.LEASE, 7)).replace(b'"token": 3', b'"token": "3"'),
        lock_bytes(held(KeptBy.LEASE, 7)).replace(b'"kept_by": "lease"', b'"kept_by": "magic"'),
        lock_bytes(held(KeptBy.LEASE, 7)).replace(b'"until_ms": 7', b'"until_ms": 7.5'),
    ],
)
def test_what_is_no_record_of_a_lock_is_not_taken_for_a_free_one(content: bytes) -> None:
    with pytest.raises(ValueError):
        load_lock(content)


def test_case_46_who_holds_it_is_named_with_run_host_and_time_and_what_to_do() -> None:
    error = LockHeld(held(KeptBy.LEASE, SIX_PM + 42_000), Life.UNKNOWN, SIX_PM)
    assert error.message == (
        "the lock of `shop` on `prod` is held by octocat in https://github.com/octo/shop/actions/runs/77 (attempt 1)"
        " on runner-1 since 2026-11-22T17:59:00Z"
    )
    assert "its lease ends in 42 s" in error.next
    assert (error.exit_code, error.reason) == (EXIT_UNREACHABLE, Reason.LOCK_HELD)
    over = LockHeld(held(KeptBy.LEASE, SIX_PM), Life.UNKNOWN, SIX_PM)
    assert "`shipway unlock --target prod`" in over.next
    named = LockHeld(replace(held(KeptBy.HAND), name=named_lock("db")), Life.UNASKED, SIX_PM)
    assert "the lock `db`" in named.message and "`shipway unlock db`" in named.next


def test_the_json_of_a_lock_has_times_that_other_programs_read() -> None:
    told = lock_json(held(KeptBy.LEASE, SIX_PM))
    assert told["since"] == "2026-11-22T17:59:00Z" and told["until"] == "2026-11-22T18:00:00Z"
    assert json.loads(json.dumps(told))["url"] == OCTOCAT.url
    assert lock_json(Lock(NAME, 4))["held"] is False
