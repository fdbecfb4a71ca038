"""Guards the code base itself: who may import whom, where the world is touched, what the action and the wheel hold."""

from __future__ import annotations

import ast
import configparser
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from zipfile import ZipFile

import pytest
import yaml

import shipway

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "runner/shipway"
SOURCES = {path.relative_to(PACKAGE).as_posix(): path for path in sorted(PACKAGE.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text(encoding="utf-8"), name) for name, path in SOURCES.items()}

LATE = {"yaml", "jsonschema", "jsonschema_rs", "requests", "git", "jinja2", "rich", "asyncio", "urllib.request"}
LATE |= {"importlib.metadata", "actions_toolkit", "sqlite3"}
"""What `shipway --version` may not load: each costs more than the start of Python itself, or nearly."""

GROUND = {
    "canonical",
    "context",
    "durations",
    "errors",
    "events",
    "globs",
    "process",
    "redaction",
    "repository",
    "source",
}
THIRD_PARTY_OF_GROUND = {"canonical": {"rfc8785"}, "source": {"yaml"}, "source_nodes": {"yaml"}, "repository": {"git"}}

# What each may touch, and the only modules that may touch it.
PRINTS = (
    {"print", "sys.stdout", "sys.stderr", "sys.__stdout__", "sys.__stderr__"},
    {"cli.py", "render/terminal.py", "render/workflow.py"},
)
EXITS = ({"sys.exit", "os._exit", "exit", "quit"}, {"cli.py", "__main__.py"})
ENVIRONMENT = ({"os.environ", "os.environb", "os.getenv", "os.putenv", "os.unsetenv", "os.chdir"}, {"context.py"})
CLOCK = (
    {"time.time", "time.time_ns", "time.monotonic", "time.monotonic_ns", "datetime.now", "datetime.datetime.now"}
    | {"datetime.utcnow", "datetime.today", "date.today", "time.sleep", "os.urandom", "uuid.uuid1", "uuid.uuid4"},
    {"context.py"},
)
RANDOM_MODULES = {"random", "secrets", "uuid"}


def test_no_module_reaches_itself_whatever_import_is_followed() -> None:
    graph = {_module(name): set(_own_imports(name, tree)) for name, tree in TREES.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"an import cycle: {' → '.join(error.args[1])}")


def test_layers_hold_and_every_module_has_one() -> None:
    checked = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout


def test_rendering_is_kept_from_the_whole_core() -> None:
    contracts = configparser.ConfigParser()
    contracts.read(ROOT / ".importlinter", encoding="utf-8")
    layers = contracts["importlinter:contract:layers"]["layers"].splitlines()
    (core,) = [set(re.findall(r"\w+", layer)) for layer in layers if "(lifecycle)" in layer]
    forbidden = set(re.findall(r"shipway\.(\w+)", contracts["importlinter:contract:render"]["forbidden_modules"]))
    assert core - forbidden == set()


def test_ground_imports_the_standard_library_only_but_for_its_named_exceptions() -> None:
    found = {name: _third_party(TREES[f"{name}.py"]) for name in GROUND if f"{name}.py" in TREES}
    allowed = {name: {"msgspec"} | THIRD_PARTY_OF_GROUND.get(name, set()) for name in found}
    assert {name: used for name, used in found.items() if used - allowed[name]} == {}


def test_every_imported_package_is_in_the_lock_of_the_action() -> None:
    pinned = set(
        re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements/action.lock").read_text(encoding="utf-8"), re.MULTILINE)
    )
    distributions = {"yaml": "pyyaml", "git": "gitpython"}
    used = {package for tree in TREES.values() for package in _third_party(tree)}
    assert {package for package in used if distributions.get(package, package.replace("_", "-")) not in pinned} == set()


def test_nothing_is_imported_that_needs_a_package_the_lock_leaves_out() -> None:
    unlocked = ("actions_toolkit.github", "rich.markdown", "rich.syntax", "rich.traceback", "rich.pretty.install")
    imported = {module for tree in TREES.values() for module in _imported(tree)}
    assert {module for module in imported if module.startswith(unlocked)} == set()


def test_version_loads_nothing_heavy() -> None:
    done = _importing("--version")
    assert shipway.__version__ in done.stdout
    assert "shipway.cli" in _imports_of(done)
    assert _imports_of(done) & LATE == set()


