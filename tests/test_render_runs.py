"""The list of runs as text."""

from __future__ import annotations

from shipway.render.runs import RunRow, render_runs

ROW = RunRow("20261122T144232-26c751", "shop", "prod", "failed, not undone", "2026-11-22 14:42:32Z", "1m12s")


def test_where_there_is_room_every_column_is_shown() -> None:
    assert "2026-11-22 14:42:32Z  1m12s" in render_runs([ROW], colour=False, columns=120)


def test_at_eighty_columns_nothing_is_cut_and_the_id_says_when_it_began() -> None:
    head, row = render_runs([ROW], colour=False, columns=80).splitlines()
    assert head.split() == ["RUN", "LIFECYCLE", "TARGET", "STANDING", "TOOK"]
    assert row.endswith("failed, not undone  1m12s")
    assert max(len(head), len(row)) <= 80


def test_without_a_run_there_is_no_line() -> None:
    assert render_runs([], colour=False, columns=80) == ""
