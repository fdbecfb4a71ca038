"""Shows that the shell action and the steps backend keep the contracts, and that the contracts catch who does not."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from shipway.actions.shell_exec import ShellExec
from shipway.backend import Cleanups, StagePlace
from shipway.backends.steps_shell import StepsShell
from shipway.declaration import Declaration, Stage
from shipway.errors import Problem
from shipway.registry import Registry
from tests.contracts import action as actions
from tests.contracts import backend as backends
from tests.contracts.action import ActionCase
from tests.contracts.backend import BackendCase, check_leaves_process_alone

SHELL = [
    ActionCase("a script", ShellExec, {"run": "make"}, env={"PATH": "/usr/bin:/bin"}),
    ActionCase(
        "all verbs",
        ShellExec,
        {"run": "a", "plan": "b", "undo": "c", "verify": "d", "shell": "sh"},
        env={"PATH": "/bin"},
    ),
]

DECLARATION = """version: 1
name: shop
stages:
  build:
    steps:
      - id: image
        run: make image
        outputs: {tag: string}
      - {id: notes, uses: template.render, with: {content: "v${{ steps.image.outputs.tag }}"}}
  release:
    needs: [build]
    steps:
      migrate: {run: ./db up, undo: ./db down}
      publish: {uses: file.write, with: {path: out/NOTES.md, content: text, mode: "0600"}, needs: [migrate]}
"""

FILES = BackendCase(
    "files",
    "files",
    "tree",
    """version: 1
name: dots
stages:
  home:
    mode: files
    with: {sources: {base: config/base, own: config/own}, roots: {home: out}, on_conflict: backup, data: {name: x}}
  etc:
    mode: files
    with: {sources: {base: config/base}, roots: {etc: etc}, how: copy, modes: {"d/": "0700", "d/*": "0600"}}
""",
    wrong="""version: 1
name: dots
stages:
  home:
    mode: files
    with: {sources: {base: config/base}, roots: {home: [out]}}
""",
    files={"config/base/all/d/f": "x", "config/base/all/t.j2": "{{ name }}", "config/own/all/d/f": "y"},
)
PACKAGES = BackendCase(
    "packages",
    "packages",
    "system",
    """version: 1
name: workstation
stages:
  tools:
    mode: packages
    with: {packages: [gh, "pip:ruff==0.4.1", {greeter: {settings: {name: world}}}], definitions: packages, update: true}
  gone:
    mode: packages
    with: {manifest: list.yaml, action: decommission}
""",
    wrong="""version: 1
name: workstation
stages:
  tools:
    mode: packages
    with: {pakages: [gh]}
""",
    files={
        "list.yaml": "packages: [gh]\n",
        "packages/greeter/package.yaml": "settings: {name: {}}\nscripts: {install: {Common: x.sh}}\n",
        "packages/greeter/x.sh": "install() { :; }\nundo_install() { :; }\n",
    },
)
STEPS = BackendCase("steps", "steps", "shell", DECLARATION)


@pytest.mark.parametrize("check", actions.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("case", SHELL, ids=lambda case: case.name.replace(" ", "-"))
def test_shell_exec_keeps_the_contract(case: ActionCase, check: Callable[[ActionCase], None]) -> None:
    check(case)


@pytest.mark.parametrize("case", [STEPS, FILES, PACKAGES], ids=lambda case: case.name)
@pytest.mark.parametrize("check", backends.CHECKS, ids=lambda check: check.__name__)
def test_a_built_in_backend_keeps_the_contract(check: Callable[[BackendCase], None], case: BackendCase) -> None:
    check(case)


class Printing(StepsShell):
    """Does what no backend may do: writes to stdout."""

    mode = "loud"

    def validate(self, stage: Stage, lifecycle: Declaration) -> list[Problem]:
        sys.stdout.write("hello")
        return []


class Exporting(StepsShell):
    """Does what no backend may do: leaves a variable behind."""

    mode = "loud"

    def prepare(self, stage: Stage, place: StagePlace, cleanups: Cleanups) -> None:
        os.environ["KUBECONFIG"] = "deleted"


class Moving(StepsShell):
    """Does what no backend may do: changes the working directory."""

    mode = "loud"

    def prepare(self, stage: Stage, place: StagePlace, cleanups: Cleanups) -> None:
        os.chdir("/")


@pytest.mark.parametrize(
    ("backend", "fault"),
    [(Printing, "wrote to stdout"), (Exporting, "changed the environment"), (Moving, "changed the working directory")],
)
def test_l18_a_backend_that_prints_or_changes_the_process_fails_the_contract(
    backend: type[StepsShell], fault: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KUBECONFIG", "before")

    def registry() -> Registry:
        made = Registry(lambda group: ())
        made.register_backend(backend, "this test")
        return made

    declaration = "version: 1\nname: shop\nstages:\n  a: {mode: loud}\n"
    with pytest.raises(AssertionError, match=fault):
        check_leaves_process_alone(BackendCase("loud", "loud", "shell", declaration, registry=registry))
