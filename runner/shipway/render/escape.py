"""Foreign text inside Markdown: always code, never markup, link, mention or reference. Owns escaping and no layout."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape
from urllib.parse import quote, urlsplit

from shipway.render.columns import cut
from shipway.render.foreign import one_line

_TICKS = re.compile("`+")
_PLAIN_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]*")
_PLAIN_WORD = re.compile(r"[A-Za-z0-9.,:;()'\"?!/→·–-]*[A-Za-z0-9→·–][A-Za-z0-9.,:;()'\"?!/→·–-]*")

# GitHub turns commit ids and `GH-12` into references wherever they stand as text, GitLab `!12`.
_REFERENCE = re.compile(r".*\b(?:[0-9a-f]{7,64}\b|gh-[0-9]).*|.*(?:://|www\.|![0-9]).*", re.IGNORECASE)

# What stands between two code spans.
_BETWEEN = re.compile(r"[(),.;:]+")

_LIST_ITEM = re.compile(r"[0-9]+[.)]")
_MAX_URL = 500


def code(text: str, cells: int = 120) -> str:
    """`text` on one line, cut to `cells`, as a code span that its own backticks cannot end."""
    text = cut(one_line(text), cells) or "(empty)"
    ticks = "`" * (1 + max(map(len, _TICKS.findall(text)), default=0))
    space = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{ticks}{space}{text}{space}{ticks}"


def code_cell(text: str, cells: int = 80) -> str:
    """A code span that can stand in a table: its `|` do not end the cell."""
    return code(text, cells).replace("|", "\\|")


def html_code(text: str, cells: int = 120) -> str:
    """`text` on one line as `<code>`, for a line of HTML in which Markdown is not read."""
    return f"<code>{escape(cut(one_line(text), cells) or '(empty)')}</code>"


def name(text: str) -> str:
    """A name of the declaration: as it is where nothing in it could be markup, else as a code span."""
    if _PLAIN_NAME.fullmatch(text) and len(text) <= 60 and not _REFERENCE.fullmatch(text):
        return text
    return code_cell(text, 60)


def prose(text: str, cells: int = 300) -> str:
    """A sentence of Shipway's own with names in backticks; whatever else could be markup becomes code word by word."""
    parts = cut(one_line(text), cells).split("`")
    if len(parts) % 2 == 0:
        return code(text, cells)
    spans = (code(part) if place % 2 else _words(part) for place, part in enumerate(parts) if part)
    return "".join(spans)


def fence(lines: Iterable[str], language: str = "") -> str:
    """Cleaned lines in a fence that is longer than any run of backticks in them."""
    body = "\n".join(lines)
    ticks = "`" * max(3, 1 + max(map(len, _TICKS.findall(body)), default=0))
    return f"{ticks}{language}\n{body}\n{ticks}"


def link(label: str, url: str | None) -> str:
    """`label`, which is Markdown already, linked to `url` if that is a web address of reasonable length."""
    if not url or len(url) > _MAX_URL or urlsplit(url).scheme not in ("https", "http"):
        return label
    return f"[{label}]({quote(url, safe=_URL_SAFE)})"


_URL_SAFE = "/:?#@!$&*+,;=%~-._"


def _words(text: str) -> str:
    return " ".join(_word(word) for word in text.split(" "))


def _word(word: str) -> str:
    if _BETWEEN.fullmatch(word):
        return word
    is_plain = _PLAIN_WORD.fullmatch(word) and not _REFERENCE.fullmatch(word) and not _LIST_ITEM.fullmatch(word)
    if not word or is_plain:
        return word
    stem = word.rstrip(":,;.")
    return code(stem) + word[len(stem) :] if stem else code(word)
