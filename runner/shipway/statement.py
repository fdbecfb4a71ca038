"""A receipt as an in-toto Statement: what `actions/attest`, or any other tool for attestations, can sign. Pure.

Source: https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from shipway.canonical import Json, bytes_digest, mapping
from shipway.receipt import Receipt, outcome_counts

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://shipway.dev/predicates/receipt/v1"
"""What the predicate is: schemas/receipt-predicate-1.schema.json, docs/receipts.md#attestation."""

MOST_SUBJECTS = 1024
"""What one attestation on GitHub takes. Source: https://github.com/actions/attest"""

_PREFIX = "sha256:"


def statement(receipt: Receipt, name: str) -> dict[str, Json]:
    """The Statement about the file of a receipt, called `name`, and the files that the run gave out."""
    subject: list[Json] = [
        {"name": each, "digest": {"sha256": digest.removeprefix(_PREFIX)}} for each, digest in subjects(receipt, name)
    ]
    return {
        "_type": STATEMENT_TYPE,
        "subject": subject,
        "predicateType": PREDICATE_TYPE,
        "predicate": predicate(receipt),
    }


def subjects(receipt: Receipt, name: str) -> list[tuple[str, str]]:
    """Names and digests: of the receipt's file, then of each output of type `file`, as many as an attestation takes."""
    found = dict.fromkeys([(name, bytes_digest(receipt.content)), *_files(receipt)])
    return list(found)[:MOST_SUBJECTS]


def checksums(receipt: Receipt, name: str) -> str:
    """The subjects as `sha256sum` writes them, and `subject-checksums` of `actions/attest` takes them."""
    return "".join(f"{digest.removeprefix(_PREFIX)}  {each}\n" for each, digest in subjects(receipt, name))


def predicate(receipt: Receipt) -> dict[str, Json]:
    """What is said of them: which run of what ended how. What the receipt says besides is in its file, by digest."""
    counts: Mapping[str, Json] = {kind.value: count for kind, count in outcome_counts(receipt.nodes).items()}
    return {
        "receipt": receipt.digest,
        "previous": receipt.previous,
        "lifecycle": receipt.lifecycle,
        "target": receipt.target,
        "run": receipt.run,
        "plan": receipt.plan_digest,
        "effect": receipt.effect,
        "started": receipt.started,
        "ended": receipt.ended,
        "outcome": receipt.outcome.value,
        "counts": counts,
        "source": dict(receipt.source),
        "url": receipt.by.url,
        "shipway": receipt.shipway,
    }


def _files(receipt: Receipt) -> Iterator[tuple[str, str]]:
    for result in receipt.nodes:
        for value in map(mapping, result.outputs.values()):
            if set(value) >= {"file", "name"}:
                yield _one_line(str(value["name"])), str(value["file"])


def _one_line(name: str) -> str:
    """A step names its file as it likes; a line end in that would be one more subject, with a digest as it likes."""
    return "".join(character if character.isprintable() else "?" for character in name)
