"""What the false GitHub knows: accounts, tokens, one repository, its pull requests, comments and runs."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

JOB_TOKEN = "ghs_job"
JOB_LOGIN = "github-actions[bot]"
JOB_ID = 41898282
START = "2026-11-22T08:00:00Z"


def timestamp(moment: datetime) -> str:
    """`moment` as GitHub writes times: whole seconds, UTC."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class Account:
    """Who writes: `type` is `User` or `Bot`."""

    id: int
    login: str
    type: str = "User"


@dataclass
class Grant:
    """What a token may: whose it is, and GitHub's permission names with `read` or `write`."""

    login: str
    permissions: dict[str, str]
    tells_viewer: bool = True


@dataclass
class Written:
    """A comment as stored; `minimised` is the reason in lower case, or empty."""

    id: int
    login: str
    body: str
    created_at: str
    updated_at: str
    minimised: str = ""
    edits: int = 0

    @property
    def node_id(self) -> str:
        """Its name in GraphQL."""
        return f"IC_{self.id}"


@dataclass
class Submitted:
    """A review as stored; `state` is GitHub's word for it."""

    id: int
    login: str
    state: str
    commit: str
    submitted_at: str


@dataclass
class Pull:
    """A pull request; `head` is its live head commit, `merge_commit` what merging it made, or empty.

    `repository` is the id of the repository that its head is in, `owner` and `branch` name where.
    """

    number: int
    head: str
    is_locked: bool = False
    merge_commit: str = ""
    repository: int = 1
    owner: str = "octo"
    branch: str = "topic"
    author: str = "octocat"
    base: str = "main"
    is_closed: bool = False
    labels: list[str] = field(default_factory=list)
    comments: list[Written] = field(default_factory=list)
    reviews: list[Submitted] = field(default_factory=list)


@dataclass
class Run:
    """A workflow run with its latest attempt."""

    id: int
    attempt: int = 1
    started_at: str = START
    status: str = "in_progress"
    event: str = "pull_request"
    path: str = ".github/workflows/shipway.yml"
    head: str = "a" * 40
    repository: int = 1
    owner: str = "octo"
    branch: str = "topic"
    conclusion: str | None = None
    created_at: str = START
    host: int = 1
    started_by: str = "octocat"


@dataclass
class Stored:
    """A build artifact of a run: the zip file as Base64 text."""

    id: int
    run: int
    name: str
    content: str
    expired: bool = False
    digest: str | None = None
    head: str = "a" * 40
    repository: int = 1
    created_at: str = START

    @property
    def archive(self) -> bytes:
        """The bytes of the zip file."""
        return base64.b64decode(self.content)


@dataclass
class Filed:
    """An issue as stored."""

    number: int
    login: str
    title: str
    body: str
    created_at: str
    updated_at: str
    state: str = "open"
    edits: int = 0


@dataclass
class Told:
    """A check run as stored: what was sent of it, annotations in the order in which they came, and when it was completed."""

    id: int
    commit: str
    document: dict[str, Any]
    annotations: list[dict[str, Any]] = field(default_factory=list)
    at: str = START


