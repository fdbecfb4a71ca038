"""Every command's arguments and help. Light on purpose: `--help` and completion load this and nothing that works."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NoReturn

from shipway import __version__
from shipway.errors import UsageError, did_you_mean

_CODES = {
    0: "done, or nothing to do",
    1: "failed; what was to be undone was undone",
    2: "the declaration or the call is wrong; nothing was started",
    3: "changes are present (plan --detailed-exitcode), or plans differ (diff)",
    4: "failed, and something that was to be undone was not",
    5: "not what was approved, predicted or sealed",
    6: "a disk, store or forge cannot be reached, or a lock is held",
    70: "a bug in Shipway",
    130: "interrupted",
}

_EXAMPLES = (
    ("shipway init", "write a first shipway.yml and the workflow"),
    ("shipway plan --target prod", "what would be done, what undoes it"),
    ("shipway run --target prod", "plan, ask, execute, keep the receipt"),
    ("shipway plan -o plan.json && shipway apply plan.json", ""),
    ("shipway resume", "go on where a run failed or was killed"),
    ("shipway show", "the receipt of the last run"),
)

_EXAMPLE_CELLS = 34

_FORMATS = ("text", "markdown", "json", "mermaid")


class _Parser(argparse.ArgumentParser):
    """Raises instead of exiting, and guesses what a mistyped word was meant to be."""

    def error(self, message: str) -> NoReturn:
        text, guess = _with_guess(message)
        raise UsageError(text, next=guess or f"see `{self.prog} --help`")


_Commands = argparse._SubParsersAction  # the type that add_subparsers gives has no public name


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The arguments of one call; `module` names the module in `commands` that carries it out. Raises UsageError."""
    top = parser()
    known = commands_of(top)
    if not argv:
        raise UsageError(f"name a command: {_listed(known)}", next="see `shipway --help`")
    found, unknown = top.parse_known_args(list(argv))
    if unknown:
        raise _unknown_argument(unknown[0], found.command, known[found.command])
    return found


