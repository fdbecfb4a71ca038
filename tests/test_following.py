"""`shipway follow`: what happens in a run of another process, from where a cursor left off; nothing lost, nothing told twice."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from shipway.action import Verb
from shipway.following import Cursor, read_cursor, since
from shipway.nodes import Outcome
from shipway.run_record import Recorded
from tests.runs import Lifeline, begin, call, declare, journal_of, run, stage

RUN = "20260102T030405-a1b2c3"


def tried(sequence: int, at_ms: int = 0) -> Recorded:
    return Recorded(sequence, f"main/n{sequence}", Verb.DO, 1, 1, at_ms)


def pages_with(spans: list[tuple[int, int]]) -> list[dict[int, Recorded]]:
    """A journal as it is read again and again: when each attempt is there, not always in their order, and how long it goes on.

    Two looks fall into one millisecond.
    """
    pages = []
    for look in range(12):
        page = {}
        for sequence, (began, length) in enumerate(spans, 1):
            if began <= look:
                page[sequence] = tried(sequence, began // 2)
            if began + length <= look:
                page[sequence] = replace(page[sequence], ended_ms=(began + length) // 2, outcome=Outcome.SUCCEEDED)
        pages.append(page)
    return pages


histories = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 5)), max_size=8).map(pages_with)


@given(histories)
def test_d079_progress_since_a_cursor_is_told_once_each_also_by_a_process_that_has_only_the_text_of_it(
    pages: list[dict[int, Recorded]],
) -> None:
    cursor, told = Cursor(RUN), list[tuple[int, bool]]()
    for page in pages:
        cursor = read_cursor(str(cursor))  # as another process does
        wanted = [each for each in page.values() if each.sequence > cursor.last or each.sequence in cursor.open]
        moments, cursor = since(cursor, wanted)
        assert [moment.at_ms for moment in moments] == sorted(moment.at_ms for moment in moments)
        told += [(moment.tried.sequence, moment.outcome is not None) for moment in moments]
    everything = [(each, has_ended) for each in pages[-1] for has_ended in (False, True)]
    assert sorted(told) == sorted(everything)
    for each in pages[-1]:
        assert told.index((each, False)) < told.index((each, True))
    assert since(cursor, [])[0] == [] and not cursor.open


@pytest.mark.parametrize("text", ["", "x", f"{RUN}/", f"{RUN}/x", f"{RUN}/1:", f"{RUN}/1:2,", f"{RUN}/1:??2", "a b/1"])
def test_what_is_no_cursor_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is no cursor"):
        read_cursor(text)


def pages_of(root: Path, *arguments: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in call(root, "follow", "--json", *arguments).out.splitlines()]


def test_d079_a_run_of_another_process_is_told_from_where_the_last_call_left_off(tmp_path: Path) -> None:
    ready, go = Lifeline(tmp_path / "ready"), tmp_path / "go"
    steps = f"""
        - {{id: a, run: 'true', undo: 'true'}}
        - {{id: b, run: "exec 9> ready; echo go >&9; while ! test -e {go}; do sleep 0.05; done; exit 3", lasting: false}}
        - {{id: c, run: 'true'}}
    """
    declare(tmp_path, stage(steps, lasting=True))
    process = begin(tmp_path, "run", "--yes")
    ready.wait()
    [first] = pages_of(tmp_path, "--once")
    assert first["status"] == "running"
    assert [(each["node"], each["event"]) for each in first["events"]] == [  # type: ignore[attr-defined]
        ("main/a", "started"),
        ("main/a", "ended"),
        ("main/b", "started"),
    ]
    assert first["counts"] == {"started": 2, "ended": 1, "outcomes": {"succeeded": 1}}
    [nothing] = pages_of(tmp_path, "--once", "--since", str(first["cursor"]))
    assert (nothing["events"], nothing["cursor"]) == ([], first["cursor"])
    follower = begin(tmp_path, "follow", "--json", "--since", str(first["cursor"]))
    go.touch()
    assert process.wait(60) == 1 and follower.wait(60) == 1, "it ends as the run does"
    assert follower.stdout is not None
    rest = [json.loads(line) for line in follower.stdout.read().splitlines()]
    events = [(each["node"], each["verb"], each["event"], each["outcome"]) for page in rest for each in page["events"]]
    assert events[0] == ("main/b", "do", "ended", "failed")
    assert sorted(events[1:]) == [
        ("main/a", "undo", "ended", "undone"),
        ("main/a", "undo", "started", None),
    ]
    assert rest[-1]["status"] == "failed"
    for each in (process, follower):
        each.communicate()


def test_a_run_that_is_over_is_told_at_once_as_lines(tmp_path: Path) -> None:
    run(tmp_path, stage("- {id: a, run: 'true'}\n- {id: b, run: exit 3}"))
    [summary] = journal_of(tmp_path).runs()
    done = call(tmp_path, "follow")
    assert done.exit_code == 1
    lines = [line.split(maxsplit=1)[1] for line in done.out.splitlines()]
    assert lines[0] == "> main/a  started" and lines[2] == "> main/b  started"
    assert lines[1].startswith("✓ main/a  succeeded in ") and lines[3].startswith("✗ main/b  failed in ")
    assert lines[3].endswith(": exit 3")
    assert done.err == f"run {summary.run} ended: failed; go on with --since {summary.run}/2\n"
    again = call(tmp_path, "follow", "--since", f"{summary.run}/1")
    assert [line.split(maxsplit=1)[1] for line in again.out.splitlines()] == lines[2:]


def test_a_run_that_was_killed_is_told_and_said(tmp_path: Path) -> None:
    ready = Lifeline(tmp_path / "ready")
    declare(tmp_path, stage('- {id: a, run: "exec 9> ready; echo go >&9; while :; do sleep 0.05; done"}'))
    process = begin(tmp_path, "run", "--yes")
    ready.wait()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    done = call(tmp_path, "follow")
    assert done.exit_code == 1 and "ended: killed" in done.err
    assert call(tmp_path, "cancel", journal_of(tmp_path).runs()[0].run).exit_code == 0


def test_a_wrong_cursor_or_run_is_refused(tmp_path: Path) -> None:
    assert "no run was begun here yet" in call(tmp_path, "follow").err
    run(tmp_path, stage("- run: 'true'"))
    assert "`--since`: `x` is no cursor" in call(tmp_path, "follow", "--since", "x").err
    assert "the cursor is of run" in call(tmp_path, "follow", "other", "--since", f"{RUN}/1").err
    assert "there is no run" in call(tmp_path, "follow", "--since", f"{RUN}/1").err
