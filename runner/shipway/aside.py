"""Carries work out on a thread of its own, while the one that asks for it does nothing but handle signals."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from shipway.process import Waiter

ASIDE = "aside"
"""What the thread is called."""

_Made = TypeVar("_Made")


def aside(work: Callable[[], _Made]) -> _Made:
    """What `work` returns or raises; it begins on a thread without a past.

    Linux starts a child beside the thread that asks for it, or, where that one seems to need a processor for itself, on
    another one. It goes by the estimate of how busy the thread is, and where that has computed for long, as
    whoever read and planned has, the estimate stays high for good: then every child waits behind the one that
    runs already, beside an idle processor. With two at a time that is a fifth of the time of short steps.
    Source: `util_est_update` and `sched_balance_find_dst_group` in kernel/sched/fair.c.
    """
    waiter = Waiter()  # made here: it hears of signals whichever thread the system hands them to
    made: list[_Made] = []
    raised: list[BaseException] = []
    is_over = threading.Event()

    def carry_out() -> None:
        try:
            made.append(work())
        except BaseException as error:  # noqa: BLE001 - raised again below, where somebody waits for it
            raised.append(error)
        is_over.set()
        waiter.wake()

    thread = threading.Thread(target=carry_out, name=ASIDE, daemon=True)
    thread.start()
    try:
        while not is_over.is_set():
            waiter.wait(None)
        thread.join()
    finally:
        waiter.close()
    if raised:
        raise raised[0]
    return made[0]
