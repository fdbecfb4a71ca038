"""Checkouts that carry more than files: settings of git that name programs, folders that look like repositories, modules."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.runs import call_anew, declare

_TOKEN = "ghs_0123456789abcdef"


def _git(directory: Path, *arguments: str) -> None:
    command = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *arguments]
    subprocess.run(command, cwd=directory, capture_output=True, check=True)


def test_a_folder_that_looks_like_a_repository_is_none_and_runs_nothing(tmp_path: Path) -> None:
    _git(tmp_path, "init", "-q")
    folder = tmp_path / "docs"
    _git(tmp_path, "init", "-q", "--bare", "docs")
    declare(folder, "steps: {a: {run: 'true'}}")
    (folder / ".gitattributes").write_text("* filter=x\n")
    _git(folder, "--git-dir=.", "--work-tree=.", "add", "shipway.yml", ".gitattributes")
    _git(folder, "--git-dir=.", "--work-tree=.", "commit", "-qm", "x")
    declare(folder, "steps: {a: {run: 'true'} }")
    settings = folder / "config"
    settings.write_text(f'[core]\nbare = false\nworktree = .\n[filter "x"]\nclean = "touch {tmp_path}/ran; cat"\n')
    done = call_anew(folder, "plan")
    assert done.exit_code == 2, done
    assert "bare repository" in done.err
    assert not (tmp_path / "ran").exists()


def test_a_program_that_git_runs_for_the_checkout_gets_no_token_and_no_secret(tmp_path: Path) -> None:
    _git(tmp_path, "init", "-q")
    declare(tmp_path, "secrets: [PASSWORD]\nsteps: {a: {run: 'true'}}\n")
    (tmp_path / ".gitattributes").write_text("* filter=x\n")
    _git(tmp_path, "add", ".")
    _git(tmp_path, "commit", "-qm", "x")
    _git(tmp_path, "config", "filter.x.clean", f"env > {tmp_path}/.git/seen; cat")
    declare(tmp_path, "secrets: [PASSWORD]\nsteps: {a: {run: 'true'} }\n")
    done = call_anew(tmp_path, "plan", env={"SHIPWAY_INPUT_TOKEN": _TOKEN, "GITHUB_TOKEN": _TOKEN, "PASSWORD": _TOKEN})
    assert done.exit_code == 0, done
    seen = (tmp_path / ".git" / "seen").read_text()
    assert "PATH=" in seen
    assert _TOKEN not in seen


@pytest.mark.parametrize("name", ["sitecustomize.py", "yaml.py", "shipway/__init__.py", "json.py", "requests.py"])
def test_no_module_of_the_checkout_is_imported(tmp_path: Path, name: str) -> None:
    declare(tmp_path, "steps: {a: {run: 'true'}}")
    module = tmp_path / name
    module.parent.mkdir(exist_ok=True)
    module.write_text(f"open({str(tmp_path / 'imported')!r}, 'w')\n")
    done = call_anew(tmp_path, "plan", env={"PYTHONPATH": str(tmp_path), "PYTHONSTARTUP": str(module)})
    assert done.exit_code == 0, done
    assert not (tmp_path / "imported").exists()


@pytest.mark.parametrize("name", [".shipway", ".shipway/.gitignore", ".shipway/runs", ".shipway/receipts"])
def test_nothing_is_written_through_a_link_in_the_checkout(tmp_path: Path, name: str) -> None:
    checkout, elsewhere = tmp_path / "checkout", tmp_path / "elsewhere"
    checkout.mkdir()
    declare(checkout, "steps: {a: {run: touch ran}}")
    link = checkout / name
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(elsewhere)
    for exists in (False, True):
        if exists:
            elsewhere.mkdir()
        done = call_anew(checkout, "run", "--yes", env={"TMPDIR": str(tmp_path)})
        assert done.exit_code == 6, done
        assert f"`{name}` is a link" in done.err
        assert not (checkout / "ran").exists()
        assert elsewhere.exists() == exists
    assert not list(elsewhere.iterdir())


def test_what_is_no_file_among_the_receipts_is_passed_over(tmp_path: Path) -> None:
    declare(tmp_path, "steps: {a: {run: 'true'}}")
    assert call_anew(tmp_path, "run", "--yes").exit_code == 0
    receipts = tmp_path / ".shipway" / "receipts"
    (receipts / "a.json").symlink_to(tmp_path / "nowhere")
    (receipts / "b.json").mkdir()
    os.mkfifo(receipts / "c.json")
    shown = call_anew(tmp_path, "show")
    assert shown.exit_code == 0, shown
    assert "succeeded" in shown.out


def test_a_plan_kept_among_files_without_git_is_none_of_those_that_decide_what_is_done(tmp_path: Path) -> None:
    declare(tmp_path, "steps: {a: {run: touch ran}}")
    for _ in range(2):
        kept = call_anew(tmp_path, "plan", "-q", "-o", "plan.json")
        assert kept.exit_code == 0, kept
    (tmp_path / "new.txt").write_text("not there when it was planned")
    assert call_anew(tmp_path, "apply", "plan.json", "--yes").exit_code == 5
    (tmp_path / "new.txt").unlink()
    done = call_anew(tmp_path, "apply", "plan.json", "--yes")
    assert done.exit_code == 0, done
    assert (tmp_path / "ran").exists()
