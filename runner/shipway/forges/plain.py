"""What Gitea and GitLab have in common: one REST API, comments and one-line commit statuses, and none of the capabilities."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import quote

from msgspec import Struct

from shipway.canonical import Json, mapping
from shipway.forges import limits
from shipway.forges.answers import is_same_text, number, text
from shipway.forges.client import Answer, Client
from shipway.forges.forge import Author, Capability, Check, Comment, ForgeError, Outcome, Posted, Survey
from shipway.forges.lacking import Lacking, in_words
from shipway.redaction import Redacted
from shipway.view import Conclusion


class Status(Struct, frozen=True):
    """A commit status of one name: the forge's word for its state, one line, and where it leads to."""

    state: str
    description: str
    url: str


class PlainForge(Lacking):
    """A forge by `client`; `root` is the path of the repository in its API. Accounts are of one kind, with one row of numbers.

    Of a kind of forge: what a state is called there, and what to do where a comment or a status may not be written.
    """

    lacks = frozenset(Capability)
    states: Mapping[Conclusion, str]
    comment_next: str
    status_next: str

    def __init__(self, client: Client, root: str) -> None:
        self._client = client
        self._root = root
        self._author: Author | None = None

    @property
    def requests(self) -> int:
        """How many requests were sent so far, retries included."""
        return self._client.requests

    def whoami(self) -> Author | None:
        """The account behind the token: a job's, a project's and a person's all have one."""
        if self._author is None:
            self._author = author_of(self._client.get("/user").json())
        return self._author

    def default_branch(self) -> str:
        """The repository's default branch."""
        return text(mapping(self._client.get(self._root).json()), "default_branch")

    @abstractmethod
    def head(self, pull_request: int) -> str:
        """The commit at the head of the pull request now."""

    def survey(
        self, pull_request: int, comments: Sequence[Comment], check: str = "", *, reviewed: bool = False
    ) -> Survey:
        """Head and account, each asked for by itself; what cannot be hidden is not."""
        return Survey(self.head(pull_request), self.whoami())

    @abstractmethod
    def comments(self, pull_request: int, *, since: str = "") -> Sequence[Comment]:
        """All comments; with `since` those written or edited from then on."""

    def dress(self, body: Redacted) -> Redacted:
        """The body as it is: nothing in a comment is obeyed."""
        return body

    def create_comment(self, pull_request: int, body: Redacted, *, since: str) -> Comment:
        """Posts a comment, once: after a lost answer the comments since `since` are searched for it."""
        found: list[Comment] = []
        whole, place = self.dress(body), self._place(pull_request)

        def landed() -> bool:
            author = self.whoami()
            recent = self.comments(pull_request, since=since)
            found[:] = [c for c in recent if c.author == author and is_same_text(c.body, whole)][-1:]
            return bool(found)

        answer = self._written("POST", f"{self._root}/{place}", {"body": whole}, self.comment_next, landed)
        return self._comment(place, mapping(answer.json())) if answer else found[0]

    def post_check(self, check: Check) -> Posted:
        """A commit status with the check's title, unless the latest of its name says the same."""
        why = f"as a commit status: {self.name} {in_words(Capability.CHECKS)}"
        status = Status(self.states[check.conclusion], check.title[: limits.STATUS_CHARACTERS], check.url)
        commit = quote(check.commit, safe="")
        if self._latest_status(commit, check.name) == status:
            return Posted(Outcome.UNCHANGED, why=why, requests=self.requests)
        document: dict[str, Json] = {
            self._status_name: check.name,
            "state": status.state,
            "description": status.description,
            "target_url": status.url,
        }
        # Sent twice it says the same twice.
        self._written("POST", f"{self._root}/statuses/{commit}", document, self.status_next)
        return Posted(Outcome.CREATED, url=check.url, why=why, requests=self.requests)

    _status_name: str

    @abstractmethod
    def _place(self, pull_request: int) -> str: ...

    @abstractmethod
    def _comment(self, place: str, document: Mapping[str, Json]) -> Comment: ...

    @abstractmethod
    def _latest_status(self, commit: str, name: str) -> Status | None: ...

    def _written(
        self, method: str, path: str, document: Json, next: str, landed: Callable[[], bool] | None = None
    ) -> Answer | None:
        try:
            return self._client.write(method, path, document, landed=landed)
        except ForgeError as error:
            if error.status in (401, 403) and not error.next:
                error.next = next
            raise


def author_of(account: Json) -> Author | None:
    """An account of an answer; None for one that is gone."""
    return Author(number(mapping(account), "id"), "User") if isinstance(account, Mapping) else None


def latest_status(listed: Sequence[Mapping[str, Json]], key: str, name: str) -> Status | None:
    """The first status of this name in a list that begins with the newest."""
    for each in listed:
        if each.get(key) == name:
            return Status(*(str(each.get(part) or "") for part in ("status", "description", "target_url")))
    return None
