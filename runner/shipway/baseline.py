"""The declaration of the commit that a change is based on, read through git: its rules hold as well. Starts nothing."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from shipway import declaration as declarations
from shipway.declaration import Declaration
from shipway.declaration_files import overlays
from shipway.errors import Reason, ShipwayError, VerificationError
from shipway.plan import Plan
from shipway.repository import Repository
from shipway.rules import Held, hold, promoted
from shipway.weakenings import Rule, Weakening

_SHORT = 12


def held_by(
    commit: str, declared: Declaration, target: str, repository: Repository, planned: Callable[[Declaration], Plan]
) -> Held:
    """What of the rules in `commit` holds for `declared`; `planned` makes a whole plan of a declaration.

    Where what stands there is no valid declaration, nothing could ever run by it: then that is said, and no more. Raises
    VerificationError (`base-unknown`) where the commit is not in this clone.
    """
    before = declaration_at(commit, declared, target, repository)
    if isinstance(before, Held):
        return before
    if before is None:
        return Held()
    try:
        base = planned(before)
    except ShipwayError as error:
        return _unreadable(commit, error)
    held = hold(base, planned(declared))
    return promoted(held, target, before.target_rule(target), declared.target_rule(target))


def declaration_at(
    commit: str, declared: Declaration, target: str, repository: Repository
) -> Declaration | Held | None:
    """The declaration that stood in `commit` where this one stands; None where it was the same, or there was none.

    Where it cannot be read, what holds instead. Raises VerificationError where the commit is not in this clone.
    """
    file = Path(declared.file)
    if file.is_absolute():
        return None
    names = [declared.file, *(path.as_posix() for path in overlays(file, target))]
    contents = repository.files_at(commit, names)
    if contents is None:
        raise _missing(commit)
    if declared.file not in contents:
        return None
    here = {name: (repository.root / name).read_bytes() for name in names if (repository.root / name).is_file()}
    if contents == here:
        return None
    with tempfile.TemporaryDirectory(prefix="shipway-base-") as folder:
        for name, content in contents.items():
            path = Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        try:
            return declarations.load(Path(folder) / declared.file, root=Path(folder), target=target)
        except ShipwayError as error:
            return _unreadable(commit, error)


def unknown(error: ShipwayError, commit: str) -> Held:
    """What to say of a plan where the rules before are not known: nothing is executed, so that it may be looked at."""
    return Held((Weakening(Rule.BASE, commit, error.message),))


def _unreadable(commit: str, error: ShipwayError) -> Held:
    why = error.problems[0].text if error.problems else error.message
    text = f"the rules of commit `{commit[:_SHORT]}` are not known, since its declaration cannot be planned: {why}"
    return Held((Weakening(Rule.BASE, commit, text),))


def _missing(commit: str) -> VerificationError:
    return VerificationError(
        f"the rules of commit `{commit[:_SHORT]}` hold as well, and it is not in this clone",
        reason=Reason.BASE_UNKNOWN,
        next="check out the whole history: `fetch-depth: 0`",
    )
