"""The action `net.download`: a file from an HTTP address, into a file, an artifact, or both. Asks no network when it plans."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Literal
from urllib.parse import unquote, urlsplit

from shipway.action import Access, ActionFailed, Done, PlanWork, Prediction, SlotRule, SlotType, Work
from shipway.canonical import Json
from shipway.declaration import OutputRule
from shipway.downloads import Download, Part, check_url, fetch, shown_url
from shipway.durations import parse_ms
from shipway.file_content import CHANGE_OF, outside, unplanned, verified
from shipway.file_placing import refuse_other
from shipway.file_records import gone_below, here
from shipway.file_state import (
    Kind,
    describe,
    file_fingerprint,
    file_sha256,
    fingerprint,
    kind_of,
    locate_target,
    parse_mode,
)
from shipway.nodes import Change, Fidelity, Verified
from shipway.replacement import changing, faults_told, undo_changes

BYTES_MAX = 1 << 30
"""What a file may have, unless `max_bytes` says otherwise."""

_DIGEST = re.compile(r"(?:sha256:)?([0-9a-fA-F]{64})")
_NAME = re.compile(r"[^A-Za-z0-9._+-]")


class NetDownload:
    """Fetches `url` into `path`, or only into an artifact; the digest is checked before anything appears.

    A download that was cut off goes on where the server says that the file is still the same. Undo brings back what stood at
    `path`.
    """

    runs_in: Literal["thread"] = "thread"
    name = "net.download"
    contract = 1
    slots: Mapping[str, SlotRule] = {
        "url": SlotRule(SlotType.STRING, required=True, description="an http:// or https:// address"),
        "path": SlotRule(
            SlotType.STRING, description="where to put it; without it there is only the artifact", access=Access.WRITES
        ),
        "sha256": SlotRule(SlotType.STRING, description="the digest that it must have, 64 hex digits"),
        "timeout": SlotRule(
            SlotType.STRING, default="30s", description="how long to wait for an answer, and for each piece of it"
        ),
        "max_bytes": SlotRule(SlotType.INTEGER, default=BYTES_MAX, description="how many bytes it may have"),
        "mode": SlotRule(SlotType.STRING, default="0644", description="permission bits of the file, octal"),
    }
    outputs: Mapping[str, OutputRule] = {
        "file": OutputRule("file"),
        "sha256": OutputRule("string"),
        "path": OutputRule("string", required=False),
    }

    def plan(self, work: PlanWork) -> Prediction:
        """Asks no network: exact where the digest is given, so that it can tell whether the file is there already."""
        has_path = bool({"path"} & (work.inputs.keys() | work.unknown.keys()))
        unknown = unplanned(work, Change.UPDATE if has_path else Change.READ, *self.slots)
        if unknown is not None:
            return unknown
        _settings(work)
        digest = _digest(work.inputs)
        outputs: dict[str, Json] = {"sha256": digest} if digest else {}
        why = "" if digest else "no `sha256` says what it is"
        if not has_path:
            return Prediction(
                Change.READ,
                Fidelity.PREDICTED if digest else Fidelity.OPAQUE,
                why=why or "it is fetched when run",
                outputs=outputs,
            )
        with faults_told():
            path, mode = locate_target(work.root, work.inputs["path"]), parse_mode(work.inputs["mode"])
            kind = kind_of(path)
            refuse_other(path, kind)
            after: dict[str, Json] = {"kind": Kind.FILE.value, "mode": mode}
            is_there = bool(digest) and kind is Kind.FILE and fingerprint(path) == file_fingerprint(mode, digest)
            return Prediction(
                Change.NOOP if is_there else CHANGE_OF[kind],
                Fidelity.EXACT if digest else Fidelity.PREDICTED,
                why="; ".join(filter(None, (why, outside(work.root, path)))),
                before=describe(path),
                after={**after, "digest": f"sha256:{digest}"} if digest else after,
                outputs={**outputs, "path": work.inputs["path"]},
                reversible=True,
            )

    def do(self, work: Work) -> Done:
        """Fetch it, unless a file with this digest is there. Fails with nothing changed."""
        download = _settings(work)
        with changing(work) as ledger:
            # In a folder of its own: whoever names the file must not name one of our notes, which an undo goes by.
            part = Part(work.scratch / "download" / _file_name(download.url))
            if "path" not in work.inputs:
                sha256 = _fetched(work, download, part)
                return Done({"file": str(part.path), "sha256": sha256}, change=Change.READ)
            name = work.inputs["path"]
            path, mode = locate_target(work.root, name), parse_mode(work.inputs["mode"])
            kind = kind_of(path)
            refuse_other(path, kind)
            found = fingerprint(path) if kind is Kind.FILE else ""
            wanted = _digest(work.inputs)
            sha256 = wanted if found and found == file_fingerprint(mode, wanted) else _fetched(work, download, part)
            after = file_fingerprint(mode, sha256)
            records = (*gone_below(path, name), here(name, after, "downloaded", source=shown_url(download.url)))
            outputs: dict[str, Json] = {"file": str(path), "sha256": sha256, "path": name}
            if found == after:
                part.forget()
                return Done(outputs, unchanged=True, change=Change.NOOP, records=records)
            part.path.chmod(int(mode, 8))
            ledger.make_parents(path)
            ledger.replace(path, part.path)
            return Done(outputs, undo=ledger.complete(), change=CHANGE_OF[kind], records=records)

    def undo(self, work: Work) -> None:
        """Bring back what stood there, and remove the directories that were made."""
        undo_changes(work)

    def verify(self, work: Work) -> Verified:
        """Whether the file is there with its digest and mode; `unknown` where no digest is known. An artifact is its own."""
        if "path" not in work.inputs:
            return Verified.HOLDS
        digest = _digest(work.inputs) or str(work.outputs.get("sha256", ""))
        mode = parse_mode(work.inputs["mode"])
        path = locate_target(work.root, work.inputs["path"])
        if not digest:
            return Verified.UNKNOWN
        return verified(lambda: fingerprint(path) == file_fingerprint(mode, digest))


def _fetched(work: Work, download: Download, part: Part) -> str:
    """The digest of what was fetched into `part`. Raises ActionFailed where it is another than it must be."""
    fetch(download, part)
    found, wanted = file_sha256(part.path), _digest(work.inputs)
    if wanted and found != wanted:
        part.forget()
        why = f"`{shown_url(download.url)}` has the digest {found}, not {wanted}: nothing was put anywhere"
        raise ActionFailed(why, code="digest_differs", is_permanent=True)
    return found


def _settings(work: PlanWork | Work) -> Download:
    """What to fetch. Raises ActionFailed for slots that make no sense."""
    _digest(work.inputs)
    parse_mode(work.inputs["mode"])
    most = work.inputs["max_bytes"]
    if not isinstance(most, int) or most < 0:
        raise ActionFailed(f"`max_bytes` is `{most}`: write how many bytes, such as {BYTES_MAX}")
    try:
        timeout_ms = parse_ms(str(work.inputs["timeout"]))
    except ValueError as error:
        raise ActionFailed(f"`timeout`: {error}") from error
    if not timeout_ms:
        raise ActionFailed("`timeout` is 0: write how long to wait, such as 30s")
    cancelled = work.cancelled if isinstance(work, Work) else lambda: False
    return Download(check_url(str(work.inputs["url"])), timeout_ms / 1000, most, work.env, cancelled)


def _digest(inputs: Mapping[str, Json]) -> str:
    """The digest that is asked for, in lower case; empty where none is."""
    text = inputs.get("sha256")
    if text is None:
        return ""
    found = _DIGEST.fullmatch(str(text))
    if found is None:
        raise ActionFailed(f"`sha256` is `{text}`: write 64 hex digits")
    return found[1].lower()


def _file_name(url: str) -> str:
    """What the artifact is called: as at the end of the address, so that its ending is kept."""
    name = _NAME.sub("_", PurePosixPath(unquote(urlsplit(url).path)).name)[-100:].lstrip(".")
    return f"download-{name}" if not name or name.isdecimal() else name
