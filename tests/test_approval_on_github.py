"""A pull request is planned, reviewed and merged, and its run executes exactly that; else it is refused, each with its reason.

The action's real command runs in a real repository, against the stateful GitHub.
"""

from __future__ import annotations

import base64
import io
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.forge.reviewing import run_document
from tests.forge.server import GitHubServer, Reply
from tests.forge.world import Run, timestamp
from tests.pull_requests import LIFECYCLE, PLAN_RUN, Acted, Shop


@pytest.fixture
def shop(tmp_path: Path, github: GitHubServer) -> Shop:
    return Shop(tmp_path, github)


@pytest.mark.parametrize("how", ["merge", "squash", "rebase"])
def test_cases_19_and_34_what_was_reviewed_is_what_runs_however_it_was_merged(shop: Shop, how: str) -> None:
    planned = shop.plan()
    review = shop.github.world.review(7, "ana")
    shop.merge(how)
    done = shop.push()
    assert done.code == 0, done.text
    assert shop.mark == ["build", "up"]
    assert f"approved by ana, review {review.id} of #7" in done.text
    [artifact] = [stored for stored in shop.github.world.artifacts if stored.run == PLAN_RUN]
    assert done.document("receipt")["approvals"] == [
        {
            "effect": planned.outputs["effect-digest"],
            "given": "review",
            "by": "ana",
            "account": 5,
            "at": review.submitted_at,
            "review": review.id,
            "commit": shop.github.world.pulls[7].head,
            "pull_request": 7,
            "run": str(PLAN_RUN),
            "artifact": artifact.id,
        }
    ]
    assert done.document("receipt")["approved"] == done.outputs["effect-digest"] == planned.outputs["effect-digest"]


def test_asking_who_approved_takes_few_requests_and_no_write(shop: Shop) -> None:
    shop.plan()
    shop.github.world.review(7, "ana")
    shop.merge()
    before = len(shop.github.requests)
    assert shop.push().code == 0
    asked = [seen for seen in shop.github.requests[before:] if "deployments" not in seen.path]
    assert len(asked) <= 9, [seen.path for seen in asked]
    assert not any(seen.is_write for seen in asked)


def _nothing(shop: Shop) -> None:
    pass


def _comment(shop: Shop) -> None:
    shop.github.world.comment(7, "ana", "LGTM, approved")
    shop.github.world.review(7, "ana", "COMMENTED")


def _approved_then(state: str) -> Callable[[Shop], None]:
    def review(shop: Shop) -> None:
        shop.github.world.review(7, "ana")
        shop.github.world.review(7, "ana", state)

    return review


def _by(login: str) -> Callable[[Shop], None]:
    def review(shop: Shop) -> None:
        shop.github.world.review(7, login)

    return review


@pytest.mark.parametrize(
    ("act", "why"),
    [
        (_nothing, "#7 has 0 of 1"),
        (_comment, "#7 has 0 of 1"),
        (_approved_then("DISMISSED"), "it was dismissed"),
        (_approved_then("CHANGES_REQUESTED"), "it requests changes"),
        (_by("eve"), "its author may only `read` here, not `write`"),
        (_by("octocat"), "its author wrote the change"),
        (_by("github-actions[bot]"), "its author is no person"),
    ],
    ids=["none", "comment", "dismissed", "changes", "reader", "author", "bot"],
)
def test_case_36_what_is_no_approval_does_not_count(shop: Shop, act: Callable[[Shop], None], why: str) -> None:
    shop.github.world.roles |= {"octocat": "admin", "github-actions[bot]": "admin"}
    shop.plan()
    act(shop)
    shop.merge()
    done = shop.push()
    assert (done.code, done.reason) == (5, "approval-missing"), done.text
    assert why in done.text
    assert shop.mark == []


def test_a_comment_behind_an_approval_takes_nothing_back(shop: Shop) -> None:
    shop.plan()
    _approved_then("COMMENTED")(shop)
    shop.merge()
    assert shop.push().code == 0


