"""GitLab as a forge, by version 4 of its REST API: notes and commit statuses. What it lacks is said by `Lacking`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from urllib.parse import quote

from shipway.canonical import Json
from shipway.forges import limits
from shipway.forges.answers import is_same_text, members, moment, number, objects, text
from shipway.forges.client import Client, Dialect
from shipway.forges.forge import Attempt, Author, Capability, Check, Comment, ForgeError, Outcome, Posted
from shipway.forges.lacking import Lacking, in_words
from shipway.redaction import Redacted, trusted
from shipway.view import Conclusion

DIALECT = Dialect(
    {"Accept": "application/json"},
    token_header="PRIVATE-TOKEN",
    token_prefix="",
    pages_max=limits.GITLAB_PAGES_MAX,
)
"""Source: https://docs.gitlab.com/api/rest/authentication/#personalprojectgroup-access-tokens"""

_NEXT = "give `GITLAB_TOKEN` the scope `api` and at least the role Developer"

_ENDED = frozenset({"success", "failed", "canceled", "skipped"})

# A pending status would keep the pipeline open for ever, since nothing but another pipeline ends it.
_STATES = {
    Conclusion.SUCCESS: "success",
    Conclusion.ACTION_REQUIRED: "failed",
    Conclusion.FAILURE: "failed",
}

# `/close` at the beginning of a line is obeyed, and GitLab's own search for code blocks knows only fences of three
# backticks, so that it does not see that the line is in one of ours. Source:
# https://gitlab.com/gitlab-org/gitlab/-/blob/master/lib/gitlab/quick_actions/extractor.rb
_QUICK_ACTION = re.compile(r"^/", re.MULTILINE)


