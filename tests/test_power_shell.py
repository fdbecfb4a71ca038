"""Shows how `shell.power_shell` asks `pwsh`, and that no expression stands in its script. The real one runs where it is."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from shipway.action import ActionFailed, Verb
from shipway.actions.shell_exec import PowerShell
from shipway.errors import DeclarationError
from shipway.nodes import Outcome
from tests.contracts.action import CHECKS, ActionCase, plan_work, work
from tests.runs import Setting, declare, environment, run


@pytest.fixture
def stand_in(tmp_path: Path) -> Path:
    """A program called `pwsh` that writes down what it is asked, and does what shells have in common."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "pwsh"
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$@" > asked\nexit "${CODE:-0}"\n')
    program.chmod(0o755)
    return folder


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
def test_power_shell_keeps_the_contract(check: Callable[[ActionCase], None], stand_in: Path) -> None:
    inputs = {"command": "Get-Date", "undo": "a", "verify": "b", "plan": "c"}
    check(ActionCase("all verbs", PowerShell, inputs, env={"PATH": str(stand_in)}))


@pytest.mark.parametrize(("code", "outcome"), [("0", Outcome.SUCCEEDED), ("7", Outcome.FAILED)])
def test_pwsh_is_asked_to_stop_at_the_first_error_and_its_code_counts(
    code: str, outcome: Outcome, stand_in: Path, tmp_path: Path
) -> None:
    declare(
        tmp_path,
        f"""
        steps:
          - {{id: p, uses: shell.power_shell, with: {{command: 'Write-Output "hi"'}}, env: {{CODE: "{code}"}}, lasting: false}}
        """,
    )
    env = environment(PATH=f"{stand_in}:{os.environ['PATH']}")
    receipt = run(tmp_path, None, Setting(env=env)).receipt
    assert receipt.by_id["main/p"].outcome is outcome
    assert (tmp_path / "asked").read_text().splitlines() == [
        "-NoLogo",
        "-NoProfile",
        "-NonInteractive",
        "-Command",
        "$ErrorActionPreference = 'stop'",
        'Write-Output "hi"',
        "if ((Test-Path -LiteralPath variable:\\LASTEXITCODE)) { exit $LASTEXITCODE }",
    ]


def test_a_script_too_long_for_an_argument_goes_into_a_file(stand_in: Path, tmp_path: Path) -> None:
    case = ActionCase("", PowerShell, {"command": "x" * 200_000}, env={"PATH": str(stand_in)})
    command = PowerShell().command(Verb.DO, work(case, tmp_path, tmp_path))
    assert command is not None
    assert command.script == "x" * 200_000
    assert "Get-Content -Raw -LiteralPath '{0}'" in command.argv[-1]


def test_without_pwsh_it_says_so(tmp_path: Path) -> None:
    case = ActionCase("", PowerShell, {"command": "x"}, env={"PATH": str(tmp_path)})
    with pytest.raises(ActionFailed, match="`pwsh` is not on PATH: install PowerShell 7"):
        PowerShell().command(Verb.DO, work(case, tmp_path, tmp_path))


def test_an_empty_command_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ActionFailed, match="`command` is empty"):
        PowerShell().plan(plan_work(ActionCase("", PowerShell, {"command": " "}), tmp_path))


@pytest.mark.parametrize(
    ("uses", "slot"), [("shell.power_shell", "command"), ("shell.power_shell", "undo"), ("shell.exec", "run")]
)
def test_no_expression_stands_in_a_script_that_is_handed_over_as_a_slot(uses: str, slot: str, tmp_path: Path) -> None:
    slots = {"command" if uses == "shell.power_shell" else "run": "true", slot: "echo ${{ target }}"}
    given = ", ".join(f'{name}: "{text}"' for name, text in slots.items())
    declare(tmp_path, f"steps:\n  - {{id: p, uses: {uses}, with: {{{given}}}}}\n")
    refused = run(tmp_path).error
    assert isinstance(refused, DeclarationError)
    assert [problem.text for problem in refused.problems] == [f"an expression inside the script `{slot}` of step `p`"]


def test_the_real_one_stops_at_an_error(tmp_path: Path) -> None:
    if shutil.which("pwsh") is None:
        pytest.skip("THE REAL PowerShell IS NOT HERE: no registry that CI reaches has it; the stand-in alone was asked")
    declare(tmp_path, "steps:\n  - {id: p, uses: shell.power_shell, with: {command: 'nosuch; \"on\" > on'}}\n")
    assert run(tmp_path).receipt.by_id["main/p"].outcome is Outcome.FAILED
    assert not (tmp_path / "on").exists()