def test_as_many_as_the_rule_asks_for_have_to_approve_each_once(shop: Shop) -> None:
    shop.change({"shipway.yml": LIFECYCLE.replace("required", "{reviews: 2, from: [write]}")})
    shop.plan()
    shop.github.world.review(7, "ana")
    shop.github.world.review(7, "ana")
    shop.merge()
    refused = shop.push()
    assert (refused.reason, "#7 has 1 of 2" in refused.text) == ("approval-missing", True)
    shop.github.world.review(7, "ben")
    done = shop.push()
    assert [approval["by"] for approval in done.document("receipt")["approvals"]] == ["ana", "ben"]


def test_who_approves_needs_the_permission_that_the_rule_names(shop: Shop) -> None:
    shop.change({"shipway.yml": LIFECYCLE.replace("required", "{from: [maintain]}")})
    shop.plan()
    shop.github.world.review(7, "ana")
    shop.merge()
    assert shop.push().reason == "approval-missing"
    shop.github.world.review(7, "ben")
    assert shop.push().code == 0


def test_a_push_without_a_pull_request_is_refused(shop: Shop) -> None:
    shop.git("checkout", "-q", "main")
    shop.commit({"README": "pushed\n"})
    shop.pushed()
    done = shop.push()
    assert (done.code, done.reason) == (5, "approval-missing")
    assert "no pull request was merged as" in done.text
    assert "shipway run --target default --approve" in done.text


def test_case_37_a_new_head_with_the_same_effect_keeps_the_approval_and_with_another_does_not(shop: Shop) -> None:
    shop.change({"shipway.yml": _with_reads()})
    shop.plan()
    review = shop.github.world.review(7, "ana")
    shop.change({"README": "another, which nothing reads\n"})
    shop.plan(78)
    shop.merge()
    done = shop.push()
    assert done.code == 0, done.text
    [approval] = done.document("receipt")["approvals"]
    assert approval["commit"] == review.commit != shop.github.world.pulls[7].head


def _with_reads() -> str:
    """The lifecycle, each stage reading only what is below `deploy`."""
    return LIFECYCLE.replace("lasting: false,", "lasting: false, reads: [deploy/**],").replace(
        "approval: required", "approval: required\n    reads: [deploy/**]"
    )


def test_cases_35_and_37_a_review_of_a_commit_with_another_effect_is_stale(shop: Shop) -> None:
    shop.plan()
    shop.github.world.review(7, "ana")
    shop.change({"shipway.yml": LIFECYCLE.replace("echo up", "echo UP")})
    shop.plan(78)
    shop.merge()
    done = shop.push()
    assert (done.code, done.reason) == (5, "approval-stale")
    assert "release/up: slots" in done.text
    for told in (done.text, done.summary):
        assert '- slots.run: echo up >> "$MARK"' in told
        assert '+ slots.run: echo UP >> "$MARK"' in told
    assert shop.mark == []


def test_case_35_a_review_of_a_commit_without_a_sealed_plan_is_stale(shop: Shop) -> None:
    shop.github.world.review(7, "ana")
    shop.merge()
    done = shop.push()
    assert (done.code, done.reason) == (5, "approval-stale")
    assert "has no sealed plan" in done.text


def test_case_23_what_is_edited_while_it_is_merged_is_refused_with_its_nodes(shop: Shop) -> None:
    shop.plan()
    shop.github.world.review(7, "ana")
    shop.merge()
    shop.commit({"shipway.yml": LIFECYCLE.replace("echo up", "echo EVIL")})
    shop.pushed(7)
    done = shop.push()
    assert (done.code, done.reason) == (5, "declaration-changed"), done.text
    assert "release/up: slots" in done.text
    assert shop.mark == []


def test_case_22_a_base_that_moved_is_refused_where_the_nodes_read_it(shop: Shop) -> None:
    shop.plan()
    shop.github.world.review(7, "ana")
    shop.git("checkout", "-q", "main")
    shop.commit({"OTHER": "somebody else's\n"})
    shop.merge()
    done = shop.push()
    assert (done.code, done.reason) == (5, "base-moved"), done.text


def test_cases_21_and_l100_a_branch_that_has_moved_on_is_not_executed_at_an_older_commit(shop: Shop) -> None:
    shop.plan()
    shop.github.world.review(7, "ana")
    shop.merge()
    shop.github.world.branches["main"] = "e" * 40
    done = shop.push()
    assert (done.code, done.reason) == (5, "head-moved")
    assert shop.mark == []


