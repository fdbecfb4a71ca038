"""What a person sees while it runs: on a real pseudo-terminal, in a pipe, and in the log of a CI."""

from __future__ import annotations

import codecs
import io
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from fcntl import ioctl
from pathlib import Path

import pytest
from hypothesis import given, settings
from msgspec.structs import replace

from shipway.context import read_context
from shipway.declaration import Retry
from shipway.errors import Position, Problem
from shipway.events import (
    CleanupFailed,
    Event,
    Events,
    NodeFinished,
    NodeOutput,
    NodeRetrying,
    NodeStarted,
    NodeStillRunning,
    NodeUndone,
    PhaseFinished,
    RollbackStarted,
    RunStarted,
    StageFinished,
    Stopping,
    Warned,
)
from shipway.nodes import Node, Outcome
from shipway.redaction import trusted
from shipway.render import terminal
from shipway.render.terminal import Terminal, Verbosity
from shipway.render.workflow import WorkflowLog
from tests.hostile import FRAGMENTS, hostile_text, obeyed
from tests.render_samples import WHERE, mixed_plan
from tests.runs import call, declare
from tests.screen import Screen

NODES = tuple(replace(node, retry=Retry(attempts=3)) for node in mixed_plan().nodes)
TAIL = "health check: 1 of 3\nerror: /healthz answered 503\n"


class Clock:
    """A clock that stands still unless it is moved."""

    def __init__(self) -> None:
        self.now = 1_000

    def __call__(self) -> int:
        return self.now


def plain_terminal(stream: io.StringIO, verbosity: Verbosity = Verbosity.NORMAL, columns: int = 80) -> Terminal:
    return Terminal(
        stream, columns=columns, is_tty=False, colour=False, verbosity=verbosity, now_ms=Clock(), nodes=NODES
    )


def told(*events: Event, verbosity: Verbosity = Verbosity.NORMAL, columns: int = 80) -> str:
    stream = io.StringIO()
    with plain_terminal(stream, verbosity, columns) as view:
        bus = Events(view)
        for event in events:
            bus.emit(event)
        assert bus.faults == []
    return stream.getvalue()


def test_each_transition_is_one_aligned_line() -> None:
    text = told(
        RunStarted("r1", tuple(node.id for node in NODES), 4),
        NodeStarted("build/image", 1, 0),
        NodeStillRunning("build/image", 60_000),
        NodeRetrying("build/image", 1, "exit 3", 2_000),
        NodeStarted("build/image", 2, 0),
        NodeFinished("build/image", "succeeded", 0, 1_200),
        NodeFinished("build/test", "unchanged", 0, 10),
        NodeFinished("release/prune", "blocked", 0, 0, cause="build/image"),
        NodeFinished("report/banner", "not_started", 0, 0),
        NodeFinished("report/status", "skipped", 0, 0, cause="its `if` is false"),
    )
    assert text.splitlines() == [
        "▶ run r1: 11 nodes, up to 4 at once",
        "> build/image           started",
        "… build/image           still running after 1m",
        "↻ build/image           exit 3; retrying in 2s (attempt 2 of 3)",
        "> build/image           started (attempt 2 of 3)",
        "✓ build/image           succeeded in 1.2s",
        "= build/test            unchanged in 10ms",
        "· release/prune         blocked by build/image",
        "· report/banner         not started",
        "- report/status         skipped: its `if` is false",
    ]


def test_a_failed_node_shows_its_last_lines() -> None:
    text = told(NodeFinished("build/image", "failed", 0, 10_000, error="exit 3", exit_code=3, tail=TAIL))
    assert "✗ build/image           failed (exit 3) after 10s\n" in text
    assert "    | health check: 1 of 3\n    | error: /healthz answered 503\n" in text


def test_a_node_that_succeeds_shows_no_output() -> None:
    assert "health" not in told(NodeFinished("build/image", "succeeded", 0, 10, tail=TAIL))


def test_c047_stopping_says_which_nodes_are_ended_and_how_long_that_may_take() -> None:
    text = told(Stopping("interrupted", ("build/image", "build/test"), 4_000), columns=200)
    assert text == "■ stopping, nothing new starts: interrupted; ending build/image, build/test within 4s at most\n"


def test_rollback_cleanup_and_warnings_are_told() -> None:
    where = Position("shipway.yml", 3, 5)
    text = told(
        RollbackStarted(("release/config", "release/migrate")),
        NodeUndone("release/config", "undone", 2_000),
        NodeUndone("release/migrate", "undo_failed", 100, error="exit 1", tail="no route\n"),
        NodeUndone("release/prune", "not_undoable", 0, error="it has no `undo`"),
        CleanupFailed("worktree", "busy"),
        Warned("the limit is never used", Problem("x", where)),
    )
    assert text.splitlines() == [
        "↩ rolling back 2 nodes: release/config, release/migrate",
        "↩ release/config        undone in 2s",
        "✗ release/migrate       undo failed: exit 1",
        "    | no route",
        "! release/prune         cannot be undone: it has no `undo`",
        "! cleanup of worktree failed: busy",
        "! warning: shipway.yml:3:5: the limit is never used",
    ]


