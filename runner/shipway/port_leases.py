"""Leases of ports in a store, by the host that binds them: a record for each block, changed by whoever saw it last."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from msgspec import Struct

from shipway.compute_access import Access
from shipway.port_blocks import Block, Owner, Wanted, block_bytes, leased, load_block, settled, without
from shipway.store import Store, StoreError

PREFIX = "ports/"
"""What the keys of all leases begin with."""

_TRIES = 200

# Ports as hexadecimal digits where Linux tells them, else the lines of netstat.
_LISTENING = r"""
if [ -r /proc/net/tcp ]; then
    echo hex
    sed -n 's/^ *[0-9]*: [0-9A-F]*:\([0-9A-F]*\) [0-9A-F:]* 0A .*/\1/p' /proc/net/tcp /proc/net/tcp6 2>/dev/null
    true
else
    echo netstat
    netstat -an
fi
"""
_NETSTAT = re.compile(r"tcp\S*\s+\d+\s+\d+\s+\S*[.:](\d+)\s.*\bLISTEN\b")


class HostLeases(Struct, frozen=True):
    """The blocks of one host, by first port; None for one whose record cannot be read."""

    host: str
    blocks: Mapping[int, Block | None]


class PortLeases:
    """The leases of the hosts in a store. Each method raises StoreError where it cannot be reached."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def of(self, host: str, owner: Owner) -> dict[str, int]:
        """The ports that an environment has leased on a host, by name."""
        return leased(self._read(host)[0], owner)

    def take(self, host: str, wanted: Wanted, busy: Collection[int]) -> dict[str, int]:
        """Lease what is wanted, or what of it is not leased yet; every port by name. Raises PortsRefused."""
        for _ in range(_TRIES):
            blocks, versions = self._read(host)
            changes = settled(blocks, wanted, busy)
            if not changes:
                return leased(blocks, wanted.owner)
            # What was taken already is found to be ours by the next try.
            if all(self._swap(host, first, versions.get(first), block) for first, block in changes.items()):
                return leased({**blocks, **changes}, wanted.owner)
        raise StoreError(f"the leases of `{host}` in {self._store.name} change all the time", next="run again")

    def release(self, owner: Owner, *, but: str = "") -> bool:
        """Give back everything that an environment has leased, on whatever host, except on `but`; whether there was anything."""
        was_any = False
        for _ in range(_TRIES):
            owned = [
                (key, kept.version, block)
                for key, kept in self._store.entries(PREFIX).items()
                if (block := _loaded(kept.content)) is not None
                and block.of(owner)
                and not (but and key.startswith(_key(but)))
            ]
            if not owned:
                return was_any
            was_any = True
            for key, version, block in owned:
                self._store.swap(key, version, block_bytes(without(block, owner)))
        raise StoreError(f"the leases in {self._store.name} change all the time", next="run again")

    def all(self) -> list[HostLeases]:
        """Everything that is leased, by host; hosts as their keys write them."""
        found: dict[str, dict[int, Block | None]] = {}
        for key, kept in self._store.entries(PREFIX).items():
            host, _, first = key.removeprefix(PREFIX).partition("/")
            if first.isdigit():
                found.setdefault(host, {})[int(first)] = _loaded(kept.content)
        return [HostLeases(host, blocks) for host, blocks in found.items()]

    def _read(self, host: str) -> tuple[dict[int, Block | None], dict[int, str]]:
        kept = {
            int(key.removeprefix(_key(host))): each
            for key, each in self._store.entries(_key(host)).items()
            if key.removeprefix(_key(host)).isdigit()
        }
        blocks = {first: _loaded(each.content) for first, each in kept.items()}
        return blocks, {first: each.version for first, each in kept.items()}

    def _swap(self, host: str, first: int, before: str | None, block: Block) -> bool:
        return self._store.swap(f"{_key(host)}{first}", before, block_bytes(block)) is not None


def listening(access: Access) -> frozenset[int]:
    """The TCP ports on which something listens where `access` leads. Raises ActionFailed where that cannot be asked."""
    lines = access.run(_LISTENING).text.splitlines()
    if lines[:1] == ["hex"]:
        return frozenset(int(line, 16) for line in lines[1:])
    found = (_NETSTAT.match(line) for line in lines[1:])
    return frozenset(int(each[1]) for each in found if each)


def _loaded(content: bytes) -> Block | None:
    try:
        return load_block(content)
    except ValueError:
        return None


def _key(host: str) -> str:
    escaped = re.sub(r"[^a-z0-9.-]", lambda found: f"-{ord(found[0]):x}-", host.lower())
    return f"{PREFIX}{escaped}/"
