"""The texts that `init` writes: a first declaration that teaches, and the two-job workflow. Pure; writes no file."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence

from msgspec import Struct

from shipway.detection import Part, Suggestion

SCHEMA = "https://shipway.dev/schemas/declaration-1.schema.json"
"""Where editors find the rules of a declaration: the `$id` of the schema."""

CHECKOUT = "actions/checkout@8e8c483db84b4bee98b60c0593521ed34d9990e8 # v6.0.1"
"""By its full commit id, because a tag can be moved."""

IGNORED = ".shipway/"

_COLUMNS = 80
_PLAIN = re.compile(r"""[A-Za-z_./][\w./*@=+"'$<>|&;()-]*(?: +[\w./*@=+"'$<>|&;()-]+)*""", re.ASCII)
_YAML_WORDS = frozenset({"true", "false", "null", "yes", "no", "on", "off", "~"})
_TITLES = {
    Part.CHECK: "Leaves nothing behind (`lasting: false`): nothing to undo here.",
    Part.BUILD: "Makes what is shipped, from the checked tree.",
    Part.INFRASTRUCTURE: "Changes what exists. The plan of each step is shown on the pull request.",
    Part.DEPLOY: "Changes the world. What has an `undo` is taken back when a later step fails.",
}
_MEANINGS = {
    "plan": "read-only: what `run` would do",
    "undo": "when a later step fails, or `run` itself",
    "verify": "exit 0: it is there, 3: it is gone",
}


class Scaffold(Struct, frozen=True):
    """What the texts are made from. `file` is the declaration's path and `folder` the one that steps work in (empty: the root).

    `target` is empty where none was named. `action` is what stands behind `uses:`, with a comment where there is one.
    `has_remote` says whether there is a git remote to keep state on.
    """

    name: str
    file: str
    folder: str
    target: str
    branch: str
    action: str
    steps: tuple[Suggestion, ...]
    has_remote: bool = False


def lifecycle_name(text: str) -> str:
    """`text` as a lifecycle may be called: lower-case letters, digits and `-`, at most 64."""
    return re.sub("[^a-z0-9]+", "-", text.lower()).strip("-")[:64].strip("-") or "lifecycle"


def declaration_text(scaffold: Scaffold) -> str:
    """The declaration: what was found as steps in stages, and comments on what to add."""
    lines = [
        f"# yaml-language-server: $schema={SCHEMA}",
        "# What is shipped from this repository, and what takes it back.",
        "# `shipway plan` shows it, `shipway run` does it.",
        "version: 1",
        f"name: {scalar(scaffold.name)}",
        "",
        *_state(has_remote=scaffold.has_remote),
        *_targets(scaffold.target),
        "# Environment variables that are secret: masked everywhere, and given only to",
        "# the steps that name them, with",
        '#   env: {TOKEN: "${{ secrets.TOKEN }}"}',
        "# secrets: [TOKEN]",
        "",
        "stages:",
    ]
    before: Part | None = None
    for part in Part:
        steps = [step for step in scaffold.steps if step.part is part]
        if steps:
            lines += _stage(part, before, steps, scaffold.folder)
            before = part
    if Part.DEPLOY not in {step.part for step in scaffold.steps}:
        lines += _example(before)
    return "\n".join(lines) + "\n"


def _state(*, has_remote: bool) -> list[str]:
    if has_remote:
        return [
            "# Locks, the journal of the last run and receipts are refs of the remote,",
            "# refs/shipway/…: CI and people keep out of each other's way, and a run is gone",
            "# on with after its machine is lost. `local` keeps them in each checkout.",
            "state: git",
            "",
        ]
    return [
        "# Locks and the journal of the last run are in this checkout; with `git` in refs",
        "# of its remote, which CI shares.",
        "# state: git",
        "",
    ]


def _targets(target: str) -> list[str]:
    if target:
        return [
            "# Where this may act; a target that is not listed is refused.",
            f"targets: {{{scalar(target)}: {{}}}}",
            "",
        ]
    return [
        "# Where this may act. Without the list any name is taken; with it `--target`",
        "# names one, and shipway.prod.yml beside this file changes what is different.",
        "# targets: {staging: {}, prod: {}}",
        "",
    ]


def _stage(part: Part, before: Part | None, steps: Sequence[Suggestion], folder: str) -> Iterator[str]:
    yield f"  # {_TITLES[part]}"
    yield f"  {part.value}:"
    if before is not None:
        yield f"    needs: [{before.value}]"
    if not any(step.lasting for step in steps):
        yield "    lasting: false"
    if before is None:
        yield "    # A list runs in order, a mapping of id to step as `needs` allows."
    yield "    steps:"
    for step in steps:
        yield from _step(step, folder, is_stage_lasting=any(other.lasting for other in steps))
    yield ""


def _step(step: Suggestion, folder: str, *, is_stage_lasting: bool) -> Iterator[str]:
    yield f"      - id: {scalar(step.id)} # {f'from {step.origin}' if step.origin else 'to be replaced by what is shipped'}"
    yield from _script("run", step.run)
    if step.plan:
        yield from _script("plan", step.plan)
    if folder:
        yield f"        working_directory: {scalar(folder)}"
    if step.reads and (folder or step.reads != ("**",)):  # the whole repository is what is taken without the key
        patterns = ", ".join(scalar(f"{folder}/{pattern}" if folder else pattern) for pattern in step.reads)
        yield f"        reads: [{patterns}]"
    if is_stage_lasting and not step.lasting:
        yield "        lasting: false"
    if step.hints is not None:
        yield from _hints(step)


def _hints(step: Suggestion) -> Iterator[str]:
    """The keys that only a person can fill in, as comments; those that something in the repository is called after first."""
    hints = step.hints or {}
    for key, meaning in _MEANINGS.items():
        if key == "plan" and step.plan:
            continue
        hint = f"        # {key}: {hints.get(key, _placeholder(key))}"
        if len(hint) + len(meaning) + 3 <= _COLUMNS:
            yield f"{hint} # {meaning}"
        else:
            yield from (f"        # {meaning}", hint)


def _placeholder(key: str) -> str:
    return {"plan": "./deploy --dry-run", "undo": "./deploy --previous", "verify": "./deploy --status"}[key]


def _script(key: str, text: str) -> Iterator[str]:
    if "\n" not in text:
        yield f"        {key}: {scalar(text)}"
        return
    yield f"        {key}: |"
    for line in text.split("\n"):
        yield f"          {line}"


def _example(before: Part | None) -> Iterator[str]:
    """A stage to uncomment; with the `# ` of each line taken away it is valid as it stands."""
    yield "  # What changes the world goes into a stage of its own. Take the `# ` away and"
    yield "  # say what your commands are:"
    yield "  # deploy:"
    if before is not None:
        yield f"  #   needs: [{before.value}]"
    yield "  #   steps:"
    yield "  #     - id: deploy"
    yield "  #       run: ./deploy"
    for key, meaning in _MEANINGS.items():
        yield f"  #       {key}: {_placeholder(key)} # {meaning}"
    yield '  #       reads: ["deploy", "src/**"] # what decides what is done'


def greeting() -> Suggestion:
    """The one step of a lifecycle in a repository where nothing was found."""
    return Suggestion(Part.CHECK, "hello", 'echo "nothing is shipped from here yet"', "")


def workflow_text(scaffold: Scaffold) -> str:
    """The workflow: a job that plans with a token that can read and comment, and one that executes what was merged."""
    return f"""\
# Written by `shipway init`. A pull request is shown the plan; what is merged is
# executed, and leaves a receipt.
name: {scalar(workflow_title(scaffold))}

on:
  pull_request:
  push:
    branches: [{json.dumps(_filter(scaffold.branch), ensure_ascii=False)}]

permissions: {{}}

jobs:
  plan:
    name: plan
    if: github.event_name == 'pull_request'
    runs-on: ubuntu-24.04
    timeout-minutes: 15
{_permissions("the tree that is planned", "the comment with the plan")}
{plan_concurrency(scaffold, "    ")}
    steps:
{_steps(scaffold, "plan", "a plan gets read-only ones")}

{_execute_job(scaffold, "    if: github.event_name == 'push'")}"""


def execute_text(scaffold: Scaffold, plans: str) -> str:
    """The workflow that executes what was merged, where another one, at the path `plans`, makes the plans that are approved."""
    return f"""\
# Written by `shipway init --forks`. What is merged is planned anew and
# executed, and leaves a receipt.
name: {scalar(workflow_title(scaffold))}

on:
  push:
    branches: [{json.dumps(_filter(scaffold.branch), ensure_ascii=False)}]

permissions: {{}}

jobs:
{_execute_job(scaffold, "", ["          # Where the plans are made that are approved.", f"          workflow: {scalar(plans)}"])}"""


def plan_concurrency(scaffold: Scaffold, indent: str) -> str:
    """The group of a pull request's plans, at the place of a job."""
    group = f"shipway-plan-{scaffold.name}-{scaffold.target or 'default'}-${{{{ github.event.pull_request.number }}}}"
    return f"""\
{indent}# A newer commit's plan replaces an older one's.
{indent}concurrency:
{indent}  group: {group}
{indent}  cancel-in-progress: true"""


def given(scaffold: Scaffold, indent: str) -> list[str]:
    """The inputs of the action that this lifecycle needs, one line each."""
    lines = [f"{indent}file: {scalar(scaffold.file)}"] if scaffold.file != "shipway.yml" else []
    return lines + ([f"{indent}target: {scalar(scaffold.target)}"] if scaffold.target else [])


def _execute_job(scaffold: Scaffold, condition: str, more: Sequence[str] = ()) -> str:
    head = "\n".join(["  execute:", "    name: execute", *([condition] if condition else [])])
    return f"""\
{head}
    runs-on: ubuntu-24.04
    timeout-minutes: 60
{_permissions("the tree that is shipped", "the comment with the receipt", writes=scaffold.has_remote)}
      deployments: write # what is executed where, and how it ended
    # One run at a time for a target, in turn: none is dropped or cut off.
    concurrency:
      group: shipway-execute-{scaffold.name}-{scaffold.target or "default"}
      queue: max
      cancel-in-progress: false
    steps:
{_steps(scaffold, "run", "those that are declared", more)}
"""


def workflow_path(scaffold: Scaffold) -> str:
    """Where the workflow goes: the first lifecycle's is `shipway.yml`, any other has its name in it."""
    return f".github/workflows/{workflow_title(scaffold)}.yml"


def workflow_title(scaffold: Scaffold) -> str:
    """What the workflow is called, and how its file's name begins."""
    return "shipway" if scaffold.file == "shipway.yml" else f"shipway-{scaffold.name}"


def _permissions(tree: str, comment: str, *, writes: bool = False) -> str:
    contents = f"write # {tree}; lock and journal, as refs" if writes else f"read # {tree}"
    return f"""\
    permissions:
      contents: {contents}
      pull-requests: write # {comment}
      checks: write # the check `shipway/<lifecycle>/<target>`
      actions: read # which of two reports is the later one"""


def _steps(scaffold: Scaffold, command: str, secrets: str, more: Sequence[str] = ()) -> str:
    return "\n".join(
        [
            f"      - uses: {CHECKOUT}",
            "        with:",
            "          persist-credentials: false",
            "          fetch-depth: 0 # the merge base is part of the plan",
            "      # What the steps need is set up here, in both jobs: a language, a login.",
            f"      - uses: {scaffold.action}",
            "        with:",
            f"          command: {command}",
            *given(scaffold, " " * 10),
            *more,
            f"        # Secrets reach their steps from here: {secrets}.",
            "        # env:",
            "        #   TOKEN: ${{ secrets.TOKEN }}",
        ]
    )


def _filter(branch: str) -> str:
    """A branch's name as a filter that matches it alone: what GitHub takes for a pattern is escaped."""
    return re.sub(r"^!|[*?+\[\]\\]", lambda found: "\\" + found[0], branch)


def ignored(scaffold: Scaffold) -> tuple[str, ...]:
    """What `.gitignore` has to have: what Shipway keeps, and what the steps leave behind."""
    return tuple(dict.fromkeys([IGNORED, *(pattern for step in scaffold.steps for pattern in step.leaves)]))


def with_ignored(text: str, patterns: Sequence[str] = (IGNORED,)) -> str:
    """The text of `.gitignore` with these folders (`.shipway/`) in it, each once; what was there stays as it was."""
    end = "\r\n" if "\r\n" in text else "\n"
    there = {line.strip().strip("/") for line in text.splitlines()}
    missing = [pattern for pattern in patterns if pattern.strip("/") not in there]
    if missing and text and not text.endswith("\n"):
        text += end
    return text + "".join(pattern + end for pattern in missing)


def scalar(text: str) -> str:
    """`text` as YAML: plain where nothing in it could be read as anything else, otherwise quoted."""
    if _PLAIN.fullmatch(text) and text.lower() not in _YAML_WORDS:
        return text
    quoted = json.dumps(text, ensure_ascii=False)
    return "".join(char if char.isprintable() else f"\\U{ord(char):08x}" for char in quoted)
