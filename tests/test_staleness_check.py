"""Case 30 and `shipway plan --check`: whether what was planned on pull requests holds by now. Nothing is executed or locked."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from shipway.commands.standing import tell_fresh
from shipway.forges.forge import ForgeError
from shipway.freshness import outdated
from shipway.view import View
from tests.forge.server import GitHubServer, Reply
from tests.forge.waiting import Clock, forge_of
from tests.forge.world import Run
from tests.pull_requests import Acted, Shop
from tests.runs import run, stage

LIFECYCLE = """\
version: 1
name: shop
stages:
  build: {lasting: false, steps: [{id: image, run: 'echo build >> "$MARK"', env_from: [MARK], reads: ["src/**"]}]}
  release:
    needs: [build]
    steps:
      - {id: up, run: 'echo up >> "$MARK"', undo: 'echo down >> "$MARK"', env_from: [MARK], reads: [config]}
"""


@pytest.fixture
def shop(tmp_path: Path, github: GitHubServer) -> Shop:
    """A pull request that is planned, onto a `main` whose nodes say what they read."""
    made = Shop(tmp_path, github)
    (made.work / "src").mkdir()
    base(made, {"shipway.yml": LIFECYCLE, "src/main": "1\n", "config": "1\n"})
    made.git("checkout", "-q", "topic")
    made.git("rebase", "-q", "main")
    made.change({"README": "the change\n"})
    assert made.plan().code == 0
    return made


def base(shop: Shop, files: dict[str, str]) -> str:
    """Push a commit to `main`."""
    shop.git("checkout", "-q", "main")
    shop.commit(files)
    return shop.pushed()


def group(shop: Shop, *arguments: str) -> Acted:
    """The job of a merge group of pull request 7."""
    shop.git("checkout", "-q", "--detach", "main")
    before = shop.git("rev-parse", "HEAD")
    shop.git("merge", "-q", "--no-ff", "-m", "group", "topic")
    head = shop.git("rev-parse", "HEAD")
    told = {"head_sha": head, "base_sha": before, "base_ref": "refs/heads/main"}
    told |= {"head_ref": f"refs/heads/gh-readonly-queue/main/pr-7-{before}"}
    payload: dict[str, Any] = {"action": "checks_requested", "merge_group": told}
    return shop.check("merge_group", payload, *arguments, GITHUB_REF=told["head_ref"])


def pushed(shop: Shop, *arguments: str) -> Acted:
    """The job of a push to `main`."""
    shop.git("checkout", "-q", "main")
    return shop.check("push", {"before": "0" * 40, "ref": "refs/heads/main"}, *arguments)


def told(shop: Shop, name: str, commit: str = "") -> Any:
    """The latest check of this name on a commit, by default the head."""
    found = [each.document for each in shop.github.world.checks if each.commit == (commit or shop.head)]
    return next(document for document in reversed(found) if document["name"] == name)


def checks(shop: Shop, commit: str) -> dict[str, str]:
    """The conclusion of each check on a commit, by its name."""
    found = [told.document for told in shop.github.world.checks if told.document["head_sha"] == commit]
    return {document["name"]: document["conclusion"] for document in found}


def test_case_30_a_merge_group_with_a_fresh_plan_succeeds_and_starts_nothing(shop: Shop) -> None:
    before = len(shop.github.requests)
    done = group(shop)
    assert done.code == 0, done.text
    assert "#7 at" in done.text and "holds" in done.text
    head = shop.git("rev-parse", "HEAD")
    assert checks(shop, head) == {"shipway/shop/default": "success", "shipway/shop/default/fresh": "success"}
    assert shop.mark == []
    assert not (shop.work / ".shipway").exists()
    assert {seen.path for seen in shop.github.requests[before:] if seen.is_write} <= {"/repos/octo/shop/check-runs"}


def test_case_30_a_merge_group_with_a_stale_plan_fails_and_names_the_nodes(shop: Shop) -> None:
    base(shop, {"src/main": "2\n"})
    done = group(shop)
    assert done.code == 5, done.text
    assert "stale (base-moved)" in done.text and "build/image: reads" in done.text
    assert "release/up" not in done.text
    head = shop.git("rev-parse", "HEAD")
    assert checks(shop, head) == {"shipway/shop/default": "failure", "shipway/shop/default/fresh": "failure"}
    found = [told.document for told in shop.github.world.checks if told.document["head_sha"] == head]
    assert all("build/image" in document["output"]["summary"] for document in found)
    assert shop.mark == []


def test_case_30_a_merge_group_that_has_no_plan_fails(shop: Shop) -> None:
    shop.github.world.artifacts.clear()
    done = group(shop)
    assert done.code == 5
    assert "has no sealed plan" in done.text


def test_a_push_outside_what_nodes_read_leaves_the_plan_as_it_is(shop: Shop) -> None:
    base(shop, {"docs": "more\n"})
    done = pushed(shop)
    assert (done.code, "holds" in done.text) == (0, True), done.text
    head = shop.github.world.pulls[7].head
    assert checks(shop, head)["shipway/shop/default/fresh"] == "success"


def test_a_push_inside_what_nodes_read_makes_it_stale_and_says_which_files(shop: Shop) -> None:
    base(shop, {"config": "2\n"})
    done = pushed(shop, "--json")
    assert done.code == 5
    [found] = json.loads(done.text)["checked"]
    assert (found["pull_request"], found["holds"], found["reason"]) == (7, False, "base-moved")
    assert found["nodes"] == {"release/up": ["config"]}
    head = shop.github.world.pulls[7].head
    assert checks(shop, head)["shipway/shop/default/fresh"] == "action_required"
    # What was put back is as if it had never been.
    base(shop, {"config": "1\n"})
    assert pushed(shop).code == 0
    assert checks(shop, head)["shipway/shop/default/fresh"] == "success"


def test_a_change_of_the_declaration_itself_needs_a_new_plan(shop: Shop) -> None:
    base(shop, {"shipway.yml": LIFECYCLE + "# more\n"})
    done = pushed(shop)
    assert done.code == 5
    assert "stale (declaration-changed)" in done.text and "declaration: shipway.yml" in done.text


def test_a_pull_request_without_a_plan_is_said_and_no_failure(shop: Shop) -> None:
    shop.github.world.artifacts.clear()
    done = pushed(shop)
    assert (done.code, "not planned" in done.text) == (0, True), done.text
    shop.github.world.pulls[7].merge_commit = "a" * 40
    assert "no pull request is open" in pushed(shop).text


def test_a_schedule_asks_the_same(shop: Shop) -> None:
    base(shop, {"config": "2\n"})
    shop.git("checkout", "-q", "main")
    payload = {"schedule": "17 4 * * *"}
    assert shop.check("schedule", payload).code == 5


def test_outside_a_job_there_is_nobody_to_ask(shop: Shop) -> None:
    shop.git("checkout", "-q", "main")
    refused = shop.check("push", {"ref": "refs/heads/main"}, GITHUB_TOKEN="")
    assert refused.code == 2
    assert "GITHUB_TOKEN" in refused.text


def test_what_reads_the_whole_tree_is_outdated_by_any_file_but_the_declaration(tmp_path: Path) -> None:
    text = stage("a: {run: 'true'}\nb: {run: 'true', reads: [src/**]}\nc: {run: 'true', reads: [shipway.yml]}")
    plan = run(tmp_path, text, execute=False).finished.plan
    assert plan is not None
    assert dict(outdated(plan, ["docs/page"])) == {"main/a": ("docs/page",)}
    assert dict(outdated(plan, ["src/x", "docs/page"])) == {"main/a": ("src/x", "docs/page"), "main/b": ("src/x",)}
    assert dict(outdated(plan, ["shipway.yml"])) == {"declaration": ("shipway.yml",), "main/c": ("shipway.yml",)}
    assert outdated(plan, []) == {}


def test_the_action_asks_the_same_by_its_input(shop: Shop) -> None:
    base(shop, {"config": "2\n"})
    done = shop.push(SHIPWAY_INPUT_COMMAND="check")
    assert (done.code, done.outputs["exit-code"]) == (5, "5"), done.text
    assert "release/up: config" in done.text
    assert shop.mark == []


def test_a_pull_requests_own_job_has_nothing_to_check(shop: Shop) -> None:
    shop.git("checkout", "-q", "topic")
    shop.env["SHIPWAY_INPUT_COMMAND"] = "check"
    refused = shop.plan()
    assert (refused.code, refused.reason) == (2, "event-refused"), refused.text


FRESH = "shipway/shop/default/fresh"


def test_a_plan_run_gives_its_head_the_verdict_so_that_it_can_be_required(shop: Shop) -> None:
    shop.change({"README": "another head\n"})
    assert shop.report(shop.plan(run=78), run=78).code == 0
    assert checks(shop, shop.head) == {"shipway/shop/default": "success", FRESH: "success"}
    upon = shop.git("rev-parse", "--short=7", "main")
    assert f"made upon `{upon}`, and held against `main` as it is now" in told(shop, FRESH)["output"]["summary"]
    # The next push to the base renews it, and writes nothing where it says the same.
    count = len(shop.github.world.checks)
    base(shop, {"docs": "more\n"})
    assert pushed(shop).code == 0
    assert len(shop.github.world.checks) == count


def test_a_base_that_moved_while_the_plan_was_made_is_seen_by_whoever_reports_it(shop: Shop) -> None:
    planned = shop.plan(run=78)
    base(shop, {"config": "2\n"})
    shop.git("checkout", "-q", "topic")
    assert shop.report(planned, run=78).code == 0
    said = told(shop, FRESH)
    assert (said["conclusion"], said["output"]["title"]) == ("action_required", "the plan of #7 is stale: base-moved")
    assert "`release/up` reads `config`" in said["output"]["summary"]
    assert "Bring the branch up to date with its base" in said["output"]["summary"]
    assert told(shop, "shipway/shop/default")["conclusion"] == "success"


def test_a_base_that_was_written_anew_or_is_not_told_makes_a_plan_stale(shop: Shop) -> None:
    planned, world = shop.plan(run=78), shop.github.world
    world.lost.append(shop.git("rev-parse", "main"))
    world.branches["main"] = "f" * 40
    assert shop.report(planned, run=78).code == 0
    assert "written anew" in told(shop, FRESH)["output"]["summary"]
    world.lost.clear()
    assert shop.report(planned, run=78).code == 0
    said = told(shop, FRESH)
    assert (said["conclusion"], said["output"]["title"]) == ("action_required", "the plan of #7 is stale: base-unknown")
    assert "what is on `main` by now was not told" in said["output"]["summary"]


def test_where_the_forge_does_not_answer_nobody_is_told_that_a_plan_holds(tmp_path: Path, github: GitHubServer) -> None:
    plan = run(tmp_path, stage("a: {run: 'true'}"), execute=False).finished.plan
    assert plan is not None
    view = View("shop", "default", replace(plan, source=replace(plan.source, merge_base="a" * 40)))
    github.fault("GET", "/compare/", Reply(502, {"message": "Bad gateway"}), times=99)
    with pytest.raises(ForgeError, match="502"):
        tell_fresh(forge_of(github, Clock()), view, 7, github.world.pulls[7].head, "main", "")
    assert github.world.checks == []


def test_a_clone_without_the_commits_that_a_plan_was_made_upon_tells_nobody_that_it_holds(shop: Shop) -> None:
    base(shop, {"docs": "more\n"})
    whole = shop.work.rename(shop.root / "whole")
    git = ["git", "clone", "-q", "--depth", "1", "-b", "main", whole.as_uri(), str(shop.work)]
    subprocess.run(git, check=True, capture_output=True)
    done = pushed(shop)
    assert done.code == 5, done.text
    assert "stale (base-unknown)" in done.text and "fetch-depth: 0" in done.text
    assert checks(shop, shop.head)[FRESH] == "action_required"


def test_a_plan_is_held_against_what_its_test_merge_was_made_upon_whatever_the_event_says(shop: Shop) -> None:
    """The event of a pull request names its base as it was when the head was pushed; its test merge may be of a later one."""
    old = shop.git("rev-parse", "main")
    base(shop, {"config": "2\n"})
    shop.git("branch", "-q", "told", old)
    shop.git("checkout", "-q", "--detach", "main")
    shop.git("merge", "-q", "--no-ff", "-m", "test merge", "topic")
    shop.github.world.runs[78] = Run(78, head=shop.head)
    planned = shop.plan_again(78, base="told")
    assert planned.document("plan")["source"]["merge_base"] == shop.git("rev-parse", "main")
    assert shop.report(planned, run=78).code == 0
    assert told(shop, FRESH)["conclusion"] == "success"


def stranger(shop: Shop) -> None:
    """The pull request becomes a fork's, and so does the run that planned it."""
    world = shop.github.world
    world.pulls[7].repository = world.runs[77].repository = world.artifacts[-1].repository = 5


