"""Says what happens to a test whose real peer is missing. Looks for no peer itself."""

from __future__ import annotations

import os

import pytest

REQUIRED = "SHIPWAY_REQUIRE_PEERS"
"""Set where every peer must be there, as in `.ci/run`: a test without its peer then fails."""


def require(name: str, available: bool, how: str) -> None:
    """Returns where the peer `name` is `available`; else skips the test, or fails it where REQUIRED is set.

    `how` says how to get the peer; it ends the message.
    """
    if available:
        return
    reason = f"{name} is not here: {how}"
    if os.environ.get(REQUIRED):
        pytest.fail(f"{reason} ({REQUIRED} is set)", pytrace=False)
    pytest.skip(reason)
