"""Arguments of the commands around a lifecycle: locks, this machine, the shell, the job of the action. Nothing here works."""

from __future__ import annotations

from shipway.commands.options import Commands, command, json_option, loudness, on_lifecycle


def add_locks(commands: Commands) -> None:
    """`shipway locks`."""
    made = command(
        commands,
        "locks",
        "show who holds which lock, since when, and until when",
        changes="nothing",
        examples=(
            ("shipway locks", "all that are held, by anyone"),
            ("shipway locks --target prod --json", ""),
        ),
        codes=(0, 2, 6),
    )
    on_lifecycle(made)
    made.add_argument("--all", action="store_true", help="show locks that are free as well")
    json_option(made)
    loudness(made, verbose="", quiet="print nothing where no lock is held")


def add_lock(commands: Commands) -> None:
    """`shipway lock`."""
    made = command(
        commands,
        "lock",
        "hold a lock by hand, so that no run takes it",
        changes="the lock's record in the store of the state; nothing else",
        examples=(
            ("shipway lock --target prod", "no run on prod until `shipway unlock`"),
            ('shipway lock --target prod --for 2h --reason "restoring a backup"', ""),
            ("shipway lock shop-database", "a named lock"),
        ),
        codes=(0, 2, 6),
    )
    made.add_argument("name", metavar="NAME", nargs="*", help="a named lock (default: that of lifecycle and target)")
    on_lifecycle(made)
    made.add_argument(
        "--for", dest="duration", metavar="DURATION", help="how long, such as 30m or 2h (default: no end)"
    )
    made.add_argument("--reason", metavar="TEXT", help="why; shown to whoever finds it held")
    json_option(made)
    loudness(made, verbose="", quiet="print nothing where all went well")


def add_unlock(commands: Commands) -> None:
    """`shipway unlock`."""
    made = command(
        commands,
        "unlock",
        "give back a lock that is held by hand, or that a run left behind",
        changes="the lock's record in the store of the state; nothing else",
        examples=(
            ("shipway unlock --target prod", ""),
            ("shipway unlock shop-database", ""),
            ("shipway unlock --target prod --force", "from a run that goes on"),
        ),
        codes=(0, 2, 6),
    )
    made.add_argument("name", metavar="NAME", nargs="*", help="a named lock (default: that of lifecycle and target)")
    on_lifecycle(made)
    made.add_argument(
        "--force", action="store_true", help="take it from a run that goes on, or replace a broken record"
    )
    json_option(made)
    loudness(made, verbose="", quiet="print nothing where all went well")


def add_doctor(commands: Commands) -> None:
    """`shipway doctor`."""
    made = command(
        commands,
        "doctor",
        "check this machine and checkout for what a run will need",
        changes="nothing; with a forge token set, two requests ask what it may read",
        examples=(
            ("shipway doctor --target prod", ""),
            ("shipway doctor -q", "only what needs attention"),
            ("GITHUB_TOKEN=$(gh auth token) shipway doctor --github", "workflows and settings on GitHub"),
        ),
    )
    on_lifecycle(made)
    made.add_argument(
        "--github",
        action="store_true",
        help="look at the repository's workflows and, with a token, at its settings on GitHub instead",
    )
    json_option(made)
    loudness(made, verbose="", quiet="show only what needs attention")


def add_completion(commands: Commands) -> None:
    """`shipway completion`."""
    made = command(
        commands,
        "completion",
        "print a shell's completion script",
        changes="nothing",
        examples=(
            ('eval "$(shipway completion bash)"', "for this shell"),
            ("shipway completion bash > ~/.local/share/bash-completion/completions/shipway", ""),
            ('shipway completion zsh > "${fpath[1]}/_shipway"', ""),
            ("shipway completion fish > ~/.config/fish/completions/shipway.fish", ""),
        ),
    )
    made.add_argument("shell", choices=("bash", "zsh", "fish"), help="whose script to print")


def add_action(commands: Commands) -> None:
    """`shipway action`."""
    made = command(
        commands,
        "action",
        "what the GitHub Action runs: to work, to keep the journal, to report",
        changes="what the event leads to: docs/github.md#events",
        codes=(0, 1, 2, 4, 5, 6),
    )
    made.add_argument("part", choices=("run", "keep", "report"), help="which of the three")
    made.add_argument("--dry-run", action="store_true", help="of `report`: print the comment and post nothing")
    made.add_argument("-v", "--verbose", action="store_true", help="show each phase and stage as well")
