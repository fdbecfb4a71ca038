"""Approval without a forge: `--approve`, or typed at the terminal; what is recorded, and what is refused."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from shipway.commands.documents import read_document, read_plan
from shipway.receipt import Receipt
from tests.command_line import Project, make_project
from tests.runs import PATIENCE_S, Setting, run

LIFECYCLE = """
    version: 1
    name: shop
    targets: {prod: {}}
    stages:
      build: {lasting: false, steps: [{id: image, run: echo build >> ../order}]}
      release:
        needs: [build]
        approval: required
        steps: [{id: up, run: 'echo up >> ../order; exit ${CODE:-0}', undo: echo down >> ../order, env_from: [CODE]}]
    """
NO_EFFECT = "sha256:" + "0" * 64


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = make_project(tmp_path)
    made.write({"shipway.yml": LIFECYCLE, ".gitignore": ".shipway/\nplan.json\n"})
    made.commit()
    return made


def test_the_plan_says_which_stage_needs_approval_and_how_it_is_given(project: Project) -> None:
    done = project.call("plan")
    effect = project.call("plan", "--json").json["effect"]
    assert "stage release" in done.out
    assert "needs approval" in done.out
    assert f"effect {effect}\n" in done.out
    assert "approve it add --approve and the effect above" in done.out
    assert "needs approval: `release`" in project.call("plan", "--format", "markdown").out


@pytest.mark.parametrize(
    "arguments", [["run"], ["run", "--yes"], ["apply", "plan.json"], ["apply", "plan.json", "--yes"]]
)
def test_case_36_without_approval_nothing_is_started_and_what_to_type_is_said(
    project: Project, arguments: list[str]
) -> None:
    project.call("plan", "-o", "plan.json", "-q")
    done = project.call(*arguments, code=5)
    effect = read_plan(project.root / "plan.json").effect
    call = "shipway run" if arguments[0] == "run" else "shipway apply plan.json"
    assert "stage `release` needs approval" in done.err
    assert f"{call} --target prod --approve {effect}" in done.err.replace("\n", " ")
    assert not (project.root / "../order").exists()
    told = project.call(*arguments, "--json", code=5)
    assert json.loads(told.out.splitlines()[-1])["error"]["reason"] == "approval-missing"


@pytest.mark.parametrize("command", [["run"], ["apply", "plan.json"]])
def test_an_approved_effect_runs_and_the_receipt_says_who_approved(project: Project, command: list[str]) -> None:
    project.call("plan", "-o", "plan.json", "-q")
    effect = read_plan(project.root / "plan.json").effect
    done = project.call(*command, "--approve", effect, env={"USER": "ana"})
    assert "approved   by ana, with `--approve`" in done.out
    [approval] = _receipt(project).approvals
    assert (approval.effect, approval.given, approval.by) == (effect, "option", "ana")
    assert project.text("../order") == "build\nup\n"


def test_an_approval_of_another_effect_is_refused(project: Project) -> None:
    done = project.call("run", "--approve", NO_EFFECT, "--json", code=5)
    error = json.loads(done.out.splitlines()[-1])["error"]
    assert error["reason"] == "plan-differs"
    assert NO_EFFECT in error["message"]


def test_case_45_an_approved_plan_is_not_applied_once_a_step_is_edited(project: Project) -> None:
    project.call("plan", "-o", "plan.json", "-q")
    effect = read_plan(project.root / "plan.json").effect
    project.write({"shipway.yml": LIFECYCLE.replace("echo up", "echo UP")})
    done = project.call("apply", "plan.json", "--approve", effect, code=5)
    assert "release/up: slots" in done.err
    assert not (project.root / "../order").exists()


def test_what_is_no_digest_is_refused_before_anything_is_planned(project: Project) -> None:
    done = project.call("run", "--approve", "sha256:12ab", code=2)
    assert "`--approve sha256:12ab` is not the digest of an effect" in done.err


def test_a_plan_without_such_a_stage_needs_none(project: Project) -> None:
    project.call("run", "--skip", "release", "--yes")
    assert _receipt(project).approvals == ()


def test_a_run_that_failed_is_gone_on_with_under_the_approval_that_it_was_begun_with(project: Project) -> None:
    effect = project.call("plan", "--json").json["effect"]
    project.call("run", "--approve", effect, env={"CODE": "3", "USER": "ana"}, code=1)
    project.call("resume", env={"USER": "ben"})
    [approval] = _receipt(project).approvals
    assert (approval.by, approval.effect) == ("ana", effect)
    project.call("rollback", "--yes")
    assert project.text("../order").splitlines()[-1] == "down"


def test_a_drill_needs_approval_of_the_plan_that_it_breaks(project: Project) -> None:
    project.write({"shipway.yml": LIFECYCLE.replace("prod: {}", "prod: {drill: true}")})
    refused = project.call("drill", "--yes", code=5)
    assert "shipway drill --target prod --approve" in refused.err.replace("\n", " ")
    project.call("drill", "--yes", "--approve", project.call("plan", "--json").json["effect"])


@pytest.mark.parametrize(("typed", "code"), [(slice(0, 8), 0), (slice(0, 64), 0), (slice(0, 7), 5), (slice(1, 9), 5)])
def test_the_beginning_of_the_effect_typed_at_the_terminal_approves(project: Project, typed: slice, code: int) -> None:
    effect = project.call("plan", "--json").json["effect"]
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-I", "-m", "shipway", "run"],
        cwd=project.root,
        env=project.env | {"USER": "ana"},
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(theirs)
    os.write(ours, effect.removeprefix("sha256:")[typed].encode() + b"\n")
    out, err = process.communicate(timeout=PATIENCE_S)
    os.close(ours)
    assert process.returncode == code, out + err
    assert "To approve `release` on prod, type the first 8 digits" in err
    if code == 0:
        assert "approved   by ana, typed at the terminal" in out
    else:
        assert not (project.root / "../order").exists()


def test_a_command_that_asks_nobody_executes_nothing(tmp_path: Path) -> None:
    text = """
        stages:
          release: {approval: required, steps: [{run: touch ran}]}
        """
    ran = run(tmp_path, text, Setting())
    assert (ran.error.reason, ran.error.exit_code) == ("approval-missing", 5)
    assert not (tmp_path / "ran").exists()


def test_a_gather_of_unknown_length_needs_a_bound_where_approval_is_needed(tmp_path: Path) -> None:
    text = """
        stages:
          main:
            approval: required
            steps:
              - {id: find, run: echo, outputs: {hosts: list}}
              - {id: each, gather: {items: "${{ steps.find.outputs.hosts }}"BOUND}, run: echo}
              - {id: known, gather: [a, b], run: echo}
        """
    ran = run(tmp_path, text.replace("BOUND", ""), execute=False)
    [problem] = ran.error.problems
    assert problem.where is not None
    assert problem.where.line == 9
    assert "the gather `main/each` may have any number of items" in problem.text
    assert run(tmp_path, text.replace("BOUND", ", max: 3"), execute=False).finished.error is None
    assert run(tmp_path, text.replace("BOUND", "").replace("approval: required", ""), execute=False).finished.plan


def _receipt(project: Project) -> Receipt:
    """The receipt written last: their names sort by time, and by number within one run."""
    paths = (project.root / ".shipway/receipts").iterdir()
    found = read_document(max(paths, key=lambda path: path.stat().st_mtime_ns))
    assert isinstance(found, Receipt)
    return found
