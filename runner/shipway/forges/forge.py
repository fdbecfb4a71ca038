"""What the commands ask of a forge, and the values that go over. Knows no forge in particular and sends nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Protocol, Self

from msgspec import Struct

from shipway.approvals import Permission, Review
from shipway.errors import Reason, UnreachableError
from shipway.redaction import Redacted
from shipway.view import Annotation, Conclusion


class ForgeError(UnreachableError):
    """A request that came to nothing: no answer within all tries, or a refusal. `status` is 0 where there was no answer."""

    def __init__(
        self, message: str, *, status: int = 0, reason: Reason = Reason.FORGE_UNREACHABLE, next: str = ""
    ) -> None:
        super().__init__(message, reason=reason, next=next)
        self.status = status

    def asking(self, permission: str) -> Self:
        """The error, which says to give `permission` where it is a refusal and says nothing else to do."""
        if self.status == 403 and not self.next:
            self.next = permission
        return self


class BodyTooLong(ForgeError):
    """The forge refused a comment for its length; a shorter one may pass."""


class Capability(StrEnum):
    """What a forge may lack: the closed list. A report that asks for it says so in one line, and goes on without.

    `artifacts` of a run. `foreign-runs`: what another run was of, and whose. `reviews`: who approved what. `hiding` of a
    comment. `checks` with a text and annotations. `deployments` that are announced. `labels` of a pull
    request. `permissions`: who started a run, and what somebody may do.
    """

    ARTIFACTS = "artifacts"
    FOREIGN_RUNS = "foreign-runs"
    REVIEWS = "reviews"
    HIDING = "hiding"
    CHECKS = "checks"
    DEPLOYMENTS = "deployments"
    LABELS = "labels"
    PERMISSIONS = "permissions"


class Author(Struct, frozen=True):
    """An account by what cannot be chosen or renamed: its numeric id and its type (`User`, `Bot`, `Organization`)."""

    id: int
    type: str


class Comment(Struct, frozen=True):
    """One comment as the forge holds it; `updated_at` is RFC 3339 by the forge's clock.

    `node_id` names it where its number does not: in GraphQL, or as a path.
    """

    id: int
    node_id: str
    author: Author | None
    body: str
    url: str
    updated_at: str


class Attempt(Struct, frozen=True):
    """One try of a CI run: its number and when it started, RFC 3339 by the forge's clock."""

    number: int
    started_at: str


class Artifact(Struct, frozen=True):
    """A build artifact of a CI run. `digest` is `sha256:…` of its archive, empty where it is not told.

    `run`, `head` and `repository` are those of the run it is of, as the forge keeps them with the artifact: the run's id,
    the commit under discussion and the id of the repository that this is in. `created_at` is RFC 3339 by the forge's clock.
    """

    id: int
    name: str
    size: int
    digest: str
    is_expired: bool = False
    run: str = ""
    head: str = ""
    repository: int | None = None
    created_at: str = ""


class Person(Struct, frozen=True):
    """An account by the forge's word: its login to ask by, and its numeric id, which never changes."""

    login: str
    id: int


class Check(Struct, frozen=True):
    """What is said of one commit under a name that can be required. `external_id` is the effect that it is about.

    `title` is one line; `summary` is Markdown of at most 65,535 characters; `url` leads to the run. `plan` is the digest of the
    plan that it is about, empty where it is about none.
    """

    name: str
    commit: str
    conclusion: Conclusion
    external_id: str
    title: Redacted
    summary: Redacted
    url: str = ""
    annotations: tuple[Annotation, ...] = ()
    plan: str = ""


class DeploymentState(StrEnum):
    """How an execution stands on its target."""

    IN_PROGRESS = "in_progress"
    SUCCESS = "success"
    FAILURE = "failure"
    INACTIVE = "inactive"


class Deployment(Struct, frozen=True):
    """An execution that is announced: `commit` on `environment`, by `run`. `url` leads to what the execution is of; once it is
    concluded it names the receipt, by the parameters `lifecycle` and `receipt`.

    `is_transient` says that the environment will be gone some day, as that of a pull request is.
    """

    commit: str
    environment: str
    lifecycle: str
    effect: str
    run: str
    run_url: str
    url: str
    is_transient: bool = False


