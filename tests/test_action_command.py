"""What the action's two parts do, driven as its steps drive them, against the stateful GitHub."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from shipway.canonical import canonical_bytes
from shipway.commands.documents import read_document
from shipway.forges.sticky import parse_marker
from tests.forge.server import ForgeServer, GitHubServer
from tests.forked_command import call_command
from tests.pull_requests import step_outputs
from tests.runs import Lifeline, begin, call
from tests.signing_keys import allowed, ssh_key

HEAD = "a" * 40

LIFECYCLE = """\
version: 1
name: shop
secrets: [PASSWORD]
steps:
  - id: greet
    run: |
      echo "::warning::from a step"
      echo "hello $PASSWORD"
      echo "done=yes" >> "$SHIPWAY_OUTPUT"
    outputs: {done: string}
    env: {PASSWORD: "${{ secrets.PASSWORD }}"}
    undo: echo undone
  - {id: last, run: 'exit ${CODE:-0}', env_from: [CODE]}
"""


class Job:
    """A job of GitHub Actions, or of its kin, in a fresh checkout: calls the two parts as the steps of the action do."""

    def __init__(self, root: Path, github: ForgeServer, event: str, payload: Mapping[str, object]) -> None:
        self.root = root
        self.checkout = root / "checkout"
        self.checkout.mkdir(parents=True)
        (self.checkout / "shipway.yml").write_text(LIFECYCLE)
        git(self.checkout, "init", "-q", "-b", "main")
        git(self.checkout, "add", "-A")
        git(self.checkout, "commit", "-qm", "first")
        self.commit = git(self.checkout, "rev-parse", "HEAD").strip()
        self.env = {"PATH": os.environ["PATH"], "HOME": str(root), "PASSWORD": "correct-horse", **github.environment()}
        self.env |= {"GITHUB_EVENT_NAME": event, "GITHUB_SHA": self.commit, "RUNNER_TEMP": str(root / "temp")}
        self.env |= {"GITHUB_WORKSPACE": str(self.checkout), "GITHUB_REF": "refs/pull/7/merge"}
        self.env["SHIPWAY_INPUT_TOKEN"] = self.env.pop("GITHUB_TOKEN", "ghs_job")
        (root / "temp").mkdir()
        (root / "event.json").write_text(json.dumps(payload))
        self.env["GITHUB_EVENT_PATH"] = str(root / "event.json")
        for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY"):
            (root / name).touch()
            self.env[name] = str(root / name)

    def part(self, name: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run `shipway action <name>`."""
        return call_command(("action", name), self.checkout, self.env | env)

    @property
    def outputs(self) -> dict[str, str]:
        """The step outputs written so far, from the heredoc form."""
        return step_outputs(self.root / "GITHUB_OUTPUT")

    @property
    def summary(self) -> str:
        """The job summary."""
        return (self.root / "GITHUB_STEP_SUMMARY").read_text()

    def report(self) -> subprocess.CompletedProcess[str]:
        """The second part, with what the upload step would pass."""
        uploaded = {
            "SHIPWAY_ARTIFACT_ID": "41",
            "SHIPWAY_ARTIFACT_URL": "https://github.com/octo/shop/actions/runs/77/artifacts/41",
        }
        return self.part("report", SHIPWAY_ARTIFACT_PATH=self.outputs["artifact-path"], **uploaded)


def git(directory: Path, *arguments: str) -> str:
    """Run git with an identity of its own."""
    command = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *arguments]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, check=True).stdout


def pull_request(*, fork: bool = False, action: str = "opened") -> dict[str, object]:
    """A small `pull_request` event."""
    return {
        "action": action,
        "repository": {"id": 1, "full_name": "octo/shop", "default_branch": "main"},
        "pull_request": {
            "number": 7,
            "head": {
                "sha": HEAD,
                "ref": "topic",
                "repo": {"id": 2 if fork else 1, "full_name": "eve/shop" if fork else "octo/shop"},
            },
            "base": {"sha": "b" * 40, "ref": "main", "repo": {"id": 1, "full_name": "octo/shop"}},
        },
    }


PUSH = {"repository": {"id": 1, "full_name": "octo/shop", "default_branch": "main"}, "ref": "refs/heads/main"}


