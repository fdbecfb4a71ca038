"""What `doctor` found, one line for each check, and as JSON. Decides nothing and prints nothing."""

from __future__ import annotations

from collections.abc import Sequence

from shipway.canonical import Json
from shipway.checkup import Check, Verdict
from shipway.render.columns import NARROWEST, Colour, pad, paint, width, wrap
from shipway.render.foreign import one_line
from shipway.render.wording import plural

_SIGNS = {Verdict.GOOD: "✓", Verdict.LOOK: "!", Verdict.BAD: "✗"}
_COLOURS = {Verdict.GOOD: Colour.GREEN, Verdict.LOOK: Colour.YELLOW, Verdict.BAD: Colour.RED}


def render_checks(checks: Sequence[Check], *, colour: bool, columns: int, quiet: bool) -> str:
    """A line each, what to do below it, and a sum. `quiet` leaves out what is good, and the sum where all is."""
    columns = max(columns, NARROWEST)
    shown = [check for check in checks if not quiet or check.verdict is not Verdict.GOOD]
    cells = max((width(check.name) for check in shown), default=0)
    lines = [line for check in shown for line in _lines(check, cells, colour, columns)]
    if not quiet:
        lines += ["", _sum(checks)]
    return "\n".join(lines) + "\n" if lines else ""


def checks_json(checks: Sequence[Check]) -> dict[str, Json]:
    """`{"ok": …, "checks": [{name, verdict, text, next}]}`."""
    listed: list[Json] = [
        {"name": check.name, "verdict": check.verdict.value, "text": check.text, "next": check.next} for check in checks
    ]
    return {"ok": all(check.verdict is not Verdict.BAD for check in checks), "checks": listed}


def _lines(check: Check, cells: int, colour: bool, columns: int) -> list[str]:
    first = f"{_SIGNS[check.verdict]} {pad(check.name, cells)}  "
    seen, *more = wrap(one_line(check.text), columns, first)
    sign = paint(seen[0], _COLOURS[check.verdict], colour)
    indent = " " * width(first)
    return [
        sign + seen[1:],
        *more,
        *(wrap(one_line(check.next), columns, f"{indent}→ ", f"{indent}  ") if check.next else []),
    ]


def _sum(checks: Sequence[Check]) -> str:
    bad = sum(check.verdict is Verdict.BAD for check in checks)
    look = sum(check.verdict is Verdict.LOOK for check in checks)
    if bad:
        return f"{plural(bad, 'problem')} in the way of a run" + (f", {look} to look at" if look else "")
    return f"nothing is in the way of a run, {look} to look at" if look else "nothing is in the way of a run"
