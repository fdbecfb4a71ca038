"""Action `shell.exec`: a script in a child process. Builds command lines; never starts one itself."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from shipway.action import (
    PLAN_COMMAND_FAILED,
    ActionFailed,
    Command,
    PlanWork,
    Prediction,
    SlotRule,
    SlotType,
    Verb,
    Work,
)
from shipway.canonical import Json
from shipway.declaration import OutputRule
from shipway.nodes import Change, Fidelity

_SCRIPT = "{0}"

# What GitHub's runner uses for the same words, with the script as an argument: no file to write for every step.
# Source: https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-syntax#jobsjob_idstepsshell
_SHELLS: Mapping[str, tuple[str, ...]] = {
    "bash": ("bash", "--noprofile", "--norc", "-eo", "pipefail", "-c"),
    "sh": ("sh", "-e", "-c"),
    "python": ("python", "-c"),
}

# As GitHub's runner does it for `pwsh`.
# Source: https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-syntax#jobsjob_idstepsshell
_PWSH = ("pwsh", "-NoLogo", "-NoProfile", "-NonInteractive", "-Command")
_PWSH_BEGIN = "$ErrorActionPreference = 'stop'\n"
_PWSH_END = "\nif ((Test-Path -LiteralPath variable:\\LASTEXITCODE)) { exit $LASTEXITCODE }"

_ARGUMENT_MAX = 100_000
"""Longer scripts go into a file: Linux refuses one argument of 128 KiB (MAX_ARG_STRLEN)."""

_SLOT_OF_VERB = {Verb.PLAN: "plan", Verb.UNDO: "undo", Verb.VERIFY: "verify"}


_TAKES_BACK = "takes back what was done; must bear a part of it"
_BESIDE: Mapping[str, SlotRule] = {
    "working_directory": SlotRule(SlotType.STRING, description="relative to the repository"),
    "plan": SlotRule(SlotType.STRING, description="read-only; may write predicted outputs", is_script=True),
    "plan_requires": SlotRule(SlotType.LIST, description="variables without which `plan` is not asked"),
    "undo": SlotRule(SlotType.STRING, description=_TAKES_BACK, is_script=True),
    "verify": SlotRule(
        SlotType.STRING, description="exits 0: the work is there, 3: it is gone, else unknown", is_script=True
    ),
}


class ShellExec:
    """`run` in `shell` (bash, sh, python, or a template with `{0}`), with `plan`, `undo` and `verify` beside it."""

    runs_in: Literal["process"] = "process"
    name = "shell.exec"
    contract = 1
    slots: Mapping[str, SlotRule] = {
        "run": SlotRule(SlotType.STRING, required=True, description="the script", is_script=True),
        "shell": SlotRule(SlotType.STRING, default="bash", description="bash, sh, python, or a template with {0}"),
        **_BESIDE,
    }
    outputs: Mapping[str, OutputRule] = {}
    _script_slot = "run"

    def plan(self, work: PlanWork) -> Prediction:
        """Opaque without a `plan` command; predicted by what it writes, unless a variable that it requires is unknown."""
        # A shell that makes no sense must be found now, and not when half of the run is done.
        self._argv(work.inputs, "", "")
        script = work.inputs.get(self._script_slot)
        if script is not None and not str(script).strip():
            raise ActionFailed(f"`{self._script_slot}` is empty: write what to run")
        reversible = work.inputs.get("undo") is not None
        command = self._command(Verb.PLAN, work.inputs, work.env, work.root)
        if command is None:
            return Prediction(Change.RUN, Fidelity.OPAQUE, "only running it tells", reversible=reversible)
        missing = [str(name) for name in _list(work.inputs.get("plan_requires")) if str(name) not in work.env]
        if missing:
            waits = ", ".join(f"{name} ({work.unknown_env.get(name, 'not set')})" for name in missing)
            return Prediction(Change.RUN, Fidelity.OPAQUE, f"its plan waits for {waits}", reversible=reversible)
        done = work.execute(command)
        if done.exit_code != 0 or done.error:
            said = [line for line in done.tail.splitlines() if line.strip()][-3:]
            raise ActionFailed(
                ": ".join([f"its `plan` command failed ({done.error or f'exit {done.exit_code}'})", *said]),
                code=PLAN_COMMAND_FAILED,
            )
        return Prediction(
            Change.RUN,
            Fidelity.PREDICTED,
            "its plan command says so",
            after={"plan": done.tail} if done.tail else None,
            outputs=done.outputs,
            reversible=reversible,
        )

    def command(self, verb: Verb, work: Work) -> Command | None:
        """The child process for `verb`; None where the step has no script for it."""
        return self._command(verb, work.inputs, work.env, work.root)

    def _command(self, verb: Verb, inputs: Mapping[str, Json], env: Mapping[str, str], root: Path) -> Command | None:
        script = inputs.get(_SLOT_OF_VERB.get(verb, self._script_slot))
        if script is None:
            return None
        directory = inputs.get("working_directory")
        cwd = root / str(directory) if directory is not None else root
        argv, needs_file = self._argv(inputs, str(script), env.get("PATH", ""))
        return Command(argv, cwd, env, script=str(script) if needs_file else None)

    def _argv(self, inputs: Mapping[str, Json], script: str, path: str) -> tuple[tuple[str, ...], bool]:
        return shell_argv(_shell(inputs), script, path)


class PowerShell(ShellExec):
    """`command` in PowerShell (`pwsh`), which stops at its first error, with `plan`, `undo` and `verify` beside it."""

    name = "shell.power_shell"
    slots: Mapping[str, SlotRule] = {
        "command": SlotRule(SlotType.STRING, required=True, description="the script", is_script=True),
        **_BESIDE,
    }
    _script_slot = "command"

    def command(self, verb: Verb, work: Work) -> Command | None:
        """The child process for `verb`. Raises ActionFailed where there is no PowerShell."""
        found = super().command(verb, work)
        if found is not None and shutil.which("pwsh", path=work.env.get("PATH", "")) is None:
            raise ActionFailed("`pwsh` is not on PATH: install PowerShell 7", code="start", is_permanent=True)
        return found

    def _argv(self, inputs: Mapping[str, Json], script: str, path: str) -> tuple[tuple[str, ...], bool]:
        if len(script.encode()) > _ARGUMENT_MAX:
            # Without the ending .ps1 PowerShell runs no file.
            read = f"Invoke-Expression (Get-Content -Raw -LiteralPath '{_SCRIPT}')"
            return (*_PWSH, _PWSH_BEGIN + read + _PWSH_END), True
        return (*_PWSH, _PWSH_BEGIN + script + _PWSH_END), False


def shell_argv(shell: str, script: str, path: str) -> tuple[tuple[str, ...], bool]:
    """The command line for a script, and whether `{0}` in it stands for a file that holds the script.

    Raises ActionFailed for a template without `{0}`.
    """
    words = _SHELLS.get(shell)
    if words is not None:
        if shell == "python" and shutil.which("python", path=path) is None:
            words = ("python3", *words[1:])
        if len(script.encode()) > _ARGUMENT_MAX:
            return (*words[:-1], _SCRIPT), True
        return (*words, script), False
    try:
        template = tuple(shlex.split(shell))
    except ValueError as error:
        raise ActionFailed(f"`shell: {shell}` cannot be read: {error}") from None
    if not any(_SCRIPT in word for word in template):
        raise ActionFailed(
            f"`shell: {shell}` is neither bash, sh nor python, and has no {{0}} where the script's file goes"
        )
    return template, True


def _shell(inputs: Mapping[str, Json]) -> str:
    return str(inputs.get("shell") or "bash")


def _list(value: Json) -> Sequence[Json]:
    return value if isinstance(value, (list, tuple)) else ()
