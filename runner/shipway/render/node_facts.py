"""What a reviewer asks about a node, each on one line under one word, and what it changes. Lays nothing out and knows no markup."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from shipway.canonical import Json
from shipway.declaration import Retry
from shipway.durations import format_ms
from shipway.node_ids import owner_of, readable
from shipway.nodes import Change, Computed, Immediate, NeedKind, Node, Promise, Proxy, Slot
from shipway.render.difference import SignedLine, diff_lines, inline
from shipway.render.foreign import one_line
from shipway.render.wording import ON_FAILURE, plural, undo_word

Fact: TypeAlias = tuple[str, str]
"""A label of one word and a text on one line, cleaned."""

_SECRET = re.compile(r"""secrets\s*(?:\.\s*([A-Za-z_][A-Za-z0-9_-]*)|\[\s*'([^']*)'\s*\])""")


# What a step without a plan of its own, or with one, says of itself: its fidelity says so already.
_IDLE_WHYS = frozenset({"only running it tells", "its plan command says so"})


def _is_told_by_change(node: Node) -> bool:
    return node.change is Change.CREATE and node.why == "not made yet"


def needed(node: Node) -> list[str]:
    """What the node waits for, each once: ids, within its stage the steps, with the outputs it takes."""
    taken: dict[str, list[str]] = {}
    for slot in (*node.slots.values(), *node.env.values()):
        if isinstance(slot, Promise):
            taken.setdefault(slot.node, []).extend([slot.output] if slot.output else [])
    befores = (owner_of(need.node) for need in node.needs if need.kind is not NeedKind.WITHIN)
    known = dict.fromkeys([*befores, *taken])
    for need in node.needs:
        more = "optional" if need.kind is NeedKind.OPTIONAL else f"reads {need.resource}" if need.resource else ""
        if more:
            taken.setdefault(owner_of(need.node), []).append(more)
    return [_need_text(node, name, taken.get(name, [])) for name in known]


def _need_text(node: Node, name: str, notes: Sequence[str]) -> str:
    notes = [*dict.fromkeys(notes)]
    shown = one_line(readable(name.removeprefix(f"{node.stage}/")))
    return shown + (f" ({', '.join(map(one_line, notes))})" if notes else "")


def secret_names(node: Node) -> list[str]:
    """Names of the secrets that the node's slots and environment refer to, sorted. Never a value."""
    texts = (text for slot in (*node.slots.values(), *node.env.values()) for text in _expressions(slot))
    found = {first or second for text in texts for first, second in _SECRET.findall(text)}
    return sorted(one_line(name) for name in found)


def _expressions(slot: Slot) -> Iterator[str]:
    return _texts(slot.expression) if isinstance(slot, Computed) else iter(())


def _texts(value: Json) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for member in value.values():
            yield from _texts(member)
    elif isinstance(value, Sequence):
        for member in value:
            yield from _texts(member)


def node_facts(node: Node) -> list[Fact]:
    """What a reviewer asks about a node: why, if, waits, each, adds, env (names, then secrets), predicts, bounds.

    Those it has.
    """
    is_own = node.action.startswith("preview.")  # whose counter of how often it was made is for no person
    predicted = (
        f"{one_line(name)} = {inline(value)}"
        for name, value in node.predicted.items()
        if not (is_own and name == "made")
    )
    facts = [
        ("why", "" if node.why in _IDLE_WHYS or _is_told_by_change(node) else one_line(node.why)),
        ("if", one_line(node.condition or "")),
        ("waits", ", ".join(needed(node))),
        ("each", _each(node)),
        ("adds", _adds(node)),
        ("env", _environment(node)),
        ("predicts", ", ".join(predicted)),
        ("bounds", _bounds(node)),
    ]
    return [(label, text) for label, text in facts if text]


def _each(node: Node) -> str:
    """How a gather goes over its items."""
    gather = node.gather
    if gather is None:
        return ""
    many = "item, known when run" if gather.keys is None else plural(len(gather.keys), "item")
    most = f"at most {gather.max}" if gather.max and gather.keys is None else ""
    policy = f"if one fails, {ON_FAILURE[gather.on_failure]}" if gather.on_failure else ""
    return ", ".join(part for part in (many, most, f"{gather.limit} at once", policy) if part)


def _adds(node: Node) -> str:
    """What a node adds when it runs: its templates, with what undoes them."""
    if not node.templates:
        return ""
    shown = [
        f"{one_line(_template_name(each, node, name))} ({undo_word(each) or 'leaves nothing'})"
        for name, nodes in node.templates.items()
        for each in nodes
        if not each.is_group
    ]
    return ", ".join(shown) + (f", {node.emits} at most" if node.emits else "")


def _template_name(template: Node, node: Node, name: str) -> str:
    return name if template.id.count("/") == node.id.count("/") else template.id.rpartition("/")[2]


def _environment(node: Node) -> str:
    secrets = secret_names(node)
    is_own = node.action.startswith("preview.")  # every hook gets those of Shipway
    named = [name for name in node.env if not (is_own and name.startswith("SHIPWAY_"))]
    names = ", ".join(one_line(name) for name in (*named, *node.env_from))
    return " · ".join(part for part in (names, f"secrets {', '.join(secrets)}" if secrets else "") if part)


def _bounds(node: Node) -> str:
    bounds = (
        "needs privilege" if node.privileged else "",
        f"identity token for {', '.join(map(one_line, node.oidc))}" if node.oidc else "",
        f"limits {', '.join(map(one_line, node.limits))}" if node.limits else "",
        f"locks {', '.join(map(one_line, node.locks))}" if node.locks else "",
        "runs alone" if node.exclusive else "",
        f"timeout {format_ms(node.timeout_ms)}" if node.timeout_ms else "",
        f"up to {node.retry.attempts} attempts" if node.retry.attempts > 1 else "",
        _undo_bounds(node),
        "may fail" if node.allow_failure else "",
        f"done once as {one_line(node.dedup)}" if node.dedup is not None else "",
    )
    return " · ".join(bound for bound in bounds if bound)


def _undo_bounds(node: Node) -> str:
    """Where they are others than those of the node."""
    if not node.reversible or (node.undo_retry, node.undo_timeout_ms) in ((node.retry, node.timeout_ms), (Retry(), 0)):
        return ""
    timeout = f"timeout {format_ms(node.undo_timeout_ms)}" if node.undo_timeout_ms else "no timeout"
    tries = f", up to {node.undo_retry.attempts} attempts" if node.undo_retry.attempts > 1 else ""
    return f"undo {timeout}{tries}"


def plan_said(node: Node) -> str:
    """What a step's read-only `plan` command printed; empty where there is none."""
    if node.before is None and isinstance(node.after, Mapping) and set(node.after) == {"plan"}:
        return str(node.after["plan"])
    return ""


def world_change(node: Node) -> list[SignedLine]:
    """Before → after of what the node changes, as a diff; what a `plan` command printed is none."""
    return [] if plan_said(node) else diff_lines(node.before, node.after)


def slot_text(slot: Slot) -> str:
    """What a slot holds, as written: a value, an expression, or whose output."""
    match slot:
        case Immediate(value):
            return value if isinstance(value, str) else inline(value)
        case Promise(node, output):
            return f"{node} ({output})" if output else node
        case Computed(expression):
            return expression if isinstance(expression, str) else inline(expression)
        case Proxy(gather, part):
            return f"item of {gather}" + (f" ({part})" if part else "")
