"""Masks secrets in what was observed, and strips what a terminal or a reader could be fooled with. Writes to no sink.

Everything foreign passes here before a log, comment, summary, output or document: strip first, then mask.
"""

from __future__ import annotations

import base64
import json
import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from threading import Lock
from typing import NewType
from urllib.parse import quote, quote_plus

from msgspec import Struct

from shipway.canonical import Json

Redacted = NewType("Redacted", str)
"""Text that may leave the machine: it was masked, or Shipway wrote it itself. What a sink accepts."""

MASK = "***"

SHORTEST = 4
"""Shorter values are not masked: they occur by chance in most texts, and masking them would shred those."""

_HEAD = 8
_HELD_SEQUENCE_MAX = 4096

# CSI and the strings that OSC, DCS, SOS, PM and APC begin end with the line at the latest, so that an unfinished one
# cannot swallow what follows. Source: ECMA-48, sections 5.3 to 5.6. C1, C0 but tab and newline, and DEL; bidi controls,
# zero-width characters and tags: Unicode Technical Report 36, section 2.5; UAX 9, section 2. The pattern begins with the
# set of all of them since that is what makes the search fast.
_CONTROL = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\U000e0000-\U000e007f]"
    r"(?:(?:(?<=\x1b)\[|(?<=\x9b))[0-?]*[ -/]*[@-~]?"
    r"|(?:(?<=\x1b)[\]PX^_]|(?<=[\x9d\x90\x98\x9e\x9f]))[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?"
    r"|(?<=\x1b)[ -/]*[0-~]?)?"
)
_SEQUENCE_STARTS = frozenset("\x1b\x9b\x9d\x90\x98\x9e\x9f")


def trusted(text: str) -> Redacted:
    """Marks a text of Shipway's own as fit for every sink. Never for anything that was read or received."""
    return Redacted(text)


def strip_control(text: str) -> str:
    """`text` without terminal sequences, control characters (tab and newline stay), bidi and zero-width characters."""
    return _CONTROL.sub("", text)


def redacted_value(value: Json, redact: Callable[[str], str]) -> Json:
    """A value of any shape with `redact` applied to every text in it, keys included."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {redact(key): redacted_value(item, redact) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [redacted_value(item, redact) for item in value]
    return value


class _Patterns(Struct, frozen=True):
    """What is looked for: sorted `variants`, their first characters, the longest one's length, and the compiled search."""

    variants: tuple[str, ...]
    heads: frozenset[str]
    longest: int
    search: re.Pattern[str]


class Redactor:
    """Masks a run's secrets, in the forms in which they come back: plain, base64, hexadecimal, quoted for URL, JSON,
    shell and HTML, and line by line.

    `too_short` names the secrets that are not masked because they are shorter than SHORTEST. `count` is the number of
    places masked so far. Threads may share one; `add` takes effect for every text that is redacted afterwards.
    """

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self._lock = Lock()
        self._count = 0
        self._too_short: set[str] = set()
        self._variants: set[str] = set()
        for name, value in secrets.items():
            self._learn(name, value)
        self._patterns = _compiled(self._variants)

    @property
    def count(self) -> int:
        """How many places were masked so far, by this redactor and its streams."""
        return self._count

    @property
    def too_short(self) -> tuple[str, ...]:
        """The names of secrets that are too short to mask, sorted; empty values are not among them."""
        return tuple(sorted(self._too_short))

    def add(self, name: str, value: str) -> None:
        """Masks one more secret from now on, such as an output that was declared secret."""
        with self._lock:
            self._learn(name, value)
            self._patterns = _compiled(self._variants)

    def redact(self, text: str) -> Redacted:
        """`text` with every secret replaced by MASK; nothing else is changed."""
        patterns = self._patterns
        if patterns is None:
            return Redacted(text)
        masked, count = patterns.search.subn(MASK, text)
        self._counted(count)
        return Redacted(masked)

    def clean(self, text: str) -> Redacted:
        """`text` stripped, then masked: a secret interrupted by invisible characters is found as well."""
        return self.redact(strip_control(text)) if text else Redacted("")

    def finds(self, text: str) -> bool:
        """Whether a secret stands in `text`. Counts nothing."""
        patterns = self._patterns
        return patterns is not None and patterns.search.search(text) is not None

    def stream(self) -> Stream:
        """A reader for one output that arrives in pieces."""
        return Stream(self)

    def _learn(self, name: str, value: str) -> None:
        bare = value.strip()
        if bare and len(bare) < SHORTEST:
            self._too_short.add(name)
        self._variants.update(variant for variant in _variants(bare) if len(variant) >= SHORTEST)

    def _counted(self, count: int) -> None:
        if count:
            with self._lock:
                self._count += count


