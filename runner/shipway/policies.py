"""Policies as values: what they ask, and what was decided by them. Pure; decides nothing."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct, field

from shipway.canonical import Json, integer_of, integer_or_none, items_of, object_of, text_or_none
from shipway.durations import parse_ms
from shipway.errors import Position

DEFAULT_TIMEOUT_MS = 60_000
"""How long a policy's program may take where it does not say."""


class Policy(Struct, frozen=True):
    """One entry of `policy:`, by its name. `stage` empty: it is about the whole plan, else about that stage.

    Of the others exactly one is set: `run` (a program that reads the plan), `deny_delete`, `only_actions`, `deny_opaque`,
    `freeze`. `env` holds templates, as written or, in a plan, with what was known put in. `targets` are patterns, empty: all.
    """

    name: str
    position: Position
    stage: str = ""
    targets: tuple[str, ...] = ()
    run: str | None = None
    timeout_ms: int = DEFAULT_TIMEOUT_MS
    env: Mapping[str, str] = field(default_factory=dict)
    deny_delete: bool = False
    unless_label: str | None = None
    only_actions: tuple[str, ...] = ()
    deny_opaque: bool = False
    freeze: tuple[str, ...] = ()
    timezone: str = "UTC"

    @property
    def asker(self) -> str:
        """What its program is called where a node has its id: no stage has a `.` in its name."""
        return f"policy/{self.stage or 'plan'}.{self.name}"


class Decision(StrEnum):
    """What a policy says. `error`: it came to no verdict, which counts as no. `later`: it is decided when executed."""

    ALLOW = "allow"
    WARN = "warn"
    LATER = "later"
    DENY = "deny"
    ERROR = "error"


class Verdict(Struct, frozen=True):
    """What one policy decided, with its messages, redacted."""

    policy: str
    stage: str
    decision: Decision
    messages: tuple[str, ...] = ()

    @property
    def refuses(self) -> bool:
        """Whether the plan may not be executed because of it."""
        return self.decision in (Decision.DENY, Decision.ERROR)

    @property
    def words(self) -> str:
        """The policy's name in backticks, and of which stage."""
        return f"`{self.policy}` of stage `{self.stage}`" if self.stage else f"`{self.policy}`"


class BreakGlass(Struct, frozen=True):
    """That policies were overridden: why, by whom, by which right (`admin`, `maintain`, `terminal`), and which of them.

    `account` is the forge's numeric id of that person, None where there is no forge.
    """

    reason: str
    by: str
    right: str
    account: int | None = None
    overridden: tuple[Verdict, ...] = ()


def declared_policy(name: str, data: Mapping[str, Json], env: Mapping[str, str], at: Position, stage: str) -> Policy:
    """The entry `name` of `policy:`, after the schema has found nothing wrong with it. `env` is as spelled."""
    timeout = data.get("timeout")
    return Policy(
        name=name,
        position=at,
        stage=stage,
        targets=_texts(data.get("targets", [])),
        run=text_or_none(data.get("run")),
        timeout_ms=DEFAULT_TIMEOUT_MS if timeout is None else parse_ms(str(timeout)) or DEFAULT_TIMEOUT_MS,
        env=env,
        deny_delete=data.get("deny_delete") is True,
        unless_label=text_or_none(data.get("unless_label")),
        only_actions=_texts(data.get("only_actions", [])),
        deny_opaque=data.get("deny_opaque") is True,
        freeze=_texts(data.get("freeze", [])),
        timezone=str(data.get("timezone", "UTC")),
    )


def policy_effect(policy: Policy) -> dict[str, Json]:
    """All of a policy but where it stands: as it is part of a plan's effect. Whom it is about is known there."""
    return {
        "name": policy.name,
        "run": policy.run,
        "timeout_ms": policy.timeout_ms,
        "env": dict(policy.env),
        "deny_delete": policy.deny_delete,
        "unless_label": policy.unless_label,
        "only_actions": list(policy.only_actions),
        "deny_opaque": policy.deny_opaque,
        "freeze": list(policy.freeze),
        "timezone": policy.timezone,
    }


def policy_json(policy: Policy) -> dict[str, Json]:
    """A policy as it stands in a plan."""
    at = policy.position
    return {**policy_effect(policy), "position": [at.file, at.line, at.column]}


def policy_from_json(data: Mapping[str, Json], stage: str = "") -> Policy:
    """The policy that `policy_json` wrote."""
    file, line, column = items_of(data["position"])
    return Policy(
        name=str(data["name"]),
        position=Position(str(file), integer_of(line), integer_of(column)),
        stage=stage,
        run=text_or_none(data["run"]),
        timeout_ms=integer_of(data["timeout_ms"]),
        env={name: str(text) for name, text in object_of(data["env"]).items()},
        deny_delete=data["deny_delete"] is True,
        unless_label=text_or_none(data["unless_label"]),
        only_actions=_texts(data["only_actions"]),
        deny_opaque=data["deny_opaque"] is True,
        freeze=_texts(data["freeze"]),
        timezone=str(data["timezone"]),
    )


def verdict_json(verdict: Verdict) -> dict[str, Json]:
    """`{"policy", "stage", "decision", "messages"}`; `stage` is null where it is about the whole plan."""
    return {
        "policy": verdict.policy,
        "stage": verdict.stage or None,
        "decision": verdict.decision.value,
        "messages": list(verdict.messages),
    }


def verdict_from_json(data: Mapping[str, Json]) -> Verdict:
    """The verdict that `verdict_json` wrote."""
    decision = Decision(str(data["decision"]))
    return Verdict(str(data["policy"]), text_or_none(data["stage"]) or "", decision, _texts(data["messages"]))


def break_glass_json(broken: BreakGlass | None) -> Json:
    """`{"reason", "by", "right", "account", "overridden"}`, or None."""
    if broken is None:
        return None
    return {
        "reason": broken.reason,
        "by": broken.by,
        "right": broken.right,
        "account": broken.account,
        "overridden": [verdict_json(verdict) for verdict in broken.overridden],
    }


def break_glass_from_json(data: Json) -> BreakGlass | None:
    """What `break_glass_json` wrote."""
    if data is None:
        return None
    found = object_of(data)
    return BreakGlass(
        reason=str(found["reason"]),
        by=str(found["by"]),
        right=str(found["right"]),
        account=integer_or_none(found["account"]),
        overridden=tuple(verdict_from_json(object_of(each)) for each in items_of(found["overridden"])),
    )


def _texts(value: Json) -> tuple[str, ...]:
    return tuple(map(str, items_of(value)))
