"""The issue that tells of drift, as Markdown within a budget. Draws what it is given."""

from __future__ import annotations

from collections.abc import Sequence

from shipway.deviation import Drift, Found, counts
from shipway.redaction import Redacted, trusted
from shipway.render import escape

_TAIL_BYTES = 1_000
"""Kept for what stands below the table."""


def title(lifecycle: str, target: str) -> str:
    """What the issue is called; names are restricted by the schema."""
    return f"Drift: {lifecycle} → {target}"


def body(
    lifecycle: str, target: str, found: Sequence[Found], findings: Sequence[str], *, commit: str, budget: int
) -> Redacted:
    """What differs, row by row as far as `budget` bytes reach; then what nobody can tell, and receipts that do not count."""
    differing = [each for each in found if each.differs]
    told = (
        ", ".join(f"{count} {drift.value}" for drift, count in counts(found).items() if count) or "nothing to look at"
    )
    checked = f" Checked at {escape.code(commit[:12])}." if commit else ""
    head = f"### Shipway drift: {escape.name(lifecycle)} → {escape.name(target)}\n\n{told}.{checked}\n"
    if not differing and not findings:
        return trusted(f"{head}\nAll that can be asked about is as its run left it again.\n\n{_FOOT}")
    blocks = [f"- not counted: {escape.prose(text)}" for text in findings[:20]]
    below = ("\n" + "\n".join(blocks) + "\n" if blocks else "") + f"\n{_NEXT}\n\n{_FOOT}"
    if not differing:
        return trusted(head + below)
    rows, left = _rows(differing, budget - len((head + below + _HEADS).encode()) - _TAIL_BYTES)
    more = f"\n{left} more are in the job's log.\n" if left else ""
    return trusted(f"{head}\n{_HEADS}{rows}{more}{below}")


def _rows(found: Sequence[Found], budget: int) -> tuple[str, int]:
    """As many rows as fit, what is missing first, and how many are left out."""
    ordered = sorted(found, key=lambda each: each.drift is not Drift.MISSING)
    rows: list[str] = []
    used = 0
    for each in ordered:
        row = _row(each)
        used += len(row.encode())
        if used > budget and rows:
            break
        rows.append(row)
    return "".join(rows), len(found) - len(rows)


def _row(found: Found) -> str:
    entry, by = found.entry, found.entry.by
    cells = [
        found.drift.value,
        escape.code_cell(entry.kind),
        escape.code_cell(entry.name),
        escape.code_cell(found.why) if found.why else "",
        escape.code_cell(by.run) if by else "",
    ]
    return "| " + " | ".join(cells) + " |\n"


_HEADS = "| drift | kind | name | why | by run |\n|---|---|---|---|---|\n"
_NEXT = "`shipway drift` looks again; `shipway plan --reconcile` shows what would bring it back."
_FOOT = (
    "This issue is written anew by each check, closed once all holds, and opened again when it does not."
    " Nothing in it decides anything."
)
