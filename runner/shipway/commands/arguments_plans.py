"""Arguments of the commands that write, check, plan and execute a declaration. Nothing here works."""

from __future__ import annotations

from shipway.commands.options import (
    FORMATS,
    Commands,
    approve,
    break_glass,
    command,
    json_option,
    loudness,
    on_part,
    reconcile,
    shown_run,
)


def add_init(commands: Commands) -> None:
    """`shipway init`."""
    made = command(
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
    json_option(made)
    loudness(made, verbose="", quiet="print nothing where all went well")


def add_validate(commands: Commands) -> None:
    """`shipway validate`."""
    made = command(
        commands,
        "validate",
        "check a declaration and show every problem at once; starts nothing",
        changes="nothing",
        examples=(
            ("shipway validate", ""),
            ("shipway validate -f deploy/shipway.yml --target prod", "with its overlay shipway.prod.yml"),
        ),
    )
    on_part(made)
    json_option(made)
    loudness(made, verbose="show each phase and how long it took", quiet="print nothing where it is valid")


def add_plan(commands: Commands) -> None:
    """`shipway plan`."""
    made = command(
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
    on_part(made)
    reconcile(made)
    json_option(made, FORMATS)
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
    loudness(
        made,
        verbose="show each phase and how long it took",
        quiet="show the plan only where --json or --format asks for it",
    )


def add_run(commands: Commands) -> None:
    """`shipway run`."""
    made = command(
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
    on_part(made)
    reconcile(made)
    made.add_argument("-y", "--yes", action="store_true", help="do not ask")
    approve(made)
    break_glass(made)
    shown_run(made)


def add_apply(commands: Commands) -> None:
    """`shipway apply`."""
    made = command(
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
    approve(made)
    break_glass(made)
    shown_run(made)


def add_why(commands: Commands) -> None:
    """`shipway why`."""
    made = command(
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
    on_part(made)
    made.add_argument("--plan", metavar="PLAN", help="explain this kept plan (default: what would be planned now)")
    made.add_argument(
        "--against",
        metavar="PLAN",
        help="a plan, or the receipt or id of a run (default: the last sealed receipt of lifecycle and target)",
    )
    json_option(made)
    loudness(
        made, verbose="show each phase and how long it took", quiet="do not say that there is nothing to compare with"
    )


def add_diff(commands: Commands) -> None:
    """`shipway diff`."""
    made = command(
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
    json_option(made, ("text", "markdown", "json"))
    loudness(made, verbose="", quiet="print nothing: the exit code says whether they do the same")


def add_graph(commands: Commands) -> None:
    """`shipway graph`."""
    made = command(
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
    on_part(made)
    made.add_argument("--from", dest="start", metavar="NODE", help="only this node and what depends on it")
    made.add_argument("--to", dest="end", metavar="NODE", help="only this node and what it depends on")
    made.add_argument("--tag", metavar="TAG", help="only nodes with this tag")
    json_option(made, ("text", "mermaid", "json"))
    loudness(
        made, verbose="show what each node needs, and each phase", quiet="print node ids only, in an order that works"
    )
