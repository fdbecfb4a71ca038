"""Arguments of the parts of `shipway preview` that look: at one environment, at what nobody needs. Nothing here works."""

from __future__ import annotations

import argparse

from shipway.commands.options import Commands, command, json_option, loudness

_FILE = "the declaration (default: the nearest shipway.yml above)"


def add_status(parts: Commands) -> None:
    """`shipway preview status`."""
    made = command(
        parts,
        "status",
        "say what an environment is, and ask each part of it whether it is there",
        changes="nothing",
        examples=(
            ("shipway preview status", "of the branch that is checked out"),
            ("shipway preview status --target pr-42 --json", ""),
            ("shipway preview status -q --target pr-42", "its state in a word, nothing asked"),
        ),
        codes=(0, 2, 6),
    )
    _on_environment(made)
    json_option(made)
    loudness(made, verbose="", quiet="print its state only")
    made.set_defaults(module="preview_status")


def add_logs(parts: Commands) -> None:
    """`shipway preview logs`."""
    made = command(
        parts,
        "logs",
        "show what a service of an environment has printed",
        changes="nothing",
        examples=(("shipway preview logs api", ""), ("shipway preview logs api --lines 200", "")),
        codes=(0, 2, 6),
    )
    made.add_argument("service", metavar="SERVICE", help="a service of the stage with `role: runner`")
    _on_environment(made)
    made.add_argument("--lines", metavar="COUNT", type=int, default=50, help="how many of the last (default: 50)")
    made.set_defaults(module="preview_exec")


def add_exec(parts: Commands) -> None:
    """`shipway preview exec`."""
    made = command(
        parts,
        "exec",
        "run a command where an environment lives, or get a shell there",
        changes="what the command does",
        examples=(
            ("shipway preview exec", "a shell"),
            ("shipway preview exec -- npm test", ""),
            ("shipway preview exec --target pr-42 -- env", ""),
        ),
        codes=(0, 2, 6),
    )
    made.add_argument("words", metavar="COMMAND", nargs="*", help="behind `--`: the command (default: a shell)")
    _on_environment(made)
    made.set_defaults(module="preview_exec")


def add_gc(parts: Commands) -> None:
    """`shipway preview gc`."""
    made = command(
        parts,
        "gc",
        "list what nobody needs any more, and remove it when told to",
        changes="nothing; with `--remove` all that it lists",
        examples=(
            ("shipway preview gc", ""),
            ("shipway preview gc --detailed-exitcode", "exit 3 where there is anything"),
            ("shipway preview gc --remove --yes", "not asking"),
        ),
        codes=(0, 2, 3, 4, 6),
    )
    made.add_argument("-f", "--file", metavar="FILE", help=_FILE)
    made.add_argument("-t", "--target", metavar="NAME", help="take down only this environment")
    made.add_argument("--remove", action="store_true", help="take it away")
    made.add_argument("-y", "--yes", action="store_true", help="do not ask")
    made.add_argument("--detailed-exitcode", action="store_true", help="exit 3 where anything is found")
    json_option(made)
    loudness(made, verbose="", quiet="say only what could not be removed")
    made.set_defaults(module="preview_gc")


def _on_environment(made: argparse.ArgumentParser) -> None:
    made.add_argument("-f", "--file", metavar="FILE", help=_FILE)
    made.add_argument(
        "-t",
        "--target",
        metavar="NAME",
        help="the environment (default: the one whose checkout this is, else the branch's)",
    )
