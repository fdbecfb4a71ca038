"""A comment body as GitHub's own parser reads it: which tags it opens, which text stands outside code, where it links to."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

import pycmarkgfm  # type: ignore[import-untyped]

_VOID = {"br", "img", "hr", "input"}


@dataclass
class Page:
    """`tags` that occur; `text` outside of code; `links` and their targets; `faults` in the nesting of tags."""

    tags: set[str] = field(default_factory=set)
    text: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    headings: list[str] = field(default_factory=list)
    rows: int = 0


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.page = Page()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.page.tags.add(tag)
        if tag == "a":
            self.page.links.append(dict(attrs).get("href") or "")
        if tag == "tr":
            self.page.rows += 1
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.page.faults.append(f"unexpected </{tag}>")

    def handle_comment(self, data: str) -> None:
        self.page.faults.append(f"a comment: {data}")

    def handle_data(self, data: str) -> None:
        if not {"code", "pre"} & set(self.open):
            self.page.text.append(data)
        if self.open and self.open[-1] == "h3":
            self.page.headings.append(data)


def read_page(markdown: str) -> Page:
    """`markdown` with raw HTML kept, as GitHub keeps what it allows."""
    reader = _Reader()
    reader.feed(pycmarkgfm.gfm_to_html(markdown, options=pycmarkgfm.options.unsafe))
    reader.close()
    reader.page.faults += [f"<{tag}> is never closed" for tag in reader.open]
    return reader.page
