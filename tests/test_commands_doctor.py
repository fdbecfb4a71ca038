"""`shipway doctor`: what a run will need, one line each, and what to do about what is missing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from shipway.checkup import Verdict, check_disk, check_git, check_python, check_secrets, check_shells, check_user
from tests.command_line import Done, Project, make_project
from tests.forge.fixtures import github as github
from tests.forge.gitea_server import GiteaServer, gitea_world
from tests.forge.server import GitHubServer
from tests.forge.world import JOB_TOKEN, Grant, Run
from tests.git_remotes import make_remote

PLAIN = "version: 1\nname: shop\nsteps: [{run: 'true'}]\n"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project in which nothing is missing."""
    project = make_project(tmp_path)
    project.write({"shipway.yml": PLAIN, ".gitignore": ".shipway/\n"})
    project.commit()
    return project


def checks(done: Done) -> Mapping[str, Mapping[str, str]]:
    """The checks by name."""
    return {check["name"]: check for check in done.json["checks"]}


def verdicts(done: Done) -> dict[str, str]:
    """The verdicts by name, but for those that depend on this machine."""
    found = {name: check["verdict"] for name, check in checks(done).items()}
    return {name: verdict for name, verdict in found.items() if name not in ("user", "disk", "python")}


def test_where_nothing_is_missing_it_says_so(project: Project) -> None:
    done = project.call("doctor", env={"COLUMNS": "300"})
    head = project.git("rev-parse", "HEAD")[:7]
    for line in (
        f"✓ checkout     {project.root} at {head}",
        "✓ branch       on trunk, the default branch",
        "✓ ignored      .shipway/ is ignored by git",
        "✓ receipts     kept in .shipway/receipts",
        "✓ declaration  shipway.yml: shop → default, 1 node",
        "✓ shells       bash",
        "✓ secrets      none is needed",
    ):
        assert line in done.out
    assert "\nnothing is in the way of a run" in done.out
    assert set(verdicts(project.call("doctor", "--json")).values()) == {"good"}


def test_quiet_shows_what_needs_attention_only(project: Project) -> None:
    assert "✓" not in project.call("doctor", "-q").out
    project.write({"shipway.yml": "version: 1\n"})
    told = project.call("doctor", "-q", code=2).out
    assert "✗ declaration  shipway.yml:1:1: " in told
    assert "→ `shipway validate` shows all of it" in told.replace("\n", " ")


def test_a_missing_secret_and_a_missing_shell_are_in_the_way(project: Project) -> None:
    project.write(
        {
            "shipway.yml": """
            version: 1
            name: shop
            secrets: [TOKEN, IDLE]
            steps:
              - {id: push, run: ./push, env: {T: "${{ secrets.TOKEN }}"}}
              - {id: odd, run: x, shell: "no-such-shell -c {0}"}
            """
        }
    )
    done = project.call("doctor", "--json", code=2)
    found = checks(done)
    assert done.json["ok"] is False
    assert found["secrets"]["text"] == "not set: TOKEN (for main/push)"
    assert found["shells"]["text"] == "not on PATH: no-such-shell (for main/odd)"
    set_ = checks(project.call("doctor", "--json", env={"TOKEN": "a-secret-value"}, code=2))
    assert (set_["secrets"]["verdict"], set_["secrets"]["text"]) == ("look", "declared, and named by no step: IDLE")
    assert "a-secret-value" not in json.dumps(set_)


def test_a_shallow_clone_with_a_detached_head(tmp_path: Path, project: Project) -> None:
    project.commit()
    project.git("clone", "-q", "--depth", "1", f"file://{project.root}", str(tmp_path / "clone"))
    clone = Project(tmp_path / "clone", project.env)
    clone.git("switch", "-q", "--detach")
    found = verdicts(clone.call("doctor", "--json"))
    assert (found["checkout"], found["branch"]) == ("look", "look")


