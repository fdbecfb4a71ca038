"""Completion in real shells: bash, zsh and fish source the script and are asked; the script runs nothing that it reads."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import shlex
import shutil
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from shipway.commands.completion import described
from shipway.render.completions import Value
from tests.command_line import Project, make_project
from tests.peers import require

DECLARATION = """
    version: 1
    name: shop
    targets: {staging: {}, prod: {on: [main, "release/*"]}, "pr-*": {}, '$(touch ran)': {}}
    stages:
      build: {steps: [{run: 'true'}]}
      # a comment
      release:
        needs: [build]
        steps: [{run: 'true'}]
      `touch ran`: {}
    secrets: []
    locks: {database: run, mirror: step}
    """

BLOCK_TARGETS = """
    version: 1
    targets:
      staging: {}
      "prod":
        on: [main]
    locks:
      - database  # of all
      - "mirror"
    name: shop
    """

# A call up to the cursor, and what is offered there. `|` stands before the word that is completed.
ASKED = [
    ("|pl", ["plan"]),
    ("graph |--fr", ["--from"]),
    ("plan --target |", ["prod", "staging"]),
    ("plan -t |pr", ["prod"]),
    ("plan --stage |", ["build", "release"]),
    ("graph --format |", ["json", "mermaid", "text"]),
    ("lock |", ["database", "mirror"]),
    ("unlock |mi", ["mirror"]),
    ("completion |", ["bash", "fish", "zsh"]),
    ("apply |pl", ["plan one.json", "plan.json"]),
    ("show -f |pl", ["plan one.json", "plan.json"]),
]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project with files to complete, in whose folder `sub` everything is asked."""
    project = make_project(tmp_path)
    project.write({"shipway.yml": DECLARATION, "sub/plan.json": "", "sub/plan one.json": "", "sub/prod-1": ""})
    return project


def script(project: Project, shell: str) -> Path:
    """The completion script, in a file."""
    path = project.root.parent / f"completion.{shell}"
    path.write_text(project.call("completion", shell).out, encoding="utf-8")
    return path


def in_shell(project: Project, shell: str, program: str, folder: str = "sub") -> list[str]:
    """The lines that a shell prints; no trace may be left by what it read."""
    done = subprocess.run(
        [shell, "-c", program], cwd=project.root / folder, env=project.env, capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    assert not list(project.root.rglob("ran"))
    return sorted(line for line in done.stdout.splitlines() if line)


def asked_of_bash(project: Project, line: str) -> list[str]:
    before, _, current = line.partition("|")
    words = " ".join(shlex.quote(word) for word in ["shipway", *before.split(), current])
    program = f"source {script(project, 'bash')}; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}}-1)); _shipway"
    return in_shell(project, "bash", program + '; printf "%s\\n" "${COMPREPLY[@]}"')


@pytest.mark.parametrize(("line", "offered"), ASKED)
def test_bash(project: Project, line: str, offered: list[str]) -> None:
    assert asked_of_bash(project, line) == offered


def test_bash_knows_the_words_around_an_equals_sign(project: Project) -> None:
    assert asked_of_bash(project, "plan --target |=") == ["prod", "staging"]
    assert asked_of_bash(project, "plan --target = |pr") == ["prod"]


def test_bash_offers_nothing_where_nothing_fits(project: Project) -> None:
    assert asked_of_bash(project, "plan |x") == []
    assert asked_of_bash(project, "plan --input |x") == []
    assert asked_of_bash(project, "no-such-command |x") == []


@pytest.mark.parametrize(("line", "offered"), ASKED)
def test_fish(project: Project, line: str, offered: list[str]) -> None:
    require("fish", shutil.which("fish") is not None, "apt-get install fish")
    call = shlex.quote("shipway " + line.replace("|", ""))
    told = in_shell(project, "fish", f"source {script(project, 'fish')}; complete -C {call}")
    assert [one.partition("\t")[0].replace("\\ ", " ") for one in told] == offered


def test_names_are_found_in_block_form_and_without_a_declaration(project: Project) -> None:
    project.write({"shipway.yml": BLOCK_TARGETS})
    assert asked_of_bash(project, "plan --target |") == ["prod", "staging"]
    assert asked_of_bash(project, "plan --stage |") == []
    assert asked_of_bash(project, "lock |") == ["database", "mirror"]
    project.write({"shipway.yml": "locks: [database, 'x y', mirror] # [more]\nname: shop\n"})
    assert asked_of_bash(project, "lock |") == ["database", "mirror"]
    project.write({"shipway.yml": "locks:\n- database\n- mirror\nname: shop\n"})
    assert asked_of_bash(project, "lock |") == ["database", "mirror"]
    (project.root / "shipway.yml").unlink()
    assert asked_of_bash(project, "plan --target |") == []


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("|pl", "shipway plan "),
        ("plan --target |sta", "shipway plan --target staging "),
        ("plan --stage |rel", "shipway plan --stage release "),
        ("graph --format |mer", "shipway graph --format mermaid "),
        ("completion |fi", "shipway completion fish "),
        ("apply |plan.", "shipway apply plan.json "),
    ],
)
def test_zsh(project: Project, line: str, shown: str) -> None:
    require("zsh", shutil.which("zsh") is not None, "apt-get install zsh")
    with Zsh(project, script(project, "zsh")) as zsh:
        zsh.type(f"shipway {line.replace('|', '')}\t")
        assert zsh.wait_for(shown) == shown
    assert not list(project.root.rglob("ran"))