@dataclass
class Announced:
    """A deployment as stored, with its statuses, the first one first."""

    id: int
    document: dict[str, Any]
    statuses: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class World:
    """The whole state. Its clock advances by one second with each change, so that answers are the same in every run.

    `settings` are answers by their path below the repository; what is not there is not set.
    """

    repository: str = "octo/shop"
    default_branch: str = "main"
    now: str = START
    accounts: dict[str, Account] = field(default_factory=dict)
    tokens: dict[str, Grant] = field(default_factory=dict)
    pulls: dict[int, Pull] = field(default_factory=dict)
    runs: dict[int, Run] = field(default_factory=dict)
    artifacts: list[Stored] = field(default_factory=list)
    checks: list[Told] = field(default_factory=list)
    deployments: list[Announced] = field(default_factory=list)
    statuses: list[dict[str, Any]] = field(default_factory=list)
    issues: list[Filed] = field(default_factory=list)
    roles: dict[str, str] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    held: dict[str, list[str]] = field(default_factory=dict)
    """Commits that a branch holds besides its head."""
    changed: dict[str, list[str]] = field(default_factory=dict)
    """Paths that the branch which holds a commit has changed since, by the commit; of a file that was renamed `new <- old`."""
    lost: list[str] = field(default_factory=list)
    """Commits that are known, and on no branch any more."""
    settings: dict[str, Any] = field(default_factory=dict)
    comment_bytes_max: int = 262_144
    comments_max: int = 2_500
    next_id: int = 1000

    def account(self, login: str, number: int, type: str = "User") -> Account:
        """Adds an account."""
        return self.accounts.setdefault(login, Account(number, login, type))

    def pull(self, number: int, head: str) -> Pull:
        """Adds a pull request."""
        return self.pulls.setdefault(number, Pull(number, head))

    def comment(self, number: int, login: str, body: str) -> Written:
        """Writes a comment and returns it."""
        at = self.tick()
        self.next_id += 1
        written = Written(self.next_id, login, body, at, at)
        self.pulls[number].comments.append(written)
        return written

    def issue(self, login: str, title: str, body: str) -> Filed:
        """Opens an issue and returns it."""
        at = self.tick()
        self.next_id += 1
        filed = Filed(self.next_id, login, title, body, at, at)
        self.issues.append(filed)
        return filed

    def upload(self, run: int, name: str, archive: bytes) -> Stored:
        """Keeps an artifact of a run; a name is given once in a run."""
        assert all((stored.run, stored.name) != (run, name) for stored in self.artifacts)
        self.next_id += 1
        digest = f"sha256:{hashlib.sha256(archive).hexdigest()}"
        stored = Stored(self.next_id, run, name, base64.b64encode(archive).decode(), digest=digest)
        stored.created_at = self.tick()
        if run in self.runs:
            stored.head, stored.repository = self.runs[run].head, self.runs[run].repository
        self.artifacts.append(stored)
        return stored

    def review(self, number: int, login: str, state: str = "APPROVED", commit: str = "") -> Submitted:
        """Submits a review of a pull request, of its head where no commit is named."""
        self.next_id += 1
        submitted = Submitted(self.next_id, login, state, commit or self.pulls[number].head, self.tick())
        self.pulls[number].reviews.append(submitted)
        return submitted

    def edit(self, comment: Written, body: str) -> None:
        """Replaces the body of a comment."""
        comment.body, comment.updated_at, comment.edits = body, self.tick(), comment.edits + 1

    def find(self, number: int) -> Written | None:
        """The comment with this id."""
        return next((c for pull in self.pulls.values() for c in pull.comments if c.id == number), None)

    def node(self, node_id: str) -> Written | None:
        """The comment with this name in GraphQL."""
        number = node_id.removeprefix("IC_")
        return self.find(int(number)) if number.isdigit() else None

    def tick(self) -> str:
        """Advances the clock and returns the time."""
        moment = datetime.strptime(self.now, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC) + timedelta(seconds=1)
        self.now = timestamp(moment)
        return self.now

    def to_json(self) -> str:
        """The state as text, for another process."""
        return json.dumps(asdict(self), indent=1)


def new_world() -> World:
    """A repository `octo/shop` whose job token may comment, with pull request 7 and run 77."""
    world = World()
    world.account(JOB_LOGIN, JOB_ID, "Bot")
    world.account("octocat", 583231)
    permissions = {
        "contents": "read",
        "pull-requests": "write",
        "checks": "write",
        "actions": "read",
        "metadata": "read",
    }
    world.tokens[JOB_TOKEN] = Grant(JOB_LOGIN, permissions)
    world.pull(7, "a" * 40)
    world.runs[77] = Run(77)
    return world


def read_world(text: str) -> World:
    """The state that `to_json` wrote; what it leaves out is as in a new world."""
    told: dict[str, Any] = json.loads(text)
    world = new_world()
    for name in ("repository", "default_branch", "now", "comment_bytes_max", "comments_max", "next_id"):
        setattr(world, name, told.get(name, getattr(world, name)))
    world.accounts |= {login: Account(**value) for login, value in told.get("accounts", {}).items()}
    world.tokens |= {token: Grant(**value) for token, value in told.get("tokens", {}).items()}
    for value in told.get("pulls", {}).values():
        comments = [Written(**comment) for comment in value.pop("comments", [])]
        submitted = [Submitted(**review) for review in value.pop("reviews", [])]
        world.pulls[value["number"]] = Pull(**value, comments=comments, reviews=submitted)
    world.roles |= told.get("roles", {})
    world.branches |= told.get("branches", {})
    world.artifacts = [Stored(**value) for value in told.get("artifacts", [])]
    world.checks = [Told(**value) for value in told.get("checks", [])]
    world.statuses = told.get("statuses", [])
    world.issues = [Filed(**value) for value in told.get("issues", [])]
    world.deployments = [Announced(**value) for value in told.get("deployments", [])]
    world.runs |= {int(number): Run(**value) for number, value in told.get("runs", {}).items()}
    return world
