"""What the hook sends, to a real socket."""

from __future__ import annotations

import socket

from shipway_json_settings.hook import Statsd

from shipway.hook import HookEvent
from shipway.hooks import HOOK_EVENTS


def test_each_event_is_counted_and_timed() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(60)
        hook = Statsd()
        hook.address = receiver.getsockname()
        hook.on_event(HookEvent("node_failed", lifecycle="shop", target="pr-7.eu", node="main/a", duration_ms=12))
        assert receiver.recv(1024) == b"shipway.shop.pr-7_eu.node_failed:1|c\nshipway.shop.pr-7_eu.node_failed:12|ms"
    assert set(hook.events) <= set(HOOK_EVENTS)