class Zsh:
    """An interactive zsh on a terminal of its own, with the script sourced."""

    def __init__(self, project: Project, source: Path) -> None:
        self.terminal, end = pty.openpty()
        fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 200, 0, 0))
        self._process = subprocess.Popen(
            ["zsh", "-f", "-i"],
            stdin=end,
            stdout=end,
            stderr=end,
            cwd=project.root / "sub",
            env=project.env | {"TERM": "dumb"},
            start_new_session=True,
        )
        os.close(end)
        self._seen = ""
        self.type(f"PS1='> '; autoload -U compinit; compinit -D; source {source}; print rea''dy\n")
        self.wait_for("ready\r\n")

    def __enter__(self) -> Zsh:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self.terminal)

    def type(self, keys: str) -> None:
        """Type, forgetting what was shown before."""
        self._seen = ""
        os.write(self.terminal, keys.encode())

    def wait_for(self, text: str) -> str:
        """`text` once it is shown; what was shown instead where it does not come."""
        deadline = time.monotonic() + 20
        while text not in self._seen:
            if not select.select([self.terminal], [], [], deadline - time.monotonic())[0]:
                return self._seen
            self._seen += os.read(self.terminal, 65536).decode("utf-8", "replace")
        return text


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_command_and_option_is_in_every_script(project: Project, shell: str) -> None:
    text = project.call("completion", shell).out
    for command in described():
        assert command.name in text
        for option in command.options:
            for name in option.names:
                assert (f"-l {name[2:]}" if shell == "fish" and name.startswith("--") else name.lstrip("-")) in text


def test_values_are_known_by_kind() -> None:
    found = {
        (command.name, name): option.value
        for command in described()
        for option in command.options
        for name in option.names
    }
    assert found["plan", "--target"] is Value.TARGET
    assert found["plan", "--skip"] is Value.STAGE
    assert found["plan", "-o"] is Value.FILE
    assert found["plan", "--format"] is Value.WORD
    assert found["plan", "--input"] is Value.TEXT
    assert found["plan", "-q"] is Value.NONE
    assert {command.name: command.argument for command in described()}["apply"] is Value.FILE


def test_completing_starts_no_python(project: Project) -> None:
    for shell in ("bash", "zsh", "fish"):
        text = project.call("completion", shell).out
        assert "python" not in text
        assert Path(sys.executable).name not in text
