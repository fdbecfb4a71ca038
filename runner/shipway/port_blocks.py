"""Which ports of a host belong to which environment: blocks of a hundred, held whole, and fixed ports in anybody's. Pure."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from shipway.canonical import Json, canonical_bytes, items_of, object_of
from shipway.preview_names import BLOCK, FIRST_PORT, LAST_PORT, preferred_block

_SCHEMA = 1


class PortsRefused(Exception):
    """Ports that cannot be leased; the text says which, and who has them."""


class Owner(Struct, frozen=True, order=True):
    """Whose a lease is: the environment of a lifecycle and target."""

    lifecycle: str
    target: str

    def __str__(self) -> str:
        return f"`{self.target}` of `{self.lifecycle}`"


class Lease(Struct, frozen=True):
    """One port, leased by `owner` for its service `name` since `at_ms` (Unix milliseconds)."""

    port: int
    name: str
    owner: Owner
    at_ms: int = 0


class Block(Struct, frozen=True):
    """A hundred ports from `first` on. `holder` may lease any that are free; anybody may hold a fixed port in it."""

    first: int
    holder: Owner | None = None
    leases: tuple[Lease, ...] = ()

    def of(self, owner: Owner) -> bool:
        """Whether that environment has anything in it."""
        return self.holder == owner or any(lease.owner == owner for lease in self.leases)


class Wanted(Struct, frozen=True):
    """What an environment needs: a port for each of `names`, those in `fixed` exactly these."""

    owner: Owner
    names: Sequence[str]
    fixed: Mapping[str, int]
    at_ms: int = 0


def settled(blocks: Mapping[int, Block | None], wanted: Wanted, busy: Collection[int]) -> dict[int, Block]:
    """The blocks that change so that `wanted` is leased, by their first port. Raises PortsRefused.

    `blocks` are all that were ever used, None for one that cannot be read: it counts as held. `busy` are the ports on which
    something listens on the host now. What is leased already stays as it is; a name gets the first free port of the block
    that the target prefers, or of the next one that nobody holds and that has room.
    """
    _check_fixed(blocks, wanted, busy)
    kept = {name: port for name, port in leased(blocks, wanted.owner).items() if _may_stay(name, port, blocks, wanted)}
    missing = sorted(name for name in wanted.names if name not in kept and name not in wanted.fixed)
    taken = {lease.port for block in blocks.values() if block for lease in block.leases if lease.owner != wanted.owner}
    taken |= {*busy, *wanted.fixed.values(), *kept.values()}
    found, held = _assigned(blocks, wanted, missing, taken)
    return _changes(blocks, wanted, {**kept, **found, **wanted.fixed}, held)


def leased(blocks: Mapping[int, Block | None], owner: Owner) -> dict[str, int]:
    """The ports of an environment by name."""
    leases = (lease for block in blocks.values() if block for lease in block.leases)
    return {lease.name: lease.port for lease in leases if lease.owner == owner}


def without(block: Block, owner: Owner) -> Block:
    """The block once an environment has nothing in it any more."""
    return Block(
        block.first,
        None if block.holder == owner else block.holder,
        tuple(lease for lease in block.leases if lease.owner != owner),
    )


def first_of(port: int) -> int:
    """The first port of the block that a port is in."""
    return port // BLOCK * BLOCK


def _may_stay(name: str, port: int, blocks: Mapping[int, Block | None], wanted: Wanted) -> bool:
    """Whether a port leased before is still right: its name is wanted, is not fixed, and it lies in a block of its own."""
    block = blocks.get(first_of(port))
    return name in wanted.names and name not in wanted.fixed and block is not None and block.holder == wanted.owner


def _check_fixed(blocks: Mapping[int, Block | None], wanted: Wanted, busy: Collection[int]) -> None:
    own = leased(blocks, wanted.owner)
    names: dict[int, str] = {port: name for name, port in own.items() if name in wanted.names}
    for name, port in sorted(wanted.fixed.items()):
        other = names.get(port, name)
        if other != name:
            raise PortsRefused(f"port {port} of `{name}` is the port of `{other}` too")
        names[port] = name
        block = blocks.get(first_of(port), Block(first_of(port)))
        if block is None:
            raise PortsRefused(f"whether port {port} of `{name}` is leased cannot be read")
        holder = next((each for each in block.leases if each.port == port and each.owner != wanted.owner), None)
        if holder is not None:
            raise PortsRefused(
                f"port {port} of `{name}` is leased by `{holder.name}` of the environment {holder.owner}"
            )
        if port in busy and port not in own.values():
            raise PortsRefused(f"port {port} of `{name}` is in use on the host by something else")


def _assigned(
    blocks: Mapping[int, Block | None], wanted: Wanted, missing: Sequence[str], taken: Collection[int]
) -> tuple[dict[str, int], set[int]]:
    """Ports for the names that have none, and the blocks that are held then."""
    own = sorted(first for first, block in blocks.items() if block is not None and block.holder == wanted.owner)
    left = list(missing)
    found: dict[str, int] = {}
    for first in own:
        for port in _free(first, taken):
            if left:
                found[left.pop(0)] = port
    if not left and (own or not missing):
        return found, set(own)
    if len(left) > BLOCK:
        raise PortsRefused(f"{len(left)} names need a port, and a block has {BLOCK}")
    for first in _candidates(wanted.owner.target):
        block = blocks.get(first, Block(first))
        free = list(_free(first, taken))
        if block is not None and block.holder is None and len(free) >= len(left):
            return {**found, **dict(zip(left, free, strict=False))}, {*own, first}
    raise PortsRefused(
        f"no block of ports with {len(left)} free ones is left between {FIRST_PORT} and {LAST_PORT} on the host"
    )


def _candidates(target: str) -> Iterator[int]:
    """Every block, the one that the target prefers first, then those behind it, round about."""
    preferred, size = preferred_block(target), LAST_PORT + 1 - FIRST_PORT
    for step in range(0, size, BLOCK):
        yield FIRST_PORT + (preferred - FIRST_PORT + step) % size


def _free(first: int, taken: Collection[int]) -> Iterator[int]:
    return (port for port in range(first, first + BLOCK) if port not in taken)


def _changes(
    blocks: Mapping[int, Block | None], wanted: Wanted, ports: Mapping[str, int], held: set[int]
) -> dict[int, Block]:
    changes: dict[int, Block] = {}
    for first in sorted({*blocks, *held, *map(first_of, ports.values())}):
        before = blocks.get(first, Block(first))
        if before is None:
            continue
        since = {(lease.name, lease.port): lease.at_ms for lease in before.leases if lease.owner == wanted.owner}
        own = [
            Lease(port, name, wanted.owner, since.get((name, port), wanted.at_ms))
            for name, port in ports.items()
            if first_of(port) == first
        ]
        rest = without(before, wanted.owner)
        leases = tuple(sorted([*rest.leases, *own], key=lambda lease: lease.port))
        after = replace(rest, leases=leases, holder=wanted.owner if first in held else rest.holder)
        if after != before:
            changes[first] = after
    return changes


def block_bytes(block: Block) -> bytes:
    """The block as a store keeps it, in canonical form."""
    leases: list[Json] = [
        {
            "port": lease.port,
            "name": lease.name,
            "lifecycle": lease.owner.lifecycle,
            "target": lease.owner.target,
            "at_ms": lease.at_ms,
        }
        for lease in block.leases
    ]
    holder: Json = None
    if block.holder is not None:
        holder = {"lifecycle": block.holder.lifecycle, "target": block.holder.target}
    document: dict[str, Json] = {"kind": "ports", "schema": _SCHEMA, "first": block.first, "holder": holder}
    return canonical_bytes({**document, "leases": leases}) + b"\n"


def load_block(content: bytes) -> Block:
    """The block that `block_bytes` wrote. Raises ValueError for anything else, that of a later version included."""
    try:
        data = object_of(json.loads(content))
        if (data["kind"], data["schema"]) != ("ports", _SCHEMA):
            raise ValueError("no ports of this version")
        holder = data["holder"]
        return Block(
            first=_port(data["first"]),
            holder=None if holder is None else _owner(object_of(holder)),
            leases=tuple(_lease(object_of(each)) for each in items_of(data["leases"])),
        )
    except (AssertionError, KeyError, RecursionError) as error:
        raise ValueError(f"no whole record of ports: {error}") from error


def _lease(data: Mapping[str, Json]) -> Lease:
    return Lease(_port(data["port"]), str(data["name"]), _owner(data), _port(data["at_ms"]))


def _owner(data: Mapping[str, Json]) -> Owner:
    return Owner(str(data["lifecycle"]), str(data["target"]))


def _port(value: Json) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"`{value}` is no integer")
    return value
