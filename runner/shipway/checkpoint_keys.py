"""What decides whether a node has to run again: the parts of its checkpoint's key, and which of them changed. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence

from msgspec import Struct, field

from shipway import canonical
from shipway.action import PlanWork, Work
from shipway.canonical import Json
from shipway.environment_record import Checkpoint
from shipway.evaluation import references_of
from shipway.expressions import Reference
from shipway.node_json import slot_json
from shipway.nodes import Computed, Immediate, Node, Promise, Slot
from shipway.preview_moving import AFTER_PART

NEVER_KEYED = frozenset({"lifecycle", "target", "compute", "ssh", "verify_script", "cache", "remove", "stop", "after"})
"""Slots that decide nothing of what a node leaves behind; `after` has parts of its own."""

_MOST_PARTS = 400
_MOST_TOLD = 3

_SECRETS = "secrets"


class Named(Struct, frozen=True):
    """An output that a value is made of: its node's id, or its stage's alone; empty of what is no output.

    Without `output` it is all of the node's.
    """

    owner: str
    output: str = ""


class Producers(Struct, frozen=True):
    """What is known of the nodes that values come from: their checkpoints, by id."""

    checkpoints: Mapping[str, Checkpoint]

    def is_secret(self, named: Named) -> bool:
        """Whether that output is a secret, so that nothing made of it may be kept."""
        if named.owner == _SECRETS:
            return True
        return any(named.output in each.secret if named.output else each.secret for each in self._of(named))

    def secret_of(self, node: str) -> tuple[str, ...]:
        """The names of a node's secret outputs."""
        found = self.checkpoints.get(node)
        return found.secret if found is not None else ()

    def is_settled(self, named: Named) -> bool:
        """Whether that output is what it was as long as its node is not made anew, which is told by `after`."""
        found = self._of(named)
        return named.owner == _SECRETS or (bool(found) and all(each.is_cached for each in found))

    def _of(self, named: Named) -> list[Checkpoint]:
        if "/" in named.owner:
            found = self.checkpoints.get(named.owner)
            return [found] if found else []
        inside = f"{named.owner}/"
        return [
            each
            for node, each in self.checkpoints.items()
            if node.startswith(inside) and (named.output in each.outputs or named.output in each.secret)
        ]


class Given(Struct, frozen=True):
    """What is known of a node's slots and variables: values by name; `unknown` has what the others wait for first."""

    slots: Mapping[str, Json]
    env: Mapping[str, str]
    unknown: Mapping[str, str] = field(default_factory=dict)
    unknown_env: frozenset[str] = frozenset()


def given_to(work: Work | PlanWork) -> Given:
    """What an action is given."""
    if isinstance(work, Work):
        return Given(work.inputs, work.env)
    return Given(work.inputs, work.env, work.unknown, frozenset(work.unknown_env))


class Parts(Struct, frozen=True):
    """The parts of a key by name, each `value digest` or `value digest:form digest`, a form being a slot's expressions.

    Of an open one the value is not known yet: `:form digest`; `waits` are those that may come out otherwise all the same.
    """

    digests: Mapping[str, str]
    waits: frozenset[str] = frozenset()

    @property
    def key(self) -> str:
        """`sha256:<64 hex>` over all values; what is only another way to write the same value changes nothing."""
        return canonical.digest({name: digest.partition(":")[0] for name, digest in self.digests.items()})


