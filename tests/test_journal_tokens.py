"""Shows that the tokens of limits outlive runs and are shared by all of them, whatever the clock does."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from shipway.errors import UnreachableError
from shipway.events import Event, RunWaiting, StageStarted
from shipway.interruption import Interruption
from shipway.journal_schema import MIGRATIONS, opened
from shipway.journal_tokens import JournalTokens
from shipway.limits import Rate
from shipway.pace import Standing
from tests.runs import Setting, run, stage

SLOW = Rate(1, 1000)


def tokens_of(root: Path, now: int, lifecycle: str = "shop") -> JournalTokens:
    return JournalTokens(root / "journal.sqlite", lifecycle, lambda: now)


def claim(root: Path, now: int, rate: Rate = SLOW, lifecycle: str = "shop") -> bool:
    """Whether a token was given, by a store that is opened for this and closed again."""
    tokens = tokens_of(root, now, lifecycle)
    granted, _ = tokens.claim({"l": rate})
    tokens.close()
    return granted


def test_d038_a_token_that_was_taken_is_gone_after_the_store_was_closed(tmp_path: Path) -> None:
    assert [claim(tmp_path, now) for now in (0, 0, 999, 1000, 1000)] == [True, False, False, True, False]


def test_d038_a_clock_that_steps_back_adds_nothing(tmp_path: Path) -> None:
    assert [claim(tmp_path, now) for now in (9000, 0, 500, 999, 1000)] == [True, False, False, False, True]


def test_lifecycles_do_not_share_what_only_has_the_same_name(tmp_path: Path) -> None:
    assert claim(tmp_path, 0) and claim(tmp_path, 0, lifecycle="other") and not claim(tmp_path, 0)


def test_a_rate_that_was_changed_goes_on_with_what_was_left(tmp_path: Path) -> None:
    fast = Rate(2, 1000, 4)
    assert [claim(tmp_path, 0, fast) for _ in range(3)] == [True] * 3
    assert [claim(tmp_path, 0, Rate(1, 60_000, 4)) for _ in range(2)] == [True, False]
    assert claim(tmp_path, 60_000, Rate(1, 60_000, 4))


def test_of_several_limits_all_give_a_token_or_none(tmp_path: Path) -> None:
    tokens = tokens_of(tmp_path, 0)
    rates = {"a": Rate(1, 1000, 2), "b": SLOW}
    assert tokens.claim(rates) == (True, {"a": Standing(1000), "b": Standing(0)})
    assert tokens.claim(rates) == (False, {"a": Standing(1000), "b": Standing(0)})
    assert tokens.look({**rates, "c": None}) == {"a": Standing(1000), "b": Standing(0), "c": Standing(None)}
    tokens.close()


def test_d043_a_pause_holds_for_all_runs_and_only_grows(tmp_path: Path) -> None:
    tokens = tokens_of(tmp_path, 1000)
    tokens.rest(("l", "m"), 7000)
    tokens.rest(("l",), 3000)
    assert tokens.look({"l": SLOW, "m": None}) == {"l": Standing(1000, 7000), "m": Standing(None, 7000)}
    assert not claim(tmp_path, 7999) and claim(tmp_path, 8000)
    tokens.close()
    # However far the clock is set back, nobody rests longer than was asked for.
    assert tokens_of(tmp_path, -1_000_000).look({"m": None}) == {"m": Standing(None, 7000)}


def test_processes_that_claim_at_once_never_get_one_token_twice(tmp_path: Path) -> None:
    opened(tmp_path / "journal.sqlite").close()
    script = (
        "import sys; from pathlib import Path; from shipway.journal_tokens import JournalTokens;"
        " from shipway.limits import Rate; tokens = JournalTokens(Path(sys.argv[1]), 'shop', lambda: 0);"
        " print(sum(tokens.claim({'l': Rate(1, 1000, 60)})[0] for _ in range(30)))"
    )
    argv = [sys.executable, "-I", "-c", script, str(tmp_path / "journal.sqlite")]
    processes = [subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) for _ in range(6)]
    assert sum(int(process.communicate(timeout=60)[0]) for process in processes) == 60


def test_a_journal_of_the_schema_before_gets_the_table(tmp_path: Path) -> None:
    opened(tmp_path / "journal.sqlite", MIGRATIONS[:1]).close()
    assert claim(tmp_path, 0) and not claim(tmp_path, 0)


def test_tokens_that_cannot_be_kept_are_not_given(tmp_path: Path) -> None:
    (tmp_path / "journal.sqlite").mkdir()
    with pytest.raises(UnreachableError, match="cannot use the journal"):
        claim(tmp_path, 0)


def test_the_next_run_waits_for_the_tokens_that_the_last_one_took(tmp_path: Path) -> None:
    text = stage("a: {run: 'true', limits: [l]}", more="limits: {l: {rate: 1/24h}}")
    assert run(tmp_path, text).outcomes == {"a": "succeeded"}
    assert waits_in(tmp_path, text) == ["rate of limit l"]


def test_the_next_run_rests_where_the_last_one_was_told_to_slow_down(tmp_path: Path) -> None:
    told = 'echo 3600 > "$SHIPWAY_RETRY_AFTER"; exit 1'
    text = stage(f"a: {{run: '{told}', limits: [l]}}", more="limits: {l: {}}")
    assert run(tmp_path, text).outcomes == {"a": "failed"}
    assert waits_in(tmp_path, text) == ["pause of limit l"]


def test_where_tokens_cannot_be_had_any_more_nothing_that_was_about_to_start_counts_as_begun(tmp_path: Path) -> None:
    def break_the_store(event: Event) -> None:
        if isinstance(event, StageStarted):
            with closing(sqlite3.connect(tmp_path / ".shipway/journal.sqlite")) as connection:
                connection.execute("DROP TABLE pace")

    steps = "\n".join(f"{name}: {{run: touch {name}, undo: touch undone, limits: [l]}}" for name in "ab")
    text = stage(steps, lasting=True, more="limits: {l: {parallel: 2, rate: 9/s, burst: 9}}")
    ran = run(tmp_path, text, Setting(subscribers=[break_the_store]))
    assert ran.outcomes == {"a": "not_started", "b": "not_started"}
    assert "cannot use the journal" in ran.error.message
    assert not [name for name in ("a", "b", "undone") if (tmp_path / name).exists()]


def waits_in(root: Path, text: str) -> list[str]:
    """What the next run waits for; once it has said so it is stopped, with nothing started."""
    interruption = Interruption()

    def stop(event: Event) -> None:
        if isinstance(event, RunWaiting):
            interruption.strike()

    ran = run(root, text, Setting(interruption=interruption, subscribers=[stop]))
    assert ran.outcomes == {"a": "not_started"}
    return [event.why for event in ran.events if isinstance(event, RunWaiting)]
