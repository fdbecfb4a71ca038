"""The blocks that comments on plans and on receipts share. What others wrote stands in code only; reaches no forge."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from shipway.policies import Decision, Verdict
from shipway.render import wording
from shipway.render.columns import cut
from shipway.render.escape import code, fence, link, prose
from shipway.render.shorten import Detail, Rank, shorten_lines

MAX_LISTED = 20
"""How many lines a list has at the most."""

_MAX_NOTES = 8
_NOTE_CELLS = 400
"""Of one note: some hold a command to type, with a digest in it."""


class Links(Struct, frozen=True):
    """Where a report's facts can be looked up; None leaves a link out. `run` is its label, such as `run 17, attempt 1`.

    `checks_url` is the page of the checks, where a later review shows. `notes` are sentences of Shipway's own, names in
    backticks, shown under the header.
    """

    run_url: str | None = None
    run: str = ""
    artifact_id: str | None = None
    artifact_url: str | None = None
    declaration_url: str | None = None
    checks_url: str | None = None
    notes: tuple[str, ...] = ()


def verdict_block(verdicts: Sequence[Verdict]) -> str:
    """What the policies said, one line each, those that refuse first; those that allow it only counted."""
    told = [line for decision, line in wording.verdict_lines(verdicts) if decision is not Decision.ALLOW]
    allowing = len(verdicts) - len(told)
    lines = [f"- policy {prose(line)}" for line in told[:MAX_LISTED]]
    if len(told) > MAX_LISTED:
        lines.append(f"- {len(told) - MAX_LISTED} more policies have something to say: see the artifact")
    if allowing:
        lines.append("- 1 policy allows it" if allowing == 1 else f"- {allowing} policies allow it")
    return "\n".join(lines)


def notes_block(links: Links) -> str:
    """The notes as a quotation."""
    return "\n>\n".join(f"> {prose(note, _NOTE_CELLS)}" for note in links.notes[:_MAX_NOTES])


def listed(head: str, lines: Sequence[str], share: int, count: int = 0) -> str:
    """A list under `head` with as many whole lines as `share` bytes and MAX_LISTED allow, and how many are missing.

    `count` is how many there are, where `lines` are not all of them.
    """
    shown: list[str] = []
    for line in lines[:MAX_LISTED]:
        share -= len(line.encode()) + 1
        if share < 0:
            break
        shown.append(line)
    left = max(count, len(lines)) - len(shown)
    return "\n".join([head, "", *shown, *([f"- … and {left} more"] if left else [])])


def graph_blocks(by_node: str, by_stage: str) -> tuple[str, str]:
    """Two drawings in mermaid's language; empty where there is none."""
    first = fence(by_node.split("\n"), "mermaid") if by_node else ""
    return first, first if by_stage == by_node else fence(by_stage.split("\n"), "mermaid") if by_stage else ""


def detail_of(rank: Rank, summary: str, parts: Iterable[tuple[str, Sequence[str]]]) -> Detail:
    """What is folded under `summary`: each part in a language of its own, whole and with long lines cut."""
    shown = [(language, lines) for language, lines in parts if lines]
    whole = "\n\n".join(fence(lines, language) for language, lines in shown)
    short = "\n\n".join(fence(shorten_lines(lines, cut), language) for language, lines in shown)
    frame = f"<details><summary>{summary}</summary>\n\n", "\n\n</details>"
    return Detail(rank, frame[0] + whole + frame[1], frame[0] + short + frame[1])


def found_at(links: Links, subject: str, digest: str) -> tuple[str, ...]:
    """Facts of the foot: where the document and the run are found, and the digest. Empty where not known."""
    artifact = (
        f"{subject} artifact {link(code(links.artifact_id, 40), links.artifact_url)}" if links.artifact_id else ""
    )
    run = link(prose(links.run, 80) or "run", links.run_url) if links.run or links.run_url else ""
    return artifact, f"{subject} `{digest}`", run


def foot(facts: Iterable[str], left_out: int) -> str:
    """The last line: the facts that are not empty, and how many blocks were left out."""
    told = [*facts, f"{left_out} left out" if left_out else ""]
    return " · ".join(fact for fact in told if fact)