def parts_of(node: Node, contract: int, given: Given, unkeyed: Collection[str], producers: Producers) -> Parts:
    """The parts of the key of `node`.

    A text that names a secret enters as it is written, not as its value: nothing that is kept tells anything of a secret.
    """
    digests = {"action": _digest([node.action, contract]), "reads": _digest(node.reads.digest)}
    waits: set[str] = set()
    left_out = NEVER_KEYED | set(unkeyed)
    leaves = [*_slot_leaves(node, given, left_out), *_env_leaves(node, given), *_after_leaves(node, given)]
    for name, form, is_known, value in leaves:
        named = named_outputs(form, node)
        value_digest = _digest(_as_entered(form, value, node, producers)) if is_known else ""
        digests[name] = value_digest + (f":{_digest(slot_json(form))}" if named else "")
        if not is_known and (name.startswith(AFTER_PART) or not all(map(producers.is_settled, named))):
            waits.add(name)
    awaited = {name for name in waits if name == f"{AFTER_PART}{given.unknown.get('after', '').strip('`')}"}
    if awaited:  # of the others nobody knows that they are not what they were
        waits = {name for name in waits if not name.startswith(AFTER_PART)} | awaited
    return Parts(_bounded(digests), frozenset(waits))


def changed(before: Mapping[str, str], now: Parts) -> list[str]:
    """The names of the parts that differ; an open one differs where it is written in another way, or waits."""
    names = dict.fromkeys([*before, *now.digests])
    return [name for name in names if _differs(before.get(name), now.digests.get(name), is_waiting=name in now.waits)]


def told(names: Sequence[str], waits: Collection[str] = ()) -> str:
    """What changed, in words: `` `env` DB_HOST changed``; of what `waits`, that it may."""
    words = list(dict.fromkeys(_told(name, is_waiting=name in waits) for name in names))
    more = f", and {len(words) - _MOST_TOLD} more" if len(words) > _MOST_TOLD else ""
    return "; ".join(words[:_MOST_TOLD]) + more


def _told(name: str, *, is_waiting: bool) -> str:
    verb = "is known only then" if is_waiting else "changed"
    if name == "reads":
        return "files under `reads` changed"
    if name == "action":
        return "this version does it in another way"
    if name.startswith(AFTER_PART):
        node = name.removeprefix(AFTER_PART) or "what it depends on"
        return f"`{node}` " + ("runs before it" if is_waiting else "was made anew")
    kind, _, rest = name.partition(" ")
    if kind == "env":
        return f"`env` {rest} {verb}"
    slot, _, member = rest.partition(" ")
    word = "env" if slot == "entries" else slot
    return f"`{word}` {member} {verb}" if member else f"`{word}` {verb}"


def _differs(before: str | None, now: str | None, *, is_waiting: bool) -> bool:
    if before is None or now is None or is_waiting:
        return True
    value, _, form = now.partition(":")
    known, _, known_form = before.partition(":")
    return value != known if value else form != known_form


_Leaf = tuple[str, Slot, bool, Json]


def _slot_leaves(node: Node, given: Given, left_out: Collection[str]) -> Iterator[_Leaf]:
    """Part name, form, whether the value is known, and the value; an object has a part for each member."""
    for name in sorted({*node.slots, *given.slots} - set(left_out)):
        form: Slot = node.slots.get(name, Immediate(given.slots.get(name)))
        is_known = name not in given.unknown and name in given.slots
        value = given.slots.get(name)
        members = _members(form, value)
        if members is None:
            yield f"slot {name}", form, is_known, value
        for member, inner in (members or {}).items():
            known, inner_value = (is_known, _member(value, member)) if is_known else _known_alone(inner)
            yield f"slot {name} {member}", inner, known, inner_value


def _env_leaves(node: Node, given: Given) -> Iterator[_Leaf]:
    for name, form in sorted(node.env.items()):
        if not name.startswith("SHIPWAY_"):
            yield f"env {name}", form, name not in given.unknown_env and name in given.env, given.env.get(name)
    if node.oidc:
        yield "oidc", Immediate(list(node.oidc)), True, list(node.oidc)
    if node.env_from:
        yield "env from the job", Immediate(list(node.env_from)), True, list(node.env_from)


