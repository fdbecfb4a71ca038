"""Shows that docs/actions.md has one row for each built-in action, with the slots and outputs that it has.

`--update` rewrites those two columns; what undoes and what verifies an action is for people to say.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from shipway.action import Action
from shipway.canonical import Json
from shipway.registry import Registry

PAGE = Path(__file__).resolve().parent.parent / "docs/actions.md"
ROW = re.compile(r"\| `([a-z]+\.[a-z_]+)` \| ([^|\n]+) \| ([^|\n]+) \| ([^|\n]+ \| [^|\n]+) \|")


def test_every_built_in_action_has_one_row_with_its_slots_and_outputs(request: pytest.FixtureRequest) -> None:
    registry = Registry(lambda group: ())
    page = PAGE.read_text(encoding="utf-8")
    found = [row[1] for row in ROW.finditer(page)]
    assert sorted(found) == registry.action_names(), "each has one row"
    generated = ROW.sub(lambda row: _row(registry.require_action(row[1]), row[4]), page)
    if request.config.getoption("--update"):
        PAGE.write_text(generated, encoding="utf-8")
    assert page == generated, "write it anew: pytest tests/test_actions_page.py --update"


def _row(action: Action, told: str) -> str:
    slots = ", ".join(
        f"**`{name}`**" if rule.required else f"`{name}`" + _default(rule.default)
        for name, rule in action.slots.items()
    )
    outputs = ", ".join(f"`{name}` {rule.type}" for name, rule in action.outputs.items())
    return f"| `{action.name}` | {slots} | {outputs or 'those of the step'} | {told} |"


def _default(value: Json) -> str:
    match value:
        case None:
            return ""
        case bool():
            return f" ({str(value).lower()})"
        case _:
            return f" ({value or 'none'})"
