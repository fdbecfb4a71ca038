"""Case 30 and `shipway plan --check`: whether what was planned on pull requests holds by now. Nothing is executed or locked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from shipway.freshness import outdated
from tests.forge.server import GitHubServer
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
