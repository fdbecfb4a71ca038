"""The real parts that tests share, each started once for a session: an engine for containers, PostgreSQL.

Whoever stops one, or counts all that is in it, starts one of its own.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Mapping

import pytest

from tests import postgres
from tests.container_engine import container_engine


@pytest.fixture(scope="session")
def engine() -> Iterator[Mapping[str, str]]:
    """What docker and compose need to reach an engine of our own, which has a bridge for each project."""
    if shutil.which("docker-compose") is None and not _has_plugin():
        pytest.skip("no compose: apt-get install docker-compose")
    with container_engine() as env:
        yield env


@pytest.fixture(scope="session")
def cluster() -> Iterator[postgres.Server]:
    """A PostgreSQL that answers; each test names its databases so that no other's are theirs."""
    with postgres.server() as running:
        yield running


def _has_plugin() -> bool:
    command = ["docker", "compose", "version"]
    return (
        shutil.which("docker") is not None and subprocess.run(command, capture_output=True, check=False).returncode == 0
    )
