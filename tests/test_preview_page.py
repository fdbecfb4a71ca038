"""What docs/preview.md shows is what happens: its example is valid, in both forms, and its tables name what there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from shipway.preview_settings import Role
from shipway.preview_shape import known_keys
from tests.previews import attempt, workspace

PAGE = (Path(__file__).resolve().parent.parent / "docs/preview.md").read_text(encoding="utf-8")
DECLARED = PAGE[PAGE.index("## What is declared") :]
BASE, OVERLAY = re.findall(r"```yaml\n(.*?)```", DECLARED, re.DOTALL)[:2]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    workspace(tmp_path)
    for script in re.findall(r"\./(scripts/[a-z-]+\.sh)", OVERLAY):
        (tmp_path / script).write_text("#!/bin/sh\n")
    (tmp_path / "deploy").mkdir()
    (tmp_path / "deploy/known_hosts").write_text("")
    (tmp_path / "shipway.pr.yml").write_text(OVERLAY)
    return tmp_path


def test_the_example_is_planned_on_a_host_with_all_that_it_says(root: Path) -> None:
    ran = attempt(root, BASE.partition("name: shop\n")[2])
    plan = ran.finished.plan
    assert plan is not None, (ran.error.message, ran.error.problems)
    assert {stage.backend for stage in plan.stages} == {"ssh"}
    shown = [re.sub(r"\[.*\]", "[<path>]", node.id) for node in plan.nodes]
    shown = [re.sub(r"service/.*", "service/<name>", name) for name in shown]
    listed = re.findall(r"`((?:provisioner|runner)/[^`]+)`", PAGE.partition("## Its nodes")[2].partition("\n## ")[0])
    hooks = ["provisioner/before", "provisioner/after", "runner/before", "runner/after"]
    assert list(dict.fromkeys(shown)) == [
        name for name in dict.fromkeys(listed) if name not in [*hooks, "runner/service"]
    ]


def test_the_base_alone_says_what_the_overlay_would_have_added(root: Path) -> None:
    ran = attempt(root, BASE.partition("name: shop\n")[2], "prod")
    assert [each.text for each in ran.error.problems] == [
        "service `postgres` hands out outputs, and needs `seed`, which makes it and writes them"
    ]


@pytest.mark.parametrize("role", list(Role))
def test_the_page_has_every_key(role: Role) -> None:
    section = PAGE[PAGE.index(f"### The {role}") :].split("\n### ")[0]
    table = " ".join(line for line in section.splitlines() if line.startswith("| `"))
    missing = [key for key in known_keys(role) if not re.search(rf"`(?:[a-z.<>]+\.)?{key}[`:.]", table)]
    assert missing == []
