"""GitHub and GitHub Enterprise as a forge: REST for what it has, GraphQL for who we are and what is hidden."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import quote

from shipway.approvals import Permission, Review
from shipway.canonical import Json, mapping
from shipway.errors import Reason
from shipway.forges import answers, github_checks, github_issues, github_previews, github_reviews, github_survey, limits
from shipway.forges.client import Answer, Client
from shipway.forges.forge import (
    Artifact,
    Attempt,
    Author,
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
    Survey,
)
from shipway.forges.issues import Issue
from shipway.forges.previews import Announced, PullState
from shipway.redaction import Redacted

_VIEWER = f"query {{ {github_survey.VIEWER} }}"

_HIDDEN = f"query ($ids: [ID!]!) {{ {github_survey.HIDDEN} }}"

_MINIMISE = (
    "mutation ($id: ID!) { minimizeComment(input: {subjectId: $id, classifier: OUTDATED})"
    " { minimizedComment { isMinimized } } }"
)

_DENIED = frozenset({"FORBIDDEN", "INSUFFICIENT_SCOPES", "NOT_FOUND"})

_COMMENT_PERMISSION = "give the job `permissions: {pull-requests: write}`"


class _UnknownField(ForgeError):
    """The server has no such field: GitHub Enterprise Server gets them later."""


class GitHub:
    """One repository (`owner/name`) as the Forge that the commands use."""

    def __init__(self, client: Client, *, repository: str, graphql_url: str) -> None:
        self._owner, _, self._name = repository.partition("/")
        self._client = client
        self._repository = f"/repos/{quote(self._owner, safe='')}/{quote(self._name, safe='')}"
        self._graphql_url = graphql_url
        self._author: Author | None = None
        self._login = ""
        self._checks = github_checks.CheckRuns(client, self._repository)

    lacks: frozenset[Capability] = frozenset()

    @property
    def requests(self) -> int:
        """How many requests were sent so far, retries included."""
        return self._client.requests

    def whoami(self) -> Author | None:
        """The account behind the token, from GraphQL: `GET /user` is closed to the token of a job."""
        if self._author is None:
            self._author, self._login = github_survey.viewer_of(self._graphql(_VIEWER, {}))
        return self._author

    def default_branch(self) -> str:
        """The repository's default branch."""
        return answers.text(mapping(self._client.get(self._repository).json()), "default_branch")

    def head(self, pull_request: int) -> str:
        """The commit at the head of the pull request now."""
        answer = self._client.get(f"{self._repository}/pulls/{pull_request}")
        return answers.text(mapping(mapping(answer.json()).get("head")), "sha")

    def merged_from(self, commit: str) -> tuple[int, str] | None:
        """The merged pull request of this commit and its head; squash and rebase merges are found by their new commit."""
        listed = self._client.get(f"{self._repository}/commits/{quote(commit, safe='')}/pulls").json()
        merged = (
            [mapping(pull) for pull in listed if mapping(pull).get("merged_at")] if isinstance(listed, list) else []
        )
        for pull in merged:
            number = pull.get("number")
            if pull.get("merge_commit_sha") == commit and isinstance(number, int):
                return number, answers.text(mapping(pull.get("head")), "sha")
        return None

    def attempt(self, run_id: str) -> Attempt:
        """The latest attempt of a run of this repository."""
        run = mapping(self._client.get(f"{self._repository}/actions/runs/{quote(run_id, safe='')}").json())
        number = run.get("run_attempt")
        return Attempt(number if isinstance(number, int) else 1, answers.text(run, "run_started_at"))

    def ci_run(self, run_id: str) -> CiRun:
        """A run of this repository, in its latest attempt."""
        run = mapping(self._client.get(f"{self._repository}/actions/runs/{quote(run_id, safe='')}").json())
        return github_reviews.ci_run(run)

    def merged_pulls(self, commit: str) -> Sequence[MergedPull]:
        """The pull requests that were merged as this commit; squash and rebase merges are found by their new commit."""
        return github_reviews.merged_pulls(self._client, self._repository, commit)

    def branch_head(self, branch: str) -> str:
        """The commit that a branch is at now."""
        return github_reviews.branch_head(self._client, self._repository, branch)

    def has_commit(self, branch: str, commit: str) -> bool:
        """Whether a branch holds a commit now, as its head or before it."""
        return github_reviews.has_commit(self._client, self._repository, branch, commit)

    def changed_since(self, branch: str, commit: str) -> Sequence[str] | None:
        """The paths that a branch has changed since it was at a commit."""
        return github_reviews.changed_since(self._client, self._repository, branch, commit)

    def pull_to_merge(self, number: int) -> MergedPull:
        """A pull request as it would be merged now."""
        return github_reviews.pull_to_merge(self._client, self._repository, number)

    def reviews(self, pull_request: int) -> Sequence[Review]:
        """All reviews of a pull request, over all pages."""
        return github_reviews.reviews(self._client, self._repository, pull_request)

    def permission(self, review: Review) -> Permission:
        """What the account that a review is by may do in the repository now."""
        return github_reviews.permission(self._client, self._repository, review)

    def labels(self, pull_request: int) -> frozenset[str]:
        """The names of the labels of a pull request, over all pages."""
        return github_reviews.labels(self._client, self._repository, pull_request)

    def started_by(self, run_id: str) -> Person:
        """Who started the latest attempt of a run: by pushing, by hand, or by running it again."""
        run = mapping(self._client.get(f"{self._repository}/actions/runs/{quote(run_id, safe='')}").json())
        return github_reviews.started_by(run)

    def permission_of(self, person: Person) -> Permission:
        """What an account may do in the repository now."""
        return github_reviews.permission_of(self._client, self._repository, person)

    def runs_of(self, head: str) -> Sequence[CiRun]:
        """The runs of `pull_request` on this head commit, over all pages."""
        return github_reviews.runs_of(self._client, self._repository, head)

    def runs_from(self, branch: str) -> Sequence[CiRun]:
        """The latest runs of `pull_request` from branches of this name, in forks too: one page of them."""
        query: dict[str, str | int] = {"branch": branch, "event": "pull_request", "per_page": limits.RUNS_LOOKED_AT}
        answer = mapping(self._client.get(f"{self._repository}/actions/runs", query).json())
        listed = answer.get("workflow_runs")
        return tuple(github_reviews.ci_run(mapping(run)) for run in listed) if isinstance(listed, list) else ()

    def pulls_from(self, owner: str, branch: str) -> Sequence[PullRequest]:
        """The open pull requests from this branch: pull requests of a commit are not told where it is in a fork only.

        Source: https://docs.github.com/en/rest/commits/commits#list-pull-requests-associated-with-a-commit
        """
        return self._pulls({"head": f"{owner}:{branch}"})

    def pulls_onto(self, branch: str) -> Sequence[PullRequest]:
        """The open pull requests that are to be merged into a branch, over all pages."""
        return self._pulls({"base": branch})

    def _pulls(self, which: Mapping[str, str | int]) -> Sequence[PullRequest]:
        found: list[PullRequest] = []
        query: dict[str, str | int] = {**which, "state": "open", "per_page": limits.PAGE_SIZE}
        for page in self._client.pages(f"{self._repository}/pulls", query):
            listed = page.json()
            if not isinstance(listed, list):
                raise ForgeError(f"`{page.url}` did not answer with a list")
            found += [_pull_request(mapping(member)) for member in listed]
        return tuple(found)

    def is_over(self, run_id: str, attempt: int) -> bool:
        """Whether that attempt of a run has ended: GitHub begins another one only once it is completed."""
        run = mapping(self._client.get(f"{self._repository}/actions/runs/{quote(run_id, safe='')}").json())
        number = run.get("run_attempt")
        return run.get("status") == "completed" or (isinstance(number, int) and number > attempt)

    def artifacts(self, run_id: str, *, expired: bool = False) -> Sequence[Artifact]:
        """The artifacts of a run over all pages, of all its attempts; with `expired` those too whose content is gone."""
        found: list[Artifact] = []
        path = f"{self._repository}/actions/runs/{quote(run_id, safe='')}/artifacts"
        for page in self._client.pages(path, {"per_page": limits.PAGE_SIZE}):
            listed = mapping(page.json()).get("artifacts")
            if not isinstance(listed, list):
                raise ForgeError(f"`{page.url}` did not answer with a list")
            found += [_artifact(mapping(member)) for member in listed]
        return tuple(artifact for artifact in found if expired or not artifact.is_expired)

    def archive(self, artifact: Artifact) -> bytes:
        """The zip file that an artifact is, from the host that GitHub names for it, which gets no token."""
        content = self._client.get(f"{self._repository}/actions/artifacts/{artifact.id}/zip").body
        if artifact.digest and artifact.digest != f"sha256:{hashlib.sha256(content).hexdigest()}":
            text = f"artifact `{artifact.name}` is not what was uploaded: its digest differs"
            raise ForgeError(text, reason=Reason.ARTIFACT_INVALID)
        return content

    def comments(self, pull_request: int, *, since: str = "") -> Sequence[Comment]:
        """All comments, over all pages; with `since` those written or edited from then on."""
        parameters: dict[str, str | int] = {"per_page": limits.PAGE_SIZE}
        if since:
            parameters["since"] = since
        found: list[Comment] = []
        for page in self._client.pages(f"{self._repository}/issues/{pull_request}/comments", parameters):
            listed = page.json()
            if not isinstance(listed, list):
                raise ForgeError(f"`{page.url}` did not answer with a list")
            found += [_comment(member) for member in listed]
        return tuple(found)

    def survey(
        self, pull_request: int, comments: Sequence[Comment], check: str = "", *, reviewed: bool = False
    ) -> Survey:
        """One look, by one question; one more for each further hundred comments. A server too old for it is asked in parts."""
        step = limits.NODES_MAX
        asked, *more = [comments[first : first + step] for first in range(0, len(comments) or 1, step)]
        place: dict[str, Json] = {"owner": self._owner, "name": self._name, "number": pull_request}
        variables: dict[str, Json] = {**place, "ids": _nodes(asked), "check": check, "reviewed": reviewed}
        is_whole = True
        try:
            answer = self._graphql(github_survey.QUERY, variables, dispensable=github_survey.DISPENSABLE)
        except _UnknownField:
            is_whole, answer = False, self._graphql(github_survey.PARTS, {"ids": _nodes(asked)})
        hidden = github_survey.hidden_of(answer, _numbers(asked))
        for others in more:
            hidden |= github_survey.hidden_of(self._graphql(_HIDDEN, {"ids": _nodes(others)}), _numbers(others))
        if not is_whole:
            return github_survey.read_parts(answer, hidden, self.head(pull_request))
        found = github_survey.read_survey(answer, hidden)
        self._author = self._author or found.author
        if check and github_survey.is_untold(answer):
            self._checks.begin(found.head)
        return found

    def post_check(self, check: Check) -> Posted:
        """A check run on the commit, unless the latest of its name says the same."""
        return github_checks.post_check(self._client, self._repository, check, self._checks)

    def deploy(self, deployment: Deployment, description: str) -> str:
        """A deployment in progress; none where the job's `environment:` has made one."""
        return github_checks.deploy(self._client, self._repository, deployment, description)

    def conclude(self, id: str, deployment: Deployment, state: DeploymentState, description: str) -> None:
        """One status more of a deployment."""
        github_checks.conclude(self._client, self._repository, id, deployment, state, description)

    def remembered(self, lifecycle: str, environment: str) -> str:
        """Out of the addresses that concluded deployments have."""
        return github_checks.remembered(self._client, self._repository, lifecycle, environment)

    def pull(self, number: int) -> PullState:
        """How a pull request stands now."""
        return github_previews.pull(self._client, self._repository, number)

    def announce(self, announced: Announced, description: str) -> str:
        """A deployment to the environment of all previews."""
        return github_previews.announce(self._client, self._repository, announced, description)

    def tell(self, id: str, announced: Announced, state: DeploymentState, description: str) -> None:
        """One status more of a preview's deployment."""
        github_previews.tell(self._client, self._repository, id, announced, state, description)

    def retire(self, lifecycle: str, target: str, *, keep: str = "") -> int:
        """Takes away the deployments of a preview but one."""
        return github_previews.retire(self._client, self._repository, lifecycle, target, keep)

    def announced(self, lifecycle: str) -> tuple[tuple[str, str], ...]:
        """The previews' deployments that are there."""
        return github_previews.announced(self._client, self._repository, lifecycle)

    def dress(self, body: Redacted) -> Redacted:
        """The body as it is: GitHub obeys nothing in a comment."""
        return body

    def create_comment(self, pull_request: int, body: Redacted, *, since: str) -> Comment:
        """Posts a comment, once: after a lost answer the comments since `since` are searched for it."""
        found: list[Comment] = []

        def landed() -> bool:
            author = self.whoami()
            recent = self.comments(pull_request, since=since)
            found[:] = [c for c in recent if c.author == author and answers.is_same_text(c.body, body)][-1:]
            return bool(found)

        answer = self._write_comment("POST", f"{self._repository}/issues/{pull_request}/comments", body, landed)
        return _comment(answer.json()) if answer else found[0]

    def edit_comment(self, comment: Comment, body: Redacted) -> Comment:
        """Replaces the body of a comment."""
        answer = self._write_comment("PATCH", f"{self._repository}/issues/comments/{comment.id}", body, None)
        return _comment(answer.json()) if answer else comment

    def minimise(self, comments: Sequence[Comment]) -> None:
        """Hides comments as outdated."""
        for comment in comments:
            self._graphql(_MINIMISE, {"id": comment.node_id})

    def own_issues(self) -> Sequence[Issue]:
        """Every issue of this account, over all pages."""
        if not self._login:
            self.whoami()
        if not self._login:
            raise ForgeError("the forge does not tell which account this token is, so that its issues cannot be listed")
        return github_issues.own_issues(self._client, self._repository, self._login)

    def create_issue(self, title: str, body: Redacted) -> Issue:
        """Opens an issue, once: after a lost answer ours are searched for it."""
        return github_issues.create(self._client, self._repository, title, body, self.own_issues)

    def edit_issue(self, issue: Issue, title: str, body: Redacted, *, is_open: bool) -> Issue:
        """Replaces title and body of an issue, and opens or closes it."""
        state = {"state": "open"} if is_open else {"state": "closed", "state_reason": "completed"}
        return github_issues.edit(self._client, self._repository, issue, {"title": title, "body": body, **state})

    def close_issue(self, issue: Issue) -> None:
        """Closes an issue that another one stands for."""
        github_issues.edit(self._client, self._repository, issue, {"state": "closed", "state_reason": "not_planned"})

    def _write_comment(
        self, method: str, path: str, body: Redacted, landed: Callable[[], bool] | None
    ) -> Answer | None:
        try:
            return self._client.write(method, path, {"body": body}, landed=landed)
        except ForgeError as error:
            if error.status == 403 and not error.next:
                error.next = _COMMENT_PERMISSION
            raise

    def _graphql(self, query: str, variables: Mapping[str, Json], *, dispensable: Sequence[Sequence[str]] = ()) -> Json:
        """`data` of the answer. Raises ForgeError for an answer with errors: GitHub sends those with status 200.

        `dispensable` are paths of parts without which the answer is of use: an error in one leaves that part empty.
        """
        document = mapping(self._client.query(self._graphql_url, {"query": query, "variables": variables}).json())
        listed = document.get("errors")
        errors = [mapping(error) for error in listed] if isinstance(listed, list) else []
        data = document.get("data")
        for error in errors:
            path = error.get("path")
            parts = [part for part in dispensable if isinstance(path, list) and path[: len(part)] == list(part)]
            if parts:
                data = github_survey.without(data, parts[0])
                continue
            reason = Reason.FORGE_PERMISSION if error.get("type") in _DENIED else Reason.FORGE_UNREACHABLE
            text = self._client.shown(str(error.get("message")))
            kind = _UnknownField if github_survey.is_unknown(error) else ForgeError
            raise kind(f"GraphQL was answered: {text}", reason=reason)
        return data


