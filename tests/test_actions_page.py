"""Shows that docs/actions.md has one row for each built-in action, with the slots and outputs that it has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from shipway.registry import Registry

PAGE = (Path(__file__).resolve().parent.parent / "docs/actions.md").read_text(encoding="utf-8")
ROWS = {
    cells[0].strip("`"): cells[1:]
    for line in PAGE.splitlines()
    if re.match(r"\| `[a-z]+\.[a-z_]+` \|", line)
    for cells in [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]]
}


def test_every_built_in_action_has_one_row() -> None:
    assert sorted(ROWS) == Registry(lambda group: ()).action_names()
    assert all(len(cells) == 4 and all(cells) for cells in ROWS.values())


@pytest.mark.parametrize("name", sorted(ROWS))
def test_a_row_has_the_slots_and_outputs_of_the_action(name: str) -> None:
    action = Registry(lambda group: ()).require_action(name)
    slots, outputs, undo, _ = ROWS[name]
    assert set(re.findall(r"(?:^|, | or |\*\*)`([a-z0-9_]+)`", slots)) == set(action.slots)
    assert set(re.findall(r"\*\*`([a-z0-9_]+)`\*\*", slots)) == {
        slot for slot, rule in action.slots.items() if rule.required
    }
    for slot, default in re.findall(r"`([a-z0-9_]+)`(?:\*\*)? \(`([^`]+)`\)", slots):
        value = action.slots[slot].default
        assert {False: "false", True: "true"}.get(value, str(value)) == default if value != {} else default == "{}"  # type: ignore[call-overload]
    told = dict(re.findall(r"`([a-z0-9_]+)` ([a-z]+)", outputs))
    assert told == {output: rule.type for output, rule in action.outputs.items()}
    assert undo
