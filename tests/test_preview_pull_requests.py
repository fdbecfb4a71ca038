"""The life of a pull request's environment, by the action's real command against the false GitHub: real worktrees and services."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from shipway.environment_record import EnvironmentRecord, EnvironmentState
from shipway.forges.previews import Announced
from shipway.forges.sticky import parse_marker
from shipway.workspace import Workspace
from tests.forge.fixtures import github as github
from tests.forge.server import GitHubServer, Reply
from tests.forge.waiting import Clock, forge_of
from tests.forge.world import Grant
from tests.preview_pulls import NUMBER, STRANGER, PreviewShop
from tests.runs import Lifeline

SECRET = "correct-horse-battery"


@pytest.fixture
def shop(tmp_path: Path, github: GitHubServer) -> Iterator[PreviewShop]:
    """A shop whose environments are taken away when the test is over."""
    made = PreviewShop(tmp_path, github)
    yield made
    if made.record() is not None:
        made.by_hand("down", SHIPWAY_INPUT_TARGET=f"pr-{NUMBER}")


def test_case_93_opened_brings_it_up_with_one_comment_and_a_deployment(shop: PreviewShop) -> None:
    shop.push({"deploy.sh": 'echo "of $SHIPWAY_BRANCH from $SHIPWAY_BASE at $SHIPWAY_COMMIT" >> "$MARK"\n'})
    done = shop.event("opened")
    assert done.code == 0, done.text
    record = shop.record()
    assert record is not None
    assert (record.state, record.commit, record.pull_request) == (EnvironmentState.READY, shop.head, NUMBER)
    assert shop.answered() == "2"
    (comment,) = shop.comments
    assert "### ✅ Shipway preview: shop → pr-7: ready" in comment.body
    assert record.urls["web"] in comment.body
    assert "shipway preview exec --target pr-7" in comment.body
    assert "ends 3d after the last push" in comment.body
    marker = parse_marker(comment.body)
    assert marker is not None and marker.head == shop.head
    (deployment,) = shop.github.world.deployments
    assert (deployment.document["environment"], deployment.document["ref"]) == ("preview", shop.head)
    assert [status["state"] for status in deployment.statuses] == ["in_progress", "success"]
    assert deployment.statuses[-1]["environment_url"] == record.urls["web"]
    assert (done.outputs["preview-state"], done.outputs["environment-url"]) == ("ready", record.urls["web"])
    for sink in (comment.body, done.summary, done.text.replace(f"::add-mask::{SECRET}", "")):
        assert SECRET not in sink
    assert f"before {shop.head} {SECRET}" in shop.mark
    assert f"of topic from main at {shop.head}" in shop.mark, "case 27: the head is detached here, as CI makes it"
    assert (record.branch, record.base) == ("topic", "main")


def test_a_push_brings_it_to_the_new_head_in_the_same_comment_and_one_deployment(shop: PreviewShop) -> None:
    assert shop.event("opened").code == 0
    before = shop.record()
    shop.push({"web/version.txt": "3\n"})
    done = shop.event("synchronize")
    assert done.code == 0, done.text
    after = shop.record()
    assert before is not None and after is not None
    assert (after.commit, after.urls) == (shop.head, before.urls), "the same environment, at the new commit"
    assert shop.answered() == "3"
    (comment,) = shop.comments
    assert comment.edits == 1
    assert shop.head[:7] in comment.body
    (deployment,) = shop.github.world.deployments
    assert deployment.document["ref"] == shop.head


def test_cases_72_and_95_closed_leaves_nothing_behind(shop: PreviewShop) -> None:
    assert shop.event("opened").code == 0
    assert shop.left() != []
    shop.close()
    done = shop.event("closed")
    assert done.code == 0, done.text
    record = shop.record()
    assert record is not None and record.state is EnvironmentState.GONE
    assert shop.left() == []
    assert "destroy" in shop.mark
    (comment,) = shop.comments
    assert "pr-7: gone" in comment.body
    assert "removed: the pull request was closed" in comment.body
    assert shop.github.world.deployments == []
    assert shop.event("closed").code == 0, "once more there is nothing to do"


def test_case_95_merged_is_closed_too(shop: PreviewShop) -> None:
    assert shop.event("opened").code == 0
    shop.close(merged=True)
    assert shop.event("closed").code == 0
    assert shop.left() == []
    assert "removed: the pull request was merged" in shop.comments[0].body


def test_case_95_what_was_never_made_is_closed_without_a_word(shop: PreviewShop) -> None:
    shop.close()
    done = shop.event("closed")
    assert (done.code, shop.comments, shop.github.writes) == (0, [], []), done.text


def test_case_95_closed_while_it_comes_up_takes_away_what_came_after(shop: PreviewShop) -> None:
    """Of what it waits for nothing is known yet when it begins to wait."""
    begun, go = Lifeline(shop.root / "begun"), shop.root / "go"
    os.mkfifo(go)
    hook = f"echo x > {shop.root}/begun; read x < {go}"
    first = f"  provisioner: {{mode: preview, with: {{role: provisioner, before: '{hook}'}}}}\n"
    text = (shop.work / "shipway.yml").read_text().replace("stages:\n", f"stages:\n{first}")
    shop.push({"shipway.yml": text.replace("  runner:\n", "  runner:\n    needs: [provisioner]\n")})
    shop.git("checkout", "-q", "--detach", "topic")
    up = shop.begin_event("synchronize")
    begun.wait()
    down = shop.begin_event("closed")
    assert down.stdout is not None
    for line in down.stdout:
        if "waiting: " in line:
            break
    go.write_text("x\n")
    assert shop.finish(up).code == 0
    done = shop.finish(down)
    assert done.code == 0, done.text
    record = shop.record()
    assert record is not None and record.state is EnvironmentState.GONE
    assert shop.left() == []


def test_case_96_reopened_brings_it_up_afresh(shop: PreviewShop) -> None:
    assert shop.event("opened").code == 0
    shop.close()
    assert shop.event("closed").code == 0
    shop.github.world.pulls[NUMBER].is_closed = False
    assert shop.event("reopened").code == 0
    assert shop.answered() == "2"
    (comment,) = shop.comments
    assert "pr-7: ready" in comment.body


def test_case_94_of_two_pushes_the_later_head_is_what_comes_of_it(shop: PreviewShop) -> None:
    begun, go = Lifeline(shop.root / "begun"), shop.root / "go"
    os.mkfifo(go)
    waiting = f'echo deploy >> "$MARK"; echo x > {shop.root}/begun; read x < {go}; sleep 2.1\n'
    first_head = shop.push({"deploy.sh": waiting})
    shop.git("checkout", "-q", "--detach", "topic")
    first = shop.begin_event("synchronize")
    begun.wait()
    later = shop.push({"deploy.sh": 'echo deploy-later >> "$MARK"\n', "web/version.txt": "9\n"})
    second = shop.begin_event("synchronize")
    assert second.stdout is not None
    for line in second.stdout:
        if "waiting: " in line:
            break
    go.write_text("x\n")
    overtaken = shop.finish(first)
    assert (overtaken.code, overtaken.reason) == (5, "run-superseded"), overtaken.text
    done = shop.finish(second)
    assert done.code == 0, done.text
    assert shop.answered() == "9"
    record = shop.record()
    assert record is not None and record.commit == later != first_head
    assert [line for line in shop.mark if line.startswith(("deploy", "destroy"))] == ["deploy", "deploy-later"], (
        "none undone"
    )
    (comment,) = shop.comments
    assert later[:7] in comment.body
    (deployment,) = shop.github.world.deployments
    assert deployment.document["ref"] == later


def test_case_94_a_run_of_an_older_head_begins_nothing(shop: PreviewShop) -> None:
    older = shop.head
    shop.push({"web/version.txt": "3\n"})
    done = shop.event("synchronize", head=older)
    assert done.code == 0, done.text
    assert (shop.mark, shop.comments, shop.record()) == ([], [], None)
    assert done.outputs["comment"] == "superseded"


def test_what_fails_is_told_with_what_was_undone_and_the_deployment_failed(shop: PreviewShop) -> None:
    shop.push({"deploy.sh": "echo no such table >&2; exit 3\n"})
    done = shop.event("opened")
    assert done.code in (1, 4), done.text
    record = shop.record()
    assert record is not None and record.state is EnvironmentState.FAILED
    (comment,) = shop.comments
    assert "pr-7: failed" in comment.body
    assert "no such table" in comment.body
    (deployment,) = shop.github.world.deployments
    assert deployment.statuses[-1]["state"] == "failure"


@pytest.mark.parametrize("action", ["opened", "synchronize"])
def test_case_100_a_forks_pull_request_is_planned_only_and_told_the_way(shop: PreviewShop, action: str) -> None:
    shop.github.world.tokens["ghs_job"] = Grant("github-actions[bot]", {"metadata": "read", "contents": "read"})
    shop.github.world.pulls[NUMBER].repository = STRANGER
    done = shop.event(action, repository=STRANGER)
    assert done.code == 0, done.text
    assert shop.mark == [], "no hook ran"
    assert shop.github.writes == []
    assert shop.record() is None
    assert shop.left() == []
    assert "push the branch to the repository itself" in done.summary
    assert SECRET not in done.text.replace(f"::add-mask::{SECRET}", "") + done.summary
    assert shop.event("closed", repository=STRANGER).code == 0
    assert shop.github.writes == []


def test_another_target_is_planned_as_ever(shop: PreviewShop) -> None:
    done = shop.event("opened", SHIPWAY_INPUT_TARGET="prod")
    assert done.code == 0, done.text
    assert shop.mark == []
    (comment,) = shop.comments
    assert "Shipway plan: shop → prod" in comment.body


def test_by_hand_it_is_stopped_and_taken_down_and_who_did_it_is_said(shop: PreviewShop) -> None:
    assert shop.event("opened").code == 0
    stopped = shop.by_hand("stop", SHIPWAY_INPUT_TARGET="pr-7")
    assert stopped.code == 0, stopped.text
    record = shop.record()
    assert record is not None and record.state is EnvironmentState.STOPPED
    assert "pr-7: stopped" in shop.comments[0].body
    assert shop.by_hand("down", SHIPWAY_INPUT_TARGET="pr-7").code == 0
    assert shop.left() == []
    assert "removed by `octocat`" in shop.comments[0].body
    refused = shop.act("push", {"repository": {"id": 1}}, SHIPWAY_INPUT_COMMAND="down", SHIPWAY_INPUT_TARGET="pr-7")
    assert (refused.code, refused.reason) == (2, "event-refused")


def test_a_forge_that_does_not_answer_changes_no_outcome(shop: PreviewShop) -> None:
    shop.github.fault(
        "POST", "/deployments", Reply(403, {"message": "Resource not accessible by integration"}), times=9
    )
    shop.github.fault("GET", "/comments", Reply(403, {"message": "Resource not accessible by integration"}), times=9)
    done = shop.event("opened")
    assert done.code == 0, done.text
    assert shop.answered() == "2"
    assert "no deployment is announced" in done.text
    assert done.outputs["comment"].startswith("deferred")


def test_case_92_each_node_that_ran_has_one_group_and_only_what_fails_an_annotation(shop: PreviewShop) -> None:
    shop.push({"deploy.sh": 'printf "100%% \\033[31mred\\r\\n::error::forged\\n::group::x\\n::endgroup::\\n"\n'})
    first = obeyed(shop.event("opened").text)
    ran = ["compute", "ports", "manifest", "before", "env[web/.env.local]", "deploy", "service/web"]
    assert [words for words in first if not words.startswith("add-mask")] == [
        words for node in ran for words in (f"group output of runner/{node} (succeeded", "endgroup")
    ]
    shop.push({"web/.env.local/x": ""})  # where a file has to be written there is a folder
    done = shop.event("synchronize")
    assert done.code == 4, done.text
    again = obeyed(done.text)
    assert [words for words in again if "runner/ports" in words] == [], "what is kept says so on its line"
    assert "= runner/ports" in done.text
    assert again.count("endgroup") == sum(words.startswith("group") for words in again)
    [annotation] = [words for words in again if words.startswith(("error", "warning", "notice"))]
    assert annotation.startswith("error `runner/env[web/.env.local]` failed")
    assert "\x1b" not in done.text and "\r" not in done.text


def obeyed(text: str) -> list[str]:
    """What a runner obeys in a log, as `command text`: nothing between `stop-commands` and the word that it names."""
    found, word = [], ""
    for line in text.splitlines():
        name, _, rest = line.removeprefix("::").partition("::") if line.startswith("::") else ("", "", "")
        name = name.partition(" ")[0]
        if word:
            word = "" if name == word else word
        elif name == "stop-commands":
            word = rest
        elif name:
            found.append(f"{name} {rest.partition(',')[0]}".strip())
    assert not word, "commands were never obeyed again"
    return found


# The sweeper.


def test_cases_72_and_96_a_closed_that_a_conflict_keeps_from_being_sent_is_made_good_by_the_next_sweep(
    shop: PreviewShop,
) -> None:
    assert shop.event("opened").code == 0
    kept = shop.sweep()
    assert (kept.code, "pr-7: stays: ready" in kept.text) == (0, True), kept.text
    shop.close()
    done = shop.sweep()
    assert done.code == 0, done.text
    assert "pr-7: closed: removed" in done.text
    assert shop.left() == []
    (comment,) = shop.comments
    assert "pr-7: gone" in comment.body
    assert "the pull request is closed, and no run had taken it down" in comment.body
    assert shop.github.world.deployments == []
    assert shop.sweep().code == 0


def _grow_old(shop: PreviewShop, hours: int) -> None:
    def older(record: EnvironmentRecord | None) -> EnvironmentRecord:
        assert record is not None
        return replace(record, touched_ms=record.touched_ms - hours * 3_600_000)

    shop.environments.change(f"pr-{NUMBER}", older)


def test_cases_72_and_96_after_72_hours_without_a_push_it_goes_and_the_comment_says_so(shop: PreviewShop) -> None:
    assert shop.event("opened").code == 0
    _grow_old(shop, 71)
    shop.push({"web/version.txt": "3\n"})
    assert shop.event("synchronize").code == 0
    _grow_old(shop, 71)
    assert shop.sweep().code == 0
    assert shop.left() != [], "a push sets its time anew"
    _grow_old(shop, 1)
    done = shop.sweep()
    assert done.code == 0, done.text
    assert shop.left() == []
    (comment,) = shop.comments
    assert "removed after 72 h without activity" in comment.body


def test_case_97_where_the_forge_does_not_answer_nothing_counts_as_closed(shop: PreviewShop) -> None:
    assert shop.event("opened").code == 0
    shop.close()
    shop.github.fault(
        "GET", f"/pulls/{NUMBER}$", Reply(403, {"message": "Resource not accessible by integration"}), times=9
    )
    done = shop.sweep()
    assert done.code == 6, done.text
    assert shop.left() != []
    record = shop.record()
    assert record is not None and record.state is EnvironmentState.READY


def test_case_97_by_hand_it_lists_only_unless_told_to_remove(shop: PreviewShop) -> None:
    assert shop.event("opened").code == 0
    shop.close()
    listed = shop.by_hand("gc")
    assert (listed.code, "pr-7: closed: would be taken down" in listed.text) == (0, True), listed.text
    assert shop.left() != []
    assert shop.by_hand("gc", SHIPWAY_INPUT_REMOVE="true").code == 0
    assert shop.left() == []


def test_cases_72_and_97_one_that_cannot_be_removed_is_listed_and_keeps_no_other_back(shop: PreviewShop) -> None:
    assert shop.event("opened").code == 0

    def broken(record: EnvironmentRecord | None) -> EnvironmentRecord:
        return EnvironmentRecord("shop", "pr-3", EnvironmentState.READY, pull_request=NUMBER, declaration="{}")

    shop.environments.change("pr-3", broken)
    shop.close()
    done = shop.sweep()
    assert done.code == 4, done.text
    assert "pr-3: closed: not removed" in done.text
    assert "pr-7: closed: removed" in done.text
    assert shop.left() == []


def test_case_98_a_deployment_without_an_environment_is_taken_away_by_the_sweep_and_no_other_lifecycles(
    shop: PreviewShop,
) -> None:
    forge = forge_of(shop.github, Clock())
    forge.announce(Announced("shop", "pr-5", "a" * 40, "sha256:" + "e" * 64, "77", "https://e/run"), "up")
    forge.announce(Announced("shop-admin", "pr-5", "a" * 40, "sha256:" + "e" * 64, "77", "https://e/run"), "up")
    assert "left over: deployment" in (listed := shop.by_hand("gc").text)
    assert "`pr-5` of `shop`" in listed
    assert "shop-admin" not in listed
    assert shop.sweep().code == 0
    (left,) = shop.github.world.deployments
    assert left.document["payload"]["shipway"] == "shop-admin"


# What the provisioner owns, and how many there may be.

OWNED = """\
stages:
  provisioner:
    mode: preview
    with:
      role: provisioner
      services:
        db:
          outputs: {NAME: {type: string}}
          seed: {run: 'echo seed >> "$MARK"; echo NAME=one >> "$SHIPWAY_OUTPUT"', env: {MARK: "%(mark)s"}}
          reset: {run: 'echo reset >> "$MARK"; echo NAME=two >> "$SHIPWAY_OUTPUT"', env: {MARK: "%(mark)s"}}
          destroy: {run: 'echo drop >> "$MARK"', env: {MARK: "%(mark)s"}}
