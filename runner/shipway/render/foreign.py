"""What others wrote (titles, outputs, names, errors) made safe to show: no control, no invisible, no comment opener."""

from __future__ import annotations

import re

from shipway.redaction import strip_control

_LINE_ENDS = re.compile("\r\n|[\r\v\f\x85\u2028\u2029]")

# What `strip_control` leaves and a reader still cannot see: soft hyphen, joiners and fillers, variation selectors,
# interlinear annotation. Lone surrogates cannot be written at all.
_INVISIBLE = re.compile(
    "[\xad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u206a-\u206f\u3164\ufe00-\ufe0f\uffa0\ufff9-\ufffb\U000e0080-\U000e0fff]"
)
# The runner of GitHub and its kin looks for `::name` behind leading space, and for `##[name` anywhere in a line. Source:
# https://github.com/actions/runner/blob/main/src/Runner.Common/ActionCommand.cs
_COMMANDS = re.compile(r"^((?:\s|\x1b\[[0-9;]*m)*:):|##(?=\[)", re.MULTILINE)
_SURROGATES = re.compile("[\ud800-\udfff]")
_COMMENT = re.compile("<!-")


def clean(text: str) -> str:
    """`text` without escape sequences, control, bidi and zero-width characters; line ends are `\\n`, tabs four spaces.

    Lone surrogates become U+FFFD, so that the result can always be written; `<!-` becomes `<! -`, so that it opens no
    comment and looks like no marker.
    """
    if text.isascii() and text.isprintable():
        return _COMMENT.sub("<! -", text)
    text = strip_control(_LINE_ENDS.sub("\n", text)).replace("\t", "    ")
    return _COMMENT.sub("<! -", _SURROGATES.sub("\ufffd", _INVISIBLE.sub("", text)))


def is_invisible(character: str) -> bool:
    """Whether `clean` would take this character out because a reader cannot see it."""
    return _INVISIBLE.match(character) is not None


def one_line(text: str) -> str:
    """`text` cleaned, on one line: line ends and runs of spaces become one space."""
    if text.isascii() and text.isprintable() and "  " not in text and "<!-" not in text:
        return text.strip()
    return " ".join(clean(text).split())


def lines_of(text: str) -> list[str]:
    """`text` cleaned, as lines without trailing spaces; blank lines at both ends are gone."""
    return [line.rstrip() for line in clean(text).strip("\n").split("\n")] if text.strip() else []


def inert(text: str) -> str:
    """`text`, of any number of lines and colours, with a `·` where a CI runner would see the start of a command."""
    return _COMMANDS.sub(lambda match: f"{match[1]}·" if match[1] else "#·", text)