def _archive(shop: Shop, change: Callable[[bytes], bytes]) -> None:
    """Repack the plan's artifact with the plan changed; its digest is then that of the new archive."""
    [stored] = [stored for stored in shop.github.world.artifacts if stored.run == PLAN_RUN]
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(stored.archive)) as old, zipfile.ZipFile(made, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            new.writestr(name, change(content) if name == "plan.json" else content)
    stored.content, stored.digest = base64.b64encode(made.getvalue()).decode(), None


def _flip_in_archive(shop: Shop) -> None:
    [stored] = [stored for stored in shop.github.world.artifacts if stored.run == PLAN_RUN]
    content = bytearray(stored.archive)
    content[len(content) // 2] ^= 1
    stored.content = base64.b64encode(bytes(content)).decode()


def _flip_undigested(shop: Shop) -> None:
    _flip_in_archive(shop)
    shop.github.world.artifacts[0].digest = None


@pytest.mark.parametrize(
    "flip",
    [
        _flip_in_archive,
        _flip_undigested,
        lambda shop: _archive(shop, lambda plan: plan.replace(b"echo up", b"echo uq")),
        lambda shop: _archive(shop, lambda plan: plan + b" "),
    ],
    ids=["archive", "archive without digest", "document", "canonical"],
)
def test_case_25_one_byte_flipped_in_the_plan_artifact_starts_nothing(shop: Shop, flip: Callable[[Shop], None]) -> None:
    shop.plan()
    flip(shop)
    shop.github.world.review(7, "ana")
    shop.merge()
    done = shop.push()
    assert (done.code, done.reason) == (5, "plan-digest"), done.text
    assert shop.mark == []


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({"repository": 2}, "is of another repository's code"),
        ({"path": ".github/workflows/other.yml"}, "is of the workflow `.github/workflows/other.yml`"),
        ({"conclusion": "failure"}, "ended as `failure`"),
        ({"host": 2}, "is of another repository's code"),
    ],
    ids=["fork", "workflow", "failed", "host"],
)
def test_case_27_a_plan_that_is_not_by_the_plan_run_is_foreign(shop: Shop, facts: dict[str, Any], why: str) -> None:
    shop.plan(**facts)
    shop.github.world.review(7, "ana")
    shop.merge()
    done = shop.push()
    assert (done.code, done.reason) == (5, "artifact-foreign"), done.text
    assert why in done.text
    assert shop.mark == []


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({"event": "workflow_dispatch"}, "was begun by `workflow_dispatch`"),
        ({"head": "b" * 40}, "is of another commit"),
    ],
    ids=["event", "head"],
)
def test_case_27_a_run_that_was_not_asked_for_is_foreign_though_the_forge_lists_it(
    shop: Shop, facts: dict[str, Any], why: str
) -> None:
    shop.plan()
    world = shop.github.world
    run, stored = world.runs[PLAN_RUN], world.artifacts[0]
    for name, value in facts.items():
        setattr(run, name, value)
    stored.head = run.head
    listed = Reply(200, {"total_count": 1, "workflow_runs": [run_document(world, run)]})
    world.review(7, "ana")
    shop.merge()
    shop.github.fault("GET", "actions/runs$", listed, times=9)
    done = shop.push()
    assert (done.code, done.reason, shop.mark) == (5, "artifact-foreign", []), done.text
    assert why in done.text


def test_an_approved_pull_request_onto_another_branch_approves_nothing_on_this_one(shop: Shop) -> None:
    shop.plan()
    shop.github.world.review(7, "ana")
    shop.merge()
    shop.github.world.pulls[7].base = "release"
    done = shop.push()
    assert (done.code, done.reason, shop.mark) == (5, "approval-missing", []), done.text
    assert "no pull request was merged as" in done.text


