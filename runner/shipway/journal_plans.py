"""How a plan is kept in the journal: once by its digest, and a large text that many nodes share once by its own."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from shipway import canonical
from shipway.canonical import Json
from shipway.journal_schema import Damaged
from shipway.plan import Plan
from shipway.plan_file import plan_from_json

_SMALL = 4 << 20
"""Up to this many bytes a plan is kept as it is: looking for what its nodes share would take longer than writing it."""

_LARGE_TEXT = 4096


def store(connection: sqlite3.Connection, plan: Plan) -> int:
    """The row of `plan`, made where it is not there yet. Inside a transaction of the caller's."""
    row = connection.execute("SELECT plan FROM plan WHERE digest=?", (plan.digest,)).fetchone()
    if row is not None:
        return int(row[0])
    content, shared = plan.canonical_body, "[]"
    if len(content) > _SMALL and _has_large_text(content):
        content, shared = _shared_apart(connection, plan)
    cursor = connection.execute(
        "INSERT INTO plan (digest, content, shared) VALUES (?, ?, ?)", (plan.digest, zlib.compress(content, 1), shared)
    )
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def load(connection: sqlite3.Connection, key: int, known: Plan | None = None) -> Plan:
    """The plan of a row; `known` itself where it is that. Raises Damaged where what is read is not the one that was stored."""
    if known is not None:
        named = connection.execute("SELECT digest FROM plan WHERE plan=?", (key,)).fetchone()
        if named == (known.digest,):
            return known
    row = connection.execute("SELECT digest, content, shared FROM plan WHERE plan=?", (key,)).fetchone()
    try:
        digest, content, shared = row
        body = zlib.decompress(content)
        data = msgspec.json.decode(body)
        places = json.loads(shared)
        for path, name in places:
            (text,) = connection.execute("SELECT content FROM content WHERE digest=?", (name,)).fetchone()
            _put(data, path, zlib.decompress(text).decode())
        if places:
            body = canonical.canonical_bytes(data)
        plan = plan_from_json(data)
        # What was kept is not written again to be compared: its bytes are what was digested, its effect is among them.
        plan.__dict__.update(canonical_body=body, effect=data["effect"])
    except (TypeError, ValueError, KeyError, AssertionError, msgspec.DecodeError, zlib.error) as error:
        raise Damaged("a plan in the journal cannot be read", next="move the journal away") from error
    if plan.digest != digest:
        raise Damaged("a plan in the journal is not the one that was stored", next="move the journal away")
    return plan


def forget_unshared(connection: sqlite3.Connection) -> None:
    """Drop the texts that no plan has any more. Inside a transaction of the caller's."""
    named = {name for (shared,) in connection.execute("SELECT shared FROM plan") for _, name in json.loads(shared)}
    kept = {name for (name,) in connection.execute("SELECT digest FROM content")}
    connection.executemany("DELETE FROM content WHERE digest=?", [(name,) for name in kept - named])


def _shared_apart(connection: sqlite3.Connection, plan: Plan) -> tuple[bytes, str]:
    """The plan without its large texts, which are stored on their own, and where each of them belongs."""
    body = msgspec.json.decode(plan.canonical_body)
    places: list[tuple[list[str | int], str]] = []
    digests: dict[str, str] = {}
    for path, text in list(_large_texts(body, [])):
        digest = digests.get(text)
        if digest is None:
            content = text.encode()
            digest = digests[text] = canonical.bytes_digest(content)
            connection.execute("INSERT OR IGNORE INTO content VALUES (?, ?)", (digest, zlib.compress(content, 1)))
        places.append((path, digest))
        _put(body, path, "")
    return msgspec.json.encode(body), json.dumps(places)


def _has_large_text(content: bytes) -> bool:
    """Whether there may be any, so that the whole plan is not looked through for nothing.

    What is between two quotes is no shorter than the text that is there: with the escaped ones taken away, or one too many,
    two texts only become one. From quote to quote, the farthest in reach each time.
    """
    content = content.replace(b'\\"', b"''")
    at = 0
    while at + _LARGE_TEXT < len(content):
        quote = content.rfind(b'"', at, at + _LARGE_TEXT + 1)
        if quote < 0:
            return True
        at = quote + 1
    return False


def _large_texts(value: Json, path: list[str | int]) -> Iterator[tuple[list[str | int], str]]:
    if isinstance(value, str):
        if len(value) > _LARGE_TEXT:
            yield path, value
    elif isinstance(value, Mapping):
        for key, member in value.items():
            yield from _large_texts(member, [*path, key])
    elif isinstance(value, Sequence):
        for place, member in enumerate(value):
            yield from _large_texts(member, [*path, place])


def _put(body: Json, path: Sequence[str | int], text: str) -> None:
    here: Json = body
    for step in path[:-1]:
        here = here[step]  # type: ignore[index]
    here[path[-1]] = text  # type: ignore[index]
