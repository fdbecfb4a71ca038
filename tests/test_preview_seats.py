"""How many environments there may be: never one more, however many ups begin at once, and none less for long."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Barrier, Thread

from shipway.environment_record import EnvironmentRecord, EnvironmentState
from shipway.environments import Environments
from shipway.preview_seats import GRACE_MS, Seats
from shipway.stores.local_files import LocalFiles


def _record(store: LocalFiles, target: str, state: EnvironmentState = EnvironmentState.READY) -> None:
    Environments(store, "shop").change(target, lambda before: EnvironmentRecord("shop", target, state))


def _seats(store: LocalFiles, now_ms: Callable[[], int] = lambda: 1_000) -> Seats:
    return Seats(store, "shop", now_ms)


def test_case_99_of_twenty_that_ask_at_once_no_more_than_the_quota_have_a_seat(tmp_path: Path) -> None:
    """None of them is recorded yet when the next one counts."""
    barrier, seated = Barrier(20), []

    def ask(target: str) -> None:
        seats = _seats(LocalFiles(tmp_path))
        barrier.wait()
        if not seats.take(target, 3):
            seated.append(target)

    threads = [Thread(target=ask, args=[f"pr-{number}"]) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seated) == 3


def test_one_that_lives_keeps_its_seat_and_one_that_is_gone_gives_it_back(tmp_path: Path) -> None:
    store = LocalFiles(tmp_path)
    _record(store, "pr-1")
    assert _seats(store).take("pr-2", 1) == ("pr-1",), "it lives, and was never seated"
    assert _seats(store).take("pr-1", 1) == (), "its own seat"
    _record(store, "pr-1", EnvironmentState.GONE)
    _seats(store).give_back("pr-1")
    assert _seats(store).take("pr-2", 1) == ()
    assert _seats(store).take("pr-1", 1) == ("pr-2",)


def test_a_seat_of_a_run_that_was_killed_before_it_was_recorded_is_free_again(tmp_path: Path) -> None:
    store = LocalFiles(tmp_path)
    assert _seats(store).take("pr-1", 1) == ()
    assert _seats(store, lambda: 1_000 + GRACE_MS - 1).take("pr-2", 1) == ("pr-1",)
    assert _seats(store, lambda: 1_000 + GRACE_MS).take("pr-2", 1) == ()
