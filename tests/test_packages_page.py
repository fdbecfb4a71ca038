"""What docs/packages.md shows is what happens: its definition is deployed and taken away again, its declarations load."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from shipway.loading import load_declaration
from tests.runs import run

PAGE = (Path(__file__).resolve().parent.parent / "docs/packages.md").read_text(encoding="utf-8")
DECLARATIONS = [text for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL) if text.startswith("version:")]


def shown(before: str) -> str:
    """The block of code that stands behind the words `before`."""
    found = re.search(re.escape(before) + r"\n\n```\w+\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None, before
    return found[1]


@pytest.mark.parametrize("text", DECLARATIONS, ids=range(len(DECLARATIONS)))
def test_every_declaration_loads(tmp_path: Path, text: str) -> None:
    (tmp_path / "shipway.yml").write_text(text)
    assert load_declaration(tmp_path / "shipway.yml", root=tmp_path).stages


def test_the_definition_is_deployed_verified_and_taken_away(tmp_path: Path) -> None:
    folder = tmp_path / "packages/greeter"
    folder.mkdir(parents=True)
    (folder / "package.yaml").write_text(shown("`packages/greeter/package.yaml`:"))
    (folder / "greeter.sh").write_text(shown("`packages/greeter/greeter.sh`:"))
    entry = "{greeter: {with: [loud], settings: {name: world}}}"
    assert entry in PAGE
    text = "stages:\n  tools:\n    mode: packages\n    with: {definitions: packages, action: %s, packages: [%s]}\n"

    done = run(tmp_path, text % ("deploy", entry))
    assert done.outcomes == {
        "tools.install/greeter-unix": "succeeded",
        "tools.verify/greeter-verification": "succeeded",
    }
    assert done.log("tools.verify/greeter-verification").strip() == "HELLO world"
    assert run(tmp_path, text % ("decommission", "greeter")).outcomes == {"tools.uninstall/greeter-unix": "succeeded"}
    assert not (tmp_path / "greet").exists()
