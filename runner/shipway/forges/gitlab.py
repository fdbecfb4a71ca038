"""GitLab as a forge, by version 4 of its REST API: notes and commit statuses. What it lacks is said by `Lacking`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from urllib.parse import quote

from shipway.canonical import Json, mapping
from shipway.forges import limits
from shipway.forges.answers import moment, number, objects, text
from shipway.forges.client import Client, Dialect
from shipway.forges.forge import Attempt, Comment
from shipway.forges.plain import PlainForge, Status, author_of, latest_status
from shipway.redaction import Redacted, trusted
from shipway.view import Conclusion

DIALECT = Dialect(
    {"Accept": "application/json"},
    token_header="PRIVATE-TOKEN",
    token_prefix="",
    pages_max=limits.GITLAB_PAGES_MAX,
)
"""Source: https://docs.gitlab.com/api/rest/authentication/#personalprojectgroup-access-tokens"""

_ENDED = frozenset({"success", "failed", "canceled", "skipped"})

# `/close` at the beginning of a line is obeyed, and GitLab's own search for code blocks knows only fences of three
# backticks, so that it does not see that the line is in one of ours. Source:
# https://gitlab.com/gitlab-org/gitlab/-/blob/master/lib/gitlab/quick_actions/extractor.rb
_QUICK_ACTION = re.compile(r"^/", re.MULTILINE)


class GitLab(PlainForge):
    """One project, by its id. `web_url` is the address of its pages, `job` the id of the CI job, empty outside one."""

    name = "GitLab"
    comment_next = status_next = "give `GITLAB_TOKEN` the scope `api` and at least the role Developer"
    # A pending status would keep the pipeline open for ever, since nothing but another pipeline ends it.
    states = MappingProxyType(
        {Conclusion.SUCCESS: "success", Conclusion.ACTION_REQUIRED: "failed", Conclusion.FAILURE: "failed"}
    )
    _status_name = "name"

    def __init__(self, client: Client, *, project: int, web_url: str, job: str) -> None:
        super().__init__(client, f"/projects/{project}")
        self._web_url = web_url
        self._job = job

    def head(self, pull_request: int) -> str:
        """The commit at the head of the merge request now."""
        return text(mapping(self._client.get(f"{self._root}/merge_requests/{pull_request}").json()), "sha")

    def merged_from(self, commit: str) -> tuple[int, str] | None:
        """The merge request that was merged as this commit, and its head."""
        answer = self._client.get(f"{self._root}/repository/commits/{quote(commit, safe='')}/merge_requests")
        for found in objects(answer.json(), answer.url):
            made = (found.get("merge_commit_sha"), found.get("squash_commit_sha"), found.get("sha"))
            if found.get("state") == "merged" and commit in made:
                return number(found, "iid"), text(found, "sha")
        return None

    def attempt(self, run_id: str) -> Attempt:
        """This job, whose id tells its attempts apart: a retry is another job of the same pipeline."""
        job = mapping(self._client.get(f"{self._root}/jobs/{quote(self._job, safe='')}").json())
        return Attempt(number(job, "id"), moment(job, "started_at"))

    def is_over(self, run_id: str, attempt: int) -> bool:
        """Whether that job has ended."""
        return mapping(self._client.get(f"{self._root}/jobs/{attempt}").json()).get("status") in _ENDED

    def comments(self, pull_request: int, *, since: str = "") -> Sequence[Comment]:
        """All notes but those of GitLab itself, over all pages; with `since` those written or edited from then on."""
        order: dict[str, str | int] = (
            {"order_by": "updated_at", "sort": "desc"} if since else {"order_by": "created_at", "sort": "asc"}
        )
        place = self._place(pull_request)
        asked = {**order, "activity_filter": "only_comments", "per_page": limits.PAGE_SIZE}
        found: list[Comment] = []
        for page in self._client.pages(f"{self._root}/{place}", asked):
            noted = [self._comment(place, note) for note in objects(page.json(), page.url)]
            recent = [comment for comment in noted if comment.updated_at >= since]
            found += recent
            if len(recent) < len(noted):
                break
        return tuple(sorted(found, key=lambda comment: comment.id))

    def dress(self, body: Redacted) -> Redacted:
        """The body with a space before each `/` that begins a line, and without carriage returns, which GitLab takes out first."""
        return without_quick_actions(body)

    def edit_comment(self, comment: Comment, body: Redacted) -> Comment:
        """Replaces the body of a note."""
        path = f"{self._root}/{comment.node_id}"
        answer = self._written("PUT", path, {"body": self.dress(body)}, self.comment_next)
        return self._comment(comment.node_id.rpartition("/")[0], mapping(answer.json())) if answer else comment

    def _place(self, pull_request: int) -> str:
        return f"merge_requests/{pull_request}/notes"

    def _comment(self, place: str, document: Mapping[str, Json]) -> Comment:
        note = number(document, "id")
        return Comment(
            id=note,
            node_id=f"{place}/{note}",
            author=author_of(document.get("author")),
            body=str(document.get("body") or ""),
            url=f"{self._web_url}/-/{place.rpartition('/')[0]}#note_{note}",
            updated_at=moment(document, "updated_at"),
        )

    def _latest_status(self, commit: str, name: str) -> Status | None:
        answer = self._client.get(f"{self._root}/repository/commits/{commit}/statuses", {"name": name})
        # Each pipeline of the commit has its own, the oldest one first.
        newest_first = sorted(objects(answer.json(), answer.url), key=lambda each: -number(each, "id"))
        return latest_status(newest_first, "name", name)


def without_quick_actions(body: Redacted) -> Redacted:
    """`body` with a space before each `/` that begins a line, without carriage returns. Once is enough."""
    return trusted(_QUICK_ACTION.sub(" /", body.replace("\r", "")))