def test_case_30_a_forks_head_is_looked_at_like_any_other_where_no_stage_wants_approval(shop: Shop) -> None:
    stranger(shop)
    assert pushed(shop).code == 0
    assert checks(shop, shop.head)[FRESH] == "success"
    assert group(shop).code == 0
    base(shop, {"config": "2\n"})
    assert pushed(shop).code == 5
    assert checks(shop, shop.head)[FRESH] == "action_required"
    done = group(shop)
    assert (done.code, "stale (base-moved)" in done.text) == (5, True), done.text


@pytest.fixture
def approving(shop: Shop) -> Shop:
    """The same with a stage that wants approval; planned, and approved by Ana."""
    text = LIFECYCLE.replace("    needs: [build]\n", "    needs: [build]\n    approval: required\n")
    base(shop, {"shipway.yml": text})
    shop.git("checkout", "-q", "topic")
    shop.git("rebase", "-q", "main")
    shop.change({"README": "the change, again\n"})
    shop.github.world.artifacts.clear()
    assert shop.plan().code == 0
    shop.github.world.review(7, "ana")
    return shop


def test_case_30_a_merge_group_holds_what_was_approved_and_says_so(approving: Shop) -> None:
    done = group(approving)
    assert done.code == 0, done.text
    head = approving.git("rev-parse", "HEAD")
    assert checks(approving, head) == {"shipway/shop/default": "success", FRESH: "success"}
    said = told(approving, FRESH, head)["output"]["summary"]
    review = approving.github.world.pulls[7].reviews[-1].id
    assert f"held against the plan that was approved: by ana, review {review} of " in said
    assert approving.mark == []


