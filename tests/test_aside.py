"""Shows that what is done aside has a thread of its own, hands back what comes of it, and lets signals be heard meanwhile."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from shipway.aside import ASIDE, aside


def test_it_is_done_on_a_thread_of_its_own_and_hands_back_what_comes_of_it() -> None:
    assert aside(lambda: threading.current_thread().name) == ASIDE
    assert ASIDE not in [thread.name for thread in threading.enumerate()]


def test_what_it_raises_is_raised_to_whoever_asked() -> None:
    def fail() -> None:
        raise KeyError("lost")

    with pytest.raises(KeyError, match="lost"):
        aside(fail)


def test_a_signal_is_handled_while_it_is_waited_for() -> None:
    heard = threading.Event()
    handlers: list[threading.Thread] = []

    def handle(number: int, frame: object) -> None:
        handlers.append(threading.current_thread())
        heard.set()

    def work() -> bool:
        os.kill(os.getpid(), signal.SIGUSR1)
        return heard.wait(30)

    before = signal.signal(signal.SIGUSR1, handle)
    try:
        assert aside(work)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert handlers == [threading.main_thread()]


def test_a_signal_that_another_thread_is_given_is_handled_as_well() -> None:
    heard = threading.Event()
    before = signal.signal(signal.SIGUSR1, lambda number, frame: heard.set())

    def work() -> bool:
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)
        return heard.wait(30)

    try:
        assert aside(work)
    finally:
        signal.signal(signal.SIGUSR1, before)