@pytest.mark.parametrize("fact", ["head", "repository"])
def test_case_27_an_artifact_that_is_kept_with_another_head_than_its_run_is_foreign(shop: Shop, fact: str) -> None:
    shop.plan()
    [stored] = shop.github.world.artifacts
    setattr(stored, fact, "b" * 40 if fact == "head" else 2)
    shop.github.world.review(7, "ana")
    shop.merge()
    assert shop.push().reason == "artifact-foreign"


def test_case_27_a_foreign_plan_beside_the_own_one_decides_nothing(shop: Shop) -> None:
    evil = shop.plan(repository=2)
    shop.plan(78)
    shop.github.world.artifacts[0].content = base64.b64encode(b"PK evil").decode()
    shop.github.world.review(7, "ana")
    shop.merge()
    done = shop.push()
    assert done.code == 0, done.text
    assert done.document("receipt")["approvals"][0]["run"] == "78"
    assert evil.code == 0


def test_a_plan_made_after_the_review_was_not_what_was_reviewed(shop: Shop) -> None:
    shop.plan()
    shop.github.world.review(7, "ana")
    shop.git("checkout", "-q", "main")
    shop.commit({"OTHER": "somebody else's\n"})
    shop.plan(78)  # the same head, on the base as it is by now
    shop.merge()
    assert shop.push().reason == "base-moved"
    shop.github.world.review(7, "ben")
    done = shop.push()
    assert done.code == 0, done.text
    assert [approval["by"] for approval in done.document("receipt")["approvals"]] == ["ben"]


def _planned_upon(shop: Shop, number: int, run: int) -> str:
    """Plan the head of pull request 7 upon a branch of its author's own, as pull request `number`; gives what is changed there."""
    evil = LIFECYCLE.replace("echo up", "echo evil")
    shop.git("checkout", "-q", "-b", "aside", "main")
    shop.commit({"shipway.yml": evil})
    shop.git("checkout", "-q", "--detach")
    shop.git("merge", "-q", "--no-ff", "-m", "test merge", "topic")
    shop.github.world.runs[run] = Run(run, head=shop.head, status="completed", conclusion="success")
    shop.upload(shop.plan_again(run, number, "aside"), run)
    return evil


def test_a_plan_that_another_pull_request_of_the_same_head_was_shown_is_not_what_was_reviewed(shop: Shop) -> None:
    shop.plan()
    evil = _planned_upon(shop, 8, 78)
    shop.github.world.review(7, "ana")  # who was shown the plan of run 77
    shop.change({"shipway.yml": evil})
    shop.merge()
    refused = shop.push()
    assert (refused.code, refused.reason, shop.mark) == (5, "approval-stale", []), refused.text
    assert "echo evil" in refused.text


def test_a_plan_upon_another_branch_is_not_taken_for_what_a_review_before_it_was_of(shop: Shop) -> None:
    shop.plan()
    shop.github.world.review(7, "ana")
    shop.github.world.artifacts.clear()  # whoever may write may delete them
    evil = _planned_upon(shop, 7, 78)
    shop.change({"shipway.yml": evil})
    shop.merge()
    refused = shop.push()
    assert (refused.code, refused.reason, shop.mark) == (5, "artifact-foreign", []), refused.text


def _ago(days: int) -> str:
    return timestamp(datetime.now(UTC) - timedelta(days=days))


@pytest.mark.parametrize(
    ("reviewed", "planned", "reason"),
    [(1, 2, ""), (8, 2, "approval-expired"), (1, 8, "plan-expired")],
)
def test_case_31_approval_and_plan_are_as_fresh_as_the_rule_asks_for(
    shop: Shop, reviewed: int, planned: int, reason: str
) -> None:
    shop.change({"shipway.yml": LIFECYCLE.replace("required", "{fresh: 7d}")})
    shop.plan(started_at=_ago(planned))
    shop.github.world.review(7, "ana").submitted_at = _ago(reviewed)
    shop.merge()
    done = shop.push()
    assert done.reason == reason, done.text
    assert done.code == (5 if reason else 0)
    assert ("gh run rerun 77" in done.text) is (reason == "plan-expired")


def test_case_31_a_plan_whose_artifact_has_expired_is_planned_again(shop: Shop) -> None:
    shop.plan()
    shop.github.world.review(7, "ana")
    [stored] = shop.github.world.artifacts
    stored.expired = True
    shop.merge()
    done = shop.push()
    assert (done.code, done.reason) == (5, "plan-expired")
    assert "gh run rerun 77" in done.text


