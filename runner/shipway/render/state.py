"""What exists as a table, as trees, or with its history; what is where; and what could not be counted. Plain text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from shipway.node_ids import readable
from shipway.receipt import Receipt
from shipway.render.columns import Colour, cut, paint
from shipway.render.foreign import one_line
from shipway.render.table import table
from shipway.render.wording import moment
from shipway.state import Entry, HistoryRecord, Standing
from shipway.state_tree import trees
from shipway.whereabouts import Whereabouts

_HEADS = ("KIND", "NAME", "TARGET", "STANDING", "BY", "SINCE", "RUN", "COMMIT")
_COLOURS = {Standing.UNCERTAIN: Colour.YELLOW, Standing.GONE: Colour.DIM}
_COMMIT_CELLS = 9
_LEAST = 4


def render_entries(entries: Sequence[Entry], *, with_history: bool, colour: bool, columns: int) -> str:
    """A line for each entry, below it one for each record of its history where that is asked for."""
    cells = [[one_line(text) for text in _texts(entry)] for entry in entries]
    blocks = [[_told(record) for record in entry.history] if with_history else [] for entry in entries]
    colours = [_COLOURS.get(entry.standing) for entry in entries]
    return table(_HEADS, cells, blocks, colours, colour=colour, columns=columns, least=_LEAST)


def render_trees(entries: Iterable[Entry], *, colour: bool, columns: int) -> str:
    """The files of each target as a tree, with how each of them got there."""
    lines: list[str] = []
    for (lifecycle, target, root), top in trees(entries).items():
        head = one_line(f"{lifecycle} on {target}: {root}")
        lines.append(paint(cut(head, columns), Colour.BOLD, colour))
        for depth, branch in top.walk():
            how = _how(branch.entry) if branch.entry else ""
            is_folder = bool(branch.branches) and not branch.name.endswith("/")
            name = one_line(branch.name) + ("/" if is_folder else "")
            tone = _COLOURS.get(branch.entry.standing) if branch.entry else None
            lines.append(paint(cut(f"{'  ' * depth}{name}{f'  {how}' if how else ''}", columns), tone, colour))
    return "".join(f"{line}\n" for line in lines)


def render_whereabouts(found: Iterable[tuple[str, Whereabouts, str]], *, colour: bool, columns: int) -> str:
    """A line for each target: what stands there, how its last run ended, and whether it would be let through now."""
    cells = [
        [target, *_run(where.succeeded), where.last.outcome.value if where.last else "no run yet", may]
        for target, where, may in found
    ]
    heads = ("TARGET", "RUN", "COMMIT", "TREE", "SINCE", "LAST RUN", "NEXT")
    shown = [[one_line(text) for text in line] for line in cells]
    return table(heads, shown, [[] for _ in shown], [None for _ in shown], colour=colour, columns=columns)


def _texts(entry: Entry) -> Iterator[str]:
    by = entry.by or (entry.history[-1] if entry.history else None)
    yield from (entry.kind, entry.name, entry.identity.target, entry.standing.value, _how(entry))
    yield from (moment(by.at_ms), by.run, by.commit[:_COMMIT_CELLS]) if by else ("", "", "")


def _how(entry: Entry) -> str:
    """The action, and of a file or package what matters most about it."""
    facts = (entry.facts.get(name) for name in ("version", "layer"))
    known = " ".join(str(fact) for fact in facts if fact)
    return f"{entry.last_action} {known}".strip()


def _told(record: HistoryRecord) -> str:
    what = "" if record.present else ", removes"
    return one_line(
        f"{moment(record.at_ms)}  {record.outcome.value}{what}  {record.action}  {readable(record.node)}  {record.run}"
    )


def _run(receipt: Receipt | None) -> list[str]:
    if receipt is None:
        return ["-", "-", "-", "-"]
    commit, tree = receipt.source.get("commit"), receipt.source.get("tree")
    return [
        receipt.run,
        str(commit)[:_COMMIT_CELLS] if commit else "-",
        str(tree)[:_COMMIT_CELLS] if tree else "-",
        receipt.ended.partition(".")[0].replace("T", " ") + "Z",
    ]
