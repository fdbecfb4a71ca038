"""What is left over of environments that are no more: whose it was, what shows that, what takes it away. Pure; touches nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import StrEnum
from shlex import quote

from msgspec import Struct

from shipway.durations import format_ms
from shipway.environment_record import EnvironmentRecord
from shipway.port_blocks import Owner

GC_COMMAND = "shipway preview gc --remove"
"""Takes away what no other command does: records of our own store, deployments."""


class Kind(StrEnum):
    """What can be left over, in the order in which it goes: what runs, then what it runs in, then what is only noted down."""

    PROCESS = "process"
    CONTAINERS = "containers"
    CHECKOUT = "checkout"
    MACHINE = "machine"
    DEPLOYMENT = "deployment"
    LEASE = "lease"
    LOCK = "lock"


class Found(Struct, frozen=True):
    """One thing that bears the mark of an environment. `evidence` is what shows whose it is.

    `name` tells it from others of its kind: a process group, a path, a compose project, a machine as its hook calls it, a
    host with ports, a lock. `since_ms` is Unix time, None where nobody can tell. `command` takes it away.
    """

    kind: Kind
    name: str
    owner: Owner
    evidence: str
    command: str
    since_ms: int | None = None


class Leftovers(Struct, frozen=True):
    """What has no owner any more, and what could not be looked at, in words: nothing follows from that."""

    found: tuple[Found, ...]
    unknown: tuple[str, ...] = ()


def leftovers(
    found: Iterable[Found],
    lifecycle: str,
    records: Sequence[EnvironmentRecord],
    *,
    unread: Collection[str] = (),
    busy: Collection[str] = (),
    unknown: Sequence[str] = (),
) -> Leftovers:
    """What of `found` was an environment's of exactly this lifecycle that is no more, ordered by kind and name.

    `records` are all of the lifecycle. Of a target whose record is among `unread`, that is of a record which cannot be read,
    and of one that is `busy`, that a run is at now, nothing is left over.
    """
    kept = {record.target for record in records if record.is_alive} | {*unread, *busy}
    order = list(Kind)
    ours = [each for each in found if each.owner.lifecycle == lifecycle and each.owner.target not in kept]
    return Leftovers(
        tuple(sorted(ours, key=lambda each: (order.index(each.kind), each.owner.target, each.name))), tuple(unknown)
    )


def told(found: Found, now_ms: int) -> str:
    """One line for people: what, of whom, since when, what shows that, and how it goes."""
    age = (
        "of unknown age"
        if found.since_ms is None
        else f"{format_ms(max(0, now_ms - found.since_ms) // 1000 * 1000)} old"
    )
    return f"{found.kind.value} {found.name} of {found.owner}, {age}: {found.evidence}; {found.command or 'by hand'}"


def found_json(found: Found, now_ms: int) -> dict[str, str | int | None]:
    """The same for programs."""
    return {
        "kind": found.kind.value,
        "name": found.name,
        "lifecycle": found.owner.lifecycle,
        "target": found.owner.target,
        "evidence": found.evidence,
        "age_ms": None if found.since_ms is None else max(0, now_ms - found.since_ms),
        "command": found.command,
    }


def machines_in(text: str, destroy: str) -> list[Found]:
    """The machines that the hook `list` printed: a line each, `NAME LIFECYCLE/TARGET`; a line of any other form is nobody's.

    `destroy` is the hook that takes one away, empty where there is none.
    """
    found = []
    for line in text.splitlines():
        name, _, mark = line.strip().partition(" ")
        owner = owner_of(mark.strip().partition(" ")[0])
        if owner is not None and name:
            evidence = f"`compute.list` says that it is of {owner.lifecycle}/{owner.target}"
            found.append(Found(Kind.MACHINE, name, owner, evidence, destroy_command(owner, destroy)))
    return found


def owner_of(mark: str) -> Owner | None:
    """Whose a mark is: `LIFECYCLE/TARGET`, whatever stands behind another `/`. None for what is no mark."""
    parts = mark.split("/")
    return Owner(parts[0], parts[1]) if len(parts) >= 2 and parts[0] and parts[1] else None


def variables_of(owner: Owner) -> Mapping[str, str]:
    """What a `destroy` hook is told of the environment."""
    return {
        "SHIPWAY_LIFECYCLE": owner.lifecycle,
        "SHIPWAY_TARGET": owner.target,
        "SHIPWAY_ACTION": "destroy",
    }


def destroy_command(owner: Owner, destroy: str, **more: str) -> str:
    """What a person types to run a hook `destroy`, with what it is told of the environment; empty where there is none."""
    if not destroy:
        return ""
    given = " ".join(f"{name}={quote(value)}" for name, value in {**variables_of(owner), **more}.items())
    return f"{given} sh -c {quote(destroy)}"
