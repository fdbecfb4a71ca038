"""The slots that the actions of a preview have in common. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from shipway.action import SlotRule, SlotType

COMMON: Mapping[str, SlotRule] = {
    "lifecycle": SlotRule(SlotType.STRING, required=True, description="the lifecycle whose preview it is"),
    "target": SlotRule(SlotType.STRING, required=True, description="the target that is previewed"),
    "after": SlotRule(SlotType.LIST, description="how often each node was made whose making makes this one again"),
}
"""Whose a node is, and what opens it again."""

IN_PLACE: Mapping[str, SlotRule] = {
    "compute": SlotRule(SlotType.OBJECT, description="where the preview lives, as its node `compute` says"),
    "ssh": SlotRule(SlotType.OBJECT, description="`key` and `known_hosts` for the host that it lives on"),
}
"""Where it happens."""

VERIFY_SCRIPT: Mapping[str, SlotRule] = {
    "verify_script": SlotRule(
        SlotType.STRING, description="exits 0: it is there, 3: it is gone, else unknown", is_script=True
    ),
}
"""What is asked besides."""

REMOVE: Mapping[str, SlotRule] = {
    "remove": SlotRule(SlotType.BOOLEAN, default=False, description="take away what was made, and do nothing else"),
}
"""The other way round."""

STOP: Mapping[str, SlotRule] = {
    "stop": SlotRule(SlotType.BOOLEAN, default=False, description="end what runs and keep the rest"),
}
"""Half of that."""
