"""Reading sealed documents, showing them in the form that was asked for, and keeping receipts. Decides nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from shipway import schema
from shipway.canonical import Json
from shipway.context import Context
from shipway.errors import Reason, ShipwayError, UnreachableError, UsageError
from shipway.plan import Plan
from shipway.receipt import Receipt, file_name
from shipway.redaction import trusted
from shipway.render import terminal
from shipway.workspace import Workspace, unwritable, write_atomically


def read_plan(path: Path) -> Plan:
    """The plan in a file. Raises UsageError where it cannot be read, VerificationError where its seal is broken."""
    content = _content(path)
    with _naming(path):
        return plan_in(content)


def plan_in(content: bytes) -> Plan:
    """The plan in bytes from anywhere. Raises UsageError where they hold none, VerificationError where its seal is broken."""
    from shipway.plan_file import load_plan  # late: most calls are given no plan

    return load_plan(content, _check_plan)


def read_document(path: Path) -> Plan | Receipt:
    """The plan or receipt in a file, by what it says it is."""
    content = _content(path)
    with _naming(path):
        if b'"kind":"receipt"' in content[:200_000]:
            return receipt_in(content)
        return plan_in(content)


def receipt_in(content: bytes) -> Receipt:
    """The receipt in some bytes. Raises VerificationError where its seal is broken."""
    from shipway.receipt_file import load_receipt  # late: there may be none yet

    return load_receipt(content, _check_receipt)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Errors from inside name the file that they are about."""
    try:
        yield
    except ShipwayError as error:
        error.message = f"`{path.name}`: {error.message}"
        raise


def show_document(
    document: Plan | Receipt,
    form: str,
    context: Context,
    stream: TextIO,
    plan: Plan | None = None,
    *,
    kept_as: str = "",
    again: str = "",
    going_on: Sequence[str] = (),
    is_brief: bool = False,
) -> str:
    """A document as text for a terminal, Markdown, canonical JSON or a Mermaid diagram; `kept_as` is a plan's file, as typed.

    `plan`, `again` and `going_on` belong to a receipt: its plan, what runs the same anew, and how the run is gone on with
    where a bare `resume` would refuse. `is_brief` is for a receipt's text: without the nodes that did their part.
    """
    if form == "json":
        text = document.content.decode()
        return text + "\n" if stream.isatty() else text
    if form == "mermaid":
        from shipway.render import mermaid

        if isinstance(document, Receipt):
            raise UsageError("a receipt alone is not drawn", next="use --format text, markdown or json")
        return mermaid.flowchart(document)
    if form == "markdown":
        from shipway.render.blocks import Links
        from shipway.render.plan_comment import plan_comment
        from shipway.render.receipt_comment import receipt_comment

        links = Links()
        if isinstance(document, Plan):
            return plan_comment(document, budget=SUMMARY_BUDGET, links=links)
        return receipt_comment(document, plan, budget=SUMMARY_BUDGET, links=links)
    colour = stream.isatty() and not context.no_color
    if isinstance(document, Plan):
        from shipway.render.plan_text import render_plan

        return render_plan(document, colour=colour, columns=context.columns, kept_as=kept_as)
    from shipway.render.receipt_text import render_receipt

    return render_receipt(
        document, plan, colour=colour, columns=context.columns, again=again, going_on=going_on, is_brief=is_brief
    )


SUMMARY_BUDGET = 900_000
"""A job summary over 1 MiB is dropped whole; this leaves room for what other steps of the job wrote."""


class KeptReceipts:
    """Reports by keeping the receipt under `.shipway/receipts`; `path` says where it went."""

    def __init__(self, root: Path) -> None:
        self._workspace = Workspace(root)
        self.path: Path | None = None

    def report(self, plan: Plan | None, receipt: Receipt | None) -> None:
        """Keep the receipt. Where that place cannot be written, it goes to a temporary file, and UnreachableError says so."""
        if receipt is None:
            return
        content = receipt.content
        name = self._workspace.free_name(file_name(receipt.lifecycle, receipt.target, receipt.started, receipt.run))
        try:
            self.path = self._workspace.write_receipt(name, content)
        except UnreachableError as error:
            self.path = _write_elsewhere(name, content)
            kept = (
                f"the receipt was kept at `{self.path}` instead"
                if self.path
                else "the receipt is lost with this process: copy it from below"
            )
            raise UnreachableError(error.message, reason=Reason.UNWRITABLE, next=kept) from error


def _write_elsewhere(name: str, content: bytes) -> Path | None:
    import tempfile  # late: only a full or read-only disk pays for it

    path = Path(tempfile.gettempdir()) / name
    try:
        write_atomically(path, content)
    except ShipwayError:
        return None
    return path


def write_out(text: str) -> None:
    """Print a rendered document. That its reader has gone (`| head`) changes nothing about how the command ends.

    Raises UnreachableError where it cannot be written for another reason, such as a full disk.
    """
    try:
        terminal.write(terminal.standard_output(), trusted(text))
    except OSError as error:
        # What is still in the stream's buffer must go somewhere at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        if not isinstance(error, BrokenPipeError):
            raise unwritable(Path("standard output"), error) from error


def _content(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"cannot read `{path}`: {error.strerror}",
            reason=Reason.DOCUMENT_INVALID,
            next="name a file that `shipway plan -o FILE` wrote",
        ) from error
    if not content.startswith(b"{") or b'"kind":' not in content:
        raise UsageError(
            f"`{path.name}` is neither a plan nor a receipt of Shipway",
            reason=Reason.DOCUMENT_INVALID,
            next="name a file that `shipway plan -o FILE` wrote, or a receipt below `.shipway/receipts`",
        )
    return content


def _check_plan(data: object) -> None:
    schema.require("plan", _json(data))


def _check_receipt(data: object) -> None:
    schema.require("receipt", _json(data))


def _json(data: object) -> Json:
    return data  # type: ignore[return-value]
