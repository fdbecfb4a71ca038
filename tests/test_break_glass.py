"""Overriding policies: with a reason, by somebody who may, recorded and loud; and labels as the forge tells them."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from shipway.approvals import Permission
from shipway.ci import ci_context
from shipway.commands.documents import read_document
from shipway.commands.labels import labels_of
from shipway.forges.forge import Person
from shipway.policies import Decision
from shipway.policy import Labels
from shipway.receipt import Receipt
from shipway.render.check import check_title
from shipway.view import View
from tests.command_line import Project, make_project
from tests.forge.server import GitHubServer
from tests.forge.waiting import Clock, forge_of
from tests.runs import PATIENCE_S, context_of
from tests.test_action_command import Job

DENIED = """
    version: 1
    name: shop
    policy:
      sure: {deny_opaque: true}
      broken: {run: exit 7}
    steps: [{id: up, run: 'touch shipped; exit ${CODE:-0}', undo: 'true', env_from: [CODE]}]
    """


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = make_project(tmp_path)
    made.env["USER"] = "ana"
    made.write({"shipway.yml": DENIED, ".gitignore": ".shipway/\n"})
    made.commit()
    return made


def at_terminal(project: Project, typed: str, *arguments: str) -> tuple[int, str]:
    """The exit code of a call whose input is a terminal where something is typed, and all that it said."""
    master, slave = pty.openpty()
    os.write(master, typed.encode())
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-m", "shipway", *arguments],
            cwd=project.root,
            env=project.env,
            stdin=slave,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
    finally:
        os.close(slave)
        os.close(master)
    return done.returncode, done.stdout


def last_receipt(root: Path) -> Receipt:
    path = max((root / ".shipway/receipts").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    document = read_document(path)
    assert isinstance(document, Receipt)
    return document


@pytest.mark.parametrize("reason", [[], [""], ["  \t"]])
def test_case_40_without_a_reason_nothing_is_overridden(project: Project, reason: list[str]) -> None:
    done = project.call("run", "--json", "--yes", "--break-glass", *reason, code=5)
    assert done.json["error"]["reason"] == "break-glass-refused"
    assert "it has no reason" in done.json["error"]["message"]
    assert not (project.root / "shipped").exists()


def test_case_40_yes_is_no_confirmation(project: Project) -> None:
    done = project.call("run", "--yes", "--break-glass", "outage", code=5)
    assert "there is no terminal to confirm it on" in done.err
    assert not (project.root / "shipped").exists()
    assert last_receipt(project.root).break_glass is None


def test_case_40_what_is_typed_has_to_be_the_target(project: Project) -> None:
    code, said = at_terminal(project, "yes\n", "run", "--yes", "--break-glass", "outage")
    assert code == 5
    assert "what was typed is not the name of the target" in said
    assert not (project.root / "shipped").exists()


def test_case_40_with_a_reason_and_typed_it_is_executed_and_the_first_line_says_so(project: Project) -> None:
    code, said = at_terminal(project, "default\n", "run", "--yes", "--break-glass", "the shop is down")
    assert code == 0, said
    assert (project.root / "shipped").exists()
    receipt = last_receipt(project.root)
    broken = receipt.break_glass
    assert broken is not None
    assert (broken.reason, broken.by, broken.right, broken.account) == ("the shop is down", "ana", "terminal", None)
    assert [(each.policy, each.decision) for each in broken.overridden] == [
        ("sure", Decision.DENY),
        ("broken", Decision.ERROR),
    ]
    view = View("shop", "default", receipt=receipt)
    assert check_title(view) == "break-glass, succeeded: 1 succeeded"
    first = project.call("show").out.splitlines()[0]
    assert first.startswith("! break-glass by `ana` (typed at the terminal) against `sure` and `broken`")
    markdown = project.call("show", "--format", "markdown").out.splitlines()[0]
    assert markdown.startswith(
        "### ⚠️ break-glass by `ana` (typed at the terminal) against `sure` and `broken` because `the"
    )
    assert "policies are overridden by ana" in said


def test_it_stands_in_the_journal_before_anything_runs(project: Project) -> None:
    project.env["CODE"] = "1"
    code, _ = at_terminal(project, "default\n", "run", "--yes", "--break-glass", "the shop is down")
    assert code == 1
    for path in (project.root / ".shipway/receipts").iterdir():
        path.unlink()
    told = project.call("runs", "--json").json
    run = (told["runs"] if isinstance(told, dict) else told)[0]
    name = run["run"] if "run" in run else run["id"]
    assert project.call("show", name, "--json").json["break_glass"]["reason"] == "the shop is down"


def test_a_run_begun_so_is_resumed_without_saying_it_again(project: Project) -> None:
    project.env["CODE"] = "1"
    at_terminal(project, "default\n", "run", "--yes", "--break-glass", "the shop is down")
    project.env["CODE"] = "0"
    project.call("resume", "--yes")
    broken = last_receipt(project.root).break_glass
    assert broken is not None
    assert broken.reason == "the shop is down"


def test_a_resumed_run_is_refused_by_a_policy_that_nobody_has_overridden(project: Project) -> None:
    text = project.text("shipway.yml").replace("  broken:", "  other: {run: ../other}\n  broken:")
    (project.root / "shipway.yml").write_text(text)
    project.commit()
    other = project.root.parent / "other"
    other.write_text("""#!/bin/sh\necho '{"verdict": "allow"}'\n""")
    other.chmod(0o755)
    project.env["CODE"] = "1"
    at_terminal(project, "default\n", "run", "--yes", "--break-glass", "the shop is down")
    other.write_text("""#!/bin/sh\necho '{"verdict": "deny", "messages": ["not any more"]}'\n""")
    assert "`other`: not any more" in project.call("resume", "--yes", code=5).err


