"""Steps that print more than can be read at once: nothing waits for it, nothing is lost, and a run that is ended need not wait."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from shipway.action import Command, Verb
from shipway.attempt import Ended
from shipway.attempts import Attempts
from shipway.nodes import Outcome
from shipway.redaction import Redactor
from shipway.salvage import salvage
from shipway.transcript import Bounds, Transcript
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


def _printed(transcript: Transcript, content: bytes) -> None:
    with open(transcript.descriptor, "ab", closefd=False) as raw:
        raw.write(content)


def test_what_was_read_is_given_back_to_the_disk_while_a_step_goes_on_printing(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    transcript = Transcript(str(raw), str(tmp_path / "log"), Redactor({}), Bounds(freed=MIB))
    for _ in range(8):
        _printed(transcript, b"x" * MIB)
        transcript.pump()
    told = os.stat(raw)
    assert told.st_size == 8 * MIB
    if sys.platform == "linux":
        assert told.st_blocks * 512 <= MIB
    transcript.close()
    assert (tmp_path / "log").read_bytes() == b"x" * 8 * MIB
    assert transcript.fault == ""


def test_where_a_step_prints_faster_than_can_be_read_what_is_between_is_left_out_and_that_is_said(
    tmp_path: Path,
) -> None:
    raw, log = tmp_path / "raw", tmp_path / "log"
    transcript = Transcript(str(raw), str(log), Redactor({"IT": SECRET}), Bounds(behind=4 * MIB))
    _printed(transcript, b"first\n" + b"x" * (16 * MIB - 64))
    # The end that is read begins amid a line, and amid a secret that is broken into lines.
    rest = f"{SECRET[8:14]}\n{SECRET[14:]}\n".encode()
    _printed(transcript, SECRET[:8].encode() + rest + ((b"y" * 99 + b"\n") * 11_000)[len(rest) - MIB :])
    fresh = transcript.pump()
    assert "MiB of its output were not read: it printed faster than that" in fresh
    _printed(transcript, b"last\n")
    transcript.close()
    text = log.read_text()
    assert text.startswith("first\nx") and text.endswith("y\nlast\n")
    assert not any(part in text for part in (SECRET[:8], SECRET[8:14], SECRET[14:]))
    assert "\n14 MiB of its output were not read: it printed faster than that\n" in text
    assert transcript.fault == "the log is not whole: 14 MiB of its output were not read"


def test_a_log_keeps_so_much_and_says_so_and_the_end_is_known_all_the_same(tmp_path: Path) -> None:
    log = tmp_path / "log"
    transcript = Transcript(str(tmp_path / "raw"), str(log), Redactor({}), Bounds(log=2 * MIB))
    for _ in range(4):
        _printed(transcript, b"x" * MIB)
        transcript.pump()
    _printed(transcript, b"\nit failed here\n")
    transcript.close()
    assert log.read_text().endswith("x\nmore than 2 MiB: what follows is not kept\n")
    assert transcript.tail.endswith("\nit failed here\n")
    assert transcript.fault == "the log is not whole: it is more than 2 MiB"


def test_of_what_a_killed_run_left_the_part_that_was_given_back_is_not_read_again(tmp_path: Path) -> None:
    raw, log = tmp_path / "raw", tmp_path / "log"
    transcript = Transcript(str(raw), str(tmp_path / "other"), Redactor({}), Bounds(freed=MIB))
    _printed(transcript, b"x" * 2 * MIB)
    transcript.pump()
    _printed(transcript, b"the end\n")
    salvage(raw, log, Redactor({}))
    os.close(transcript.descriptor)
    assert log.read_text().lstrip("x") == "the end\n"
    if sys.platform == "linux":
        assert log.read_text() == "the end\n"


@pytest.mark.parametrize("size", [3, 1 << 17], ids=["a few lines", "a lot"])
@pytest.mark.parametrize("before", ["", "line 0\nof an attempt before\nline 0\n"])
def test_what_was_read_before_a_kill_is_not_in_the_log_twice(tmp_path: Path, size: int, before: str) -> None:
    raw, log = tmp_path / "raw", tmp_path / "log"
    log.write_text(before)
    printed = "".join(f"line {number}\n" for number in range(size))
    transcript = Transcript(str(raw), str(log), Redactor({}))
    _printed(transcript, printed.encode())
    transcript.pump()
    _printed(transcript, b"after the kill\n")
    os.close(transcript.descriptor)
    salvage(raw, log, Redactor({}))
    assert log.read_text() == f"{before}{printed}after the kill\n"
    assert not raw.exists()


def test_what_nobody_had_read_before_a_kill_is_added_whole(tmp_path: Path) -> None:
    raw, log = tmp_path / "raw", tmp_path / "log"
    raw.write_text("line 1\nline 2\n")
    log.write_text("of an attempt before\n")
    salvage(raw, log, Redactor({}))
    assert log.read_text() == "of an attempt before\nline 1\nline 2\n"
