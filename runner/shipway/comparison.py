"""Two plans side by side, node by node: what decides what is done, and what may differ without deciding anything. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import TypeAlias

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from shipway.canonical import Json, canonical_bytes, items_of, object_of
from shipway.errors import Position
from shipway.globs import match_globs
from shipway.node_json import effect_json, node_json
from shipway.nodes import Node
from shipway.plan import Plan, PlannedSource, PlannedStage


class SubjectKind(StrEnum):
    """What two plans may differ in: the plan itself, a stage, a node of its compensation, a node."""

    PLAN = "plan"
    STAGE = "stage"
    COMPENSATION = "compensation"
    NODE = "node"


class Presence(StrEnum):
    """Whether both plans have it."""

    CHANGED = "changed"
    ADDED = "added"
    REMOVED = "removed"


class FieldChange(Struct, frozen=True):
    """One field by its name in the document (`env.TAG`, `slots.run`, `condition`), and its value in either plan.

    None where a plan has no such member. `files` are the changed files behind a changed `reads`; None: not known.
    """

    name: str
    before: Json
    after: Json
    files: tuple[str, ...] | None = None


class SubjectChange(Struct, frozen=True):
    """One stage or node in which two plans differ; `fields` is empty where only one of them has it.

    `position` is where the declaration of the later plan has it, else that of the earlier one; the plan itself has none.
    """

    subject: str
    kind: SubjectKind
    presence: Presence
    fields: tuple[FieldChange, ...] = ()
    position: Position | None = None


class Comparison(Struct, frozen=True):
    """What two plans differ in: `effect` decides what is done, `volatile` does not. In declared order of the later plan."""

    before: Plan
    after: Plan
    effect: tuple[SubjectChange, ...]
    volatile: tuple[SubjectChange, ...]

    @property
    def is_same_effect(self) -> bool:
        """Whether executing either does the same."""
        return self.before.effect == self.after.effect

    def of(self, subject: str, kind: SubjectKind = SubjectKind.NODE) -> SubjectChange | None:
        """What decides what is done and differs in one subject; None where nothing does."""
        return next((change for change in self.effect if (change.kind, change.subject) == (kind, subject)), None)


def compare(before: Plan, after: Plan, changed: Sequence[str] | None = None) -> Comparison:
    """How `after` differs from `before`. `changed` are the paths that differ between their trees, None where not known."""
    return _compare(before, after, changed, None)


def _compare(before: Plan, after: Plan, changed: Sequence[str] | None, only: frozenset[str] | None) -> Comparison:
    """With `only` given, of nodes those with these ids."""
    old, new = _parts(before, only), _parts(after, only)
    name_files = _Files(changed, (*before.source.files, *after.source.files))
    effect: list[SubjectChange] = []
    volatile: list[SubjectChange] = []
    for key, part in new.items():
        if key not in old:
            effect.append(SubjectChange(key[1], key[0], Presence.ADDED, position=_position(part)))
            continue
        deciding, rest = _differences(old[key], part)
        if isinstance(part, Node):
            deciding = [name_files.behind(field, part.reads.patterns) for field in deciding]
        for found, kept in ((deciding, effect), (rest, volatile)):
            if found:
                kept.append(SubjectChange(key[1], key[0], Presence.CHANGED, tuple(found), _position(part)))
    for key, part in old.items():
        if key not in new:
            effect.append(SubjectChange(key[1], key[0], Presence.REMOVED, position=_position(part)))
    if _is_reordered(before, after):
        order = FieldChange("order", [node.id for node in before.nodes], [node.id for node in after.nodes])
        volatile.insert(0, SubjectChange("plan", SubjectKind.PLAN, Presence.CHANGED, (order,)))
    return Comparison(before, after, tuple(effect), tuple(volatile))


def compare_first(
    before: Plan, after: Plan, most: int, changed: Sequence[str] | None = None
) -> tuple[tuple[SubjectChange, ...], int]:
    """What decides what is done and differs, of nodes the first `most` only, and in how many subjects it differs in all.

    For plans of thousands of nodes of which few are to be shown: the others are looked at no closer than needed.
    """
    old, new = before.by_id, after.by_id
    others = [node.id for node in after.nodes if node.id not in old or _is_another(old[node.id], node)]
    others += [node.id for node in before.nodes if node.id not in new]
    shown = frozenset(others[:most])
    found = _compare(before, after, changed, shown).effect
    return found, len(found) + len(others) - len(shown)


def _is_another(old: Node, new: Node) -> bool:
    return old != new and effect_json(old) != effect_json(new)


_Key = tuple[SubjectKind, str]
_Part: TypeAlias = Plan | PlannedStage | Node

# Other than `==` it tells 1 from true.
_encode = msgspec.json.encode


def _parts(plan: Plan, only: frozenset[str] | None) -> dict[_Key, _Part]:
    """The plan without its stages, each stage without its compensation, and every node, in the order they are told."""
    found: dict[_Key, _Part] = {(SubjectKind.PLAN, "plan"): replace(plan, stages=(), nodes=())}
    by_stage: dict[str, list[Node]] = {stage.id: [] for stage in plan.stages}
    for node in plan.nodes:
        if only is None or node.id in only:
            by_stage[node.stage].append(node)
    for stage in plan.stages:
        found[SubjectKind.STAGE, stage.id] = replace(stage, compensation=())
        for node in by_stage[stage.id]:
            found[SubjectKind.NODE, node.id] = node
        for node in stage.compensation:
            found[SubjectKind.COMPENSATION, node.id] = node
    return found


def _position(part: _Part) -> Position | None:
    return None if isinstance(part, Plan) else part.position


def _differences(was: _Part, now: _Part) -> tuple[list[FieldChange], list[FieldChange]]:
    """What differs and decides what is done, and what differs besides."""
    if _encode(was) == _encode(now):
        return [], []
    # A line more at the top of a declaration moves every node below it, and does nothing else to them.
    are_nodes = isinstance(was, Node) and isinstance(now, Node)
    if are_nodes and _encode(replace(was, position=_position(now))) == _encode(now):
        return [], [FieldChange("position", _place(_position(was)), _place(_position(now)))]
    old, new = _subject(was), _subject(now)
    deciding = _changed(old.effect, new.effect)
    named = {field.name.partition(".")[0] for field in deciding}
    return deciding, [field for field in _changed(old.rest, new.rest) if field.name.partition(".")[0] not in named]


def _place(position: Position | None) -> Json:
    return None if position is None else [position.file, position.line, position.column]


class _Subject(Struct, frozen=True):
    """`effect` and `rest` are members by name; those of environment and slots have a name each."""

    effect: Mapping[str, Json]
    rest: Mapping[str, Json]


_DERIVED = frozenset({"kind", "schema", "effect", "digest", "stages", "nodes", "on_rollback", "id", "compensation"})
"""Members of a plan or stage that say nothing of their own, or are compared by themselves."""

_NOTHING = Plan("", "", "", PlannedSource("", (), ""), "", (), ())

_SPREAD = ("slots", "env", "needs", "outputs", "source", "versions", "limits", "predicted", "context", "policies")
"""Members whose own members are compared one by one."""


def _subject(part: _Part) -> _Subject:
    if isinstance(part, Node):
        return _node(part, effect_json(part), object_of(node_json(part)))
    plan = part if isinstance(part, Plan) else replace(_NOTHING, stages=(part,))
    document, effect = plan.document, plan.effect_json()
    if isinstance(part, PlannedStage):
        (written,) = items_of(document["stages"])
        document, effect = dict(object_of(written)), dict(object_of(object_of(effect["stages"])[part.id]))
    own = {name: value for name, value in effect.items() if name not in _DERIVED}
    rest = {name: value for name, value in document.items() if name not in _DERIVED and name not in own}
    return _Subject(_spread(own), _spread(rest))


def _node(node: Node, effect: Mapping[str, Json], written: Mapping[str, Json]) -> _Subject:
    rest = {name: value for name, value in written.items() if name not in effect and name not in ("flow", "stage")}
    rest["needs"] = written["needs"]
    rest["reads"] = object_of(written["reads"])["patterns"]
    if written["flow"] is not None:
        rest["templates"] = object_of(written["flow"])["templates"]
    deciding = {name: value for name, value in effect.items() if name != "id"}
    deciding["needs"] = _waits(items_of(effect["needs"]))
    return _Subject(_spread(deciding), _spread(rest))


def _waits(needs: Sequence[Json]) -> Json:
    """What is waited for, and why: `{node: kind, …}`."""
    found: dict[str, Json] = {}
    for node, kind in (items_of(need) for need in needs):
        found[str(node)] = f"{found[str(node)]}, {kind}" if str(node) in found else kind
    return found


def _spread(members: Mapping[str, Json]) -> dict[str, Json]:
    found: dict[str, Json] = {}
    for name, value in members.items():
        shown = _by_id(value)
        if name in _SPREAD and isinstance(shown, Mapping):
            found |= {f"{name}.{inner}": member for inner, member in shown.items()}
        elif name not in _SPREAD or shown:
            found[name] = shown
    return found


def _by_id(value: Json) -> Json:
    """Lists of what has an id or a name as mappings by it, however deep: so that one in the middle is one difference."""
    if isinstance(value, Mapping):
        return {name: _by_id(member) for name, member in value.items()}
    if isinstance(value, list) and value:
        for key in ("id", "name"):
            if all(isinstance(item, Mapping) and key in item for item in value):
                return {str(object_of(item)[key]): _by_id(item) for item in value}
    return value


def _changed(old: Mapping[str, Json], new: Mapping[str, Json]) -> list[FieldChange]:
    return [
        FieldChange(name, old.get(name), new.get(name))
        for name in dict.fromkeys((*new, *old))
        if (name in old) is not (name in new) or _is_other(old[name], new[name])
    ]


def _is_other(old: Json, new: Json) -> bool:
    """Whether two values are others in a document: to Python 1 and true are the same."""
    return old != new or canonical_bytes(old) != canonical_bytes(new)


def _is_reordered(before: Plan, after: Plan) -> bool:
    both = before.by_id.keys() & after.by_id.keys()
    return [node.id for node in before.nodes if node.id in both] != [node.id for node in after.nodes if node.id in both]


class _Files:
    """The changed files that patterns match, each set of patterns once; the whole tree leaves out the declaration's own."""

    def __init__(self, changed: Sequence[str] | None, declaration: Sequence[str]) -> None:
        self._changed = changed
        self._declaration = frozenset(declaration)
        self._known: dict[tuple[str, ...], tuple[str, ...]] = {}

    def behind(self, field: FieldChange, patterns: tuple[str, ...]) -> FieldChange:
        """The field with its files, where it is `reads`."""
        if field.name != "reads" or self._changed is None:
            return field
        if patterns not in self._known:
            self._known[patterns] = tuple(self._matching(patterns))
        return FieldChange(field.name, field.before, field.after, self._known[patterns])

    def _matching(self, patterns: tuple[str, ...]) -> Iterator[str]:
        is_whole = patterns == ("**",)
        matches: Callable[[str], bool] = (
            (lambda path: path not in self._declaration) if is_whole else (lambda path: match_globs(path, patterns))
        )
        return filter(matches, self._changed or ())