def _after_leaves(node: Node, given: Given) -> Iterator[_Leaf]:
    """One part for each node whose being made anew runs this one again."""
    form = node.slots.get("after")
    if form is None:
        return
    is_known = "after" not in given.unknown and "after" in given.slots
    value = given.slots.get("after")
    if isinstance(form, Computed) and isinstance(form.expression, list | tuple):
        for place, text in enumerate(form.expression):
            inner = Computed(text)
            named = next((each.owner for each in named_outputs(inner, node)), "")
            at = value[place] if is_known and isinstance(value, list | tuple) and place < len(value) else None
            yield f"{AFTER_PART}{named or place}", inner, is_known, at
    else:
        yield AFTER_PART + (form.node if isinstance(form, Promise) else ""), form, is_known, value


def _members(form: Slot, value: Json) -> dict[str, Slot] | None:
    """A form for each member of an object, or None of anything else."""
    match form:
        case Immediate(given) if isinstance(given, Mapping):
            return {name: Immediate(each) for name, each in sorted(given.items())}
        case Computed(expression) if isinstance(expression, Mapping):
            return {name: Computed(each) for name, each in sorted(expression.items())}
        case Promise() if isinstance(value, Mapping):
            return dict.fromkeys(sorted(value), form)
    return None


def _known_alone(form: Slot) -> tuple[bool, Json]:
    """Whether the member of an object that is not known as a whole is known for itself, and its value."""
    if isinstance(form, Computed) and not references_of(form.expression):
        return True, form.expression
    return (True, form.value) if isinstance(form, Immediate) else (False, None)


def _as_entered(form: Slot, value: Json, node: Node, producers: Producers) -> Json:
    if isinstance(form, Computed):
        return _text_as_entered(form.expression, value, node, producers)
    return slot_json(form) if any(producers.is_secret(each) for each in named_outputs(form, node)) else value


def _text_as_entered(expression: Json, value: Json, node: Node, producers: Producers) -> Json:
    if isinstance(expression, Mapping) and isinstance(value, Mapping):
        return {name: _text_as_entered(each, value.get(name), node, producers) for name, each in expression.items()}
    if isinstance(expression, list | tuple) and isinstance(value, list | tuple) and len(expression) == len(value):
        pairs = zip(expression, value, strict=True)
        return [_text_as_entered(each, of, node, producers) for each, of in pairs]
    if any(producers.is_secret(each) for each in named_outputs(Computed(expression), node)):
        return {"expression": expression}
    return value


def named_outputs(form: Slot, node: Node) -> list[Named]:
    """What a slot of `node` takes its value from."""
    if isinstance(form, Promise):
        return [Named(form.node, form.output or "")]
    return [_output_of(each, node) for each in references_of(form.expression)] if isinstance(form, Computed) else []


def _output_of(reference: Reference, node: Node) -> Named:
    match reference.path:
        case ("secrets", *_):
            return Named(_SECRETS)
        case ("steps", str(step), "outputs", str(output), *_):
            return Named(f"{node.stage}/{step}", output)
        case ("stages", str(stage), "steps", str(step), "outputs", str(output), *_):
            return Named(f"{stage}/{step}", output)
        case ("stages", str(stage), "steps", str(step), "outputs"):
            return Named(f"{stage}/{step}")
        case ("stages", str(stage), "outputs", str(output), *_):
            return Named(stage, output)
    return Named("")


def _member(value: Json, name: str) -> Json:
    return value.get(name) if isinstance(value, Mapping) else None


def _bounded(digests: dict[str, str]) -> dict[str, str]:
    """So many parts that a record stays small; what is beyond is one part."""
    if len(digests) <= _MOST_PARTS:
        return digests
    names = list(digests)
    rest: Json = {name: digests[name] for name in names[_MOST_PARTS:]}
    return {**{name: digests[name] for name in names[:_MOST_PARTS]}, "slot others": _digest(rest)}


def _digest(value: Json) -> str:
    return hashlib.sha256(canonical.canonical_bytes(value)).hexdigest()[:16]
