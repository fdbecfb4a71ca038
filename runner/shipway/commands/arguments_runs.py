"""Arguments of the commands about runs: what they left, and going on with them or taking them back. Nothing here works."""

from __future__ import annotations

from shipway.commands.options import (
    FORMATS,
    Commands,
    approve,
    command,
    json_option,
    loudness,
    on_lifecycle,
    on_part,
    on_run,
)


def add_resume(commands: Commands) -> None:
    """`shipway resume`."""
    made = command(
        commands,
        "resume",
        "go on with a run that failed, was stopped or was killed",
        changes="what of the plan is not done; what is done is kept",
        examples=(
            ("shipway resume", "the last run that is not done"),
            ("shipway resume --target prod --yes", "the last one for prod, not asking"),
            ("shipway resume 20260102T030405-a1b2c3", ""),
            ("shipway resume --from release/rollout", "that step and all behind it again"),
            ("shipway resume --assume done release/migrate", "you looked: its work is there"),
        ),
        codes=(0, 1, 2, 4, 5, 6),
    )
    made.add_argument("run", metavar="RUN", nargs="?", help="the run's id (default: the last one that is not done)")
    on_run(made)
    made.add_argument("--from", dest="start_from", metavar="STEP", help="run this step and all behind it again")
    made.add_argument(
        "--assume",
        metavar=("done|not-done", "STEP"),
        nargs=2,
        action="append",
        default=[],
        help="what a look at the world showed of a step that nobody reported; repeatable",
    )


def add_retry(commands: Commands) -> None:
    """`shipway retry`."""
    made = command(
        commands,
        "retry",
        "try a failed node of a run again, and go on from there",
        changes="what of the plan is not done; what is done is kept",
        examples=(("shipway retry 20260102T030405-a1b2c3 release/rollout", ""),),
        codes=(0, 1, 2, 4, 5, 6),
    )
    made.add_argument("run", metavar="RUN", help="the run's id, as `shipway runs` lists it")
    made.add_argument("node", metavar="NODE", help="the node that failed: stage/step")
    on_run(made)


def add_rollback(commands: Commands) -> None:
    """`shipway rollback`."""
    made = command(
        commands,
        "rollback",
        "undo later what a run did, also a run that succeeded",
        changes="what the run did: it runs compensations and undos, the last stage first",
        examples=(
            ("shipway rollback", "the last run that left something"),
            ("shipway rollback --target prod --yes", "the last one for prod, not asking"),
            ("shipway rollback 20260102T030405-a1b2c3", ""),
            ("shipway rollback --drifted", "also where somebody changed it since"),
        ),
        codes=(0, 2, 4, 5, 6),
    )
    made.add_argument("run", metavar="RUN", nargs="?", help="the run's id (default: the last one that left something)")
    on_run(made)
    made.add_argument(
        "--drifted",
        action="store_true",
        help="undo also where what the run did has changed since, or a later run came after it",
    )


def add_drill(commands: Commands) -> None:
    """`shipway drill`."""
    made = command(
        commands,
        "drill",
        "prove the undos: fail after each node in turn, on a target that is there for it",
        changes="the target, once for each node; each time all is undone again",
        examples=(
            ("shipway drill --target drill", "the target says `drill: true`"),
            ("shipway drill --target drill --yes --json", "for a scheduled job"),
        ),
        codes=(0, 1, 2, 4, 5, 6),
    )
    on_part(made)
    made.add_argument("-y", "--yes", action="store_true", help="do not ask")
    approve(made)
    json_option(made)
    loudness(made, verbose="show each step's whole output", quiet="show failures and the table only")


def add_cancel(commands: Commands) -> None:
    """`shipway cancel`."""
    made = command(
        commands,
        "cancel",
        "stop a run that another process carries out, or end what a killed one left",
        changes="as an interrupt would: ends what runs, undoes or leaves what was begun",
        examples=(("shipway cancel 20260102T030405-a1b2c3", ""),),
        codes=(0, 2, 6),
    )
    made.add_argument("run", metavar="RUN", help="the run's id, as `shipway runs` lists it")
    json_option(made)
    loudness(made, verbose="", quiet="print nothing where it was stopped")


def add_follow(commands: Commands) -> None:
    """`shipway follow`."""
    made = command(
        commands,
        "follow",
        "tell what happens in a run that another process carries out",
        changes="nothing",
        examples=(
            ("shipway follow", "the one in progress here, until it ends"),
            ("shipway follow --once --json", "what there is, and a cursor to go on from"),
            ("shipway follow --since 20260102T030405-a1b2c3/17", "from there on"),
        ),
        codes=(0, 1, 2, 4, 6, 130),
    )
    made.add_argument(
        "run", metavar="RUN", nargs="?", help="the run's id (default: the one in progress, else the last)"
    )
    made.add_argument("--since", metavar="CURSOR", help="only what came after, as an earlier call said")
    made.add_argument("--once", action="store_true", help="tell what there is, and do not wait for more")
    json_option(made)
    loudness(made, verbose="", quiet="say nothing of how to go on")


