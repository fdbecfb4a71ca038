"""Finds credentials of others in a text, so that one which was never declared is masked all the same. Pure; keeps nothing."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from functools import cache, cached_property

from shipway.credential_shapes import SHAPES, Shape
from shipway.literals import Place, any_of


def may_be_in(text: str) -> bool:
    """Whether something in `text` begins as a credential does."""
    return _search().pattern.search(text) is not None


def places(text: str) -> Iterator[Place]:
    """Where credentials stand in `text`, from left to right; no two overlap."""
    search = _search()
    position = 0
    while (found := search.pattern.search(text, position)) is not None:
        position = found.start() + 1
        for probe in search.probes[found.group()]:
            place = probe.place(text, found.start())
            if place is not None:
                yield place
                position = max(position, place.end)
                break


def undecided(text: str, start: int = 0) -> int:
    """The first place from `start` on where more text could still complete a credential, or make one longer."""
    search = _search()
    position = max(start, len(text) - search.longest)
    while (found := search.pattern.search(text, position)) is not None:
        left = len(text) - found.start()
        # What is longer than a credential of that kind cannot become one: asking would cost a look at each character.
        if any(left <= probe.longest and probe.grows(text, found.start()) for probe in search.probes[found.group()]):
            return found.start()
        position = found.start() + 1
    # Nearly every piece of an output ends in a line end, with which nothing goes on that has not begun yet.
    if text[-1:] in search.ends_of_beginnings:
        for length in range(min(search.longest_opening - 1, len(text) - start), 0, -1):
            if text[-length:] in search.beginnings:
                return len(text) - length
    return max(start, len(text))


class _Probe:
    """One beginning of a shape, plain: tells what of a text is the credential that begins there."""

    def __init__(self, shape: Shape, opening: str) -> None:
        self._shape = shape
        self.opening = opening
        self.longest = len(opening) + shape.most

    # Compiled when something begins like it, which in most runs nothing does.

    @cached_property
    def _whole(self) -> re.Pattern[str]:
        return re.compile(f"(?:{'|'.join(map(re.escape, self._shape.opens))}){self._shape.rest}")

    @cached_property
    def _growing(self) -> re.Pattern[str]:
        return re.compile(rf"{re.escape(self.opening)}{self._shape.grows}{{0,{self._shape.most}}}\Z")

    def place(self, text: str, start: int) -> Place | None:
        """The credential that begins at `start`, without what is to be kept of it."""
        found = self._whole.match(text, start)
        if found is None:
            return None
        kept = found.end("keep") if "keep" in self._whole.groupindex else start
        return Place(start, kept, found.end())

    def grows(self, text: str, start: int) -> bool:
        """Whether what begins at `start` goes on to the end of the text."""
        return self._growing.match(text, start) is not None


class _Encoded:
    """A beginning of a shape in base64, behind `before` other bytes, perhaps broken into lines."""

    def __init__(self, shape: Shape, opening: str, before: int) -> None:
        content = opening.encode()
        digits = base64.b64encode(b"\0" * before + content).decode()
        # A digit holds 6 bits: those that share bits with other bytes are not part of what is looked for.
        self._ahead = digits[: -(-before * 8 // 6)]
        self.opening = digits[len(self._ahead) : (before + len(content)) * 8 // 6]
        self._before = before
        self._plain = _Probe(shape, opening)
        self._most = self._plain.longest * 3 // 2
        self.longest = len(self.opening) + self._most

    @cached_property
    def _growing(self) -> re.Pattern[str]:
        return re.compile(rf"{re.escape(self.opening)}[A-Za-z0-9+/=_\n-]{{0,{self._most}}}\Z")

    def place(self, text: str, start: int) -> Place | None:
        """The digits of the credential whose beginning stands at `start`."""
        # A little at first: nearly everything that begins like this turns out to be something else, or is short.
        for most in _LOOKS:
            found = _digits(min(most, self.longest)).match(text, start)
            assert found is not None
            run = found.group()
            digits = self._ahead + run.replace("\n", "").translate(_STANDARD)
            decoded = base64.b64decode(_whole_groups(digits)).decode("latin-1")
            inside = self._plain.place(decoded, self._before)
            is_cut = len(run) == most < self.longest
            if is_cut and (inside.end >= len(decoded) - 2 if inside else self._plain.grows(decoded, self._before)):
                continue
            if inside is None:
                return None
            wanted = -(-inside.end * 8 // 6) - len(self._ahead)
            return Place(start, start, start + _end_of_digits(run, wanted))
        return None

    def grows(self, text: str, start: int) -> bool:
        """Whether what begins at `start` goes on to the end of the text."""
        return self._growing.match(text, start) is not None


def _whole_groups(digits: str) -> str:
    """The digits padded to groups of four; a single one that is left over is no byte."""
    return digits[:-1] if len(digits) % 4 == 1 else digits + "=" * (-len(digits) % 4)


def _end_of_digits(run: str, count: int) -> int:
    """Where the first `count` digits of `run` end, line ends among them not counted."""
    for place, character in enumerate(run):
        count -= character != "\n"
        if count == 0:
            return place + 1
    return len(run)


@cache
def _digits(most: int) -> re.Pattern[str]:
    return re.compile(rf"[A-Za-z0-9+/_\n-]{{0,{most}}}")


_STANDARD = str.maketrans("-_", "+/")

_LOOKS = (128, 1024, 1 << 20)


class _Search:
    """All beginnings of all shapes: `probes` by what they begin with, and the pattern that finds any of those."""

    def __init__(self) -> None:
        self.probes: dict[str, list[_Probe | _Encoded]] = {}
        for shape in SHAPES:
            for opening in shape.opens:
                self._add(_Probe(shape, opening))
            for opening in shape.encoded:
                for before in range(3):
                    self._add(_Encoded(shape, opening, before))
        self.pattern = re.compile(any_of(sorted(self.probes)))
        self.longest = max(probe.longest for probes in self.probes.values() for probe in probes)
        self.longest_opening = max(map(len, self.probes))
        self.beginnings = frozenset(text[:length] for text in self.probes for length in range(1, len(text)))
        self.ends_of_beginnings = frozenset(text[-1] for text in self.beginnings)

    def _add(self, probe: _Probe | _Encoded) -> None:
        self.probes.setdefault(probe.opening, []).append(probe)


@cache
def _search() -> _Search:
    return _Search()