def test_where_no_policy_refuses_there_is_no_glass(project: Project) -> None:
    project.write({"allow": """#!/bin/sh\necho '{"verdict": "allow"}'\n"""})
    (project.root / "allow").chmod(0o755)
    text = project.text("shipway.yml").replace("exit 7", "./allow").replace("  sure: {deny_opaque: true}\n", "")
    (project.root / "shipway.yml").write_text(text)
    done = project.call("run", "--yes", "--break-glass", "just in case")
    assert "there was no glass to break" in done.out + done.err
    assert last_receipt(project.root).break_glass is None


def test_it_overrides_policies_and_no_approval(project: Project) -> None:
    text = project.text("shipway.yml").replace("steps: [", "stages: {a: {approval: required, steps: [")
    (project.root / "shipway.yml").write_text(text.replace("env_from: [CODE]}]", "env_from: [CODE]}]}}"))
    code, said = at_terminal(project, "default\n", "run", "--yes", "--break-glass", "outage")
    assert code == 5
    assert "needs approval" in said
    assert not (project.root / "shipped").exists()


# On the forge.


def pushed(tmp_path: Path, github: GitHubServer) -> Job:
    """A push to the default branch of a lifecycle that no policy lets run."""
    payload = {"repository": {"id": 1, "default_branch": "main"}}
    job = Job(tmp_path, github, "push", payload)
    (job.checkout / "shipway.yml").write_text("\n".join(line[4:] for line in DENIED.splitlines()).lstrip())
    job.env |= {"GITHUB_REF": "refs/heads/main", "GITHUB_RUN_ID": "77"}
    return job


def test_case_40_on_github_it_needs_another_permission(tmp_path: Path, github: GitHubServer) -> None:
    github.world.account("ana", 5)
    github.world.roles["ana"] = "write"
    github.world.runs[77].started_by = "ana"
    job = pushed(tmp_path, github)
    done = job.part("run", SHIPWAY_INPUT_BREAK_GLASS="the shop is down")
    assert done.returncode == 5
    assert job.outputs["reason"] == "break-glass-refused"
    assert "`ana` may write in this repository, and has to be allowed to maintain" in done.stderr
    assert not (job.checkout / "shipped").exists()


@pytest.mark.parametrize("role", ["maintain", "admin"])
def test_case_40_on_github_with_reason_and_permission_receipt_and_summary_say_so_first(
    tmp_path: Path, github: GitHubServer, role: str
) -> None:
    github.world.account("ana", 5)
    github.world.roles["ana"] = role
    github.world.runs[77].started_by = "ana"
    job = pushed(tmp_path, github)
    # What the environment says of the actor decides nothing.
    done = job.part("run", SHIPWAY_INPUT_BREAK_GLASS="the shop is down", GITHUB_TRIGGERING_ACTOR="mallory")
    assert done.returncode == 0, done.stderr
    receipt = json.loads(Path(job.outputs["receipt-path"]).read_bytes())
    assert receipt["break_glass"]["by"] == "ana"
    assert (receipt["break_glass"]["right"], receipt["break_glass"]["account"]) == (role, 5)
    assert receipt["break_glass"]["reason"] == "the shop is down"
    assert job.summary.startswith(
        f"### ⚠️ break-glass by `ana` (who may {role}) against `sure` and `broken` because `the"
    )


