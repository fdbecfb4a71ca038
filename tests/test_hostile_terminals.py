"""Standard streams that are closed or full: a run goes on as far as it may, and says in words why it does not."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.runs import SHIPWAY, declare, environment


def _in_shell(root: Path, command: str, redirections: str) -> subprocess.CompletedProcess[str]:
    words = [f"exec {' '.join(SHIPWAY)} {command} {redirections}"]
    return subprocess.run(
        ["bash", "-c", *words], cwd=root, env=environment(), capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("redirections", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_run_with_closed_streams_is_a_run_like_any_other(tmp_path: Path, redirections: str) -> None:
    declare(tmp_path, "steps: {a: {run: 'echo out; echo err >&2; cat; ls -l /dev/fd/ > fds; echo ran > ran'}}")
    assert _in_shell(tmp_path, "plan", redirections).returncode == 0
    done = _in_shell(tmp_path, "run --yes", redirections)
    assert done.returncode == 0, done
    assert "Traceback" not in done.stderr
    assert (tmp_path / "ran").read_text() == "ran\n"
    [receipt] = (tmp_path / ".shipway" / "receipts").glob("*.json")
    assert json.loads(receipt.read_text())["outcome"] == "succeeded"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full device")
def test_a_full_disk_behind_standard_output_is_an_error_in_words_and_starts_nothing(tmp_path: Path) -> None:
    declare(tmp_path, "steps: {a: {run: touch ran}}")
    for command in ("plan", "validate", "run --yes"):
        done = _in_shell(tmp_path, command, "> /dev/full")
        assert done.returncode == 6, (command, done)
        assert "cannot write `standard output`: No space left" in done.stderr
        assert "Traceback" not in done.stderr
    assert not (tmp_path / "ran").exists()
