"""What environments of pull requests ask of a forge: how a request stands, and one deployment for each target. Sends nothing."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from shipway.forges.forge import DeploymentState

ENVIRONMENT = "preview"
"""The one environment for all of them: a job's token cannot delete environments, and one for each pull request would stay for ever.
Source: https://docs.github.com/en/rest/deployments/environments#delete-an-environment"""


class PullState(Struct, frozen=True):
    """How a pull request stands now: its head commit, whether it is open, and whether it was merged.

    `repository` is the id of the repository that the head is in, None where that is gone.
    """

    number: int
    head: str
    is_open: bool
    is_merged: bool = False
    repository: int | None = None


class Announced(Struct, frozen=True):
    """A deployment of one target: of `commit`, by `run`. `url` is where the environment answers, empty for nowhere."""

    lifecycle: str
    target: str
    commit: str
    effect: str
    run: str
    run_url: str
    url: str = ""


class Previews(Protocol):
    """What is asked of a forge that has pull requests and deployments. Every method raises ForgeError and nothing else."""

    def pull(self, number: int) -> PullState:
        """How a pull request stands now."""

    def announce(self, announced: Announced, description: str) -> str:
        """Makes the target's deployment, in progress: its id."""

    def tell(self, id: str, announced: Announced, state: DeploymentState, description: str) -> None:
        """Says how a deployment stands, and of no other one."""

    def retire(self, lifecycle: str, target: str, *, keep: str = "") -> int:
        """Sets every deployment of the target inactive and deletes it, but for the one with the id `keep`: how many."""

    def announced(self, lifecycle: str) -> tuple[tuple[str, str], ...]:
        """The id and the target of each deployment of the lifecycle that is there."""
