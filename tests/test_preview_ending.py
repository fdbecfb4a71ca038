"""When the sweeper takes an environment down, and when it leaves it alone."""

from __future__ import annotations

from msgspec.structs import replace

from shipway.environment_record import EnvironmentState, Happening
from shipway.preview_ending import Over, ending
from tests.test_render_previews import HOUR, NOW, READY


def why(record: object, *, is_closed: bool | None = False, now: int = NOW) -> Over | None:
    found = ending(record, now, is_closed=is_closed)  # type: ignore[arg-type]
    return found.why if found else None


def test_case_96_closed_or_past_its_time_is_over_and_a_push_sets_the_time_anew() -> None:
    assert why(READY) is None
    assert why(READY, is_closed=True) is Over.CLOSED
    late = READY.touched_ms + 72 * HOUR
    assert why(READY, now=late - 1) is None
    assert why(READY, now=late) is Over.EXPIRED
    assert why(replace(READY, touched_ms=late - HOUR), now=late) is None
    assert why(replace(READY, ttl_ms=None), now=late * 2) is None
    found = ending(READY, late, is_closed=False)
    assert found is not None and found.said == "removed after 72 h without activity"


def test_case_97_where_nobody_could_be_asked_nothing_counts_as_closed() -> None:
    assert why(READY, is_closed=None) is None
    assert why(READY, is_closed=None, now=NOW + 1000 * HOUR) is Over.EXPIRED, "its time is past whoever answers"


def test_a_down_that_was_not_finished_is_tried_again_and_a_stop_is_left_alone() -> None:
    stuck = replace(READY, state=EnvironmentState.FAILED, stuck={"provisioner/compute": "unreachable"})
    assert why(stuck) is Over.UNFINISHED
    assert why(replace(READY, state=EnvironmentState.FAILED)) is None, "a failed `up` is for people to look at"
    killed = replace(READY, state=EnvironmentState.DESTROYING, history=(Happening(NOW, "down"),))
    assert why(killed) is Over.UNFINISHED
    assert why(replace(killed, history=(Happening(NOW, "stop"),))) is None


def test_what_is_gone_is_over_no_more() -> None:
    gone = replace(READY, state=EnvironmentState.GONE)
    assert why(gone, is_closed=True, now=NOW * 2) is None
