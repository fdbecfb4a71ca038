"""What can be said of a sealed document from its bytes alone: whether it is whole, who signed it, else what was altered. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from shipway import canonical, schema
from shipway.canonical import Json, items_of, mapping, object_checksum
from shipway.contradictions import contradictions, differing
from shipway.errors import Reason, ShipwayError
from shipway.plan import PLAN_SCHEMA
from shipway.receipt import RECEIPT_SCHEMA
from shipway.signing import Signature, signature_from_json

_DIGEST = re.compile("sha256:[0-9a-f]{64}")


class Standing(StrEnum):
    """What verifying a document comes to. A plan is never signed: it is valid where its seal is."""

    VALID = "valid"
    UNSIGNED = "unsigned"
    INVALID = "invalid"
    MISSING = "missing"


class Signed(Struct, frozen=True):
    """What its signatures say of a document: who signed it, as far as that is vouched for, and what is wrong or to be known.

    `faults` make it invalid; `notes` do not.
    """

    by: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


AskSigned = Callable[[str, Sequence[Signature], str], Signed]
"""Asks what the signatures of a digest are worth, at the time at which the document says that it ended."""

Journalled = Callable[[Mapping[str, Json]], Mapping[str, Json] | None]
"""Asks for what a journal says of the run of a receipt, as a receipt; None where there is no such journal."""


class Checked(Struct, frozen=True):
    """One document: what it is called, what it says it is, and what verifying it came to.

    `digest` is what it claims, `is_whole` whether that is right; `object` is the git-style checksum over kind, base name and
    bytes, if it was asked for; `findings` say what is wrong.
    """

    name: str
    standing: Standing
    kind: str = ""
    digest: str = ""
    object: str = ""
    lifecycle: str = ""
    target: str = ""
    run: str = ""
    outcome: str = ""
    previous: str | None = None
    signed_by: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    is_whole: bool = False


def nobody_signed(digest: str, signatures: Sequence[Signature], at: str) -> Signed:
    """Nothing is known of any signature."""
    return Signed(notes=("nobody was asked about its signatures",) if signatures else ())


def not_journalled(receipt: Mapping[str, Json]) -> Mapping[str, Json] | None:
    """There is no journal."""
    return None


def check_document(
    name: str,
    content: bytes,
    ask: AskSigned = nobody_signed,
    journalled: Journalled = not_journalled,
    *,
    wants_checksum: bool = False,
) -> Checked:
    """What the bytes of a document come to; `name` is that of its file. Raises nothing for any bytes."""
    found = _checked(name, content, ask, journalled)
    if not wants_checksum:
        return found
    return replace(found, object=object_checksum(found.kind, name.rpartition("/")[2], content))


def _checked(name: str, content: bytes, ask: AskSigned, journalled: Journalled) -> Checked:
    kind = "plan" if b'"kind":"plan"' in content and b'"kind":"receipt"' not in content else "receipt"
    try:
        data = load(kind, content)
    except ShipwayError as error:
        loose = _loosely(content)
        suspects = _suspects(kind, name, content, loose, journalled)
        return _described(name, kind, loose, Standing.INVALID, findings=(error.message, *suspects))
    if kind == "plan":
        return _described(name, kind, data, Standing.VALID, is_whole=True)
    signatures = [signature_from_json(item) for item in items_of(data["signatures"])]
    signed = ask(str(data["digest"]), signatures, str(data["ended"]))
    standing = Standing.INVALID if signed.faults else Standing.VALID if signed.by else Standing.UNSIGNED
    return _described(name, kind, data, standing, signed.faults, signed.notes, signed.by, is_whole=True)


def load(kind: str, content: bytes) -> Mapping[str, Json]:
    """A document whose bytes, digest and schema are right. Raises VerificationError or UsageError, which says what is not."""
    if kind == "plan":
        data = canonical.load_sealed(content, kind=kind, versions=(PLAN_SCHEMA,), reason=Reason.PLAN_DIGEST)
        schema.require("plan", data)
        return data
    data = canonical.load_sealed(content, kind=kind, versions=(RECEIPT_SCHEMA,), reason=Reason.RECEIPT_DIGEST)
    schema.require("receipt", data)
    return data


def _described(
    name: str,
    kind: str,
    data: Mapping[str, Json],
    standing: Standing,
    findings: Sequence[str] = (),
    notes: Sequence[str] = (),
    signed_by: Sequence[str] = (),
    *,
    is_whole: bool = False,
) -> Checked:
    claimed, previous = str(data.get("digest", "")), data.get("previous")
    return Checked(
        name=name,
        standing=standing,
        kind=kind,
        digest=claimed if _DIGEST.fullmatch(claimed) else "",
        lifecycle=str(data.get("lifecycle", "")),
        target=str(data.get("target", "")),
        run=str(data.get("run", "")),
        outcome=str(data.get("outcome", "")),
        previous=previous if isinstance(previous, str) else None,
        signed_by=tuple(signed_by),
        findings=tuple(findings),
        notes=tuple(notes),
        is_whole=is_whole,
    )


def _loosely(content: bytes) -> Mapping[str, Json]:
    try:
        return mapping(canonical.parse(content))
    except (ValueError, RecursionError):
        return {}


def _suspects(
    kind: str, name: str, content: bytes, data: Mapping[str, Json], journalled: Journalled
) -> tuple[str, ...]:
    """Which fields were altered, as far as that can be told."""
    if not data:
        return ()
    try:
        expected = canonical.canonical_bytes(data)
        if expected != content:
            # What only has something behind it differs where that begins.
            pairs = enumerate(zip(content, expected, strict=False))
            place = next((n for n, (a, b) in pairs if a != b), min(len(content), len(expected)))
            return (f"byte {place + 1} is not where canonical form has it",)
    except canonical.NotCanonical:
        return ()
    found = [text for _, text in schema.check("plan" if kind == "plan" else "receipt", data)[:3]]
    if kind == "receipt" and not found:
        known = journalled(data)
        if known is not None:
            found = differing(data, known)
        found = found or contradictions(data, name.rpartition("/")[2])
    return tuple(found)