"""


def _declare(shop: PreviewShop, old: str, new: str) -> None:
    """Change the declaration on both branches."""
    shop.git("checkout", "-q", "main")
    text = (shop.work / "shipway.yml").read_text()
    assert old in text
    shop.write({"shipway.yml": text.replace(old, new, 1)})
    shop.commit()
    shop.git("checkout", "-q", "topic")
    shop.git("merge", "-q", "-m", "main", "main")
    shop.github.world.pulls[NUMBER].head = shop.git("rev-parse", "HEAD")


def test_case_55_a_service_is_reset_by_hand_and_the_environment_told_of_it(shop: PreviewShop) -> None:
    _declare(shop, "stages:\n", OWNED % {"mark": shop.root / "mark"})
    _declare(shop, "  runner:\n    mode", "  runner:\n    needs: [provisioner]\n    mode")
    assert shop.event("opened").code == 0
    nameless = shop.by_hand("reset", SHIPWAY_INPUT_TARGET="pr-7")
    assert (nameless.code, "input `service`" in nameless.text) == (2, True), nameless.text
    done = shop.by_hand("reset", "topic", SHIPWAY_INPUT_TARGET="pr-7", SHIPWAY_INPUT_SERVICE="db")
    assert done.code == 0, done.text
    assert [line for line in shop.mark if line in ("seed", "reset")] == ["seed", "reset"]
    assert "`db` was reset by `octocat`" in shop.comments[0].body
    assert shop.answered() == "2"
    shop.close()
    assert shop.event("closed").code == 0
    assert shop.mark[-1] == "drop"
    assert shop.left() == []


def test_case_99_one_more_than_the_quota_is_refused_and_its_pull_request_told(shop: PreviewShop) -> None:
    _declare(shop, "      ttl: 72h\n", "      ttl: 72h\n      quota: 1\n")

    def other(record: EnvironmentRecord | None) -> EnvironmentRecord:
        return EnvironmentRecord("shop", "pr-3", EnvironmentState.READY, created_ms=1)

    Workspace(shop.work).make_records()
    shop.environments.change("pr-3", other)
    done = shop.event("opened")
    assert done.code == 6, done.text
    assert shop.mark == []
    (comment,) = shop.comments
    assert "pr-7: failed" in comment.body
    assert "pr-3" in comment.body
    assert shop.github.world.deployments == []


def test_a_stage_that_needs_approval_is_not_brought_up_for_a_pull_request(shop: PreviewShop) -> None:
    _declare(shop, "  runner:\n", "  runner:\n    approval: required\n")
    done = shop.event("opened")
    assert (done.code, done.reason) == (5, "approval-missing"), done.text
    assert (shop.mark, shop.left()) == ([], [])
    (comment,) = shop.comments
    assert "needs approval" in comment.body
