"""The moving part of a terminal: what runs now, for how long, and its last line. Leaves nothing behind; decides nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from threading import Lock
from typing import TextIO

from msgspec import Struct
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from shipway.durations import format_ms
from shipway.node_ids import readable
from shipway.render.columns import cut, pad, width
from shipway.render.foreign import one_line
from shipway.render.progress import cut_front

_TICKS = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_TICK_MS = 125
_KEPT_ROWS = 4
"""Rows of the screen that are never taken: the footer, and some of what scrolled by."""


class _Running(Struct):
    since_ms: int
    last: str = ""


class LiveView:
    """Rows for what runs now, under everything written so far. Used from one thread; a second one redraws it.

    `write` puts text above the rows. After `close` nothing of them is left on the screen.
    """

    def __init__(
        self, stream: TextIO, *, columns: int, colour: bool, name_cells: int, total: int, now_ms: Callable[[], int]
    ) -> None:
        self._stream = stream
        self._columns = columns
        self._name_cells = name_cells
        self._total = total
        self._now_ms = now_ms
        self._lock = Lock()
        self._running: dict[str, _Running] = {}
        self._finished = 0
        self._note = ""
        self._queue: list[str] = []
        # An empty environment, since only `context` reads the real one.
        self._console = Console(
            file=stream,
            force_terminal=True,
            color_system="standard" if colour else None,
            width=columns,
            highlight=False,
            markup=False,
            _environ={},
        )
        self._live = Live(
            console=self._console,
            transient=True,
            auto_refresh=True,
            refresh_per_second=1000 / _TICK_MS,
            get_renderable=self._rows,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start()

    def write(self, text: str) -> None:
        """Write whole lines above the rows; `text` may hold our own colours and ends with a line end."""
        self._console.print(Text.from_ansi(text.removesuffix("\n")), soft_wrap=True)

    def started(self, node: str) -> None:
        """`node` runs from now on."""
        with self._lock:
            self._running[node] = _Running(self._now_ms())

    def printed(self, node: str, text: str) -> None:
        """The last line of new output of `node` is shown beside it."""
        last = next((shown for line in reversed(text.split("\n")) if (shown := one_line(line))), "")
        with self._lock:
            if last and node in self._running:
                self._running[node].last = last

    def ended(self, node: str, *, counts: bool) -> None:
        """`node` runs no longer; `counts` where it has its outcome."""
        with self._lock:
            self._running.pop(node, None)
            self._finished += counts
            self._start_next()

    def reopened(self, nodes: int) -> None:
        """So many that had their outcome have none any more."""
        with self._lock:
            self._finished -= nodes

    def noted(self, text: str) -> None:
        """What the footer says beside the progress, such as that the run is being stopped."""
        with self._lock:
            self._note = one_line(text)

    def one_by_one(self, nodes: Iterable[str], note: str) -> None:
        """Counting begins anew for `nodes`, each of which starts when the one before it has ended, as undoing does."""
        with self._lock:
            self._running.clear()
            self._queue = list(nodes)
            self._finished, self._total, self._note = 0, len(self._queue), one_line(note)
            self._start_next()

    def close(self) -> None:
        """Take the rows off the screen and stop redrawing."""
        self._live.stop()

    def _start_next(self) -> None:
        if self._queue:
            self._running[self._queue.pop(0)] = _Running(self._now_ms())

    def _rows(self) -> Group:
        columns, lines = self._size()
        now = self._now_ms()
        with self._lock:
            running = [(node, now - each.since_ms, each.last) for node, each in self._running.items()]
            footer = f"{self._finished}/{self._total} done · {len(running)} running"
            footer += f" · {self._note}" if self._note else ""
        tick = _TICKS[now // _TICK_MS % len(_TICKS)]
        room = max(lines - _KEPT_ROWS, 1)
        rows = [Text(self._row(tick, node, elapsed, last, columns)) for node, elapsed, last in running[:room]]
        if len(running) > room:
            rows.append(Text(f"  … and {len(running) - room} more"))
        return Group(*rows, Text(cut(f"  {footer}", columns - 1), style="dim"))

    def _row(self, tick: str, node: str, elapsed: int, last: str, columns: int) -> str:
        cells = min(self._name_cells, max(columns - 12, 8))
        # Whole seconds: tenths would only flicker.
        took = f"{elapsed // 1000}s" if elapsed < 60_000 else format_ms(elapsed)
        head = f"{tick} {pad(cut_front(one_line(readable(node)), cells), cells)}  {took:>6}"
        room = columns - 1 - width(head) - 2
        return cut(head, columns - 1) if room < 8 or not last else f"{head}  {cut(last, room)}"

    def _size(self) -> tuple[int, int]:
        """Columns and lines now: a window may be resized while something runs."""
        try:
            size = os.get_terminal_size(self._stream.fileno())
        except (OSError, ValueError):
            return self._columns, 24
        columns = size.columns or self._columns
        self._console.width = columns
        return columns, size.lines or 24
