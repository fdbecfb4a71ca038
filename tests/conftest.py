"""Options of the test run. Owns `--update`, which rewrites what the case folders expect."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes says how busy the machine is, and nothing about the code.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

pytest_plugins = ["tests.forge.fixtures", "tests.remote_host", "tests.preview_world"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update", action="store_true", help="rewrite the expected.* files of the case folders")


@pytest.fixture
def is_update(request: pytest.FixtureRequest) -> bool:
    """Whether what is expected is to be rewritten and not compared."""
    return bool(request.config.getoption("--update"))


_ON_PORTS = {
    "act",
    "commands",
    "databases",
    "example",
    "full",
    "hostile",
    "kills",
    "left",
    "places",
    "ports",
    "pull_requests",
    "remote",
}
_ON_PORTS |= {"renewal", "services", "views", "test_port_claims"}


@pytest.fixture(autouse=True)
def one_preview_at_a_time(request: pytest.FixtureRequest) -> Iterator[None]:
    """Previews of equal names in different homes would meet on the ports of this machine, where tests run side by side."""
    if Path(str(request.path)).stem.removeprefix("test_preview_") not in _ON_PORTS:
        yield
        return
    with open(Path(tempfile.gettempdir()) / f"shipway-previews-{os.getuid()}.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
