"""Arguments of the commands about what exists: what receipts tell of it, and whether it is still so. Nothing here works."""

from __future__ import annotations

from shipway.commands.options import Commands, command, json_option, loudness, on_lifecycle


def add_state(commands: Commands) -> None:
    """`shipway state`."""
    made = command(
        commands,
        "state",
        "show what exists, by which run, as verified receipts tell",
        changes="nothing",
        examples=(
            ("shipway state", "what is there, on every target"),
            ("shipway state --target prod --kind file --tree", ""),
            ("shipway state --tool pkg --since 7d --history", "what was done to packages this week"),
            ("shipway state --until 2026-03-01", "as it was then"),
            ("shipway state --targets", "which commit is where"),
        ),
        codes=(0, 2, 5, 6),
    )
    on_lifecycle(made, "only what is on this target (default: on every one)")
    made.add_argument("--kind", metavar="KIND", help="only things of this kind: file, package, service, step, …")
    made.add_argument("--tool", metavar="ACTION", help="only by this action: `file.link`, or `file` for all of them")
    made.add_argument("--project", metavar="NAME", help="only what belongs to this project")
    made.add_argument(
        "--since", metavar="TIME", help="only what was done from then on: a date, a time, or how long ago (`7d`)"
    )
    made.add_argument("--until", metavar="TIME", help="only what was done until then: what existed at that time")
    made.add_argument("--all", action="store_true", help="show what is gone as well")
    made.add_argument("--history", action="store_true", help="show each record, also of what failed or was undone")
    form = made.add_mutually_exclusive_group()
    form.add_argument("--tree", action="store_true", help="show files as trees")
    form.add_argument("--targets", action="store_true", help="show what is where: the last good run of each target")
    json_option(made)
    loudness(made, verbose="", quiet="print nothing but what is wrong with receipts")


def add_drift(commands: Commands) -> None:
    """`shipway drift`."""
    made = command(
        commands,
        "drift",
        "look whether what receipts say is still so",
        changes="nothing; `verify` commands are run, and have to be read-only",
        examples=(
            ("shipway drift --target prod", "what was changed since, or is gone"),
            ("shipway drift -v", "also what holds"),
            ("shipway drift -q || echo drift", ""),
        ),
        codes=(0, 2, 3, 5, 6),
    )
    on_lifecycle(made)
    json_option(made)
    loudness(made, verbose="show what holds as well", quiet="print nothing: the exit code says whether there is drift")