def commands_of(top: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The parser of each command by its name, in the order of the help."""
    return next(dict(action.choices) for action in top._actions if isinstance(action, argparse._SubParsersAction))


def parser() -> argparse.ArgumentParser:
    """The whole command line; completion and a table of the documentation are made from it."""
    top = _Parser(
        prog="shipway",
        description="Plan a lifecycle, execute that plan and no other, keep the receipt.",
        epilog=_epilog(_EXAMPLES, tuple(_CODES)),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    top.add_argument("-V", "--version", action="version", version=f"shipway {__version__}")
    commands = top.add_subparsers(metavar="COMMAND", required=True, dest="command", parser_class=_Parser)
    _init(commands)
    _validate(commands)
    _plan(commands)
    _run(commands)
    _apply(commands)
    _resume(commands)
    _retry(commands)
    _rollback(commands)
    _drill(commands)
    _cancel(commands)
    _runs(commands)
    _show(commands)
    _why(commands)
    _diff(commands)
    _logs(commands)
    _graph(commands)
    _locks(commands)
    _lock(commands)
    _unlock(commands)
    _doctor(commands)
    _completion(commands)
    _action(commands)
    return top


def _epilog(examples: Sequence[tuple[str, str]], codes: Sequence[int]) -> str:
    shown = [f"  {code:<4} {_CODES[code]}" for code in codes]
    listed = ["examples:", *(line for example in examples for line in _example(*example)), ""] if examples else []
    return "\n".join([*listed, "exit codes:", *shown])


def _example(call: str, why: str) -> list[str]:
    """A call and why: beside each other where 80 columns allow it, else below."""
    if len(call) <= _EXAMPLE_CELLS:
        return [f"  {call:<{_EXAMPLE_CELLS}}  {why}".rstrip()]
    return [f"  {call}", *([f"  {'':<{_EXAMPLE_CELLS}}  {why}"] if why else [])]


def _command(
    commands: _Commands[_Parser],
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
        epilog=_epilog(examples, (*codes, 70, 130)),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.set_defaults(module=name)
    return made


def _json(made: argparse.ArgumentParser, formats: Sequence[str] = ()) -> None:
    """`--json`, which where there is a choice of formats is short for one of them."""
    group = made.add_mutually_exclusive_group()
    group.add_argument("--json", action="store_true", help="print JSON and nothing else on standard output")
    if formats:
        group.add_argument("--format", choices=formats, help="how to show it (default: text)")


def _loudness(made: argparse.ArgumentParser, *, verbose: str, quiet: str) -> None:
    group = made.add_mutually_exclusive_group()
    if verbose:
        group.add_argument("-v", "--verbose", action="store_true", help=verbose)
    group.add_argument("-q", "--quiet", action="store_true", help=quiet)


def _on_lifecycle(made: argparse.ArgumentParser) -> None:
    made.add_argument("-f", "--file", metavar="FILE", help="the declaration (default: the nearest shipway.yml above)")
    made.add_argument(
        "-t", "--target", metavar="NAME", help="where the lifecycle acts (default: the only target there is)"
    )


def _on_part(made: argparse.ArgumentParser) -> None:
    _on_lifecycle(made)
    made.add_argument(
        "--input", metavar="NAME=VALUE", action="append", default=[], help="give a declared input; repeatable"
    )
    made.add_argument("--stage", metavar="STAGE", action="append", default=[], help="only this stage; repeatable")
    made.add_argument("--skip", metavar="STAGE[/STEP]", action="append", default=[], help="leave this out; repeatable")


def _break_glass(made: argparse.ArgumentParser) -> None:
    made.add_argument(
        "--break-glass",
        metavar="REASON",
        nargs="?",
        const="",
        help="override what policies refuse, and say why; confirmed by typing, or by a permission on the forge",
    )


def _approve(made: argparse.ArgumentParser) -> None:
    made.add_argument(
        "--approve", metavar="sha256:…", help="approve this effect, as the plan shows it, for stages that need approval"
    )


def _init(commands: _Commands[_Parser]) -> None:
    made = _command(
        commands,
        "init",
        "write a working shipway.yml and the two-job workflow for this repository",
        changes="writes declaration, workflow and a line of .gitignore; runs nothing",
        examples=(
            ("shipway init", "from what the repository holds"),
            ("shipway init --target prod", "for a named target"),
            ("shipway init --forks", "where strangers send pull requests"),
            ("shipway init --gitlab", "on GitLab"),
            ("shipway init -f services/api/shipway.yml", "one more lifecycle in the same repository"),
        ),
        codes=(0, 2, 6),
    )
    made.add_argument(
        "-f", "--file", metavar="FILE", help="the declaration to write (default: shipway.yml at the root)"
    )
    made.add_argument(
        "-t", "--target", metavar="NAME", help="the target to declare and to run in the workflow (default: none)"
    )
    made.add_argument(
        "--branch",
        metavar="NAME",
        help="the branch whose pushes execute (default: the default branch, as git tells it)",
    )
    made.add_argument(
        "--uses", metavar="OWNER/REPO@COMMIT", help="the action of the workflow (default: that of this installation)"
    )
    made.add_argument(
        "--forks",
        action="store_true",
        help="plan and publish in two workflows, so that a fork's pull request gets its plan as a comment too",
    )
    made.add_argument("--gitlab", action="store_true", help="write jobs of a GitLab pipeline instead of a workflow")
    made.add_argument("--force", action="store_true", help="replace files that exist")
    _json(made)
    _loudness(made, verbose="", quiet="print nothing where all went well")


def _validate(commands: _Commands[_Parser]) -> None:
    made = _command(
        commands,
        "validate",
        "check a declaration and show every problem at once; starts nothing",
        changes="nothing",
        examples=(
            ("shipway validate", ""),
            ("shipway validate -f deploy/shipway.yml --target prod", "with its overlay shipway.prod.yml"),
        ),
    )
    _on_part(made)
    _json(made)
    _loudness(made, verbose="show each phase and how long it took", quiet="print nothing where it is valid")


def _plan(commands: _Commands[_Parser]) -> None:
    made = _command(
        commands,
        "plan",
        "show what would be done, how sure that is, and what undoes it; changes nothing",
        changes="nothing; the `plan` commands of steps are run, and have to be read-only",
        examples=(
            ("shipway plan", ""),
            ("shipway plan --target prod -o plan.json", "keep it for `shipway apply plan.json`"),
            ("shipway plan --stage release --format markdown", ""),
            ("shipway plan -q --detailed-exitcode || echo changes", ""),
        ),
        codes=(0, 1, 2, 3, 5, 6),
    )
    _on_part(made)
    _json(made, _FORMATS)
    made.add_argument(
        "-o", "--output", metavar="FILE", help="write it there; without --format the plan itself, for `apply`"
    )
    made.add_argument(
        "--check",
        action="store_true",
        help="in CI: whether what was planned on pull requests holds still (merge_group, push, schedule)",
    )
    made.add_argument("--workflow", metavar="PATH", help="with --check: the workflow that plans (default: this one)")
    made.add_argument(
        "--detailed-exitcode", action="store_true", help="exit 3 where there are changes, 0 where there are none"
    )
    _loudness(
        made,
        verbose="show each phase and how long it took",
        quiet="show the plan only where --json or --format asks for it",
    )


def _run(commands: _Commands[_Parser]) -> None:
    made = _command(
        commands,
        "run",
        "plan, ask, execute, undo on failure, keep the receipt",
        changes="what the plan says; the receipt goes to .shipway/receipts",
        examples=(
            ("shipway run", "asks before it starts"),
            ("shipway run --target prod --yes", "does not ask"),
            ("shipway run --skip release/notes --input level=3", ""),
            ("shipway run --target prod --approve sha256:…", "where a stage needs approval"),
            ("shipway run --target prod --break-glass outage", "where a policy refuses"),
        ),
        codes=(0, 1, 2, 4, 5, 6),
    )
    _on_part(made)
    made.add_argument("-y", "--yes", action="store_true", help="do not ask")
    _approve(made)
    _break_glass(made)
    _json(made)
    _loudness(made, verbose="show each step's whole output", quiet="show failures and the receipt only")


def _apply(commands: _Commands[_Parser]) -> None:
    made = _command(
        commands,
        "apply",
        "execute a plan made earlier, if it is still what would be done",
        changes="what the plan says; the receipt goes to .shipway/receipts",
        examples=(
            ("shipway plan -o plan.json && shipway apply plan.json", ""),
            ("shipway apply plan.json --target prod --yes", "only if it is a plan for prod"),
        ),
        codes=(0, 1, 2, 4, 5, 6),
    )
    made.add_argument("plan", metavar="PLAN", help="the file that `shipway plan -o` wrote")
    made.add_argument(
        "--input", metavar="NAME=VALUE", action="append", default=[], help="an input the plan was made with; repeatable"
    )
    made.add_argument("-f", "--file", metavar="FILE", help="the declaration (default: the one named in the plan)")
    made.add_argument("-t", "--target", metavar="NAME", help="refuse a plan for another target")
    made.add_argument(
        "--stage", metavar="STAGE", action="append", default=[], help="the part the plan was made for; repeatable"
    )
    made.add_argument(
        "--skip", metavar="STAGE[/STEP]", action="append", default=[], help="what the plan left out; repeatable"
    )
    made.add_argument("-y", "--yes", action="store_true", help="do not ask")
    _approve(made)
    _break_glass(made)
    _json(made)
    _loudness(made, verbose="show each step's whole output", quiet="show failures and the receipt only")


def _resume(commands: _Commands[_Parser]) -> None:
    made = _command(
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
    _on_run(made)
    made.add_argument("--from", dest="start_from", metavar="STEP", help="run this step and all behind it again")
    made.add_argument(
        "--assume",
        metavar=("done|not-done", "STEP"),
        nargs=2,
        action="append",
        default=[],
        help="what a look at the world showed of a step that nobody reported; repeatable",
    )


def _rollback(commands: _Commands[_Parser]) -> None:
    made = _command(
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
    _on_run(made)
    made.add_argument(
        "--drifted",
        action="store_true",
        help="undo also where what the run did has changed since, or a later run came after it",
    )


def _retry(commands: _Commands[_Parser]) -> None:
    made = _command(
        commands,
        "retry",
        "try a failed node of a run again, and go on from there",
        changes="what of the plan is not done; what is done is kept",
        examples=(("shipway retry 20260102T030405-a1b2c3 release/rollout", ""),),
        codes=(0, 1, 2, 4, 5, 6),
    )
    made.add_argument("run", metavar="RUN", help="the run's id, as `shipway runs` lists it")
    made.add_argument("node", metavar="NODE", help="the node that failed: stage/step")
    _on_run(made)


def _on_run(made: argparse.ArgumentParser) -> None:
    made.add_argument(
        "-f", "--file", metavar="FILE", help="the declaration (default: the one that the run was begun with)"
    )
    made.add_argument("-t", "--target", metavar="NAME", help="only a run for this target")
    made.add_argument("-y", "--yes", action="store_true", help="do not ask")
    _json(made)
    _loudness(made, verbose="show each step's whole output", quiet="show failures and the receipt only")


def _drill(commands: _Commands[_Parser]) -> None:
    made = _command(
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
    _on_part(made)
    made.add_argument("-y", "--yes", action="store_true", help="do not ask")
    _approve(made)
    _json(made)
    _loudness(made, verbose="show each step's whole output", quiet="show failures and the table only")


def _cancel(commands: _Commands[_Parser]) -> None:
    made = _command(
        commands,
        "cancel",
        "stop a run that another process carries out, or end what a killed one left",
        changes="as an interrupt would: ends what runs, undoes or leaves what was begun",
        examples=(("shipway cancel 20260102T030405-a1b2c3", ""),),
        codes=(0, 2, 6),
    )
    made.add_argument("run", metavar="RUN", help="the run's id, as `shipway runs` lists it")
    _json(made)
    _loudness(made, verbose="", quiet="print nothing where it was stopped")


def _runs(commands: _Commands[_Parser]) -> None:
    made = _command(
        commands,
        "runs",
        "list the runs of this checkout, and clear up after killed ones",
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
    made.add_argument("-t", "--target", metavar="NAME", help="only runs for this target")
    made.add_argument(
        "--keep", metavar="COUNT", type=int, default=20, help="how many runs of each target `prune` keeps (default: 20)"
    )
    _json(made)
    _loudness(made, verbose="", quiet="list ids only; say nothing of what was cleared up")


def _logs(commands: _Commands[_Parser]) -> None:
    made = _command(
        commands,
        "logs",
        "show what the steps of a run printed",
        changes="nothing",
        examples=(
            ("shipway logs", "of the last run"),
            ("shipway logs 20260102T030405-a1b2c3 build/image", "of one step"),
            ("shipway logs -q 20260102T030405-a1b2c3 build/image", "that output and nothing else"),
        ),
        codes=(0, 2, 6),
    )
    made.add_argument("run", metavar="RUN", nargs="?", help="the run's id (default: the last run)")
    made.add_argument("step", metavar="STEP", nargs="?", help="only this one: stage/step")
    _json(made)
    _loudness(made, verbose="", quiet="print the output without any heading")


def _show(commands: _Commands[_Parser]) -> None:
    made = _command(
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
    _json(made, _FORMATS)
    _loudness(made, verbose="show attempts, outputs and log of every node", quiet="print nothing: check the seal only")


def _why(commands: _Commands[_Parser]) -> None:
    made = _command(
        commands,
        "why",
        "say what put a node into the plan, what it waits for, and what changed it",
        changes="nothing; the `plan` commands of steps are run, as by `plan`",
        examples=(
            ("shipway why release/migrate", "against the last receipt"),
            ("shipway why build/image --against plan.json", ""),
            ("shipway why build/image --plan new.json --against old.json", "of kept plans alone"),
        ),
        codes=(0, 1, 2, 5, 6),
    )
    made.add_argument("node", metavar="NODE", help="the node: stage/step, as `shipway graph -q` lists them")
    _on_part(made)
    made.add_argument("--plan", metavar="PLAN", help="explain this kept plan (default: what would be planned now)")
    made.add_argument(
        "--against",
        metavar="PLAN",
        help="a plan, or the receipt or id of a run (default: the last sealed receipt of lifecycle and target)",
    )
    _json(made)
    _loudness(
        made, verbose="show each phase and how long it took", quiet="do not say that there is nothing to compare with"
    )


def _diff(commands: _Commands[_Parser]) -> None:
    made = _command(
        commands,
        "diff",
        "show how two plans differ, node by node, and whether they do the same",
        changes="nothing",
        examples=(
            ("shipway diff reviewed.json plan.json", ""),
            ("shipway diff 20260102T030405-a1b2c3 plan.json", "against what a run executed"),
            ("shipway diff a.json b.json --format markdown", ""),
            ("shipway diff -q a.json b.json && echo same", ""),
        ),
        codes=(0, 2, 3, 5),
    )
    made.add_argument("before", metavar="PLAN", help="a plan, or the receipt or id of a run of this checkout")
    made.add_argument("after", metavar="PLAN2", help="the one to compare with it, named in the same way")
    _json(made, ("text", "markdown", "json"))
    _loudness(made, verbose="", quiet="print nothing: the exit code says whether they do the same")


def _graph(commands: _Commands[_Parser]) -> None:
    made = _command(
        commands,
        "graph",
        "show how the nodes of a lifecycle depend on each other",
        changes="nothing; no command of a step is run",
        examples=(
            ("shipway graph", "levels, ends, longest path, sets"),
            ("shipway graph --from build/image", "what waits for it"),
            ("shipway graph --from build/image --to release/rollout", "what lies between the two"),
            ("shipway graph --format mermaid > graph.mmd", ""),
            ("shipway graph -q", "node ids, each after what it needs"),
        ),
    )
    _on_part(made)
    made.add_argument("--from", dest="start", metavar="NODE", help="only this node and what depends on it")
    made.add_argument("--to", dest="end", metavar="NODE", help="only this node and what it depends on")
    made.add_argument("--tag", metavar="TAG", help="only nodes with this tag")
    _json(made, ("text", "mermaid", "json"))
    _loudness(
        made, verbose="show what each node needs, and each phase", quiet="print node ids only, in an order that works"
    )


def _locks(commands: _Commands[_Parser]) -> None:
    made = _command(
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
    _on_lifecycle(made)
    made.add_argument("--all", action="store_true", help="show locks that are free as well")
    _json(made)
    _loudness(made, verbose="", quiet="print nothing where no lock is held")


def _lock(commands: _Commands[_Parser]) -> None:
    made = _command(
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
    _on_lifecycle(made)
    made.add_argument(
        "--for", dest="duration", metavar="DURATION", help="how long, such as 30m or 2h (default: no end)"
    )
    made.add_argument("--reason", metavar="TEXT", help="why; shown to whoever finds it held")
    _json(made)
    _loudness(made, verbose="", quiet="print nothing where all went well")


def _unlock(commands: _Commands[_Parser]) -> None:
    made = _command(
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
    _on_lifecycle(made)
    made.add_argument(
        "--force", action="store_true", help="take it from a run that goes on, or replace a broken record"
    )
    _json(made)
    _loudness(made, verbose="", quiet="print nothing where all went well")


def _doctor(commands: _Commands[_Parser]) -> None:
    made = _command(
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
    _on_lifecycle(made)
    made.add_argument(
        "--github",
        action="store_true",
        help="look at the repository's workflows and, with a token, at its settings on GitHub instead",
    )
    _json(made)
    _loudness(made, verbose="", quiet="show only what needs attention")


def _completion(commands: _Commands[_Parser]) -> None:
    made = _command(
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


def _action(commands: _Commands[_Parser]) -> None:
    made = _command(
        commands,
        "action",
        "what the GitHub Action runs: to work, to keep the journal, to report",
        changes="what the event leads to: docs/github.md#events",
        codes=(0, 1, 2, 4, 5, 6),
    )
    made.add_argument("part", choices=("run", "keep", "report"), help="which of the three")
    made.add_argument("--dry-run", action="store_true", help="of `report`: print the comment and post nothing")
    made.add_argument("-v", "--verbose", action="store_true", help="show each phase and stage as well")


def _with_guess(message: str) -> tuple[str, str]:
    """argparse's message in our words, and a guess at what a mistyped choice was meant to be, or an empty text."""
    if "invalid choice: '" not in message:
        return message.removeprefix("argument "), ""
    word = message.split("invalid choice: '")[1].split("'")[0]
    known = [part.strip(" '()") for part in message.split("(choose from")[1].split(",")]
    option = message.removeprefix("argument ").split(":")[0]
    what = f"unknown command `{word}`" if option == "COMMAND" else f"{option}: `{word}` is none of {_listed(known)}"
    return what, did_you_mean(word, known)


def _unknown_argument(argument: str, command: str, made: argparse.ArgumentParser) -> UsageError:
    word = argument.split("=")[0]
    if word in made._option_string_actions:
        return UsageError(
            f"`{word}` stands before the command", next=f"write it behind: `shipway {command} {argument}`"
        )
    guess = did_you_mean(word, made._option_string_actions) if word.startswith("-") else ""
    return UsageError(f"`shipway {command}` takes no `{argument}`", next=guess or f"see `shipway {command} --help`")


def _listed(names: Sequence[str] | dict[str, argparse.ArgumentParser]) -> str:
    return ", ".join(f"`{name}`" for name in names)
