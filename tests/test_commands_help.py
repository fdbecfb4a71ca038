"""The command line itself: its help teaches, its errors guess, its options are those of the documentation, and none is idle."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

import pytest

from shipway import __version__
from shipway.commands.arguments import every_command, parse, parser
from shipway.errors import Reason, UsageError
from tests.command_line import make_project

ROOT = Path(__file__).parent.parent
COMMANDS = every_command(parser())
LIFECYCLE_COMMANDS = ("validate", "plan", "run", "apply", "show", "graph")
PAGE = (ROOT / "docs/commands.md").read_text("utf-8")


def options_of(made: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    """What the table of a command lists: options by all their names, arguments by their metavar or choices."""
    found = {}
    for action in made._actions:
        if isinstance(action, argparse._HelpAction | argparse._SubParsersAction):
            continue
        name = ", ".join(action.option_strings) or str(action.metavar or "|".join(action.choices or ()))
        found[name] = action
    return found


@pytest.mark.parametrize("name", COMMANDS)
def test_help_says_what_changes_and_how_it_exits(name: str) -> None:
    text = COMMANDS[name].format_help()
    assert re.search(r"^changes: \w", text, re.MULTILINE)
    assert "exit codes:\n  0 " in text
    assert name == "action" or f"examples:\n  {'eval' if name == 'completion' else 'shipway'}" in text


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_no_line_of_the_help_is_wider_than_80_columns(tmp_path: Path, name: str) -> None:
    text = make_project(tmp_path).call(*name.split(), "--help").out
    assert [line for line in text.splitlines() if len(line) > 80] == []


def test_help_is_what_is_asked_for_with_an_option_too(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    assert project.call("help").out == project.call("--help").out
    assert project.call("help", "plan").out == project.call("plan", "--help").out
    assert "unknown command `plam`" in project.call("help", "plam", code=2).err.lower()


def test_what_to_do_next_names_our_pages_where_they_can_be_found(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    project.write({"shipway.yml": "version: 1\nname: shop\nsteps: [{run: make, retry: {attemps: 3}}]\n"})
    told = project.call("plan", code=2).err
    assert f"https://github.com/shipway/shipway/blob/v{__version__}/docs/declaration.md#retry" in told
    assert "/docs/declaration.md#retry" in project.call("plan", "--json", code=2).json["error"]["next"]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_example_of_the_help_is_a_call_that_parses(name: str) -> None:
    examples = re.findall(r"^  (shipway [^\n]*)$", str(COMMANDS[name].epilog).split("exit codes:")[0], re.MULTILINE)
    assert examples or name == "action", "what has no example teaches nothing, unless it is for jobs only"
    for example in examples:
        call = re.split(r"\s{2,}|&&|\|\||>", example)[0]
        assert parse(call.split()[1:]).command in COMMANDS


@pytest.mark.parametrize("name", LIFECYCLE_COMMANDS)
def test_every_lifecycle_command_takes_file_target_json_and_loudness(name: str) -> None:
    assert {"-f", "--target", "--json", "-v", "-q"} <= set(COMMANDS[name]._option_string_actions)


@pytest.mark.parametrize("name", [name for name, made in COMMANDS.items() if not made.get_default("parts")])
def test_every_option_is_read_by_the_command_that_takes_it(name: str) -> None:
    sources = {path.stem: path.read_text("utf-8") for path in (ROOT / "runner/shipway/commands").glob("*.py")}
    reached, waiting = {"arguments"}, [COMMANDS[name].get_default("module")]
    while waiting:
        module = waiting.pop()
        if module not in reached:
            reached.add(module)
            waiting += re.findall(r"from shipway\.commands\.(\w+) import", sources[module])
    text = "".join(sources[module] for module in reached - {"arguments"})
    idle = [shown for shown, action in options_of(COMMANDS[name]).items() if f"arguments.{action.dest}" not in text]
    assert idle == []


@pytest.mark.parametrize("name", COMMANDS)
def test_the_page_lists_the_options_of_the_parser(name: str) -> None:
    section = re.search(rf"^##+ {name}\n(.*?)(?=^##+ |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert section is not None, f"docs/commands.md has no section `{name}`"
    listed = re.findall(r"^\| `([^|`]+(?:\\\|[^|`]*)*)` \| ([^|]+) \|$", section[1], re.MULTILINE)
    expected = {shown: str(action.help) for shown, action in options_of(COMMANDS[name]).items()}
    assert {shown.replace("\\|", "|"): text.strip() for shown, text in listed} == expected


def test_the_page_of_exit_codes_lists_every_reason_and_no_other() -> None:
    page = (ROOT / "docs/exit-codes.md").read_text("utf-8")
    assert set(re.findall(r"^\| `([a-z-]+)` \|", page, re.MULTILINE)) == {reason.value for reason in Reason}


def test_the_page_of_exit_codes_lists_the_codes_of_the_help() -> None:
    page = (ROOT / "docs/exit-codes.md").read_text("utf-8")
    codes = re.findall(r"^  (\d+) ", str(parser().epilog).split("exit codes:")[1], re.MULTILINE)
    assert re.findall(r"^\| (\d+) \|", page, re.MULTILINE) == codes


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (["plna"], "unknown command `plna`. Did you mean `plan`?\n"),
        (["plan", "--tagret", "prod"], "`shipway plan` takes no `--tagret`. Did you mean `--target`?\n"),
        (["show", "--stage", "x"], "`shipway show` takes no `--stage`"),
        (["plan", "prod"], "`shipway plan` takes no `prod`. See `shipway plan --help`\n"),
        (["--json", "validate"], '"next": "write it behind: `shipway validate --json`"'),
        (
            ["plan", "--format", "txt"],
            "--format: `txt` is none of `text`, `markdown`, `json`, `mermaid`. Did you mean `text`?",
        ),
        (["plan", "--json", "--format", "text"], "not allowed with argument"),
        (["run", "-v", "-q"], "not allowed with argument"),
        (["apply"], "the following arguments are required: PLAN. See `shipway apply --help`\n"),
        ([], "name a command: `init`, `validate`, "),
        (["plan", "--target"], "expected one argument. See `shipway plan --help`\n"),
    ],
)
def test_a_wrong_call_gets_one_line_and_what_to_type(tmp_path: Path, call: list[str], expected: str) -> None:
    done = make_project(tmp_path).call(*call, code=2)
    told = done.out + done.err
    assert expected in told
    assert told.count("\n") == 1


def test_options_are_never_abbreviated() -> None:
    with pytest.raises(UsageError, match="takes no `--targ`"):
        parse(["plan", "--targ", "prod"])


def test_help_loads_nothing_heavy(tmp_path: Path) -> None:
    program = (
        "import sys\nfrom shipway.cli import run\n"
        "try:\n    run(['plan', '--help'])\nexcept SystemExit:\n    pass\n"
        "print(sorted({'yaml', 'git', 'requests', 'jsonschema', 'jinja2', 'rich', 'importlib.metadata'} & set(sys.modules)))"
    )
    project = make_project(tmp_path)
    done = subprocess.run(
        [sys.executable, "-I", "-c", program], env=project.env, capture_output=True, text=True, check=True
    )
    assert done.stdout.endswith("[]\n")
