"""The hook `statsd`: counts what happened, and how long it took. Owns one datagram per event, and waits for no answer."""

from __future__ import annotations

import socket

from shipway.hook import HookEvent


class Statsd:
    """Sends `shipway.<lifecycle>.<target>.<event>:1|c`, and the duration of what has ended, as statsd reads them.

    Source: https://github.com/statsd/statsd/blob/master/docs/metric_types.md
    """

    address = ("127.0.0.1", 8125)
    events = ("run_started", "run_finished", "run_failed", "node_finished", "node_failed")

    def on_event(self, event: HookEvent) -> None:
        """A datagram is lost where nobody listens: that is no fault of the run, and none is recorded."""
        name = f"shipway.{event.lifecycle}.{event.target.replace('.', '_')}.{event.event}"
        lines = [f"{name}:1|c"] + [f"{name}:{event.duration_ms}|ms"] * bool(event.duration_ms)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto("\n".join(lines).encode(), self.address)
