"""What a job is told where no runner reads commands from its log: outputs and summary as files, the log as it is. For GitLab."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import field

from shipway.errors import Reason, UnreachableError
from shipway.redaction import Redacted
from shipway.render.workflow import SUMMARY_BYTES_MAX, Level, WorkflowLog


class PlainLog(WorkflowLog, frozen=True):
    """A WorkflowLog that writes no command: a runner that knows none would show it, a mask with the secret in it.

    `outputs` are those set so far. `folder` gets `summary.md`, and `outputs.env` with a line `SHIPWAY_<NAME>=<value>` for each
    output of one line, as GitLab reads it. Source: https://docs.gitlab.com/ci/yaml/artifacts_reports/#artifactsreportsdotenv
    """

    folder: Path = Path()
    outputs: dict[str, str] = field(default_factory=dict)

    def set_output(self, name: str, value: Redacted) -> None:
        """Keeps an output. Raises UnreachableError where the folder cannot be written."""
        self.outputs[name] = value
        lines = [
            f"SHIPWAY_{key.upper().replace('-', '_')}={kept}" for key, kept in self.outputs.items() if "\n" not in kept
        ]
        self._put("outputs.env", "\n".join(lines), "w")

    def summary_room(self) -> int:
        """How many bytes the summary can still take."""
        file = self.folder / "summary.md"
        return max(0, SUMMARY_BYTES_MAX - (file.stat().st_size if file.is_file() else 0) - 1)

    def write_summary(self, markdown: Redacted) -> None:
        """Appends to the summary. Raises UnreachableError where the folder cannot be written."""
        self._put("summary.md", markdown, "a")

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
        """Nothing: the log says it already."""

    def mask(self, value: str) -> None:
        """Nothing: the job's variables are masked where they are set."""

    @contextmanager
    def group(self, title: Redacted) -> Iterator[None]:
        """A heading and what belongs to it."""
        self._write(f"{title}\n")
        yield

    @contextmanager
    def stopped_commands(self) -> Iterator[Callable[[Redacted], None]]:
        """Gives a writer for foreign text: there are no commands that it could give."""
        yield self._write

    def _put(self, name: str, text: str, mode: str) -> None:
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with (self.folder / name).open(mode, encoding="utf-8", errors="replace") as file:
                file.write(f"{text}\n")
        except OSError as error:
            raise UnreachableError(
                f"`{self.folder / name}` cannot be written: {error.strerror}", reason=Reason.UNWRITABLE
            ) from error
