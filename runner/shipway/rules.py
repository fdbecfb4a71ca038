"""The stricter of two: what the commit before asked for holds beside what the plan asks for itself. Pure.

A change cannot loosen the rules that it is itself judged by: approval, locks, and which step is handed which secret.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

from msgspec import Struct, field
from msgspec.structs import replace

from shipway.approvals import ApprovalRule
from shipway.declaration import Declaration, StateRule, StateStore, TargetRule
from shipway.evaluation import secrets_named, secrets_of
from shipway.node_ids import written_as
from shipway.nodes import Node
from shipway.plan import Plan
from shipway.policies import Policy, policy_effect
from shipway.signing import SigningPolicy, SigningRule
from shipway.weakenings import Rule, Weakening

_Held = TypeVar("_Held")

_BEFORE = "-before"
"""What the name of a policy gets behind it where another has the name now."""


class Held(Struct, frozen=True):
    """What holds of the rules before, though the plan does not ask for it, and how the plan would have `weakened` them.

    `approvals` are by stage, `everywhere` is of stages that are gone; `locks` are held by the whole run, `node_locks` by
    nodes as they are written; `secrets` are masked still; `withheld` are secrets, by node as written, that no command
    of it is handed while the change is only looked at; `after` are targets that have to come first still;
    `policies` are by stage, those of the whole plan under an empty name. `state` is where records were kept, if elsewhere.
    `signing` is what receipts of other runs are held to as well, by `allowed_signers`, the text of the file that it names as
    it stood there.
    """

    weakened: tuple[Weakening, ...] = ()
    approvals: Mapping[str, ApprovalRule] = field(default_factory=dict)
    everywhere: ApprovalRule | None = None
    locks: tuple[str, ...] = ()
    is_locked: bool = False
    node_locks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    withheld: Mapping[str, frozenset[str]] = field(default_factory=dict)
    after: tuple[str, ...] = ()
    policies: Mapping[str, tuple[Policy, ...]] = field(default_factory=dict)
    state: StateRule | None = None
    signing: SigningRule | None = None
    allowed_signers: str = ""

    def applied(self, plan: Plan) -> Plan:
        """The plan under the rules of both."""
        if not self.weakened:
            return plan
        stages = tuple(
            replace(
                stage,
                approval=_stricter(stage.approval, self.approvals.get(stage.id), self.everywhere),
                policies=(*stage.policies, *self.policies.get(stage.id, ())),
            )
            for stage in plan.stages
        )
        return replace(
            plan,
            stages=stages,
            nodes=tuple(map(self._locked, plan.nodes)) if self.node_locks else plan.nodes,
            locks=_joined(plan.locks, self.locks),
            is_locked=plan.is_locked or self.is_locked,
            secrets=_joined(plan.secrets, self.secrets),
            policies=(*plan.policies, *self.policies.get("", ())),
            weakens=self.weakened,
        )

    def recorded(self, declared: Declaration) -> Declaration:
        """The declaration with the place where locks and records are kept as long as what was before holds."""
        return declared if self.state is None else replace(declared, state=self.state)

    def joined(self, more: Held) -> Held:
        """What holds by both; `more` was found beside this, so that it says nothing of what this holds already."""
        everywhere = _stricter(self.everywhere, more.everywhere)
        return Held(
            weakened=tuple(dict.fromkeys((*self.weakened, *more.weakened))),
            approvals=_both(self.approvals, more.approvals, ApprovalRule.stricter),
            everywhere=everywhere,
            locks=_joined(self.locks, more.locks),
            is_locked=self.is_locked or more.is_locked,
            node_locks=_both(self.node_locks, more.node_locks, _joined),
            secrets=_joined(self.secrets, more.secrets),
            withheld=_both(self.withheld, more.withheld, frozenset.union),
            after=_joined(self.after, more.after),
            policies=_both(self.policies, more.policies, lambda one, other: (*one, *other)),
            state=self.state or more.state,
            signing=self.signing or more.signing,
            allowed_signers=self.allowed_signers if self.signing else more.allowed_signers,
        )

    def _locked(self, node: Node) -> Node:
        locks = _joined(node.locks, self.node_locks.get(written_as(node.id), ()))
        if node.templates:
            templates = {name: tuple(map(self._locked, nodes)) for name, nodes in node.templates.items()}
            node = replace(node, templates=templates)
        return node if locks == node.locks else replace(node, locks=locks)


def hold(before: Plan, now: Plan) -> Held:
    """What of the rules of `before` holds for `now`. Both are whole plans, nothing left out."""
    approvals, everywhere = _approvals(before, now)
    node_locks = dict(_node_locks(before, now))
    locks = _locks_of_run(before, now)
    withheld = dict(_withheld(before, now))
    policies = _policies(before, now)
    undeclared = tuple(name for name in before.secrets if name not in now.secrets)
    is_locked = before.is_locked and not now.is_locked
    found = [
        *_approval_words(before, now, approvals),
        *(
            Weakening(Rule.POLICY, policy.name, f"policy `{policy.name}` would not be asked as it was")
            for names in policies.values()
            for policy in names
        ),
        *([Weakening(Rule.LOCK, "run", "the run would hold no lock at all")] if is_locked else ()),
        *(Weakening(Rule.LOCK, name, f"lock `{name}` would not be held by the run any more") for name in locks),
        *(
            Weakening(Rule.LOCK, node, f"`{node}` would not hold lock `{name}` any more")
            for node, names in node_locks.items()
            for name in names
        ),
        *(Weakening(Rule.SECRET, name, f"`{name}` would not be a secret any more") for name in undeclared),
        *(
            Weakening(Rule.SECRET, node, f"`{node}` would be handed the secret `{name}` as well")
            for node, names in withheld.items()
            for name in sorted(names)
        ),
    ]
    return Held(
        tuple(found), approvals, everywhere, locks, is_locked, node_locks, undeclared, withheld, policies=policies
    )


def approved_as(plan: Plan, rules: Iterable[ApprovalRule | None]) -> Plan:
    """The plan, each stage of which needs the approval that it asks for and what all these rules ask for besides."""
    rule = _stricter(*rules)
    if rule is None:
        return plan
    return replace(
        plan, stages=tuple(replace(stage, approval=_stricter(stage.approval, rule)) for stage in plan.stages)
    )


def promoted(held: Held, target: str, before: TargetRule, now: TargetRule) -> Held:
    """The same, with the targets that came before `target` and would not any more."""
    gone = tuple(name for name in before.after if name not in now.after)
    found = (Weakening(Rule.PROMOTION, target, f"`{target}` would not come after `{name}` any more") for name in gone)
    return replace(held, weakened=(*held.weakened, *found), after=gone)


def signed_before(held: Held, before: SigningRule, now: SigningRule, allowed_signers: str, is_same_file: bool) -> Held:
    """The same, with whose signatures counted, where other ones would count by now, or fewer would be asked for.

    `allowed_signers` is the text of the file before; `is_same_file`: it is the same now.
    """
    if before.policy is SigningPolicy.OFF or not before.is_declared:
        return held
    is_looser = _STRICTNESS[now.policy if now.is_declared else SigningPolicy.OFF] < _STRICTNESS[before.policy]
    others = not is_same_file or set(now.allowed_keys) - set(before.allowed_keys)
    if not is_looser and not others:
        return held
    text = f"receipts would not need the signatures of before any more (`{before.policy.value}`)"
    if not is_looser:
        text = "signatures of others than before would count: on other runs' receipts those of before still have to be"
    weakened = (*held.weakened, Weakening(Rule.SIGNING, "signing", text))
    return replace(held, weakened=weakened, signing=before, allowed_signers=allowed_signers)


_STRICTNESS = {SigningPolicy.OFF: 0, SigningPolicy.WARN: 1, SigningPolicy.REQUIRE: 2}


def kept_elsewhere(held: Held, before: StateRule, now: StateRule) -> Held:
    """The same, with that locks and records are where others look for them still."""
    if before.store is StateStore.LOCAL or replace(before, key=now.key) == now:
        return held
    text = f"locks, journals and receipts would not be kept in the `{before.store.value}` store of before any more"
    return replace(held, weakened=(*held.weakened, Weakening(Rule.LOCK, "state", text)), state=before)


def _approvals(before: Plan, now: Plan) -> tuple[dict[str, ApprovalRule], ApprovalRule | None]:
    """Rules of stages that ask for less by now, and of those that are gone: their steps may be anywhere."""
    looser: dict[str, ApprovalRule] = {}
    everywhere: ApprovalRule | None = None
    for stage, rule in before.approval_rules.items():
        if stage not in now.stages_by_id:
            everywhere = _stricter(everywhere, rule)
        elif _stricter(now.stages_by_id[stage].approval, rule) != now.stages_by_id[stage].approval:
            looser[stage] = rule
    return looser, everywhere


def _approval_words(before: Plan, now: Plan, looser: Mapping[str, ApprovalRule]) -> Iterator[Weakening]:
    for stage in before.approval_rules:
        if stage not in now.stages_by_id:
            text = f"stage `{stage}` needed approval and is gone: every stage needs it"
        elif stage in looser:
            less = "less approval" if now.stages_by_id[stage].approval else "no approval any more"
            text = f"stage `{stage}` would need {less}"
        else:
            continue
        yield Weakening(Rule.APPROVAL, stage, text)


def _policies(before: Plan, now: Plan) -> dict[str, tuple[Policy, ...]]:
    """Policies that are gone or are others by now; those of a stage that is gone are about the whole plan."""
    found: dict[str, tuple[Policy, ...]] = {}
    for policy in before.all_policies:
        stage = policy.stage if policy.stage in now.stages_by_id else ""
        there = now.stages_by_id[stage].policies if stage else now.policies
        if any(policy_effect(each) == policy_effect(policy) for each in there):
            continue
        taken = {each.name for each in there}
        name = policy.name + _BEFORE if policy.name in taken else policy.name
        found[stage] = (*found.get(stage, ()), replace(policy, name=name, stage=stage))
    return found


def _locks_of_run(before: Plan, now: Plan) -> tuple[str, ...]:
    """Locks that the run held, and those of steps that are gone where no step holds them any more."""
    held = {name for node in _every(now) for name in node.locks}
    there = {written_as(node.id) for node in _every(now)}
    gone = [name for node in _every(before) if written_as(node.id) not in there for name in node.locks]
    wanted = [*before.locks, *(name for name in gone if name not in held)]
    return tuple(name for name in dict.fromkeys(wanted) if name not in now.locks)


def _node_locks(before: Plan, now: Plan) -> Iterator[tuple[str, tuple[str, ...]]]:
    had = {written_as(node.id): node.locks for node in _every(before)}
    for node in _as_written(now).values():
        missing = tuple(name for name in had.get(written_as(node.id), ()) if name not in node.locks)
        if missing:
            yield written_as(node.id), missing


def _withheld(before: Plan, now: Plan) -> Iterator[tuple[str, frozenset[str]]]:
    """Secrets, of those declared before, that a node or a policy's program is handed and was not."""
    had = {name: frozenset(secrets_named(node)) for name, node in _as_written(before).items()}
    for name, node in _as_written(now).items():
        more = frozenset(secrets_named(node)) - had.get(name, frozenset())
        known = more & frozenset(before.secrets)
        if known:
            yield name, known
    named = {policy.asker: frozenset(secrets_of(policy)) for policy in before.all_policies}
    for policy in now.all_policies:
        known = (frozenset(secrets_of(policy)) - named.get(policy.asker, frozenset())) & frozenset(before.secrets)
        if known:
            yield policy.asker, known


def _as_written(plan: Plan) -> dict[str, Node]:
    """Nodes by the id they have in the declaration; of the members of a gather the last."""
    return {written_as(node.id): node for node in _every(plan)}


def _every(plan: Plan) -> Iterator[Node]:
    for node in (*plan.nodes, *plan.compensations):
        yield node
        yield from node.all_templates()


def _stricter(*rules: ApprovalRule | None) -> ApprovalRule | None:
    found: ApprovalRule | None = None
    for rule in rules:
        if rule is not None:
            found = rule if found is None else found.stricter(rule)
    return found


def _both(
    first: Mapping[str, _Held], more: Mapping[str, _Held], join: Callable[[_Held, _Held], _Held]
) -> dict[str, _Held]:
    return {**first, **{name: join(first[name], value) if name in first else value for name, value in more.items()}}


def _joined(first: tuple[str, ...], more: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*first, *more))) if more else first