_ASKED = ["commits/.*/pulls$", "git/ref", "reviews$", "permission$", "actions/runs$", "artifacts$", "zip$"]


@pytest.mark.parametrize("path", _ASKED)
def test_case_69_what_cannot_be_asked_approves_nothing(shop: Shop, path: str) -> None:
    shop.plan()
    shop.github.world.review(7, "ana")
    shop.merge()
    shop.github.fault("GET", path, Reply(403, {"message": "Resource not accessible by integration"}), times=99)
    done = shop.push()
    assert (done.code, done.reason) == (6, "forge-permission"), done.text
    assert shop.mark == []


def test_cases_69_and_l99_a_forge_that_cannot_be_reached_fails_closed_after_bounded_tries(shop: Shop) -> None:
    shop.plan()
    shop.github.world.review(7, "ana")
    shop.merge()
    later = Reply(429, {"message": "slow down"}, {"Retry-After": "100000"})
    shop.github.fault("GET", "reviews$", later, times=99)
    done = shop.push()
    assert (done.code, done.reason) == (6, "forge-unreachable")
    assert shop.mark == []
    assert Path(done.outputs["receipt-path"]).is_file()


def test_case_69_without_a_token_nothing_is_approved(shop: Shop) -> None:
    shop.plan()
    shop.github.world.review(7, "ana")
    shop.merge()
    done = shop.push(SHIPWAY_INPUT_TOKEN="")
    assert (done.code, done.reason) == (6, "forge-permission")


def test_case_77_a_pull_request_that_drops_its_approval_needs_it_all_the_same(shop: Shop) -> None:
    shop.change({"shipway.yml": LIFECYCLE.replace("    approval: required\n", "")})
    shop.plan()
    shop.merge()
    assert shop.push().reason == "approval-missing"
    shop.github.world.review(7, "ana")
    assert shop.push().code == 0


def test_a_rerun_asks_again_who_approved_what_it_goes_on_with(shop: Shop) -> None:
    shop.change({"shipway.yml": LIFECYCLE.replace('"$MARK"\', undo', '"$MARK"; test -e ../ready\', undo')})
    shop.plan()
    review = shop.github.world.review(7, "ana")
    shop.merge()
    assert shop.push().outputs["outcome"] == "failed"
    assert shop.mark == ["build", "up", "down"]
    review.state = "DISMISSED"
    refused = shop.push(GITHUB_RUN_ATTEMPT="2")
    assert (refused.code, refused.reason) == (5, "approval-missing"), refused.text
    assert shop.mark == ["build", "up", "down"]
    shop.github.world.review(7, "ben")
    (shop.root / "ready").touch()
    done = shop.push(GITHUB_RUN_ATTEMPT="2")
    assert done.code == 0, done.text
    assert shop.mark == ["build", "up", "down", "up"]


TAKES_BACK = """\
version: 1
name: shop
defaults: {rollback: none}
stages:
  place: {mode: files, with: {sources: {base: config}, roots: {there: there}, how: copy, action: reconcile}}
  release:
    needs: [place]
    approval: required
    steps: [{id: up, run: 'echo up >> "$MARK"; test -e ../ready', env_from: [MARK], reads: []}]
"""


def _half_done(shop: Shop) -> Acted:
    """A run that took back a file, as was approved, and failed behind that."""
    shop.env["HOME"] = str(shop.root)
    (shop.work / "there").mkdir()
    kept = {"shipway.yml": TAKES_BACK, ".gitignore": ".shipway/\nthere/\n", "config/all/kept": "k"}
    shop.change(kept | {"config/all/gone": "g"})
    (shop.root / "ready").touch()
    assert shop.plan().code == 0
    shop.github.world.review(7, "ana")
    shop.merge()
    assert shop.push().code == 0
    shop.git("checkout", "-q", "topic")
    shop.git("rm", "-q", "config/all/gone")
    shop.change({})
    (shop.root / "ready").unlink()
    planned = shop.plan(78)
    assert [node["change"] for node in planned.document("plan")["nodes"]] == ["noop", "delete", "run"]
    shop.github.world.review(7, "ana")
    shop.merge()
    failed = shop.push()
    assert (failed.code, failed.outputs["outcome"]) == (1, "failed"), failed.text
    assert sorted(path.name for path in (shop.work / "there").iterdir()) == ["kept"]
    (shop.root / "ready").touch()
    return failed


