"""`shipway show`: a plan or a receipt, after its seal was checked."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path

from shipway.commands.documents import read_document, show_document, write_out
from shipway.context import Context, read_context
from shipway.errors import Reason, UsageError
from shipway.repository import open_repository
from shipway.workspace import Workspace


def run(arguments: Namespace) -> int:
    """0 where the document is whole. Raises VerificationError where it was altered."""
    context = read_context()
    document = read_document(_path(arguments, context))
    form = arguments.format or ("json" if arguments.json else "text")
    write_out(show_document(document, form, context, sys.stdout))
    return 0


def _path(arguments: Namespace, context: Context) -> Path:
    if arguments.document:
        return context.cwd / str(arguments.document)
    root = open_repository(context.cwd, context.env).root
    latest = Workspace(root).latest_receipt()
    if latest is None:
        raise UsageError(
            f"there is no receipt in `{root}`",
            reason=Reason.DOCUMENT_INVALID,
            next="make one with `shipway run`, or name a file",
        )
    return latest
