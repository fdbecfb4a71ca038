"""Masks secrets in what was observed, and strips what a terminal or a reader could be fooled with. Writes to no sink.

Everything foreign passes here before a log, comment, summary, output or document: strip first, then mask.
"""

from __future__ import annotations

import base64
import json
import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from threading import Lock
from typing import NewType, Protocol
from urllib.parse import quote, quote_plus

from shipway import credentials
from shipway.canonical import Json
from shipway.literals import HEAD, Place, any_of

Redacted = NewType("Redacted", str)
"""Text that may leave the machine: it was masked, or Shipway wrote it itself. What a sink accepts."""

MASK = "***"

SHORTEST = 4
"""Shorter values are not masked: they occur by chance in most texts, and masking them would shred those."""

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
    if type(value) is dict or isinstance(value, Mapping):  # to ask what is a mapping takes ten times as long
        return {redact(key): redacted_value(item, redact) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [redacted_value(item, redact) for item in value]
    return value


class Redactor:
    """Masks a run's secrets, in the forms in which they come back: plain, base64, hexadecimal, quoted for URL, JSON,
    shell and HTML, line by line, and broken into lines; then what looks like a credential although nobody declared it.

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
        self._known = _Known(self._variants)

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
            self._known = _Known(self._variants)

    def redact(self, text: str) -> Redacted:
        """`text` with every secret replaced by MASK; nothing else is changed."""
        known, masked = self._known, text
        if text in known.unmarked:
            return Redacted(text)
        for search in (known, credentials):
            if search.may_be_in(masked):
                masked, count = _masked(masked, search.places(masked))
                self._counted(count)
        if len(text) <= _SHORT and len(known.unmarked) < _MOST_UNMARKED and masked == text:
            known.unmarked.add(text)
        return Redacted(masked)

    def clean(self, text: str) -> Redacted:
        """`text` stripped, then masked: a secret interrupted by invisible characters is found as well."""
        known = self._known
        if not text or text in known.clean:
            return Redacted(text)
        cleaned = self.redact(strip_control(text))
        if len(text) <= _SHORT and len(known.clean) < _MOST_UNMARKED and cleaned == text:
            known.clean.add(text)
        return cleaned

    def finds(self, text: str) -> bool:
        """Whether a secret stands in `text`. Counts nothing."""
        return any(True for search in (self._known, credentials) if search.may_be_in(text) for _ in search.places(text))

    def is_clean(self, text: str) -> bool:
        """Whether `clean` leaves the text as it is. Counts nothing."""
        return _CONTROL.search(text) is None and not self.finds(text)

    def knows(self, text: str) -> bool:
        """Whether the whole text is a secret. Counts nothing."""
        return text.strip() in self._variants

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
        self._unknown = ""

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
        shown, self._text, known = _settled(self._redactor._known, self._text + text, is_last=is_last)
        shown, self._unknown, unknown = _settled(credentials, self._unknown + shown, is_last=is_last)
        self._redactor._counted(known + unknown)
        return Redacted(shown)


class _Search(Protocol):
    """What finds secrets: `places` from left to right, none overlapping, `undecided` the first where more could follow.

    `may_be_in` says soon that there are none, of nearly every text.
    """

    def may_be_in(self, text: str) -> bool: ...

    def places(self, text: str) -> Iterator[Place]: ...

    def undecided(self, text: str, start: int = 0) -> int: ...


def _masked(text: str, places: Iterator[Place]) -> tuple[str, int]:
    """The text with MASK at each place, and how many there were."""
    shown: list[str] = []
    position = count = 0
    for place in places:
        shown += (text[position : place.start], MASK)
        position, count = place.end, count + 1
    return ("".join([*shown, text[position:]]) if count else text), count


def _settled(search: _Search, text: str, *, is_last: bool) -> tuple[str, str, int]:
    """What of `text` can be shown, masked; what is to be held back; and how many places were masked."""
    if not text:
        return "", "", 0
    shown: list[str] = []
    position = count = 0
    settled = len(text) if is_last else search.undecided(text)
    for place in search.places(text):
        if place.begin >= settled:
            break
        shown += (text[position : place.start], MASK)
        position, count = place.end, count + 1
        if position > settled:
            settled = search.undecided(text, position)
    shown.append(text[position:settled])
    return "".join(shown), text[max(position, settled) :], count


_BREAK = re.compile(r"\n[ \t]{0,16}")
_BROKEN = 20
"""Forms of at least this length are found although they are broken into lines, as base64 and editors do it."""

_BROKEN_AT = 16
"""Lines of at least this length: shorter ones are not put together again."""


_SHORT, _MOST_UNMARKED = 24, 2048
"""So many short texts in which no secret stands are remembered: of thousands of nodes, most say the same few words."""


class _Known:
    """The forms of declared secrets, sorted. `unmarked` are texts that neither they nor credentials stand in, `clean` those of
    them that hold no control character either.
    """

    def __init__(self, variants: Iterable[str]) -> None:
        self._variants = sorted(variants)
        self._heads = {variant[:HEAD] for variant in self._variants if len(variant) > HEAD}
        self._heads |= {variant[:length] for variant in self._variants for length in range(1, min(HEAD, len(variant)))}
        self._longest = max(map(len, self._variants), default=0)
        self._pattern = re.compile(any_of(self._variants)) if self._variants else None
        self.unmarked: set[str] = set()
        self.clean: set[str] = set()

    @cached_property
    def _long(self) -> re.Pattern[str] | None:
        variants = [variant for variant in self._variants if len(variant) >= _BROKEN and "\n" not in variant]
        return re.compile(any_of(variants)) if variants else None

    def may_be_in(self, text: str) -> bool:
        """See `_Search`."""
        return self._pattern is not None

    def places(self, text: str) -> Iterator[Place]:
        """See `_Search`."""
        if self._pattern is None:
            return
        found = [Place(match.start(), *match.span()) for match in self._pattern.finditer(text)]
        position = 0
        for place in sorted((*found, *self._broken(text)), key=lambda place: (place.start, -place.end)):
            if place.start >= position:
                yield place
                position = place.end

    def undecided(self, text: str, start: int = 0) -> int:
        """See `_Search`."""
        if self._pattern is None:
            return max(start, len(text))
        first = self._first_undecided(text, max(start, len(text) - self._longest + 1))
        at = max(start, len(text) - self._longest * 2)
        tail = text[at:]
        if "\n" not in tail:
            return first
        joined = _BREAK.sub("", tail)
        place = self._first_undecided(joined, max(0, len(joined) - self._longest + 1))
        return min(first, at + _Breaks(tail).original(place)) if place < len(joined) else first

    def _first_undecided(self, text: str, start: int) -> int:
        for position in range(start, len(text)):
            head = text[position : position + HEAD]
            if head in self._heads and (len(head) < HEAD or self._begins_longer(text[position:])):
                return position
        return max(start, len(text))

    def _begins_longer(self, beginning: str) -> bool:
        index = bisect_left(self._variants, beginning)
        candidates = self._variants[index : index + 2]
        return any(len(variant) > len(beginning) and variant.startswith(beginning) for variant in candidates)

    def _broken(self, text: str) -> list[Place]:
        """The places of forms that go over the ends of lines."""
        if "\n" not in text or self._long is None:
            return []
        joined = _BREAK.sub("", text)
        if self._long.search(joined) is None:
            return []
        breaks = _Breaks(text)
        found = []
        for match in self._long.finditer(joined):
            start, end = breaks.original(match.start()), breaks.original(match.end() - 1) + 1
            lines = text[start:end].split("\n")
            if 1 < len(lines) <= 2 + (end - start) // _BROKEN_AT:
                found.append(Place(start, start, end))
        return found


class _Breaks:
    """Where the lines of a text were put together."""

    def __init__(self, text: str) -> None:
        self._joined: list[int] = []
        self._removed: list[int] = []
        removed = 0
        for match in _BREAK.finditer(text):
            self._joined.append(match.start() - removed)
            removed += match.end() - match.start()
            self._removed.append(removed)

    def original(self, position: int) -> int:
        """The place in the text of a place in what it became."""
        index = bisect_right(self._joined, position)
        return position + (self._removed[index - 1] if index else 0)


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