def add_runs(commands: Commands) -> None:
    """`shipway runs`."""
    made = command(
        commands,
        "runs",
        "list the runs of this checkout and its store, and clear up after killed ones",
        changes="nothing; `repair` seals receipts, `prune` forgets old runs",
        examples=(
            ("shipway runs", "all of them, the last first"),
            ("shipway runs --target prod", ""),
            ("shipway runs repair", "seal what killed runs left"),
            ("shipway runs prune --keep 10", "forget all but the last 10 of each target"),
        ),
        codes=(0, 2, 6),
    )
    made.add_argument(
        "part", nargs="?", choices=("list", "prune", "repair"), default="list", help="what to do (default: list)"
    )
    made.add_argument("-f", "--file", metavar="FILE", help="only runs of this declaration's lifecycle")
    made.add_argument("-t", "--target", metavar="NAME", help="only runs for this target")
    made.add_argument(
        "--keep", metavar="COUNT", type=int, default=20, help="how many runs of each target `prune` keeps (default: 20)"
    )
    json_option(made)
    loudness(made, verbose="", quiet="list ids only; say nothing of what was cleared up")


def add_show(commands: Commands) -> None:
    """`shipway show`."""
    made = command(
        commands,
        "show",
        "show a plan or a receipt after checking its seal",
        changes="nothing",
        examples=(
            ("shipway show", "the receipt of the last run"),
            ("shipway show 20260102T030405-a1b2c3", "that of one run, as `run` names it"),
            ("shipway show --target prod -v", "the last one for prod, with every output"),
            ("shipway show plan.json --format mermaid", ""),
            ("shipway show -q plan.json && echo whole", "check the seal only"),
        ),
        codes=(0, 2, 5),
    )
    made.add_argument(
        "document",
        metavar="FILE|RUN",
        nargs="?",
        help="a plan or receipt, or the id of a run (default: the last run's receipt)",
    )
    made.add_argument("-f", "--file", metavar="FILE", help="the last receipt of this declaration's lifecycle")
    made.add_argument("-t", "--target", metavar="NAME", help="the last receipt for this target")
    json_option(made, FORMATS)
    loudness(made, verbose="show attempts, outputs and log of every node", quiet="print nothing: check the seal only")


def add_sign(commands: Commands) -> None:
    """`shipway sign`."""
    made = command(
        commands,
        "sign",
        "sign a receipt, which its own run could not",
        changes="signatures of that receipt, in .shipway/receipts and in its store",
        examples=(
            ("shipway sign --target prod", "once the signer works again"),
            ("shipway sign 20260301T120000-1a2b3c", "that of an earlier run"),
        ),
        codes=(0, 2, 5, 6),
    )
    made.add_argument("run", metavar="RUN", nargs="?", help="the run's id (default: the target's last receipt)")
    on_lifecycle(made)
    loudness(made, verbose="", quiet="say nothing")


def add_verify(commands: Commands) -> None:
    """`shipway verify`."""
    made = command(
        commands,
        "verify",
        "check that documents are as they were sealed, and that no receipt is missing",
        changes="nothing",
        examples=(
            ("shipway verify", "every receipt of the declaration"),
            ("shipway verify receipt.json", "one document, wherever it came from"),
            ("shipway verify downloads/ --json", "all documents in a folder and below it"),
            ("shipway verify --chain --target prod", "the receipts of one target"),
        ),
        codes=(0, 2, 5, 6),
    )
    made.add_argument(
        "documents", metavar="FILE|DIR", nargs="*", help="plans, receipts, or folders of them (default: `--chain`)"
    )
    made.add_argument(
        "--chain", action="store_true", help="the receipts of the declaration here, in its store or in the checkout"
    )
    made.add_argument("-f", "--file", metavar="FILE", help="the declaration (default: shipway.yml here or above)")
    made.add_argument("-t", "--target", metavar="NAME", help="only receipts of this target")
    made.add_argument("--signers", metavar="FILE", help="whose SSH signatures count (default: as `signing` declares)")
    made.add_argument(
        "--key", metavar="ID", action="append", default=[], help="a key of another method that counts; may be repeated"
    )
    made.add_argument(
        "--forge", action="store_true", help="in a job on GitHub: ask its deployments too which receipt was the last"
    )
    made.add_argument("--require", action="store_true", help="an unsigned receipt is an error, whatever is declared")
    json_option(made)
    loudness(made, verbose="list every document, with its digests", quiet="print nothing: check only")


def add_logs(commands: Commands) -> None:
    """`shipway logs`."""
    made = command(
        commands,
        "logs",
        "show what the steps of a run printed",
        changes="nothing",
        examples=(
            ("shipway logs", "of the last run"),
            ("shipway logs build/image", "of one step in the last run"),
            ("shipway logs 20260102T030405-a1b2c3 build/image", "in that run"),
            ("shipway logs -q 20260102T030405-a1b2c3 build/image", "that output and nothing else"),
        ),
        codes=(0, 2, 6),
    )
    made.add_argument("run", metavar="RUN", nargs="?", help="the run's id (default: the last run)")
    made.add_argument("step", metavar="STEP", nargs="?", help="only this one: stage/step, or step alone")
    json_option(made)
    loudness(made, verbose="", quiet="print the output without any heading")