def test_l94_two_pushes_to_a_pull_request_make_one_comment_and_execute_nothing(
    tmp_path: Path, github: GitHubServer
) -> None:
    first = Job(tmp_path / "1", github, "pull_request", pull_request())
    assert first.part("run").returncode == 0
    assert first.report().returncode == 0
    github.world.pulls[7].head = "c" * 40
    payload = pull_request(action="synchronize")
    payload["pull_request"]["head"]["sha"] = "c" * 40  # type: ignore[index]
    second = Job(tmp_path / "2", github, "pull_request", payload)
    (second.checkout / "shipway.yml").write_text(LIFECYCLE.replace("hello", "goodbye"))
    assert second.part("run").returncode == 0
    assert second.report().returncode == 0
    (comment,) = github.world.pulls[7].comments
    marker = parse_marker(comment.body)
    assert marker is not None
    assert marker.head == "c" * 40
    assert comment.edits == 1
    assert not (first.checkout / ".shipway").exists()


def test_a_plan_is_handed_over_as_its_canonical_bytes_and_shown_in_summary_and_comment(
    tmp_path: Path, github: GitHubServer
) -> None:
    job = Job(tmp_path / "job", github, "pull_request", pull_request())
    done = job.part("run")
    assert done.returncode == 0, done.stderr
    outputs = job.outputs
    plan = read_document(Path(outputs["plan-path"]))
    assert Path(outputs["plan-path"]).read_bytes() == canonical_bytes(plan.document)
    assert outputs["changes"] == "true"
    assert outputs["exit-code"] == "0"
    assert outputs["effect-digest"] == plan.document["effect"]
    assert outputs["artifact-name"] == "shipway-plan-shop-default-77-1-0"
    assert job.report().returncode == 0
    assert job.outputs["comment"] == "created"
    (comment,) = github.world.pulls[7].comments
    for place in (comment.body, job.summary):
        assert "Shipway plan" in place
        assert str(plan.document["effect"])[:19] in place
    assert "artifacts/41" in comment.body


def test_a_push_to_the_default_branch_is_executed_and_reported_where_it_came_from(
    tmp_path: Path, github: GitHubServer
) -> None:
    job = Job(tmp_path / "job", github, "push", PUSH)
    job.env |= {"GITHUB_REF": "refs/heads/main", "GITHUB_REF_NAME": "main", "GITHUB_REF_TYPE": "branch"}
    github.world.pulls[7].merge_commit = job.commit
    done = job.part("run")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "correct-horse" not in done.stdout.replace("::add-mask::correct-horse", "")
    assert job.outputs["outcome"] == "succeeded"
    assert job.report().returncode == 0
    (comment,) = github.world.pulls[7].comments
    assert "Shipway receipt" in comment.body


def test_l93_a_push_to_another_branch_executes_nothing(tmp_path: Path, github: GitHubServer) -> None:
    job = Job(tmp_path / "job", github, "push", PUSH | {"ref": "refs/heads/topic"})
    job.env |= {"GITHUB_REF": "refs/heads/topic", "GITHUB_REF_NAME": "topic", "GITHUB_REF_TYPE": "branch"}
    done = job.part("run")
    assert done.returncode == 0
    assert "is not the default branch `main`" in done.stdout
    assert "artifact-path" not in job.outputs
    forced = job.part("run", SHIPWAY_INPUT_COMMAND="run")
    assert forced.returncode == 2
    assert job.outputs["reason"] == "target-refused"


def test_a_failed_run_fails_the_step_after_everything_was_handed_over(tmp_path: Path, github: GitHubServer) -> None:
    job = Job(tmp_path / "job", github, "push", PUSH)
    job.env |= {"GITHUB_REF": "refs/heads/main", "GITHUB_REF_NAME": "main", "GITHUB_REF_TYPE": "branch", "CODE": "3"}
    github.world.pulls[7].merge_commit = job.commit
    done = job.part("run")
    assert done.returncode == 4, done.stdout  # `last` is lasting and has no undo
    assert job.outputs["reason"] == "not-undone"
    assert "::error title=Shipway,file=shipway.yml,line=13,col=5::`main/last` failed: exit 3" in done.stdout
    assert job.report().returncode == 0
    (comment,) = github.world.pulls[7].comments
    assert "main/last" in comment.body


