"""Arguments of the parts of `shipway preview` that look: at one environment, at what nobody needs. Nothing here works."""

from __future__ import annotations

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
    made.add_argument("-f", "--file", metavar="FILE", help=_FILE)
    made.add_argument(
        "-t",
        "--target",
        metavar="NAME",
        help="the environment (default: the one whose checkout this is, else the branch's)",
    )
    json_option(made)
    loudness(made, verbose="", quiet="print its state only")
    made.set_defaults(module="preview_status")


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
