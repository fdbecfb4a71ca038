"""A false GitHub on 127.0.0.1: it keeps state, and every request and answer has the shape that GitHub describes.

As a process of its own: `python -m tests.forge.server --port 0 --state FILE`. It prints its port, reads FILE where it
exists (see `tests.forge.world`) and writes it, with the list of requests, after each request. SIGTERM ends it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import formatdate
from enum import Enum, auto
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from tests.forge import graphql_api, issues, reports, reviewing
from tests.forge.contract import check, example
from tests.forge.world import START, Account, Grant, Stored, World, Written, new_world, read_world

_PERMISSION_HEADER = "X-Accepted-GitHub-Permissions"


@dataclass(frozen=True)
class Seen:
    """One request as it arrived; header names are in lower case."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_write(self) -> bool:
        """Whether it was to change something: any method but GET, and of GraphQL a mutation."""
        return b"mutation" in self.body if self.path == "/graphql" else self.method != "GET"


@dataclass(frozen=True)
class Reply:
    """One answer."""

    status: int
    document: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    raw: bytes | None = None

    @property
    def content(self) -> bytes:
        """Its bytes on the wire."""
        if self.raw is not None:
            return self.raw
        return b"" if self.document is None else json.dumps(self.document).encode()


class Break(Enum):
    """How the connection fails: before the request is carried out, after it, or in the middle of the answer."""

    DROP = auto()
    LOSE = auto()
    TRUNCATE = auto()
    HANG = auto()
    DRIP = auto()


@dataclass
class Fault:
    """What goes wrong with the next `times` requests that match: an answer instead of the right one, or a break."""

    method: str
    path: re.Pattern[str]
    happens: Reply | Break
    times: int


@dataclass
class Hook:
    """Something that happens once, after a matching request was carried out and before its answer is sent."""

    method: str
    path: re.Pattern[str]
    action: Callable[[World], object]


class ForgeServer:
    """A server with its state. Use as a context manager; `violations` lists what was not as the forge describes it."""

    def __init__(self, world: World | None = None, *, port: int = 0, state_file: Path | None = None) -> None:
        self.world = world or new_world()
        self.requests: list[Seen] = []
        self.violations: list[str] = []
        self._faults: list[Fault] = []
        self._hooks: list[Hook] = []
        self._lock = threading.RLock()
        self._released = threading.Event()
        self._state_file = state_file
        self._http = _Server(("127.0.0.1", port), _Handler)
        self._http.forge = self
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._released.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._http.server_address[1])

    @property
    def api_url(self) -> str:
        """Where the API begins."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def writes(self) -> list[Seen]:
        """The requests that were to change something."""
        return [seen for seen in self.requests if seen.is_write]

    def environment(self, **more: str) -> dict[str, str]:
        """The variables of a job that talks to this server."""
        raise NotImplementedError

    def fault(self, method: str, path: str, happens: Reply | Break, *, times: int = 1) -> None:
        """Lets the next requests of this method whose path matches the regular expression go wrong."""
        self._faults.append(Fault(method, re.compile(path), happens, times))

    def after(self, method: str, path: str, action: Callable[[World], object]) -> None:
        """Does something behind the caller's back, once, when such a request was carried out."""
        self._hooks.append(Hook(method, re.compile(path), action))

    def answer(self, seen: Seen) -> Reply | Break:
        """Carries out one request: the fault it meets, or the checked answer."""
        with self._lock:
            self.requests.append(seen)
            fault = self._next_fault(seen)
            if isinstance(fault, Reply) or fault in (Break.DROP, Break.HANG):
                self._keep_state()
                return fault
            reply = self._checked(seen, self._route(seen))
            for hook in [h for h in self._hooks if h.method == seen.method and h.path.search(seen.path)]:
                self._hooks.remove(hook)
                hook.action(self.world)
            self._keep_state()
            return fault or reply

    def hang(self) -> None:
        """Blocks a request until the server ends."""
        self._released.wait()

    def carried_out(self, seen: Seen) -> Reply:
        """The answer to a read, once more: for a break in the middle of it."""
        return self._route(seen)

    def _next_fault(self, seen: Seen) -> Reply | Break | None:
        for fault in self._faults:
            if fault.times > 0 and fault.method == seen.method and fault.path.search(seen.path):
                fault.times -= 1
                return fault.happens
        return None

    def _checked(self, seen: Seen, reply: Reply) -> Reply:
        wrong = self.violation(seen, reply)
        if wrong:
            self.violations.append(wrong)
            return Reply(500, {"message": wrong})
        return reply

    def _keep_state(self) -> None:
        if self._state_file:
            listed = [{"method": s.method, "path": s.path, "is_write": s.is_write} for s in self.requests]
            told = json.loads(self.world.to_json()) | {"requests": listed, "violations": self.violations}
            beside = self._state_file.with_suffix(".new")
            beside.write_text(json.dumps(told, indent=1), "utf-8")
            beside.replace(self._state_file)

    def violation(self, seen: Seen, reply: Reply) -> str:
        """What in a request or its answer is not as the forge describes it, or an empty text."""
        raise NotImplementedError

    def _route(self, seen: Seen) -> Reply:
        raise NotImplementedError


