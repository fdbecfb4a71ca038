"""How long to wait before trying again, by case and for every policy; and what a declaration may say of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipway.declaration import Backoff, Retry
from shipway.errors import DeclarationError
from shipway.loading import load_declaration
from shipway.retry import delay_ms, has_another

policies = st.builds(
    Retry,
    st.integers(1, 50),
    st.sampled_from(Backoff),
    st.integers(0, 10**7),
    st.none() | st.integers(0, 10**8),
    st.integers(0, 100),
)
fractions = st.floats(0, 1, exclude_max=True)


@pytest.mark.parametrize(
    ("backoff", "cap", "delays"),
    [
        (Backoff.CONSTANT, None, [100, 100, 100]),
        (Backoff.LINEAR, None, [100, 200, 300]),
        (Backoff.EXPONENTIAL, None, [100, 200, 400]),
        (Backoff.EXPONENTIAL, 300, [100, 200, 300, 300]),
        (Backoff.CONSTANT, 10_000, [1_000, 1_000, 1_000, 1_000]),
        (Backoff.LINEAR, 10_000, [1_000, 2_000, 3_000, 4_000]),
        (Backoff.EXPONENTIAL, 10_000, [1_000, 2_000, 4_000, 8_000, 10_000, 10_000]),
    ],
)
def test_g049_d063_first_delays(backoff: Backoff, cap: int | None, delays: list[int]) -> None:
    policy = Retry(9, backoff, delays[0], cap)
    assert [delay_ms(policy, number) for number in range(1, len(delays) + 1)] == delays


@pytest.mark.parametrize("backoff", Backoff)
def test_g049_without_an_initial_delay_it_is_one_second(tmp_path: Path, backoff: Backoff) -> None:
    assert delay_ms(_declared(tmp_path, f"{{attempts: 2, backoff: {backoff.value}}}"), 1) == 1000


@pytest.mark.parametrize("backoff", Backoff)
def test_g049_without_jitter_chance_plays_no_part(backoff: Backoff) -> None:
    policy = Retry(9, backoff, 100)
    assert {delay_ms(policy, 3, fraction) for fraction in (0.0, 0.3, 0.99)} == {delay_ms(policy, 3)}


@given(policies, st.integers(1, 20), fractions)
def test_delays_stay_within_their_spread_and_are_never_negative(policy: Retry, number: int, fraction: float) -> None:
    middle = delay_ms(policy, number, 0.5)
    spread = middle * policy.jitter_percent / 100
    delay = delay_ms(policy, number, fraction)
    assert delay >= 0
    assert abs(delay - middle) <= spread + 1
    assert policy.max_ms is None or middle <= policy.max_ms


@given(policies, st.integers(1, 200))
def test_without_chance_no_delay_is_shorter_than_the_one_before(policy: Retry, number: int) -> None:
    assert delay_ms(policy, number) <= delay_ms(policy, number + 1)


def test_retries_are_numbered_from_one() -> None:
    with pytest.raises(ValueError, match="numbered from 1"):
        delay_ms(Retry(), 0)


@given(policies)
def test_g050_attempts_counts_tries(policy: Retry) -> None:
    tries = 1
    while has_another(policy, tries):
        tries += 1
    assert tries == policy.attempts


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("{attempts: 0}", "at least 1, not `0`"),
        ("{attempts: -2}", "at least 1, not `-2`"),
        ("0", "at least 1, not `0`"),
        ("{initial: not-a-duration}", "`not-a-duration`"),
        ("{backoff: quadratic}", "`quadratic`"),
    ],
)
def test_g050_g052_what_makes_no_sense_is_refused_where_it_stands(tmp_path: Path, written: str, text: str) -> None:
    with pytest.raises(DeclarationError) as caught:
        _declared(tmp_path, written)
    [problem] = caught.value.problems
    assert text in problem.text
    assert problem.where is not None
    assert (problem.where.file, problem.where.line) == ("shipway.yml", 3)
    if "backoff" in written:
        assert all(f"`{known.value}`" in problem.text + problem.hint for known in Backoff)


def test_g052_durations_are_milliseconds(tmp_path: Path) -> None:
    policy = _declared(tmp_path, "{attempts: 3, initial: 5s, max: 1m30s}")
    assert (policy.initial_ms, policy.max_ms) == (5000, 90_000)


def _declared(tmp_path: Path, retry: str) -> Retry:
    (tmp_path / "shipway.yml").write_text(f"version: 1\nname: x\nsteps: [{{run: x, retry: {retry}}}]\n")
    found = load_declaration(tmp_path / "shipway.yml", root=tmp_path).stages[0].steps[0].retry
    assert found is not None
    return found
