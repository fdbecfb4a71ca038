"""The fixture `github`: a false GitHub for one test, which fails if anything was not as GitHub describes it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.forge.server import GitHubServer


@pytest.fixture
def github() -> Iterator[GitHubServer]:
    """A running server with a new world."""
    with GitHubServer() as server:
        yield server
    assert server.violations == []
