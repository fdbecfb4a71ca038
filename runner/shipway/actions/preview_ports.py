"""The action `preview.ports`: leases a port for each name on the host that binds it, and gives them back."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from contextlib import suppress

from shipway.action import ActionFailed, PlanWork, SlotRule, SlotType, Work
from shipway.canonical import Json, mapping
from shipway.checkpoint_store import told_as_failure
from shipway.checkpoints import MADE, Made
from shipway.environment_record import Checkpoint
from shipway.nodes import Verified
from shipway.port_blocks import Owner, PortsRefused, Wanted, leased, settled
from shipway.port_claims import claim, claimed_by_others, give_up
from shipway.port_leases import PortLeases, listening
from shipway.preview_action import PreviewAction
from shipway.preview_slots import COMMON, IN_PLACE, REMOVE
from shipway.reaching import access_of, outside_of

_TRIES = 20


class PreviewPorts(PreviewAction):
    """Leases ports. A name that has one keeps it; what is fixed gets exactly that, or is refused naming who has it."""

    name = "preview.ports"
    slots: Mapping[str, SlotRule] = {
        **COMMON,
        **IN_PLACE,
        "names": SlotRule(SlotType.LIST, required=True, description="what needs a port: each is an output"),
        "fixed": SlotRule(SlotType.OBJECT, default={}, description="the ports of names that need a certain one"),
        **REMOVE,
    }
    removal = "the leases are given back"
    is_one_step = True

    def make(self, work: Work, before: Checkpoint | None) -> Made:
        """Lease them."""
        wanted = _wanted(work)
        access = access_of(work)
        outside, host = outside_of(access), _host(work)
        own = before.outputs if before is not None else {}
        busy = listening(access) | (claimed_by_others(outside, access.root) - set(_ports(own).values()))
        try:
            for _ in range(_TRIES):
                ports = _taken(work, host, wanted, busy)
                met = claim(outside, access.root, ports.values())
                if not met:
                    break
                # An environment whose leases lie in another store was faster.
                busy |= met
                _given_back(work, wanted)
        except PortsRefused as error:
            raise ActionFailed(f"{error} (host `{host}`)", code="ports_refused", is_permanent=True) from error
        moved = [name for name, port in ports.items() if own.get(name, port) != port]
        # A name more changes nothing for the others: what uses them goes on.
        return Made(ports, is_anew=before is None or bool(moved))

    def look(self, work: Work | PlanWork, checkpoint: Checkpoint) -> Verified:
        """Whether the leases are what they were."""
        if work.shelf is None:
            return Verified.HOLDS
        with told_as_failure():
            there = PortLeases(work.shelf.store).of(_host(work), _wanted(work).owner)
        return Verified.HOLDS if there == _ports(checkpoint.outputs) else Verified.GONE

    def remove(self, work: Work, checkpoint: Checkpoint | None) -> bool:
        """Give them back."""
        with suppress(ActionFailed):  # a claim whose place is gone counts for nothing
            access = access_of(work)
            give_up(outside_of(access), access.root)
        return _given_back(work, _wanted(work)) or (work.shelf is None and checkpoint is not None)


def _taken(work: Work, host: str, wanted: Wanted, busy: frozenset[int]) -> dict[str, int]:
    if work.shelf is None:
        return leased(settled({}, wanted, busy), wanted.owner)
    with told_as_failure():
        leases = PortLeases(work.shelf.store)
        leases.release(wanted.owner, but=host)
        return leases.take(host, wanted, busy)


def _given_back(work: Work, wanted: Wanted) -> bool:
    if work.shelf is None:
        return False
    with told_as_failure():
        return PortLeases(work.shelf.store).release(wanted.owner)


def _ports(outputs: Mapping[str, Json]) -> dict[str, int]:
    return {name: port for name, port in outputs.items() if name != MADE and isinstance(port, int)}


def _wanted(work: Work | PlanWork) -> Wanted:
    names, fixed = work.inputs.get("names"), mapping(work.inputs.get("fixed"))
    owner = Owner(str(work.inputs["lifecycle"]), str(work.inputs["target"]))
    at_ms = work.started_ms if isinstance(work, Work) else 0
    listed = [str(name) for name in names] if isinstance(names, list | tuple) else []
    return Wanted(owner, listed, {name: _port(name, port) for name, port in fixed.items()}, at_ms)


def _port(name: str, port: Json) -> int:
    if not isinstance(port, int) or isinstance(port, bool) or not 0 < port < 65_536:
        raise ActionFailed(f"the fixed port of `{name}` is `{port}`, which is none", is_permanent=True)
    return port


def _host(work: Work | PlanWork) -> str:
    """Where the ports are bound: this machine by its name, so that others that share the store have leases of their own."""
    compute = mapping(work.inputs.get("compute"))
    if compute.get("kind") != "ssh":
        return platform.node() or "localhost"
    port = compute.get("port") or 22
    return f"{compute.get('host')}" + ("" if port == 22 else f":{port}")
