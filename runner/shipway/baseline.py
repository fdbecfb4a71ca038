"""The declaration of the commit that a change is based on, read through git: its rules hold as well. Starts nothing."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from functools import reduce
from pathlib import Path

from msgspec.structs import replace

from shipway.approvals import ApprovalRule
from shipway.declaration import Declaration
from shipway.declaration_files import DEFAULT_FILE, overlays
from shipway.errors import DeclarationError, Reason, ShipwayError, UsageError, VerificationError
from shipway.loading import load_declaration
from shipway.plan import Plan
from shipway.repository import Repository
from shipway.rules import Held, hold, kept_elsewhere, promoted, signed_before
from shipway.signing import SigningRule
from shipway.weakenings import Rule, Weakening

_SHORT = 12


def held_by(
    commit: str, declared: Declaration, target: str, repository: Repository, planned: Callable[[Declaration], Plan]
) -> Held:
    """What of the rules in `commit` holds for `declared`; `planned` makes a whole plan of a declaration.

    Where what stands there is no valid declaration, nothing could ever run by it: then that is said, and no more. Where it
    could be run, and only with what is there now not be planned, approval is needed as it says. Raises VerificationError
    (`base-unknown`) where the commit is not in this clone.
    """
    before = declaration_at(commit, declared, target, repository)
    if isinstance(before, Held):
        return before
    if before is None:
        return _signed(Held(), commit, declared.signing, declared, repository)
    try:
        base = planned(replace(before, files=declared.files))  # its own may be gone from the work tree
    except ShipwayError as error:
        held = replace(_unreadable(commit, error), everywhere=_strictest(before))
        return _signed(held, commit, before.signing, declared, repository)
    held = _signed(hold(base, planned(declared)), commit, before.signing, declared, repository)
    held = kept_elsewhere(held, before.state, declared.state)
    return promoted(
        held, target, before.target_rule(_target_in(before, declared, target)), declared.target_rule(target)
    )


def stood_before(declared: Declaration, target: str, repository: Repository) -> Iterator[tuple[Declaration, str]]:
    """Declarations that stood here and whose runs left receipts elsewhere, with what the target was called, the latest first.

    They have another name, kept what they recorded in another store, or had another target in place of this one. Looked at
    are the last changes of such lines.
    """
    if Path(declared.file).is_absolute():
        return
    paths = [declared.file, *(path.as_posix() for path in overlays(Path(declared.file), target))]
    seen = {(declared.name, replace(declared.state, key=""), target)}
    for commit in repository.before_changes(paths, f"{_MOVES}|{re.escape(target)}", _CHANGES_LOOKED_AT):
        try:
            before = declaration_at(commit, declared, target, repository)
        except VerificationError:
            continue  # not in this clone: what a change is put upon is asked for anyway
        if not isinstance(before, Declaration):
            continue
        name = _target_in(before, declared, target)
        place = (before.name, replace(before.state, key=""), name)
        if name and place not in seen:
            seen.add(place)
            yield before, name


_MOVES = "^[\"']?(name|state)[\"']?[ \t]*:|^[{]"
"""The lines at the top of a declaration by which its receipts come to lie elsewhere."""
_CHANGES_LOOKED_AT = 100


def _signed(held: Held, commit: str, before: SigningRule, declared: Declaration, repository: Repository) -> Held:
    """The same, with whose signatures counted before: also the file that says so is part of what a change may not loosen."""
    name = before.allowed_signers
    if not before.is_declared or (before == declared.signing and not name):
        return held
    there = (repository.files_at(commit, [name]) or {}).get(name, b"") if name else b""
    now = repository.root / declared.signing.allowed_signers if declared.signing.allowed_signers else None
    is_same = there == (now.read_bytes() if now is not None and now.is_file() else b"")
    return signed_before(held, before, declared.signing, there.decode("utf-8", "replace"), is_same)


def declaration_at(
    commit: str, declared: Declaration, target: str, repository: Repository
) -> Declaration | Held | None:
    """The declaration that stood in `commit` where this one stands; None where it was the same, or there was none.

    Where it stood elsewhere, that one; where it had another target in place of this one, with the overlay of that. Where it
    cannot be read, what holds instead. Raises VerificationError where the commit is not in this clone.
    """
    if Path(declared.file).is_absolute():
        return None
    contents = _contents(commit, declared.file, target, repository)
    here = {name: (repository.root / name).read_bytes() for name in contents if (repository.root / name).is_file()}
    if contents == here and declared.file in contents and set(declared.files) <= set(contents):
        return None
    file = declared.file if declared.file in contents else _elsewhere(commit, declared, repository)
    if not file:
        return None
    try:
        before = _loaded(commit, file, target, repository)
    except (DeclarationError, UsageError) as error:
        try:
            before = _loaded(commit, file, "", repository)
            if name := _target_in(before, declared, target):
                before = _loaded(commit, file, name, repository)
        except (DeclarationError, UsageError):
            return _unreadable(commit, error)
    return before if file == declared.file or before.name == declared.name else _replaced(before, declared)


def _contents(commit: str, file: str, target: str, repository: Repository) -> dict[str, bytes]:
    """Declaration and overlays for a target as they stood in a commit."""
    found = repository.files_at(commit, [file, *(path.as_posix() for path in overlays(Path(file), target))])
    if found is None:
        raise _missing(commit)
    return found


def _loaded(commit: str, file: str, target: str, repository: Repository) -> Declaration:
    """A declaration as it stood in a commit, without `target` that of no target. Raises DeclarationError."""
    contents = _contents(commit, file, target, repository)
    with tempfile.TemporaryDirectory(prefix="shipway-base-") as folder:
        for name, content in contents.items():
            path = Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return load_declaration(Path(folder) / file, root=Path(folder), target=target or None)


def _elsewhere(commit: str, declared: Declaration, repository: Repository) -> str:
    """Where the declaration stood that a call like this one would have found, else one of this lifecycle; empty: nowhere."""
    file = Path(declared.file)
    if file.name == DEFAULT_FILE:
        above = [(folder / DEFAULT_FILE).as_posix() for folder in file.parent.parents]
        there = repository.files_at(commit, above) or {}
        if nearest := next((name for name in above if name in there), ""):
            return nearest
    named = f"^name:[ \t]*[\"']?{declared.name}[\"']?[ \t\r]*(#.*)?$"
    return next(iter(repository.files_with(commit, named, ["*.yml", "*.yaml"])), "")


def _target_in(before: Declaration, declared: Declaration, target: str) -> str:
    """What the target was called before: itself, or one in whose place it may be now; empty where it came besides."""
    names = before.targets or {}
    if not names or any(fnmatchcase(target, name) for name in names):
        return target
    return next((name for name in names if name not in (declared.targets or {})), "").replace("*", "0")


def _replaced(before: Declaration, declared: Declaration) -> Held | None:
    """What holds for a lifecycle where a call like this one would have found another one: its approval."""
    rule = _strictest(before)
    text = f"`{declared.file}` would be run in place of `{before.file}`, which needed approval: every stage needs it"
    return Held((Weakening(Rule.APPROVAL, declared.file, text),), everywhere=rule) if rule else None


def _strictest(before: Declaration) -> ApprovalRule | None:
    """What all stages that need approval ask for together."""
    rules = [stage.approval for stage in before.stages if stage.approval is not None]
    return reduce(ApprovalRule.stricter, rules) if rules else None


def unknown(error: ShipwayError, commit: str) -> Held:
    """What to say of a plan where the rules before are not known: nothing is executed, so that it may be looked at."""
    return Held((Weakening(Rule.BASE, commit, error.message),))


def gone_with_run(error: VerificationError, commit: str, run: str) -> VerificationError:
    """The refusal where the commit of the last run that was let through is not in this clone."""
    return VerificationError(
        f"the last run that was let through is `{run}`, of commit `{commit[:_SHORT]}`: its rules hold as well, and it is not "
        "in this clone",
        reason=error.reason,
        next=f"{error.next}; of a branch that was written anew since: `git fetch origin {commit}`",
    )


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
