"""How many environments there may be: never one more, however many ups begin at once, and none less for long."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from shipway.environment_record import EnvironmentRecord, EnvironmentState
from shipway.environments import Environments
from shipway.preview_seats import GRACE_MS, Seats
from shipway.stores.local_files import LocalFiles


def _record(store: LocalFiles, target: str, state: EnvironmentState = EnvironmentState.READY) -> None:
    Environments(store, "shop").change(target, lambda before: EnvironmentRecord("shop", target, state))


def _seats(store: LocalFiles, now_ms: Callable[[], int] = lambda: 1_000) -> Seats:
    return Seats(store, "shop", now_ms)


class _Overtaken(LocalFiles):
    """A store in which somebody else is always faster: `first` is called before the first replacement."""

    def __init__(self, folder: Path, first: Callable[[], object]) -> None:
        super().__init__(folder)
        self._first = first

    def swap(self, key: str, before: str | None, content: bytes) -> str | None:
        """What the other one does, then the replacement."""
        first, self._first = self._first, lambda: None
        first()
        return super().swap(key, before, content)


def test_case_99_of_two_that_ask_at_once_one_has_the_last_seat(tmp_path: Path) -> None:
    """Neither is recorded yet when the other one counts."""
    store = _Overtaken(tmp_path, lambda: _seats(LocalFiles(tmp_path)).take("pr-1", 1))
    assert _seats(store).take("pr-2", 1) == ("pr-1",)
    assert _seats(LocalFiles(tmp_path)).take("pr-3", 1) == ("pr-1",)


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
