"""Gitea and Forgejo as a forge, by their REST API. What they lack is said by `Lacking`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from email.utils import parsedate_to_datetime
from types import MappingProxyType
from urllib.parse import quote

from shipway.canonical import Json, mapping
from shipway.forges import limits
from shipway.forges.answers import moment, number, objects, text
from shipway.forges.client import Client, Dialect
from shipway.forges.forge import Attempt, Comment, ForgeError
from shipway.forges.plain import PlainForge, Status, author_of, latest_status
from shipway.redaction import Redacted
from shipway.view import Conclusion

DIALECT = Dialect({"Accept": "application/json"}, token_prefix="token ")
"""Source: https://docs.gitea.com/development/api-usage#authentication"""


class Gitea(PlainForge):
    """One repository (`owner/name`) of a Gitea or, with that `name`, of a Forgejo."""

    comment_next = "give the token the right to write issues and pull requests (scope `write:issue`)"
    status_next = "give the token the right to write the repository (scope `write:repository`)"
    states = MappingProxyType(
        {Conclusion.SUCCESS: "success", Conclusion.ACTION_REQUIRED: "pending", Conclusion.FAILURE: "failure"}
    )
    _status_name = "context"

    def __init__(self, client: Client, *, repository: str, name: str = "Gitea") -> None:
        owner, _, project = repository.partition("/")
        super().__init__(client, f"/repos/{quote(owner, safe='')}/{quote(project, safe='')}")
        self.name = name

    def head(self, pull_request: int) -> str:
        """The commit at the head of the pull request now."""
        pull = mapping(self._client.get(f"{self._root}/pulls/{pull_request}").json())
        return text(mapping(pull.get("head")), "sha")

    def merged_from(self, commit: str) -> tuple[int, str] | None:
        """The merged pull request of this commit and its head; None as well where the forge is too old to tell."""
        try:
            answer = self._client.get(f"{self._root}/commits/{quote(commit, safe='')}/pull")
        except ForgeError as error:
            if error.status == 404:
                return None
            raise
        pull = mapping(answer.json())
        if pull.get("merged") is not True or pull.get("merge_commit_sha") != commit:
            return None
        return number(pull, "number"), text(mapping(pull.get("head")), "sha")

    def attempt(self, run_id: str) -> Attempt:
        """The latest attempt of a run. Where the forge is too old to tell, it began now, by the forge's clock.

        Of two reports on one head the later one then stays, whichever run began first.
        """
        run = self._run(run_id)
        for name in ("started_at", "started"):  # Gitea's and Forgejo's
            if run.get(name):
                attempt = run.get("run_attempt")
                return Attempt(attempt if isinstance(attempt, int) else 1, moment(run, name))
        said = self._client.get(self._root).headers.get("date", "")
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
        place = self._place(pull_request)
        for page in self._client.pages(f"{self._root}/{place}", {"since": since} if since else {}):
            found += [self._comment(place, member) for member in objects(page.json(), page.url)]
        return tuple(found)

    def edit_comment(self, comment: Comment, body: Redacted) -> Comment:
        """Replaces the body of a comment."""
        path = f"{self._root}/issues/comments/{comment.id}"
        answer = self._written("PATCH", path, {"body": body}, self.comment_next)
        return self._comment("", mapping(answer.json())) if answer else comment

    def _place(self, pull_request: int) -> str:
        return f"issues/{pull_request}/comments"

    def _comment(self, place: str, document: Mapping[str, Json]) -> Comment:
        return Comment(
            id=number(document, "id"),
            node_id="",
            author=author_of(document.get("user")),
            body=str(document.get("body") or ""),
            url=text(document, "html_url"),
            updated_at=moment(document, "updated_at"),
        )

    def _latest_status(self, commit: str, name: str) -> Status | None:
        path = f"{self._root}/commits/{commit}/statuses"
        answer = self._client.get(path, {"sort": "recentupdate", "limit": limits.STATUSES_LOOKED_AT})
        return latest_status(objects(answer.json(), answer.url), "context", name)

    def _run(self, run_id: str) -> Mapping[str, Json]:
        try:
            return mapping(self._client.get(f"{self._root}/actions/runs/{quote(run_id, safe='')}").json())
        except ForgeError as error:
            if error.status == 404:
                return {}
            raise
