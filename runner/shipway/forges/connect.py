"""From a CI job to the forge that its reports go to, or to the reason why they go nowhere. Sends nothing."""

from __future__ import annotations

from collections.abc import Callable

from shipway.ci import CiContext, Provider
from shipway.errors import Reason
from shipway.forges import limits
from shipway.forges.client import Client, Pace
from shipway.forges.forge import Forge, Outcome, Posted
from shipway.forges.github import GitHub
from shipway.redaction import Redacted
from shipway.trigger import Work


def connect(
    ci: CiContext | None,
    work: Work,
    pace: Pace,
    redact: Callable[[str], Redacted],
    timeout_s: tuple[float, float] = (limits.CONNECT_TIMEOUT_S, limits.READ_TIMEOUT_S),
) -> Forge | Posted:
    """The forge of this job; where no comment may or can be posted, what is to be recorded instead."""
    if ci is None:
        return Posted(Outcome.DEFERRED, why="this is no CI job, so that there is no forge to report to")
    if not work.is_trusted:
        return Posted(Outcome.REFUSED, why=work.why)
    if ci.provider is not Provider.GITHUB:
        return Posted(Outcome.DEFERRED, why=f"comments on {ci.provider.value} are not supported in this version")
    if ci.token is None:
        why = "the job has no token: pass `GITHUB_TOKEN: ${{ github.token }}` in `env` of the step"
        return Posted(Outcome.DEFERRED, why=why, reason=Reason.FORGE_PERMISSION)
    client = Client(api_url=ci.api_url, token=ci.token, pace=pace, redact=redact, timeout_s=timeout_s)
    return GitHub(client, repository=ci.repository, graphql_url=ci.graphql_url)
