"""Asks every policy of a plan for its verdict: programs as child processes that read the plan, the others by `policy`."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from shipway.action import Command, Completed
from shipway.canonical import canonical_bytes
from shipway.evaluation import Evaluation, Unresolved, secrets_of
from shipway.nodes import Computed, Node
from shipway.plan import Plan
from shipway.policies import Decision, Policy, Verdict
from shipway.policy import AskLabels, judge
from shipway.policy_answers import MAX_ANSWER_BYTES, NoVerdict, read_answer

# The plan is read and the answer written as files: a program that reads nothing, or prints for ever, blocks nobody.
_REDIRECTED = 'exec bash --noprofile --norc -eo pipefail -c "$1" < "$2" > "$3"'

_TAIL_LINES = 5


class PolicyTools(Struct, frozen=True):
    """What asking a policy takes. `execute` runs one command to its end, with what it printed redacted; so does `redact`.

    `base_env` is what every child gets, `secrets` are values by name; `withheld` are those that a program, by its policy's
    `asker`, is not handed while a change that added them is only looked at.
    """

    execute: Callable[[Node, Command], Completed]
    redact: Callable[[str], str]
    labels: AskLabels
    base_env: Mapping[str, str]
    secrets: Mapping[str, str]
    withheld: Mapping[str, Collection[str]]
    root: Path


def ask_policies(plan: Plan, tools: PolicyTools, now: datetime | None) -> tuple[Verdict, ...]:
    """The verdict of each policy of the plan, those of the whole plan first. `now` None: it is not to be executed yet."""
    policies = plan.all_policies
    if not policies:
        return ()
    place = Path(tempfile.mkdtemp(prefix="shipway-policy-"))
    try:
        document = place / "plan.json"
        document.write_bytes(canonical_bytes(replace(plan, verdicts=()).document))
        return tuple(
            judge(policy, plan, now, tools.labels) if policy.run is None else _ask(policy, plan, tools, document)
            for policy in policies
        )
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _ask(policy: Policy, plan: Plan, tools: PolicyTools, document: Path) -> Verdict:
    """What a policy's program says. Whatever is not clearly a verdict is an error, and counts as no."""
    answer_file = document.with_name("answer")
    answer_file.write_bytes(b"")
    asked = Node(
        id=policy.asker,
        stage="policy",
        action="shell.exec",
        position=policy.position,
        env={name: Computed(text) for name, text in policy.env.items()},
        timeout_ms=policy.timeout_ms,
    )
    withheld = ", ".join(f"`{name}`" for name in secrets_of(policy) if name in tools.withheld.get(policy.asker, ()))
    if withheld:
        return _error(policy, tools, f"it is handed {withheld} once the change that adds it is there")
    try:
        env = _environment(asked, policy, plan, tools)
    except Unresolved as error:
        return _error(policy, tools, str(error))
    argv = ("sh", "-c", _REDIRECTED, "sh", str(policy.run), str(document), str(answer_file))
    done = tools.execute(asked, Command(argv, tools.root, env))
    if done.exit_code != 0 or done.error:
        said = [line for line in done.tail.splitlines() if line.strip()][-_TAIL_LINES:]
        return _error(policy, tools, ": ".join([done.error or f"exit {done.exit_code}", *said]))
    try:
        with answer_file.open("rb") as stream:
            answer = read_answer(stream.read(MAX_ANSWER_BYTES + 1))
    except (NoVerdict, OSError) as error:
        return _error(policy, tools, str(error))
    return Verdict(policy.name, policy.stage, answer.decision, tuple(map(tools.redact, answer.messages)))


def _environment(asked: Node, policy: Policy, plan: Plan, tools: PolicyTools) -> dict[str, str]:
    evaluation = Evaluation(github={}, runner={}, secrets=tools.secrets, known={}, root=tools.root)
    declared = evaluation.environment(asked)
    ours = {"SHIPWAY_POLICY": policy.name, "SHIPWAY_STAGE": policy.stage, "SHIPWAY_TARGET": plan.target}
    return {**tools.base_env, **declared, **ours}


def _error(policy: Policy, tools: PolicyTools, text: str) -> Verdict:
    return Verdict(policy.name, policy.stage, Decision.ERROR, (tools.redact(text),))