def _nodes(comments: Sequence[Comment]) -> list[Json]:
    return [comment.node_id for comment in comments]


def _numbers(comments: Sequence[Comment]) -> list[int]:
    return [comment.id for comment in comments]


def _comment(value: Json) -> Comment:
    """A comment of REST. Raises ForgeError where `value` is none. A deleted account is no author."""
    comment = mapping(value)
    number, user = comment.get("id"), comment.get("user")
    if not isinstance(number, int):
        raise ForgeError("the forge did not answer with a comment")
    return Comment(
        id=number,
        node_id=answers.text(comment, "node_id"),
        author=_author(user) if isinstance(user, Mapping) else None,
        body=str(comment.get("body") or ""),
        url=answers.text(comment, "html_url"),
        updated_at=answers.text(comment, "updated_at"),
    )


def _artifact(artifact: Mapping[str, Json]) -> Artifact:
    number, size = artifact.get("id"), artifact.get("size_in_bytes")
    if not isinstance(number, int) or not isinstance(size, int):
        raise ForgeError("the forge did not answer with an artifact")
    of = mapping(artifact.get("workflow_run"))
    return Artifact(
        id=number,
        name=answers.text(artifact, "name"),
        size=size,
        digest=str(artifact.get("digest") or ""),
        is_expired=artifact.get("expired") is True,
        run=str(answers.number_or_none(of, "id") or ""),
        head=str(of.get("head_sha") or ""),
        repository=answers.number_or_none(of, "head_repository_id"),
        created_at=str(artifact.get("created_at") or ""),
    )


def _pull_request(pull: Mapping[str, Json]) -> PullRequest:
    number, head = answers.number_or_none(pull, "number"), mapping(pull.get("head"))
    if number is None:
        raise ForgeError("the forge did not answer with a pull request")
    repository = answers.number_or_none(mapping(head.get("repo")), "id")
    base = answers.text(mapping(pull.get("base")), "ref")
    return PullRequest(number, answers.text(head, "sha"), repository, answers.text(pull, "created_at"), base)


def _author(user: Mapping[str, Json]) -> Author | None:
    number = user.get("id")
    return Author(number, answers.text(user, "type")) if isinstance(number, int) else None
