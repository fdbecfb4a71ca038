"""Steps that print more than can be read at once: nothing waits for it, nothing is lost, and a run that is ended need not wait."""

from __future__ import annotations

from pathlib import Path

import pytest

from shipway.action import Command, Verb
from shipway.attempt import Ended
from shipway.attempts import Attempts
from shipway.nodes import Outcome
from shipway.redaction import Redactor
from shipway.transcript import Transcript
from tests.runs import GRACE, environment

MIB = 1 << 20
PRINTED = 12 * MIB
SECRET = "s3cr3t-of-the-flood"


def flooded(directory: Path) -> Attempts:
    """Attempts of which one has printed far too much; that its process has ended was seen, but for that of the attempt."""
    attempts = Attempts(clock_ms=lambda: 0, grace=GRACE, redactor=Redactor({}), directory=directory, threads=1)
    script = f"head -c {PRINTED} /dev/zero | tr '\\0' x"
    attempts.begin_command(
        "main/a", Verb.DO, Command(("sh", "-c", script), directory, environment()), timeout_ms=0, outputs={}
    )
    assert attempts.wait(None) == []
    assert attempts.running() == ["main/a"]
    return attempts


def end_of(attempts: Attempts) -> Ended:
    while not (found := attempts.wait(None)):
        pass
    attempts.close()
    return found[0]


def test_a_flood_is_read_in_parts_between_which_the_loop_turns_and_no_line_is_lost(tmp_path: Path) -> None:
    attempts = flooded(tmp_path)
    assert attempts.wait(None) == [], "that is not all of it yet"
    ended = end_of(attempts)
    assert (ended.outcome, ended.warning) == (Outcome.SUCCEEDED, "")
    assert Path(ended.log).stat().st_size == PRINTED


@pytest.mark.parametrize("is_killed", [False, True])
def test_the_end_of_a_run_does_not_wait_for_a_flood_to_be_read(tmp_path: Path, is_killed: bool) -> None:
    attempts = flooded(tmp_path)
    if is_killed:
        attempts.kill()
    else:
        attempts.stop("main/a", Outcome.CANCELLED)
    [ended] = attempts.wait(None)
    attempts.close()
    assert ended.outcome is Outcome.SUCCEEDED, "it had done all its work"
    assert "the log is not whole" in ended.warning
    assert "of its output were not read: the run was ended" in ended.tail
    assert Path(ended.log).stat().st_size < PRINTED


def test_the_time_of_a_step_is_over_and_its_flood_is_still_read_to_the_end(tmp_path: Path) -> None:
    attempts = flooded(tmp_path)
    attempts.stop("main/a", Outcome.TIMED_OUT)
    ended = end_of(attempts)
    assert (ended.warning, Path(ended.log).stat().st_size) == ("", PRINTED)


def test_no_part_of_a_secret_is_shown_where_reading_was_given_up(tmp_path: Path) -> None:
    transcript = Transcript(str(tmp_path / "raw"), str(tmp_path / "log"), Redactor({"IT": SECRET}))
    with open(transcript.descriptor, "ab", closefd=False) as raw:
        raw.write(b"x" * (MIB - len(SECRET) // 2) + SECRET.encode() + b"y" * MIB)
    transcript.give_up()
    transcript.close()
    shown, _, note = (tmp_path / "log").read_text().partition("\n")
    assert set(shown) == {"x"}
    assert note == "2 MiB of its output were not read: the run was ended\n"
