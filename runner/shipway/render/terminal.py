"""The one module that prints, but for `workflow`: text for people on a terminal, in a pipe or in a CI log. Decides nothing."""

from __future__ import annotations

import codecs
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from enum import IntEnum
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, TextIO

from shipway.context import Context
from shipway.durations import format_ms
from shipway.events import (
    Event,
    NodeFinished,
    NodeOutput,
    NodeRetrying,
    NodeStarted,
    NodeStillRunning,
    NodeUndone,
    RollbackStarted,
    RunStarted,
    StageReopened,
    Stopping,
)
from shipway.node_ids import readable
from shipway.nodes import DONE, Change, Node, Outcome
from shipway.redaction import Redacted, trusted
from shipway.render.columns import Colour, paint
from shipway.render.foreign import inert, one_line
from shipway.render.progress import Line, laid_out, name_cells, tail_of, tell
from shipway.render.wording import is_compensation, outcome_word

if TYPE_CHECKING:
    from shipway.render.live import LiveView

_CHUNK = 1 << 16
_FINE = frozenset(outcome.value for outcome in DONE)


class Verbosity(IntEnum):
    """How much is told: alarms only, one line per transition, or the whole output of every node as well."""

    QUIET = 0
    NORMAL = 1
    VERBOSE = 2


class Groups(Protocol):
    """What is asked of the log of a CI: `workflow.WorkflowLog` is one. Its groups do not nest."""

    def group(self, title: Redacted) -> AbstractContextManager[None]:
        """Folds what is logged inside."""

    def stopped_commands(self) -> AbstractContextManager[Callable[[Redacted], None]]:
        """Gives a writer for foreign text, in which the runner obeys no command."""


def write(stream: TextIO, text: Redacted) -> None:
    """Write `text` and flush; a character that the stream's encoding lacks becomes `?`. The way everything is printed."""
    if not text.isascii():
        encoding = stream.encoding or "utf-8"
        text = Redacted(text.encode(encoding, "replace").decode(encoding))
    stream.write(text)
    stream.flush()


def standard_output() -> TextIO:
    """Where results go: plans, receipts, documents."""
    return sys.stdout


def standard_error() -> TextIO:
    """Where progress and errors go."""
    return sys.stderr


def terminal_for(context: Context, stream: TextIO, verbosity: Verbosity, workflow: Groups | None = None) -> Terminal:
    """The terminal for `stream` in this context: live only on a capable terminal, and never in CI."""
    is_capable = context.env.get("TERM", "") not in ("", "dumb")
    is_tty = stream.isatty()
    return Terminal(
        stream,
        columns=context.columns,
        is_tty=is_tty and is_capable and context.ci is None,
        colour=is_tty and not context.no_color,
        verbosity=verbosity,
        now_ms=lambda: context.monotonic_ns() // 1_000_000,
        workflow=workflow,
    )


