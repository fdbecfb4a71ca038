"""How fast nodes may start under each limit: token buckets, and limits that rest. Pure: whoever asks says what time it is.

A token is `period_ms` parts and each millisecond adds `count` of them, so that nothing is ever rounded and nothing drifts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from shipway.limits import Rate


class Bucket(Struct, frozen=True):
    """The tokens of one limit: `parts` of them were there at `at_ms`, on whatever clock its owner uses. It begins full."""

    rate: Rate
    parts: int
    at_ms: int

    @classmethod
    def full(cls, rate: Rate, now_ms: int) -> Bucket:
        """A bucket with all the tokens that it can hold."""
        return cls(rate, rate.burst * rate.period_ms, now_ms)

    def at(self, now_ms: int) -> Bucket:
        """The same bucket later. A clock that has stepped back adds nothing, and is followed from where it stands."""
        added = max(0, now_ms - self.at_ms) * self.rate.count
        return Bucket(self.rate, min(self.parts + added, _most(self.rate)), now_ms)

    @property
    def has_token(self) -> bool:
        """Whether something may start."""
        return self.parts >= self.rate.period_ms

    def taken(self) -> Bucket:
        """The bucket without one token. Raises ValueError where it has none."""
        if not self.has_token:
            raise ValueError("there is no token to take")
        return Bucket(self.rate, self.parts - self.rate.period_ms, self.at_ms)

    @property
    def token_at_ms(self) -> int:
        """The first millisecond at which there is a token."""
        missing = max(0, self.rate.period_ms - self.parts)
        return self.at_ms + -(-missing // self.rate.count)

    def under(self, rate: Rate) -> Bucket:
        """What it holds, counted by another rate: a declaration may have changed since."""
        if rate == self.rate:
            return self
        parts = self.parts * rate.period_ms // self.rate.period_ms
        return Bucket(rate, min(parts, rate.burst * rate.period_ms), self.at_ms)


def _most(rate: Rate) -> int:
    """The parts of a full bucket, and those of the millisecond in which it became full: dropped, they would add up to drift."""
    return rate.burst * rate.period_ms + min(rate.count, rate.period_ms) - 1


class Pace:
    """What time holds back: limits without a token, and limits that rest because somebody was told to slow down."""

    def __init__(self, rates: Mapping[str, Rate]) -> None:
        self._rates = rates
        self._buckets: dict[str, Bucket] = {}
        self._rests: dict[str, int] = {}
        self.matters = bool(rates)

    def held(self, limits: Sequence[str], now_ms: int) -> str:
        """What of time keeps a node under these limits from starting now, or empty."""
        for limit in limits:
            if self._rests.get(limit, now_ms) > now_ms:
                return f"pause of limit {limit}"
        for limit in limits:
            if limit in self._rates and not self._bucket(limit, now_ms).has_token:
                return f"rate of limit {limit}"
        return ""

    def free_at_ms(self, limits: Sequence[str], now_ms: int) -> int:
        """The first millisecond, not before `now_ms`, at which time lets a node under these limits start."""
        moments = [now_ms, *(self._rests.get(limit, now_ms) for limit in limits)]
        moments += (self._bucket(limit, now_ms).token_at_ms for limit in limits if limit in self._rates)
        return max(moments)

    def take(self, limits: Sequence[str], now_ms: int) -> tuple[str, ...]:
        """Take a token of each limit that has a rate; which these are. `held` has said that they are there."""
        rated = tuple(limit for limit in limits if limit in self._rates)
        for limit in rated:
            self._buckets[limit] = self._bucket(limit, now_ms).taken()
        return rated

    def rest(self, limits: Sequence[str], now_ms: int, until_ms: int) -> tuple[str, ...]:
        """Nothing more starts under these limits before `until_ms`; those of them that did not rest already.

        However many nodes are told to slow down meanwhile, it is one pause: it ends when the last of them may go on.
        """
        self.matters = self.matters or bool(limits)
        fresh = tuple(limit for limit in limits if self._rests.get(limit, now_ms) <= now_ms < until_ms)
        for limit in limits:
            self._rests[limit] = max(until_ms, self._rests.get(limit, until_ms))
        return fresh

    def lift(self) -> None:
        """Time holds nothing back any more: the run is ended, and what never started has to be told so."""
        self._rates = {}
        self._rests.clear()
        self.matters = False

    def correct(self, limit: str, parts: int, now_ms: int) -> None:
        """The limit's bucket holds `parts`: others that share it may have taken some."""
        if limit in self._rates:
            self._buckets[limit] = Bucket(self._rates[limit], parts, now_ms)

    def _bucket(self, limit: str, now_ms: int) -> Bucket:
        known = self._buckets.get(limit)
        return Bucket.full(self._rates[limit], now_ms) if known is None else known.at(now_ms)


class Standing(Struct, frozen=True):
    """How a limit stands for all runs that share it: parts in its bucket (None: it has no rate), and how long it rests yet."""

    parts: int | None
    rests_ms: int = 0


def wait_ms(standings: Mapping[str, Standing], rates: Mapping[str, Rate]) -> int:
    """How long until something may start under limits that stand so; 0 where it may now."""
    waits = [standing.rests_ms for standing in standings.values()]
    for name, rate in rates.items():
        standing = standings.get(name)
        if standing is not None and standing.parts is not None:
            waits.append(Bucket(rate, standing.parts, 0).token_at_ms)
    return max(waits, default=0)


class Tokens(Protocol):
    """The record of limits that runs share and that outlives them. It reads the wall clock itself, while nobody else can."""

    def look(self, limits: Mapping[str, Rate | None]) -> Mapping[str, Standing]:
        """How these limits stand now."""

    def claim(self, limits: Mapping[str, Rate]) -> tuple[bool, Mapping[str, Standing]]:
        """Take a token of each, or none where one has none or rests; whether they were taken, and how the limits stand then."""

    def rest(self, limits: Sequence[str], for_ms: int) -> None:
        """Nothing more starts under these limits for so long, in any run."""


class OwnTokens:
    """Nobody shares the limits: what the run itself counts is all there is."""

    def look(self, limits: Mapping[str, Rate | None]) -> Mapping[str, Standing]:
        """Nothing is known from before."""
        return {}

    def claim(self, limits: Mapping[str, Rate]) -> tuple[bool, Mapping[str, Standing]]:
        """Every claim holds."""
        return True, {}

    def rest(self, limits: Sequence[str], for_ms: int) -> None:
        """Nobody else has to know."""
