"""What the action says once a pull request was reviewed: in the check of its plan, planning and executing nothing."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from graphql import GraphQLError

from tests.forge import graphql_api
from tests.forge.server import GitHubServer, Reply
from tests.forge.world import JOB_ID, JOB_LOGIN, Run, Submitted, Told
from tests.pull_requests import LIFECYCLE, WORKFLOW, Shop


@pytest.fixture
def shop(tmp_path: Path, github: GitHubServer) -> Shop:
    github.world.tokens["ghs_job"].permissions["checks"] = "write"
    return Shop(tmp_path, github)


def _check(shop: Shop) -> Any:
    """The check posted last."""
    return shop.github.world.checks[-1].document


def test_case_34_the_check_of_a_plan_that_was_approved_says_by_whom(shop: Shop) -> None:
    planned = shop.plan()
    review = shop.github.world.review(7, "ana")
    done = shop.review_event()
    assert done.code == 0, done.text
    check = _check(shop)
    assert (check["name"], check["head_sha"]) == ("shipway/shop/default", shop.head)
    assert (check["conclusion"], check["external_id"]) == ("success", planned.outputs["effect-digest"])
    assert check["output"]["title"].startswith("approved by ana; 2 run")
    assert f"Approved by ana, review {review.id} of `#7`" in check["output"]["summary"]
    assert "artifact-path" not in done.outputs
    assert shop.mark == []


@pytest.mark.parametrize(
    ("login", "state", "why"),
    [
        ("ana", "DISMISSED", "it was dismissed"),
        ("eve", "APPROVED", "its author may only"),
        ("octocat", "APPROVED", "wrote"),
    ],
)
def test_case_36_the_check_says_what_is_missing(shop: Shop, login: str, state: str, why: str) -> None:
    shop.github.world.roles["octocat"] = "admin"
    shop.plan()
    shop.github.world.review(7, login, state)
    assert shop.review_event().code == 0
    check = _check(shop)
    assert check["conclusion"] == "action_required"
    assert why in check["output"]["summary"]


def test_case_37_a_new_head_with_another_effect_needs_approval_again(shop: Shop) -> None:
    shop.plan()
    shop.github.world.review(7, "ana")
    shop.change({"shipway.yml": LIFECYCLE.replace("echo up", "echo UP")})
    shop.plan(78)
    assert shop.review_event().code == 0
    check = _check(shop)
    assert (check["conclusion"], check["head_sha"]) == ("action_required", shop.head)
    assert "release/up: slots" in check["output"]["summary"]


def _told(shop: Shop) -> Any:
    """The latest check of the plan on the head."""
    found = [each.document for each in shop.github.world.checks if each.commit == shop.head]
    return next(document for document in reversed(found) if document["name"] == "shipway/shop/default")


def _comment(shop: Shop) -> str:
    """The one comment of the plan."""
    (comment,) = shop.github.world.pulls[7].comments
    return comment.body


_CHECK = "[`shipway/shop/default`](https://github.com/octo/shop/pull/7/checks)"


def test_case_34_the_comment_says_who_approved_what_so_far_and_where_a_later_review_shows(shop: Shop) -> None:
    planned = shop.plan()
    shop.report(planned)
    assert "needs approval, and pull request `#7` has 0 of 1" in _comment(shop)
    assert f"What reviews say by now is in the check {_CHECK}." in _comment(shop)
    review = shop.github.world.review(7, "ana")
    shop.report(planned)
    told = f"Approved by ana, review {review.id} of `#7` at `{shop.head[:7]}`. What reviews say by now is in the check {_CHECK}."
    assert told in _comment(shop)
    assert "has 0 of 1" not in _comment(shop)


def test_case_35_the_comment_says_that_what_was_approved_is_an_earlier_effect(shop: Shop) -> None:
    shop.report(shop.plan())
    review, old = shop.github.world.review(7, "ana"), shop.head
    shop.change({"shipway.yml": LIFECYCLE.replace("echo up", "echo UP")})
    shop.report(shop.plan(78), 78)
    assert (
        f"**review {review.id} by ana of `{old[:7]}` approved another plan: `#7` came to `{shop.head[:7]}`:"
        in _comment(shop)
    )
    assert "Approved by" not in _comment(shop)


def test_case_36_the_comment_says_how_many_are_missing_and_who_is_not(shop: Shop) -> None:
    shop.change({"shipway.yml": LIFECYCLE.replace("approval: required", "approval: {reviews: 2}")})
    planned = shop.plan()
    shop.github.world.review(7, "ana")
    shop.report(planned)
    assert "pull request `#7` has 1 of 2, by ana" in _comment(shop)


def test_the_comment_of_what_needs_no_approval_says_nothing_of_reviews(shop: Shop) -> None:
    shop.change({"shipway.yml": LIFECYCLE.replace("    approval: required\n", "")})
    shop.git("checkout", "-q", "main")
    shop.commit({"shipway.yml": LIFECYCLE.replace("    approval: required\n", "")})
    shop.pushed()
    shop.report(shop.plan())
    assert "reviews" not in _comment(shop)


def test_case_36_a_plan_that_nobody_has_reviewed_yet_is_no_success(shop: Shop) -> None:
    planned = shop.plan()
    shop.github.world.runs[77].conclusion = ""  # the job that tells it is part of that run
    assert shop.report(planned).code == 0
    check = _told(shop)
    assert (check["conclusion"], check["external_id"]) == ("action_required", planned.outputs["effect-digest"])
    assert "has 0 of 1" in check["output"]["summary"]
    shop.github.world.review(7, "ana")
    assert shop.report(planned).code == 0
    assert (_told(shop)["conclusion"], "approved by ana" in _told(shop)["output"]["title"]) == ("success", True)


def test_case_37_a_new_head_is_told_to_be_approved_as_far_as_its_effect_is(shop: Shop) -> None:
    assert shop.report(shop.plan()).code == 0
    shop.github.world.review(7, "ana")
    shop.change({"shipway.yml": LIFECYCLE + "# a comment\n"})
    assert shop.report(shop.plan(78), 78).code == 0
    old = _told(shop)
    shop.change({"shipway.yml": LIFECYCLE.replace("echo up", "echo UP")})
    assert shop.report(shop.plan(79), 79).code == 0
    assert (old["conclusion"], _told(shop)["conclusion"]) == ("success", "action_required")
    assert "release/up: slots" in _told(shop)["output"]["summary"]


def test_where_reviews_cannot_be_asked_for_a_plan_counts_as_not_approved(shop: Shop) -> None:
    planned = shop.plan()
    shop.github.world.review(7, "ana")
    refused = {"message": "Resource not accessible by integration"}
    path = ["repository", "pullRequest", "reviews"]
    found = {"headRefOid": shop.head, "baseRef": None, "commits": None, "reviews": None}
    partly = {"viewer": {"login": JOB_LOGIN, "databaseId": JOB_ID}, "nodes": [], "repository": {"pullRequest": found}}
    shop.github.fault("POST", "graphql", Reply(200, {"data": partly, "errors": [{**refused, "path": path}]}))
    shop.github.fault("GET", "reviews$", Reply(403, refused), times=9)
    done = shop.report(planned)
    assert (done.code, done.outputs["comment"].partition(":")[0]) == (0, "created"), done.outputs
    assert _told(shop)["conclusion"] == "action_required"
    assert "Resource not accessible" in _told(shop)["output"]["summary"]


def test_a_server_that_does_not_know_a_field_is_asked_in_parts(shop: Shop) -> None:
    planned = shop.plan()
    assert shop.report(planned).code == 0
    shop.github.world.review(7, "ana")
    error = {
        "path": ["query", "repository", "pullRequest", "reviews", "nodes", "fullDatabaseId"],
        "extensions": {"code": "undefinedField", "typeName": "PullRequestReview", "fieldName": "fullDatabaseId"},
        "message": "Field 'fullDatabaseId' doesn't exist on type 'PullRequestReview'",
    }
    shop.github.fault("POST", "graphql", Reply(200, {"errors": [error]}))
    shop.github.requests.clear()
    done = shop.report(planned)
    assert done.outputs["comment"].partition(":")[0] == "updated", done.text
    assert "approved by ana" in _told(shop)["output"]["title"]
    assert {"pulls/7", "pulls/7/reviews"} <= set(_asked(shop))


def test_where_one_review_of_several_was_not_told_all_are_asked_for(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned = shop.plan()
    assert shop.report(planned).code == 0
    shop.github.world.review(7, "ana")
    shop.github.world.review(7, "ana", "CHANGES_REQUESTED")
    whole = graphql_api.PullRequest._review

    def partly(pull: graphql_api.PullRequest, review: Submitted) -> dict[str, object]:
        def fails(_info: object) -> str:
            raise GraphQLError("Something went wrong", extensions={"type": "INTERNAL"})

        return whole(pull, review) | ({"state": fails} if review.state == "CHANGES_REQUESTED" else {})

    monkeypatch.setattr(graphql_api.PullRequest, "_review", partly)
    shop.github.requests.clear()
    assert shop.report(planned).code == 0
    assert (_told(shop)["conclusion"], "pulls/7/reviews" in _asked(shop)) == ("action_required", True)
    assert "it requests changes" in _told(shop)["output"]["summary"]


def test_where_nothing_needs_approval_or_nothing_was_planned_nothing_is_said(shop: Shop) -> None:
    shop.github.world.review(7, "ana")
    assert "has no sealed plan" in shop.review_event().text
    assert shop.github.world.checks == []


def test_a_forge_that_does_not_answer_fails_no_job(shop: Shop) -> None:
    shop.plan()
    shop.github.fault("GET", "reviews$", Reply(403, {"message": "Resource not accessible by integration"}), times=9)
    done = shop.review_event()
    assert done.code == 0
    assert "Resource not accessible" in done.text


def test_a_plan_of_which_the_check_told_several_is_looked_for_in_the_artifacts(shop: Shop) -> None:
    planned = shop.plan()
    assert shop.report(planned).code == 0
    told = _told(shop)
    another = {**told, "output": {**told["output"], "text": f"Plan `sha256:{'0' * 64}`."}}
    shop.github.world.checks.append(Told(9000, shop.head, another, at=shop.github.world.tick()))
    shop.github.world.review(7, "ana")
    shop.github.requests.clear()
    assert shop.report(planned).code == 0
    assert "actions/artifacts/1001/zip" in _asked(shop)
    assert "approved by ana" in _told(shop)["output"]["title"]


def test_a_plan_that_the_check_told_only_after_the_review_is_looked_for_in_the_artifacts(shop: Shop) -> None:
    planned = shop.plan()
    shop.github.world.review(7, "ana")
    shop.github.world.tick()
    assert shop.report(planned).code == 0
    shop.github.requests.clear()
    assert shop.report(planned).code == 0
    assert "actions/artifacts/1001/zip" in _asked(shop)


def test_what_another_app_tells_under_our_name_is_no_word_of_ours(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    planned = shop.plan()
    assert shop.report(planned).code == 0
    shop.github.world.review(7, "ana")
    monkeypatch.setattr(graphql_api, "APP", "another-app")
    shop.github.requests.clear()
    assert shop.report(planned).code == 0
    assert "actions/artifacts/1001/zip" in _asked(shop)


def test_a_plan_that_a_command_laid_in_the_way_of_the_report_is_not_what_was_reviewed(shop: Shop) -> None:
    assert shop.report(shop.plan()).code == 0
    shop.github.world.review(7, "ana")
    shop.change({"shipway.yml": LIFECYCLE.replace("echo up", "echo UP")})
    planned = shop.plan(78)
    folder = Path(planned.outputs["artifact-path"])
    (folder.parent / f"{folder.name}.previous.json").write_bytes((folder / "plan.json").read_bytes())
    facts = folder.parent / f"{folder.name}.facts.json"
    reviewed = shop.github.world.pulls[7].reviews[0].commit
    shown = {"run": "78", "commit": reviewed, "effect": planned.outputs["effect-digest"], "counts": []}
    facts.write_text(json.dumps(json.loads(facts.read_text()) | {"history": [shown]}))
    assert shop.report(planned, 78).code == 0
    assert _told(shop)["conclusion"] == "action_required"
    assert "release/up: slots" in _told(shop)["output"]["summary"]


def test_a_plan_that_another_pull_request_of_the_commit_was_shown_is_not_what_was_reviewed(shop: Shop) -> None:
    shop.git("checkout", "-q", "topic")
    shown = shop.plan_again(number=8)
    shop.github.world.runs[77] = Run(77, path=WORKFLOW, head=shop.head, status="completed", conclusion="success")
    shop.upload(shown, 77)
    document = {"name": "shipway/shop/default", "output": {"text": f"Plan `{shown.outputs['plan-digest']}`."}}
    shop.github.world.checks.append(Told(9000, shop.head, document, at=shop.github.world.tick()))
    shop.github.world.review(7, "ana")
    reviewed = shop.head
    shop.change({"shipway.yml": LIFECYCLE + "# a comment\n"})
    planned = shop.plan(78)
    assert planned.outputs["effect-digest"] == shown.outputs["effect-digest"]
    folder = Path(planned.outputs["artifact-path"])
    facts = folder.parent / f"{folder.name}.facts.json"
    past = {"run": "77", "commit": reviewed, "effect": shown.outputs["effect-digest"], "counts": []}
    facts.write_text(json.dumps(json.loads(facts.read_text()) | {"history": [past]}))
    assert shop.report(planned, 78).code == 0
    assert _told(shop)["conclusion"] == "action_required"
    assert "were not shown on `#7`" in _told(shop)["output"]["summary"]


def test_a_plan_of_the_same_effect_that_would_replace_what_it_was_to_create_is_not_what_was_reviewed(
    shop: Shop,
) -> None:
    linked = "    steps: [{id: up, uses: file.link, with: {path: made, source: shipway.yml}}]\n"
    shop.change({"shipway.yml": LIFECYCLE[: LIFECYCLE.rindex("    steps:")] + linked, ".gitignore": "/made\n"})
    planned = shop.plan()
    assert shop.report(planned).code == 0
    shop.github.world.review(7, "ana")
    assert shop.report(planned).code == 0
    assert "approved by ana" in _told(shop)["output"]["title"]
    (shop.work / "made").write_text("somebody's")
    again = shop.plan_again(78)
    assert again.outputs["effect-digest"] == planned.outputs["effect-digest"]
    shop.github.world.runs[78] = replace(shop.github.world.runs[77], id=78)
    assert shop.report(again, 78).code == 0
    assert _told(shop)["conclusion"] == "action_required"
    assert "create became replace" in _told(shop)["output"]["summary"]


def test_an_approval_counts_that_later_ones_of_other_plans_hide(shop: Shop) -> None:
    assert shop.report(shop.plan()).code == 0
    shop.github.world.review(7, "ana")
    shop.change({"shipway.yml": LIFECYCLE.replace("echo up", "echo UP")})
    assert shop.report(shop.plan(78), 78).code == 0
    for number, login in enumerate(("ben", "cat", "dan", "fay"), 20):
        shop.github.world.account(login, number)
        shop.github.world.roles[login] = "admin"
        shop.github.world.review(7, login)
    shop.change({"shipway.yml": LIFECYCLE})
    assert shop.report(shop.plan(79), 79).code == 0
    assert _told(shop)["conclusion"] == "success"
    assert "approved by ana" in _told(shop)["output"]["title"]


_BESIDES = re.compile("runs/77$|comments|/graphql$|check-runs$|^compare/")
"""What a report asks where no stage needs approval."""


def test_an_approval_costs_no_request_but_for_what_its_author_may(shop: Shop) -> None:
    planned = shop.plan()
    shop.github.requests.clear()
    assert shop.report(planned).code == 0
    assert [path for path in _asked(shop) if not _BESIDES.search(path)] == []
    shop.github.world.review(7, "ana")
    assert shop.report(planned).code == 0
    shop.github.requests.clear()
    assert shop.report(planned).code == 0
    assert "approved by ana" in _told(shop)["output"]["title"]
    assert shop.github.writes == []
    assert [path for path in _asked(shop) if not _BESIDES.search(path)] == ["collaborators/ana/permission"]


def _asked(shop: Shop) -> list[str]:
    """Which parts of the API were asked for: an archive's own host is not of it."""
    found = [seen.path.removeprefix("/repos/octo/shop/") for seen in shop.github.requests]
    return [path for path in found if not path.startswith("/blobs/")]
