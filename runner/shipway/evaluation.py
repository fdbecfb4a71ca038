"""What expressions see while a run goes on: contexts from results so far. Reads files only for `hashFiles`."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from shipway import expressions
from shipway.canonical import Json
from shipway.expressions import Expression, ExpressionError, Reference, Value
from shipway.nodes import CHOOSE, DONE, Computed, Immediate, Node, Outcome, Promise, Proxy, Slot
from shipway.policies import Policy


class Unresolved(Exception):
    """A slot or condition that cannot be worked out now; the text says which and why."""


class Evaluation:
    """Contexts of one run. `record` a node's outputs once it has ended; `inputs`, `environment` and `holds` read them.

    `secrets` are values by name; an absent one is an error where it is used, never an empty text.
    """

    def __init__(
        self,
        *,
        github: Mapping[str, Json],
        runner: Mapping[str, Json],
        secrets: Mapping[str, str],
        known: Mapping[str, Json],
        root: Path,
    ) -> None:
        self._fixed: dict[str, Value] = {**known, "github": github, "runner": runner, "secrets": secrets}
        self._secrets = secrets
        self._root = root
        self._outputs: dict[str, Mapping[str, Json]] = {}
        self._outcomes: dict[str, Outcome] = {}
        self._steps: dict[str, dict[str, Value]] = {}
        self._stages: dict[str, dict[str, Value]] = {}
        self._compensated: dict[str, str] = {}
        self._parsed: dict[str, Expression] = {}

    def record(self, node: Node, outcome: Outcome, outputs: Mapping[str, Json]) -> None:
        """Make the end of a node visible under `steps` of its stage and under `stages`."""
        self._outputs[node.id] = outputs
        self._outcomes[node.id] = outcome
        body, _, name = node.id.rpartition("/")
        step: dict[str, Value] = {"outputs": outputs, "outcome": outcome.value}
        self._steps.setdefault(body, {})[name] = step
        stage = self._stages.get(node.stage)
        if stage is None:
            stage = self._stages[node.stage] = {"outputs": {}, "steps": self._steps.setdefault(node.stage, {})}
        if body != node.stage:
            # What lies deeper is named by all of its id behind the stage: `steps['service/api']`.
            self._steps[node.stage][node.step] = step
        elif outputs:
            union = stage["outputs"]
            assert isinstance(union, dict)
            union.update(outputs)

    def outputs_of(self, node: Node, members: Sequence[str]) -> dict[str, Json]:
        """What a node hands on whose members have all ended: of a gather, lists in the order of `members`, null for none."""
        given = [self._outputs.get(member, {}) for member in members]
        if node.gather is not None:
            return {name: [outputs.get(name) for outputs in given] for name in node.outputs}
        return {name: value for outputs in given for name, value in outputs.items()}

    def inputs(self, node: Node, env: Mapping[str, str]) -> dict[str, Json]:
        """Every slot of the node as a value. Raises Unresolved naming the slot."""
        return {name: self._value(slot, node, f"slot `{name}`", env) for name, slot in node.slots.items()}

    def environment(self, node: Node) -> dict[str, str]:
        """The node's declared variables as text. Raises Unresolved naming the variable."""
        return {name: _env_text(self._value(slot, node, f"`env` {name}", {})) for name, slot in node.env.items()}

    def compensates(self, part: str, stage: str) -> None:
        """Let the nodes of `part` see the steps of `stage` among their own; what one of those never gave is null to them."""
        self._compensated[part] = stage

    def holds(
        self, condition: str, node: Node, env: Mapping[str, str], functions: Mapping[str, Callable[..., Value]]
    ) -> bool:
        """Whether a condition is true now. Raises Unresolved."""
        try:
            parsed = self._parsed.get(condition)
            if parsed is None:
                parsed = self._parsed[condition] = expressions.parse(condition, rendered=True)
            value = expressions.evaluate(parsed, self._contexts(node, env), {**self._functions(), **functions})
        except ExpressionError as error:
            raise Unresolved(f"`if` of `{node.id}`: {error.message}") from error
        if node.action == CHOOSE and condition == node.condition and not isinstance(value, bool):
            shown = expressions.to_text(value) if not isinstance(value, (Mapping, list)) else "a list or an object"
            raise Unresolved(f"`if` of `{node.id}` came to `{shown}`, which is neither `true` nor `false`")
        return expressions.truthy(value)

    def _value(self, slot: Slot, node: Node, what: str, env: Mapping[str, str]) -> Json:
        match slot:
            case Immediate(value):
                return value
            case Promise(producer, output) if node.stage in self._compensated:
                given = self._outputs.get(producer, {})
                return given if output is None else given.get(output)
            case Promise(producer, output):
                return self._promised(producer, output, what)
            case Proxy(gather):
                raise Unresolved(f"{what} of `{node.id}` takes the item of `{gather}`, which is not known")
            case Computed(expression):
                try:
                    return self._computed(expression, node, env)
                except ExpressionError as error:
                    raise Unresolved(f"{what} of `{node.id}`: {error.message}") from error

    def _promised(self, producer: str, output: str | None, what: str) -> Json:
        if self._outcomes.get(producer) is Outcome.SKIPPED:
            # Only of a body that was not chosen: whoever takes from any other node is skipped with it.
            return None
        if self._outcomes.get(producer) not in DONE:
            raise Unresolved(f"{what} takes an output of `{producer}`, which gave none")
        outputs = self._outputs[producer]
        return outputs if output is None else outputs.get(output)

    def _computed(self, expression: Json, node: Node, env: Mapping[str, str]) -> Json:
        if isinstance(expression, str):
            if not expressions.has_expression(expression):
                return expression
            template = expressions.parse_template(expression, rendered=True)
            self._check_secrets(template.references)
            return expressions.evaluate_template(template, self._contexts(node, env), self._functions())
        if isinstance(expression, Mapping):
            return {key: self._computed(item, node, env) for key, item in expression.items()}
        if isinstance(expression, Sequence):
            return [self._computed(item, node, env) for item in expression]
        return expression

    def _check_secrets(self, references: Sequence[Reference]) -> None:
        for reference in references:
            if reference.path[0] == "secrets" and len(reference.path) > 1 and reference.path[1] not in self._secrets:
                raise ExpressionError(f"secret `{reference.path[1]}` is not set in the environment")

    def _contexts(self, node: Node, env: Mapping[str, str]) -> Mapping[str, Value]:
        return {**self._fixed, "env": env, "steps": self._steps_around(node), "stages": self._stages}

    def _steps_around(self, node: Node) -> Mapping[str, Value]:
        """The steps that a node can name: of the bodies around it, the nearest first, and of its stage."""
        found: Mapping[str, Value] = self._steps.get(node.stage, {})
        if node.stage in self._compensated:
            found = {**self._steps.get(self._compensated[node.stage], {}), **found}
        if node.id.count("/") == 1:
            return found
        at = node.id.find("/", len(node.stage) + 1)
        while at >= 0:
            found = {**found, **self._steps.get(node.id[:at], {})}
            at = node.id.find("/", at + 1)
        return found

    def _functions(self) -> Mapping[str, Callable[..., Value]]:
        return {"hashfiles": self._hash_files}

    def _hash_files(self, *patterns: Value) -> Value:
        digests = {path: hashlib.sha256((self._root / path).read_bytes()).digest() for path in _files(self._root)}
        return expressions.hash_files(digests, [expressions.to_text(pattern) for pattern in patterns])