class Stream:
    """Cleans one output piece by piece: the pieces together equal `clean` of the whole.

    Only what could still become a secret or a terminal sequence is held back, never more than the longest form of a
    secret. Not for two threads at once.
    """

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._raw = ""
        self._text = ""

    def feed(self, piece: str) -> Redacted:
        """What can be shown now that `piece` has arrived; may be empty."""
        raw = self._raw + piece
        settled = _settled_sequences(raw)
        self._raw = raw[settled:]
        return self._release(strip_control(raw[:settled]), is_last=False)

    def flush(self) -> Redacted:
        """What was held back, at the end of the output."""
        raw, self._raw = self._raw, ""
        return self._release(strip_control(raw), is_last=True)

    def _release(self, text: str, *, is_last: bool) -> Redacted:
        text = self._text + text
        patterns = self._redactor._patterns
        if patterns is None:
            self._text = ""
            return Redacted(text)
        shown: list[str] = []
        position = count = 0
        settled = len(text) if is_last else _undecided(patterns, text, 0)
        for match in patterns.search.finditer(text):
            if match.start() >= settled:
                break
            shown += (text[position : match.start()], MASK)
            position, count = match.end(), count + 1
            if position > settled:
                settled = _undecided(patterns, text, position)
        shown.append(text[position:settled])
        self._text = text[max(position, settled) :]
        self._redactor._counted(count)
        return Redacted("".join(shown))


def _compiled(variants: Iterable[str]) -> _Patterns | None:
    ordered = sorted(variants)
    if not ordered:
        return None
    return _Patterns(
        variants=tuple(ordered),
        heads=frozenset(variant[:_HEAD] for variant in ordered),
        longest=max(map(len, ordered)),
        search=re.compile(_alternatives(ordered)),
    )


def _alternatives(ordered: list[str], depth: int = 0) -> str:
    """A pattern for any of the sorted texts, the longest first, that tests a shared beginning once.

    One flat alternative per text would be tried at nearly every character of the input, which is slow for many secrets.
    """
    groups: dict[str, list[str]] = {}
    for text in ordered:
        groups.setdefault(text[:1], []).append(text[1:])
    ends_here = groups.pop("", None) is not None
    if depth >= _HEAD:
        whole = sorted((text for text in ordered if text), key=len, reverse=True)
        branches = [re.escape(text) for text in whole]
    else:
        branches = [re.escape(first) + _alternatives(rest, depth + 1) for first, rest in groups.items()]
    if not branches:
        return ""
    joined = branches[0] if len(branches) == 1 and not ends_here else f"(?:{'|'.join(branches)})"
    return joined + "?" if ends_here else joined


def _undecided(patterns: _Patterns, text: str, start: int) -> int:
    """The first place from `start` on where more text could still complete a secret, or make one longer."""
    for position in range(max(start, len(text) - patterns.longest + 1), len(text)):
        head = text[position : position + _HEAD]
        if (len(head) < _HEAD or head in patterns.heads) and _begins_longer(patterns, text[position:]):
            return position
    return max(start, len(text))


def _begins_longer(patterns: _Patterns, beginning: str) -> bool:
    index = bisect_left(patterns.variants, beginning)
    candidates = patterns.variants[index : index + 2]
    return any(len(variant) > len(beginning) and variant.startswith(beginning) for variant in candidates)


def _settled_sequences(raw: str) -> int:
    """How much of `raw` can be stripped now: a terminal sequence that reaches its end may go on in the next piece."""
    for match in _CONTROL.finditer(raw, max(0, len(raw) - _HELD_SEQUENCE_MAX)):
        if match.end() == len(raw) and match.group()[0] in _SEQUENCE_STARTS:
            return match.start()
    return len(raw)


def _variants(value: str) -> Iterator[str]:
    """The forms in which `value`, and each line of it, may turn up."""
    for part in {value, strip_control(value), *(line.strip() for line in value.splitlines())}:
        if len(part) >= SHORTEST:
            yield part
            yield from _quoted(part)
            yield from _base64(_bytes(part))
            yield from (_bytes(part).hex(), _bytes(part).hex().upper())


def _quoted(value: str) -> Iterator[str]:
    escaped = json.dumps(value)[1:-1]
    yield from (escaped, json.dumps(value, ensure_ascii=False)[1:-1], escaped.replace("/", "\\/"))
    # A text quoted for a shell, as `set -x` shows it and as Python's shlex does; HTML and XML.
    yield from (value.replace("'", "'\\''"), value.replace("'", "'\"'\"'"))
    marked_up = value.translate(_MARKUP)
    yield from (marked_up, marked_up.translate(_MARKUP_QUOTES), marked_up.replace("'", "&#39;").replace('"', "&#34;"))
    content = _bytes(value)
    for text in (quote(content, safe=""), quote(content), quote(content, safe="!'()*"), quote_plus(content)):
        yield text
        yield re.sub("%[0-9A-F]{2}", lambda match: match.group().lower(), text)


def _base64(content: bytes) -> Iterator[str]:
    """Base64 of any text that contains `content`: the digits that do not depend on what stands before or behind it."""
    for before in range(3):
        digits = base64.b64encode(b"\0" * before + content).decode()
        # A digit holds 6 bits: those that share bits with other bytes are left out, and the padding with them.
        core = digits[-(-before * 8 // 6) : (before + len(content)) * 8 // 6]
        whole = digits if before == 0 else core
        for text in (core, whole):
            yield text
            yield text.translate(_URL_SAFE)


_MARKUP = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_MARKUP_QUOTES = str.maketrans({"'": "&#x27;", '"': "&quot;"})
_URL_SAFE = str.maketrans("+/", "-_")


def _bytes(value: str) -> bytes:
    """The bytes the secret has in an environment, where undecodable ones are kept as lone surrogates."""
    try:
        return value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return value.encode("utf-8", "surrogatepass")
