"""Shows when things ran, as bars: within the columns, without colour, in plain ASCII, whatever the names are."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from shipway.nodes import Outcome
from shipway.receipt import Attempt, NodeResult, Pause, Receipt, RollbackEntry
from shipway.receipt_file import load_receipt
from shipway.render.blocks import Links
from shipway.render.columns import NARROWEST, width
from shipway.render.receipt_comment import receipt_comment
from shipway.render.receipt_text import render_receipt
from shipway.render.timeline import ASCII, UNICODE, Marks, marks_for, render_timeline
from tests.hostile import hostile_receipts, obeyed
from tests.render_samples import good_receipt, mixed_plan
from tests.runs import call, declare

quick = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


def node(
    name: str, *spans: tuple[int, int], ready: int | None = None, outcome: Outcome = Outcome.SUCCEEDED
) -> NodeResult:
    tries = tuple(Attempt(number, outcome, *span) for number, span in enumerate(spans, 1))
    return NodeResult(name, outcome, tries, ready, spans[0][0], spans[-1][1])


def receipt() -> Receipt:
    return replace(
        good_receipt(),
        nodes=(
            node("build/image", (0, 20_000)),
            node("build/docs", (20_000, 30_000), ready=0),
            node("release/migrate", (30_000, 35_000), (45_000, 60_000)),
            node("release/rollout", (60_000, 62_000), outcome=Outcome.FAILED),
            NodeResult("release/smoke", Outcome.BLOCKED, cause="release/rollout"),
        ),
        rollback=(RollbackEntry("release/migrate", "release", Outcome.UNDONE, 62_000, 80_000),),
        critical_path=("build/image", "release/migrate", "release/rollout"),
        critical_path_ms=52_000,
        duration_ms=80_000,
    )


def test_bars_stand_where_things_ran_and_dots_where_they_waited() -> None:
    assert render_timeline(receipt(), UNICODE, colour=False, columns=80).split("\n") == [
        "",
        "timeline",
        "✓ build/image           ████████████                                        20s",
        "✓ build/docs            ············▒▒▒▒▒▒                                  10s",
        "✓ release/migrate                         ███······█████████                20s",
        "✗ release/rollout                                           ██               2s",
        "↩ undo release/migrate                                       ◂◂◂◂◂◂◂◂◂◂◂    18s",
        "                        0                       40s                1m20s",
        "  █ the longest path, 52s of 1m20s",
        "",
    ]


def test_a_pause_before_it_was_gone_on_with_takes_no_place() -> None:
    later = 3_600_000
    spans = {"release/migrate": [(30_000, 35_000), (later + 45_000, later + 60_000)]}
    spans |= {"release/rollout": [(later + 60_000, later + 62_000)]}
    paused = replace(
        receipt(),
        nodes=tuple(
            node(each.node, *spans[each.node], outcome=each.outcome) if each.node in spans else each
            for each in receipt().nodes
        ),
        rollback=(RollbackEntry("release/migrate", "release", Outcome.UNDONE, later + 62_000, later + 80_000),),
        duration_ms=later + 80_000,
        pauses=(Pause(40_000, later + 40_000),),
    )
    told = render_timeline(paused, UNICODE, colour=False, columns=80)
    assert (
        told == render_timeline(receipt(), UNICODE, colour=False, columns=80) + "  paused for 1h, which is left out\n"
    )
    assert "took 1m20s, paused for 1h" in render_receipt(paused, mixed_plan(), colour=False, columns=100)
    assert "took 1m20s, paused for 1h" in receipt_comment(paused, mixed_plan(), budget=60_000, links=Links())
    assert load_receipt(paused.content, lambda data: None).pauses == paused.pauses


def test_plain_ascii_says_the_same() -> None:
    text = render_timeline(receipt(), ASCII, colour=False, columns=80)
    assert text.isascii()
    assert text.split("\n")[2:7] == [
        "  build/image           ############                                        20s",
        "  build/docs            ............======                                  10s",
        "  release/migrate                         ###......#########                20s",
        "x release/rollout                                           ##               2s",
        "! undo release/migrate                                       <<<<<<<<<<<    18s",
    ]


def test_colour_adds_nothing_but_colour() -> None:
    import re

    coloured = render_timeline(receipt(), UNICODE, colour=True, columns=80)
    plain = render_timeline(receipt(), UNICODE, colour=False, columns=80)
    stripped = "\n".join(line.rstrip() for line in re.sub(r"\x1b\[[0-9;]*m", "", coloured).split("\n"))
    assert stripped == plain and "\x1b[32m" in coloured and "\x1b[31m" in coloured


def test_of_very_many_those_that_matter_are_shown() -> None:
    many = tuple(node(f"s/n{number}", (number, number + 1 + number % 7)) for number in range(500))
    crowded = replace(receipt(), nodes=many, rollback=(), critical_path=("s/n0",))
    lines = render_timeline(crowded, UNICODE, colour=False, columns=80).split("\n")
    assert "✓ s/n0  " in lines[2] and len(lines) == 46
    assert "  and 460 shorter ones" in lines


def test_nothing_is_drawn_where_nothing_ran() -> None:
    nothing = replace(receipt(), nodes=(NodeResult("a/b", Outcome.SKIPPED),), rollback=(), critical_path=())
    assert render_timeline(nothing, UNICODE, colour=False, columns=80) == ""


@quick
@given(hostile_receipts(mixed_plan()), st.integers(NARROWEST, 120), st.sampled_from((UNICODE, ASCII)))
def test_no_receipt_writes_beyond_its_columns_or_controls_the_terminal(
    found: Receipt, columns: int, marks: Marks
) -> None:
    text = render_timeline(found, marks, colour=False, columns=columns)
    assert obeyed(text) == []
    assert [line for line in text.split("\n") if width(line) > columns] == []


@pytest.mark.parametrize(
    ("encoding", "locale", "term", "marks"),
    [
        ("utf-8", "", "xterm", UNICODE),
        ("utf-8", "en_US.UTF-8", "", UNICODE),
        ("utf-8", "C.utf8", "xterm", UNICODE),
        ("utf-8", "C", "xterm", ASCII),
        ("utf-8", "POSIX", "xterm", ASCII),
        ("ascii", "", "xterm", ASCII),
        ("utf-8", "en_US.UTF-8", "dumb", ASCII),
    ],
)
def test_blocks_are_drawn_where_they_can_be_seen(encoding: str, locale: str, term: str, marks: Marks) -> None:
    assert marks_for(encoding, locale, term) is marks


def test_show_draws_the_timeline_of_a_run(tmp_path: Path) -> None:
    declare(tmp_path, "steps: [{id: a, run: 'true'}, {id: b, run: 'true'}]\n")
    assert call(tmp_path, "run", "--yes").exit_code == 0
    shown = call(tmp_path, "show", env={"LC_ALL": "C.UTF-8"})
    assert "\ntimeline\n✓ main/a  " in shown.out and "█ the longest path" in shown.out, shown
    plain = call(tmp_path, "show", env={"LC_ALL": "C"})
    assert "█" not in plain.out and "# the longest path" in plain.out, plain
    assert "timeline" not in call(tmp_path, "show", "--json").out