def test_another_branch_and_a_changed_file_are_told(project: Project) -> None:
    project.git("clone", "-q", str(project.root), str(project.root.parent / "clone"))
    clone = Project(project.root.parent / "clone", project.env)
    clone.git("switch", "-q", "-c", "feature")
    clone.write({"shipway.yml": PLAIN + "\n"})
    found = checks(clone.call("doctor", "--json"))
    assert found["branch"]["text"] == "on feature; pushes to trunk execute, unless `on` says otherwise"
    assert found["checkout"]["text"].endswith(", 1 tracked file differs")


def test_outside_git_and_without_a_declaration(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    (tmp_path / "plain").mkdir()
    assert verdicts(project.call("doctor", "--json", cwd="../plain", code=2)) == {
        "git": "look",
        "receipts": "good",
        "declaration": "bad",
    }
    assert checks(project.call("doctor", "--json", code=2))["checkout"]["text"].endswith("has no commit yet")


def test_what_is_not_ignored_and_what_is_in_the_place_of_receipts(project: Project) -> None:
    project.write({".gitignore": "", ".shipway": "a file\n"})
    found = verdicts(project.call("doctor", "--json", code=2))
    assert (found["ignored"], found["receipts"]) == ("look", "bad")


def test_a_broken_extension_is_named(project: Project, tmp_path: Path) -> None:
    packages = tmp_path / "packages"
    folder = packages / "odd-1.0.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: odd\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text("[shipway.actions]\nodd.do = no_such_module:Odd\n")
    program = (
        f"import sys; sys.path.insert(0, {str(packages)!r}); from shipway.cli import main; main(['doctor', '--json'])"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", program],
        cwd=project.root,
        env=project.env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "action `odd.do` of odd 1.0 cannot be loaded" in done.stdout


def in_ci(github: GitHubServer, tmp_path: Path, **more: str) -> dict[str, str]:
    """The environment of a job on GitHub, whose API is the false one."""
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"repository": {"id": 1, "default_branch": "trunk"}}))
    return {
        "GITHUB_ACTIONS": "true",
        "GITHUB_EVENT_NAME": "push",
        "GITHUB_EVENT_PATH": str(event),
        "GITHUB_REF": "refs/heads/trunk",
        "GITHUB_REF_NAME": "trunk",
        "GITHUB_REF_TYPE": "branch",
        "GITHUB_REPOSITORY": github.world.repository,
        "GITHUB_API_URL": github.api_url,
        "GITHUB_RUN_ID": "7",
        **more,
    }


def test_in_ci_without_a_token_nothing_is_asked(project: Project, github: GitHubServer, tmp_path: Path) -> None:
    found = checks(project.call("doctor", "--json", env=in_ci(github, tmp_path)))
    assert found["ci"]["text"] == "github, event push: `trunk` is the default branch"
    assert found["token"]["text"] == "this step has no forge token"
    assert github.requests == []


def test_in_ci_the_token_is_tried_by_reading_alone(project: Project, github: GitHubServer, tmp_path: Path) -> None:
    github.world.runs[7] = Run(7)
    found = checks(project.call("doctor", "--json", env=in_ci(github, tmp_path, GITHUB_TOKEN=JOB_TOKEN)))
    assert found["token"]["text"].startswith(f"reads {github.world.repository}")
    assert found["permissions"]["verdict"] == "good"
    assert [request.method for request in github.requests] == ["GET", "GET"]


def test_on_another_forge_the_account_and_what_is_lacking_are_told(project: Project, tmp_path: Path) -> None:
    with GiteaServer(gitea_world()) as gitea:
        env = {**project.env, **gitea.environment(GITHUB_EVENT_NAME="push", GITHUB_REF="refs/heads/main")}
        found = checks(project.call("doctor", "--json", env=env))
        assert [request.method for request in gitea.requests] == ["GET", "GET"]
        gitea.world.tokens.clear()
        refused = checks(project.call("doctor", "--json", env=env, code=2))
    assert found["token"]["text"].startswith("reads octo/shop, comments as account -2")
    assert found["forge"]["text"].startswith(
        "gitea lacks artifacts, checks, deployments, foreign-runs, hiding, labels, permissions, reviews"
    )
    assert refused["token"]["verdict"] == "bad"
    assert gitea.violations == []


