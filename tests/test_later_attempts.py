"""A re-run of a job of GitHub Actions goes on with the run that the attempt before it began, by the journal it left."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from tests.forge.server import GitHubServer
from tests.forge.world import JOB_TOKEN
from tests.test_action_command import PUSH, Job

LIFECYCLE = """\
version: 1
name: shop
secrets: [PASSWORD]
steps:
  - {id: one, run: 'echo one >> "$LOG"', env_from: [LOG], undo: 'echo undone >> "$LOG"'}
  - id: two
    env_from: [LOG]
    run: 'echo two >> "$LOG"; test -e "$LOG.again" || kill -9 $PPID'
    verify: exit 3
  - {id: three, run: 'echo three >> "$LOG"', env_from: [LOG]}
"""


def attempt(tmp_path: Path, github: GitHubServer, number: int, text: str = LIFECYCLE) -> Job:
    """The job in its `number`th attempt, on a fresh machine."""
    job = Job(tmp_path / str(number), github, "push", PUSH)
    (job.checkout / "shipway.yml").write_text(text)
    job.env |= {"GITHUB_REF": "refs/heads/main", "GITHUB_REF_NAME": "main", "GITHUB_REF_TYPE": "branch"}
    job.env |= {"GITHUB_RUN_ATTEMPT": str(number), "LOG": str(tmp_path / "log")}
    github.world.runs[77].attempt = number
    return job


def keep_and_upload(job: Job, github: GitHubServer) -> str:
    """What the two steps behind the run do; the name of the artifact, empty where there is none."""
    job.part("keep", SHIPWAY_ARTIFACT_PATH=job.outputs.get("artifact-path", ""))
    name, folder = job.outputs.get("artifact-name", ""), job.outputs.get("artifact-path", "")
    if name:
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            for path in sorted(Path(folder).iterdir()):
                archive.write(path, path.name)
        github.world.upload(77, name, content.getvalue())
    return name


def log_of(tmp_path: Path) -> list[str]:
    path = tmp_path / "log"
    return path.read_text().split() if path.exists() else []


def test_a_job_whose_run_was_killed_goes_on_where_it_was_in_its_next_attempt(
    tmp_path: Path, github: GitHubServer
) -> None:
    first = attempt(tmp_path, github, 1)
    assert first.part("run").returncode == -9
    assert keep_and_upload(first, github) == "shipway-journal-shop-default-77-1-0"
    (tmp_path / "log.again").touch()
    second = attempt(tmp_path, github, 2)
    done = second.part("run")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "attempt 2: going on with run " in done.stdout and ", which attempt 1 began" in done.stdout
    assert log_of(tmp_path) == ["one", "two", "two", "three"]
    assert second.outputs["outcome"] == "succeeded"
    assert keep_and_upload(second, github) == "shipway-receipt-shop-default-77-2-0"


def test_a_run_that_failed_is_gone_on_with_as_well_and_its_journal_lies_beside_its_receipt(
    tmp_path: Path, github: GitHubServer
) -> None:
    text = LIFECYCLE.replace("kill -9 $PPID", "exit 1").replace(
        "name: shop\n", "name: shop\ndefaults: {rollback: none}\n"
    )
    first = attempt(tmp_path, github, 1, text)
    assert first.part("run").returncode == 1
    assert keep_and_upload(first, github) == "shipway-receipt-shop-default-77-1-0"
    assert {path.name for path in Path(first.outputs["artifact-path"]).iterdir()} == {
        "plan.json",
        "receipt.json",
        "statement.json",
        "journal.bin",
    }
    assert first.report().returncode == 0, "the report reads what it needs and leaves the journal alone"
    (tmp_path / "log.again").touch()
    assert attempt(tmp_path, github, 2, text).part("run").returncode == 0
    assert log_of(tmp_path) == ["one", "two", "two", "three"]


def test_without_a_journal_of_an_attempt_before_a_new_run_begins_and_says_so(
    tmp_path: Path, github: GitHubServer
) -> None:
    (tmp_path / "log.again").touch()
    job = attempt(tmp_path, github, 3)
    github.world.upload(77, "coverage", b"no zip file at all")
    github.world.upload(77, "shipway-journal-other-default-77-2-0", b"another lifecycle's")
    done = job.part("run")
    assert done.returncode == 0, done.stderr
    assert "attempt 3: no attempt before left a journal; a new run begins" in done.stdout


def test_after_a_run_that_succeeded_a_new_one_begins(tmp_path: Path, github: GitHubServer) -> None:
    (tmp_path / "log.again").touch()
    first = attempt(tmp_path, github, 1)
    assert first.part("run").returncode == 0
    keep_and_upload(first, github)
    done = attempt(tmp_path, github, 2).part("run")
    assert done.returncode == 0 and "of an attempt before succeeded; a new run begins" in done.stdout
    assert log_of(tmp_path) == ["one", "two", "three"] * 2


def test_a_first_attempt_asks_for_no_artifact(tmp_path: Path, github: GitHubServer) -> None:
    (tmp_path / "log.again").touch()
    assert attempt(tmp_path, github, 1).part("run").returncode == 0
    assert [seen.path for seen in github.requests if "artifacts" in seen.path] == []


def test_where_artifacts_may_not_be_read_nothing_is_done_a_second_time(tmp_path: Path, github: GitHubServer) -> None:
    del github.world.tokens[JOB_TOKEN].permissions["actions"]
    job = attempt(tmp_path, github, 2)
    done = job.part("run")
    assert done.returncode == 6 and "actions=read" in done.stderr
    assert job.outputs["reason"] == "forge-permission"
    assert log_of(tmp_path) == []


@pytest.mark.parametrize("content", [b"", b"no zip file", b"PK\x05\x06" + bytes(18)])
def test_an_artifact_that_is_damaged_stops_the_attempt_where_a_journal_was_expected(
    content: bytes, tmp_path: Path, github: GitHubServer
) -> None:
    (tmp_path / "log.again").touch()
    job = attempt(tmp_path, github, 2)
    github.world.upload(77, "shipway-journal-shop-default-77-1-0", content)
    done = job.part("run")
    if content.startswith(b"PK"):  # whole, and nothing in it
        assert done.returncode == 0 and "no attempt before left a journal" in done.stdout
    else:
        assert done.returncode == 6 and job.outputs["reason"] == "journal-damaged", done.stderr
        assert log_of(tmp_path) == []


def test_an_artifact_whose_digest_differs_is_not_read(tmp_path: Path, github: GitHubServer) -> None:
    stored = github.world.upload(77, "shipway-journal-shop-default-77-1-0", b"anything")
    stored.digest = "sha256:" + "0" * 64
    done = attempt(tmp_path, github, 2).part("run")
    assert done.returncode == 6 and "its digest differs" in done.stderr


def test_one_that_expired_counts_as_none(tmp_path: Path, github: GitHubServer) -> None:
    (tmp_path / "log.again").touch()
    github.world.upload(77, "shipway-journal-shop-default-77-1-0", b"anything").expired = True
    done = attempt(tmp_path, github, 2).part("run")
    assert done.returncode == 0 and "no attempt before left a journal" in done.stdout


def test_the_latest_attempt_that_left_a_journal_counts(tmp_path: Path, github: GitHubServer) -> None:
    first = attempt(tmp_path, github, 1)
    assert first.part("run").returncode == -9
    keep_and_upload(first, github)
    (tmp_path / "log.again").touch()
    done = attempt(tmp_path, github, 3).part("run")
    assert "attempt 3: going on with run " in done.stdout and done.returncode == 0


def test_a_plan_leaves_no_journal(tmp_path: Path, github: GitHubServer) -> None:
    from tests.test_action_command import pull_request

    job = Job(tmp_path / "job", github, "pull_request", pull_request())
    assert job.part("run").returncode == 0
    kept = job.part("keep", SHIPWAY_ARTIFACT_PATH=job.outputs["artifact-path"])
    assert kept.returncode == 0, kept.stderr
    assert {path.name for path in Path(job.outputs["artifact-path"]).iterdir()} == {"plan.json", "pull-request.json"}
