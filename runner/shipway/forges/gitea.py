"""Gitea and Forgejo as a forge, by their REST API. What they lack is said by `Lacking`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from email.utils import parsedate_to_datetime
from urllib.parse import quote

from shipway.canonical import Json
from shipway.forges import limits
from shipway.forges.answers import is_same_text, members, moment, number, objects, text
from shipway.forges.client import Client, Dialect
from shipway.forges.forge import Attempt, Author, Capability, Check, Comment, ForgeError, Outcome, Posted
from shipway.forges.lacking import Lacking, in_words
from shipway.redaction import Redacted
from shipway.view import Conclusion

DIALECT = Dialect({"Accept": "application/json"}, token_prefix="token ")
"""Source: https://docs.gitea.com/development/api-usage#authentication"""

_COMMENT_NEXT = "give the token the right to write issues and pull requests (scope `write:issue`)"
_STATUS_NEXT = "give the token the right to write the repository (scope `write:repository`)"

_STATES = {
    Conclusion.SUCCESS: "success",
    Conclusion.ACTION_REQUIRED: "pending",
    Conclusion.FAILURE: "failure",
}


class Gitea(Lacking):
    """One repository (`owner/name`) of a Gitea or, with that `name`, of a Forgejo."""

    lacks = frozenset(Capability)

    def __init__(self, client: Client, *, repository: str, name: str = "Gitea") -> None:
        owner, _, project = repository.partition("/")
        self.name = name
        self._client = client
        self._repository = f"/repos/{quote(owner, safe='')}/{quote(project, safe='')}"
        self._author: Author | None = None

    @property
    def requests(self) -> int:
        """How many requests were sent so far, retries included."""
        return self._client.requests

    def whoami(self) -> Author | None:
        """The account behind the token; that of a job is an account of the forge's own."""
        if self._author is None:
            self._author = _author(members(self._client.get("/user").json()))
        return self._author

    def default_branch(self) -> str:
        """The repository's default branch."""
        return text(members(self._client.get(self._repository).json()), "default_branch")

    def head(self, pull_request: int) -> str:
        """The commit at the head of the pull request now."""
        pull = members(self._client.get(f"{self._repository}/pulls/{pull_request}").json())
        return text(members(pull.get("head")), "sha")

    def merged_from(self, commit: str) -> tuple[int, str] | None:
        """The merged pull request of this commit and its head; None as well where the forge is too old to tell."""
        try:
            answer = self._client.get(f"{self._repository}/commits/{quote(commit, safe='')}/pull")
        except ForgeError as error:
            if error.status == 404:
                return None
            raise
        pull = members(answer.json())
        if pull.get("merged") is not True or pull.get("merge_commit_sha") != commit:
            return None
        return number(pull, "number"), text(members(pull.get("head")), "sha")

    def attempt(self, run_id: str) -> Attempt:
        """The latest attempt of a run. Where the forge is too old to tell, it began now, by the forge's clock.

        Of two reports on one head the later one then stays, whichever run began first.
        """
        run = self._run(run_id)
        for name in ("started_at", "started"):  # Gitea's and Forgejo's
            if run.get(name):
                attempt = run.get("run_attempt")
                return Attempt(attempt if isinstance(attempt, int) else 1, moment(run, name))
        said = self._client.get(self._repository).headers.get("date", "")
        try:
            return Attempt(1, moment({"date": parsedate_to_datetime(said).isoformat()}, "date"))
        except ValueError as error:
            raise ForgeError("the forge does not tell what time it is") from error

    def is_over(self, run_id: str, attempt: int) -> bool:
        """Whether that attempt of a run has ended. A forge that does not tell says no."""
        run = self._run(run_id)
        latest = run.get("run_attempt")
        return run.get("status") == "completed" or (isinstance(latest, int) and latest > attempt)

    def comments(self, pull_request: int, *, since: str = "") -> Sequence[Comment]:
        """All comments: there are no pages; with `since` those written or edited from then on."""
        found: list[Comment] = []
        path = f"{self._repository}/issues/{pull_request}/comments"
        for page in self._client.pages(path, {"since": since} if since else {}):
            found += [_comment(member) for member in objects(page.json(), page.url)]
        return tuple(found)

    def dress(self, body: Redacted) -> Redacted:
        """The body as it is: nothing in a comment is obeyed."""
        return body

    def create_comment(self, pull_request: int, body: Redacted, *, since: str) -> Comment:
        """Posts a comment, once: after a lost answer the comments since `since` are searched for it."""
        found: list[Comment] = []

        def landed() -> bool:
            author = self.whoami()
            recent = self.comments(pull_request, since=since)
            found[:] = [c for c in recent if c.author == author and is_same_text(c.body, body)][-1:]
            return bool(found)

        path = f"{self._repository}/issues/{pull_request}/comments"
        try:
            answer = self._client.write("POST", path, {"body": body}, landed=landed)
        except ForgeError as error:
            raise _with_next(error, _COMMENT_NEXT) from error
        return _comment(members(answer.json())) if answer else found[0]

    def edit_comment(self, comment: Comment, body: Redacted) -> Comment:
        """Replaces the body of a comment."""
        try:
            answer = self._client.write("PATCH", f"{self._repository}/issues/comments/{comment.id}", {"body": body})
        except ForgeError as error:
            raise _with_next(error, _COMMENT_NEXT) from error
        return _comment(members(answer.json())) if answer else comment

    def post_check(self, check: Check) -> Posted:
        """A commit status with the check's title, unless the latest of its name says the same."""
        why = f"as a commit status: {self.name} {in_words(Capability.CHECKS)}"
        told = (_STATES[check.conclusion], check.title[: limits.STATUS_CHARACTERS], check.url)
        if self._latest_status(check) == told:
            return Posted(Outcome.UNCHANGED, why=why, requests=self.requests)
        state, description, url = told
        document: dict[str, Json] = {
            "context": check.name,
            "state": state,
            "description": description,
            "target_url": url,
        }
        try:
            # Sent twice it says the same twice.
            self._client.write("POST", f"{self._repository}/statuses/{quote(check.commit, safe='')}", document)
        except ForgeError as error:
            raise _with_next(error, _STATUS_NEXT) from error
        return Posted(Outcome.CREATED, url=url, why=why, requests=self.requests)

    def _latest_status(self, check: Check) -> tuple[object, object, object]:
        path = f"{self._repository}/commits/{quote(check.commit, safe='')}/statuses"
        answer = self._client.get(path, {"sort": "recentupdate", "limit": limits.STATUSES_LOOKED_AT})
        for status in objects(answer.json(), answer.url):
            if status.get("context") == check.name:
                return status.get("status"), status.get("description"), status.get("target_url")
        return None, None, None

    def _run(self, run_id: str) -> Mapping[str, Json]:
        try:
            return members(self._client.get(f"{self._repository}/actions/runs/{quote(run_id, safe='')}").json())
        except ForgeError as error:
            if error.status == 404:
                return {}
            raise


def _comment(comment: Mapping[str, Json]) -> Comment:
    user = comment.get("user")
    return Comment(
        id=number(comment, "id"),
        node_id="",
        author=_author(members(user)) if isinstance(user, Mapping) else None,
        body=str(comment.get("body") or ""),
        url=text(comment, "html_url"),
        updated_at=moment(comment, "updated_at"),
    )


def _author(user: Mapping[str, Json]) -> Author:
    """An account. There is one kind, with one row of numbers: those of the forge's own accounts are negative."""
    return Author(number(user, "id"), "User")


def _with_next(error: ForgeError, next: str) -> ForgeError:
    if error.status == 403 and not error.next:
        error.next = next
    return error
