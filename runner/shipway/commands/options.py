"""What commands' arguments are made of: the parser, its help, and the options that several commands take."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NoReturn, TypeAlias

from shipway.errors import UsageError, did_you_mean

CODES = {
    0: "done, or nothing to do",
    1: "failed; what was to be undone was undone",
    2: "the declaration or the call is wrong; nothing was started",
    3: "changes present (plan --detailed-exitcode), a difference (diff), or drift",
    4: "failed, and something that was to be undone was not",
    5: "not what was approved, predicted or sealed",
    6: "a disk, store or forge cannot be reached, or a lock is held",
    70: "a bug in Shipway",
    130: "interrupted",
}

_EXAMPLE_CELLS = 34

FORMATS = ("text", "markdown", "json", "mermaid")


class Parser(argparse.ArgumentParser):
    """Raises instead of exiting, and guesses what a mistyped word was meant to be."""

    def error(self, message: str) -> NoReturn:
        text, guess = _with_guess(message)
        raise UsageError(text, next=guess or f"see `{self.prog} --help`")


Commands: TypeAlias = "argparse._SubParsersAction[Parser]"  # the type that add_subparsers gives has no public name


def epilog(examples: Sequence[tuple[str, str]], codes: Sequence[int]) -> str:
    """What stands below the options: how it is called, and how it exits."""
    shown = [f"  {code:<4} {CODES[code]}" for code in codes]
    listed = ["examples:", *(line for example in examples for line in _example(*example)), ""] if examples else []
    return "\n".join([*listed, "exit codes:", *shown])


def _example(call: str, why: str) -> list[str]:
    """A call and why: beside each other where 80 columns allow it, else below."""
    if len(call) <= _EXAMPLE_CELLS:
        return [f"  {call:<{_EXAMPLE_CELLS}}  {why}".rstrip()]
    return [f"  {call}", *([f"  {'':<{_EXAMPLE_CELLS}}  {why}"] if why else [])]


def command(
    commands: Commands,
    name: str,
    text: str,
    *,
    changes: str,
    examples: Sequence[tuple[str, str]] = (),
    codes: Sequence[int] = (0, 2),
) -> argparse.ArgumentParser:
    """A command whose help says what it does, what it changes, how it is called and how it exits."""
    made = commands.add_parser(
        name,
        help=text,
        description=f"{text[0].upper()}{text[1:]}.\n\nchanges: {changes}",
        epilog=epilog(examples, (*codes, 70, 130)),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.set_defaults(module=name)
    return made


def json_option(made: argparse.ArgumentParser, formats: Sequence[str] = ()) -> None:
    """`--json`, which where there is a choice of formats is short for one of them."""
    group = made.add_mutually_exclusive_group()
    group.add_argument("--json", action="store_true", help="print JSON and nothing else on standard output")
    if formats:
        group.add_argument("--format", choices=formats, help="how to show it (default: text)")


def loudness(made: argparse.ArgumentParser, *, verbose: str, quiet: str) -> None:
    """`--verbose`, if it is said what that does, or `--quiet`."""
    group = made.add_mutually_exclusive_group()
    if verbose:
        group.add_argument("-v", "--verbose", action="store_true", help=verbose)
    group.add_argument("-q", "--quiet", action="store_true", help=quiet)


def declaration_option(made: argparse.ArgumentParser) -> None:
    """Which declaration."""
    made.add_argument("-f", "--file", metavar="FILE", help="the declaration (default: the nearest shipway.yml above)")


def shown_run(made: argparse.ArgumentParser) -> None:
    """How a run is shown."""
    json_option(made)
    loudness(made, verbose="show each step's whole output", quiet="show the end, failures and where the receipt is")


def on_lifecycle(
    made: argparse.ArgumentParser, target: str = "where the lifecycle acts (default: the only target there is)"
) -> None:
    """Which declaration, and where it acts; `target` is what the help says of the latter."""
    declaration_option(made)
    made.add_argument("-t", "--target", metavar="NAME", help=target)


def input_option(made: argparse.ArgumentParser) -> None:
    """`--input`."""
    made.add_argument(
        "--input", metavar="NAME=VALUE", action="append", default=[], help="give a declared input; repeatable"
    )


def on_part(made: argparse.ArgumentParser) -> None:
    """Like `on_lifecycle`, with inputs, and only a part of it."""
    on_lifecycle(made)
    input_option(made)
    made.add_argument("--stage", metavar="STAGE", action="append", default=[], help="only this stage; repeatable")
    made.add_argument("--skip", metavar="STAGE[/STEP]", action="append", default=[], help="leave this out; repeatable")


def reconcile(made: argparse.ArgumentParser) -> None:
    """`--reconcile`, for a plan or a run of what differs only."""
    made.add_argument("--reconcile", action="store_true", help="only what drifted or is missing, as `drift` finds it")


def on_run(made: argparse.ArgumentParser) -> None:
    """How a run that was begun before is found, shown and confirmed."""
    made.add_argument(
        "-f", "--file", metavar="FILE", help="the declaration (default: the one that the run was begun with)"
    )
    made.add_argument("-t", "--target", metavar="NAME", help="only a run for this target")
    made.add_argument("-y", "--yes", action="store_true", help="do not ask")
    shown_run(made)


def break_glass(made: argparse.ArgumentParser) -> None:
    """`--break-glass`, with a reason or without one, which is then asked for."""
    made.add_argument(
        "--break-glass",
        metavar="REASON",
        nargs="?",
        const="",
        help="override what policies refuse, and say why; confirmed by typing, or by a permission on the forge",
    )


def approve(made: argparse.ArgumentParser) -> None:
    """`--approve`, for who approves without a forge."""
    made.add_argument(
        "--approve", metavar="sha256:…", help="approve this effect, as the plan shows it, for stages that need approval"
    )


def _with_guess(message: str) -> tuple[str, str]:
    """argparse's message in our words, and a guess at what a mistyped choice was meant to be, or an empty text."""
    if "invalid choice: '" not in message:
        return message.removeprefix("argument "), ""
    word = message.split("invalid choice: '")[1].split("'")[0]
    known = [part.strip(" '()") for part in message.split("(choose from")[1].split(",")]
    option = message.removeprefix("argument ").split(":")[0]
    what = f"unknown command `{word}`" if option == "COMMAND" else f"{option}: `{word}` is none of {listed(known)}"
    return what, did_you_mean(word, known)


def listed(names: Sequence[str] | dict[str, argparse.ArgumentParser]) -> str:
    """Names as a sentence has them: in backticks, with commas."""
    return ", ".join(f"`{name}`" for name in names)
