"""The files by which one attempt's child hands on results: outputs, status, and its script. A step may leave anything there."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Container
from io import BufferedReader
from itertools import islice
from pathlib import Path

from shipway.action import Verb
from shipway.emission import read_emission
from shipway.growth import Emitted
from shipway.nodes import Node, Outcome
from shipway.outputs import BadOutput, parse_output_file, written_values

MAX_OUTPUT_FILE_BYTES = 1 << 20
"""What a step may write to $SHIPWAY_OUTPUT, as on GitHub (1 MB per job)."""

MAX_EMIT_FILE_BYTES = 16 << 20
"""What a step may write to $SHIPWAY_EMIT."""

_LONGEST_NAME = 200
"""A name may have 255 bytes, with a digest and an ending behind it; ids are ASCII."""

_STATUS_BYTES = 4096

MOST_SECRETS_WRITTEN = 64
"""How many values of secret outputs are looked for in all that a step leaves: it may replace one over and over."""

LONGEST_PAUSE_MS = 86_400_000
"""What a step asks for beyond a day counts as a day."""


def file_name(node: str, verb: Verb = Verb.DO) -> str:
    """The id as a file name of its own, another one for each verb: dots stand in keys only, so that no two become one.

    Its end is a digest where it is too long for a name, or where only capitals may tell it from another. What `do` of a
    killed run left must still be there when `verify` has been asked about it.
    """
    name = node.replace("/", ".")
    if len(name) > _LONGEST_NAME or name.lower() != name:
        name = f"{name[:_LONGEST_NAME]}~{hashlib.sha256(node.encode()).hexdigest()[:16]}"
    return name if verb is Verb.DO else f"{name}~{verb.value}"


class Exchange:
    """The files of one attempt, below `directory`; `name` is the attempt's own. Nothing is made but the script."""

    def __init__(self, directory: str, name: str) -> None:
        self._directory = directory
        self.output = f"{directory}/{name}.out"
        self.status = f"{directory}/{name}.status"
        self.retry_after = f"{directory}/{name}.retry-after"
        self.emit = f"{directory}/{name}.emit"
        self.script = f"{directory}/{name}.script"
        self._has_script = False
        self._is_empty: bool | None = None

    def write_script(self, text: str) -> None:
        """Keep a script where only this user can read it."""
        self._has_script = True
        descriptor = os.open(self.script, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)

    @property
    def is_empty(self) -> bool:
        """Whether nothing was written, as by nearly every step. Ask once it has ended: it saves opening what is not there."""
        if self._is_empty is None:
            self._is_empty = self._has_nothing()
        return self._is_empty

    def _has_nothing(self) -> bool:
        try:
            return not self._has_script and not os.listdir(self._directory)
        except FileNotFoundError:
            return True
        except OSError:
            return False  # reading says what is wrong with it

    def outputs(self, redact: Callable[[str], str]) -> dict[str, str]:
        """What was written to $SHIPWAY_OUTPUT. Raises BadOutput, with the line's number where there is one, masked."""
        content = self._read(self.output, "$SHIPWAY_OUTPUT", MAX_OUTPUT_FILE_BYTES + 1)
        if len(content) > MAX_OUTPUT_FILE_BYTES:
            raise BadOutput(
                f"$SHIPWAY_OUTPUT holds more than {MAX_OUTPUT_FILE_BYTES} bytes: hand on a `file` output instead"
            )
        try:
            return parse_output_file(content.decode("utf-8"), redact)
        except UnicodeDecodeError as error:
            number = content.count(b"\n", 0, error.start) + 1
            raise BadOutput(f"line {number} of $SHIPWAY_OUTPUT is not UTF-8") from None

    def written_to(self, names: Container[str]) -> list[tuple[str, str]]:
        """What was written to $SHIPWAY_OUTPUT for outputs of these names, whatever else is in it."""
        try:
            content = self._read(self.output, "$SHIPWAY_OUTPUT", MAX_OUTPUT_FILE_BYTES)
        except BadOutput:
            return []
        return list(islice(written_values(content.decode("utf-8", "replace"), names), MOST_SECRETS_WRITTEN))

    def emitted(self, node: Node) -> tuple[Emitted, ...]:
        """What was written to $SHIPWAY_EMIT, of the templates of `node`. Raises BadOutput, with the line's number."""
        content = self._read(self.emit, "$SHIPWAY_EMIT", MAX_EMIT_FILE_BYTES + 1)
        if len(content) > MAX_EMIT_FILE_BYTES:
            raise BadOutput(f"$SHIPWAY_EMIT holds more than {MAX_EMIT_FILE_BYTES} bytes")
        try:
            return read_emission(content.decode("utf-8"), node)
        except UnicodeDecodeError as error:
            number = content.count(b"\n", 0, error.start) + 1
            raise BadOutput(f"line {number} of $SHIPWAY_EMIT is not UTF-8") from None

    def outcome(self) -> tuple[Outcome, str]:
        """The outcome of a step that exited 0, by what it wrote to $SHIPWAY_STATUS, and why. Raises BadOutput."""
        text = self._read(self.status, "$SHIPWAY_STATUS", _STATUS_BYTES).decode("utf-8", "replace").strip()
        if not text:
            return Outcome.SUCCEEDED, ""
        if text == "unchanged":
            return Outcome.UNCHANGED, ""
        if text == "skipped" or text.startswith("skipped:"):
            return Outcome.SKIPPED, text.partition(":")[2].strip() or "the step said so"
        raise BadOutput("$SHIPWAY_STATUS takes `unchanged` or `skipped: why`")

    def pause_ms(self, redact: Callable[[str], str]) -> int | None:
        """How long the step wants a rest: the last line of $SHIPWAY_RETRY_AFTER; None where it said nothing. Raises BadOutput."""
        text = self._read(self.retry_after, "$SHIPWAY_RETRY_AFTER", _STATUS_BYTES).decode("utf-8", "replace").strip()
        if not text:
            return None
        last = text.splitlines()[-1].strip()
        if not (last.isascii() and last.isdigit()):
            raise BadOutput(
                f"$SHIPWAY_RETRY_AFTER takes whole seconds, such as `7`, not `{redact(last)[:40]}`; no pause is made"
            )
        return min(int(last) * 1000, LONGEST_PAUSE_MS)

    def remove(self) -> None:
        """Remove what is there, whatever the step made of it: the next attempt must not find it."""
        for path in (self.output, self.status, self.retry_after, self.emit, self.script):
            try:
                os.unlink(path)
            except FileNotFoundError:
                continue
            except OSError:
                shutil.rmtree(path, ignore_errors=True)

    def _read(self, path: str, name: str, most: int) -> bytes:
        """The first `most` bytes; none where there is no file."""
        try:
            with _opened(path) as stream:
                return stream.read(most)
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise BadOutput(f"{name} cannot be read: {error.strerror or error}") from None


def keep_file(path: Path, name: str, artifacts: Path) -> Path:
    """`artifacts/<sha256>/<name of path>` with the content of `path`, the `file` output `name`. Raises BadOutput."""
    try:
        artifacts.mkdir(mode=0o700, parents=True, exist_ok=True)
        # The digest is that of the copy: somebody may still be writing to the original.
        with _opened(path) as stream, tempfile.NamedTemporaryFile(dir=artifacts, delete=False) as copy:
            shutil.copyfileobj(stream, copy)
        with open(copy.name, "rb") as copied:
            digest = hashlib.file_digest(copied, "sha256").hexdigest()
        kept = artifacts / digest / path.name
        kept.parent.mkdir(mode=0o700, exist_ok=True)
        os.replace(copy.name, kept)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise BadOutput(f"output `{name}` is declared file; `{path}` cannot be kept: {why}") from None
    return kept


def _opened(path: str | Path) -> BufferedReader:
    """A regular file, open for reading. Raises OSError for anything else: opening or reading a pipe could take for ever."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError("it is not a regular file")
    return os.fdopen(descriptor, "rb")
