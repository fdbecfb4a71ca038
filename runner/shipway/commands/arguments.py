"""Every command's arguments and help. Light on purpose: `--help` and completion load this and nothing that works."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NoReturn

from shipway import __version__
from shipway.errors import UsageError, did_you_mean

_EXIT_CODES = """exit codes:
  0    done, or nothing to do
  1    failed; what was to be undone was undone
  2    the declaration or the call is wrong; nothing was started
  3    changes are present (plan --detailed-exitcode)
  4    failed, and something that was to be undone was not
  5    not what was approved or sealed
  6    a store, disk or forge that is needed cannot be reached
  70   a bug in Shipway
  130  interrupted"""

_EXAMPLES = """examples:
  shipway init                          write a first shipway.yml and the workflow
  shipway plan --target prod            what would be done there, how sure that is, what undoes it
  shipway run --target prod             plan, ask, execute, keep the receipt
  shipway plan -o plan.json && shipway apply plan.json
  shipway show                          the receipt of the last run"""


class _Parser(argparse.ArgumentParser):
    """Raises instead of exiting, and guesses what a mistyped word was meant to be."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(_with_guess(message), next=f"see `{self.prog} --help`")


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The arguments of one call; `module` names the module in `commands` that carries it out. Raises UsageError."""
    return parser().parse_args(list(argv))


def parser() -> argparse.ArgumentParser:
    """The whole command line; completion is made from it."""
    top = _Parser(
        prog="shipway",
        description="Plan a lifecycle, execute that plan and no other, keep the receipt.",
        epilog=f"{_EXAMPLES}\n\n{_EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    top.add_argument("-V", "--version", action="version", version=f"shipway {__version__}")
    commands = top.add_subparsers(metavar="COMMAND", required=True, dest="command", parser_class=_Parser)
    _init(commands)
    _validate(commands)
    _plan(commands)
    _run(commands)
    _apply(commands)
    _show(commands)
    _graph(commands)
    _doctor(commands)
    _completion(commands)
    _action(commands)
    return top


_Commands = argparse._SubParsersAction  # the type that add_subparsers gives has no public name


def _command(commands: _Commands[_Parser], name: str, text: str, more: str = "") -> argparse.ArgumentParser:
    made = commands.add_parser(
        name,
        help=text,
        description=text[0].upper() + text[1:] + "." + (f"\n\n{more}" if more else ""),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.set_defaults(module=name)
    made.add_argument("--json", action="store_true", help="print JSON and nothing else on standard output")
    made.add_argument("-v", "--verbose", action="count", default=0, help="show each step's whole output")
    made.add_argument("-q", "--quiet", action="store_true", help="show results and failures only")
    return made


def _on_lifecycle(made: argparse.ArgumentParser) -> None:
    made.add_argument("-f", "--file", metavar="FILE", help="the declaration (default: the nearest shipway.yml above)")
    made.add_argument("-t", "--target", metavar="NAME", help="where the lifecycle acts")


def _on_part(made: argparse.ArgumentParser) -> None:
    _on_lifecycle(made)
    made.add_argument(
        "--input", metavar="NAME=VALUE", action="append", default=[], help="give a declared input; repeatable"
    )
    made.add_argument("--stage", metavar="STAGE", action="append", default=[], help="only this stage; repeatable")
    made.add_argument("--skip", metavar="STAGE[/STEP]", action="append", default=[], help="leave this out; repeatable")


def _init(commands: _Commands[_Parser]) -> None:
    made = _command(commands, "init", "write a working shipway.yml and the two-job workflow for this repository")
    made.add_argument(
        "-f", "--file", metavar="FILE", help="the declaration to write (default: shipway.yml at the root)"
    )
    made.add_argument("-t", "--target", metavar="NAME", help="the target that the workflow runs")
    made.add_argument("--force", action="store_true", help="replace files that exist")


def _validate(commands: _Commands[_Parser]) -> None:
    made = _command(commands, "validate", "check a declaration and show every problem at once; starts nothing")
    _on_part(made)


def _plan(commands: _Commands[_Parser]) -> None:
    made = _command(commands, "plan", "show what would be done, how sure that is, and what undoes it; changes nothing")
    _on_part(made)
    made.add_argument(
        "--format", choices=("text", "markdown", "json", "mermaid"), help="how to show it (default: text)"
    )
    made.add_argument(
        "-o", "--output", metavar="FILE", help="write it there; without --format the plan itself, for `apply`"
    )
    made.add_argument(
        "--detailed-exitcode", action="store_true", help="exit 3 where there are changes, 0 where there are none"
    )


def _run(commands: _Commands[_Parser]) -> None:
    made = _command(commands, "run", "plan, ask, execute, undo on failure, keep the receipt")
    _on_part(made)
    made.add_argument("-y", "--yes", action="store_true", help="do not ask")


def _apply(commands: _Commands[_Parser]) -> None:
    made = _command(commands, "apply", "execute a plan made earlier, if it is still what would be done")
    made.add_argument("plan", metavar="PLAN", help="the file that `shipway plan -o` wrote")
    made.add_argument(
        "--input", metavar="NAME=VALUE", action="append", default=[], help="an input the plan was made with; repeatable"
    )
    made.add_argument("-f", "--file", metavar="FILE", help="the declaration (default: the one named in the plan)")
    made.add_argument("-t", "--target", metavar="NAME", help="refuse a plan for another target")
    made.add_argument(
        "--stage", metavar="STAGE", action="append", default=[], help="the part the plan was made for; repeatable"
    )
    made.add_argument(
        "--skip", metavar="STAGE[/STEP]", action="append", default=[], help="what the plan left out; repeatable"
    )
    made.add_argument("-y", "--yes", action="store_true", help="do not ask")


def _show(commands: _Commands[_Parser]) -> None:
    made = _command(commands, "show", "show a plan or a receipt after checking its seal")
    made.add_argument(
        "document", metavar="FILE", nargs="?", help="a plan or receipt (default: the receipt of the last run)"
    )
    made.add_argument(
        "--format", choices=("text", "markdown", "json", "mermaid"), help="how to show it (default: text)"
    )
    _on_lifecycle(made)


def _graph(commands: _Commands[_Parser]) -> None:
    made = _command(commands, "graph", "show how the nodes of a lifecycle depend on each other")
    _on_part(made)
    made.add_argument("--format", choices=("text", "mermaid", "json"), help="how to show it (default: text)")
    made.add_argument("--from", dest="start", metavar="NODE", help="only this node and what depends on it")
    made.add_argument("--to", dest="end", metavar="NODE", help="only this node and what it depends on")


def _doctor(commands: _Commands[_Parser]) -> None:
    made = _command(commands, "doctor", "check this machine and checkout for what a run will need")
    _on_lifecycle(made)


def _completion(commands: _Commands[_Parser]) -> None:
    made = _command(
        commands,
        "completion",
        "print a shell's completion script",
        "for example: shipway completion bash > ~/.local/share/bash-completion/completions/shipway",
    )
    made.add_argument("shell", choices=("bash", "zsh", "fish"))


def _action(commands: _Commands[_Parser]) -> None:
    made = _command(
        commands, "action", "what the GitHub Action runs: `run` does the work of the event, `report` posts it"
    )
    made.add_argument("part", choices=("run", "report"))


def _with_guess(message: str) -> str:
    """argparse's message in our words, with a guess for a mistyped choice or option."""
    if "invalid choice: '" in message:
        word = message.split("invalid choice: '")[1].split("'")[0]
        known = [part.strip(" '()") for part in message.split("(choose from")[1].split(",")]
        guess = did_you_mean(word, known)
        return f"`{word}` is none of {', '.join(f'`{name}`' for name in known)}" + (f"; {guess}" if guess else "")
    if message.startswith("unrecognized arguments: "):
        word = message.removeprefix("unrecognized arguments: ").split()[0]
        guess = did_you_mean(word.split("=")[0], _options())
        return f"unknown argument `{word}`" + (f"; {guess}" if guess else "")
    return message


def _options() -> list[str]:
    top = parser()
    subparsers = [action for action in top._actions if isinstance(action, argparse._SubParsersAction)]
    return sorted({option for made in subparsers[0].choices.values() for option in made._option_string_actions})
