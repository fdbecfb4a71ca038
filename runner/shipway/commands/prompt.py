"""What a person is asked on the terminal, and what is typed there. Decides nothing."""

from __future__ import annotations

import sys

from shipway.redaction import trusted
from shipway.render import terminal
from shipway.render.foreign import inert


def answered(question: str) -> str:
    """What is typed behind `question`, without space around it; empty where nothing is."""
    terminal.write(terminal.standard_error(), trusted(inert(question)))
    answer = ""
    try:
        answer = sys.stdin.readline()
    finally:
        if not answer.endswith("\n"):  # Ctrl-C or Ctrl-D: what is said next begins a line
            terminal.write(terminal.standard_error(), trusted("\n"))
    return answer.strip()