class CiRun(Struct, frozen=True):
    """A run of a CI workflow in its latest attempt. `path` is the workflow's file, `event` what began it.

    `head` is the commit under discussion (on a pull request its head, not the test merge), `repository` the id of the
    repository that it is in, None where that is gone; `owner` and `branch` are names that a stranger may have chosen.
    `conclusion` is empty until the attempt has ended. `began` is when the run was made, `started_at` when its latest attempt
    started, both RFC 3339 by the forge's clock. `host` is the id of the repository that the run itself is in.
    """

    id: str
    attempt: int
    event: str
    path: str
    head: str
    repository: int | None
    owner: str
    branch: str
    conclusion: str
    began: str = ""
    started_at: str = ""
    host: int | None = None


class MergedPull(Struct, frozen=True):
    """A pull request that was merged, or as it would be: its head commit then, who wrote it, and the branch that it goes to.

    `repository` is the id of the one that the head is in, None where that is gone or was not asked for.
    """

    number: int
    head: str
    author: Author | None
    base: str
    repository: int | None = None


class PullRequest(Struct, frozen=True):
    """An open pull request: its head commit, and the id of the repository that it is in (None where that is gone).

    `opened` is when it was opened, RFC 3339 UTC, and `base` the branch that it goes to; each empty where that is not told.
    """

    number: int
    head: str
    repository: int | None
    opened: str = ""
    base: str = ""


class Told(Struct, frozen=True):
    """What a check of ours said on a commit: of the plan with which digest, empty of none, and when (RFC 3339)."""

    plan: str
    at: str


class Survey(Struct, frozen=True):
    """How a pull request stands now, as one look tells it: the commit at its head, and the account that our comments have.

    `hidden` are the ids of hidden comments, of those that were asked about; `base_head` is where its base branch is, empty
    where that was not told. `reviews` are all of them in the order in which they were submitted, None where they are to be
    asked for; `told` is what our check said on the commits that they are of, as far as that is known whole.
    """

    head: str
    author: Author | None
    hidden: frozenset[int] = frozenset()
    base_head: str = ""
    reviews: tuple[Review, ...] | None = None
    told: Mapping[str, tuple[Told, ...]] = {}


