"""Environments of mode `preview`: a table of them, and one with its nodes, as plain text or JSON. Shows no output's value."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from shipway.canonical import Json
from shipway.durations import ago, format_ms
from shipway.environment_record import EnvironmentRecord, EnvironmentState, Happening
from shipway.node_ids import readable
from shipway.nodes import Verified
from shipway.render.columns import Colour, paint, width, wrap
from shipway.render.foreign import inert, one_line
from shipway.render.table import table
from shipway.render.wording import moment

_HEADS = ("TARGET", "STATE", "COMMIT", "AGE", "ENDS IN", "URL")
_LEAST = 4
_COMMIT_CELLS = 7
_LABEL = 10
_MOST_HAPPENINGS = 5

STATE_COLOURS = {
    EnvironmentState.CREATING: Colour.CYAN,
    EnvironmentState.READY: Colour.GREEN,
    EnvironmentState.FAILED: Colour.RED,
    EnvironmentState.STOPPED: Colour.YELLOW,
    EnvironmentState.DESTROYING: Colour.YELLOW,
    EnvironmentState.GONE: Colour.DIM,
}
_VERDICT_COLOURS = {Verified.HOLDS: Colour.GREEN, Verified.GONE: Colour.RED, Verified.UNKNOWN: Colour.YELLOW}


class Seen(Struct, frozen=True):
    """One node of an environment as it stands now: what its `verify` says, None where it was not asked, and in words why."""

    node: str
    verified: Verified | None
    why: str = ""


class Damaged(Struct, frozen=True):
    """A record that cannot be read, and why."""

    target: str
    why: str


def ends_ms(record: EnvironmentRecord) -> int | None:
    """When its time to live is over (Unix time); None where it has none, or is gone."""
    return None if record.ttl_ms is None or not record.is_alive else record.touched_ms + record.ttl_ms


def ends_words(record: EnvironmentRecord, now_ms: int) -> str:
    """`2d4h`, `over` once that time has come, or `-` where it has no end."""
    end = ends_ms(record)
    if end is None:
        return "-"
    return format_ms(end - now_ms // 1000 * 1000) if end > now_ms else "over"


def render_environments(
    records: Sequence[EnvironmentRecord], damaged: Sequence[Damaged], *, now_ms: int, colour: bool, columns: int
) -> str:
    """A line for each environment, below it why it failed and what could not be removed; then the records that are damaged.

    Where addresses find no room beside the rest, they stand below each line, so that they are whole.
    """
    cells = [[one_line(text) for text in _texts(record, now_ms)] for record in records]
    blocks = [[inert(one_line(text)) for text in _trouble(record)] for record in records]
    colours = [STATE_COLOURS[record.state] for record in records]
    heads: Sequence[str] = _HEADS
    widest = [max(map(width, column)) for column in zip(heads, *cells, strict=True)] if cells else []
    if sum(widest) + 2 * (len(heads) - 1) > columns:
        heads, cells = heads[:-1], [line[:-1] for line in cells]
        urls = [[one_line(url) for _, url in _answering(record)] for record in records]
        blocks = [[*shown, *block] for shown, block in zip(urls, blocks, strict=True)]
    shown = table(heads, cells, blocks, colours, colour=colour, columns=columns, least=_LEAST)
    broken = [
        paint(one_line(f"{each.target}: its record cannot be read: {each.why}"), Colour.RED, colour) for each in damaged
    ]
    return shown + "".join(f"{line}\n" for line in broken)


def render_environment(
    record: EnvironmentRecord, seen: Iterable[Seen], *, now_ms: int, colour: bool, columns: int
) -> str:
    """Everything a person asks of one environment: state and cause, what it is of, where it answers, its nodes, its history."""
    head = f"{record.lifecycle} → {record.target}: {record.state.value}"
    lines = [paint(one_line(head), STATE_COLOURS[record.state], colour)]
    for label, text in _facts(record, now_ms):
        lines += wrap(one_line(text), columns, f"  {label:<{_LABEL}}")
    looked = [line for each in seen for line in _node_lines(each, record, now_ms, colour, columns)]
    lines += ["", "nodes", *looked] if looked else []
    stuck = [
        line for node, why in record.stuck.items() for line in wrap(one_line(f"{readable(node)}: {why}"), columns, "  ")
    ]
    lines += ["", "could not be removed", *stuck] if stuck else []
    latest = record.history[-_MOST_HAPPENINGS:]
    lines += (
        ["", "history", *(line for each in reversed(latest) for line in _happening(each, columns))] if latest else []
    )
    return "\n".join(lines) + "\n"


def environment_told(record: EnvironmentRecord, now_ms: int, seen: Iterable[Seen] = ()) -> dict[str, Json]:
    """One environment as JSON for people and programs. Outputs are not in it: some are secret."""
    end = ends_ms(record)
    return {
        "lifecycle": record.lifecycle,
        "target": record.target,
        "state": record.state.value,
        "cause": record.cause,
        "backend": record.backend,
        "host": record.host,
        "root": record.root,
        "pull_request": record.pull_request,
        "branch": record.branch,
        "commit": record.commit,
        "actor": record.actor,
        "run": record.run,
        "created": _time(record.created_ms),
        "touched": _time(record.touched_ms),
        "age_ms": max(0, now_ms - record.created_ms),
        "ends": _time(end),
        "urls": dict(record.urls),
        "nodes": [_seen_json(each, record) for each in seen],
        "stuck": dict(record.stuck),
        "history": [_happening_json(each) for each in record.history],
    }


def _texts(record: EnvironmentRecord, now_ms: int) -> list[str]:
    urls = _answering(record)
    url = next((each for _, each in urls), "")
    more = f" +{len(urls) - 1}" if len(urls) > 1 else ""
    age = ago(now_ms - record.created_ms).removesuffix(" ago").removeprefix("just ")
    commit = record.commit[:_COMMIT_CELLS] or "-"
    return [record.target, record.state.value, commit, age, ends_words(record, now_ms), f"{url}{more}" or "-"]


def _trouble(record: EnvironmentRecord) -> list[str]:
    cause = [record.cause] if record.cause else []
    return [*cause, *(f"not removed: {readable(node)}: {why}" for node, why in record.stuck.items())]


def _answering(record: EnvironmentRecord) -> list[tuple[str, str]]:
    """Services by name with their addresses, where something may answer there."""
    return [] if record.state is EnvironmentState.STOPPED else sorted(record.urls.items())


def _facts(record: EnvironmentRecord, now_ms: int) -> Iterable[tuple[str, str]]:
    if record.cause:
        yield "cause", record.cause
    commit = record.commit[:12] or "unknown"
    of = f" of {record.branch}" if record.branch else ""
    pull = f", pull request #{record.pull_request}" if record.pull_request is not None else ""
    yield "commit", f"{commit}{of}{pull}"
    where = f" on {record.host}" if record.host else ""
    if record.root and record.is_alive:
        yield "lives", f"{record.root}{where}"
    yield "made", f"{ago(now_ms - record.created_ms)}, by {record.actor or 'nobody known'}"
    end = ends_ms(record)
    if end is not None:
        over = (
            "over; the next `shipway preview gc` takes it down" if end <= now_ms else f"in {ends_words(record, now_ms)}"
        )
        yield "ends", f"{over} ({moment(end)}), unless it is brought up again"
    for name, url in _answering(record):
        yield "answers", f"{name}: {url}"
    if record.state is EnvironmentState.STOPPED:
        yield "next", f"shipway preview up --target {record.target}, to start it again"
    if record.run:
        yield "run", record.run


def _node_lines(seen: Seen, record: EnvironmentRecord, now_ms: int, colour: bool, columns: int) -> list[str]:
    word = seen.verified.value if seen.verified else "not asked"
    kept = record.checkpoints.get(seen.node)
    age = f", made {ago(now_ms - kept.at_ms)}" if kept and kept.at_ms else ""
    tone = _VERDICT_COLOURS[seen.verified] if seen.verified else Colour.DIM
    why = f": {seen.why}" if seen.why else ""
    label = f"  {word:<9}  "
    first, *more = wrap(one_line(f"{readable(seen.node)}{age}{why}"), columns, label)
    return [f"  {paint(f'{word:<9}', tone, colour)}  {first[len(label) :]}", *more]


def _happening(each: Happening, columns: int) -> list[str]:
    by = f" by {each.actor}" if each.actor else ""
    commit = f" at {each.commit[:_COMMIT_CELLS]}" if each.commit else ""
    cause = f": {each.cause}" if each.cause else ""
    label = f"  {moment(each.at_ms)}  "
    return [inert(line) for line in wrap(one_line(f"{each.what}{by}{commit}{cause}"), columns, label)]


def _happening_json(each: Happening) -> dict[str, Json]:
    return {
        "at": _time(each.at_ms),
        "what": each.what,
        "actor": each.actor,
        "run": each.run,
        "commit": each.commit,
        "cause": each.cause,
    }


def _seen_json(each: Seen, record: EnvironmentRecord) -> dict[str, Json]:
    kept = record.checkpoints.get(each.node)
    return {
        "node": each.node,
        "verify": each.verified.value if each.verified else None,
        "why": each.why,
        "made": _time(kept.at_ms) if kept else None,
    }


def _time(unix_ms: int | None) -> str | None:
    return moment(unix_ms).replace(" ", "T", 1) if unix_ms else None
