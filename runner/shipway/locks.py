"""Locks: who holds what, since when, and when somebody else may have it. Pure; milliseconds are integers since 1970, UTC.

A lock is a record in a store. Its fencing token grows with every new holder, also over a release, and never shrinks.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import asdict, replace

from shipway.canonical import Json
from shipway.errors import Reason, UnreachableError

PREFIX = "locks/"
"""What the keys of all locks begin with."""

_SCHEMA = 1


class KeptBy(StrEnum):
    """What keeps a lock held: a lease that has to be renewed, a living process of this machine, or a person's word."""

    LEASE = "lease"
    PROCESS = "process"
    HAND = "hand"


class Life(StrEnum):
    """What is known of a holder: its run goes on, it is over, nobody can tell, or there is nobody to ask."""

    GOES_ON = "goes-on"
    OVER = "over"
    UNKNOWN = "unknown"
    UNASKED = "unasked"


class Holder(Struct, frozen=True):
    """Who holds a lock. `id` is unique to each claim; texts are empty and `attempt` is 0 where they do not apply.

    `provider` is the CI's word (`github`), `run` and `attempt` are those of its run, `repository` is `owner/name`; `why` is
    what a person gave as the reason.
    """

    id: str
    actor: str = ""
    host: str = ""
    url: str = ""
    provider: str = ""
    repository: str = ""
    run: str = ""
    attempt: int = 0
    why: str = ""


class Lock(Struct, frozen=True):
    """One lock's record. `holder` is None where it is free; `until_ms` 0 where no time ends the hold.

    `token` is that of the present holder, or of the last one.
    """

    name: str
    token: int = 0
    holder: Holder | None = None
    kept_by: KeptBy = KeptBy.LEASE
    since_ms: int = 0
    until_ms: int = 0

    def is_of(self, holder: Holder) -> bool:
        """Whether that claim holds it."""
        return self.holder is not None and self.holder.id == holder.id


class Claim(Struct, frozen=True):
    """What is wanted: by whom, kept how, and for how long from the moment it is taken (0: no time ends it)."""

    holder: Holder
    kept_by: KeptBy
    lease_ms: int = 0


class LockHeld(UnreachableError):
    """Somebody else holds a lock that is needed: exit 6. `lock` is its record."""

    default_reason = Reason.LOCK_HELD

    def __init__(self, lock: Lock, life: Life, now_ms: int) -> None:
        super().__init__(f"{told(lock.name)} is held {holder_text(lock)}", next=_what_to_do(lock, life, now_ms))
        self.lock = lock


class LockLost(UnreachableError):
    """A lock that a run held is no longer its own, or could not be renewed in time: exit 6."""

    default_reason = Reason.LOCK_LOST


def lifecycle_lock(lifecycle: str, target: str) -> str:
    """The name of the lock that every run of a lifecycle on a target takes."""
    return f"lifecycle/{lifecycle}/{target}"


def named_lock(name: str) -> str:
    """The name of a lock that a declaration lists under `locks`."""
    return f"named/{name}"


def key_of(name: str) -> str:
    """Where a store keeps the lock."""
    return PREFIX + name


def told(name: str) -> str:
    """The lock as people call it."""
    kind, _, rest = name.partition("/")
    if kind == "lifecycle":
        lifecycle, _, target = rest.partition("/")
        return f"the lock of `{lifecycle}` on `{target}`"
    return f"the lock `{rest}`"


def may_take(lock: Lock, now_ms: int, life: Life) -> bool:
    """Whether somebody else may take the lock now.

    A lease must be over, and its holder's run too where that can be asked; a process must be gone; what a person holds is
    never taken. What is not known counts as held.
    """
    if lock.holder is None:
        return True
    match lock.kept_by:
        case KeptBy.HAND:
            return 0 < lock.until_ms <= now_ms
        case KeptBy.PROCESS:
            return life is Life.OVER
        case KeptBy.LEASE:
            return lock.until_ms <= now_ms and life in (Life.OVER, Life.UNASKED)


def taken(lock: Lock, claim: Claim, now_ms: int) -> Lock:
    """The record once `claim` has the lock; times count from `now_ms`, which is read when it is taken."""
    until_ms = now_ms + claim.lease_ms if claim.lease_ms else 0
    return Lock(lock.name, lock.token + 1, claim.holder, claim.kept_by, now_ms, until_ms)


def renewed(lock: Lock, claim: Claim, now_ms: int) -> Lock:
    """The record after a heartbeat. A clock that steps back shortens no lease."""
    return replace(lock, until_ms=max(lock.until_ms, now_ms + claim.lease_ms)) if claim.lease_ms else lock


def released(lock: Lock) -> Lock:
    """The record once nobody holds it; the token stays, so that the next one is greater."""
    return Lock(lock.name, lock.token)


