"""A false Gitea on 127.0.0.1: it keeps state, and every request and answer has the shape that Gitea describes.

Its world is GitHub's, with the account of Gitea's own jobs; a grant has the permissions `issue` and `repository`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from tests.forge.contract import check
from tests.forge.server import ForgeServer, Reply, Seen
from tests.forge.world import Account, Grant, World, Written, new_world

JOB_TOKEN = "gitea_job"
JOB_LOGIN = "gitea-actions"
JOB_ID = -2
"""Source: https://github.com/go-gitea/gitea/blob/main/models/user/user_system.go"""

_ROOT = "/api/v1"


def gitea_world() -> World:
    """A repository `octo/shop` whose job token may write comments and statuses, with pull request 7 and run 77."""
    world = new_world()
    world.account(JOB_LOGIN, JOB_ID)
    world.tokens = {JOB_TOKEN: Grant(JOB_LOGIN, {"issue": "write", "repository": "write"})}
    return world


class GiteaServer(ForgeServer):
    """The server. Without `tells_runs` it is one from before there were runs in the API; `zone` is that of its times."""

    tells_runs = True
    zone = UTC

    @property
    def api_url(self) -> str:
        """Where the API begins."""
        return f"http://127.0.0.1:{self.port}{_ROOT}"

    def environment(self, **more: str) -> dict[str, str]:
        """The variables of a Gitea job that talks to this server."""
        known = {
            "GITHUB_ACTIONS": "true",
            "GITEA_ACTIONS": "true",
            "GITHUB_API_URL": self.api_url,
            "GITHUB_SERVER_URL": f"http://127.0.0.1:{self.port}",
            "GITHUB_REPOSITORY": self.world.repository,
            "GITHUB_RUN_ID": "77",
            "GITHUB_RUN_ATTEMPT": "1",
            "GITEA_TOKEN": next(iter(self.world.tokens), ""),
        }
        return known | more

    def violation(self, seen: Seen, reply: Reply) -> str:
        """What is not as Gitea describes it."""
        path = seen.path.removeprefix(_ROOT)
        return check(seen.method, path, seen.query, seen.body, reply.status, reply.content, "gitea")

    def _route(self, seen: Seen) -> Reply:
        kind, _, token = seen.headers.get("authorization", "").partition(" ")
        grant = self.world.tokens.get(token) if kind.lower() in ("token", "bearer") else None
        if grant is None:
            return Reply(401, {"message": "invalid username, password or token"})
        repository = f"{_ROOT}/repos/{self.world.repository}"
        routes: tuple[tuple[str, str, str, Callable[[Seen, Grant, str], Reply]], ...] = (
            ("GET", f"{_ROOT}/user()", "", self._user),
            ("GET", f"{repository}()", "", self._repository),
            ("GET", rf"{repository}/pulls/(\d+)", "", self._pull),
            ("GET", rf"{repository}/commits/([0-9a-f]+)/pull", "", self._pull_of),
            ("GET", rf"{repository}/actions/runs/(\d+)", "", self._run),
            ("GET", rf"{repository}/issues/(\d+)/comments", "", self._list),
            ("POST", rf"{repository}/issues/(\d+)/comments", "issue", self._create),
            ("PATCH", rf"{repository}/issues/comments/(\d+)", "issue", self._edit),
            ("POST", rf"{repository}/statuses/([0-9a-f]+)", "repository", self._create_status),
            ("GET", rf"{repository}/commits/([0-9a-f]+)/statuses", "", self._statuses),
        )
        for method, pattern, scope, carry_out in routes:
            match = re.fullmatch(pattern, seen.path)
            if match and method == seen.method:
                if scope and grant.permissions.get(scope) != "write":
                    return Reply(
                        403, {"message": f"token does not have at least one of required scope(s): [write:{scope}]"}
                    )
                return carry_out(seen, grant, match[1])
        return _not_found()

    def _user(self, _seen: Seen, grant: Grant, _: str) -> Reply:
        if not grant.tells_viewer:
            return Reply(403, {"message": "token does not have at least one of required scope(s): [read:user]"})
        return Reply(200, _account(self.world.accounts[grant.login]))

    def _repository(self, _seen: Seen, _grant: Grant, _: str) -> Reply:
        owner, _, name = self.world.repository.partition("/")
        told = {"id": 1, "name": name, "full_name": self.world.repository, "owner": {"id": 2, "login": owner}}
        return Reply(200, told | {"default_branch": self.world.default_branch})

    def _pull(self, _seen: Seen, _grant: Grant, number: str) -> Reply:
        pull = self.world.pulls.get(int(number))
        if pull is None:
            return _not_found()
        head = {"label": "topic", "ref": "topic", "sha": pull.head, "repo_id": 1}
        told: dict[str, Any] = {"id": 100 + pull.number, "number": pull.number, "state": "open", "head": head}
        if pull.merge_commit:
            told |= {"state": "closed", "merged": True, "merge_commit_sha": pull.merge_commit}
        return Reply(200, told)

    def _pull_of(self, seen: Seen, grant: Grant, commit: str) -> Reply:
        for pull in self.world.pulls.values():
            if pull.merge_commit == commit:
                return self._pull(seen, grant, str(pull.number))
        return _not_found()

    def _run(self, _seen: Seen, _grant: Grant, number: str) -> Reply:
        run = self.world.runs.get(int(number))
        if run is None or not self.tells_runs:
            return _not_found()
        told = {
            "id": run.id,
            "run_attempt": run.attempt,
            "status": run.status,
            "started_at": self._time(run.started_at),
        }
        return Reply(200, told)

    def _list(self, seen: Seen, _grant: Grant, number: str) -> Reply:
        """All comments at once: this answer has no pages."""
        pull = self.world.pulls.get(int(number))
        if pull is None:
            return _not_found()
        since = seen.query.get("since", "")
        return Reply(200, [self._comment(written) for written in pull.comments if written.updated_at >= since])

    def _create(self, seen: Seen, grant: Grant, number: str) -> Reply:
        pull = self.world.pulls.get(int(number))
        if pull is None:
            return _not_found()
        if pull.is_locked:
            return Reply(403, {"message": "user should have permission to comment on a locked issue"})
        body = json.loads(seen.body)["body"]
        return Reply(201, self._comment(self.world.comment(int(number), grant.login, body)))

    def _edit(self, seen: Seen, _grant: Grant, number: str) -> Reply:
        written = self.world.find(int(number))
        if written is None:
            return _not_found()
        self.world.edit(written, json.loads(seen.body)["body"])
        return Reply(200, self._comment(written))

    def _comment(self, written: Written) -> dict[str, Any]:
        url = f"http://127.0.0.1:{self.port}/{self.world.repository}/pulls/7#issuecomment-{written.id}"
        account = self.world.accounts.get(written.login, Account(1, written.login))
        return {
            "id": written.id,
            "html_url": url,
            "user": _account(account),
            "body": written.body,
            "created_at": self._time(written.created_at),
            "updated_at": self._time(written.updated_at),
        }

    def _create_status(self, seen: Seen, _grant: Grant, commit: str) -> Reply:
        self.world.statuses.append({"sha": commit, **json.loads(seen.body)})
        return Reply(201, _status(self.world.statuses[-1]))

    def _statuses(self, _seen: Seen, _grant: Grant, commit: str) -> Reply:
        return Reply(200, [_status(each) for each in reversed(self.world.statuses) if each["sha"] == commit])

    def _time(self, at: str) -> str:
        return datetime.fromisoformat(at).astimezone(self.zone).isoformat()


def _account(account: Account) -> dict[str, Any]:
    return {"id": account.id, "login": account.login, "email": f"{account.login}@noreply.localhost"}


def _status(sent: dict[str, str]) -> dict[str, Any]:
    return {
        "id": 1,
        "context": sent["context"],
        "status": sent["state"],
        "description": sent["description"],
        "target_url": sent["target_url"],
    }


def _not_found() -> Reply:
    return Reply(404, {"message": "The target couldn't be found.", "url": "https://localhost/api/swagger"})
