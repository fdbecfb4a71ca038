"""From a CI job to the forge that its reports go to, or to the reason why they go nowhere. Sends nothing."""

from __future__ import annotations

from collections.abc import Callable

from shipway.ci import CiContext, Provider
from shipway.errors import Reason
from shipway.forges import gitea, gitlab, limits
from shipway.forges.client import GITHUB, Client, Pace
from shipway.forges.forge import Forge, Outcome, Posted
from shipway.forges.gitea import Gitea
from shipway.forges.github import GitHub
from shipway.forges.gitlab import GitLab
from shipway.redaction import Redacted
from shipway.trigger import Work

_DIALECTS = {
    Provider.GITHUB: GITHUB,
    Provider.GITEA: gitea.DIALECT,
    Provider.FORGEJO: gitea.DIALECT,
    Provider.GITLAB: gitlab.DIALECT,
}

TOKEN_NEXT = {
    Provider.GITHUB: "pass `GITHUB_TOKEN: ${{ github.token }}` in `env` of the step",
    Provider.GITEA: "pass `GITEA_TOKEN: ${{ gitea.token }}` in `env` of the step",
    Provider.FORGEJO: "pass `FORGEJO_TOKEN: ${{ forgejo.token }}` in `env` of the step",
    Provider.GITLAB: "set the masked CI/CD variable `GITLAB_TOKEN` to a project access token with the scope `api` and the role "
    "Developer; `CI_JOB_TOKEN` may not write notes",
}
"""What to do where a job has no token, by whose job it is."""


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
    if ci.token is None:
        why = f"the job has no token: {TOKEN_NEXT[ci.provider]}"
        return Posted(Outcome.DEFERRED, why=why, reason=Reason.FORGE_PERMISSION)
    dialect = _DIALECTS[ci.provider]
    client = Client(api_url=ci.api_url, token=ci.token, pace=pace, redact=redact, dialect=dialect, timeout_s=timeout_s)
    if ci.provider is Provider.GITHUB:
        return GitHub(client, repository=ci.repository, graphql_url=ci.graphql_url)
    if ci.provider is Provider.GITLAB:
        web_url = f"{ci.server_url}/{ci.repository}"
        return GitLab(client, project=ci.repository_id or 0, web_url=web_url, job=str(ci.run_attempt))
    return Gitea(client, repository=ci.repository, name=ci.provider.shown)
