"""The fixtures `github`, a false GitHub for one test, and `running`, one of every forge.

Each fails if anything was not as the forge describes it.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.forge.kinds import KINDS, Kind, Running
from tests.forge.server import GitHubServer


@pytest.fixture
def github() -> Iterator[GitHubServer]:
    """A running server with a new world."""
    with GitHubServer() as server:
        yield server
    assert server.violations == []


@pytest.fixture(params=KINDS, ids=[kind.name for kind in KINDS])
def running(request: pytest.FixtureRequest) -> Iterator[Running]:
    """A running server of each kind of forge, with a new world."""
    kind: Kind = request.param
    with kind.server() as server:
        yield Running(kind, server)
    assert server.violations == []
