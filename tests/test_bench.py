"""The measuring scripts work, whatever the machine: each question is asked once, at the smallest size."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from bench import tables
from bench.__main__ import QUESTIONS
from bench.measure import Answer, at_least, at_most

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.acceptance
def test_every_question_is_answered_at_the_smallest_size() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--quick"], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    blocks = done.stdout.split("\n\n")[1:]
    assert len(blocks) == len(QUESTIONS)
    assert all("\n  " in block for block in blocks)


def test_tables_go_between_the_marks_and_nothing_else_changes(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{tables.BEGIN}\nold\n{tables.END}\nafter\n")
    answer = Answer("How long?", [at_most("start", 12, 10, " ms"), at_least("peer", 1.5, 1.4, " ×")], ["a note"])
    tables.record(page, tables.as_markdown(answer))
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("\nafter\n") and "old" not in text
    assert "| start | 12 ms | ≤ 10 ms | missed |" in text
    assert "| peer | 1.50 × | ≥ 1.40 × | met |" in text


def test_a_page_without_marks_is_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("nothing to see\n")
    with pytest.raises(ValueError, match="has no"):
        tables.record(page, "new")
    assert page.read_text() == "nothing to see\n"