def test_case_60_l95_a_request_from_a_fork_is_planned_without_credentials_and_nothing_is_written(
    tmp_path: Path, github: GitHubServer
) -> None:
    job = Job(tmp_path / "job", github, "pull_request", pull_request(fork=True))
    done = job.part("run")
    assert done.returncode == 0, done.stderr
    assert "docs/github.md#forks" in done.stdout
    assert job.report().returncode == 0
    assert job.outputs["comment"].startswith("refused")
    assert not github.writes
    assert "Shipway plan" in job.summary


@pytest.mark.parametrize("event", ["pull_request_target", "issue_comment", "repository_dispatch"])
def test_case_63_an_event_with_a_stranger_behind_it_is_refused_with_the_one_to_use(
    event: str, tmp_path: Path, github: GitHubServer
) -> None:
    job = Job(tmp_path / "job", github, event, pull_request())
    done = job.part("run")
    assert done.returncode == 2
    assert job.outputs["reason"] == "event-refused"
    assert "Use `" in done.stderr


@pytest.mark.parametrize("merged", [False, True])
def test_case_48_the_lock_of_a_pull_requests_own_target_is_released_when_it_is_closed(
    tmp_path: Path, github: GitHubServer, merged: bool
) -> None:
    def closed(target: str, **more: bool) -> None:
        event = pull_request(action="closed", **more)
        event["pull_request"]["merged"] = merged  # type: ignore[index]
        (job.root / "event.json").write_text(json.dumps(event))
        done = job.part("run", SHIPWAY_INPUT_TARGET=target)
        assert done.returncode == 0, done.stderr

    def call(*arguments: str) -> str:
        done = call_command(arguments, job.checkout, {"PATH": job.env["PATH"], "HOME": job.env["HOME"]})
        assert done.returncode == 0, done
        return done.stdout

    def held() -> list[str]:
        return sorted(lock["lock"].rpartition("/")[2] for lock in json.loads(call("locks", "--json"))["locks"])

    job = Job(tmp_path / "job", github, "pull_request", pull_request(action="closed"))
    (job.checkout / "shipway.yml").write_text(LIFECYCLE + "targets: {prod: {}, pr-*: {}}\n")
    for target in ("pr-7", "pr-8", "prod"):
        call("lock", "--target", target, "-q")
    closed("prod")
    closed("pr-8")
    closed("pr-7", fork=True)
    assert held() == ["pr-7", "pr-8", "prod"], "what is not its own, and what a stranger closes, stays locked"
    closed("pr-7")
    assert held() == ["pr-8", "prod"]
    closed("pr-7")


def test_case_48_what_else_the_run_that_left_it_held_is_released_too(tmp_path: Path, github: GitHubServer) -> None:
    job = Job(tmp_path / "job", github, "pull_request", pull_request(action="closed"))
    waits = "steps: [{run: 'echo $$ > $BEGUN; exec sleep 600', env_from: [BEGUN]}]\n"
    text = f"version: 1\nname: shop\ntargets: {{pr-*: {{}}}}\nlocks: [db]\n{waits}"
    (job.checkout / "shipway.yml").write_text(text)
    begun = Lifeline(tmp_path / "begun")
    running = begin(job.checkout, "run", "--yes", "--target", "pr-7", env={"BEGUN": str(tmp_path / "begun")})
    left = int(begun.wait())
    running.kill()
    running.communicate()
    os.kill(left, signal.SIGKILL)
    assert call(job.checkout, "lock", "other").exit_code == 0
    done = job.part("run", SHIPWAY_INPUT_TARGET="pr-7")
    assert done.returncode == 0, done.stderr
    locks = json.loads(call(job.checkout, "locks", "--json").out)["locks"]
    assert [lock["lock"] for lock in locks] == ["named/other"]
    assert "the lock `db` is free" in done.stdout