def test_quiet_tells_alarms_only() -> None:
    text = told(
        RunStarted("r1", ("a",), 1),
        NodeStarted("build/image", 1, 0),
        NodeFinished("build/test", "succeeded", 0, 5),
        NodeFinished("build/image", "failed", 0, 5, tail="why\n"),
        NodeUndone("release/config", "undone", 5),
        Warned("careful"),
        verbosity=Verbosity.QUIET,
    )
    assert text == "✗ build/image           failed after 5ms\n    | why\n! warning: careful\n"


def test_c045_verbose_shows_each_output_whole_and_in_order_of_completion(tmp_path: Path) -> None:
    events: list[Event] = []
    for node in ("build/image", "build/test", "release/backup", "release/config"):
        log = tmp_path / node.replace("/", "-")
        log.write_text("".join(f"{node} line {number}\n" for number in range(100)), encoding="utf-8")
        events.append(NodeFinished(node, "succeeded", 0, 5, log=str(log)))
    text = told(*events[::-1], verbosity=Verbosity.VERBOSE)
    lines = [line.removeprefix("    | ") for line in text.splitlines() if line.startswith("    | ")]
    wanted = [f"{event.node} line {number}" for event in events[::-1] for number in range(100)]  # type: ignore[union-attr]
    assert lines == wanted


def test_verbose_tells_phases_and_stages() -> None:
    text = told(PhaseFinished("plan", 120), StageFinished("build", "succeeded"), verbosity=Verbosity.VERBOSE)
    assert text == "= phase plan done after 120ms\n= stage build succeeded\n"
    assert told(PhaseFinished("plan", 120), StageFinished("build", "succeeded")) == ""


def test_a_log_that_is_gone_is_said_to_be() -> None:
    text = told(NodeFinished("build/image", "succeeded", 0, 5, log="/nowhere/log"), verbosity=Verbosity.VERBOSE)
    assert "(the log cannot be read: No such file or directory)" in text


@pytest.mark.parametrize("outcome", list(Outcome))
def test_every_outcome_can_be_told(outcome: Outcome) -> None:
    words = {Outcome.NOT_UNDOABLE: "cannot be undone"}
    assert words.get(outcome, outcome.value.replace("_", " ")) in told(NodeFinished("build/image", outcome.value, 0, 5))


@settings(max_examples=60, deadline=None)
@given(hostile_text, hostile_text)
def test_c048_foreign_text_moves_no_cursor(error: str, tail: str) -> None:
    text = told(
        NodeFinished("build/image", "failed", 0, 5, error=error, cause=error, warning=tail, tail=tail),
        Warned(tail),
        Stopping(error, (tail,), 5),
    )
    assert re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text) is None
    assert all(line.startswith(("✗ ", "  ", "! ", "■ ")) for line in text.splitlines())


def test_text_that_the_encoding_lacks_is_written_all_the_same() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    terminal.write(stream, trusted("✓ café\n"))
    assert raw.getvalue() == b"? caf?\n"


# In the log of a CI.


def in_ci(*events: Event) -> str:
    stream = io.StringIO()
    workflow = WorkflowLog({}, stream, lambda count: "ab" * count)
    view = Terminal(
        stream,
        columns=120,
        is_tty=True,
        colour=False,
        verbosity=Verbosity.NORMAL,
        now_ms=Clock(),
        nodes=NODES,
        workflow=workflow,
    )
    with view:
        for event in events:
            view(event)
    return stream.getvalue()


def log_file(folder: Path, text: str) -> str:
    path = folder / "log"
    path.write_bytes(text.encode())
    return str(path)


def test_in_ci_each_whole_log_is_a_group_and_failures_are_outside(tmp_path: Path) -> None:
    log = log_file(tmp_path, "first\n" + TAIL)
    text = in_ci(NodeFinished("build/image", "failed", 0, 10_000, error="exit 3", exit_code=3, tail=TAIL, log=log))
    before, rest = text.split("::group::")
    inside, after = rest.split("::endgroup::")
    assert before == "✗ build/image           failed (exit 3) after 10s\n"
    assert inside.startswith("output of build/image (failed, 10s)\n::stop-commands::")
    assert "first\nhealth check" in inside
    assert after == "\n    | health check: 1 of 3\n    | error: /healthz answered 503\n"


