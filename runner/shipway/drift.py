"""Where the world differs from what receipts say: each entry is looked at, by its fingerprint or by `verify`. Changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from msgspec import Struct

from shipway.action import Action, ActionFailed, Observing
from shipway.deviation import Drift, Found
from shipway.file_records import BACKUP
from shipway.file_state import Kind, fingerprint, kind_of
from shipway.nodes import Verified
from shipway.records import Record
from shipway.state import Entry, Identity


class Answer(Struct, frozen=True):
    """What `verify` of a node said, and why it could not tell."""

    verified: Verified
    why: str = ""


AskVerify: TypeAlias = Callable[[str, Sequence[str]], Mapping[str, Answer]]
"""Asks `verify` of nodes of a run; those that it is silent about cannot be asked, and `Answer.why` says why of the others."""


def look(
    entries: Iterable[Entry],
    find_action: Callable[[str], Action | None],
    ask: AskVerify,
    root: Path,
    env: Mapping[str, str] | None = None,
) -> list[Found]:
    """What is still so, in the order of the entries. Those that no fingerprint tells of are asked by `verify`, run by run.

    `env` is what actions that observe may start programs with.
    """
    found: dict[Identity, Found] = {}
    waiting: dict[str, list[Entry]] = {}
    ordered = [entry for entry in entries if entry.exists]
    for entry in ordered:
        seen = _observed(entry, find_action(entry.last_action), root, env or {})
        if seen is not None:
            found[entry.identity] = seen
        elif entry.by is not None:
            waiting.setdefault(entry.by.run, []).append(entry)
    for run, asked in waiting.items():
        answers = ask(run, list(dict.fromkeys(entry.by.node for entry in asked if entry.by)))
        for entry in asked:
            assert entry.by is not None
            found[entry.identity] = _answered(entry, answers.get(entry.by.node))
    return [found[entry.identity] for entry in ordered if entry.identity in found]


def _observed(entry: Entry, action: Action | None, root: Path, env: Mapping[str, str]) -> Found | None:
    """By its fingerprint; None where it has none, or nobody knows how to find it again."""
    if not entry.fingerprint:
        return None
    try:
        if isinstance(action, Observing):
            now = action.observe(Record(entry.kind, entry.name, True, entry.fingerprint, entry.facts), root, env)
        elif entry.kind == "file" and entry.fingerprint.partition(" ")[0] in _FILE_WORDS:
            now = _fingerprint_now(root / entry.name)
        else:
            return None
    except (ActionFailed, OSError) as error:
        return Found(entry, Drift.UNKNOWN, str(error))
    if now == entry.fingerprint:
        return Found(entry, Drift.HELD)
    if entry.facts.get("how") == BACKUP:
        # Whose it was may do with it what they like, and nothing that is declared would bring it back.
        return Found(entry, Drift.HELD, f"a backup, which was {'removed' if now is None else 'changed'} since")
    if now is None:
        return Found(entry, Drift.MISSING, "it is not there")
    return Found(entry, Drift.DRIFTED, _difference(entry.fingerprint, now))


_FILE_WORDS = frozenset(kind.value for kind in (Kind.FILE, Kind.LINK, Kind.DIRECTORY))


def _fingerprint_now(path: Path) -> str | None:
    return None if kind_of(path) is Kind.ABSENT else fingerprint(path)


def _difference(before: str, now: str) -> str:
    """What is another about a file, in words: its fingerprint is `file MODE SHA256`, `link SHA256` or `directory MODE`."""
    was, is_now = before.split(" "), now.split(" ")
    if was[0] not in _FILE_WORDS:
        return f"{now}, was {before}"
    if was[0] != is_now[0]:
        return f"a {is_now[0]}, was a {was[0]}"
    words = {"file": ("mode", "content"), "link": ("target",), "directory": ("mode",)}[was[0]]
    parts = zip(words, was[1:], is_now[1:], strict=False)
    told = [f"mode {new}, was {old}" if word == "mode" else f"another {word}" for word, old, new in parts if old != new]
    return "; ".join(told) or "changed"


def _answered(entry: Entry, answer: Answer | None) -> Found:
    if answer is None:
        return Found(entry, Drift.UNKNOWN, "it has no `verify`")
    match answer.verified:
        case Verified.HOLDS:
            return Found(entry, Drift.HELD)
        case Verified.GONE:
            return Found(entry, Drift.MISSING, "`verify` does not find it")
        case Verified.UNKNOWN:
            return Found(entry, Drift.UNKNOWN, answer.why or "`verify` cannot tell")
