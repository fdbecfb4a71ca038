"""Makes a node out of one call to the builder: its slots, variables, condition and needs, checked. Adds nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct

from shipway.accesses import accesses_of
from shipway.action import Action, SlotRule
from shipway.builder_options import BuilderScope, NodeHandle, NodeOptions
from shipway.conflicts import Accesses
from shipway.errors import Position, Problem, did_you_mean
from shipway.frames import Frames
from shipway.node_ids import written_as
from shipway.nodes import Change, Computed, Fidelity, Immediate, Need, NeedKind, Node, Proxy, Reads, Slot
from shipway.referrer import Referrer, Referring, proxy_text
from shipway.resources import file_patterns


class _Touched(Struct, frozen=True):
    """What decides what a node reads and writes, besides its slots."""

    action: Action | None
    reads: tuple[str, ...]
    writes: tuple[str, ...]

    @property
    def is_anything(self) -> bool:
        """Whether slots, or what was declared, may name something."""
        rules = self.action.slots.values() if self.action is not None else ()
        return bool(self.reads or self.writes) or any(rule.access is not None for rule in rules)


class NodeMaking:
    """What a builder makes nodes with. Mistakes go where those of the builder go."""

    def __init__(self, builder: Referring, scope: BuilderScope, frames: Frames) -> None:
        self._builder = builder
        self._scope = scope
        self._frames = frames
        self._touched: dict[str, _Touched] = {}

    def node(
        self,
        action: str,
        node_id: str,
        slots: Mapping[str, object],
        needs: Iterable[Need | NodeHandle],
        options: NodeOptions,
    ) -> Node:
        """The node of one call that carries out `action`; what it touches is known from now on."""
        where = options.position or self._builder.stage.where
        found = self._found(action, where, options)
        refs = Referrer(self._builder, node_id, where, options.slot_place)
        filled = refs.slots(slots, found)
        self._touched[node_id] = _Touched(found, options.reads or (), options.writes)
        env = refs.environment({**self._frames.top.env, **options.env})
        condition = refs.condition(options.condition)
        return Node(
            id=node_id,
            stage=self._builder.stage.id,
            action=action,
            position=where,
            title=options.title or _title(action, filled),
            tags=options.tags,
            slots=filled,
            env=env,
            env_from=tuple(dict.fromkeys((*self._builder.stage.env_from, *options.env_from))),
            needs=_edges(needs, refs),
            condition=condition,
            outputs={**(found.outputs if found else {}), **options.outputs},
            change=Change.RUN,
            lasting=options.lasting,
            retry=options.retry,
            timeout_ms=options.timeout_ms,
            undo_retry=options.retry if options.undo_retry is None else options.undo_retry,
            undo_timeout_ms=options.timeout_ms if options.undo_timeout_ms is None else options.undo_timeout_ms,
            limits=tuple(dict.fromkeys((*options.limits, *_turns(found, filled)))),
            locks=options.locks,
            exclusive=options.exclusive,
            allow_failure=options.allow_failure,
            reads=self._reads_of(options),
            every_ms=options.every_ms,
            privileged=options.privileged,
            dedup=None if options.dedup is None else refs.text("dedup", options.dedup),
            oidc=options.oidc,
            facts=options.facts,
        )

    def _found(self, action: str, where: Position, options: NodeOptions) -> Action | None:
        found = self._scope.find_action(action)
        if found is None:
            where = options.slot_place("") if options.slot_place else where
            self._problem(where, f"unknown action `{action}`", did_you_mean(action, self._scope.action_names()))
        elif options.every_ms and found.runs_in == "thread" and not _answers(found):
            self._problem(where, f"`until` needs an action with one boolean output, and `{action}` has none")
        return found

    def opener(
        self,
        action: str,
        node_id: str,
        refs: Referrer,
        needs: Iterable[Need | NodeHandle],
        options: NodeOptions,
        condition: str | None,
    ) -> Node:
        """The node that opens a body: it does nothing by itself."""
        return Node(
            id=node_id,
            stage=self._builder.stage.id,
            action=action,
            position=options.position or self._builder.stage.where,
            title=options.title,
            tags=options.tags,
            needs=_edges(needs, refs),
            condition=condition,
            change=Change.NOOP,
            fidelity=Fidelity.EXACT,
            lasting=False,
            allow_failure=options.allow_failure,
            reads=self._scope.read(self._files_read(options)),
        )

    def body_condition(self, refs: Referrer, options: NodeOptions) -> str | None:
        """The `if` of a body. Known when planned, it has to be true or false: a choice is not made by a text."""
        condition = refs.condition(options.condition)
        if condition is not None and refs.is_known_but_no_boolean(condition):
            refs.problem(f"`if` of `{refs.node_id}` comes to {condition}, which is neither `true` nor `false`")
        return condition

    def key(self, node_id: str, text: str, options: NodeOptions) -> str | None:
        """What the key of each iteration is worked out from."""
        refs = Referrer(self._builder, node_id, options.position or self._builder.stage.where)
        slot = refs.slot("key", text)
        if isinstance(slot, Proxy):
            return proxy_text(slot)
        if isinstance(slot, Computed) and not refs.promised:
            return str(slot.expression)
        refs.problem(
            f"`key` of the gather `{node_id}` does not tell its items apart", 'write `key: "${{ item.name }}"`'
        )
        return None

    def rules(self, action: str) -> Mapping[str, SlotRule]:
        """The slots of an action; of an unknown one, none."""
        found = self._scope.find_action(action)
        return found.slots if found else {}

    def accesses(self, nodes: Iterable[Node]) -> dict[str, Accesses]:
        """What these nodes touch, by their ids, as far as it is known when planned."""
        found: dict[str, Accesses] = {}
        touching = {name: touched for name, touched in self._touched.items() if touched.is_anything}
        for node in nodes if touching else ():
            touched = touching.get(node.id) or touching.get(written_as(node.id))
            if touched is None:
                continue
            accesses = accesses_of(touched.action, node.slots, touched.reads, touched.writes)
            if accesses is not None:
                found[node.id] = accesses
        return found

    def _reads_of(self, options: NodeOptions) -> Reads:
        read = (options.reads_commit and self._scope.read_commit) or self._scope.read
        return read(self._files_read(options))

    def _files_read(self, options: NodeOptions) -> tuple[str, ...] | None:
        """The files that decide what a node does; where its `reads` names none but other things, those of its stage."""
        if options.reads is None or (options.reads and not file_patterns(options.reads)):
            return self._builder.stage.reads
        return file_patterns(options.reads)

    def _problem(self, where: Position, text: str, hint: str = "") -> None:
        self._builder.problems.append(Problem(text, where, hint=hint))


def _edges(needs: Iterable[Need | NodeHandle], refs: Referrer) -> tuple[Need, ...]:
    """What is needed, each edge once, then what is promised by what the node refers to."""
    edges = {
        (need.id, NeedKind.NEEDS) if isinstance(need, NodeHandle) else (need.node, need.kind): None for need in needs
    }
    edges |= dict.fromkeys((promised, NeedKind.PROMISE) for promised in refs.promised)
    return tuple(Need(*edge) for edge in edges)


def _turns(action: Action | None, slots: Mapping[str, Slot]) -> Iterator[str]:
    """The limits, beside those that the declaration names, under which nodes of this action run one after the other."""
    for name, rule in action.slots.items() if action is not None else ():
        if rule.turns is not None:
            slot = slots.get(name)
            value = slot.value if isinstance(slot, Immediate) else ""
            yield rule.turns.get(value, rule.turns[""]) if isinstance(value, str) else rule.turns[""]


def _answers(action: Action) -> bool:
    return [rule.type for rule in action.outputs.values()].count("boolean") == 1


def _title(action: str, slots: Mapping[str, Slot]) -> str:
    """What to call a node that was given no name: the first line of its script, or its action and what it acts on."""
    for name in _TELLING:
        slot = slots.get(name)
        if isinstance(slot, Immediate) and isinstance(slot.value, str):
            first = next((line.strip() for line in slot.value.splitlines() if line.strip()), "")
            return first if name == "run" else f"{action} {first}"
        if isinstance(slot, Immediate) and isinstance(slot.value, list):
            listed = [str(each) for each in slot.value if isinstance(each, (str, int, float))]
            more = f" and {len(listed) - _MOST_TOLD} more" if len(listed) > _MOST_TOLD else ""
            return f"{action} {', '.join(listed[:_MOST_TOLD])}{more}".rstrip()
    return action


_TELLING = ("run", "path", "source", "packages", "name", "repo")
"""The slots that say what an action is about, the most telling first."""

_MOST_TOLD = 3
