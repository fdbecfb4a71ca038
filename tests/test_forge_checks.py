"""Check runs and deployments: what is sent once, what is sent in parts, and what is not sent at all."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from shipway.errors import Position, Reason
from shipway.forges import limits
from shipway.forges.forge import Check, Deployment, DeploymentState, ForgeError, Outcome
from shipway.redaction import trusted
from shipway.view import Annotation, Conclusion, Weight
from tests.forge.server import Break, GitHubServer
from tests.forge.waiting import Clock, forge_of
from tests.forge.world import Announced, Told

HEAD = "a" * 40
EFFECT = "sha256:" + "e" * 64
CHECK = Check(
    "shipway/web/prod",
    HEAD,
    Conclusion.SUCCESS,
    EFFECT,
    trusted("3 create"),
    trusted("### Shipway plan"),
    "https://e/run",
)
DEPLOYMENT = Deployment(
    HEAD, "prod", "web", EFFECT, "77", "https://github.com/octo/shop/actions/runs/77", "https://e/x"
)


def noted(count: int) -> tuple[Annotation, ...]:
    return tuple(
        Annotation(Position("shipway.yml", line, 1), Weight.WARNING, trusted("node"), trusted(f"line {line}"))
        for line in range(1, count + 1)
    )


def test_a_check_is_created_once_for_what_it_says(github: GitHubServer) -> None:
    forge = forge_of(github, Clock())
    assert forge.post_check(CHECK).outcome is Outcome.CREATED
    assert forge.post_check(replace(CHECK, url="https://e/another-run")).outcome is Outcome.UNCHANGED
    assert forge.post_check(replace(CHECK, conclusion=Conclusion.ACTION_REQUIRED)).outcome is Outcome.CREATED
    assert forge.post_check(CHECK).outcome is Outcome.CREATED, "the latest says something else"
    sent = [told.document for told in github.world.checks]
    assert [each["conclusion"] for each in sent] == ["success", "action_required", "success"]
    assert {each["external_id"] for each in sent} == {EFFECT}


def test_two_checks_of_one_commit_cost_one_question_and_a_crowded_one_is_asked_by_name(github: GitHubServer) -> None:
    forge, fresh = forge_of(github, Clock()), replace(CHECK, name="shipway/web/prod/fresh")
    assert [forge.post_check(each).outcome for each in (CHECK, fresh)] == [Outcome.CREATED] * 2
    assert forge.requests == 3
    again = forge_of(github, Clock())
    assert [again.post_check(each).outcome for each in (CHECK, fresh)] == [Outcome.UNCHANGED] * 2
    assert again.requests == 1
    for index in range(100):
        github.world.checks.append(Told(5000 + index, HEAD, github.world.checks[0].document | {"name": f"job {index}"}))
    crowded = forge_of(github, Clock())
    assert [crowded.post_check(each).outcome for each in (CHECK, fresh)] == [Outcome.UNCHANGED] * 2
    assert crowded.requests == 3


@pytest.mark.parametrize(("count", "requests"), [(0, 2), (1, 2), (50, 2), (51, 3), (120, 4)])
def test_annotations_go_out_fifty_at_a_time(github: GitHubServer, count: int, requests: int) -> None:
    posted = forge_of(github, Clock()).post_check(replace(CHECK, annotations=noted(count)))
    (told,) = github.world.checks
    assert [each["start_line"] for each in told.annotations] == list(range(1, count + 1))
    assert posted.requests == requests


def test_a_check_whose_answer_was_lost_is_not_created_twice(github: GitHubServer) -> None:
    github.fault("POST", "/check-runs$", Break.LOSE)
    assert forge_of(github, Clock()).post_check(CHECK).outcome is Outcome.CREATED
    assert len(github.world.checks) == 1


def test_a_missing_permission_for_checks_is_named(github: GitHubServer) -> None:
    github.world.tokens["ghs_job"].permissions["checks"] = "read"
    with pytest.raises(ForgeError) as caught:
        forge_of(github, Clock()).post_check(CHECK)
    assert caught.value.reason is Reason.FORGE_PERMISSION
    assert "checks=write" in caught.value.next


def test_a_deployment_merges_nothing_waits_for_nothing_and_says_how_it_stands(github: GitHubServer) -> None:
    github.world.tokens["ghs_job"].permissions["deployments"] = "write"
    forge = forge_of(github, Clock())
    number = forge.deploy(DEPLOYMENT, "3 create")
    forge.conclude(number, DEPLOYMENT, DeploymentState.SUCCESS, "x" * 200)
    (made,) = github.world.deployments
    assert (made.document["auto_merge"], made.document["required_contexts"]) == (False, [])
    assert made.document["transient_environment"] is False
    assert [status["state"] for status in made.statuses] == ["in_progress", "success"]
    assert {status["environment_url"] for status in made.statuses} == {"https://e/x"}
    assert len(made.statuses[1]["description"]) == limits.DESCRIPTION_CHARACTERS


def test_a_job_that_has_announced_itself_gets_no_twin(github: GitHubServer) -> None:
    github.world.tokens["ghs_job"].permissions["deployments"] = "write"
    by_job = {"log_url": "https://github.com/octo/shop/actions/runs/77/job/4", "state": "in_progress"}
    other = {"log_url": "https://github.com/octo/shop/actions/runs/7/job/4", "state": "success"}
    github.world.deployments += [
        Announced(1, {"ref": HEAD, "environment": "production"}, [by_job]),
        Announced(2, {"ref": HEAD, "environment": "docs"}, [other]),
    ]
    assert forge_of(github, Clock()).deploy(DEPLOYMENT, "3 create") == ""
    assert len(github.world.deployments) == 2


def test_two_targets_of_one_run_are_two_deployments(github: GitHubServer) -> None:
    github.world.tokens["ghs_job"].permissions["deployments"] = "write"
    forge = forge_of(github, Clock())
    assert forge.deploy(DEPLOYMENT, "x")
    assert forge.deploy(replace(DEPLOYMENT, environment="staging"), "x")
    assert [made.document["environment"] for made in github.world.deployments] == ["prod", "staging"]


def test_a_deployment_whose_answer_was_lost_is_not_created_twice(github: GitHubServer) -> None:
    github.world.tokens["ghs_job"].permissions["deployments"] = "write"
    github.fault("POST", "/deployments$", Break.LOSE)
    assert forge_of(github, Clock()).deploy(DEPLOYMENT, "x") == str(github.world.deployments[0].id)
    assert len(github.world.deployments) == 1


def test_a_missing_permission_for_deployments_is_named(github: GitHubServer) -> None:
    with pytest.raises(ForgeError) as caught:
        forge_of(github, Clock()).deploy(DEPLOYMENT, "x")
    assert "deployments=read" in caught.value.next


def test_the_latest_receipt_of_a_lifecycle_is_remembered_whoever_made_the_deployment(github: GitHubServer) -> None:
    github.world.tokens["ghs_job"].permissions["deployments"] = "write"
    one, two = (f"sha256:{digit * 64}" for digit in "12")
    forge = forge_of(github, Clock())
    assert forge.remembered("web", "prod") == ""
    by_job = {"state": "success", "environment_url": f"https://e/x?lifecycle=web&receipt={one}"}
    github.world.deployments.append(Announced(1, {"ref": HEAD, "environment": "prod"}, [by_job]))
    assert forge.remembered("web", "prod") == one
    number = forge.deploy(DEPLOYMENT, "x")
    assert forge.remembered("web", "prod") == one, "nothing was concluded yet"
    forge.conclude(
        number, replace(DEPLOYMENT, url=f"https://e/x?lifecycle=web&receipt={two}"), DeploymentState.SUCCESS, "x"
    )
    assert forge.remembered("web", "prod") == two
    assert forge.remembered("other", "prod") == forge.remembered("web", "staging") == ""
    forge.conclude(number, replace(DEPLOYMENT, url="https://e/x?lifecycle=web&receipt=x"), DeploymentState.SUCCESS, "x")
    assert forge.remembered("web", "prod") == two
