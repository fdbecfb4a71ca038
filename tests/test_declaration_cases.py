"""Declarations in folders: `bad` ones with the exact text of their refusal, `good` ones that load."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from shipway import declaration
from shipway.errors import DeclarationError
from shipway.loading import load_declaration
from shipway.render.problems import render_problems
from tests.command_line import make_project

_CASES = Path(__file__).parent / "cases"
_BAD = sorted(folder.name for folder in (_CASES / "bad").iterdir() if folder.is_dir())
_GOOD = sorted(folder.name for folder in (_CASES / "good").iterdir() if folder.is_dir())


@pytest.mark.parametrize("name", _BAD)
def test_bad_declaration_is_refused_with_this_text(name: str, is_update: bool) -> None:
    folder = _CASES / "bad" / name
    with pytest.raises(DeclarationError) as caught:
        _load(folder)
    expected = folder / "expected.err"
    text = render_problems(caught.value)
    if is_update:
        expected.write_text(text, encoding="utf-8", newline="\n")
    assert text == expected.read_bytes().decode()
    assert all(problem.where is not None for problem in caught.value.problems)


@pytest.mark.parametrize(
    ("step", "place"),
    [
        ("{id: x, run: './x ${{ target }}'}", "4:23"),
        ("{id: x, run: ./x, plan: './x ${{ target }}'}", "4:34"),
        ("{id: x, run: ./x, undo: './x ${{ target }}'}", "4:34"),
        ("{id: x, run: ./x, verify: './x ${{ target }}'}", "4:36"),
        ("{id: x, until: './x ${{ target }}'}", "4:25"),
    ],
)
def test_case_58_an_expression_in_a_script_is_refused_at_its_place_with_the_form_to_write(
    tmp_path: Path, step: str, place: str
) -> None:
    project = make_project(tmp_path)
    project.write({"shipway.yml": f"version: 1\nname: shop\nsteps:\n  - {step}\n"})
    key = step.split(": './x")[0].split()[-1]
    told = project.call("plan", code=2).err
    assert told.startswith(f"shipway.yml:{place}: an expression inside the script `{key}` of step `x`\n")
    assert f'write `env: {{TARGET: "${{{{ target }}}}"}}` and `{key}: ./x "$TARGET"`' in told


@pytest.mark.parametrize("name", _GOOD)
def test_good_declaration_loads(name: str) -> None:
    loaded = _load(_CASES / "good" / name)
    assert loaded.stages


def _load(folder: Path) -> declaration.Declaration:
    given = folder / "given.json"
    target = json.loads(given.read_text())["target"] if given.is_file() else None
    return load_declaration(folder / "shipway.yml", root=folder, target=target)
