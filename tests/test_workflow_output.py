"""What the runner is told cannot be bent by the values in it."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipway.errors import Reason, UnreachableError, UsageError
from shipway.redaction import trusted
from shipway.render.workflow import SUMMARY_BYTES_MAX, Level, WorkflowLog

HOSTILE = "100%\r\n::error::x, y: z"


def log_to(folder: Path, **files: str) -> tuple[WorkflowLog, io.StringIO]:
    stream = io.StringIO()
    env = {}
    for name, content in files.items():
        path = folder / name
        path.write_text(content, "utf-8")
        env[name] = str(path)
    return WorkflowLog(env, stream, lambda count: "0f" * count), stream


def read_outputs(text: str) -> dict[str, str]:
    """The outputs as the runner reads them: `name<<delimiter`, lines, the delimiter alone on a line."""
    found: dict[str, str] = {}
    lines = text.split("\n")
    while lines and lines != [""]:
        name, _, delimiter = lines.pop(0).partition("<<")
        end = lines.index(delimiter)
        found[name], lines = "\n".join(lines[:end]), lines[end + 1 :]
    return found


VALUES = st.text(st.characters(codec="utf-8"), max_size=60) | st.sampled_from(
    ["x\ny<<z\nEOF", "ghadelimiter_0\nb=c", "a<<ghadelimiter_1\nx\nghadelimiter_1\n", "\n", ""]
)


@given(st.lists(st.tuples(st.sampled_from(["plan", "exit-code", "_x"]), VALUES), min_size=1, max_size=4))
def test_case_57_values_are_written_whole_and_no_second_output_appears(
    tmp_path_factory: pytest.TempPathFactory, pairs: list[tuple[str, str]]
) -> None:
    log, stream = log_to(tmp_path_factory.mktemp("run"), GITHUB_OUTPUT="")
    for name, value in pairs:
        log.set_output(name, trusted(value))
    written = Path(log.env["GITHUB_OUTPUT"]).read_bytes().decode("utf-8")
    assert read_outputs(written) == dict(pairs)
    assert stream.getvalue() == ""


def test_case_57_each_value_has_its_own_delimiter(tmp_path: Path) -> None:
    log, _ = log_to(tmp_path, GITHUB_OUTPUT="")
    for _ in range(3):
        log.set_output("plan", trusted("x"))
    delimiters = re.findall(r"^plan<<(\S+)$", Path(log.env["GITHUB_OUTPUT"]).read_text("utf-8"), re.MULTILINE)
    assert len(set(delimiters)) == 3


@pytest.mark.parametrize("name", ["", "a\nb=c", "a<<b", "a=b", "1a", "a b", "é"])
def test_case_57_a_name_that_could_begin_another_output_is_refused(tmp_path: Path, name: str) -> None:
    log, _ = log_to(tmp_path, GITHUB_OUTPUT="")
    with pytest.raises(UsageError, match="name of an output"):
        log.set_output(name, trusted("x"))
    assert Path(log.env["GITHUB_OUTPUT"]).read_text("utf-8") == ""


@pytest.mark.parametrize("path", ["", "/nowhere/output"])
def test_a_missing_output_file_is_named_and_no_dead_command_is_printed(path: str) -> None:
    stream = io.StringIO()
    log = WorkflowLog({"GITHUB_OUTPUT": path}, stream, lambda count: "0f" * count)
    with pytest.raises(UnreachableError, match="GITHUB_OUTPUT") as caught:
        log.set_output("plan", trusted("x"))
    assert caught.value.reason is Reason.UNWRITABLE
    assert stream.getvalue() == ""


def test_the_summary_is_appended_and_kept_below_its_limit(tmp_path: Path) -> None:
    log, _ = log_to(tmp_path, GITHUB_STEP_SUMMARY="before\n")
    log.write_summary(trusted("### Plan"))
    path = Path(log.env["GITHUB_STEP_SUMMARY"])
    assert path.read_text("utf-8") == "before\n### Plan\n"
    room = log.summary_room()
    with pytest.raises(UnreachableError, match="has room for"):
        log.write_summary(trusted("x" * (room + 1)))
    log.write_summary(trusted("é" * (room // 2)))
    assert path.stat().st_size <= SUMMARY_BYTES_MAX


def test_an_annotation_has_only_the_places_that_are_known(tmp_path: Path) -> None:
    log, stream = log_to(tmp_path)
    log.annotate(Level.ERROR, trusted("bad"), file="a.py", line=3)
    log.annotate(Level.WARNING, trusted("bad"))
    assert stream.getvalue() == "::error file=a.py,line=3::bad\n::warning::bad\n"


def test_annotations_escape_what_would_end_them(tmp_path: Path) -> None:
    log, stream = log_to(tmp_path)
    log.annotate(Level.NOTICE, trusted(HOSTILE), file=HOSTILE, title=HOSTILE, line=1, end_line=2, column=3)
    escaped = "100%25%0D%0A%3A%3Aerror%3A%3Ax%2C y%3A z"
    assert stream.getvalue() == (
        f"::notice title={escaped},file={escaped},line=1,endLine=2,col=3::100%25%0D%0A::error::x, y: z\n"
    )


@given(st.text(st.characters(codec="utf-8")), st.text(st.characters(codec="utf-8")))
def test_case_59_no_value_adds_a_line_to_the_log(message: str, title: str) -> None:
    stream = io.StringIO(newline="")
    log = WorkflowLog({}, stream, lambda count: "0f" * count)
    log.annotate(Level.ERROR, trusted(message), title=title)
    with log.group(trusted(title)):
        pass
    assert re.split(r"\r\n|\r|\n", stream.getvalue())[3:] == [""]


def test_each_line_of_a_secret_is_masked_by_itself(tmp_path: Path) -> None:
    log, stream = log_to(tmp_path)
    log.mask("first line\r\nsecond 100%\n\n}\n")
    assert stream.getvalue() == "::add-mask::first line\n::add-mask::second 100%25\n"


def test_case_3_foreign_text_stands_between_marks_with_a_random_word(tmp_path: Path) -> None:
    log, stream = log_to(tmp_path)
    with log.stopped_commands() as write:
        write(trusted("::set-output name=a::b\n"))
        write(trusted("::add-mask::x"))
        write(trusted(""))
    word = f"shipway-{'0f' * 16}"
    assert stream.getvalue() == (f"::stop-commands::{word}\n::set-output name=a::b\n::add-mask::x\n::{word}::\n")


def test_case_3_the_marks_are_closed_when_the_text_fails(tmp_path: Path) -> None:
    log, stream = log_to(tmp_path)
    with pytest.raises(RuntimeError), log.stopped_commands():
        raise RuntimeError
    assert stream.getvalue().endswith(f"::shipway-{'0f' * 16}::\n")


def test_a_stream_that_lacks_a_character_shows_another(tmp_path: Path) -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    WorkflowLog({}, stream, lambda count: "0f" * count).annotate(Level.NOTICE, trusted("plan \u2192 prod \ud800"))
    assert raw.getvalue() == b"::notice::plan ? prod ?\n"