def test_a_missing_permission_is_named(project: Project, github: GitHubServer, tmp_path: Path) -> None:
    github.world.runs[7] = Run(7)
    github.world.tokens["ghs_poor"] = Grant("github-actions[bot]", {"metadata": "read"})
    done = project.call("doctor", "--json", env=in_ci(github, tmp_path, GITHUB_TOKEN="ghs_poor"))
    assert checks(done)["permissions"]["verdict"] == "look"
    assert "actions: read" in checks(done)["permissions"]["next"]
    assert "ghs_poor" not in done.out


def test_a_wrong_token_is_in_the_way_and_never_shown(project: Project, github: GitHubServer, tmp_path: Path) -> None:
    done = project.call("doctor", "--json", env=in_ci(github, tmp_path, GITHUB_TOKEN="ghs_wrong"), code=2)
    assert "Bad credentials" in checks(done)["token"]["text"]
    assert "ghs_wrong" not in done.out


def test_an_event_that_is_refused_is_in_the_way(project: Project, github: GitHubServer, tmp_path: Path) -> None:
    env = in_ci(github, tmp_path, GITHUB_EVENT_NAME="issue_comment")
    assert checks(project.call("doctor", "--json", env=env, code=2))["ci"]["verdict"] == "bad"


def test_the_judgements_that_need_no_machine() -> None:
    assert check_python("3.10.2", "linux/amd64").verdict is Verdict.BAD
    assert check_python("3.12.0", "windows/amd64").verdict is Verdict.BAD
    assert check_python("3.14.0", "darwin/arm64").verdict is Verdict.GOOD
    assert check_git((2, 11)).verdict is Verdict.LOOK
    assert check_git((3, 0)).verdict is Verdict.GOOD
    assert [check_disk(free).verdict for free in (10, 10**8, 10**10)] == [Verdict.BAD, Verdict.LOOK, Verdict.GOOD]
    for in_ci in (True, False):
        assert check_user(0, has_sudo=False, in_ci=in_ci).verdict is Verdict.LOOK
        assert check_user(1000, has_sudo=True, in_ci=in_ci).verdict is Verdict.LOOK
        assert check_user(1000, has_sudo=False, in_ci=in_ci).verdict is Verdict.GOOD
        assert ("job" in check_user(0, has_sudo=False, in_ci=in_ci).text) is in_ci
    assert check_secrets({}, (), ()).text == "none is needed"
    assert check_shells({"sh": ["a"]}, ["sh"]).verdict is Verdict.GOOD


def test_root_is_told_that_the_boundary_is_the_job(project: Project) -> None:
    job = {"CI": "true", "GITHUB_ACTIONS": "true", "GITHUB_REPOSITORY": "o/r"}
    for env, code, said in ((job, 2, "the boundary is the job"), ({}, 0, "nothing bounds it")):
        told = checks(project.call("doctor", "--json", env=env, code=code))["user"]
        assert told["verdict"] == ("look" if os.geteuid() == 0 else "good")
        assert os.geteuid() != 0 or said in told["text"]


def test_the_store_of_the_state_is_asked_whether_it_answers(tmp_path: Path) -> None:
    bare, [clone] = make_remote(tmp_path)
    project = Project(clone, make_project(tmp_path / "env").env)
    project.write({"shipway.yml": "version: 1\nname: shop\nstate: git\nsteps: [{run: 'true'}]\n"})
    project.call("lock", "-q")
    checks = {check["name"]: check for check in project.call("doctor", "--json").json["checks"]}
    assert checks["state"]["text"] == "refs of the git remote `origin` answer; 1 lock held"
    bare.rename(tmp_path / "gone")
    gone = {check["name"]: check for check in project.call("doctor", "--json", code=2).json["checks"]}
    assert gone["state"]["verdict"] == "bad" and "cannot be read" in gone["state"]["text"]