def heartbeat_ms(lease_ms: int) -> int:
    """How long after a heartbeat the next one is due: a third of the lease."""
    return lease_ms // 3


def last_moment_ms(until_ms: int, lease_ms: int) -> int:
    """When a holder that could not renew has to stop: a sixth of the lease before its end, to end what it runs."""
    return until_ms - lease_ms // 6


def lock_bytes(lock: Lock) -> bytes:
    """The record as a store keeps it: JSON that a person can read."""
    holder = None if lock.holder is None else asdict(lock.holder)
    document = {
        "kind": "lock",
        "schema": _SCHEMA,
        "lock": lock.name,
        "token": lock.token,
        "holder": holder,
        "kept_by": lock.kept_by.value,
        "since_ms": lock.since_ms,
        "until_ms": lock.until_ms,
    }
    return (json.dumps(document, indent=1) + "\n").encode()


def load_lock(content: bytes) -> Lock:
    """The record that `lock_bytes` wrote. Raises ValueError for anything else, that of a later version included."""
    try:
        data: Json = json.loads(content)
    except RecursionError as error:
        raise ValueError("no lock, but something nested very deeply") from error
    if not isinstance(data, Mapping) or data.get("kind") != "lock" or data.get("schema") != _SCHEMA:
        raise ValueError("no lock of this version")
    try:
        return Lock(
            name=str(data["lock"]),
            token=_integer(data["token"]),
            holder=_holder(data["holder"]),
            kept_by=KeptBy(str(data["kept_by"])),
            since_ms=_integer(data["since_ms"]),
            until_ms=_integer(data["until_ms"]),
        )
    except KeyError as error:
        raise ValueError(f"no whole lock: it has no {error}") from error


def lock_json(lock: Lock) -> dict[str, Json]:
    """The lock for other programs: times as RFC 3339, null where there is none."""
    holder = lock.holder
    return {
        "lock": lock.name,
        "held": holder is not None,
        "token": lock.token,
        "kept_by": lock.kept_by.value if holder else None,
        "since": moment(lock.since_ms) if holder else None,
        "until": moment(lock.until_ms) if holder and lock.until_ms else None,
        "actor": holder.actor if holder else None,
        "host": holder.host if holder else None,
        "url": holder.url if holder else None,
        "run": holder.run if holder else None,
        "attempt": holder.attempt if holder else None,
        "why": holder.why if holder else None,
    }


def holder_text(lock: Lock) -> str:
    """By whom a lock is held, where, since when and why, in words that follow "held"."""
    holder = lock.holder
    if holder is None:
        return "by nobody"
    parts = [f"by {holder.actor or 'somebody'}"]
    if holder.url:
        parts.append(f"in {holder.url}" + (f" (attempt {holder.attempt})" if holder.attempt else ""))
    if holder.host:
        parts.append(f"on {holder.host}")
    parts.append(f"since {moment(lock.since_ms)}")
    return " ".join(parts) + (f": {holder.why}" if holder.why else "")


def moment(unix_ms: int) -> str:
    """Milliseconds since 1970 as RFC 3339 in UTC, to the second."""
    return f"{datetime.fromtimestamp(unix_ms // 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"


def unlock_command(name: str) -> str:
    """What a person types to give the lock back."""
    return f"`shipway unlock {_arguments(name)}`"


def _what_to_do(lock: Lock, life: Life, now_ms: int) -> str:
    command = unlock_command(lock.name)
    if lock.kept_by is KeptBy.HAND:
        return f"ask whoever holds it, or give it back with {command}"
    if lock.kept_by is KeptBy.PROCESS:
        return "wait for that run to end, then run again; `shipway locks` shows who holds what"
    if lock.until_ms > now_ms and life is not Life.GOES_ON:
        seconds = -(-(lock.until_ms - now_ms) // 1000)
        return f"wait for that run to end; if it is gone, its lease ends in {seconds} s: run again then"
    if life is Life.UNKNOWN:
        return f"whether that run goes on cannot be asked from here; if it is over, {command} gives the lock back"
    return "wait for that run to end, then run again; `shipway locks` shows who holds what"


def _arguments(name: str) -> str:
    kind, _, rest = name.partition("/")
    return f"--target {rest.partition('/')[2]}" if kind == "lifecycle" else rest


def _holder(data: Json) -> Holder | None:
    if data is None:
        return None
    if not isinstance(data, Mapping):
        raise ValueError("the holder of a lock is no object")
    return Holder(
        id=str(data["id"]),
        actor=str(data["actor"]),
        host=str(data["host"]),
        url=str(data["url"]),
        provider=str(data["provider"]),
        repository=str(data["repository"]),
        run=str(data["run"]),
        attempt=_integer(data["attempt"]),
        why=str(data["why"]),
    )


def _integer(value: Json) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"`{value}` is no integer")
    return value
