"""Policies in Rego: the page's own example, evaluated over real plans by a real implementation of the language.

What is not real: OPA's own program and conftest's, which come in no package. `tests/rego/opa` stands in for the former.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from tests.command_line import Project, make_project
from tests.peers import require

ROOT = Path(__file__).resolve().parent.parent
REGO = Path(__file__).parent / "rego"


def example(language: str, after: str) -> str:
    """The first block in this language behind a sentence of the page on policies."""
    page = (ROOT / "docs/policy.md").read_text("utf-8").partition(after)[2]
    found = re.search(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


@pytest.fixture
def shop(tmp_path: Path) -> Project:
    """The example of the page, with a program `opa` on PATH."""
    require("regopy", (REGO / ".cache/regopy").is_dir(), "bash .ci/peers")
    project = make_project(tmp_path)
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "opa").write_text(f'#!/bin/sh\nexec "{sys.executable}" -I "{REGO / "opa"}" "$@"\n')
    (programs / "opa").chmod(0o755)
    project.env["PATH"] = f"{programs}:{project.env['PATH']}"
    declared = (
        example("yaml", "The same in Rego").replace("./release", "touch shipped", 1).replace("./release", "rm", 1)
    )
    project.write(
        {
            "shipway.yml": declared,
            "policy/shop.rego": example("rego", "policy/shop.rego`:"),
            ".gitignore": ".shipway/\n",
        }
    )
    project.commit()
    return project


def change(project: Project, file: str, old: str, new: str) -> None:
    text = (project.root / file).read_text()
    assert old in text
    (project.root / file).write_text(text.replace(old, new))


def verdict(project: Project) -> tuple[str, list[str]]:
    """What the policy decided when planned, and its messages."""
    [found] = project.call("plan", "--json").json["verdicts"]
    return found["decision"], found["messages"]


def test_the_pages_rego_warns_of_what_is_opaque_and_lets_it_run(shop: Project) -> None:
    assert verdict(shop) == ("warn", ["only running main/touch-shipped tells what it changes"])
    shop.call("run", "--yes", "-q")
    assert (shop.root / "shipped").is_file()


def test_the_pages_rego_denies_what_has_no_undo_and_nothing_starts(shop: Project) -> None:
    change(shop, "shipway.yml", ", undo: rm --previous", "")
    assert verdict(shop)[0] == "deny"
    refused = shop.call("run", "--yes", "--json", code=5)
    assert refused.json["error"]["reason"] == "policy-denied"
    assert "main/touch-shipped has no undo" in refused.json["error"]["message"]
    assert not (shop.root / "shipped").exists()


def test_what_is_not_lasting_needs_no_undo(shop: Project) -> None:
    change(shop, "shipway.yml", ", undo: rm --previous", ", lasting: false, plan: 'true'")
    assert verdict(shop)[0] != "deny"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("package shipway", "package shop"),  # the query asks for a package that is not there
        ("deny contains", "denied contains"),  # neither is `deny` there nor, below, `warn`
        ("some node in", "some node"),  # no Rego
        ('sprintf("%s has no undo", [node.id])', "node"),  # a message that is no text
    ],
)
def test_rego_that_comes_to_no_verdict_lets_nothing_run(shop: Project, old: str, new: str) -> None:
    change(shop, "shipway.yml", ", undo: rm --previous", "")
    change(shop, "policy/shop.rego", old, new)
    if new.startswith("denied"):
        change(shop, "policy/shop.rego", "warn contains", "warned contains")
    assert verdict(shop)[0] == "error"
    assert shop.call("run", "--yes", "--json", code=5).json["error"]["reason"] == "policy-error"


def test_one_value_of_true_or_false_is_a_verdict(shop: Project) -> None:
    change(shop, "shipway.yml", "data.shipway", "data.shipway.allow")
    (shop.root / "policy/shop.rego").write_text(
        "package shipway\nimport rego.v1\ndefault allow := false\nallow if { every node in input.nodes { node.reversible } }\n"
    )
    assert verdict(shop) == ("allow", [])
    change(shop, "shipway.yml", ", undo: rm --previous", "")
    assert verdict(shop) == ("deny", [])


def test_the_plan_that_rego_reads_is_the_one_that_is_printed(shop: Project) -> None:
    (shop.root / "policy/shop.rego").write_text(
        'package shipway\nimport rego.v1\ndeny contains sprintf("%s %s", [input.kind, input.effect])\n'
    )
    plan = shop.call("plan", "--json").json
    assert [json.dumps(each["messages"]) for each in plan["verdicts"]] == [json.dumps([f"plan {plan['effect']}"])]