def test_case_40_on_github_spaces_are_no_reason(tmp_path: Path, github: GitHubServer) -> None:
    job = pushed(tmp_path, github)
    done = job.part("run", SHIPWAY_INPUT_BREAK_GLASS="   ")
    assert (done.returncode, job.outputs["reason"]) == (5, "break-glass-refused")


def test_case_39_on_github_the_plan_is_refused_with_its_reason(tmp_path: Path, github: GitHubServer) -> None:
    job = pushed(tmp_path, github)
    done = job.part("run")
    assert (done.returncode, job.outputs["reason"]) == (5, "policy-error")
    assert not (job.checkout / "shipped").exists()


def test_a_name_that_went_to_another_account_may_nothing(github: GitHubServer) -> None:
    github.world.account("ana", 6)
    github.world.roles["ana"] = "admin"
    forge = forge_of(github, Clock())
    assert forge.permission_of(Person("ana", 5)) is Permission.NONE
    assert forge.permission_of(Person("ana", 6)) is Permission.ADMIN


# Labels.


def told(github: GitHubServer, root: Path, **event: object) -> Labels:
    env = {**github.environment(), "PATH": os.environ["PATH"], "GITHUB_SHA": str(event.pop("sha", "a" * 40))}
    return labels_of(replace(context_of(root, env), ci=ci_context(env, event)))  # type: ignore[arg-type]


def test_labels_are_those_of_the_pull_request_by_the_api(github: GitHubServer, tmp_path: Path) -> None:
    github.world.pulls[7].labels = [f"label-{number}" for number in range(101)] + ["allow-delete"]
    forge = forge_of(github, Clock())
    assert forge.labels(7) == frozenset(github.world.pulls[7].labels)
    payload = {"number": 7, "pull_request": {"number": 7, "labels": [{"name": "said-by-the-event"}]}}
    found = told(github, tmp_path, **payload)
    assert found.names == frozenset(github.world.pulls[7].labels)


def test_after_the_merge_they_are_those_of_the_merged_pull_request(github: GitHubServer, tmp_path: Path) -> None:
    github.world.pulls[7].labels = ["allow-delete"]
    github.world.pulls[7].merge_commit = "d" * 40
    assert told(github, tmp_path, sha="d" * 40).names == frozenset({"allow-delete"})
    unknown = told(github, tmp_path, sha="e" * 40)
    assert (unknown.names, unknown.why) == (None, "no one pull request was merged as this commit")


def test_where_the_forge_does_not_tell_they_are_not_known(github: GitHubServer, tmp_path: Path) -> None:
    del github.world.tokens["ghs_job"].permissions["pull-requests"]
    found = told(github, tmp_path, number=7, pull_request={"number": 7})
    assert found.names is None
    assert found.why


DELETES = """\
version: 1
name: shop
policy: {deletes: {deny_delete: true, unless_label: allow-delete}}
steps: [{id: gone, uses: file.remove, with: {path: old.txt}}]
"""


def test_a_label_on_the_pull_request_lets_a_delete_through_before_and_after_the_merge(
    tmp_path: Path, github: GitHubServer
) -> None:
    github.world.pulls[7].merge_commit = "d" * 40
    job = Job(tmp_path, github, "push", {"repository": {"id": 1, "default_branch": "main"}})
    (job.checkout / "shipway.yml").write_text(DELETES)
    (job.checkout / "old.txt").write_text("old\n")
    job.env |= {"GITHUB_REF": "refs/heads/main", "GITHUB_SHA": "d" * 40}
    denied = job.part("run")
    assert (denied.returncode, job.outputs["reason"]) == (5, "policy-denied")
    assert "label `allow-delete` of the pull request would allow it" in denied.stderr
    github.world.pulls[7].labels = ["allow-delete"]
    allowed = job.part("run")
    assert allowed.returncode == 0, allowed.stderr
    assert not (job.checkout / "old.txt").exists()
    receipt = json.loads(Path(job.outputs["receipt-path"]).read_bytes())
    assert receipt["verdicts"][0]["messages"][-1] == "allowed by label `allow-delete`"
