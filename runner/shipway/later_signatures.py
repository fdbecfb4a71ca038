"""Signatures that were made after a receipt was sealed, as they stand in a store beside the receipts. Reads and signs nothing.

A receipt in a store is never written again. A signature covers a digest, and stands outside of it, so that one beside the
receipt is worth what one inside is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from shipway.canonical import Json, canonical_bytes, mapping
from shipway.signing import Signature, signature_from_json, signature_json

_KIND = "signatures"
_SCHEMA = 1

LaterSignatures = Mapping[str, tuple[Signature, ...]]
"""By the digest of the receipt that they sign."""


def later_signatures(content: bytes) -> LaterSignatures:
    """What a record holds. Raises ValueError for one that cannot be read."""
    try:
        data = mapping(json.loads(content))
        if (data.get("kind"), data.get("schema")) != (_KIND, _SCHEMA):
            raise ValueError("it is none that this version reads")
        found = mapping(data.get("signatures"))
        return {digest: tuple(map(signature_from_json, _listed(several))) for digest, several in found.items()}
    except (KeyError, RecursionError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error


def _listed(several: Json) -> Sequence[Json]:
    if isinstance(several, str) or not isinstance(several, Sequence):
        raise ValueError("signatures are a list")
    return several


def later_bytes(signatures: LaterSignatures) -> bytes:
    """As `later_signatures` reads it."""
    listed: dict[str, Json] = {
        digest: [signature_json(signature) for signature in several] for digest, several in signatures.items()
    }
    return canonical_bytes({"kind": _KIND, "schema": _SCHEMA, "signatures": listed})


def added(signatures: LaterSignatures, digest: str, signature: Signature) -> LaterSignatures:
    """With one more."""
    before = signatures.get(digest, ())
    return signatures if signature in before else {**signatures, digest: (*before, signature)}


def signed_content(content: bytes, signatures: LaterSignatures) -> bytes:
    """The bytes of a receipt with the signatures that were made of it later; as they are where there is none, or it has its own.

    What is not in its canonical bytes was altered, and stays what it is.
    """
    if not signatures or b'"signatures":[]' not in content:
        return content
    try:
        data = mapping(json.loads(content))
    except (ValueError, RecursionError):
        return content
    later = signatures.get(str(data.get("digest")), ())
    if not later or data.get("signatures") != [] or canonical_bytes(data) != content:
        return content
    return canonical_bytes({**data, "signatures": [signature_json(each) for each in later]})