def test_a_command_does_without_what_msgspec_takes_where_it_finds_it(tmp_path: Path) -> None:
    declaration = tmp_path / "shipway.yml"
    declaration.write_text('version: 1\nname: a\nsteps: [{run: "true"}]\n', encoding="utf-8")
    loaded = _imports_of(_importing("validate", "-f", str(declaration)))
    assert {"msgspec._core", "shipway.schema"} < loaded
    assert "inspect" not in loaded


def _importing(*words: str) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-I", "-X", "importtime", "-m", "shipway", *words]
    return subprocess.run(program, capture_output=True, text=True, check=True)


def _imports_of(done: subprocess.CompletedProcess[str]) -> set[str]:
    return {line.split("|")[-1].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}


@pytest.mark.parametrize(
    ("names", "allowed"), [PRINTS, EXITS, ENVIRONMENT, CLOCK], ids=["print", "exit", "environment", "clock"]
)
def test_the_world_is_touched_in_its_place_only(names: set[str], allowed: set[str]) -> None:
    touched = [
        f"{name}:{node.lineno}: {used}"
        for name, tree in TREES.items()
        if name not in allowed
        for node, used in _uses(tree)
        if used in names
    ]
    assert touched == []


def test_randomness_is_drawn_in_its_place_only() -> None:
    drawn = {
        name for name, tree in TREES.items() if RANDOM_MODULES & {module.split(".")[0] for module in _imported(tree)}
    }
    assert drawn - {"context.py"} == set()


def test_every_public_name_has_a_docstring() -> None:
    bare = [
        f"{name}:{node.lineno}: {node.name}"
        for name, tree in TREES.items()
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
    ]
    assert bare == []


def test_every_module_says_what_it_owns() -> None:
    assert [name for name, tree in TREES.items() if tree.body and not ast.get_docstring(tree)] == []


def test_every_input_of_the_action_reaches_its_scripts_by_environment() -> None:
    action = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    scripts = [step for step in action["runs"]["steps"] if "run" in step]
    shipway_steps = [step for step in scripts if "-m shipway" in step["run"]]
    assert len(shipway_steps) == 3
    for step in shipway_steps:
        handed = {name: value for name, value in step["env"].items() if "inputs." in value}
        # The part that also runs behind a killed one gets no token: see tests/test_boundary.py.
        names = action["inputs"].keys() - ({"token"} if step["run"].endswith("action keep") else set())
        assert handed == {
            f"SHIPWAY_INPUT_{name.upper().replace('-', '_')}": f"${{{{ inputs.{name} }}}}" for name in names
        }


@pytest.mark.parametrize(
    "path", ["action.yml", *sorted(f".github/workflows/{p.name}" for p in ROOT.glob(".github/workflows/*.yml"))]
)
def test_no_script_has_an_expression_in_it(path: str) -> None:
    document = yaml.load((ROOT / path).read_text(encoding="utf-8"), yaml.BaseLoader)
    assert [script for script in _scripts(document) if "${{" in script] == []


def test_python_is_the_first_process_of_every_step_of_the_action() -> None:
    action = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    scripts = list(_scripts(action))
    assert scripts
    for script in scripts:
        assert re.search(r'^\s*(run: )?exec "\$(python|SHIPWAY_PYTHON)" -I ', script, re.MULTILINE), script


OWN = ("./", "./.shipway-action")
"""This repository's own action: from its own checkout, and from the one that the caller of a workflow has pinned."""


def test_every_use_of_an_action_is_pinned_by_commit() -> None:
    for path in [ROOT / "action.yml", *ROOT.glob(".github/workflows/*.yml")]:
        for reference, comment in re.findall(r"uses: (\S+)(.*)", path.read_text(encoding="utf-8")):
            assert reference in OWN or re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", reference), f"{path.name}: {reference}"
            assert reference in OWN or re.fullmatch(r" # v\d+\.\d+\.\d+", comment), (
                f"{path.name}: {reference} names no version"
            )