class Terminal:
    """Tells a person what happens: subscribe it to `Events`, `expect` the plan's nodes, `close` it at the end.

    On a terminal finished nodes scroll by above what runs now; elsewhere there is one line for each transition. With
    `workflow`, the log of a CI, a node's whole output stands in a group of its own behind its line; without it VERBOSE
    shows it as a block. Blocks are whole and in order of completion. Failures, undoing and warnings are never folded, and
    QUIET shows nothing else.
    """

    def __init__(
        self,
        stream: TextIO,
        *,
        columns: int,
        is_tty: bool,
        colour: bool,
        verbosity: Verbosity,
        now_ms: Callable[[], int],
        nodes: Iterable[Node] = (),
        workflow: Groups | None = None,
    ) -> None:
        """`now_ms` counts from no known moment. A live view needs `is_tty`, and is not shown where QUIET or in CI."""
        self._stream = stream
        self._columns = columns
        self._colour = colour
        self._verbosity = verbosity
        self._now_ms = now_ms
        self._workflow = workflow
        self._is_live = is_tty and workflow is None and verbosity > Verbosity.QUIET
        self._live: LiveView | None = None
        self._nodes: dict[str, Node] = {}
        self.expect(nodes)

    @property
    def wants_output(self) -> bool:
        """Whether NodeOutput events are shown."""
        return self._is_live

    def expect(self, nodes: Iterable[Node]) -> None:
        """These are the nodes that events will be about."""
        self._nodes = {node.id: node for node in nodes}
        self._name_cells = name_cells(self._nodes, self._columns)

    def write(self, text: str) -> None:
        """Write whole lines of redacted text, as all that events carry is; above the live rows, where there are any."""
        if self._live:
            self._live.write(text)
        else:
            write(self._stream, trusted(text))

    def __call__(self, event: Event) -> None:
        """Show `event`."""
        if self._verbosity is Verbosity.QUIET and _is_never_an_alarm(event):
            return
        self._move(event)
        line = tell(event, self._nodes, is_verbose=self._verbosity is Verbosity.VERBOSE)
        if line and self._is_told(event, line):
            self._write_line(line)
        if isinstance(event, NodeFinished | NodeUndone):
            self._output(event)

    def close(self) -> None:
        """Take the live rows off the screen. May be called more than once."""
        live, self._live = self._live, None
        if live:
            live.close()

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _is_told(self, event: Event, line: Line) -> bool:
        if self._verbosity is Verbosity.QUIET:
            return line.is_alarm
        if isinstance(event, NodeStarted) and self._is_kept(event.node):
            return False  # that it is kept is all there is to say of it
        # What the live rows show anyway.
        return not (self._live and isinstance(event, NodeStarted | NodeStillRunning))

    def _is_kept(self, node: str) -> bool:
        """Whether the plan says that nothing will change at it."""
        return node in self._nodes and self._nodes[node].change is Change.NOOP

    def _move(self, event: Event) -> None:
        """Keep the live rows in step with `event`."""
        if self._is_live and isinstance(event, RunStarted) and not self._live:
            self._live = self._open_live(event)
        if not self._live:
            return
        match event:
            case NodeStarted(node):
                self._live.started(node)
            case NodeOutput(node, text):
                self._live.printed(node, text)
            case NodeRetrying(node):
                self._live.ended(node, counts=False)
            case NodeFinished(node) | NodeUndone(node):
                self._live.ended(node, counts=True)
            case StageReopened(_, nodes):
                self._live.reopened(len(nodes))
            case Stopping(why):
                self._live.noted(f"stopping: {why}")
            case RollbackStarted(nodes):
                self._live.one_by_one(nodes, "rolling back")

    def _open_live(self, event: RunStarted) -> LiveView:
        # Late, since rich takes as long to import as Python to start.
        from shipway.render.live import LiveView

        cells = self._name_cells or name_cells(dict.fromkeys(event.nodes), self._columns)
        return LiveView(
            self._stream,
            columns=self._columns,
            colour=self._colour,
            name_cells=cells,
            total=len(event.nodes),
            now_ms=self._now_ms,
        )

    def _write_line(self, line: Line) -> None:
        text = laid_out(line, name_cells=self._name_cells, columns=self._columns, colour=self._colour)
        self.write((inert(text) if self._workflow else text) + "\n")

    def _output(self, event: NodeFinished | NodeUndone) -> None:
        tail = tail_of(event)
        shows_all = self._workflow is not None or self._verbosity is Verbosity.VERBOSE
        if event.log and shows_all and self._verbosity > Verbosity.QUIET:
            self._whole_log(event)
            if not (tail and self._workflow):
                return
        if tail:
            self._block(tail)

    def _block(self, lines: Iterable[str]) -> None:
        shown = (paint(f"    | {line}", Colour.DIM, self._colour) for line in lines)
        self.write("\n".join(inert(line) if self._workflow else line for line in shown) + "\n")

    def _whole_log(self, event: NodeFinished | NodeUndone) -> None:
        if self._workflow is None:
            for lines in _line_batches(Path(event.log)):
                self._block(lines)
            return
        verb = "undo of " if isinstance(event, NodeUndone) and not is_compensation(event.node) else ""
        ended = f"{outcome_word(Outcome(event.outcome))}, {format_ms(event.duration_ms)}"
        title = f"output of {verb}{one_line(readable(event.node))} ({ended})"
        with self._workflow.group(trusted(title)), self._workflow.stopped_commands() as foreign:
            for piece in _pieces(Path(event.log)):
                foreign(trusted(piece))


def _is_never_an_alarm(event: Event) -> bool:
    """Of what comes for every node, nearly all: not even worth wording where only alarms are told."""
    if isinstance(event, NodeFinished):
        return event.outcome in _FINE
    return isinstance(event, NodeStarted)


def _pieces(log: Path) -> Iterator[str]:
    """The text of a redacted log in pieces of bounded size; where it cannot be read, a sentence that says so."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    try:
        with log.open("rb") as file:
            while chunk := file.read(_CHUNK):
                yield decoder.decode(chunk)
    except OSError as error:
        yield f"(the log cannot be read: {error.strerror})\n"
    yield decoder.decode(b"", final=True)


def _line_batches(log: Path) -> Iterator[list[str]]:
    """The lines of a log, some at a time; a line longer than a piece is broken."""
    rest = ""
    for piece in _pieces(log):
        *lines, rest = (rest + piece).split("\n")
        if len(rest) > _CHUNK:
            lines, rest = [*lines, rest], ""
        if lines:
            yield lines
    if rest:
        yield [rest]
