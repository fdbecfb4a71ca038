"""Shows that the worked example installs, keeps the contracts, and is found, resolved and planned by name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
EXAMPLE = REPOSITORY / "examples" / "third-party"

_PLAN = """
import json, sys
from pathlib import Path
from shipway.builder import GraphBuilder
from shipway.builder_options import BuilderScope
from shipway.loading import load_declaration
from shipway.node_json import node_json
from shipway.nodes import Reads
from shipway.registry import Registry
from shipway.resolution import check_stages, resolve
from shipway.state import State

registry, root = Registry(), Path(sys.argv[1])
declaration = load_declaration(root / "shipway.yml", root=root)
resolved = resolve(declaration, registry)
check_stages(declaration, resolved)
[stage] = declaration.stages
known = {"values": declaration.values}
scope = BuilderScope(known, registry.find_action, registry.action_names, {}, lambda patterns: Reads((), ""))
builder = GraphBuilder(stage, scope)
resolved[stage.id].backend.plan(stage, declaration, builder, State)
print(json.dumps({
    "key": resolved[stage.id].key,
    "modes": registry.modes(),
    "problems": [problem.text for problem in builder.problems],
    "nodes": [node_json(node) for node in builder.nodes()],
    "hooks": [type(registry.make_hook(hook.uses)).__name__ for hook in declaration.hooks],
}))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the example is installed, with its entry points, as pip does it."""
    target = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    command += ["--disable-pip-version-check", "--target", str(target), str(EXAMPLE)]
    subprocess.run(command, check=True, capture_output=True)
    return target


def _python(installed: Path, *arguments: str, cwd: Path) -> str:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(installed), str(REPOSITORY / "runner")])}
    done = subprocess.run([sys.executable, *arguments], cwd=cwd, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_l36_a_mode_that_shipway_has_never_heard_of_is_found_and_planned(installed: Path, tmp_path: Path) -> None:
    planned = json.loads(_python(installed, "-c", _PLAN, str(EXAMPLE), cwd=tmp_path))
    assert planned["key"] == ["settings", "json"]
    assert {"settings", "steps"} <= set(planned["modes"])
    assert planned["problems"] == []
    assert [(node["id"], node["action"], node["slots"]["value"]["value"]) for node in planned["nodes"]] == [
        ("flags/checkout.new", "json.set", True),
        ("flags/limits.items", "json.set", 20),
    ]
    assert planned["nodes"][1]["needs"] == [{"node": "flags/checkout.new", "kind": "needs", "resource": ""}]
    assert planned["nodes"][0]["position"][:2] == ["shipway.yml", 10]
    assert planned["hooks"] == ["Statsd"]


def test_the_example_keeps_the_contracts(installed: Path) -> None:
    printed = _python(installed, "-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=EXAMPLE)
    assert " passed" in printed and "skipped" not in printed