def test_locks_name_no_index_and_no_path() -> None:
    for lock in ROOT.glob("requirements/*.lock"):
        text = lock.read_text(encoding="utf-8")
        assert not re.search(r"://|file:|--(extra-)?index|--find-links|@ ", text), lock.name
        pins = re.findall(r"^\S+==\S+.* \\\n((?:    --hash=sha256:[0-9a-f]{64}.*\n)+)", text, re.MULTILINE)
        assert len(pins) == len(re.findall(r"^\S+==", text, re.MULTILINE)), f"{lock.name} has a pin without a hash"


def test_every_dependency_is_pinned_for_the_action_and_argued_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = [re.split(r"[<>=!~; ]", dependency)[0] for dependency in project["dependencies"]]
    lock = (ROOT / "requirements/action.lock").read_text(encoding="utf-8")
    page = (ROOT / "docs/dependencies.md").read_text(encoding="utf-8")
    assert [name for name in names if f"\n{name.lower()}==" not in lock] == []
    assert [name for name in names if f"| {name} |" not in page] == []


def test_the_change_log_has_this_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## {re.escape(shipway.__version__)}\b", text, re.MULTILINE)


def test_no_file_names_a_folder_of_the_machine_it_was_written_on() -> None:
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    paths = [ROOT / name for name in tracked.split("\0") if name and not name.startswith("tests/vendor/")]
    home = re.compile(rb"/(?:root|work|opt)/[a-z.]")
    assert [str(path.relative_to(ROOT)) for path in paths if path.is_file() and home.search(path.read_bytes())] == []


@pytest.mark.acceptance
def test_the_wheel_holds_the_package_its_schemas_and_nothing_else(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, ROOT],
        check=True,
        capture_output=True,
        text=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    with ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
        entry_points = next(
            archive.read(name) for name in archive.namelist() if name.endswith("entry_points.txt")
        ).decode()
    package = {f"shipway/{path.relative_to(PACKAGE)}" for path in PACKAGE.rglob("*") if _is_shipped(path)}
    schemas = {f"shipway/schemas/{path.name}" for path in ROOT.glob("schemas/*.json")}
    assert held == package | schemas
    assert {"shipway/py.typed", "shipway/schemas/declaration-1.schema.json"} <= held
    assert "shipway = shipway.cli:main" in entry_points


def _is_shipped(path: Path) -> bool:
    return path.is_file() and "__pycache__" not in path.parts


def _module(name: str) -> str:
    return "shipway." + name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


MODULES = {_module(name) for name in SOURCES}


def _imported(tree: ast.AST) -> Iterator[str]:
    """Every module or name that an import names, wherever the import stands: `a.b` for `import a.b` and `from a import b`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _own_imports(name: str, tree: ast.AST) -> Iterator[str]:
    """The modules of this package that `tree` imports; `from shipway.graph import Node` is an import of `shipway.graph`."""
    for imported in _imported(tree):
        if not imported.startswith("shipway"):
            continue
        found = imported if imported in MODULES else imported.rpartition(".")[0]
        if found in MODULES and found != _module(name):
            yield found


def _third_party(tree: ast.AST) -> set[str]:
    roots = {module.split(".")[0] for module in _imported(tree)}
    return roots - sys.stdlib_module_names - {"shipway"}


def _uses(tree: ast.AST) -> Iterator[tuple[ast.expr, str]]:
    """Each name or dotted name that is used, with its node."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute):
            yield node, ast.unparse(node)


def _scripts(value: object) -> Iterator[str]:
    """Every `run:` of an action or a workflow."""
    if isinstance(value, dict):
        for key, member in value.items():
            if key == "run" and isinstance(member, str):
                yield member
            else:
                yield from _scripts(member)
    elif isinstance(value, list):
        for member in value:
            yield from _scripts(member)


@pytest.mark.parametrize("command", ["validate", "plan", "graph"])
def test_what_works_on_windows_needs_nothing_that_only_unix_has(command: str, tmp_path: Path) -> None:
    steps = "steps: [{run: 'true'}, {uses: file.link, with: {path: b, source: shipway.yml}}]"
    (tmp_path / "shipway.yml").write_text(f"version: 1\nname: test\n{steps}\n")
    program = (
        "import sys; sys.modules.update(dict.fromkeys(('fcntl', 'grp', 'pwd', 'resource', 'termios')));"
        f" from shipway.cli import main; main(['{command}'])"
    )
    done = subprocess.run([sys.executable, "-I", "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
