"""Whole views, word for word: `tests/cases/render/<case>/expected.*`. `--update` rewrites them; read the difference."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from shipway.forges.limits import COMMENT_BYTES as COMMENT_BUDGET
from shipway.render.blocks import Links
from shipway.render.plan_comment import plan_comment
from shipway.render.plan_text import render_plan
from shipway.render.receipt_comment import receipt_comment
from shipway.render.receipt_text import render_receipt
from tests.render_samples import failed_receipt, good_receipt, large_plan, mixed_plan, small_plan

CASES = Path(__file__).parent / "cases/render"
LINKS = Links("https://ci.example/runs/4711", "run 4711, attempt 1", "998877", "https://ci.example/artifacts/998877")

# Digests say nothing about how a view reads, and change with every field that a document gains.
DIGEST = re.compile(r"sha256:[0-9a-f]+(\n[0-9a-f]+$)?", re.MULTILINE)


def small() -> dict[str, str]:
    return {
        "expected.md": plan_comment(small_plan(), budget=COMMENT_BUDGET, links=LINKS),
        "expected.txt": render_plan(small_plan(), colour=False, columns=80),
    }


def small_receipt() -> dict[str, str]:
    return {
        "expected.md": receipt_comment(good_receipt(), small_plan(), budget=COMMENT_BUDGET, links=LINKS),
        "expected.txt": render_receipt(good_receipt(), small_plan(), colour=False, columns=80),
    }


def mixed() -> dict[str, str]:
    return {
        "expected.md": plan_comment(mixed_plan(), budget=COMMENT_BUDGET, links=LINKS),
        "expected.txt": render_plan(mixed_plan(), colour=False, columns=80),
        "expected.narrow.txt": render_plan(mixed_plan(), colour=False, columns=50),
    }


def failed_and_rolled_back() -> dict[str, str]:
    return {
        "expected.md": receipt_comment(failed_receipt(), mixed_plan(), budget=COMMENT_BUDGET, links=LINKS),
        "expected.txt": render_receipt(failed_receipt(), mixed_plan(), colour=False, columns=80),
        "expected.narrow.txt": render_receipt(failed_receipt(), mixed_plan(), colour=False, columns=50),
    }


def four_hundred_nodes() -> dict[str, str]:
    return {
        "expected.md": plan_comment(large_plan(400), budget=COMMENT_BUDGET, links=LINKS),
        "expected.6000.md": plan_comment(large_plan(400), budget=6_000, links=LINKS),
        "expected.3000.md": plan_comment(large_plan(400), budget=3_000, links=LINKS),
        "expected.2000.md": plan_comment(large_plan(400), budget=2_000, links=LINKS),
    }


@pytest.mark.parametrize("case", [small, small_receipt, mixed, failed_and_rolled_back, four_hundred_nodes])
def test_a_view_reads_as_agreed(case: Callable[[], dict[str, str]], is_update: bool) -> None:
    folder = CASES / case.__name__.replace("_", "-")
    for name, text in case().items():
        shown = DIGEST.sub("sha256:…", text)
        if is_update:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(shown, encoding="utf-8")
        assert shown == (folder / name).read_text(encoding="utf-8"), f"{folder / name}: run with --update and read it"


def test_no_case_is_left_over() -> None:
    cases = (small, small_receipt, mixed, failed_and_rolled_back, four_hundred_nodes)
    wanted = {f"{case.__name__.replace('_', '-')}/{name}" for case in cases for name in case()}
    assert {path.relative_to(CASES).as_posix() for path in CASES.rglob("*.*")} == wanted
