"""Deployments of pull requests' environments: one for each target in one environment, and none left."""

from __future__ import annotations

import pytest

from shipway.errors import Reason
from shipway.forges.forge import DeploymentState, ForgeError
from shipway.forges.previews import Announced
from tests.forge.server import Break, GitHubServer
from tests.forge.waiting import Clock, forge_of
from tests.forge.world import Pull

RUN_URL = "https://github.com/octo/shop/actions/runs/77"


def announced(target: str = "pr-7", commit: str = "a" * 40, url: str = "") -> Announced:
    return Announced("shop", target, commit, "sha256:" + "e" * 64, "77", RUN_URL, url)


@pytest.fixture
def writing(github: GitHubServer) -> GitHubServer:
    """A job whose token may announce deployments."""
    github.world.tokens["ghs_job"].permissions["deployments"] = "write"
    return github


def test_case_93_a_target_is_announced_in_progress_and_then_with_its_address(writing: GitHubServer) -> None:
    forge = forge_of(writing, Clock())
    number = forge.announce(announced(), "up of pr-7")
    forge.tell(number, announced(url="http://web.example.com"), DeploymentState.SUCCESS, "x" * 200)
    (made,) = writing.world.deployments
    assert made.document["environment"] == "preview"
    assert (made.document["auto_merge"], made.document["required_contexts"]) == (False, [])
    assert [status["state"] for status in made.statuses] == ["in_progress", "success"]
    assert made.statuses[-1]["environment_url"] == "http://web.example.com"
    assert len(made.statuses[-1]["description"]) == 140


def test_the_success_of_one_target_leaves_the_others_as_they_are(writing: GitHubServer) -> None:
    forge = forge_of(writing, Clock())
    for target in ("pr-7", "pr-8"):
        forge.tell(forge.announce(announced(target), "up"), announced(target), DeploymentState.SUCCESS, "up")
    assert [made.statuses[-1]["state"] for made in writing.world.deployments] == ["success", "success"]


def test_case_95_what_is_retired_is_inactive_and_deleted_and_nothing_of_another_target_is(
    writing: GitHubServer,
) -> None:
    forge = forge_of(writing, Clock())
    old = forge.announce(announced(), "up")
    forge.tell(old, announced(), DeploymentState.SUCCESS, "up")
    new = forge.announce(announced(commit="b" * 40), "up")
    other = forge.announce(announced("pr-70"), "up")
    forge.tell(other, announced("pr-70"), DeploymentState.SUCCESS, "up")
    assert forge.retire("shop", "pr-7", keep=new) == 1
    assert forge.announced("shop") == ((other, "pr-70"), (new, "pr-7"))
    assert forge.retire("shop", "pr-7") == 1
    assert forge.retire("shop", "pr-7") == 0
    assert forge.announced("shop") == ((other, "pr-70"),)
    assert forge.announced("shop-admin") == ()


def test_all_deployments_are_found_over_all_pages(writing: GitHubServer) -> None:
    forge = forge_of(writing, Clock())
    number = forge.announce(announced(), "up")
    made = writing.world.deployments[0]
    for count in range(120):
        sent = {**made.document, "payload": {"shipway": "shop", "target": f"pr-{count + 100}"}}
        writing.world.deployments.append(type(made)(5000 + count, sent))
    assert len(forge.announced("shop")) == 121
    assert forge.retire("shop", "pr-7") == 1
    assert number not in [found for found, _ in forge.announced("shop")]


def test_a_deployment_whose_answer_was_lost_is_not_made_twice(writing: GitHubServer) -> None:
    writing.fault("POST", "/deployments$", Break.LOSE)
    assert forge_of(writing, Clock()).announce(announced(), "up")
    assert len(writing.world.deployments) == 1


def test_a_deletion_whose_answer_was_lost_is_done(writing: GitHubServer) -> None:
    forge = forge_of(writing, Clock())
    forge.announce(announced(), "up")
    writing.fault("DELETE", "/deployments/", Break.LOSE)
    assert forge.retire("shop", "pr-7") == 1
    assert writing.world.deployments == []


def test_a_missing_permission_for_deployments_of_previews_is_named(github: GitHubServer) -> None:
    github.world.tokens["ghs_job"].permissions["deployments"] = "read"
    with pytest.raises(ForgeError) as caught:
        forge_of(github, Clock()).announce(announced(), "up")
    assert caught.value.reason is Reason.FORGE_PERMISSION
    assert "deployments=write" in caught.value.next


def test_how_a_pull_request_stands(github: GitHubServer) -> None:
    forge = forge_of(github, Clock())
    assert forge.pull(7).is_open
    github.world.pulls[7].is_closed = True
    closed = forge.pull(7)
    assert (closed.is_open, closed.is_merged, closed.head) == (False, False, "a" * 40)
    github.world.pulls[9] = Pull(9, "c" * 40, merge_commit="d" * 40)
    assert forge.pull(9).is_merged
    with pytest.raises(ForgeError):
        forge.pull(404)