def test_a_lock_that_cannot_be_given_back_is_said_and_fails_nothing(tmp_path: Path, github: GitHubServer) -> None:
    job = Job(tmp_path / "job", github, "pull_request", pull_request(action="closed"))
    (job.checkout / "shipway.yml").write_text(LIFECYCLE + "targets: {pr-*: {}}\n")
    command = [sys.executable, "-I", "-m", "shipway", "lock", "--target", "pr-7", "-q"]
    subprocess.run(command, cwd=job.checkout, env=job.env, check=True, capture_output=True)
    [record] = (job.checkout / ".shipway/records").glob("*pr-7*")
    record.write_text("{")
    done = job.part("run", SHIPWAY_INPUT_TARGET="pr-7")
    assert done.returncode == 0, done.stderr
    assert "the lock of `shop` on `pr-7` was not given back: " in done.stdout
    assert record.read_text() == "{"


def test_a_comment_that_cannot_be_posted_never_fails_the_job(tmp_path: Path, github: GitHubServer) -> None:
    github.world.tokens["ghs_job"].permissions["pull-requests"] = "read"
    job = Job(tmp_path / "job", github, "pull_request", pull_request())
    assert job.part("run").returncode == 0
    assert job.report().returncode == 0
    assert job.outputs["comment"].startswith("deferred")
    assert "pull_requests=write" in job.outputs["comment"]
    assert "deferred" in job.summary


def test_a_faulty_declaration_is_annotated_at_its_lines(tmp_path: Path, github: GitHubServer) -> None:
    job = Job(tmp_path / "job", github, "pull_request", pull_request())
    (job.checkout / "shipway.yml").write_text(LIFECYCLE.replace("undo:", "undoo:"))
    done = job.part("run")
    assert done.returncode == 2
    assert "::error title=Shipway,file=shipway.yml,line=12,col=5::" in done.stdout
    assert job.outputs["reason"] == "declaration-invalid"


def test_case_59_l96_a_hostile_branch_name_stays_text(tmp_path: Path, github: GitHubServer) -> None:
    hostile = 'x"$(touch p)`touch p`'
    payload = pull_request()
    payload["pull_request"]["head"]["ref"] = hostile  # type: ignore[index]
    job = Job(tmp_path / "job", github, "pull_request", payload)
    job.env["GITHUB_HEAD_REF"] = hostile
    (job.checkout / "shipway.yml").write_text(
        'version: 1\nname: shop\nsteps:\n  - id: a\n    run: echo "$REF"\n    env: {REF: "${{ github.head_ref }}"}\n'
    )
    assert job.part("run").returncode == 0
    assert job.report().returncode == 0
    assert not (job.checkout / "p").exists()


def test_a_plan_is_told_in_a_check_on_the_head_with_the_effect_and_what_stays(
    tmp_path: Path, github: GitHubServer
) -> None:
    job = Job(tmp_path / "job", github, "pull_request", pull_request())
    assert job.part("run").returncode == 0
    assert job.report().returncode == 0
    check, fresh = github.world.checks
    assert (check.commit, check.document["name"]) == (HEAD, "shipway/shop/default")
    assert (fresh.commit, fresh.document["name"]) == (HEAD, "shipway/shop/default/fresh")
    assert check.document["external_id"] == job.outputs["effect-digest"]
    assert check.document["conclusion"] == "success"
    assert check.document["output"]["title"] == "2 run, 2 opaque"
    assert "| `greet` | main |" in check.document["output"]["summary"]
    assert len(check.document["output"]["summary"]) <= 65_535
    assert [(each["path"], each["start_line"], each["annotation_level"]) for each in check.annotations] == [
        ("shipway.yml", 13, "notice")
    ]
    assert job.outputs["check"] == "created"


def test_a_second_report_of_the_same_head_writes_nothing(tmp_path: Path, github: GitHubServer) -> None:
    job = Job(tmp_path / "job", github, "pull_request", pull_request())
    for _ in range(2):
        assert job.part("run").returncode == 0
        github.requests.clear()
        assert job.report().returncode == 0
    assert github.writes == []
    assert job.outputs["check"] == job.outputs["comment"] == "unchanged"


def test_a_check_that_may_not_be_written_is_said_and_fails_nothing(tmp_path: Path, github: GitHubServer) -> None:
    del github.world.tokens["ghs_job"].permissions["checks"]
    job = Job(tmp_path / "job", github, "pull_request", pull_request())
    assert job.part("run").returncode == 0
    done = job.report()
    assert done.returncode == 0
    assert job.outputs["check"].startswith("deferred")
    assert "checks=" in job.outputs["check"]
    assert job.outputs["comment"] == "created"


