"""What the forge is asked about approvals, against the stateful GitHub: reviews, permissions, runs, merged pull requests."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from shipway.approvals import Permission, Review, ReviewState
from shipway.forges.forge import Author, ForgeError, MergedPull
from tests.forge.server import GitHubServer
from tests.forge.waiting import Clock, forge_of
from tests.forge.world import Run

HEAD, MERGED = "a" * 40, "d" * 40


def test_case_19_the_pull_request_of_a_merge_is_found_by_its_new_commit(github: GitHubServer) -> None:
    github.world.pulls[7].merge_commit = MERGED
    forge = forge_of(github, Clock())
    assert forge.merged_pulls(MERGED) == (MergedPull(7, HEAD, Author(583231, "User"), "main"),)
    assert forge.merged_pulls(HEAD) == ()
    assert forge.merged_pulls("e" * 40) == ()


def test_reviews_of_all_pages_come_in_their_order_without_their_text(github: GitHubServer) -> None:
    github.world.account("ana", 5)
    for _ in range(101):
        github.world.review(7, "ana", "COMMENTED")
    last = github.world.review(7, "ana", commit="b" * 40)
    found = forge_of(github, Clock()).reviews(7)
    assert len(found) == 102
    assert found[-1] == Review(last.id, ReviewState.APPROVED, "b" * 40, last.submitted_at, 5, "ana")
    assert not any("LGTM" in str(review) for review in found)


def test_a_bot_is_no_person(github: GitHubServer) -> None:
    github.world.review(7, "github-actions[bot]")
    [review] = forge_of(github, Clock()).reviews(7)
    assert not review.is_person


def test_one_look_tells_the_reviews_that_rest_lists(github: GitHubServer) -> None:
    github.world.account("ana", 5)
    github.world.review(7, "ana", "CHANGES_REQUESTED")
    github.world.review(7, "github-actions[bot]", "COMMENTED", "b" * 40)
    github.world.review(7, "ana", "DISMISSED", "b" * 40)
    github.world.review(7, "octocat")
    forge = forge_of(github, Clock())
    listed = [replace(review, by=review.by.removesuffix("[bot]")) for review in forge.reviews(7)]
    assert list(forge.survey(7, (), "shipway/shop/default", reviewed=True).reviews or ()) == listed
    assert forge.survey(7, (), "shipway/shop/default").reviews is None


def test_of_more_reviews_than_one_look_takes_in_none_is_told(github: GitHubServer) -> None:
    for _ in range(31):
        github.world.review(7, "octocat", "COMMENTED")
    found = forge_of(github, Clock()).survey(7, (), "shipway/shop/default", reviewed=True)
    assert (found.head, found.reviews) == (HEAD, None)


@pytest.mark.parametrize(
    ("role", "permission"),
    [
        ("maintain", "maintain"),
        ("triage", "triage"),
        ("admin", "admin"),
        ("none", "none"),
        ("Release managers", "none"),
    ],
)
def test_a_permission_is_what_the_forge_says_now(github: GitHubServer, role: str, permission: str) -> None:
    github.world.account("ana", 5)
    github.world.roles["ana"] = role
    review = Review(1, ReviewState.APPROVED, HEAD, "2026-11-22T08:00:00Z", 5, "ana")
    assert forge_of(github, Clock()).permission(review) is Permission(permission)


def test_a_name_that_went_to_another_account_may_nothing(github: GitHubServer) -> None:
    github.world.account("ana", 6)
    github.world.roles["ana"] = "admin"
    before = Review(1, ReviewState.APPROVED, HEAD, "2026-11-22T08:00:00Z", 5, "ana")
    gone = Review(2, ReviewState.APPROVED, HEAD, "2026-11-22T08:00:00Z", 5, "nobody")
    forge = forge_of(github, Clock())
    assert (forge.permission(before), forge.permission(gone)) == (Permission.NONE, Permission.NONE)


def test_runs_of_a_head_are_those_of_pull_requests_whatever_their_workflow(github: GitHubServer) -> None:
    github.world.runs |= {
        78: Run(78, path=".github/workflows/other.yml"),
        79: Run(79, event="push"),
        80: Run(80, head="b" * 40),
        81: Run(81, repository=2),
    }
    found = forge_of(github, Clock()).runs_of(HEAD)
    assert [(run.id, run.repository, run.host) for run in found] == [("81", 2, 1), ("78", 1, 1), ("77", 1, 1)]


def test_an_artifact_that_expired_is_told_only_to_who_asks_for_it(github: GitHubServer) -> None:
    github.world.upload(77, "x", b"PK").expired = True
    forge = forge_of(github, Clock())
    assert forge.artifacts("77") == ()
    [artifact] = forge.artifacts("77", expired=True)
    assert (artifact.is_expired, artifact.run, artifact.head, artifact.repository) == (True, "77", HEAD, 1)


def test_the_head_of_a_branch_whatever_its_name(github: GitHubServer) -> None:
    github.world.branches["release/1.x"] = MERGED
    forge = forge_of(github, Clock())
    assert forge.branch_head("release/1.x") == MERGED
    with pytest.raises(ForgeError):
        forge.branch_head("gone")


def test_what_a_branch_has_changed_since_is_told_whole_or_not_at_all(github: GitHubServer) -> None:
    world, forge = github.world, forge_of(github, Clock())
    world.branches["stable"] = MERGED
    assert forge.changed_since("stable", MERGED) == ()
    world.held["stable"] = [HEAD]
    world.changed[HEAD] = ["src/new <- src/old", "docs"]
    assert forge.changed_since("stable", HEAD) == ("docs", "src/new", "src/old")
    world.changed[HEAD] = [f"file {index}" for index in range(300)]
    assert forge.changed_since("stable", HEAD) is None, "there may be more"
    world.held.clear()
    world.lost.append(HEAD)
    assert forge.changed_since("stable", HEAD) is None, "the branch was written anew"
    with pytest.raises(ForgeError) as caught:
        forge.changed_since("stable", "9" * 40)
    assert caught.value.status == 404


def test_a_pull_request_that_is_open_is_told_as_it_would_be_merged(github: GitHubServer) -> None:
    pull = github.world.pulls[7]
    pull.head, pull.base, pull.repository = HEAD, "release/1", 5
    told = forge_of(github, Clock()).pull_to_merge(7)
    assert told == MergedPull(7, HEAD, Author(583231, "User"), "release/1", 5)
