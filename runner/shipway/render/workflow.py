"""What the CI runner is told: outputs, job summary, annotations, groups, masks. The one module on actions-toolkit.

Its writes to stdout are commands, or foreign text between marks that keep the runner from obeying any command in it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TextIO

from actions_toolkit.command import Command  # type: ignore[import-untyped]
from actions_toolkit.file_command import prepare_key_value_message  # type: ignore[import-untyped]
from msgspec import Struct

from shipway.context import Context
from shipway.errors import Reason, UnreachableError, UsageError
from shipway.redaction import SHORTEST, Redacted

SUMMARY_BYTES_MAX = 1_000_000
"""For one step. Over 1 MiB the runner drops the whole summary and the step stays green. Source:
https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands#step-isolation-and-limits"""

# A newline in a name would begin another output: the file has no escape for it.
_OUTPUT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


class Level(StrEnum):
    """How grave an annotation is."""

    NOTICE = "notice"
    WARNING = "warning"
    ERROR = "error"


class WorkflowLog(Struct, frozen=True):
    """One step's channel to the runner: `stream` is its log, `env` names its files. Every write is flushed.

    Texts are redacted ones, since the runner masks neither outputs nor what other tools read from the log.
    """

    env: Mapping[str, str]
    stream: TextIO
    random_hex: Callable[[int], str]

    def set_output(self, name: str, value: Redacted) -> None:
        """Sets an output of the step, of any number of lines.

        Raises UsageError for a name that could not be an output's, UnreachableError where the file is missing.
        """
        if not _OUTPUT_NAME.fullmatch(name):
            raise UsageError(f"`{name}` cannot be the name of an output", next="use letters, digits, `_` and `-`")
        # The package's own set_output falls back to a command that runners no longer obey; only its form is used.
        _append(self._file("GITHUB_OUTPUT"), f"{prepare_key_value_message(name, value)}\n")

    def summary_room(self) -> int:
        """How many bytes the job summary of this step can still take. Raises UnreachableError where there is none."""
        return max(0, SUMMARY_BYTES_MAX - self._file("GITHUB_STEP_SUMMARY").stat().st_size - 1)

    def write_summary(self, markdown: Redacted) -> None:
        """Appends to the job summary. Raises UnreachableError, having written nothing, where there is no room."""
        size = len(markdown.encode("utf-8", "replace"))
        if size > (room := self.summary_room()):
            raise UnreachableError(
                f"the job summary has room for {room} bytes, not for {size}", reason=Reason.UNWRITABLE
            )
        _append(self._file("GITHUB_STEP_SUMMARY"), f"{markdown}\n")

    def annotate(
        self,
        level: Level,
        message: Redacted,
        *,
        file: str | None = None,
        line: int | None = None,
        end_line: int | None = None,
        column: int | None = None,
        title: str | None = None,
    ) -> None:
        """Shows a message beside the code, at a file relative to the repository, or on the run's page without one."""
        places = {"title": title, "file": file, "line": line, "endLine": end_line, "col": column}
        # A property without a value would be taken for an empty one.
        self._command(level.value, message, {name: place for name, place in places.items() if place is not None})

    def mask(self, value: str) -> None:
        """Has the runner mask `value` in the log from now on, line by line: it masks single lines only."""
        for line in value.splitlines():
            if len(line.strip()) >= SHORTEST:
                self._command("add-mask", line.strip())

    @contextmanager
    def group(self, title: Redacted) -> Iterator[None]:
        """Folds what is logged inside under `title`. Groups do not nest."""
        self._command("group", title)
        try:
            yield
        finally:
            self._command("endgroup", "")

    @contextmanager
    def stopped_commands(self) -> Iterator[Callable[[Redacted], None]]:
        """Gives a writer for foreign text: no command in it is obeyed, since the runner waits for a random word."""
        word = f"shipway-{self.random_hex(16)}"
        last = "\n"

        def write(text: Redacted) -> None:
            nonlocal last
            last = text[-1:] or last
            self._write(text)

        self._command("stop-commands", word)
        try:
            yield write
        finally:
            # A mark is one only at the beginning of a line.
            self._write("" if last == "\n" else "\n")
            self._command(word, "")

    def _command(self, name: str, message: str, properties: Mapping[str, str | int] | None = None) -> None:
        self._write(f"{Command(name, dict(properties or {}), message)}\n")

    def _write(self, text: str) -> None:
        encoding = self.stream.encoding or "utf-8"
        self.stream.write(text.encode(encoding, "replace").decode(encoding))
        self.stream.flush()

    def _file(self, name: str) -> Path:
        path = self.env.get(name, "")
        if not path or not Path(path).is_file():
            what = f"names `{path}`, which is no file" if path else "is not set"
            raise UnreachableError(
                f"`{name}` {what}", reason=Reason.UNWRITABLE, next="run this in a step of a workflow, or without it"
            )
        return Path(path)


def workflow_log(context: Context) -> WorkflowLog:
    """The channel of this process: its stdout, and the files that its environment names."""
    return WorkflowLog(context.env, sys.stdout, context.random_hex)


def _append(path: Path, text: str) -> None:
    try:
        with path.open("ab") as file:
            file.write(text.encode("utf-8", "replace"))
    except OSError as error:
        raise UnreachableError(f"`{path}` cannot be written: {error.strerror}", reason=Reason.UNWRITABLE) from error
