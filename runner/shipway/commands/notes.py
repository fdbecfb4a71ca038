"""What a command that executes nothing tells beside its result: warnings, and the phases where they were asked for."""

from __future__ import annotations

from argparse import Namespace

from shipway.context import Context
from shipway.events import Events
from shipway.render import terminal


def noting(arguments: Namespace, context: Context) -> Events:
    """Events that are told on standard error, so that standard output holds the result alone."""
    verbosity = terminal.Verbosity.VERBOSE if arguments.verbose else terminal.Verbosity.QUIET
    events = Events()
    events.subscribe(terminal.terminal_for(context, terminal.standard_error(), verbosity))
    return events
