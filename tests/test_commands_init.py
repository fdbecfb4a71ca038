"""`shipway init` in repositories of many kinds: what it writes is valid, plans, passes the checks of workflows, and teaches."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from shipway.detection import Part, Suggestion, detect
from shipway.scaffold import SCHEMA, Scaffold, declaration_text, lifecycle_name, scalar, with_ignored, workflow_text
from tests.command_line import Project, make_project

ROOT = Path(__file__).parent.parent
WORKFLOW = ".github/workflows/shipway.yml"
BIN = Path(sys.executable).parent

KINDS: Mapping[str, Mapping[str, str]] = {
    "empty": {},
    "make": {"Makefile": "lint test:\n\ttrue\nbuild: test\n\ttrue\ndeploy:\n\ttrue\nrollback:\n\ttrue\nX := 1\n"},
    "python": {
        "pyproject.toml": '[build-system]\nrequires = ["x"]\n[project.optional-dependencies]\ntest = []\n[tool.ruff]\n',
        "src/shop/__init__.py": "",
        "tests/conftest.py": "",
        "tests/test_shop.py": "",
    },
    "python-unittest": {"setup.cfg": "[metadata]\nname = shop\n", "test_shop.py": ""},
    "python-uv": {"pyproject.toml": "[tool.pytest.ini_options]\n", "uv.lock": "", "tests/test_a.py": ""},
    "python-broken": {"pyproject.toml": "[[[", "setup.py": ""},
    "node": {
        "package.json": '{"scripts": {"test": "jest", "build": "vite", "deploy": "x"}}',
        "package-lock.json": "{}",
    },
    "node-pnpm": {"package.json": '{"scripts": {"lint": "eslint"}}', "pnpm-lock.yaml": "", "src/a.ts": ""},
    "node-yarn": {"package.json": '{"scripts": {"test": "jest"}}', "yarn.lock": "", ".yarnrc.yml": ""},
    "node-without-scripts": {"package.json": "{}", "index.js": ""},
    "node-broken": {"package.json": "not json"},
    "go": {"go.mod": "module x\n", "go.sum": "", "main.go": ""},
    "rust": {"Cargo.toml": "[package]\n", "Cargo.lock": "", "src/main.rs": ""},
    "docker": {"Dockerfile": "FROM scratch\n"},
    "terraform": {"infra/main.tf": "", "infra/modules/net/main.tf": ""},
    "terraform-at-the-top": {"main.tf": ""},
    "everything": {
        "Makefile": "test:\n\ttrue\nrelease:\n\ttrue\n",
        "pyproject.toml": "[build-system]\n",
        "package.json": '{"scripts": {"build": "x"}}',
        "go.mod": "module x\n",
        "Cargo.toml": "",
        "Dockerfile": "",
        "live/main.tf": "",
        "a b/it's.py": "",
        "we[ird]/${{ x }}/x.py": "",
    },
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_it_writes_is_valid_and_passes_the_checks_of_workflows(tmp_path: Path, kind: str) -> None:
    project = make_project(tmp_path)
    project.write(KINDS[kind])
    told = project.call("init")
    assert told.out.startswith(
        f"written    shipway.yml\nwritten    {WORKFLOW}\nwritten    .gitignore\n\nlifecycle  shop: "
    )
    assert project.call("validate").out.startswith("shipway.yml is valid: shop → default, ")
    check_workflows(project)


@pytest.mark.parametrize(("kind", "target"), [("make", "prod"), ("empty", "pr-1.x"), ("terraform", "")])
def test_one_more_lifecycle_has_its_own_name_folder_and_workflow(tmp_path: Path, kind: str, target: str) -> None:
    project = make_project(tmp_path)
    project.call("init", "-q")
    project.write({f"services/api/{name}": text for name, text in KINDS[kind].items()})
    more = ["--target", target] if target else []
    told = project.call("init", "-f", "services/api/shipway.yml", *more).out
    assert "written    .github/workflows/shipway-services-api.yml\nunchanged  .gitignore\n" in told
    assert project.call("validate", "-f", "services/api/shipway.yml").out.startswith(
        "services/api/shipway.yml is valid"
    )
    assert project.call("validate", cwd="services/api").out.startswith(
        "services/api/shipway.yml is valid: services-api"
    )
    check_workflows(project)
    workflow = yaml.load(project.text(".github/workflows/shipway-services-api.yml"), yaml.BaseLoader)
    given = workflow["jobs"]["execute"]["steps"][1]["with"]
    assert given == {"command": "run", "file": "services/api/shipway.yml"} | ({"target": target} if target else {})
    declared = yaml.safe_load(project.text("services/api/shipway.yml"))
    folders = {step.get("working_directory") for stage in declared["stages"].values() for step in stage["steps"]}
    assert folders == ({None} if kind == "empty" else {"services/api"})


@pytest.mark.parametrize("target", ["", "pr-1.x"])
def test_on_gitlab_it_writes_jobs_that_gitlabs_schema_takes(tmp_path: Path, target: str) -> None:
    project = make_project(tmp_path)
    more = ["--target", target] if target else []
    told = project.call("init", "--gitlab", *more, "--uses", "acme/shipway@" + "a" * 40).out
    assert told.startswith(
        "written    shipway.yml\nwritten    .gitlab/shipway.gitlab-ci.yml\nwritten    .gitlab-ci.yml\n"
    )
    assert not (project.root / ".github").exists()
    assert "Set the masked CI/CD variable `GITLAB_TOKEN`" in told
    for file in (".gitlab-ci.yml", ".gitlab/shipway.gitlab-ci.yml"):
        command = [str(BIN / "check-jsonschema"), "--builtin-schema", "vendor.gitlab-ci", str(project.root / file)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    assert yaml.safe_load(project.text(".gitlab-ci.yml")) == {"include": [{"local": ".gitlab/shipway.gitlab-ci.yml"}]}
    jobs = yaml.safe_load(project.text(".gitlab/shipway.gitlab-ci.yml"))
    assert jobs[".shipway"]["script"] == [
        f'pip install --quiet "git+https://github.com/acme/shipway@{"a" * 40}"',
        "shipway action run",
    ]
    assert jobs[".shipway"]["variables"] == {"GIT_DEPTH": "0"} | ({"SHIPWAY_INPUT_TARGET": target} if target else {})
    assert jobs["shipway execute"]["rules"] == [{"if": "$CI_PIPELINE_SOURCE == 'push' && $CI_COMMIT_BRANCH == 'trunk'"}]


def test_workflows_for_forks_are_not_written_for_gitlab(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    assert (
        "leave one of `--gitlab` and `--forks` out" in project.call("init", "--gitlab", "--forks", code=2).err.lower()
    )
    assert not (project.root / "shipway.yml").exists()


def test_a_pipeline_that_is_there_is_left_as_it_is_and_the_line_to_add_is_told(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    project.write({".gitlab-ci.yml": "stages: [test]\n"})
    told = project.call("init", "--gitlab", "--force").out
    assert project.text(".gitlab-ci.yml") == "stages: [test]\n"
    assert "\nAdd to .gitlab-ci.yml:\n  include:\n    - local: .gitlab/shipway.gitlab-ci.yml\n" in told


def check_workflows(project: Project) -> None:
    """actionlint and zizmor, as this repository's own workflows are checked."""
    project.git("add", "-A")
    for command in (
        ["zizmor", "--persona", "pedantic", "--offline", "--no-progress", "--strict-collection", "."],
        ["actionlint"],
    ):
        done = subprocess.run(
            [BIN / command[0], *command[1:]], cwd=project.root, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("kind", ["empty", "make"])
def test_it_can_be_run_at_once(tmp_path: Path, kind: str) -> None:
    project = make_project(tmp_path)
    project.write(KINDS[kind])
    project.call("init")
    project.commit()
    assert project.call("plan", "--json").json["source"]["dirty"] is False
    assert project.call("run", "--yes", "--json").json["outcome"] == "succeeded"
    assert project.git("status", "--porcelain") == ""


def test_the_declaration_of_an_empty_repository(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    project.call("init")
    assert project.text("shipway.yml") == EMPTY


@pytest.mark.parametrize("option", ["", "--forks", "--gitlab"])
@pytest.mark.parametrize("kind", ["empty", "everything"])
def test_no_comment_it_writes_is_wider_than_a_terminal(tmp_path: Path, kind: str, option: str) -> None:
    project = make_project(tmp_path)
    project.write(KINDS[kind])
    project.commit()
    project.git("remote", "add", "origin", str(tmp_path / "bare.git"))
    project.call("init", *filter(None, [option]), "--target", "prod")
    project.git("add", "-A")
    written = project.git("diff", "--cached", "--name-only").split()
    assert len(written) >= 3
    lines = [line for name in written for line in project.text(name).splitlines() if "# " in line]
    lines = [line for line in lines if "$schema=" not in line and " uses: " not in f" {line.strip(' -')}"]
    lines = [
        line for line in lines if not re.fullmatch(" +# (plan|undo|verify): [^#]+", line)
    ]  # a command is never cut
    assert [line for line in lines if len(line) > 80] == []


EMPTY = """\
# yaml-language-server: $schema=https://shipway.dev/schemas/declaration-1.schema.json
# What is shipped from this repository, and what takes it back.
# `shipway plan` shows it, `shipway run` does it.
version: 1
name: shop

# Locks and the journal of the last run are in this checkout; with `git` in refs
# of its remote, which CI shares.
# state: git

# Where this may act. Without the list any name is taken; with it `--target`
# names one, and shipway.prod.yml beside this file changes what is different.
# targets: {staging: {}, prod: {}}

# Environment variables that are secret: masked everywhere, and given only to
# the steps that name them, with
#   env: {TOKEN: "${{ secrets.TOKEN }}"}
# secrets: [TOKEN]

stages:
  # Leaves nothing behind (`lasting: false`): nothing to undo here.
  check:
    lasting: false
    # A list runs in order, a mapping of id to step as `needs` allows.
    steps:
      - id: hello # to be replaced by what is shipped
        run: echo "nothing is shipped from here yet"

  # What changes the world goes into a stage of its own. Take the `# ` away and
  # say what your commands are:
  # deploy:
  #   needs: [check]
  #   steps:
  #     - id: deploy
  #       run: ./deploy
  #       plan: ./deploy --dry-run # read-only: what `run` would do
  #       undo: ./deploy --previous # when a later step fails, or `run` itself
  #       verify: ./deploy --status # exit 0: it is there, 3: it is gone
  #       reads: ["deploy", "src/**"] # what decides what is done
"""


@pytest.mark.parametrize("kind", ["empty", "make"])
def test_what_stands_in_comments_is_valid_once_it_is_uncommented(tmp_path: Path, kind: str) -> None:
    project = make_project(tmp_path)
    project.write(KINDS[kind])
    project.call("init")
    text = project.text("shipway.yml")
    head, example = text.split("  # deploy:\n") if kind == "empty" else (text, "")
    example = f"  deploy:\n{re.sub('^  # ', '  ', example, flags=re.MULTILINE)}" if example else ""
    head = re.sub("^# (targets|secrets):", r"\1:", head, flags=re.MULTILINE)
    head = re.sub("^        # (plan|undo|verify):", r"        \1:", head, flags=re.MULTILINE)
    project.write({"shipway.yml": head + example})
    plan = {node["id"]: node for node in project.call("graph", "--target", "prod", "--json").json["nodes"]}
    assert "deploy/deploy" in plan
    declared = yaml.safe_load(project.text("shipway.yml"))["stages"]["deploy"]["steps"][0]
    assert {"run", "plan", "undo", "verify"} <= set(declared)


def test_the_workflow_executes_on_the_default_branch_with_little_permission(tmp_path: Path) -> None:
    project = make_project(tmp_path, branch="release/current")
    project.call("init", "--target", "prod")
    workflow = yaml.load(project.text(WORKFLOW), yaml.BaseLoader)
    assert workflow["on"] == {"pull_request": "", "push": {"branches": ["release/current"]}}
    assert workflow["permissions"] == {}
    plan, execute = workflow["jobs"]["plan"], workflow["jobs"]["execute"]
    granted = {"contents": "read", "pull-requests": "write", "checks": "write", "actions": "read"}
    assert plan["permissions"] == granted
    assert execute["permissions"] == granted | {"deployments": "write"}
    assert plan["if"] == "github.event_name == 'pull_request'"
    assert execute["if"] == "github.event_name == 'push'"
    assert execute["concurrency"] == {
        "group": "shipway-execute-shop-prod",
        "queue": "max",
        "cancel-in-progress": "false",
    }
    for job in (plan, execute):
        assert job["steps"][0]["with"]["persist-credentials"] == "false"
        assert all(re.fullmatch("[a-z-]+/[a-z-]+@[0-9a-f]{40}", step["uses"]) for step in job["steps"])


def test_the_checkout_is_the_one_that_this_repository_uses_itself() -> None:
    own = (ROOT / ".github/workflows/shipway.yml").read_text("utf-8")
    plain = Scaffold("a", "shipway.yml", "", "", "main", "x/y@z", ())
    used = re.findall(r"uses: (actions/checkout@.*)", workflow_text(plain))
    assert set(used) == set(re.findall(r"uses: (actions/checkout@.*)", own))
    assert f'"$id": "{SCHEMA}"' in (ROOT / "schemas/declaration-1.schema.json").read_text("utf-8")


def cloned(tmp_path: Path, *branches: str, head: str) -> Project:
    """A clone of a repository with these branches, whose HEAD is `head`."""
    source = make_project(tmp_path / "source", branch=branches[0])
    source.commit()
    for branch in branches[1:]:
        source.git("branch", branch)
    source.git("symbolic-ref", "HEAD", f"refs/heads/{head}")
    clone = make_project(tmp_path / "clone", name="elsewhere")
    clone.git("remote", "add", "origin", str(source.root))
    return clone


def test_the_default_branch_is_what_the_remote_says_whatever_is_checked_out(tmp_path: Path) -> None:
    clone = cloned(tmp_path, "main", "trunk", head="trunk")
    clone.git("fetch", "-q")
    clone.git("remote", "set-head", "origin", "--auto")
    clone.git("switch", "-q", "-c", "feature")
    facts = clone.call("init", "--json").json
    assert (facts["default_branch"], facts["lifecycle"]) == ("trunk", "shop")


def test_the_only_branch_of_a_remote_is_the_default_one(tmp_path: Path) -> None:
    clone = cloned(tmp_path, "develop", head="develop")
    clone.git("fetch", "-q")
    clone.git("update-ref", "-d", "refs/remotes/origin/HEAD")
    assert clone.call("init", "--json").json["default_branch"] == "develop"


def test_an_unknown_default_branch_is_never_guessed(tmp_path: Path) -> None:
    clone = cloned(tmp_path, "main", "trunk", head="trunk")
    clone.git("-c", "remote.origin.followRemoteHEAD=never", "fetch", "-q")
    refused = clone.call("init", code=2)
    assert refused.err == (
        "git does not know which branch is the default one. "
        "Ask the remote with `git remote set-head origin --auto`, or name it with `--branch NAME`\n"
    )
    assert not (clone.root / "shipway.yml").exists()
    assert clone.call("init", "--branch", "main", "--json").json["default_branch"] == "main"


def test_the_ci_knows_the_default_branch(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    event = tmp_path / "event.json"
    event.write_text('{"repository": {"default_branch": "live"}}')
    env = {"GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": "push", "GITHUB_EVENT_PATH": str(event)}
    assert project.call("init", "--json", env=env).json["default_branch"] == "live"


def test_nothing_is_replaced_without_force_and_then_nothing_is_written(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    project.write({WORKFLOW: "mine\n"})
    refused = project.call("init", code=2)
    assert refused.err == f"`{WORKFLOW}` exists; nothing was written. Keep it, or replace it with `--force`\n"
    assert not (project.root / "shipway.yml").exists()
    assert not (project.root / ".gitignore").exists()
    files = project.call("init", "--force", "--json").json["files"]
    assert [(file["path"], file["what"]) for file in files] == [
        ("shipway.yml", "written"),
        (WORKFLOW, "replaced"),
        (".gitignore", "written"),
    ]


def test_a_declaration_that_is_there_is_kept_and_the_workflow_is_written_beside_it(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    declared = "version: 1\nname: mine\ntargets: {a: {}, b: {}}\nstate: git\nsteps: [{run: make}]\n"
    project.write({"shipway.yml": declared})
    assert project.call("init", code=2).err.startswith("name a target: this lifecycle has `a`, `b`")
    told = project.call("init", "--target", "a").out
    assert told.startswith(f"kept       shipway.yml\nwritten    {WORKFLOW}\n")
    assert project.text("shipway.yml") == declared
    workflow = yaml.safe_load(project.text(WORKFLOW))
    assert workflow["jobs"]["execute"]["concurrency"]["group"] == "shipway-execute-mine-a"
    assert workflow["jobs"]["execute"]["permissions"]["contents"] == "write"
    refused = project.call("init", "--target", "a", "--forks", code=2).err
    assert refused == (
        f"`{WORKFLOW}` exists; nothing was written. "
        "Keep it, or remove it and call this again: `--force` would replace the declaration too\n"
    )
    assert "open a merge request" in project.call("init", "--target", "a", "--gitlab").out


def test_a_declaration_with_mistakes_gets_no_workflow(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    project.write({"shipway.yml": "version: 1\nname: mine\n"})
    assert "shipway.yml:1:1" in project.call("init", code=2).err
    assert not (project.root / WORKFLOW).exists()


def test_it_says_why_it_cannot_write(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    project.write({".github": "a file\n"})
    assert "cannot write" in project.call("init", code=6).err
    assert project.call("init", "-f", "../x.yml", code=2).err.startswith("`../x.yml` is outside the repository")
    assert project.call("init", "-f", "deploy", code=2).err.startswith("`deploy` is no YAML file")
    assert project.call("init", "-t", "Prod", code=2).err.startswith("`Prod` is not the name of a target")


def test_outside_git_it_says_what_to_do_first(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    (tmp_path / "plain").mkdir()
    assert "is in no git repository. Make one with `git init`" in project.call("init", cwd="../plain", code=2).err


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", ".shipway/\n"),
        ("a", "a\n.shipway/\n"),
        ("a\n", "a\n.shipway/\n"),
        ("a\r\n", "a\r\n.shipway/\r\n"),
        ("/.shipway\n", "/.shipway\n"),
        (" .shipway/ \n", " .shipway/ \n"),
    ],
)
def test_what_git_ignores_is_added_once(before: str, after: str) -> None:
    assert with_ignored(before) == after
    assert with_ignored(after) == after


def test_a_makefile_stands_for_what_a_language_would_do() -> None:
    found = detect(["Makefile", "go.mod"], {"Makefile": "test:\n", "go.mod": "module x\n"})
    assert [(one.part.value, one.id, one.run) for one in found] == [
        ("check", "test", "make test"),
        ("check", "lint", "go vet ./..."),
        ("build", "build", "go build ./..."),
    ]


def test_what_a_makefile_calls_undoing_is_a_comment_and_no_promise() -> None:
    (found,) = detect(["Makefile"], {"Makefile": "deploy: all\nundeploy:\nstatus:\nplan = x\n"})
    assert found == Suggestion(
        Part.DEPLOY,
        "deploy",
        "make deploy",
        "Makefile",
        lasting=True,
        hints={"undo": "make undeploy", "verify": "make status"},
    )


def test_the_plan_of_terraform_is_shown_and_the_saved_plan_is_applied() -> None:
    init, save, apply = detect(["infra/main.tf", "infra/modules/x/main.tf"], {})
    assert save.run == "terraform -chdir=infra plan -input=false -out=tfplan"
    assert apply.run == "terraform -chdir=infra apply -input=false tfplan"
    assert "terraform -chdir=infra plan -input=false -lock=false" in apply.plan
    assert (init.lasting, save.lasting, apply.lasting) == (False, False, True)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_survives_as_a_scalar(text: str) -> None:
    assert yaml.load(f"a: {scalar(text)}\n", yaml.BaseLoader) == {"a": text}
    assert yaml.load(f"- a: {scalar(text)} # more\n", yaml.BaseLoader) == [{"a": text}]
    assert yaml.load(f"[{scalar(text + '/**')}]\n", yaml.BaseLoader) == [text + "/**"]


@given(st.text())
def test_any_repository_has_a_valid_lifecycle_name(text: str) -> None:
    assert re.fullmatch("[a-z0-9][a-z0-9-]{0,63}", lifecycle_name(text))


@given(st.lists(st.text(min_size=1, max_size=20), max_size=6), st.text(max_size=60))
def test_no_file_name_and_no_makefile_breaks_the_declaration(names: list[str], makefile: str) -> None:
    files = [
        *names,
        "pyproject.toml",
        "Makefile",
        *(f"{name}/main.tf" for name in names),
        *(f"{n}/x.py" for n in names),
    ]
    steps = detect(files, {"pyproject.toml": "", "Makefile": makefile + "\ntest:\n"})
    text = declaration_text(Scaffold("a", "shipway.yml", "", "", "main", "x", tuple(steps)))
    assert yaml.safe_load(text)["stages"]["check"]["steps"]


def test_with_a_remote_state_is_kept_there_and_only_the_job_that_executes_may_write(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    project.git("remote", "add", "origin", "https://github.com/octo/shop.git")
    project.call("init", "--branch", "main")
    assert "\nstate: git\n" in project.text("shipway.yml")
    jobs = yaml.safe_load(project.text(".github/workflows/shipway.yml"))["jobs"]
    assert jobs["plan"]["permissions"]["contents"] == "read"
    reports = {"pull-requests": "write", "checks": "write", "deployments": "write", "actions": "read"}
    assert jobs["execute"]["permissions"] == reports | {"contents": "write"}
