"""`shipway completion`: a shell's completion script, made from the parser itself. Reads and writes no file."""

from __future__ import annotations

import argparse
from argparse import Namespace

from shipway.commands.arguments import commands_of, parser
from shipway.commands.documents import write_out
from shipway.render.completions import Command, Option, Value, completion_script

_FILES = frozenset({"file", "output", "plan", "document", "before", "after", "against"})
_NAMES = {"target": Value.TARGET, "stage": Value.STAGE, "skip": Value.STAGE, "name": Value.LOCK}


def run(arguments: Namespace) -> int:
    """0."""
    write_out(completion_script(arguments.shell, described()))
    return 0


def described() -> list[Command]:
    """The command line as completion needs it."""
    top = parser()
    helps = {
        choice.dest: choice.help or ""
        for action in top._actions
        if isinstance(action, argparse._SubParsersAction)
        for choice in action._choices_actions
    }
    return [_command(name, helps[name], made) for name, made in commands_of(top).items()]


def _command(name: str, text: str, made: argparse.ArgumentParser) -> Command:
    options = {
        action.option_strings[0]: Option(
            tuple(action.option_strings), action.help or "", _value(action), _words(action)
        )
        for each in (made, *_parts(made))
        for action in each._actions
        if action.option_strings
    }
    positional = next((action for action in made._actions if not action.option_strings), None)
    if positional is None:
        return Command(name, text, (*options.values(),))
    return Command(name, text, (*options.values(),), _value(positional), _words(positional))


def _parts(made: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    """The parsers of a command's parts, if it has any: their options are offered together."""
    found = [action for action in made._actions if isinstance(action, argparse._SubParsersAction)]
    return [part for action in found for part in dict(action.choices).values()]


def _value(action: argparse.Action) -> Value:
    if action.nargs == 0:
        return Value.NONE
    if action.choices:
        return Value.WORD
    return Value.FILE if action.dest in _FILES else _NAMES.get(action.dest, Value.TEXT)


def _words(action: argparse.Action) -> tuple[str, ...]:
    return tuple(action.choices or ())
