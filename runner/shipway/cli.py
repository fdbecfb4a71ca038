"""The command line: reads arguments, calls one command, and is the only place where an error becomes text and an exit code."""

from __future__ import annotations

import gc
import importlib
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from shipway import __version__

if TYPE_CHECKING:
    from shipway.errors import ShipwayError


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run one command and exit with its code.

    The process ends without taking its objects apart one by one, which costs more than many a command: nothing of ours
    waits for the interpreter's end, and what was printed is flushed here.
    """
    _open_closed_streams()
    code = run(list(sys.argv[1:] if argv is None else argv))
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except BrokenPipeError:
        pass
    os._exit(code)


def _open_closed_streams() -> None:
    """Put the null device where a standard stream was closed: else the next file opened would get its number."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - open as long as the process is


def run(argv: list[str]) -> int:
    """The exit code of one command; whatever it raises is shown here and nowhere else."""
    if argv in (["--version"], ["-V"]):
        sys.stdout.write(f"shipway {__version__}\n")
        return 0
    # Reading a declaration makes many objects and drops few: cyclic collection would cost three times the reading.
    gc.disable()
    try:
        return _dispatch(argv)
    except BrokenPipeError:
        # Whoever read the output has gone (`| head`); the interpreter must not complain about it once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return 130


class _Hidden:
    """Lets nothing find `typing_extensions`."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name == "typing_extensions":
            raise ModuleNotFoundError(f"`{name}` is hidden", name=name)


def _import_msgspec() -> None:
    """Import it, which every command needs, without `typing_extensions`.

    It takes that where it is installed, and of it only what `typing` has since Python 3.11; `inspect` and what that
    imports come with it, and all of it takes a tenth of the time in which a command gets ready.
    """
    hidden = _Hidden()
    sys.meta_path.insert(0, hidden)
    try:
        importlib.import_module("msgspec")
    finally:
        sys.meta_path.remove(hidden)


def _dispatch(argv: list[str]) -> int:
    _import_msgspec()
    from shipway.errors import EXIT_BUG, ShipwayError  # late: `--version` needs none of it

    wants_json = "--json" in argv
    try:
        from shipway.commands.arguments import parse  # late, for the same reason
        from shipway.context import hide_from_children

        arguments = parse(argv)
        hide_from_children()
        wants_json = bool(getattr(arguments, "json", wants_json))
        command = importlib.import_module(f"shipway.commands.{arguments.module}")
        code: int = command.run(arguments)
        return code
    except ShipwayError as error:
        if error.exit_code == EXIT_BUG:
            _show_bug(error, argv, wants_json)
        else:
            _show(error, wants_json)
        return error.exit_code
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001 - the boundary: what no one expected is a bug of Shipway's
        _show_bug(error, argv, wants_json)
        return 70


def _show(error: ShipwayError, wants_json: bool) -> None:
    from shipway.render import failure  # late: only a failure pays for it

    if wants_json:
        sys.stdout.write(failure.as_json(error))
    else:
        sys.stderr.write(failure.as_text(error, columns=_columns()))


def _columns() -> int | None:
    try:
        return os.get_terminal_size(2).columns or None
    except OSError:  # not a terminal
        return None


def _show_bug(error: BaseException, argv: list[str], wants_json: bool) -> None:
    from shipway.errors import ShipwayError, trace_of  # late: only a bug pays for it
    from shipway.redaction import Redactor
    from shipway.render.foreign import inert

    redact = Redactor({}).redact
    is_known = isinstance(error, ShipwayError)
    what = str(error) if is_known else f"{type(error).__name__}: {error}"
    _show(
        ShipwayError(
            f"a bug in Shipway: {redact(what)}",
            next=f"report this with the output below (shipway {__version__}, `shipway {' '.join(argv)}`)",
        ),
        wants_json,
    )
    trace = error.trace if isinstance(error, ShipwayError) and error.trace else redact(trace_of(error))
    sys.stderr.write(inert(trace))
