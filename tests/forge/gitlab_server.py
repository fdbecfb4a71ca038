"""A false GitLab on 127.0.0.1: it keeps state, obeys quick actions, and answers as GitLab's documentation says.

Its world is GitHub's: pull requests are merge requests, runs are jobs, a grant has the permission `api`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from tests.forge.contract import check
from tests.forge.server import ForgeServer, Reply, Seen
from tests.forge.world import START, Account, Grant, Run, World, Written, new_world

JOB_TOKEN = "glpat-job"
JOB_LOGIN = "project_1_bot_0a1b"
JOB_ID = 9001
PROJECT = 1

_ROOT = "/api/v4"

_OTHERS_CODE = re.compile(r"^```.+?\n```$", re.MULTILINE | re.DOTALL)
"""What GitLab takes for code when it looks for quick actions: fences of exactly three backticks."""

_QUICK_ACTION = re.compile(r"^/(close|merge|label|assign|approve)\b.*$", re.MULTILINE | re.IGNORECASE)


def gitlab_world() -> World:
    """The project `octo/shop` with a project access token, merge request 7 and job 77."""
    world = new_world()
    world.account(JOB_LOGIN, JOB_ID)
    world.tokens = {JOB_TOKEN: Grant(JOB_LOGIN, {"api": "write"})}
    world.runs = {77: Run(77, started_at=START)}
    return world


class GitLabServer(ForgeServer):
    """The server. `obeyed` lists the quick actions that it found in notes."""

    def __init__(self, world: World | None = None) -> None:
        super().__init__(world or gitlab_world())
        self.obeyed: list[str] = []

    @property
    def api_url(self) -> str:
        """Where the API begins."""
        return f"http://127.0.0.1:{self.port}{_ROOT}"

    def environment(self, **more: str) -> dict[str, str]:
        """The variables of a GitLab job of a merge request that talks to this server."""
        known = {
            "GITLAB_CI": "true",
            "CI_API_V4_URL": self.api_url,
            "CI_SERVER_URL": f"http://127.0.0.1:{self.port}",
            "CI_PROJECT_ID": str(PROJECT),
            "CI_PROJECT_PATH": self.world.repository,
            "CI_PIPELINE_ID": "500",
            "CI_PIPELINE_SOURCE": "merge_request_event",
            "CI_PIPELINE_URL": f"http://127.0.0.1:{self.port}/{self.world.repository}/-/pipelines/500",
            "CI_JOB_ID": "77",
            "CI_JOB_NAME": "ship",
            "CI_JOB_TOKEN": "glcbt-job",
            "CI_JOB_URL": f"http://127.0.0.1:{self.port}/{self.world.repository}/-/jobs/77",
            "CI_MERGE_REQUEST_IID": "7",
            "CI_MERGE_REQUEST_PROJECT_ID": str(PROJECT),
            "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": str(PROJECT),
            "CI_COMMIT_SHA": "a" * 40,
            "CI_DEFAULT_BRANCH": "main",
            "GITLAB_TOKEN": next(iter(self.world.tokens), ""),
        }
        return known | more

    def violation(self, seen: Seen, reply: Reply) -> str:
        """What is not as the description says."""
        path = seen.path.removeprefix(_ROOT)
        return check(seen.method, path, seen.query, seen.body, reply.status, reply.content, "gitlab")

    def _route(self, seen: Seen) -> Reply:
        grant = self.world.tokens.get(seen.headers.get("private-token", ""))
        if grant is None:
            return Reply(401, {"message": "401 Unauthorized"})
        project = f"{_ROOT}/projects/{PROJECT}"
        routes: tuple[tuple[str, str, Callable[[Seen, Grant, str], Reply]], ...] = (
            ("GET", f"{_ROOT}/user()", self._user),
            ("GET", f"{project}()", self._project),
            ("GET", rf"{project}/merge_requests/(\d+)", self._merge_request),
            ("GET", rf"{project}/merge_requests/(\d+)/notes", self._list),
            ("POST", rf"{project}/merge_requests/(\d+)/notes", self._create),
            ("PUT", rf"{project}/merge_requests/\d+/notes/(\d+)", self._edit),
            ("GET", rf"{project}/jobs/(\d+)", self._job),
            ("GET", rf"{project}/repository/commits/([0-9a-f]+)/merge_requests", self._merge_requests_of),
            ("GET", rf"{project}/repository/commits/([0-9a-f]+)/statuses", self._statuses),
            ("POST", rf"{project}/statuses/([0-9a-f]+)", self._create_status),
        )
        if seen.is_write and grant.permissions.get("api") != "write":
            told = "The request requires higher privileges than provided by the access token."
            return Reply(403, {"error": "insufficient_scope", "error_description": told, "scope": "api"})
        for method, pattern, carry_out in routes:
            match = re.fullmatch(pattern, seen.path)
            if match and method == seen.method:
                return carry_out(seen, grant, match[1])
        return _not_found()

    def _user(self, _seen: Seen, grant: Grant, _: str) -> Reply:
        if not grant.tells_viewer:
            return Reply(403, {"error": "insufficient_scope"})
        return Reply(200, _account(self.world.accounts[grant.login]))

    def _project(self, _seen: Seen, _grant: Grant, _: str) -> Reply:
        name = self.world.repository
        return Reply(200, {"id": PROJECT, "path_with_namespace": name, "default_branch": self.world.default_branch})

    def _merge_request(self, _seen: Seen, _grant: Grant, number: str) -> Reply:
        pull = self.world.pulls.get(int(number))
        if pull is None:
            return _not_found()
        state = "merged" if pull.merge_commit else "opened"
        told = {"id": 100 + pull.number, "iid": pull.number, "state": state, "sha": pull.head}
        return Reply(200, {**told, "merge_commit_sha": pull.merge_commit or None, "squash_commit_sha": None})

    def _merge_requests_of(self, seen: Seen, grant: Grant, commit: str) -> Reply:
        found = [pull for pull in self.world.pulls.values() if commit in (pull.merge_commit, pull.head)]
        return Reply(200, [self._merge_request(seen, grant, str(pull.number)).document for pull in found])

    def _job(self, _seen: Seen, _grant: Grant, number: str) -> Reply:
        run = self.world.runs.get(int(number))
        if run is None:
            return _not_found()
        status = {"in_progress": "running", "completed": "success"}[run.status]
        return Reply(200, {"id": run.id, "status": status, "started_at": _in_milliseconds(run.started_at)})

    def _list(self, seen: Seen, _grant: Grant, number: str) -> Reply:
        pull = self.world.pulls.get(int(number))
        if pull is None:
            return _not_found()
        by_update = seen.query.get("order_by") == "updated_at"
        listed = sorted(pull.comments, key=lambda c: ((c.updated_at if by_update else c.created_at), c.id))
        if seen.query.get("sort", "desc") == "desc":
            listed.reverse()
        size, page = int(seen.query.get("per_page", "20")), int(seen.query.get("page", "1"))
        links = {}
        if page * size < len(listed):
            address = f"http://{seen.headers.get('host', '')}{seen.path}?{urlencode({**seen.query, 'page': page + 1})}"
            links["Link"] = f'<{address}>; rel="next"'
        return Reply(200, [self._note(written) for written in listed[(page - 1) * size : page * size]], links)

    def _create(self, seen: Seen, grant: Grant, number: str) -> Reply:
        pull = self.world.pulls.get(int(number))
        if pull is None:
            return _not_found()
        if pull.is_locked:
            return Reply(403, {"message": "403 Forbidden"})
        return Reply(201, self._note(self.world.comment(int(number), grant.login, self._kept(seen))))

    def _edit(self, seen: Seen, _grant: Grant, number: str) -> Reply:
        written = self.world.find(int(number))
        if written is None:
            return _not_found()
        self.world.edit(written, self._kept(seen))
        return Reply(200, self._note(written))

    def _kept(self, seen: Seen) -> str:
        """What is kept of a body: quick actions are carried out and cut out, wherever GitLab does not see code around them."""
        body = str(json.loads(seen.body)["body"]).replace("\r", "")
        self.obeyed += [match[0] for match in _QUICK_ACTION.finditer(_OTHERS_CODE.sub("", body))]
        return body

    def _note(self, written: Written) -> dict[str, Any]:
        return {
            "id": written.id,
            "body": written.body,
            "author": _account(self.world.accounts.get(written.login, Account(1, written.login))),
            "created_at": _in_milliseconds(written.created_at),
            "updated_at": _in_milliseconds(written.updated_at),
            "system": False,
            "noteable_type": "MergeRequest",
        }

    def _create_status(self, seen: Seen, _grant: Grant, commit: str) -> Reply:
        self.world.statuses.append({"id": len(self.world.statuses) + 1, "sha": commit, **json.loads(seen.body)})
        return Reply(201, _status(self.world.statuses[-1]))

    def _statuses(self, seen: Seen, _grant: Grant, commit: str) -> Reply:
        """Those of a name, the oldest first: each as if it were of another pipeline."""
        wanted = (commit, seen.query.get("name"))
        return Reply(200, [_status(each) for each in self.world.statuses if (each["sha"], each["name"]) == wanted])


def _account(account: Account) -> dict[str, Any]:
    return {"id": account.id, "username": account.login, "name": account.login, "state": "active"}


def _status(sent: dict[str, Any]) -> dict[str, Any]:
    told = {"id": sent["id"], "sha": sent["sha"], "status": sent["state"], "name": sent["name"]}
    return {**told, "description": sent["description"], "target_url": sent["target_url"]}


def _in_milliseconds(at: str) -> str:
    return at.replace("Z", ".000Z")


def _not_found() -> Reply:
    return Reply(404, {"message": "404 Not Found"})
