"""An error as text for a person and as JSON for a machine. Both show the same facts; neither decides anything."""

from __future__ import annotations

import json
import re

from shipway import __version__
from shipway.errors import ShipwayError
from shipway.render.foreign import inert
from shipway.render.problems import render_problems

_PAGE = re.compile(r"(?<![\w/])docs/(?=[a-z-]+\.md)")
_PAGES = f"https://github.com/shipway/shipway/blob/v{__version__}/docs/"


def as_text(error: ShipwayError, *, columns: int | None = None) -> str:
    """What failed, where, and what to do next, ending in a line break. `columns` are those of a terminal, if it is one."""
    # An error may quote what a command printed, and ends up in the logs of CI.
    return inert(render_problems(error, columns=columns, addressed=addressed).rstrip("\n")) + "\n"


def addressed(text: str) -> str:
    """What to do next, with the pages of our documentation by their address: the checkout of a user has none of them."""
    return _PAGE.sub(_PAGES, text)


def as_json(error: ShipwayError) -> str:
    """`{"error": {message, reason, exit_code, phase, stage, backend, where, next, problems}}` on one line."""
    problems = [
        {
            "text": problem.text,
            "where": str(problem.where) if problem.where else None,
            "line": problem.line,
            "hint": problem.hint,
        }
        for problem in error.problems
    ]
    facts = {
        "message": error.message,
        "reason": error.reason.value,
        "exit_code": error.exit_code,
        "phase": error.phase,
        "stage": error.stage,
        "backend": error.backend,
        "where": str(error.where) if error.where else None,
        "next": addressed(error.next),
        "problems": problems,
    }
    return json.dumps({"error": facts}, ensure_ascii=False) + "\n"
