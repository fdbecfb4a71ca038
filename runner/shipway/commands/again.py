"""What to type for the same run anew, as it was typed, or as the journal here has it. Starts nothing and prints nothing."""

from __future__ import annotations

import os
import shlex
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path

from shipway.commands.setting import journal_of, root_here
from shipway.context import Context
from shipway.declaration_files import DEFAULT_FILE


def again_as_typed(arguments: Namespace, target: str) -> str:
    """`shipway run …` for what `shipway run` was called with."""
    reconcile = "--reconcile" if arguments.reconcile else ""
    return " ".join(filter(None, [_run(arguments.file or "", target), reconcile, options_as_typed(arguments)]))


def options_as_typed(arguments: Namespace) -> str:
    """The inputs and the part of the lifecycle, which have to be said again so that it is the same plan."""
    return _options({name: [str(value) for value in getattr(arguments, name)] for name in ("input", "stage", "skip")})


def again_as_journalled(run: str, context: Context) -> str:
    """`shipway run …`, typed from here, for a run that the journal here knows; empty for another one."""
    root = root_here(context)
    journal = journal_of(root, context)
    if not any(summary.run == run for summary in journal.runs()):
        return ""
    opening = journal.opening(run)
    inputs = [f"{name}={value}" for name, value in opening.inputs.items()]
    is_reconciling = opening.reconciled is not None
    skipped = opening.skipped if opening.reconciled is None else opening.reconciled
    options = _options({"input": inputs, "stage": opening.stages, "skip": skipped})
    said = [
        _run(_as_named(root / opening.file, context), opening.target),
        "--reconcile" if is_reconciling else "",
        options,
    ]
    return " ".join(filter(None, said))


def _as_named(file: Path, context: Context) -> str:
    """How a declaration is named from here; empty where it is found without."""
    found = (folder / DEFAULT_FILE for folder in (context.cwd, *context.cwd.parents))
    is_found = next((each for each in found if each.is_file()), None) == file
    return "" if is_found else os.path.relpath(file, context.cwd)


def _run(file: str, target: str) -> str:
    return shlex.join(["shipway", "run", *(["-f", file] if file else []), "--target", target])


def _options(given: Mapping[str, Sequence[str]]) -> str:
    return shlex.join(word for name, values in given.items() for value in values for word in (f"--{name}", value))
