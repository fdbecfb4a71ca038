"""A clock that only waiting moves, and clients of the false GitHub that use it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from shipway.ci import Token
from shipway.forges.client import Client, Pace
from shipway.forges.github import GitHub
from shipway.redaction import Redactor
from tests.forge.server import GitHubServer
from tests.forge.world import JOB_TOKEN


class Clock:
    """Stands still until someone sleeps; `waits` are the seconds of each sleep."""

    def __init__(self) -> None:
        self.moment = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
        self.waits: list[float] = []

    def now(self) -> datetime:
        """The moment, in UTC."""
        return self.moment

    def sleep(self, seconds: float) -> None:
        """Lets the time pass at once."""
        self.waits.append(seconds)
        self.moment += timedelta(seconds=seconds)

    @property
    def pace(self) -> Pace:
        """For a client."""
        return Pace(self.now, self.sleep)


def client_of(server: GitHubServer, clock: Clock, token: str | None = JOB_TOKEN, *, timeout_s: float = 5.0) -> Client:
    """A client of the server's API that has a token for it."""
    return Client(
        api_url=server.api_url,
        token=Token(token, server.api_url) if token else None,
        pace=clock.pace,
        redact=Redactor({"TOKEN": token or ""}).redact,
        timeout_s=(timeout_s, timeout_s),
    )


def forge_of(server: GitHubServer, clock: Clock, token: str | None = JOB_TOKEN, *, timeout_s: float = 5.0) -> GitHub:
    """The repository of the server as a forge."""
    client = client_of(server, clock, token, timeout_s=timeout_s)
    return GitHub(client, repository=server.world.repository, graphql_url=server.graphql_url)