def test_case_28_a_rerun_of_what_was_half_done_keeps_the_approval(shop: Shop) -> None:
    failed = _half_done(shop)
    done = shop.push(GITHUB_RUN_ATTEMPT="2")
    assert done.code == 0, done.text
    assert f"going on with run {failed.document('receipt')['run']}" in done.text
    assert [each["by"] for each in done.document("receipt")["approvals"]] == ["ana"]
    assert shop.mark == ["up", "up", "up"]


def test_case_28_resume_in_a_job_goes_on_under_the_approval_that_the_run_was_begun_with(shop: Shop) -> None:
    run = str(_half_done(shop).document("receipt")["run"])
    resumed = shop.call("workflow_dispatch", "resume", run, "--json")
    assert resumed.code == 0, resumed.text
    assert shop.mark == ["up", "up", "up"]
    told = shop.call("workflow_dispatch", "show", run)
    assert "approved" in told.text and "by ana, review" in told.text


def test_case_38_what_changed_while_an_environment_was_waited_for_is_found_after_the_wait(shop: Shop) -> None:
    (shop.work / ".gitignore").write_text("left\n.shipway/\n")
    remove = "    steps: [{id: clear, uses: file.remove, with: {path: left}}, "
    shop.change({"shipway.yml": LIFECYCLE.replace("    steps: [", remove)})
    shop.plan()
    shop.github.world.review(7, "ana")
    shop.merge()
    # The job of the push waits for its environment; meanwhile there is something to remove that nobody was shown.
    (shop.work / "left").write_text("precious")
    refused = shop.push()
    assert (refused.code, refused.reason) == (5, "plan-differs"), refused.text
    assert "release/clear" in refused.text
    assert (shop.work / "left").exists() and shop.mark == []
    (shop.work / "left").unlink()
    assert shop.push().code == 0


def test_of_several_pull_requests_merged_as_one_commit_one_has_to_suffice(shop: Shop) -> None:
    shop.plan()
    shop.github.world.review(7, "ana")
    other = shop.github.world.pull(6, "f" * 40)
    commit = shop.merge()
    other.merge_commit = commit
    done = shop.push()
    assert done.code == 0, done.text
    assert done.document("receipt")["approvals"][0]["pull_request"] == 7
    assert list(shop.github.world.pulls) == [7, 6]


def test_an_artifact_called_alike_and_of_another_lifecycle_is_passed_over(shop: Shop) -> None:
    planned = shop.plan()
    text = (shop.work / "shipway.yml").read_text()
    (shop.work / "shipway.yml").write_text(text.replace("name: shop", "name: other"))
    other = shop.plan_again()
    shop.git("checkout", "-q", "--", "shipway.yml")
    shop.upload(other, PLAN_RUN, planned.outputs["artifact-name"].removesuffix("-0") + "-1")
    shop.github.world.review(7, "ana")
    shop.merge()
    assert shop.push().code == 0


def test_another_workflow_may_be_named_that_plans(shop: Shop) -> None:
    shop.plan(path=".github/workflows/plan.yml")
    shop.github.world.review(7, "ana")
    shop.merge()
    done = shop.push(SHIPWAY_INPUT_WORKFLOW=".github/workflows/plan.yml")
    assert done.code == 0, done.text


def test_a_plan_that_tells_of_those_before_it_is_approved_as_any_other(shop: Shop) -> None:
    shop.plan()
    [stored] = shop.github.world.artifacts
    made = io.BytesIO(stored.archive)
    with zipfile.ZipFile(made, "a") as archive:
        archive.writestr("history.json", "[]")
    stored.content, stored.digest = base64.b64encode(made.getvalue()).decode(), None
    shop.github.world.review(7, "ana")
    shop.merge()
    assert shop.push().code == 0
