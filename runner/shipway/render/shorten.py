"""Fits a report into a number of bytes by fixed moves, one after the other. Whole blocks only; knows no plan and no receipt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import IntEnum

from msgspec import Struct
from msgspec.structs import replace

from shipway.render.wording import plural

KEPT_LINES = 20
"""How many lines a shortened detail keeps at each end."""

KEPT_CELLS = 300
"""How much of a line a shortened detail keeps."""

MIN_BUDGET = 2000
"""The smallest budget that the head of every report fits in, in UTF-8 bytes."""


class Rank(IntEnum):
    """Which details go first: of nodes that change nothing, then of `create` and `run`, then the others."""

    QUIET = 0
    USUAL = 1
    WEIGHTY = 2


class Folding(IntEnum):
    """Which rows are folded, and into how many: by stage and change, by stage, or into one for all."""

    NONE = 0
    QUIET = 1
    USUAL = 2
    ALL = 3
    STAGES = 4
    ONE = 5


class Drawing(IntEnum):
    """How the graph is drawn."""

    NODES = 0
    STAGES = 1
    NONE = 2


class Row(Struct, frozen=True):
    """One node's line of the table, or that of several alike. `word` is its change or outcome.

    A row of weight 0 is folded with its like; those above are folded after all others, and those of the greatest last.
    """

    stage: str
    word: str
    line: str
    quiet: bool = False
    weight: int = 0
    nodes: int = 1


class Detail(Struct, frozen=True):
    """One node's `<details>`: whole, and with long lines cut and only the first and last ones kept."""

    rank: Rank
    whole: str
    short: str


class Report(Struct, frozen=True):
    """Whole blocks of Markdown, each without a line end behind it; an empty one is not shown.

    `head` is at most MIN_BUDGET bytes. `lead` follows it; `folded_row` makes the line for some nodes of a stage out of
    (stage, text); `graphs` are by node and by stage; `foot` is given how many nodes have no row of their own.
    `subject` is `plan` or `receipt`. `history` stands behind all details.
    """

    subject: str
    head: str
    lead: tuple[str, ...]
    table_head: str
    rows: tuple[Row, ...]
    folded_row: Callable[[str, str], str]
    graphs: tuple[str, str]
    after: tuple[str, ...]
    details: tuple[Detail, ...]
    foot: Callable[[int], str]
    history: str = ""


class Form(Struct, frozen=True):
    """How much of a report is shown. The default is everything. `named` rows of the greatest weight are never folded."""

    short_details: bool = False
    least_rank: int = Rank.QUIET
    drawing: Drawing = Drawing.NODES
    folding: Folding = Folding.NONE
    named: int = 0
    has_sections: bool = True
    has_table: bool = True
    has_foot: bool = True


def _moves() -> tuple[Form, ...]:
    steps: tuple[Callable[[Form], Form], ...] = (
        lambda form: replace(form, short_details=True),
        lambda form: replace(form, least_rank=Rank.USUAL),
        lambda form: replace(form, least_rank=Rank.WEIGHTY),
        lambda form: replace(form, least_rank=Rank.WEIGHTY + 1),
        lambda form: replace(form, drawing=Drawing.STAGES),
        lambda form: replace(form, drawing=Drawing.NONE),
        lambda form: replace(form, folding=Folding.QUIET),
        lambda form: replace(form, folding=Folding.USUAL),
        lambda form: replace(form, folding=Folding.ALL),
        lambda form: replace(form, folding=Folding.STAGES),
        lambda form: replace(form, folding=Folding.ONE),
        lambda form: replace(form, has_sections=False),
        lambda form: replace(form, has_table=False),
        lambda form: replace(form, has_foot=False),
    )
    forms = [Form()]
    for step in steps:
        forms.append(step(forms[-1]))
    return tuple(forms)


MOVES = _moves()
"""Every form in the order in which they are tried; each gives up a little more than the one before."""


def fit(report: Report, budget: int) -> str:
    """The first form of `report` that takes at most `budget` UTF-8 bytes, with as many rows of weight named as then fit.

    Raises ValueError below MIN_BUDGET.
    """
    if budget < MIN_BUDGET:
        raise ValueError(f"a report takes at least {MIN_BUDGET} bytes, not {budget}")
    for form in MOVES:
        text = assemble(report, form)
        if len(text.encode()) <= budget:
            return _filled(report, form, text, budget) if form.folding >= Folding.ALL and form.has_table else text
    return report.head