def test_a_declaration_that_cannot_be_planned_fails_the_check_at_its_lines(
    tmp_path: Path, github: GitHubServer
) -> None:
    job = Job(tmp_path / "job", github, "pull_request", pull_request())
    faulty = LIFECYCLE.replace("run: 'exit ${CODE:-0}'", "uses: file.move, with: {source: /etc/../x, target: ''}")
    (job.checkout / "shipway.yml").write_text(faulty)
    assert job.part("run").returncode == 2
    (check,) = github.world.checks
    assert check.document["conclusion"] == "failure"
    assert "nothing was planned" in check.document["output"]["summary"]


def test_a_declaration_that_does_not_load_fails_the_check_by_the_name_it_says(
    tmp_path: Path, github: GitHubServer
) -> None:
    job = Job(tmp_path / "job", github, "pull_request", pull_request())
    (job.checkout / "shipway.yml").write_text(
        LIFECYCLE.replace("undo:", "undoo:").replace("name: shop", "name: 'shop' # x")
    )
    assert job.part("run").returncode == 2
    (check,) = github.world.checks
    assert (check.document["name"], check.document["conclusion"]) == ("shipway/shop/default", "failure")
    assert [(each["path"], each["start_line"]) for each in check.annotations] == [("shipway.yml", 12)]
    assert "undoo" in check.annotations[0]["message"]


def test_a_dry_report_prints_the_comment_and_asks_nothing(tmp_path: Path, github: GitHubServer) -> None:
    job = Job(tmp_path / "job", github, "pull_request", pull_request())
    assert job.part("run").returncode == 0
    github.requests.clear()
    env = job.env | {"SHIPWAY_ARTIFACT_PATH": job.outputs["artifact-path"]}
    dry = call_command(("action", "report", "--dry-run"), job.checkout, env)
    assert dry.returncode == 0, dry
    printed = dry.stdout
    assert github.requests == []
    assert job.part("report", SHIPWAY_ARTIFACT_PATH=job.outputs["artifact-path"]).returncode == 0
    (comment,) = github.world.pulls[7].comments
    assert comment.body.rpartition("\n\n<!--")[0] == printed.rstrip("\n")


def test_an_execution_is_announced_as_a_deployment_and_concluded(tmp_path: Path, github: GitHubServer) -> None:
    github.world.tokens["ghs_job"].permissions["deployments"] = "write"
    for name, code, ended in (("good", "0", "success"), ("bad", "3", "failure")):
        job = Job(tmp_path / name, github, "push", PUSH)
        job.env |= {"GITHUB_REF": "refs/heads/main", "GITHUB_REF_NAME": "main", "GITHUB_REF_TYPE": "branch"}
        job.env["CODE"] = code
        job.part("run")
        assert job.report().returncode == 0
        made = github.world.deployments[-1]
        assert made.document["environment"] == "default"
        assert made.document["payload"]["effect"] == job.outputs["effect-digest"]
        assert [status["state"] for status in made.statuses] == ["in_progress", ended]
        assert made.statuses[1]["environment_url"] == job.outputs["environment-url"]
        assert "receipt" not in made.statuses[0]["environment_url"]
        assert "effect=sha256" in job.outputs["environment-url"] and "run=2" in job.outputs["environment-url"]
        check = github.world.checks[-1]
        assert (check.commit, check.document["conclusion"]) == (job.commit, ended)
    assert [(each["start_line"], each["annotation_level"]) for each in check.annotations] == [(13, "failure")]


def test_a_deployment_that_may_not_be_made_is_said_and_fails_nothing(tmp_path: Path, github: GitHubServer) -> None:
    job = Job(tmp_path / "job", github, "push", PUSH)
    job.env |= {"GITHUB_REF": "refs/heads/main", "GITHUB_REF_NAME": "main", "GITHUB_REF_TYPE": "branch"}
    done = job.part("run")
    assert done.returncode == 0
    assert "no deployment is announced: " in done.stdout and "deployments=" in done.stdout


