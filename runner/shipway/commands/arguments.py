"""The whole command line. Light on purpose: `--help` and completion load this and nothing that works."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence

from shipway import __version__
from shipway.commands.arguments_plans import (
    add_apply,
    add_diff,
    add_graph,
    add_init,
    add_plan,
    add_run,
    add_validate,
    add_why,
)
from shipway.commands.arguments_preview import add_preview
from shipway.commands.arguments_runs import (
    add_cancel,
    add_drill,
    add_follow,
    add_logs,
    add_resume,
    add_retry,
    add_rollback,
    add_runs,
    add_show,
    add_sign,
    add_verify,
)
from shipway.commands.arguments_state import add_drift, add_state
from shipway.commands.arguments_tools import add_action, add_completion, add_doctor, add_lock, add_locks, add_unlock
from shipway.commands.options import CODES, Commands, Parser, epilog, listed
from shipway.errors import UsageError, did_you_mean

_COMMANDS: Mapping[str, Callable[[Commands], None]] = {
    "init": add_init,
    "validate": add_validate,
    "plan": add_plan,
    "run": add_run,
    "apply": add_apply,
    "resume": add_resume,
    "retry": add_retry,
    "rollback": add_rollback,
    "drill": add_drill,
    "cancel": add_cancel,
    "follow": add_follow,
    "runs": add_runs,
    "show": add_show,
    "verify": add_verify,
    "sign": add_sign,
    "preview": add_preview,
    "state": add_state,
    "drift": add_drift,
    "why": add_why,
    "diff": add_diff,
    "logs": add_logs,
    "graph": add_graph,
    "locks": add_locks,
    "lock": add_lock,
    "unlock": add_unlock,
    "doctor": add_doctor,
    "completion": add_completion,
    "action": add_action,
}
"""What adds each command, in the order of the help."""

_EXAMPLES = (
    ("shipway init", "write a first shipway.yml and the workflow"),
    ("shipway plan --target prod", "what would be done, what undoes it"),
    ("shipway run --target prod", "plan, ask, execute, keep the receipt"),
    ("shipway plan -o plan.json && shipway apply plan.json", ""),
    ("shipway resume", "go on where a run failed or was killed"),
    ("shipway show", "the receipt of the last run"),
)


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The arguments of one call; `module` names the module in `commands` that carries it out. Raises UsageError."""
    if argv[:1] == ["help"]:
        argv = [*argv[1:], "--help"]
    # To make all of them takes as long as to plan a hundred steps.
    top = parser(argv[0] if argv and argv[0] in _COMMANDS else "")
    known = commands_of(top)
    if not argv:
        raise UsageError(f"name a command: {listed(known)}", next="see `shipway --help`")
    found, unknown = top.parse_known_args(list(argv))
    if unknown:
        name = " ".join(filter(None, (found.command, getattr(found, "part", ""))))
        raise _unknown_argument(unknown[0], name, every_command(top).get(name, known[found.command]))
    return found


def commands_of(top: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The parser of each command by its name, in the order of the help."""
    return next(dict(action.choices) for action in top._actions if isinstance(action, argparse._SubParsersAction))


def every_command(top: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The commands, and behind each its parts under both names: `preview`, `preview up`."""
    found = {}
    for name, made in commands_of(top).items():
        found[name] = made
        for action in made._actions:
            if isinstance(action, argparse._SubParsersAction):
                found |= {f"{name} {part}": each for part, each in dict(action.choices).items()}
    return found


def parser(only: str = "") -> argparse.ArgumentParser:
    """The whole command line; completion and a table of the documentation are made from it. Or one command of it."""
    top = Parser(
        prog="shipway",
        description="Plan a lifecycle, execute that plan and no other, keep the receipt.",
        epilog=epilog(_EXAMPLES, tuple(CODES)),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    top.add_argument("-V", "--version", action="version", version=f"shipway {__version__}")
    commands = top.add_subparsers(metavar="COMMAND", required=True, dest="command", parser_class=Parser)
    for name in [only] if only else _COMMANDS:
        _COMMANDS[name](commands)
    return top


def _unknown_argument(argument: str, command: str, made: argparse.ArgumentParser) -> UsageError:
    word = argument.split("=")[0]
    if word in made._option_string_actions:
        return UsageError(
            f"`{word}` stands before the command", next=f"write it behind: `shipway {command} {argument}`"
        )
    guess = did_you_mean(word, made._option_string_actions) if word.startswith("-") else ""
    return UsageError(f"`shipway {command}` takes no `{argument}`", next=guess or f"see `shipway {command} --help`")
