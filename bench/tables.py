"""Answers as text for a terminal and as Markdown, and the page that holds them between two marks."""

from __future__ import annotations

from pathlib import Path

from bench.measure import Answer, Figure

BEGIN = "<!-- measured: `make bench ARGS=--record` writes what follows -->"
END = "<!-- /measured -->"

_WORDS = {True: "met", False: "missed", None: ""}


def as_text(answer: Answer) -> str:
    """A heading, aligned lines, and notes."""
    width = max(len(figure.what) for figure in answer.figures)
    lines = [answer.question, *(_line(figure, width) for figure in answer.figures)]
    return "\n".join([*lines, *(f"  note: {note}" for note in answer.notes)]) + "\n"


def as_markdown(answer: Answer) -> str:
    """A heading and a table."""
    rows = (
        f"| {figure.what} | {figure.measured} | {figure.aim} | {_WORDS[figure.is_met]} |" for figure in answer.figures
    )
    notes = "\n\n".join(answer.notes)
    table = "\n".join(["| | measured | aim | |", "|---|---|---|---|", *rows])
    return f"### {answer.question}\n\n{table}" + (f"\n\n{notes}" if notes else "")


def record(page: Path, content: str) -> None:
    """Replace what stands between the two marks of `page`. Raises ValueError where it has none."""
    text = page.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"`{page}` has no `{BEGIN}` and `{END}` to write between")
    page.write_text(f"{before}{BEGIN}\n\n{content}\n\n{END}{after}", encoding="utf-8")


def _line(figure: Figure, width: int) -> str:
    return f"  {figure.what:{width}}  {figure.measured:>12}  {figure.aim:12}  {_WORDS[figure.is_met]}".rstrip()
