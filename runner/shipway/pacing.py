"""The pace of one execution: claims tokens that are shared, lets limits rest, and says where a run can only wait."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from shipway.events import Event, LimitsResting, RunWaiting
from shipway.limits import Limit
from shipway.pace import Standing, Tokens
from shipway.scheduler import Dispatch, Scheduler

_WORTH_SAYING_MS = 1_000


class Pacing:
    """Stands between an executor and its scheduler. Moments are on the run's clock."""

    def __init__(
        self, scheduler: Scheduler, limits: Mapping[str, Limit], tokens: Tokens, emit: Callable[[Event], None]
    ) -> None:
        self._scheduler = scheduler
        self._rates = {name: limit.rate for name, limit in limits.items()}
        self._tokens = tokens
        self._emit = emit
        self._said: set[str] = set()

    def begin(self, now_ms: int) -> None:
        """Learn how the limits stand: another run may have used them up a moment ago, or been told to slow down."""
        if self._rates:
            self._correct(self._tokens.look(self._rates), now_ms)

    def dispatch(self, now_ms: int) -> Iterator[Dispatch]:
        """The nodes to start now, one by one, so that a token is claimed just before its node starts."""
        while batch := self._scheduler.dispatch(now_ms):
            for dispatch in batch:
                if not dispatch.tokens or self._is_granted(dispatch, now_ms):
                    yield dispatch

    def heed(self, limits: Sequence[str], node: str, for_ms: int | None, now_ms: int) -> None:
        """A node under `limits` has ended and was told, if `for_ms` is above 0, to leave somebody alone for so long."""
        if not limits or not for_ms:
            return
        fresh = self._scheduler.pace.rest(limits, now_ms, now_ms + for_ms)
        self._tokens.rest(limits, for_ms)
        if fresh:
            self._emit(LimitsResting(node, fresh, for_ms))

    def next_moment_ms(self, now_ms: int, *, idle: bool) -> int | None:
        """When to dispatch again even if nothing ends; `idle` where nothing runs, so that a long wait is worth saying."""
        found = self._scheduler.next_moment(now_ms)
        if found is None:
            return None
        moment, why = found
        if idle and moment - now_ms >= _WORTH_SAYING_MS and why not in self._said:
            self._said.add(why)
            self._emit(RunWaiting(why, moment - now_ms))
        return moment

    def _is_granted(self, dispatch: Dispatch, now_ms: int) -> bool:
        wanted = {limit: rate for limit in dispatch.tokens if (rate := self._rates[limit]) is not None}
        granted, standings = self._tokens.claim(wanted)
        self._correct(standings, now_ms)
        if not granted:
            self._scheduler.put_back(dispatch.id)
        return granted

    def _correct(self, standings: Mapping[str, Standing], now_ms: int) -> None:
        pace = self._scheduler.pace
        for limit, standing in standings.items():
            if standing.parts is not None:
                pace.correct(limit, standing.parts, now_ms)
            if standing.rests_ms:
                pace.rest((limit,), now_ms, now_ms + standing.rests_ms)