def test_in_ci_there_is_no_live_view_and_no_group_without_output() -> None:
    text = in_ci(RunStarted("r1", ("build/image",), 1), NodeFinished("build/image", "succeeded", 0, 5))
    assert "\x1b" not in text
    assert "::group::" not in text


def test_g090_the_runner_obeys_nothing_that_a_step_printed(tmp_path: Path) -> None:
    traps = "\n".join(
        [*FRAGMENTS, "::set-output name=a::b", "  ::error::x", "x ##[add-mask]y", "::endgroup::", "::shipway-abab::"]
    )
    log = log_file(tmp_path, traps)
    text = in_ci(
        NodeFinished("build/image", "failed", 0, 5, error=traps, cause=traps, warning=traps, tail=traps, log=log),
        NodeUndone("build/image", "undo_failed", 5, error=traps, tail=traps, log=log),
        Warned(traps),
        Stopping(traps, (traps,), 5),
        CleanupFailed(traps, traps),
        NodeRetrying(traps, 1, traps, 5),
    )
    assert obeyed(text) == ["group", "stop-commands", "endgroup", "group", "stop-commands", "endgroup"]


def test_a_long_log_is_read_in_pieces_and_whole(tmp_path: Path) -> None:
    lines = "".join(f"line {number} é\n" for number in range(200_000))
    text = in_ci(NodeFinished("build/image", "succeeded", 0, 5, log=log_file(tmp_path, lines)))
    assert lines in text


# On a terminal.


class Window:
    """A pseudo-terminal with a view on one end and a screen on the other."""

    def __init__(self, columns: int, lines: int = 24) -> None:
        self._master, slave = pty.openpty()
        ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.stream = os.fdopen(slave, "w", encoding="utf-8")
        self.screen = Screen(columns)
        self.clock = Clock()
        self._rest = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self.view = Terminal(
            self.stream,
            columns=columns,
            is_tty=True,
            colour=True,
            verbosity=Verbosity.NORMAL,
            now_ms=self.clock,
            nodes=NODES,
        )

    def until(self, holds: Callable[[list[str]], bool]) -> list[str]:
        """Read what arrives until the screen is as wanted; a whole minute of nothing is a failure."""
        while not (self.screen.lines and holds(self.screen.lines)):
            ready, _, _ = select.select([self._master], [], [], 60)
            assert ready, f"the screen stays:\n{self.screen.lines}"
            self._take(os.read(self._master, 65536))
        return self.screen.lines

    def rest(self) -> list[str]:
        """The screen after all that was written."""
        while select.select([self._master], [], [], 0)[0]:
            self._take(os.read(self._master, 65536))
        return self.screen.lines

    def close(self) -> None:
        self.view.close()
        self.stream.close()
        os.close(self._master)

    def _take(self, piece: bytes) -> None:
        whole = self._rest + self._decoder.decode(piece)
        # A sequence may be cut in two by the read.
        cut = re.search(r"\x1b(\[[?0-9;]*)?$", whole)
        self._rest = whole[cut.start() :] if cut else ""
        self.screen.feed(whole[: cut.start()] if cut else whole)


@pytest.fixture
def window(request: pytest.FixtureRequest) -> Iterator[Window]:
    opened = Window(getattr(request, "param", 80))
    yield opened
    opened.close()


def test_a_terminal_shows_what_runs_with_time_last_line_and_progress(window: Window) -> None:
    window.view(RunStarted("r1", tuple(node.id for node in NODES), 4))
    window.view(NodeStarted("build/image", 1, 0))
    window.view(NodeOutput("build/image", "Step 1\nStep 2 \x1b[31mred\n\n"))
    window.clock.now += 12_300
    lines = window.until(lambda lines: any("12s  Step 2 red" in line for line in lines))
    assert lines[-1] == "  0/11 done · 1 running"
    window.view(NodeFinished("build/image", "succeeded", 0, 12_300))
    lines = window.until(lambda lines: lines[-1] == "  1/11 done · 0 running")
    assert lines == ["▶ run r1: 11 nodes, up to 4 at once", "✓ build/image           succeeded in 12s", lines[-1]]


def test_nothing_is_left_on_the_screen_after_the_end(window: Window) -> None:
    window.view(RunStarted("r1", tuple(node.id for node in NODES), 4))
    window.view(NodeStarted("build/image", 1, 0))
    window.until(lambda lines: lines[-1:] == ["  0/11 done · 1 running"])
    window.view.close()
    assert window.rest() == ["▶ run r1: 11 nodes, up to 4 at once"]
    assert window.screen.is_cursor_shown
    assert window.screen.faults == []
    window.view(NodeFinished("build/image", "cancelled", 0, 5))
    assert window.rest()[-1] == "■ build/image           cancelled after 5ms"


