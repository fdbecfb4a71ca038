"""What a forge says of that which it lacks: one refusal for each capability, in words. A forge overrides what it has."""

from __future__ import annotations

from collections.abc import Sequence

from shipway.approvals import Permission, Review
from shipway.errors import Reason
from shipway.forges.forge import (
    Artifact,
    Capability,
    Check,
    CiRun,
    Comment,
    Deployment,
    DeploymentState,
    ForgeError,
    MergedPull,
    Person,
    Posted,
    PullRequest,
)

_WORDS = {
    Capability.ARTIFACTS: "has no artifacts of runs that Shipway reads",
    Capability.FOREIGN_RUNS: "does not tell what another run was of",
    Capability.REVIEWS: "does not tell who approved what in a way that Shipway reads",
    Capability.HIDING: "cannot hide a comment",
    Capability.CHECKS: "has no checks with a text and annotations",
    Capability.DEPLOYMENTS: "has no deployments that Shipway announces",
    Capability.LABELS: "has no labels that Shipway reads",
    Capability.PERMISSIONS: "does not tell who started a run, and what that account may do, in a way that Shipway reads",
}


def in_words(capability: Capability) -> str:
    """The rest of a sentence that begins with the forge's name."""
    return _WORDS[capability]


class Lacking:
    """A forge without any of the capabilities. A method of the Forge that some forge lacks has its refusal here."""

    name = ""

    def ci_run(self, run_id: str) -> CiRun:
        """Raises ForgeError."""
        raise self._lack(Capability.FOREIGN_RUNS)

    def pulls_from(self, owner: str, branch: str) -> Sequence[PullRequest]:
        """Raises ForgeError."""
        raise self._lack(Capability.FOREIGN_RUNS)

    def pulls_onto(self, branch: str) -> Sequence[PullRequest]:
        """Raises ForgeError."""
        raise self._lack(Capability.FOREIGN_RUNS)

    def merged_pulls(self, commit: str) -> Sequence[MergedPull]:
        """Raises ForgeError."""
        raise self._lack(Capability.REVIEWS)

    def branch_head(self, branch: str) -> str:
        """Raises ForgeError."""
        raise self._lack(Capability.REVIEWS)

    def has_commit(self, branch: str, commit: str) -> bool:
        """Raises ForgeError."""
        raise self._lack(Capability.REVIEWS)

    def changed_since(self, branch: str, commit: str) -> Sequence[str] | None:
        """Raises ForgeError."""
        raise self._lack(Capability.FOREIGN_RUNS)

    def pull_to_merge(self, number: int) -> MergedPull:
        """Raises ForgeError."""
        raise self._lack(Capability.REVIEWS)

    def reviews(self, pull_request: int) -> Sequence[Review]:
        """Raises ForgeError."""
        raise self._lack(Capability.REVIEWS)

    def permission(self, review: Review) -> Permission:
        """Raises ForgeError."""
        raise self._lack(Capability.REVIEWS)

    def labels(self, pull_request: int) -> frozenset[str]:
        """Raises ForgeError."""
        raise self._lack(Capability.LABELS)

    def started_by(self, run_id: str) -> Person:
        """Raises ForgeError."""
        raise self._lack(Capability.PERMISSIONS)

    def permission_of(self, person: Person) -> Permission:
        """Raises ForgeError."""
        raise self._lack(Capability.PERMISSIONS)

    def runs_of(self, head: str) -> Sequence[CiRun]:
        """Raises ForgeError."""
        raise self._lack(Capability.FOREIGN_RUNS)

    def runs_from(self, branch: str) -> Sequence[CiRun]:
        """Raises ForgeError."""
        raise self._lack(Capability.FOREIGN_RUNS)

    def artifacts(self, run_id: str, *, expired: bool = False) -> Sequence[Artifact]:
        """Raises ForgeError."""
        raise self._lack(Capability.ARTIFACTS)

    def archive(self, artifact: Artifact) -> bytes:
        """Raises ForgeError."""
        raise self._lack(Capability.ARTIFACTS)

    def minimise(self, comments: Sequence[Comment]) -> None:
        """Raises ForgeError."""
        raise self._lack(Capability.HIDING)

    def post_check(self, check: Check) -> Posted:
        """Raises ForgeError."""
        raise self._lack(Capability.CHECKS)

    def deploy(self, deployment: Deployment, description: str) -> str:
        """Raises ForgeError."""
        raise self._lack(Capability.DEPLOYMENTS)

    def conclude(self, id: str, deployment: Deployment, state: DeploymentState, description: str) -> None:
        """Raises ForgeError."""
        raise self._lack(Capability.DEPLOYMENTS)

    def remembered(self, lifecycle: str, environment: str) -> str:
        """Raises ForgeError."""
        raise self._lack(Capability.DEPLOYMENTS)

    def _lack(self, capability: Capability) -> ForgeError:
        return ForgeError(f"{self.name} {in_words(capability)}", reason=Reason.CAPABILITY_MISSING)
