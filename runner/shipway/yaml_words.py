"""What a refusal of the YAML parser means, in words a tired engineer can act on. Pure text; parses nothing itself."""

from __future__ import annotations

import re

EXPRESSION_TRAP = 'quote it: `"${{ … }}"`; without quotes YAML reads its `{`, `:` and `#` as its own'
TAG_TRAP = 'quote it: `if: "!cancelled()"`; without quotes YAML takes `!` for the start of a tag'
_TAG_IN_IF = re.compile(r"(?:^|[\s{,-])if:\s*!")
_QUOTE_IT = "put the value in quotes"
_COLON = "a text with `: ` in it needs quotes, or a block: `run: |` and the text on the next lines; else look at the indentation"

_WORDS = (
    ("end of the file", "the file ends before this is complete", "close what is open, or remove it"),
    ("mapping values are not allowed", "a `:` cannot stand here", _COLON),
    (
        "block sequence entries are not allowed",
        "a `-` of a list cannot stand here",
        "begin the list on a line of its own",
    ),
    ("mapping keys are not allowed", "a `?` cannot stand here", _QUOTE_IT),
    (
        "could not find expected ':'",
        "neither a key with `:` nor the end of a text",
        "write `key: value`, and indent the lines of a longer text",
    ),
    (
        "did not find expected ',' or ']'",
        "neither `,` nor `]` in this list",
        "separate the items by `,` and close the list",
    ),
    (
        "did not find expected ',' or '}'",
        "neither `,` nor `}` in this mapping",
        "separate the entries by `,` and close it",
    ),
    (
        "did not find expected '-' indicator",
        "not an item of the list",
        "begin it with `- ` in the column of the items before it",
    ),
    (
        "did not find expected key",
        "not a key of this mapping",
        "look at the indentation, and at quotes inside a quoted text",
    ),
    ("did not find expected node content", "a value is missing here", _QUOTE_IT),
    ("found unexpected end of stream", "the quoted text is never closed", "add the closing quote"),
    ("found unexpected document indicator", "the quoted text is never closed", "add the closing quote"),
    (
        "found unknown escape character",
        "not an escape that YAML knows",
        "use single quotes, or write `\\\\` for a backslash",
    ),
    (
        "did not find expected hexdecimal",
        "not an escape that YAML knows",
        "use single quotes, or write `\\\\` for a backslash",
    ),
    ("found invalid Unicode character escape", "an escape that names no character", "write the character itself"),
    ("found a tab character", "a tab cannot indent", "indent with spaces"),
    (
        "did not find expected comment or line break",
        "text behind a block indicator",
        "put the text on the next line, indented",
    ),
    ("found an indentation indicator equal to 0", "a block cannot have the indentation 0", "write `|`"),
    ("did not find expected alphabetic or numeric", "`&` and `*` cannot begin a value", _QUOTE_IT),
    ("did not find expected <document start>", "text after the end of the declaration", "look for a bracket too many"),
    ("found undefined tag handle", "`!` cannot begin a value", _QUOTE_IT),
    ("did not find expected tag URI", "`!` cannot begin a value", _QUOTE_IT),
    ("did not find expected whitespace or line break", "`!` cannot begin a value", _QUOTE_IT),
    ("did not find expected '!'", "`!` cannot begin a value", _QUOTE_IT),
    ("incompatible YAML document", "a YAML version that cannot be read", "remove the `%YAML` line"),
)


def tag_in_if(line: str) -> int | None:
    """Where in `line`, counted from 0, the value of an `if:` begins with `!`, which YAML reads as a tag; None: nowhere."""
    found = _TAG_IN_IF.search(line)
    return found.end() - 1 if found else None


def is_about_opening(refusal: str) -> bool:
    """Whether what was opened on an earlier line says more than the place where the parser gave up."""
    return refusal.startswith(
        ("did not find expected ','", "could not find expected ':'", "found unexpected end of stream")
    )


def explain(refusal: str, line: str, column: int) -> tuple[str, str]:
    """What is wrong and what to do, for the parser's own `refusal` at `column` (from 0) of `line`.

    A refusal without words of ours is passed on as it is; then the hint is empty.
    """
    if tag_in_if(line) is not None:
        return "`!` begins a YAML tag", TAG_TRAP
    if is_in_expression(line, column):
        return "an expression without quotes", EXPRESSION_TRAP
    if "cannot start any token" in refusal:
        return _cannot_start(line[column : column + 1])
    for beginning, text, hint in _WORDS:
        if beginning in refusal:
            return text, hint
    return refusal, ""


def is_in_expression(line: str, column: int) -> bool:
    """Whether `column` lies in a `${{ }}` of `line` that stands outside quotes."""
    start = line.rfind("${{", 0, column + 3)
    if start < 0 or line.count('"', 0, start) % 2 or line.count("'", 0, start) % 2:
        return False
    end = line.find("}}", start)
    return end < 0 or column <= end + 2


def _cannot_start(character: str) -> tuple[str, str]:
    if character == "\t":
        return "a tab cannot indent", "indent with spaces"
    return f"`{character}` cannot begin a value", _QUOTE_IT