def test_case_30_a_merge_group_whose_approved_plan_is_stale_fails_and_names_the_nodes(approving: Shop) -> None:
    base(approving, {"config": "2\n"})
    done = group(approving)
    assert done.code == 5, done.text
    assert "stale (base-moved)" in done.text and "release/up: reads" in done.text and "build/image" not in done.text
    head = approving.git("rev-parse", "HEAD")
    assert checks(approving, head) == {"shipway/shop/default": "failure", FRESH: "failure"}
    said = told(approving, FRESH, head)["output"]["summary"]
    assert "held against the plan that was approved.\n" in said and "by ana" in said


def test_case_30_a_merge_group_of_which_only_an_older_plan_was_approved_fails(approving: Shop) -> None:
    """The plan shown last is that of the group: what counts is which one was approved."""
    approving.change({"src/main": "not what ana saw\n"})
    assert approving.plan(run=78).code == 0
    done = group(approving)
    assert done.code == 5, done.text
    assert "not approved (approval-stale)" in done.text and "build/image: reads" in done.text
    # The same effect under another head is what was approved.
    approving.change({"src/main": "1\n"})
    assert approving.plan(run=79).code == 0
    assert group(approving).code == 0


def test_case_30_a_merge_group_that_nobody_approved_fails(approving: Shop) -> None:
    approving.github.world.pulls[7].reviews[-1].state = "DISMISSED"
    done = group(approving)
    assert (done.code, "not approved (approval-missing)" in done.text) == (5, True), done.text
    head = approving.git("rev-parse", "HEAD")
    said = told(approving, FRESH, head)["output"]["summary"]
    assert "held against the plan that was approved.\n" in said and "has 0 of 1" in said
    assert "Have the plan of the head approved" in said
    approving.github.world.pulls[7].reviews[-1].state = "APPROVED"
    stranger(approving)
    done = group(approving)
    assert (done.code, "artifact-foreign" in done.text) == (5, True), done.text