class GitLab(Lacking):
    """One project, by its id. `web_url` is the address of its pages, `job` the id of the CI job, empty outside one."""

    name = "GitLab"
    lacks = frozenset(Capability)

    def __init__(self, client: Client, *, project: int, web_url: str, job: str) -> None:
        self._client = client
        self._project = f"/projects/{project}"
        self._web_url = web_url
        self._job = job
        self._author: Author | None = None

    @property
    def requests(self) -> int:
        """How many requests were sent so far, retries included."""
        return self._client.requests

    def whoami(self) -> Author | None:
        """The account behind the token: a project access token has one of its own."""
        if self._author is None:
            self._author = _author(members(self._client.get("/user").json()))
        return self._author

    def default_branch(self) -> str:
        """The repository's default branch."""
        return text(members(self._client.get(self._project).json()), "default_branch")

    def head(self, pull_request: int) -> str:
        """The commit at the head of the merge request now."""
        return text(members(self._client.get(f"{self._project}/merge_requests/{pull_request}").json()), "sha")

    def merged_from(self, commit: str) -> tuple[int, str] | None:
        """The merge request that was merged as this commit, and its head."""
        answer = self._client.get(f"{self._project}/repository/commits/{quote(commit, safe='')}/merge_requests")
        for found in objects(answer.json(), answer.url):
            made = (found.get("merge_commit_sha"), found.get("squash_commit_sha"), found.get("sha"))
            if found.get("state") == "merged" and commit in made:
                return number(found, "iid"), text(found, "sha")
        return None

    def attempt(self, run_id: str) -> Attempt:
        """This job, whose id tells its attempts apart: a retry is another job of the same pipeline."""
        job = members(self._client.get(f"{self._project}/jobs/{quote(self._job, safe='')}").json())
        return Attempt(number(job, "id"), moment(job, "started_at"))

    def is_over(self, run_id: str, attempt: int) -> bool:
        """Whether that job has ended."""
        return members(self._client.get(f"{self._project}/jobs/{attempt}").json()).get("status") in _ENDED

    def comments(self, pull_request: int, *, since: str = "") -> Sequence[Comment]:
        """All notes but those of GitLab itself, over all pages; with `since` those written or edited from then on."""
        order: dict[str, str | int] = (
            {"order_by": "updated_at", "sort": "desc"} if since else {"order_by": "created_at", "sort": "asc"}
        )
        place = f"merge_requests/{pull_request}"
        asked = {**order, "activity_filter": "only_comments", "per_page": limits.PAGE_SIZE}
        found: list[Comment] = []
        for page in self._client.pages(f"{self._project}/{place}/notes", asked):
            noted = [self._comment(place, note) for note in objects(page.json(), page.url)]
            recent = [comment for comment in noted if comment.updated_at >= since]
            found += recent
            if len(recent) < len(noted):
                break
        return tuple(sorted(found, key=lambda comment: comment.id))

    def dress(self, body: Redacted) -> Redacted:
        """The body with a space before each `/` that begins a line, and without carriage returns, which GitLab takes out first."""
        return without_quick_actions(body)

    def create_comment(self, pull_request: int, body: Redacted, *, since: str) -> Comment:
        """Posts a note, once: after a lost answer the notes since `since` are searched for it."""
        found: list[Comment] = []

        def landed() -> bool:
            author = self.whoami()
            recent = self.comments(pull_request, since=since)
            found[:] = [c for c in recent if c.author == author and is_same_text(c.body, self.dress(body))][-1:]
            return bool(found)

        place = f"merge_requests/{pull_request}"
        try:
            answer = self._client.write(
                "POST", f"{self._project}/{place}/notes", {"body": self.dress(body)}, landed=landed
            )
        except ForgeError as error:
            raise _with_next(error) from error
        return self._comment(place, members(answer.json())) if answer else found[0]

    def edit_comment(self, comment: Comment, body: Redacted) -> Comment:
        """Replaces the body of a note."""
        try:
            answer = self._client.write("PUT", f"{self._project}/{comment.node_id}", {"body": self.dress(body)})
        except ForgeError as error:
            raise _with_next(error) from error
        return self._comment(comment.node_id.partition("/notes/")[0], members(answer.json())) if answer else comment

    def post_check(self, check: Check) -> Posted:
        """A commit status with the check's title, unless the latest of its name says the same."""
        why = f"as a commit status: {self.name} {in_words(Capability.CHECKS)}"
        state, description = _STATES[check.conclusion], check.title[: limits.STATUS_CHARACTERS]
        commit = quote(check.commit, safe="")
        answer = self._client.get(f"{self._project}/repository/commits/{commit}/statuses", {"name": check.name})
        told = [
            (each.get("status"), each.get("description"), each.get("target_url"))
            for each in objects(answer.json(), answer.url)
        ]
        if told == [(state, description, check.url)]:
            return Posted(Outcome.UNCHANGED, why=why, requests=self.requests)
        document: dict[str, Json] = {
            "state": state,
            "name": check.name,
            "description": description,
            "target_url": check.url,
        }
        try:
            # Sent twice it says the same twice.
            self._client.write("POST", f"{self._project}/statuses/{commit}", document)
        except ForgeError as error:
            raise _with_next(error) from error
        return Posted(Outcome.CREATED, url=check.url, why=why, requests=self.requests)

    def _comment(self, place: str, note: Mapping[str, Json]) -> Comment:
        author = note.get("author")
        return Comment(
            id=number(note, "id"),
            node_id=f"{place}/notes/{number(note, 'id')}",
            author=_author(members(author)) if isinstance(author, Mapping) else None,
            body=str(note.get("body") or ""),
            url=f"{self._web_url}/-/{place}#note_{number(note, 'id')}",
            updated_at=moment(note, "updated_at"),
        )


def without_quick_actions(body: Redacted) -> Redacted:
    """`body` with a space before each `/` that begins a line, without carriage returns. Once is enough."""
    return trusted(_QUICK_ACTION.sub(" /", body.replace("\r", "")))


def _author(user: Mapping[str, Json]) -> Author:
    """An account. People and bots are of one kind, with one row of numbers."""
    return Author(number(user, "id"), "User")


def _with_next(error: ForgeError) -> ForgeError:
    if error.status in (401, 403) and not error.next:
        error.next = _NEXT
    return error