class Outcome(StrEnum):
    """How a report fared: `superseded` by a later run or head, `deferred` by a failure, `refused` on purpose."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    SUPERSEDED = "superseded"
    DEFERRED = "deferred"
    REFUSED = "refused"


class Posted(Struct, frozen=True):
    """What became of one comment. `why` explains every outcome but created, updated and unchanged, where it is a remark.

    `url` is the comment's, empty where there is none of ours. `requests` counts what was sent to the forge.
    """

    outcome: Outcome
    url: str = ""
    why: str = ""
    reason: Reason | None = None
    requests: int = 0


class Forge(Protocol):
    """A forge that shows reports. Every method raises ForgeError, after its own retries, and nothing else.

    Answers are the forge's as they are: what of them is shown is masked and stripped by whoever shows it, except the
    texts of errors, which are fit to show. A method that needs a capability raises ForgeError (`capability-missing`) where
    the forge lacks it; all forges have the others.
    """

    @property
    def lacks(self) -> frozenset[Capability]:
        """What this forge does not have."""

    @property
    def requests(self) -> int:
        """How many requests were sent so far, retries included."""

    def whoami(self) -> Author | None:
        """The account that our comments will have, or None where the forge does not tell."""

    def default_branch(self) -> str:
        """The repository's default branch."""

    def head(self, pull_request: int) -> str:
        """The commit at the head of the pull request now."""

    def merged_from(self, commit: str) -> tuple[int, str] | None:
        """The pull request that brought this commit to its branch, and its head commit; None where there is none."""

    def attempt(self, run_id: str) -> Attempt:
        """The latest attempt of a run of this repository."""

    def ci_run(self, run_id: str) -> CiRun:
        """A run of this repository, in its latest attempt."""

    def pulls_from(self, owner: str, branch: str) -> Sequence[PullRequest]:
        """The open pull requests that come from this branch of a repository of this owner."""

    def pulls_onto(self, branch: str) -> Sequence[PullRequest]:
        """The open pull requests that are to be merged into a branch."""

    def is_over(self, run_id: str, attempt: int) -> bool:
        """Whether that attempt of a run has ended: it is completed, or a later one has begun."""

    def merged_pulls(self, commit: str) -> Sequence[MergedPull]:
        """The pull requests that were merged as this commit."""

    def branch_head(self, branch: str) -> str:
        """The commit that a branch is at now."""

    def has_commit(self, branch: str, commit: str) -> bool:
        """Whether a branch holds a commit now, as its head or before it."""

    def changed_since(self, branch: str, commit: str) -> Sequence[str] | None:
        """The paths that a branch has changed since it was at a commit; None where that cannot be told, or not whole."""

    def pull_to_merge(self, number: int) -> MergedPull:
        """An open pull request as it would be merged now."""

    def reviews(self, pull_request: int) -> Sequence[Review]:
        """All reviews of a pull request, in the order in which they were submitted."""

    def permission(self, review: Review) -> Permission:
        """What the account that a review is by may do in the repository now: nothing, if the name has gone to another one."""

    def labels(self, pull_request: int) -> frozenset[str]:
        """The names of the labels of a pull request now."""

    def started_by(self, run_id: str) -> Person:
        """Who started the latest attempt of a run."""

    def permission_of(self, person: Person) -> Permission:
        """What an account may do in the repository now: nothing, if the name has gone to another one."""

    def runs_of(self, head: str) -> Sequence[CiRun]:
        """The runs that `pull_request` events of this head commit began, of every workflow and from every repository."""

    def runs_from(self, branch: str) -> Sequence[CiRun]:
        """The latest runs that `pull_request` events of branches of this name began, the newest first; not all there are."""

    def artifacts(self, run_id: str, *, expired: bool = False) -> Sequence[Artifact]:
        """The artifacts of a run, of all its attempts; with `expired` those too whose content is gone."""

    def archive(self, artifact: Artifact) -> bytes:
        """The zip file that an artifact is; its digest was compared."""

    def comments(self, pull_request: int, *, since: str = "") -> Sequence[Comment]:
        """All comments in the order of their creation; with `since` (RFC 3339) those written or edited from then on."""

    def survey(
        self, pull_request: int, comments: Sequence[Comment], check: str = "", *, reviewed: bool = False
    ) -> Survey:
        """One look at a pull request, and whether these comments of it are hidden. `check` is the one to be told on its head.

        Its reviews, and what that check told on the commits that they are of, are looked at where that is asked for.
        """

    def post_check(self, check: Check) -> Posted:
        """Says what `check` says, unless the latest of its name on that commit says the same: created or unchanged."""

    def deploy(self, deployment: Deployment, description: str) -> str:
        """Announces an execution as in progress: its id, or empty where the CI job has announced itself already."""

    def conclude(self, id: str, deployment: Deployment, state: DeploymentState, description: str) -> None:
        """Says how an announced execution stands now."""

    def remembered(self, lifecycle: str, environment: str) -> str:
        """The digest of the receipt that the latest concluded execution on an environment left; empty where none says one."""

    def dress(self, body: Redacted) -> Redacted:
        """`body` as this forge has to be given it, so that no line of it is taken for a command; the same for the same body."""

    def create_comment(self, pull_request: int, body: Redacted, *, since: str) -> Comment:
        """Posts a comment. Where the answer is lost, one of ours with this body, written from `since` on, is the one."""

    def edit_comment(self, comment: Comment, body: Redacted) -> Comment:
        """Replaces the body of a comment."""

    def minimise(self, comments: Sequence[Comment]) -> None:
        """Hides comments as outdated."""
