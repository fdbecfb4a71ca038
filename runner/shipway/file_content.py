"""Bytes at a path: planned, put there, asked about. The common ground of the actions that write a file."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

from shipway.action import ActionFailed, Done, PlanWork, Prediction, Work
from shipway.canonical import Json
from shipway.file_placing import decided, give, is_owned, left_alone, owner_ids, refuse_other, seen, target_of
from shipway.file_records import gone_below, here
from shipway.file_state import (
    Kind,
    describe,
    describe_content,
    file_fingerprint,
    file_sha256,
    fingerprint,
    is_inside,
    kind_of,
    locate,
    parse_mode,
)
from shipway.nodes import Change, Fidelity, Verified
from shipway.records import Record
from shipway.replacement import changing, faults_told

Content: TypeAlias = bytes | Path
"""What a file is to hold: these bytes, or those of another file."""

CHANGE_OF = {
    Kind.ABSENT: Change.CREATE,
    Kind.FILE: Change.UPDATE,
    Kind.LINK: Change.REPLACE,
    Kind.DIRECTORY: Change.REPLACE,
}
"""What writing a file does, by what stands there."""


def waiting(work: PlanWork, *slots: str) -> str:
    """What the first of `slots` that is not known waits for, in words; empty where all are known."""
    return next((f"`{name}` waits for {work.unknown[name]}" for name in slots if name in work.unknown), "")


def is_from_secret(work: PlanWork, slot: str) -> bool:
    """Whether the value of a slot is known and holds a secret."""
    return slot in work.inputs and slot in work.secret


def unplanned(work: PlanWork, change: Change, *slots: str) -> Prediction | None:
    """The opaque prediction where one of `slots` is not known yet, or is a secret that a plan must not show; else None."""
    secret = next((f"`{name}` is made of a secret" for name in slots if is_from_secret(work, name)), "")
    why = waiting(work, *slots) or secret
    return Prediction(change, Fidelity.OPAQUE, why=why, reversible=change is not Change.READ) if why else None


def outside(root: Path, path: Path | str) -> str:
    """A remark for a plan where `path` is not in the workspace."""
    return "" if is_inside(str(path), str(root)) else "outside the workspace"


def source_file(root: Path, text: Json, slot: str = "source") -> Path:
    """The file that a slot names, which may be a link to one in the workspace.

    Raises ActionFailed where it is not there or no regular file.
    """
    path = locate(root, text, slot)
    if not path.exists():
        raise ActionFailed(f"`{slot}` `{text}` is not there")
    if not path.is_file():
        raise ActionFailed(f"`{slot}` `{text}` is not a regular file")
    if not Path(str(text)).is_absolute() and not path.resolve().is_relative_to(root.resolve()):
        raise ActionFailed(f"`{slot}` `{text}` leads out of the workspace; write an absolute path if that is meant")
    return path


def plan_content(work: PlanWork, content: Content | None, why: str, outputs: Mapping[str, Json]) -> Prediction:
    """The prediction of a node that writes `content` to slot `path` with slot `mode`; None: not known yet, because of `why`.

    Contents are shown unless the new one comes from a secret or is not known: then the old may be a secret too.
    """
    with faults_told():
        path = target_of(work)
        mode = parse_mode(work.inputs["mode"])
        owner = owner_ids(work)
        kind = seen(path)
        if isinstance(kind, Prediction):
            return kind
        refuse_other(path, kind)
        remark = outside(work.root, path)
        if content is None:
            if (alone := left_alone(work, path, kind)) is not None:
                return alone
            return Prediction(
                CHANGE_OF[kind],
                Fidelity.PREDICTED,
                why="; ".join(filter(None, (why, remark))),
                before=describe(path),
                after={"kind": Kind.FILE.value, "mode": mode},
                outputs=outputs,
                reversible=True,
            )
        is_shown = not is_from_secret(work, "content")
        is_there = _holds(path, kind, content, mode, owner)
        if not is_there and (alone := left_alone(work, path, kind)) is not None:
            return alone
        after = _described(content, mode, is_shown)
        shows_content = isinstance(after, Mapping) and "content" in after
        return Prediction(
            Change.NOOP if is_there else CHANGE_OF[kind],
            Fidelity.EXACT,
            why=remark,
            before=describe(path, with_content=shows_content),  # the old one alone would read as if it went
            after=after,
            outputs=outputs,
            reversible=True,
        )


def put_content(work: Work, content: Content, outputs: Mapping[str, Json]) -> Done:
    """Write `content` to slot `path` with slot `mode`, in place of whatever stands there, unless that is it already."""
    mode = parse_mode(work.inputs["mode"])
    with changing(work) as ledger:
        path, owner = target_of(work), owner_ids(work)
        kind = kind_of(path)
        refuse_other(path, kind)
        records: tuple[Record, ...] = (_record(work, content, mode),)
        if _holds(path, kind, content, mode, owner):
            return Done(outputs, unchanged=True, change=Change.NOOP, records=records)
        if (ended := decided(work, path, kind)) is not None:
            return ended
        new = ledger.new_file(content, mode)
        give(new, owner, mode)
        ledger.make_parents(path)
        records = (*gone_below(path, work.inputs["path"]), *records)
        ledger.replace(path, new)
        give(path, owner, mode)  # to another file system it was copied, and is whose it was not
        return Done(outputs, undo=ledger.complete(), change=CHANGE_OF[kind], records=records)


def verify_content(work: Work, content: Content) -> Verified:
    """Whether slot `path` holds `content` with slot `mode`."""

    def holds() -> bool:
        path = locate(work.root, work.inputs["path"])
        return _holds(path, kind_of(path), content, parse_mode(work.inputs["mode"]), owner_ids(work))

    return verified(holds)


def verified(holds: Callable[[], bool]) -> Verified:
    """`holds` or `gone` as it says; `unknown` where the operating system or a slot keeps it from being asked."""
    try:
        return Verified.HOLDS if holds() else Verified.GONE
    except (OSError, ActionFailed):
        return Verified.UNKNOWN


def read_text(path: Path, shown: Json, limit: int) -> str:
    """The text of a file. Raises ActionFailed for one that cannot be read, is longer than `limit` bytes, or is not UTF-8."""
    with faults_told(), path.open("rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise ActionFailed(f"`{shown}` is larger than {limit} bytes")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise ActionFailed(f"`{shown}` is not UTF-8: byte {error.start} is {content[error.start]:#04x}") from error


def sha256_of(content: Content) -> str:
    """64 hex digits over the bytes."""
    return hashlib.sha256(content).hexdigest() if isinstance(content, bytes) else file_sha256(content)


def _holds(path: Path, kind: Kind, content: Content, mode: str, owner: tuple[int, int] | None) -> bool:
    """Whether a file is what it is to be; its content is read only where its size is the same."""
    if kind is not Kind.FILE or path.lstat().st_size != _size(content) or not is_owned(path, owner):
        return False
    try:
        return fingerprint(path) == file_fingerprint(mode, sha256_of(content))
    except PermissionError:
        return False


def _size(content: Content) -> int:
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def _record(work: Work, content: Content, mode: str) -> Record:
    how = "copy" if isinstance(content, Path) else "write"
    after = file_fingerprint(mode, sha256_of(content))
    return here(work.inputs["path"], after, how, source=work.inputs.get("source"))


def _described(content: Content, mode: str, is_shown: bool) -> Json:
    if isinstance(content, bytes):
        return describe_content(content, mode, with_content=is_shown)
    described = describe(content.resolve(), with_content=int(mode, 8) & 0o004 != 0)
    assert isinstance(described, Mapping)
    return {**described, "mode": mode}
