"""Every workflow, the action, and what `init` writes, by those who know workflows: GitHub's own service, zizmor, actionlint."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.command_line import make_project
from tests.peers import require

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent
SERVICE = ROOT / "tests/tools/workflows"
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
COMMIT = "acme/shipway@" + "c" * 40


def say(*files: Path) -> subprocess.CompletedProcess[str]:
    """What GitHub's language service says of these files."""
    node = shutil.which("node")
    is_there = node is not None and (SERVICE / "node_modules/.ready").exists()
    require("GitHub's language service", is_there, "bash .ci/peers (npm)")
    command = [node or "node", "--no-warnings", str(SERVICE / "lint.mjs"), *map(str, files)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.acceptance
def test_githubs_own_service_accepts_the_action_and_every_workflow() -> None:
    done = say(ROOT / "action.yml", *WORKFLOWS)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


@pytest.mark.acceptance
def test_githubs_own_service_says_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text("on: push\njobs:\n  a:\n    runs-on: x\n    steps:\n      - runn: true\n")
    (tmp_path / "action.yml").write_text((ROOT / "action.yml").read_text("utf-8").replace("  using:", "  uses:", 1))
    done = say(tmp_path / "a.yml", tmp_path / "action.yml")
    assert done.returncode == 1
    assert "a.yml:6:9: Unexpected value 'runn'" in done.stdout
    assert "action.yml:" in done.stdout


@pytest.mark.acceptance
@pytest.mark.parametrize("options", [(), ("--target", "prod"), ("-f", "services/api/shipway.yml")])
@pytest.mark.parametrize("forks", [(), ("--forks",)])
def test_what_init_writes_is_accepted_by_all_of_them(
    tmp_path: Path, options: tuple[str, ...], forks: tuple[str, ...]
) -> None:
    project = make_project(tmp_path)
    told = project.call("init", "--uses", COMMIT, *options, *forks)
    project.git("add", "-A")
    files = sorted((project.root / ".github/workflows").glob("*.yml"))
    assert len(files) == (3 if forks else 1), told.out
    for command in (
        ["zizmor", "--persona", "pedantic", "--offline", "--no-progress", "--strict-collection", "."],
        ["actionlint"],
    ):
        done = subprocess.run(
            [BIN / command[0], *command[1:]], cwd=project.root, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
    done = say(*files)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


def test_the_fork_safe_set_has_no_more_than_it_needs(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    project.call("init", "--uses", COMMIT, "--forks", "--target", "prod")
    plan, publish, execute = (
        yaml.load(project.text(f".github/workflows/{name}.yml"), yaml.BaseLoader)
        for name in ("shipway-plan", "shipway-publish", "shipway")
    )
    for workflow in (plan, publish, execute):
        assert workflow["permissions"] == {}
    (job,) = plan["jobs"].values()
    assert plan["on"] == {"pull_request": ""}
    assert job["permissions"] == {"contents": "read"}
    assert job["uses"] == f"acme/shipway/.github/workflows/plan.yml@{'c' * 40}"
    assert job["with"] == {"target": "prod"}
    (job,) = publish["jobs"].values()
    assert publish["on"] == {"workflow_run": {"workflows": [plan["name"]], "types": ["completed"]}}
    assert job["permissions"] == {"contents": "read", "pull-requests": "write", "checks": "write", "actions": "read"}
    (step,) = job["steps"]
    assert step == {"uses": COMMIT, "with": {"command": "publish", "workflow": ".github/workflows/shipway-plan.yml"}}
    assert list(execute["on"]) == ["push"]
    ships = execute["jobs"]["execute"]["steps"][-1]["with"]
    assert ships == {"command": "run", "target": "prod", "workflow": ".github/workflows/shipway-plan.yml"}


def test_where_the_commit_is_not_known_each_file_to_be_pinned_is_named(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    told = project.call("init", "--forks", "--uses", "acme/shipway@v1 # pin this").out
    said = " ".join(told.split("Pin the action in ")[1].split("git ls-remote")[0].split())
    names = [f".github/workflows/shipway{part}.yml" for part in ("", "-plan", "-publish")]
    assert said == f"{', '.join(names)} by the full commit id of the release:"


def test_what_is_called_pins_what_it_uses_and_grants_no_more_than_it_needs() -> None:
    granted = {}
    for name in ("plan", "publish"):
        workflow = yaml.load((ROOT / f".github/workflows/{name}.yml").read_text("utf-8"), yaml.BaseLoader)
        assert (list(workflow["on"]), workflow["permissions"]) == (["workflow_call"], {})
        (job,) = workflow["jobs"].values()
        granted[name] = job["permissions"]
        for step in job["steps"]:
            action, _, ref = step["uses"].partition("@")
            assert action == "./.shipway-action" or re.fullmatch("[0-9a-f]{40}", ref)
            if action == "actions/checkout":
                assert step["with"]["persist-credentials"] == "false"
        used = [step["uses"].partition("@")[0] for step in job["steps"]]
        own = {"repository": "${{ job.workflow_repository }}", "ref": "${{ job.workflow_sha }}"}
        assert used[-2:] == ["actions/checkout", "./.shipway-action"]
        assert own.items() <= job["steps"][-2]["with"].items()
        told = job["steps"][-1]["with"]
        assert name == "plan" or told["workflow"] == "${{ inputs.workflow }}", "whose runs it publishes, and no other's"
        assert len(used) == {"plan": 3, "publish": 2}[name], "the publisher checks out nothing but the action"
    posts = {"contents": "read", "pull-requests": "write", "checks": "write", "actions": "read"}
    assert granted == {"plan": {"contents": "read"}, "publish": posts}


SNIPPETS = [
    (path.name, number, text)
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    for number, text in enumerate(re.findall(r"^```yaml\n(.*?)^```", path.read_text("utf-8"), re.MULTILINE | re.DOTALL))
    if re.search("^on:", text, re.MULTILINE) and "\njobs:" in text
]


@pytest.mark.acceptance
@pytest.mark.parametrize(("page", "number", "text"), SNIPPETS, ids=[f"{page}-{number}" for page, number, _ in SNIPPETS])
def test_every_workflow_on_a_page_is_accepted_as_it_stands(tmp_path: Path, page: str, number: int, text: str) -> None:
    """What Gitea and Forgejo know besides, an action by its address, none of these knows: it stands there by its name."""
    project = make_project(tmp_path)
    written = re.sub(r"@(COMMIT|<[^>]*>)", "@" + "c" * 40, text)
    written = written.replace("uses: https://github.com/", "uses: ")
    project.write({".github/workflows/page.yml": written})
    project.git("add", "-A")
    strict = ["zizmor", "--persona", "pedantic", "--offline", "--no-progress", "--strict-collection", "."]
    for command in (strict, ["actionlint"]):
        done = subprocess.run(
            [BIN / command[0], *command[1:]], cwd=project.root, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
    done = say(project.root / ".github/workflows/page.yml")
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


def test_the_pages_show_workflows() -> None:
    assert {"github.md", "other-forges.md"} <= {page for page, _, _ in SNIPPETS}


@pytest.mark.acceptance
def test_the_pipeline_on_the_page_of_other_forges_is_one_by_gitlabs_schema(tmp_path: Path) -> None:
    page = (ROOT / "docs/other-forges.md").read_text("utf-8").partition("## GitLab")[2]
    found = re.search(r"^```yaml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert found is not None
    (tmp_path / ".gitlab-ci.yml").write_text(found[1])
    command = [str(BIN / "check-jsonschema"), "--builtin-schema", "vendor.gitlab-ci", str(tmp_path / ".gitlab-ci.yml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
