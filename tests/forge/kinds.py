"""The forges side by side: the false server of each, and what has another name on each of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from shipway.ci import ci_context
from shipway.forges.connect import connect
from shipway.forges.forge import Forge, Posted
from shipway.redaction import trusted
from shipway.trigger import Work, WorkKind
from tests.forge.gitea_server import JOB_LOGIN as GITEA_LOGIN
from tests.forge.gitea_server import GiteaServer, gitea_world
from tests.forge.gitlab_server import JOB_LOGIN as GITLAB_LOGIN
from tests.forge.gitlab_server import GitLabServer
from tests.forge.server import ForgeServer, GitHubServer
from tests.forge.waiting import Clock
from tests.forge.world import JOB_LOGIN as GITHUB_LOGIN
from tests.forge.world import Written


@dataclass(frozen=True)
class Kind:
    """One kind of forge: how to make its server, as whom a job writes there, and paths that match its comments."""

    name: str
    server: Callable[[], ForgeServer]
    login: str
    list_path: str = "/comments$"
    edit_method: str = "PATCH"
    edit_path: str = "/comments/[0-9]+"


KINDS = (
    Kind("github", GitHubServer, GITHUB_LOGIN),
    Kind("gitea", lambda: GiteaServer(gitea_world()), GITEA_LOGIN),
    Kind("gitlab", GitLabServer, GITLAB_LOGIN, "/notes$", "PUT", "/notes/[0-9]+"),
)


@dataclass(frozen=True)
class Running:
    """A running server of a kind."""

    kind: Kind
    server: ForgeServer

    def forge(self, clock: Clock | None = None, more: Mapping[str, str] | None = None) -> Forge:
        """The forge as a job with these variables reaches it."""
        found = connect(
            ci_context(self.server.environment(**(more or {})), {}),
            Work(WorkKind.PLAN, ""),
            (clock or Clock()).pace,
            trusted,
        )
        assert not isinstance(found, Posted), found
        return found

    def attempt(self, run: int) -> int:
        """The number of the first attempt of a run; GitLab tells attempts apart by the ids of their jobs."""
        return run if self.kind.name == "gitlab" else 1

    def job(self, run: int) -> dict[str, str]:
        """The variables that differ between jobs of different runs."""
        return {"CI_PIPELINE_ID": str(run), "CI_JOB_ID": str(run)} if self.kind.name == "gitlab" else {}

    def ours(self, body: str) -> Written:
        """Writes a comment as the job's account, behind the caller's back."""
        return self.server.world.comment(7, self.kind.login, body)

    @property
    def comments(self) -> list[Written]:
        """The comments of pull request 7."""
        return self.server.world.pulls[7].comments
