"""Declarations that were written to break what reads them: each is refused in time, and with words."""

from __future__ import annotations

from pathlib import Path

import pytest

from shipway.errors import DeclarationError
from shipway.loading import load_declaration

_HEAD = "version: 1\nname: x\n"

# Work that grows with the square of these would take hours.
_MANY = 500_000


@pytest.mark.parametrize(
    ("steps", "refused"),
    [
        (f"steps:\n  a: {{run: '{'${{ ' * _MANY}'}}\n", "an expression inside the script `run`"),
        (f"steps:\n  a: {{run: '{'${{ ' * _MANY} }}}}'}}\n", "an expression inside the script `run`"),
        (f"steps:\n  a: {{run: 'true', name: '{'${{ ' * _MANY}'}}\n", "an expression cannot stand in `name`"),
        (f'steps:\n  a: {{run: x, env: {{A: "${{{{ {chr(39) * (2 * _MANY + 1)} }}}}"}}}}\n', "`${{` is not closed"),
        (f'steps:\n  a: {{run: x, env: {{A: "${{{{ {chr(39) * 2 * _MANY} }}}}"}}}}\n', "GitHub takes 21000"),
    ],
    ids=["never closed", "closed once", "in other texts", "open string", "many strings"],
)
def test_a_text_full_of_expression_marks_is_refused_in_one_pass(tmp_path: Path, steps: str, refused: str) -> None:
    (tmp_path / "shipway.yml").write_text(_HEAD + steps)
    with pytest.raises(DeclarationError) as raised:
        load_declaration(tmp_path / "shipway.yml", root=tmp_path)
    assert refused in raised.value.problems[0].text