@pytest.mark.parametrize("event", ["workflow_dispatch", "merge_group"])
def test_a_plan_that_is_about_no_pull_request_is_posted_nowhere(
    event: str, tmp_path: Path, github: GitHubServer
) -> None:
    job = Job(tmp_path / "job", github, event, PUSH)
    job.env |= {"GITHUB_REF": "refs/heads/main", "GITHUB_REF_NAME": "main", "GITHUB_REF_TYPE": "branch"}
    github.world.pulls[7].merge_commit = job.commit
    assert job.part("run").returncode == 0
    assert job.report().returncode == 0
    assert github.writes == []
    assert job.outputs["comment"].startswith("refused")


def test_the_forge_remembers_the_last_receipt_so_that_a_missing_one_is_noticed(
    tmp_path: Path, github: GitHubServer
) -> None:
    github.world.tokens["ghs_job"].permissions["deployments"] = "write"
    job = Job(tmp_path / "job", github, "push", PUSH)
    job.env |= {"GITHUB_REF": "refs/heads/main", "GITHUB_REF_NAME": "main", "GITHUB_REF_TYPE": "branch", "CODE": "0"}
    for _ in range(2):
        job.part("run")
        assert job.report().returncode == 0

    def verify(code: int) -> str:
        done = call_command(
            ("verify", "--chain", "--forge", "--json"), job.checkout, job.env | {"GITHUB_TOKEN": "ghs_job"}
        )
        assert done.returncode == code, done
        return done.stdout

    assert json.loads(verify(0))["chains"][0]["receipts"] == 2
    *_, last = sorted((job.checkout / ".shipway/receipts").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    last.unlink()
    # Whoever can remove the receipt can put the note back as well; what the forge has is out of their reach.
    (note,) = (job.checkout / ".shipway/heads").glob("*.json")
    note.unlink()
    [finding] = json.loads(verify(5))["chains"][0]["findings"]
    assert finding["flaw"] == "missing" and "the deployment of `default` on GitHub names it" in finding["text"]
    del github.world.tokens["ghs_job"].permissions["deployments"]
    assert "deployments" in json.loads(verify(6))["error"]["next"]


def test_promotion_by_signatures_asks_the_forge_which_receipt_was_the_last(
    tmp_path: Path, github: GitHubServer
) -> None:
    github.world.tokens["ghs_job"].permissions["deployments"] = "write"
    job = Job(tmp_path / "job", github, "push", PUSH)
    key = ssh_key(tmp_path / "job", "key")
    signing = "signing: {allowed_signers: allowed, signers: [{file: ~/key}]}\n"
    targets = "targets: {staging: {}, prod: {after: [staging]}}\n"
    (job.checkout / "shipway.yml").write_text(LIFECYCLE.replace("steps:", f"{targets}{signing}steps:", 1))
    (job.checkout / "allowed").write_text(allowed(key))
    (job.checkout / ".gitignore").write_text(".shipway\n")
    git(job.checkout, "add", "-A")
    git(job.checkout, "commit", "-qm", "targets")
    head = git(job.checkout, "rev-parse", "HEAD").strip()
    job.env |= {"GITHUB_REF": "refs/heads/main", "GITHUB_REF_NAME": "main", "GITHUB_REF_TYPE": "branch", "CODE": "0"}
    job.env |= {"GITHUB_SHA": head, "SHIPWAY_INPUT_TARGET": "staging"}
    for _ in range(2):
        assert job.part("run").returncode == 0
        assert job.report().returncode == 0
    kept = job.checkout / ".shipway"
    *_, last = sorted((kept / "receipts").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    last.rename(tmp_path / "last")
    for note in (kept / "heads").rglob("*staging*.json"):
        note.unlink()
    job.env["SHIPWAY_INPUT_TARGET"] = "prod"
    done = job.part("run")
    assert done.returncode == 5 and job.outputs["reason"] == "receipt-chain", done
    assert "the deployment of `staging` on GitHub names" in done.stdout
    del github.world.tokens["ghs_job"].permissions["deployments"]
    done = job.part("run")
    assert done.returncode == 0 and "GitHub was not asked for the last receipt of `staging`" in done.stdout
