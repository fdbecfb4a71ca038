"""Arguments of `shipway preview` and its parts: an environment for each target, made, used and taken away. Nothing here works."""

from __future__ import annotations

import argparse

from shipway.commands.options import (
    Commands,
    Parser,
    approve,
    command,
    declaration_option,
    input_option,
    json_option,
    loudness,
    on_lifecycle,
    shown_run,
)

_ENVIRONMENT = "the environment (default: the one whose checkout this is, else that of the branch)"


def add_preview(commands: Commands) -> None:
    """`shipway preview` and its parts."""
    made = command(
        commands,
        "preview",
        "make, use and remove the environment of a branch or pull request",
        changes="as its parts say: see `shipway preview PART --help`",
        examples=(
            ("shipway preview up", "make it, or bring it to the present commit"),
            ("shipway preview status", "what of it is there, and where it answers"),
            ("shipway preview exec -- npm test", "run something in it"),
            ("shipway preview down", "remove it, and keep its history"),
            ("shipway preview gc", "what nobody needs any more"),
        ),
        codes=(0, 1, 2, 3, 4, 5, 6),
    )
    made.set_defaults(parts=True)
    parts = made.add_subparsers(metavar="PART", required=True, dest="part", parser_class=Parser)
    for add in (_up, _attach, _stop, _down, _on_service, _list, _status, _logs, _exec, _gc):
        add(parts)


def _up(parts: Commands) -> None:
    made = command(
        parts,
        "up",
        "make an environment, or bring it to the present commit",
        changes="what its plan says; what is as it should be is kept",
        examples=(
            ("shipway preview up", "of the branch that is checked out"),
            ("shipway preview up --target pr-42 --yes", "not asking"),
            ("shipway preview up --from runner/deploy", "that node and all behind it again"),
            ("shipway preview up --stage provisioner", "a part of it"),
            ("shipway preview up --manifest manifest.json", "the rest, in another job"),
        ),
        codes=(0, 1, 2, 4, 5, 6),
    )
    _changing(made, "preview_up")
    approve(made)
    made.add_argument("--stage", metavar="STAGE", action="append", default=[], help="only this stage; repeatable")
    made.add_argument("--manifest", metavar="FILE", help="run what another job has provisioned, as its manifest says")
    group = made.add_mutually_exclusive_group()
    group.add_argument("--from", dest="start_from", metavar="NODE", help="run this node and all behind it again")
    group.add_argument("--no-cache", action="store_true", help="run every node again; the checkout is kept")


def _attach(parts: Commands) -> None:
    made = command(
        parts,
        "attach",
        "make an environment of a checkout that is there already",
        changes="as `up` does; the checkout stays when the environment goes",
        examples=(("shipway preview attach ../shop-login", "its branch is the target"),),
        codes=(0, 1, 2, 4, 5, 6),
    )
    made.add_argument("path", metavar="DIR", help="the checkout")
    _changing(made, "preview_up")
    approve(made)
    made.set_defaults(stage=[], start_from=None, no_cache=False, manifest=None)


def _stop(parts: Commands) -> None:
    made = command(
        parts,
        "stop",
        "end the services and containers of an environment, and keep the rest",
        changes="its processes and containers; ports, data and checkout stay",
        examples=(("shipway preview stop", "`up` starts them again"),),
        codes=(0, 2, 4, 6),
    )
    _changing(made, "preview_down")


def _down(parts: Commands) -> None:
    made = command(
        parts,
        "down",
        "remove an environment as it was declared when it was made",
        changes="all that it made; its history and receipts stay",
        examples=(
            ("shipway preview down", ""),
            ("shipway preview down --target pr-42 --yes", "again, where something is left"),
        ),
        codes=(0, 2, 4, 6),
    )
    _changing(made, "preview_down")


def _on_service(parts: Commands) -> None:
    for name, text in (
        ("reset", "make a provisioner's service anew, by its `reset` hook"),
        ("seed", "run the `seed` hook of a provisioner's service on demand"),
        ("init", "run the `init` hook of a provisioner's service, once per lifecycle"),
    ):
        made = command(
            parts,
            name,
            text,
            changes="what that hook does",
            examples=((f"shipway preview {name} postgres", ""),),
            codes=(0, 1, 2, 4, 5, 6),
        )
        made.add_argument("service", metavar="SERVICE", help="a service of the stage with `role: provisioner`")
        _changing(made, "preview_service")
        if name != "init":
            approve(made)


def _list(parts: Commands) -> None:
    made = command(
        parts,
        "list",
        "list the environments of a lifecycle",
        changes="nothing",
        examples=(("shipway preview list", ""), ("shipway preview list --all --json", "those that are gone too")),
        codes=(0, 2, 6),
    )
    declaration_option(made)
    made.add_argument("--all", action="store_true", help="list those that are gone as well")
    json_option(made)
    loudness(made, verbose="", quiet="print the targets only")
    made.set_defaults(module="preview_list", target=None)


def _status(parts: Commands) -> None:
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
    on_lifecycle(made, _ENVIRONMENT)
    json_option(made)
    loudness(made, verbose="", quiet="print its state only")
    made.set_defaults(module="preview_status")


def _logs(parts: Commands) -> None:
    made = command(
        parts,
        "logs",
        "show what the services of an environment have printed, or one of them",
        changes="nothing",
        examples=(
            ("shipway preview logs", "of each service, with its name"),
            ("shipway preview logs api --lines 200", ""),
        ),
        codes=(0, 2, 6),
    )
    text = "a service of the stage with `role: runner` (default: all of them)"
    made.add_argument("service", metavar="SERVICE", nargs="?", help=text)
    on_lifecycle(made, _ENVIRONMENT)
    made.add_argument("--lines", metavar="COUNT", type=int, default=50, help="how many of the last (default: 50)")
    made.set_defaults(module="preview_exec")


def _exec(parts: Commands) -> None:
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
    on_lifecycle(made, _ENVIRONMENT)
    made.set_defaults(module="preview_exec")


def _gc(parts: Commands) -> None:
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
    on_lifecycle(made, "take down only this environment")
    made.add_argument("--remove", action="store_true", help="take it away")
    made.add_argument("-y", "--yes", action="store_true", help="do not ask")
    made.add_argument("--detailed-exitcode", action="store_true", help="exit 3 where anything is found")
    json_option(made)
    loudness(made, verbose="", quiet="say only what could not be removed")
    made.set_defaults(module="preview_gc")


def _changing(made: argparse.ArgumentParser, module: str) -> None:
    """What every part takes that changes something, and who carries it out."""
    on_lifecycle(made, _ENVIRONMENT)
    input_option(made)
    made.add_argument("-y", "--yes", action="store_true", help="do not ask")
    shown_run(made)
    made.set_defaults(module=module)
