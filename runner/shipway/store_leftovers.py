"""What a store holds of environments: their leases of ports, and locks that nobody holds any more though nobody gave them back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from shipway.locks import PREFIX, KeptBy, load_lock, lock_bytes, released, unlock_command
from shipway.port_blocks import Owner
from shipway.port_leases import PortLeases
from shipway.store import Store
from shipway.sweeping import GC_COMMAND, Found, Kind


def leases(store: Store, lifecycle: str) -> Iterator[Found]:
    """What environments of the lifecycle have leased, by host. Raises StoreError."""
    for host in PortLeases(store).all():
        held: dict[Owner, list[int]] = {}
        since: dict[Owner, int] = {}
        for block in host.blocks.values():
            for lease in block.leases if block is not None else ():
                held.setdefault(lease.owner, []).append(lease.port)
                since[lease.owner] = min(since.get(lease.owner, lease.at_ms), lease.at_ms)
            if block is not None and block.holder is not None:
                held.setdefault(block.holder, [])
        for owner, ports in held.items():
            if owner.lifecycle == lifecycle:
                listed = ", ".join(map(str, sorted(ports))) or "a block"
                evidence = f"the lease of {listed} on {host.host}"
                yield Found(Kind.LEASE, f"{host.host}/{listed}", owner, evidence, GC_COMMAND, since.get(owner))


def locks(store: Store, lifecycle: str, now_ms: int) -> Iterator[Found]:
    """Locks of targets whose hold is over by itself; one that is held is a run's, or a person's."""
    prefix = f"{PREFIX}lifecycle/{lifecycle}/"
    presence = store.presence
    for key, kept in store.entries(prefix).items():
        with suppress(ValueError):
            lock = load_lock(kept.content)
            if lock.holder is None or lock.kept_by is KeptBy.HAND:
                continue
            is_process = lock.kept_by is KeptBy.PROCESS
            if is_process and (presence is None or presence.is_present(lock.holder.id)):
                continue
            if not is_process and now_ms < lock.until_ms:
                continue
            owner = Owner(lifecycle, key.removeprefix(prefix))
            how = "the process that held it is gone" if is_process else "its lease is over"
            evidence = f"held by {lock.holder.actor or 'somebody'}, and {how}"
            yield Found(Kind.LOCK, lock.name, owner, evidence, unlock_command(lock.name).strip("`"), lock.since_ms)


def unlock(found: Found, store: Store) -> None:
    """Give a lock back, if nobody took it since it was found. Raises StoreError."""
    key = PREFIX + found.name
    kept = store.read(key)
    if kept is not None:
        lock = load_lock(kept.content)
        if lock.since_ms == found.since_ms:
            store.swap(key, kept.version, lock_bytes(released(lock)))