@pytest.mark.parametrize("window", [80, 60, 40, 24], indirect=True)
def test_rows_fit_the_width_of_the_window(window: Window) -> None:
    window.view(RunStarted("r1", tuple(node.id for node in NODES), 4))
    for node in NODES:
        window.view(NodeStarted(node.id, 1, 0))
        window.view(NodeOutput(node.id, "a line of output " * 20 + "\n"))
    window.view(Stopping("interrupted", (), 4_000))
    ticks = tuple("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")
    # A row wider than the window would go on in a row of its own, without a tick, and there would be more of them.
    window.until(lambda lines: [line.startswith(ticks) for line in lines[-12:]] == [True] * 11 + [False])
    window.view.close()
    assert [line for line in window.rest() if "done ·" in line or line.startswith(ticks)] == []


def test_more_running_than_the_window_is_high_are_counted() -> None:
    window = Window(80, lines=8)
    window.view(RunStarted("r1", tuple(node.id for node in NODES), 20))
    for node in NODES:
        window.view(NodeStarted(node.id, 1, 0))
    window.until(lambda lines: "  … and 7 more" in lines and lines[-1] == "  0/11 done · 11 running")
    window.close()


def test_a_rollback_shows_what_is_being_undone(window: Window) -> None:
    window.view(RunStarted("r1", tuple(node.id for node in NODES), 4))
    window.view(RollbackStarted(("release/config", "release/migrate")))
    window.until(lambda lines: "release/config" in lines[-2] and lines[-1] == "  0/2 done · 1 running · rolling back")
    window.view(NodeUndone("release/config", "undone", 5))
    window.until(lambda lines: "release/migrate" in lines[-2] and lines[-1].startswith("  1/2 done"))


def test_only_a_live_view_asks_for_output() -> None:
    assert not plain_terminal(io.StringIO()).wants_output
    window = Window(80)
    assert window.view.wants_output
    window.close()


@pytest.mark.parametrize(("term", "is_live"), [("xterm-256color", True), ("dumb", False), ("", False)])
def test_a_dumb_terminal_gets_lines(term: str, is_live: bool, window: Window) -> None:
    context = replace(read_context(), env={"TERM": term}, ci=None, columns=80)
    view = terminal.terminal_for(context, window.stream, Verbosity.NORMAL)
    assert view.wants_output is is_live
    view.close()


def test_rich_is_loaded_by_a_live_view_only() -> None:
    program = "import sys, shipway.render.terminal; print({'rich', 'jinja2', 'actions_toolkit'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_nodes_that_were_not_expected_are_shown_too() -> None:
    stream = io.StringIO()
    view = Terminal(stream, columns=80, is_tty=False, colour=False, verbosity=Verbosity.NORMAL, now_ms=Clock())
    view(NodeStarted("a/b", 2, 0))
    view.expect([Node("a/b", "a", "shell.exec", WHERE)])
    view(NodeFinished("a/b", "succeeded", 0, 5))
    assert stream.getvalue() == "> a/b  started (attempt 2)\n✓ a/b  succeeded in 5ms\n"


def test_the_log_and_the_table_say_the_same_of_how_long_the_attempts_of_a_node_took(tmp_path: Path) -> None:
    tried = "{id: a, run: test -e mended, retry: {attempts: 2, initial: 20ms, backoff: constant}}"
    declare(tmp_path, f"defaults: {{rollback: none}}\nsteps: [{tried}, {{id: b, run: test -e mended}}]\n")
    failed = call(tmp_path, "run", "--yes")
    (tmp_path / "mended").touch()
    done = call(tmp_path, "resume")
    for ran, attempts, words in ((failed, 2, "failed (exit 1) after"), (done, 3, "succeeded in")):
        (logged,) = re.findall(rf"main/a +{re.escape(words)} (\S+) in {attempts} attempts\n", ran.out + ran.err)
        assert re.findall(rf" a  .*{attempts} attempts +(\S+)\n", ran.out) == [logged]
    assert re.search(r"main/b +succeeded(?: in \S+)?\n", done.out + done.err), "of one attempt nothing is counted"


def test_of_attempts_before_a_resume_none_counts_among_those_that_there_may_be(tmp_path: Path) -> None:
    killing = "test -e told || { touch told; kill -9 $PPID; }; exit 1"
    step = f"{{id: a, lasting: false, run: '{killing}', retry: {{attempts: 2, initial: 1ms}}}}"
    declare(tmp_path, f"defaults: {{rollback: none}}\nsteps: [{step}]\n")
    assert call(tmp_path, "run", "--yes").exit_code == -9
    for first in (2, 4):
        said = call(tmp_path, "resume").out
        assert f"main/a  started (attempt {first} of {first + 1})" in said
        assert f"retrying in 1ms (attempt {first + 1} of {first + 1})" in said
        assert f"main/a  started (attempt {first + 1} of {first + 1})" in said
