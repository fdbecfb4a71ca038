"""Locks while they are held: the heartbeat, what makes one lost, and what is known of a holder on GitHub."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Event

import pytest
from msgspec.structs import replace

from shipway.ci import Token
from shipway.commands.stores import clock_of, life_of
from shipway.context import Context
from shipway.holding import Holding
from shipway.locks import (
    Claim,
    Holder,
    KeptBy,
    Life,
    LockHeld,
    LockLost,
    key_of,
    load_lock,
    lock_bytes,
    named_lock,
    taken,
)
from shipway.store import Kept, Last, Presence, StoreError
from shipway.stores.local_files import LocalFiles
from tests.forge.server import GitHubServer
from tests.forge.world import JOB_TOKEN, Run
from tests.runs import PATIENCE_S, context_of, environment

DB = named_lock("db")


class Clock:
    """Stands still until it is set."""

    def __init__(self) -> None:
        self.now_ms = 1_000_000

    def __call__(self) -> int:
        return self.now_ms


@dataclass
class Observed:
    """A store that tells when it was written, and that can be cut off."""

    inner: LocalFiles
    written: Event
    is_cut_off: bool = False

    @property
    def name(self) -> str:
        return self.inner.name

    @property
    def presence(self) -> Presence | None:
        return None

    def read(self, key: str) -> Kept | None:
        self._check()
        return self.inner.read(key)

    def swap(self, key: str, before: str | None, content: bytes) -> str | None:
        self._check()
        version = self.inner.swap(key, before, content)
        self.written.set()
        return version

    def entries(self, prefix: str) -> Mapping[str, Kept]:
        self._check()
        return self.inner.entries(prefix)

    def last(self, key: str) -> Last | None:
        return self.inner.last(key)

    def append(self, key: str, name: str, content: bytes, after: str | None) -> bool:
        return self.inner.append(key, name, content, after)

    def appended(self, key: str) -> Iterable[tuple[str, bytes]]:
        return self.inner.appended(key)

    def close(self) -> None:
        self.inner.close()

    def _check(self) -> None:
        if self.is_cut_off:
            raise StoreError("cut off")


def leased(store: Observed, clock: Clock, who: str = "me", lease_ms: int = 30_000) -> Holding:
    return Holding(store, Claim(Holder(who, actor=who), KeptBy.LEASE, lease_ms), clock, lambda _: Life.UNASKED)


def until_of(store: Observed) -> int:
    kept = store.inner.read(key_of(DB))
    assert kept is not None
    return load_lock(kept.content).until_ms


@pytest.fixture
def store(tmp_path: Path) -> Observed:
    return Observed(LocalFiles(tmp_path), Event())


def test_d050_a_beat_renews_to_the_whole_lease_from_then(store: Observed) -> None:
    clock = Clock()
    holding = leased(store, clock)
    holding.take([DB])
    for _ in range(10):
        clock.now_ms += 10_000
        holding.beat()
        assert until_of(store) == clock.now_ms + 30_000
    holding.close()


def test_the_heart_beats_by_itself(store: Observed) -> None:
    clock = Clock()
    holding = leased(store, clock, lease_ms=30)
    holding.take([DB])
    for _ in range(3):
        store.written.clear()
        assert store.written.wait(PATIENCE_S)
    holding.close()


def test_case_47_d049_who_comes_late_after_a_takeover_is_refused_and_changes_nothing(store: Observed) -> None:
    clock = Clock()
    late, next_ = leased(store, clock, "late"), leased(store, clock, "next")
    late.take([DB])
    clock.now_ms += 30_000
    next_.take([DB])
    assert next_.token(DB) == 2
    with pytest.raises(LockLost, match="the lock `db` was lost: it is held by next"):
        late.beat()
    late.close()
    with pytest.raises(LockHeld, match="held by next"):
        leased(store, clock, "third").take([DB])
    next_.close()


def test_d051_a_lost_lock_is_told_to_whoever_watches(store: Observed) -> None:
    clock = Clock()
    holding = leased(store, clock, lease_ms=30)
    told: list[LockLost] = []
    heard = Event()
    holding.watch(lambda error: (told.append(error), heard.set())[0])  # type: ignore[func-returns-value]
    holding.take([DB])
    with holding._mutex:
        kept = store.inner.read(key_of(DB))
        assert kept is not None
        other = taken(load_lock(kept.content), Claim(Holder("other", actor="other"), KeptBy.LEASE, 30), clock())
        assert store.inner.swap(key_of(DB), kept.version, lock_bytes(other)) is not None
    assert heard.wait(PATIENCE_S)
    assert "held by other" in told[0].message and holding.lost is told[0]
    again: list[LockLost] = []
    holding.watch(again.append)
    assert again == told, "who begins to watch late is told at once"
    holding.close()


def test_a_store_that_cannot_be_reached_loses_the_lock_only_near_the_end_of_the_lease(store: Observed) -> None:
    clock = Clock()
    holding = leased(store, clock, lease_ms=60)
    heard = Event()
    holding.watch(lambda error: heard.set())
    holding.take([DB])
    with holding._mutex:
        store.is_cut_off = True
        clock.now_ms = until_of(store) - 11
    assert not heard.wait(0.2), "it may still come back"
    clock.now_ms += 1
    assert heard.wait(PATIENCE_S)
    assert holding.lost is not None and "could not be renewed: cut off" in holding.lost.message
    store.is_cut_off = False
    holding.close()


def test_a_clock_that_is_set_back_while_a_run_goes_on_shortens_no_lease(tmp_path: Path) -> None:
    moments = [1_000_000_000_000]
    context = context_of(tmp_path, environment())
    ns = [0]
    context = replace(context, monotonic_ns=lambda: ns[0], now=lambda: moment(moments[0]))
    clock = clock_of(context)
    began = clock()
    moments[0] -= 3_600_000
    ns[0] += 5_000_000_000
    assert clock() == began + 5_000


def moment(unix_ms: int):  # type: ignore[no-untyped-def]  # noqa: ANN201
    from datetime import UTC, datetime

    return datetime.fromtimestamp(unix_ms / 1000, UTC)


# What is known of a holder that is a run on GitHub.


def on_github(server: GitHubServer, folder: Path, *, run: str = "90", attempt: int = 1, token: bool = True) -> Context:
    env = environment(
        GITHUB_ACTIONS="true",
        GITHUB_REPOSITORY="octo/shop",
        GITHUB_API_URL=server.api_url,
        GITHUB_RUN_ID=run,
        GITHUB_RUN_ATTEMPT=str(attempt),
    )
    context = context_of(folder, env)
    assert context.ci is not None
    given = Token(JOB_TOKEN, server.api_url) if token else None
    return replace(context, ci=replace(context.ci, token=given), sleep=lambda seconds: None)


HOLDER = Holder("x", provider="github", repository="octo/shop", run="77", attempt=1)


@pytest.mark.parametrize(
    ("run", "life"),
    [
        (Run(77, status="in_progress"), Life.GOES_ON),
        (Run(77, status="queued"), Life.GOES_ON),
        (Run(77, status="completed"), Life.OVER),
        (Run(77, attempt=2, status="in_progress"), Life.OVER),
    ],
)
def test_case_47_github_is_asked_whether_the_holders_run_is_completed(run: Run, life: Life, tmp_path: Path) -> None:
    with GitHubServer() as server:
        server.world.runs[77] = run
        assert life_of(on_github(server, tmp_path))(HOLDER) is life
        assert server.violations == []


def test_case_47_what_a_completed_run_left_is_taken_with_a_higher_token_and_its_late_write_refused(
    store: Observed, tmp_path: Path
) -> None:
    clock = Clock()
    late = Holding(store, Claim(HOLDER, KeptBy.LEASE, 30_000), clock, lambda _: Life.UNASKED)
    late.take([DB])
    clock.now_ms += 30_000
    with GitHubServer() as server:
        next_ = Holding(
            store,
            Claim(Holder("next", actor="next"), KeptBy.LEASE, 30_000),
            clock,
            life_of(on_github(server, tmp_path)),
        )
        server.world.runs[77] = Run(77, status="in_progress")
        with pytest.raises(LockHeld):
            next_.take([DB])
        server.world.runs[77] = Run(77, status="completed")
        next_.take([DB])
    assert (late.token(DB), next_.token(DB)) == (1, 2)
    with pytest.raises(LockLost, match="held by next"):
        late.beat()
    late.close()
    kept = store.inner.read(key_of(DB))
    assert kept is not None and load_lock(kept.content).token == 2
    next_.close()


def test_an_earlier_attempt_of_the_same_run_is_over_without_asking(tmp_path: Path) -> None:
    with GitHubServer() as server:
        assert life_of(on_github(server, tmp_path, run="77", attempt=2))(HOLDER) is Life.OVER
        assert server.requests == []


def test_what_github_does_not_answer_is_not_known(tmp_path: Path) -> None:
    with GitHubServer() as server:
        del server.world.runs[77]
        assert life_of(on_github(server, tmp_path))(HOLDER) is Life.UNKNOWN
        assert life_of(on_github(server, tmp_path, token=False))(HOLDER) is Life.UNKNOWN
        assert life_of(on_github(server, tmp_path))(replace(HOLDER, repository="octo/other")) is Life.UNKNOWN
    assert life_of(context_of(tmp_path, environment()))(HOLDER) is Life.UNKNOWN


def test_holders_outside_github_have_nothing_but_their_lease(tmp_path: Path) -> None:
    assert life_of(context_of(tmp_path, environment()))(Holder("x", provider="gitlab", run="5")) is Life.UNASKED
    assert life_of(context_of(tmp_path, environment()))(Holder("x")) is Life.UNASKED


def test_a_holder_is_written_down_with_what_a_person_needs(store: Observed) -> None:
    clock = Clock()
    holding = leased(store, clock)
    holding.take([DB])
    kept = store.inner.read(key_of(DB))
    assert kept is not None
    assert json.loads(kept.content)["holder"]["actor"] == "me"
    holding.close()
