"""Two plans side by side, node by node: what decides what is done, and what may differ without deciding anything. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from shipway.canonical import Json, items_of, object_of
from shipway.errors import Position
from shipway.globs import match_globs
from shipway.nodes import Node, effect_json
from shipway.plan import Plan


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
    old, new = _subjects(before, only), _subjects(after, only)
    name_files = _Files(changed, (*before.source.files, *after.source.files))
    effect: list[SubjectChange] = []
    volatile: list[SubjectChange] = []
    for key, subject in new.items():
        if key not in old:
            effect.append(SubjectChange(key[1], key[0], Presence.ADDED, position=subject.position))
            continue
        deciding = _changed(old[key].effect, subject.effect)
        if key[0] in (SubjectKind.NODE, SubjectKind.COMPENSATION):
            deciding = [name_files.behind(field, subject.patterns) for field in deciding]
        named = {field.name.partition(".")[0] for field in deciding}
        rest = [field for field in _changed(old[key].rest, subject.rest) if field.name.partition(".")[0] not in named]
        for found, kept in ((deciding, effect), (rest, volatile)):
            if found:
                kept.append(SubjectChange(key[1], key[0], Presence.CHANGED, tuple(found), subject.position))
    for key, subject in old.items():
        if key not in new:
            effect.append(SubjectChange(key[1], key[0], Presence.REMOVED, position=subject.position))
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


class _Subject(Struct, frozen=True):
    """`effect` and `rest` are members by name; those of environment and slots have a name each."""

    effect: Mapping[str, Json]
    rest: Mapping[str, Json]
    position: Position | None = None
    patterns: tuple[str, ...] = ()


_Key = tuple[SubjectKind, str]

_DERIVED = frozenset({"kind", "schema", "effect", "digest", "stages", "nodes", "on_rollback"})
"""Members of a plan that say nothing of their own, or are compared by themselves."""

_SPREAD = ("slots", "env", "needs", "outputs", "source", "versions", "limits", "predicted", "context", "policies")
"""Members whose own members are compared one by one."""


def _subjects(plan: Plan, only: frozenset[str] | None) -> dict[_Key, _Subject]:
    looked_at = plan.nodes if only is None else tuple(node for node in plan.nodes if node.id in only)
    document, effect = plan.document, replace(plan, nodes=looked_at).effect_json()
    own = {name: value for name, value in effect.items() if name not in _DERIVED}
    rest = {name: value for name, value in document.items() if name not in _DERIVED and name not in own}
    found = {(SubjectKind.PLAN, "plan"): _Subject(_spread(own), _spread(rest))}
    effects, nodes = object_of(effect["stages"]), object_of(effect["nodes"])
    by_stage: dict[str, dict[_Key, _Subject]] = {stage.id: {} for stage in plan.stages}
    for node, written in zip(plan.nodes, items_of(document["nodes"]), strict=True):
        if node.id not in nodes:
            continue
        made = _node(node, object_of(nodes[node.id]), object_of(written))
        by_stage[node.stage][SubjectKind.NODE, node.id] = made
    for stage, written in zip(plan.stages, items_of(document["stages"]), strict=True):
        deciding = {k: v for k, v in object_of(effects[stage.id]).items() if k != "compensation"}
        others = {k: v for k, v in object_of(written).items() if k not in (*deciding, "compensation", "id")}
        found[SubjectKind.STAGE, stage.id] = _Subject(_spread(deciding), _spread(others), stage.position)
        found |= by_stage[stage.id]
        compensations = items_of(object_of(written)["compensation"])
        for node, as_written in zip(stage.compensation, compensations, strict=True):
            found[SubjectKind.COMPENSATION, node.id] = _node(node, effect_json(node), object_of(as_written))
    return found


def _node(node: Node, effect: Mapping[str, Json], written: Mapping[str, Json]) -> _Subject:
    rest = {name: value for name, value in written.items() if name not in effect and name not in ("flow", "stage")}
    rest["needs"] = written["needs"]
    rest["reads"] = object_of(written["reads"])["patterns"]
    if written["flow"] is not None:
        rest["templates"] = object_of(written["flow"])["templates"]
    deciding = {name: value for name, value in effect.items() if name != "id"}
    deciding["needs"] = _waits(items_of(effect["needs"]))
    return _Subject(_spread(deciding), _spread(rest), node.position, node.reads.patterns)


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
        if (name in old) is not (name in new) or old[name] != new[name]
    ]


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
