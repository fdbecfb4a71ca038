"""What the README shows is what is there: its lifecycle, its commands, its links."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from shipway.commands.arguments import parser
from shipway.loading import load_declaration

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")


def test_the_lifecycle_shown_is_the_example() -> None:
    shown = re.search(r"```yaml\n(version: 1\n.*?)```", README, re.DOTALL)
    assert shown is not None
    assert shown[1] == (ROOT / "examples/shop/shipway.yml").read_text("utf-8").partition("\n")[2]


@pytest.mark.parametrize("file", sorted(ROOT.glob("examples/*/shipway.yml")), ids=lambda file: file.parent.name)
def test_every_example_loads(file: Path) -> None:
    assert load_declaration(file, root=ROOT).stages


def test_every_command_shown_is_one() -> None:
    usage = parser().format_help()
    commands = set(re.findall(r"^\$ shipway (\w+)", README, re.MULTILINE))
    assert commands
    assert {command for command in commands if f"    {command} " not in usage} == set()


def test_every_link_leads_to_a_file() -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