def references_of(value: Json) -> list[Reference]:
    """Every reference in the texts of a slot's expression, as `partially_evaluate` left it."""
    if isinstance(value, str):
        return (
            list(expressions.parse_template(value, rendered=True).references)
            if expressions.has_expression(value)
            else []
        )
    if isinstance(value, Mapping):
        return [reference for item in value.values() for reference in references_of(item)]
    if isinstance(value, Sequence):
        return [reference for item in value for reference in references_of(item)]
    return []


def names_secret(slot: Slot) -> bool:
    """Whether the value of a slot will hold a secret."""
    return isinstance(slot, Computed) and any(
        reference.path[0] == "secrets" for reference in references_of(slot.expression)
    )


def secrets_named(node: Node) -> list[str]:
    """The secrets that a node's slots, variables and condition name, in the order they occur; each once."""
    slots = (*node.slots.values(), *node.env.values())
    found = [reference for slot in slots if isinstance(slot, Computed) for reference in references_of(slot.expression)]
    if node.condition is not None:
        found += expressions.parse(node.condition, rendered=True).references
    return list(
        dict.fromkeys(
            str(reference.path[1]) for reference in found if reference.path[0] == "secrets" and len(reference.path) > 1
        )
    )


def secrets_of(policy: Policy) -> list[str]:
    """The secrets that the variables of a policy's program name, each once."""
    found = [reference for text in policy.env.values() for reference in references_of(text)]
    return list(dict.fromkeys(str(each.path[1]) for each in found if each.path[0] == "secrets" and len(each.path) > 1))


def _files(root: Path) -> Iterator[str]:
    """Regular files below `root`, relative, without `.git` and `.shipway`."""
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name not in (".git", ".shipway")]
        for name in names:
            path = Path(folder) / name
            if path.is_file():
                yield path.relative_to(root).as_posix()


def _env_text(value: Json) -> str:
    return value if isinstance(value, str) else expressions.to_text(value)