def _filled(report: Report, form: Form, text: str, budget: int) -> str:
    """`text`, which is `report` in `form`, with as many rows of weight named as fit."""
    while True:
        # Naming one adds its line; the lines it was counted in only shrink, and are gone where nothing is left to count.
        named, room = form.named, budget - len(text.encode())
        for row in _by_weight(report.rows)[form.named :]:
            room -= len(row.line.encode()) + 1
            if room < 0:
                break
            named += 1
        if named == form.named:
            return text
        form = replace(form, named=named)
        text = assemble(report, form)


def _by_weight(rows: Sequence[Row]) -> list[Row]:
    return sorted((row for row in rows if row.weight), key=lambda row: -row.weight)


def assemble(report: Report, form: Form) -> str:
    """The Markdown of `report` in `form`, each move announced. Ends without a line end."""
    lines, left_out = _table(report, form)
    blocks = [report.head]
    if form.has_sections:
        blocks += report.lead
    if form.has_table and lines:
        blocks.append("\n".join([report.table_head, *lines]))
    if form.drawing is not Drawing.NONE:
        blocks.append(report.graphs[form.drawing])
    if form.has_sections:
        blocks += report.after
    blocks += [d.short if form.short_details else d.whole for d in report.details if d.rank >= form.least_rank]
    if form.has_sections:
        blocks.append(report.history)
    blocks.append(_announcement(report, form, left_out))
    if form.has_foot:
        blocks.append(report.foot(left_out))
    return "\n\n".join(block for block in blocks if block)


def shorten_lines(lines: Sequence[str], cut: Callable[[str, int], str]) -> list[str]:
    """The first and last KEPT_LINES of `lines`, each cut to KEPT_CELLS, with the number left out between them."""
    if len(lines) <= 2 * KEPT_LINES:
        return [cut(line, KEPT_CELLS) for line in lines]
    gone = len(lines) - 2 * KEPT_LINES
    ends = [*lines[:KEPT_LINES], f"… {plural(gone, 'line')} left out …", *lines[-KEPT_LINES:]]
    return [cut(line, KEPT_CELLS) for line in ends]


def _table(report: Report, form: Form) -> tuple[list[str], int]:
    """Lines of the table and how many nodes have no line of their own; a folded line stands where its first node stood."""
    if not form.has_table:
        return [], sum(row.nodes for row in report.rows)
    named = {id(row) for row in _by_weight(report.rows)[: form.named]} if form.named else set()
    lines: list[str] = []
    places: dict[tuple[str, str], int] = {}
    words: dict[tuple[str, str], dict[str, int]] = {}
    for row in report.rows:
        key = None if id(row) in named else _fold_key(row, form.folding)
        if key is None:
            lines.append(row.line)
            continue
        if key not in places:
            places[key] = len(lines)
            lines.append("")
        counts = words.setdefault(key, {})
        counts[row.word] = counts.get(row.word, 0) + row.nodes
    for key, place in places.items():
        told = ", ".join(f"{count} {word}" for word, count in words[key].items())
        lines[place] = report.folded_row(key[0], told)
    return lines, sum(sum(counts.values()) for counts in words.values())


def _fold_key(row: Row, folding: Folding) -> tuple[str, str] | None:
    """What a row is folded under, or None where it stays."""
    if folding is Folding.ONE:
        return "", ""
    if folding is Folding.STAGES:
        return row.stage, ""
    if folding is Folding.NONE or (row.weight and folding is not Folding.ALL):
        return None
    if row.quiet:
        return row.stage, ""
    return (row.stage, row.word) if folding >= Folding.USUAL else None


def _announcement(report: Report, form: Form, left_out: int) -> str:
    gone = sum(detail.rank < form.least_rank for detail in report.details)
    shortened = (
        sum(d.rank >= form.least_rank and d.short != d.whole for d in report.details) if form.short_details else 0
    )
    told = [
        f"{plural(left_out, 'node')} {'is' if left_out == 1 else 'are'} not shown one by one here" if left_out else "",
        f"details of {plural(gone, 'node')} are left out" if gone else "",
        f"details of {plural(shortened, 'node')} are shortened" if shortened else "",
        _drawing_told(report, form),
        "what a rollback does is left out" if not form.has_sections and any(report.after) else "",
    ]
    text = "; ".join(part for part in told if part)
    return f"*{text[0].upper()}{text[1:]}; the whole {report.subject} is in the artifact.*" if text else ""


def _drawing_told(report: Report, form: Form) -> str:
    by_node, by_stage = report.graphs
    if form.drawing is Drawing.STAGES and by_node != by_stage:
        return "the graph is drawn by stage" if by_stage else "the graph is left out"
    return "the graph is left out" if form.drawing is Drawing.NONE and by_node else ""
