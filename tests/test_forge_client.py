"""The client keeps to GitHub's limits and sends no token anywhere else."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from shipway.canonical import Json
from shipway.errors import Reason
from shipway.forges import limits
from shipway.forges.client import Client
from shipway.forges.forge import ForgeError
from tests.forge.server import Break, GitHubServer, Reply
from tests.forge.waiting import Clock, client_of, forge_of

REPOSITORY = "/repos/octo/shop"
LIMITED = {"message": "You have exceeded a secondary rate limit."}


@pytest.fixture
def other() -> Iterator[GitHubServer]:
    """A second host."""
    with GitHubServer() as server:
        yield server


def repository_name(client: Client) -> str:
    document = client.get(REPOSITORY).json()
    assert isinstance(document, dict)
    return str(document["full_name"])


def reset_in(clock: Clock, seconds: int) -> dict[str, str]:
    return {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(int(clock.now().timestamp()) + seconds)}


def test_each_request_names_the_version_and_the_client(github: GitHubServer) -> None:
    repository_name(client_of(github, Clock()))
    (seen,) = github.requests
    assert seen.headers["x-github-api-version"] == limits.API_VERSION
    assert seen.headers["user-agent"].startswith("shipway/")
    assert seen.headers["authorization"] == "Bearer ghs_job"


@pytest.mark.parametrize("status", [403, 429])
def test_case_64_retry_after_is_obeyed(github: GitHubServer, status: int) -> None:
    clock = Clock()
    github.fault("GET", "shop$", Reply(status, LIMITED, {"Retry-After": "17"}))
    assert repository_name(client_of(github, clock)) == "octo/shop"
    assert clock.waits == [17]


def test_case_64_retry_after_may_be_a_date(github: GitHubServer) -> None:
    clock = Clock()
    github.fault("GET", "shop$", Reply(429, LIMITED, {"Retry-After": "Sun, 22 Nov 2026 09:00:30 GMT"}))
    repository_name(client_of(github, clock))
    assert clock.waits == [30]


@pytest.mark.parametrize("status", [403, 429])
def test_case_64_with_nothing_remaining_the_reset_is_waited_for(github: GitHubServer, status: int) -> None:
    clock = Clock()
    github.fault("GET", "shop$", Reply(status, {"message": "API rate limit exceeded"}, reset_in(clock, 90)))
    repository_name(client_of(github, clock))
    assert clock.waits == [90]


@pytest.mark.parametrize("status", [403, 429])
def test_case_64_a_secondary_limit_without_headers_waits_60_s_and_doubles(github: GitHubServer, status: int) -> None:
    clock = Clock()
    github.fault("GET", "shop$", Reply(status, LIMITED), times=2)
    repository_name(client_of(github, clock))
    assert clock.waits == [60, 120]


@pytest.mark.parametrize("headers", [{"Retry-After": "21600"}, None], ids=["six hours", "reset in an hour"])
def test_case_64_a_wait_that_is_too_long_is_not_begun(github: GitHubServer, headers: dict[str, str] | None) -> None:
    clock = Clock()
    github.fault("GET", "shop$", Reply(403, LIMITED, headers or reset_in(clock, 3600)))
    with pytest.raises(ForgeError, match="would be too long"):
        repository_name(client_of(github, clock))
    assert clock.waits == []


def test_case_64_all_waits_together_are_bounded(github: GitHubServer) -> None:
    clock = Clock()
    github.fault("GET", "shop$", Reply(429, LIMITED), times=99)
    with pytest.raises(ForgeError) as caught:
        repository_name(client_of(github, clock))
    assert caught.value.status == 429
    assert sum(clock.waits) <= limits.WAIT_MAX_S


@pytest.mark.parametrize(
    "broken",
    [*(Reply(status, {"message": "oops"}) for status in (500, 502, 503, 504)), Break.DROP, Break.LOSE, Break.TRUNCATE],
)
def test_case_65_errors_and_breaks_of_reads_are_tried_again(github: GitHubServer, broken: Reply | Break) -> None:
    clock = Clock()
    github.fault("GET", "shop$", broken, times=2)
    assert repository_name(client_of(github, clock)) == "octo/shop"
    assert clock.waits == [1, 2]


def test_case_65_tries_are_bounded(github: GitHubServer) -> None:
    clock = Clock()
    github.fault("GET", "shop$", Reply(502, {"message": "bad"}), times=99)
    with pytest.raises(ForgeError, match="502") as caught:
        repository_name(client_of(github, clock))
    assert len(github.requests) == limits.ATTEMPTS
    assert caught.value.reason is Reason.FORGE_UNREACHABLE


def test_case_65_no_answer_within_the_timeout_is_a_failure(github: GitHubServer) -> None:
    github.fault("GET", "shop$", Break.HANG, times=99)
    with pytest.raises(ForgeError, match="got no answer"):
        repository_name(client_of(github, Clock(), timeout_s=0.05))


def test_case_65_a_body_that_comes_too_slowly_is_a_failure(github: GitHubServer) -> None:
    class Late(Clock):
        def now(self) -> datetime:
            self.moment += timedelta(seconds=limits.ANSWER_MAX_S + 1)
            return super().now()

    github.fault("GET", "shop$", Break.DRIP, times=99)
    with pytest.raises(ForgeError, match="its answer was not whole after 120 s"):
        repository_name(client_of(github, Late()))


def test_case_67_an_unchanged_list_is_not_sent_again(github: GitHubServer) -> None:
    github.world.comment(7, "octocat", "remark")
    forge = forge_of(github, Clock())
    first = forge.comments(7)
    assert forge.comments(7) == first
    assert github.requests[1].headers["if-none-match"].startswith("W/")


def test_case_67_a_redirect_of_the_same_host_is_followed_with_the_token(github: GitHubServer) -> None:
    github.fault("GET", "old$", Reply(301, None, {"Location": f"{github.api_url}{REPOSITORY}"}))
    client_of(github, Clock()).get("/repos/octo/old")
    assert [seen.headers.get("authorization") for seen in github.requests] == ["Bearer ghs_job"] * 2


def test_l98_case_67_a_redirect_to_another_host_is_followed_without_the_token(
    github: GitHubServer, other: GitHubServer
) -> None:
    github.fault("GET", "old$", Reply(302, None, {"Location": f"{other.api_url}{REPOSITORY}"}))
    client_of(github, Clock()).get("/repos/octo/old")
    assert "authorization" not in other.requests[0].headers


def test_l98_tokens_of_two_hosts_stay_with_their_hosts(github: GitHubServer, other: GitHubServer) -> None:
    other.world.tokens["ghp_other"] = other.world.tokens["ghs_job"]
    client_of(github, Clock(), "ghs_job").get(f"{other.api_url}{REPOSITORY}")
    client_of(other, Clock(), "ghp_other").get(REPOSITORY)
    client_of(other, Clock(), "ghp_other").get(f"{github.api_url}{REPOSITORY}")
    assert [seen.headers.get("authorization") for seen in other.requests] == [None, "Bearer ghp_other"]
    assert [seen.headers.get("authorization") for seen in github.requests] == [None]


def test_l98_a_next_page_of_another_host_is_refused(github: GitHubServer, other: GitHubServer) -> None:
    link = f'<{other.api_url}{REPOSITORY}/issues/7/comments?page=2>; rel="next"'
    github.fault("GET", "/comments$", Reply(200, [], {"Link": link}))
    with pytest.raises(ForgeError, match="another host"):
        forge_of(github, Clock()).comments(7)
    assert other.requests == []


def test_l98_netrc_adds_no_password_to_any_host(
    github: GitHubServer, other: GitHubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password hunter22\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    github.fault("GET", "old$", Reply(302, None, {"Location": f"{other.api_url}{REPOSITORY}"}))
    client_of(github, Clock(), None).get("/repos/octo/old")
    assert "authorization" not in github.requests[0].headers
    assert "authorization" not in other.requests[0].headers


@pytest.mark.parametrize("status", [301, 302, 307])
def test_l98_a_write_is_never_sent_on_to_another_host(github: GitHubServer, other: GitHubServer, status: int) -> None:
    github.fault(
        "POST", "/comments$", Reply(status, None, {"Location": f"{other.api_url}{REPOSITORY}/issues/7/comments"})
    )
    client = client_of(github, Clock())
    with pytest.raises(ForgeError, match="not followed"):
        client.write("POST", f"{REPOSITORY}/issues/7/comments", {"body": "x"}, landed=lambda: False)
    assert other.requests == []


def test_a_write_is_sent_on_within_its_host(github: GitHubServer) -> None:
    target = f"{github.api_url}{REPOSITORY}/issues/7/comments"
    github.fault("POST", "old/issues", Reply(307, None, {"Location": target}))
    client_of(github, Clock()).write("POST", "/repos/octo/old/issues/7/comments", {"body": "x"}, landed=lambda: False)
    assert [comment.body for comment in github.world.pulls[7].comments] == ["x"]


def test_redirects_in_a_circle_end(github: GitHubServer) -> None:
    github.fault("GET", "shop$", Reply(302, None, {"Location": f"{github.api_url}{REPOSITORY}?again"}), times=99)
    with pytest.raises(ForgeError, match="redirected more than"):
        repository_name(client_of(github, Clock()))


def test_two_writes_are_a_second_apart(github: GitHubServer) -> None:
    clock = Clock()
    client = client_of(github, clock)
    for text in ("one", "two"):
        client.write("POST", f"{REPOSITORY}/issues/7/comments", {"body": text}, landed=lambda: False)
    assert clock.waits == [limits.WRITE_GAP_S]


def test_case_68_a_refused_permission_is_not_tried_again_and_named(github: GitHubServer) -> None:
    clock = Clock()
    denied = Reply(
        403, {"message": "Resource not accessible by integration"}, {"X-Accepted-GitHub-Permissions": "x=write"}
    )
    github.fault("GET", "shop$", denied)
    with pytest.raises(ForgeError) as caught:
        repository_name(client_of(github, clock))
    assert caught.value.reason is Reason.FORGE_PERMISSION
    assert "`x=write`" in caught.value.next
    assert clock.waits == []


def test_g054_an_error_text_shows_no_token_and_no_control_character(github: GitHubServer) -> None:
    github.fault("GET", "shop$", Reply(404, {"message": "\x1b[31mno ghs_job\u202e\nhere" + "x" * 1000}))
    with pytest.raises(ForgeError) as caught:
        repository_name(client_of(github, Clock()))
    assert "no *** here" in caught.value.message
    assert len(caught.value.message) < 500


@pytest.mark.parametrize("content", ["a text", 7, {"id": "x"}, [{"id": 1}]])
def test_answers_of_another_shape_are_failures_and_not_bugs(github: GitHubServer, content: Json) -> None:
    forge = forge_of(github, Clock())
    for path in ("/pulls/7", "/comments$", "/runs/77"):
        github.fault("GET", path, Reply(200, content))
    github.fault("POST", "/graphql", Reply(200, content), times=2)
    with pytest.raises(ForgeError):
        forge.head(7)
    with pytest.raises(ForgeError):
        forge.comments(7)
    with pytest.raises(ForgeError):
        forge.attempt("77")
    assert forge.whoami() is None


def test_the_default_branch_is_the_repositorys(github: GitHubServer) -> None:
    github.world.default_branch = "trunk"
    assert forge_of(github, Clock()).default_branch() == "trunk"