class GitHubServer(ForgeServer):
    """A false GitHub. The same API is below `/api/v3`, as on GitHub Enterprise."""

    @property
    def graphql_url(self) -> str:
        """For GITHUB_GRAPHQL_URL."""
        return f"{self.api_url}/graphql"

    def environment(self, **more: str) -> dict[str, str]:
        """The variables of a GitHub job that talks to this server."""
        known = {
            "GITHUB_ACTIONS": "true",
            "GITHUB_API_URL": self.api_url,
            "GITHUB_GRAPHQL_URL": self.graphql_url,
            "GITHUB_SERVER_URL": "https://github.com",
            "GITHUB_REPOSITORY": self.world.repository,
            "GITHUB_RUN_ID": "77",
            "GITHUB_RUN_ATTEMPT": "1",
            "GITHUB_TOKEN": next(iter(self.world.tokens), ""),
        }
        return known | more

    def violation(self, seen: Seen, reply: Reply) -> str:
        """What is not as GitHub describes it; the host of the archives is another one."""
        if seen.path.startswith("/blobs/"):
            return ""
        if seen.path == "/graphql":
            return "" if graphql_api.is_valid(reply.document or {}) else f"graphql: {reply.document['errors']}"
        return check(seen.method, seen.path, seen.query, seen.body, reply.status, reply.content)

    def _route(self, seen: Seen) -> Reply:
        blob = re.fullmatch(r"/blobs/(\d+)", seen.path)
        if blob:
            return self._blob(seen, int(blob[1]))
        grant, refusal = self._grant(seen)
        if refusal:
            return refusal
        if seen.path == "/graphql":
            return Reply(200, graphql_api.execute(self.world, grant, json.loads(seen.body)))
        root = f"/repos/{self.world.repository}"
        if seen.path == root and seen.method == "GET":
            return self._repository()
        below = seen.path.removeprefix(f"{root}/")
        if seen.method == "GET" and below.startswith(("actions/permissions", "branches/", "rules/")):
            return self._setting(below, grant)
        if seen.path == f"{root}/pulls" and seen.method == "GET":
            return self._pulls(seen)
        routes: tuple[tuple[str, str, Callable[[Seen, Grant, int], Reply]], ...] = (
            ("GET", rf"{root}/pulls/(\d+)", self._pull),
            ("GET", rf"{root}/actions/runs/(\d+)", self._run),
            ("GET", rf"{root}/actions/runs/(\d+)/artifacts", self._artifacts),
            ("GET", rf"{root}/actions/artifacts/(\d+)/zip", self._archive),
            ("GET", rf"{root}/issues/(\d+)/comments", self._list),
            ("POST", rf"{root}/issues/(\d+)/comments", self._create),
            ("GET", rf"{root}/issues/comments/(\d+)", self._read),
            ("PATCH", rf"{root}/issues/comments/(\d+)", self._edit),
        )
        told = reports.answer(self.world, seen, grant) or reviewing.answer(self.world, seen, grant)
        told = told or issues.answer(self.world, seen, grant)
        if told is not None:
            status, document = told
            if status == 200 and isinstance(document, list) and len(document) == int(seen.query.get("per_page", "30")):
                # Nothing here knows whether it is the last one; the next may be empty.
                query = urlencode({**seen.query, "page": int(seen.query.get("page", "1")) + 1})
                address = f"http://{seen.headers.get('host', '')}{seen.path}?{query}"
                return Reply(status, document, {"Link": f'<{address}>; rel="next"'})
            return _forbidden(document) if status == 403 else _not_found() if status == 404 else Reply(status, document)
        found = re.fullmatch(rf"{root}/commits/([^/]+)/pulls", seen.path)
        if found and seen.method == "GET":
            return self._pulls_of(found[1])
        for method, pattern, carry_out in routes:
            match = re.fullmatch(pattern, seen.path)
            if match and method == seen.method:
                return carry_out(seen, grant, int(match[1]))
        return _not_found()

    def _grant(self, seen: Seen) -> tuple[Grant, Reply | None]:
        kind, _, token = seen.headers.get("authorization", "").partition(" ")
        if not token:
            anyone = Grant("", {"pull-requests": "read", "metadata": "read", "actions": "read"}, tells_viewer=False)
            needs_one = seen.method != "GET"
            return anyone, Reply(401, {"message": "Requires authentication"}) if needs_one else None
        grant = self.world.tokens.get(token) if kind.lower() in ("bearer", "token") else None
        if grant is None:
            return Grant("", {}), Reply(401, {"message": "Bad credentials"})
        return grant, None

    def _repository(self) -> Reply:
        owner, _, name = self.world.repository.partition("/")
        document = json.loads(example("full-repository")) | {"has_discussions": False}
        document |= {"name": name, "full_name": self.world.repository, "default_branch": self.world.default_branch}
        document["owner"]["login"] = owner
        return Reply(200, document)

    def _setting(self, below: str, grant: Grant) -> Reply:
        """Rulesets are told to everyone who may read; the rest to those who may read the administration."""
        if below.startswith("rules/"):
            return Reply(200, self.world.settings.get(below, []))
        if "administration" not in grant.permissions:
            return _forbidden("administration=read")
        found = self.world.settings.get(below)
        if found is not None:
            return Reply(200, found)
        examples = {
            "actions/permissions": "actions-repository-permissions",
            "actions/permissions/workflow": "actions-default-workflow-permissions",
            "actions/permissions/fork-pr-contributor-approval": "actions-fork-pr-contributor-approval",
        }
        name = examples.get(below)
        return Reply(200, json.loads(example(name))) if name else _not_found()

    def _pull(self, _seen: Seen, _grant: Grant, number: int) -> Reply:
        pull = self.world.pulls.get(number)
        if pull is None:
            return _not_found()
        document = json.loads(example("pull-request")) | {"number": number, "locked": pull.is_locked}
        document["requested_teams"] = []
        document["head"]["sha"] = pull.head
        document["head"]["repo"]["id"] = pull.repository
        document["base"]["ref"] = pull.base
        document["user"] |= {"login": pull.author, "id": self.world.accounts[pull.author].id}
        is_closed = pull.is_closed or bool(pull.merge_commit)
        document |= {"state": "closed" if is_closed else "open", "merged": bool(pull.merge_commit)}
        return Reply(200, document)

    def _pulls(self, seen: Seen) -> Reply:
        """Open pull requests, from one branch where `head` names it as `owner:branch`."""
        listed = []
        for pull in self.world.pulls.values():
            is_asked_for = seen.query.get("base", pull.base) == pull.base
            if (
                is_asked_for
                and not pull.merge_commit
                and not pull.is_closed
                and seen.query.get("head", "") in ("", f"{pull.owner}:{pull.branch}")
            ):
                (document,) = json.loads(example("pull-request-simple-items"))
                document |= {"number": pull.number, "merged_at": None, "state": "open", "requested_teams": []}
                document["head"] |= {"sha": pull.head, "ref": pull.branch}
                document["base"]["ref"] = pull.base
                document["head"]["repo"] |= {"id": pull.repository}
                listed.append(document)
        return Reply(200, listed)

    def _pulls_of(self, commit: str) -> Reply:
        """Pull requests that brought a commit to its branch, or have it as their head."""
        listed = []
        for pull in self.world.pulls.values():
            if commit in (pull.merge_commit, pull.head):
                (document,) = json.loads(example("pull-request-simple-items"))
                document |= {"number": pull.number, "merge_commit_sha": pull.merge_commit or None}
                document["merged_at"] = START if pull.merge_commit else None
                document["head"]["sha"] = pull.head
                document["base"]["ref"] = pull.base
                document["user"] |= {"login": pull.author, "id": self.world.accounts[pull.author].id}
                document["requested_teams"] = []
                listed.append(document)
        return Reply(200, listed)

    def _run(self, _seen: Seen, grant: Grant, number: int) -> Reply:
        run = self.world.runs.get(number)
        if run is None:
            return _not_found()
        if "actions" not in grant.permissions:
            return _forbidden("actions=read")
        return Reply(200, reviewing.run_document(self.world, run))

    def _artifacts(self, seen: Seen, grant: Grant, number: int) -> Reply:
        """Artifacts of all attempts of a run, those that expired included, page by page."""
        if "actions" not in grant.permissions:
            return _forbidden("actions=read")
        listed = [stored for stored in self.world.artifacts if stored.run == number]
        size, page = int(seen.query.get("per_page", "30")), int(seen.query.get("page", "1"))
        shown = [self._artifact(stored) for stored in listed[(page - 1) * size : page * size]]
        links = {}
        if page * size < len(listed):
            address = f"http://{seen.headers.get('host', '')}{seen.path}?{urlencode({**seen.query, 'page': page + 1})}"
            links["Link"] = f'<{address}>; rel="next"'
        return Reply(200, {"total_count": len(listed), "artifacts": shown}, links)

    def _artifact(self, stored: Stored) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(example("artifact-paginated"))["artifacts"][0]
        size = len(stored.archive)
        told = {"id": stored.id, "name": stored.name, "size_in_bytes": size, "expired": stored.expired}
        document |= told | {"digest": stored.digest, "created_at": stored.created_at}
        of = {"id": stored.run, "head_sha": stored.head, "repository_id": 1, "head_repository_id": stored.repository}
        document["workflow_run"] |= of
        return document

    def _archive(self, seen: Seen, grant: Grant, number: int) -> Reply:
        """GitHub sends on to another host, for one minute; here the other host is this one under its other name."""
        stored = next((stored for stored in self.world.artifacts if stored.id == number), None)
        if stored is None:
            return _not_found()
        if "actions" not in grant.permissions:
            return _forbidden("actions=read")
        if stored.expired:
            return Reply(410, {"message": "Artifact has expired", "documentation_url": "https://docs.github.com"})
        return Reply(302, None, {"Location": f"http://localhost:{self.port}/blobs/{stored.id}"})

    def _blob(self, seen: Seen, number: int) -> Reply:
        """What the other host answers: bytes, and an error for a token, which must never get there."""
        if "authorization" in seen.headers:
            self.violations.append("a token was sent to the host of the archives")
        stored = next(stored for stored in self.world.artifacts if stored.id == number)
        return Reply(200, raw=stored.archive)

    def _list(self, seen: Seen, _grant: Grant, number: int) -> Reply:
        pull = self.world.pulls.get(number)
        if pull is None:
            return _not_found()
        since = seen.query.get("since", "")
        listed = [comment for comment in pull.comments if comment.updated_at >= since]
        size, page = int(seen.query.get("per_page", "30")), int(seen.query.get("page", "1"))
        shown = [self._document(comment) for comment in listed[(page - 1) * size : page * size]]
        links = {}
        if page * size < len(listed):
            links["next"], links["last"] = page + 1, -(-len(listed) // size)
        if page > 1:
            links["prev"], links["first"] = page - 1, 1
        address = f"http://{seen.headers.get('host', '')}{seen.path}"
        linked = [
            f'<{address}?{urlencode({**seen.query, "page": target})}>; rel="{name}"' for name, target in links.items()
        ]
        return _tagged(seen, Reply(200, shown, {"Link": ", ".join(linked)} if linked else {}))

    def _create(self, seen: Seen, grant: Grant, number: int) -> Reply:
        pull = self.world.pulls.get(number)
        if pull is None:
            return _not_found()
        body = json.loads(seen.body)["body"]
        refusal = self._write_refusal(grant, body)
        if refusal:
            return refusal
        if pull.is_locked:
            return Reply(403, {"message": "Unable to create comment because issue is locked."})
        if len(pull.comments) >= self.world.comments_max:
            return Reply(403, {"message": "Commenting is disabled on issues with more than 2500 comments"})
        return Reply(201, self._document(self.world.comment(number, grant.login, body)))

    def _read(self, _seen: Seen, _grant: Grant, number: int) -> Reply:
        written = self.world.find(number)
        return Reply(200, self._document(written)) if written else _not_found()

    def _edit(self, seen: Seen, grant: Grant, number: int) -> Reply:
        written = self.world.find(number)
        if written is None:
            return _not_found()
        body = json.loads(seen.body)["body"]
        refusal = self._write_refusal(grant, body)
        if refusal:
            return refusal
        self.world.edit(written, body)
        return Reply(200, self._document(written))

    def _write_refusal(self, grant: Grant, body: str) -> Reply | None:
        if grant.permissions.get("pull-requests") != "write":
            return _forbidden("issues=write; pull_requests=write")
        if len(body.encode()) > self.world.comment_bytes_max:
            problem = "Body is too long (maximum is 65536 characters)"
            return Reply(
                422,
                {
                    "message": "Validation Failed",
                    "documentation_url": "https://docs.github.com",
                    "errors": [
                        {"resource": "IssueComment", "code": "unprocessable", "field": "data", "message": problem}
                    ],
                },
            )
        return None

    def _document(self, written: Written) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(example("issue-comment"))
        account = self.world.accounts.get(written.login, Account(1, written.login))
        document |= {
            "id": written.id,
            "node_id": written.node_id,
            "body": written.body,
            "created_at": written.created_at,
            "updated_at": written.updated_at,
            "html_url": f"https://github.com/{self.world.repository}/pull/7#issuecomment-{written.id}",
        }
        document["user"] |= {"login": account.login, "id": account.id, "type": account.type}
        return document


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    forge: ForgeServer

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is no failure of the server; anything else is recorded."""
        error = sys.exception()
        if not isinstance(error, ConnectionError | TimeoutError):
            self.forge.violations.append(f"the server failed: {error!r}")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Headers and body in one packet: two would cost 40 ms each, while one side waits for the acknowledgement.
    wbufsize = -1
    server: _Server

    def do_GET(self) -> None:
        """Any read."""
        self._handle()

    def do_POST(self) -> None:
        """Any creation, and GraphQL."""
        self._handle()

    def do_PUT(self) -> None:
        """Any edit, as GitLab has it."""
        self._handle()

    def do_PATCH(self) -> None:
        """Any edit."""
        self._handle()

    def do_DELETE(self) -> None:
        """Any removal."""
        self._handle()

    def date_time_string(self, timestamp: float | None = None) -> str:
        """The forge's clock is its world's."""
        return formatdate(datetime.fromisoformat(self.server.forge.world.now).timestamp(), usegmt=True)

    def log_message(self, format: str, *args: object) -> None:
        """Keeps standard error quiet."""

    def _handle(self) -> None:
        seen = self._seen()
        happened = self.server.forge.answer(seen)
        if isinstance(happened, Reply):
            self._send(happened, happened.content)
        elif happened is Break.TRUNCATE:
            reply = self.server.forge.carried_out(seen)
            self._send(reply, reply.content[: len(reply.content) // 2], claimed=len(reply.content))
            self._close()
        elif happened is Break.DRIP:
            reply = self.server.forge.carried_out(seen)
            self._send(reply, reply.content[:1], claimed=len(reply.content))
            self.wfile.flush()
            self.server.forge.hang()
        else:
            if happened is Break.HANG:
                self.server.forge.hang()
            self._close()

    def _seen(self) -> Seen:
        # A client that uses this server as its proxy names the whole address in the request line.
        parts = urlsplit(self.path)
        path = unquote(parts.path).replace("/api/v3", "", 1).replace("/api/graphql", "/graphql", 1)
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", "0")))
        return Seen(self.command, path, dict(parse_qsl(parts.query)), headers, body)

    def _send(self, reply: Reply, content: bytes, claimed: int | None = None) -> None:
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(content) if claimed is None else claimed))
        self.end_headers()
        self.wfile.write(content)
        self.wfile.flush()

    def _close(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)


def _tagged(seen: Seen, reply: Reply) -> Reply:
    tag = f'W/"{hashlib.sha256(reply.content).hexdigest()}"'
    headers = {**reply.headers, "ETag": tag}
    return (
        Reply(304, None, headers) if seen.headers.get("if-none-match") == tag else Reply(200, reply.document, headers)
    )


def _not_found() -> Reply:
    return Reply(404, {"message": "Not Found", "documentation_url": "https://docs.github.com/rest", "status": "404"})


def _forbidden(permissions: str) -> Reply:
    message = {"message": "Resource not accessible by integration", "documentation_url": "https://docs.github.com/rest"}
    return Reply(403, message, {_PERMISSION_HEADER: permissions})


def main() -> None:
    """Serves until it is ended by a signal."""
    parser = argparse.ArgumentParser(prog="python -m tests.forge.server")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--state", type=Path)
    given = parser.parse_args()
    state: Path | None = given.state
    world = read_world(state.read_text("utf-8")) if state and state.exists() else new_world()
    with GitHubServer(world, port=given.port, state_file=state) as server:
        print(server.port, flush=True)  # noqa: T201
        threading.Event().wait()


if __name__ == "__main__":
    main()
