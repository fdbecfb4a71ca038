"""What never changes a plan's effect and what always does: docs/effect.md, one test for each of its rows, by real commands."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from shipway import __version__
from shipway.plan import Plan
from shipway.plan_file import load_plan
from tests.command_line import Project, make_project

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs/effect.md").read_text()

LIFECYCLE = """\
version: 1
name: shop
targets: {staging: {}, prod: {}}
secrets: [TOKEN, OTHER]
inputs: {size: {type: integer, default: 1}}
values: {host: eu-1, all: [a, b]}
limits: {docker: {parallel: 1}}
locks: {db: run, table: step, tables: step}
defaults: {parallel: 2, on_cancel: leave, on_failure: drain, rollback: run}
stages:
  build:
    lasting: false
    steps:
      image:
        name: Make it
        run: 'true'
        plan: cat world 2>/dev/null || true
        outputs: {tag: {type: string, required: false}}
        reads: [src/**, tool]
      all-files: {run: 'true', needs: [image]}
  release:
    needs: [build]
    if: github.ref != 'x'
    env_from: [AWS_*]
    steps:
      - id: migrate
        run: ../tool up
        plan: 'true'
        undo: ../tool down
        verify: exit 3
        env:
          TOKEN: "${{ secrets.TOKEN }}"
          SIZE: "${{ inputs.size }}"
          HOST: "${{ values.host }}"
          REF: "${{ github.sha }}"
          ON: "${{ runner.name }} ${{ runner.os }} ${{ runner.arch }} ${{ runner.temp }}"
        reads: [tool]
        limits: [docker]
        locks: [table]
        retry: {attempts: 2}
        timeout: 5m
        if: github.actor != 'nobody'
        working_directory: src
      - {id: write, uses: file.write, with: {path: out.txt, content: hello}, reads: []}
      - {id: each, gather: "${{ values.all }}", run: 'true', reads: []}
    compensate:
      steps: [{id: tell, run: 'true', reads: []}]
"""
IGNORED = ".shipway\nworld\nout.txt\nplan.json\n"


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project that is planned once, for prod, into `plan.json` beside it."""
    made = make_project(tmp_path_factory.mktemp("effect"))
    made.write({"shipway.yml": LIFECYCLE, "src/main": "1\n", "docs/page": "1\n", ".gitignore": IGNORED})
    made.write({"tool": "#!/bin/sh\nexit 0\n"})
    (made.root / "tool").chmod(0o755)
    made.commit()
    made.call("plan", "--target", "prod", "-o", "../plan.json", "-q")
    return made


@pytest.fixture
def project(original: Project, tmp_path: Path) -> Project:
    """A copy of it, and its plan."""
    shutil.copytree(original.root.parent, tmp_path / "copy", symlinks=True)
    env = {**original.env, "HOME": str(tmp_path / "copy/home"), "TOKEN": "hunter2-hunter2", "OTHER": "x"}
    return Project(tmp_path / "copy/shop", env)


def planned(project: Project) -> Plan:
    return load_plan((project.root / "../plan.json").read_bytes(), lambda data: None)


def effect(project: Project, **env: str) -> str:
    """The effect as it is planned now."""
    return str(project.call("plan", "--target", "prod", "--json", env=env).json["effect"])


def edit(old: str, new: str) -> Callable[[Project], None]:
    def change(project: Project) -> None:
        text = project.text("shipway.yml")
        assert text.count(old) == 1, old
        (project.root / "shipway.yml").write_text(text.replace(old, new))

    return change


def without_locks(project: Project) -> None:
    edit("        locks: [table]\n", "")(project)
    edit("locks: {db: run, table: step, tables: step}", "lock: none")(project)


def written(name: str, text: str, *, mode: int = 0o644) -> Callable[[Project], None]:
    def change(project: Project) -> None:
        (project.root / name).write_text(text)
        (project.root / name).chmod(mode)
        project.commit()

    return change


def on_a_branch(project: Project, *merge: str) -> None:
    """Put one change on a branch, plan its head, then bring it to `trunk` in the way that is named."""
    project.git("switch", "-q", "-c", "topic")
    (project.root / "src/main").write_text("2\n")
    project.commit()
    project.call("plan", "--target", "prod", "-o", "../plan.json", "-q")
    project.git("switch", "-q", "trunk")
    project.git(*merge)


def merged(project: Project) -> None:
    on_a_branch(project, "merge", "-q", "--no-ff", "--no-edit", "topic")


def squashed(project: Project) -> None:
    on_a_branch(project, "merge", "-q", "--squash", "topic")
    project.git("commit", "-q", "-m", "squashed")


def rebased(project: Project) -> None:
    on_a_branch(project, "commit", "-q", "--allow-empty", "-m", "before it")
    project.git("rebase", "-q", "trunk", "topic")


def moved(project: Project) -> None:
    project.root.rename(project.root.parent / "elsewhere")
    project.root = project.root.parent / "elsewhere"


def by_another_version(project: Project) -> None:
    plan = replace(planned(project), shipway="0.0.1")
    (project.root / "../plan.json").write_bytes(plan.content)


def reordered(project: Project) -> None:
    text = project.text("shipway.yml")
    head, _, tail = text.partition("secrets:")
    steps = tail.index("      image:")
    after = tail.index("  release:")
    one, _, two = tail[steps:after].partition("      all-files")
    tail = tail[:steps] + "      all-files" + two + one + tail[after:]
    lines = [line for line in head.splitlines(keepends=True) if not line.startswith("name:")]
    (project.root / "shipway.yml").write_text("".join(lines) + "secrets:" + tail + "name: shop\n")


def nothing(project: Project) -> None:
    pass


OTHER_RUNNER = {
    "RUNNER_NAME": "mac-7",
    "RUNNER_OS": "macOS",
    "RUNNER_ARCH": "ARM64",
    "RUNNER_ENVIRONMENT": "self-hosted",
    "RUNNER_TEMP": "/var/tmp",
    "RUNNER_TOOL_CACHE": "/usr/local/other-tools",
    "AGENT_TOOLSDIRECTORY": "/usr/local/other-tools",
    "RUNNER_WORKSPACE": "/srv/jobs",
    "RUNNER_TRACKING_ID": "github_1234",
    "ImageOS": "macos15",
    "ImageVersion": "20261101.1",
    "HOSTNAME": "other-host",
    "SHELL": "/bin/zsh",
    "CI": "true",
}
"""Where a plan was made on another machine: what a runner says of itself, and what programs find there."""


def on_another_machine(project: Project) -> None:
    """Programs in another place, found by another PATH."""
    tools = project.root.parent / "other-tools"
    tools.mkdir()
    for name in ("sh", "bash", "git"):
        found = shutil.which(name)
        assert found is not None
        (tools / name).symlink_to(found)
    project.env["PATH"] = f"{tools}:{project.env['PATH']}"


NEVER: dict[str, tuple[Callable[[Project], None], dict[str, str]]] = {
    "merge commit instead of head": (merged, {}),
    "squash": (squashed, {}),
    "rebase": (rebased, {}),
    "run id, attempt, actor": (
        nothing,
        {
            "GITHUB_ACTIONS": "true",
            "GITHUB_RUN_ID": "77",
            "GITHUB_RUN_ATTEMPT": "3",
            "GITHUB_ACTOR": "somebody",
            "GITHUB_REPOSITORY": "o/r",
        },
    ),
    "other runner": (on_another_machine, OTHER_RUNNER),
    "time of day": (nothing, {}),
    "time zone and locale": (nothing, {"TZ": "Pacific/Kiritimati", "LANG": "de_DE.UTF-8", "LC_ALL": "C"}),
    "home, user and temporary folder": (nothing, {"HOME": "/", "USER": "other", "TMPDIR": "/var/tmp"}),
    "folder of the checkout": (moved, {}),
    "Shipway's version": (by_another_version, {}),
    "value of a secret": (nothing, {"TOKEN": "correct-horse"}),
    "value of a variable passed through": (nothing, {"AWS_REGION": "eu-1"}),
    "comment in the declaration": (edit("secrets:", "# a comment\nsecrets:"), {}),
    "order of keys": (reordered, {}),
    "spelling of YAML": (edit("secrets: [TOKEN, OTHER]", 'secrets:\n\n  - "TOKEN"\n  - OTHER'), {}),
    "title and tags of a step": (edit("name: Make it", "name: Another\n        tags: [one]"), {}),
    "parallel": (edit("parallel: 2", "parallel: 7"), {}),
    "on_cancel": (edit("on_cancel: leave", "on_cancel: undo"), {}),
    "file that no node reads": (written("world", "not tracked"), {}),
    "what is there already": (written("out.txt", "hello"), {}),
    "what a plan command prints": (written("world", "1 pending\n"), {}),
    "targets": (edit("prod: {}", "prod: {on: [main]}"), {}),
}


@pytest.mark.parametrize("row", NEVER)
def test_case_18_what_never_changes_the_effect(row: str, project: Project) -> None:
    change, env = NEVER[row]
    change(project)
    assert effect(project, **env) == planned(project).effect


@pytest.mark.parametrize("row", ["merge commit instead of head", "squash", "rebase"])
def test_case_19_a_plan_of_the_head_is_executed_after_any_way_of_merging(row: str, project: Project) -> None:
    NEVER[row][0](project)
    assert planned(project).source.commit != project.git("rev-parse", "HEAD").strip()
    project.call("apply", "../plan.json", "--yes")


def test_case_18_elsewhere_and_later_it_is_the_same_bytes(project: Project) -> None:
    moved(project)
    env = {"TZ": "Pacific/Kiritimati", "USER": "other", "AWS_REGION": "x", "TOKEN": "another-token"}
    project.call("plan", "--target", "prod", "-o", "../again.json", "-q", env=env)
    assert (project.root / "../again.json").read_bytes() == (project.root / "../plan.json").read_bytes()


def test_case_18_a_plan_is_executed_on_another_runner(project: Project) -> None:
    on_another_machine(project)
    (project.root / "tool").write_text('#!/bin/sh\necho "$ON" > ../on\n')
    project.commit()
    project.call("plan", "--target", "prod", "-o", "../plan.json", "-q", env={"RUNNER_NAME": "linux-1"})
    project.call("apply", "../plan.json", "--yes", "-q", env=OTHER_RUNNER)
    assert (project.root / "on").read_text() == "mac-7 macOS ARM64 /var/tmp\n", "what it runs on is known when it runs"


def test_case_24_another_version_of_shipway_keeps_the_plan_and_both_stand_in_the_receipt(project: Project) -> None:
    by_another_version(project)
    receipt = project.call("apply", "../plan.json", "--yes", "--json").json
    assert receipt["versions"] == {"shipway": __version__, "plan": "0.0.1"}


def with_contract(project: Project) -> None:
    plan = planned(project)
    stages = (plan.stages[0], replace(plan.stages[1], contract=plan.stages[1].contract + 1))
    (project.root / "../plan.json").write_bytes(replace(plan, stages=stages, shipway="0.0.1").content)


def with_overlay(project: Project) -> None:
    (project.root / "shipway.prod.yml").write_text("values: {host: eu-2}\n")


ALWAYS: dict[str, tuple[Callable[[Project], None], tuple[str, ...], str]] = {
    "script": (edit("run: ../tool up", "run: ../tool  up"), (), "release/migrate: slots"),
    "plan command": (edit("plan: 'true'", "plan: 'false || true'"), (), "release/migrate: slots"),
    "undo": (edit("undo: ../tool down", "undo: ../tool out"), (), "release/migrate: slots"),
    "verify": (edit("verify: exit 3", "verify: exit 4"), (), "release/migrate: slots"),
    "shell": (
        edit("working_directory: src", "working_directory: src\n        shell: sh"),
        (),
        "release/migrate: slots",
    ),
    "working directory": (edit("working_directory: src", "working_directory: ."), (), "release/migrate: slots"),
    "file that a node reads": (written("tool", "#!/bin/sh\nexit 1\n", mode=0o755), (), "release/migrate: reads"),
    "permission of a file that a node reads": (
        written("tool", "#!/bin/sh\nexit 0\n"),
        (),
        "release/migrate: reads",
    ),
    "file that nobody declared to read": (written("docs/page", "2\n"), (), "build/all-files: reads"),
    "patterns of reads": (edit("reads: [src/**, tool]", "reads: [src/**]"), (), "build/image: reads"),
    "input": (nothing, ("--input", "size=2"), "release/migrate: env"),
    "value": (edit("host: eu-1", "host: eu-2"), (), "release/migrate: env"),
    "condition of a step": (edit("!= 'nobody'", "!= 'me'"), (), "release/migrate: condition"),
    "condition of a stage": (edit("github.ref != 'x'", "github.ref != 'y'"), (), "release: condition"),
    "name of a secret": (edit("secrets.TOKEN", "secrets.OTHER"), (), "release/migrate: env"),
    "name of a variable": (edit('TOKEN: "', 'TOKENS: "'), (), "release/migrate: env"),
    "expression": (edit("github.sha", "github.ref"), (), "release/migrate: env"),
    "pattern of env_from": (edit("AWS_*", "A*"), (), "release/migrate: env_from"),
    "audience of an identity token": (
        edit("        timeout: 5m\n", "        timeout: 5m\n        oidc: [one]\n"),
        (),
        "release/migrate: oidc",
    ),
    "compensation": (edit("{id: tell, run: 'true'", "{id: tell, run: exit 0"), (), "release: compensation"),
    "approval": (edit("    env_from:", "    approval: required\n    env_from:"), (), "release: approval"),
    "policy": (
        edit("\ndefaults:", "\npolicy: {tools: {only_actions: ['*']}}\ndefaults:"),
        (),
        "plan: policies",
    ),
    "policy of a stage": (
        edit("    env_from:", "    policy: {t: {only_actions: ['*']}}\n    env_from:"),
        (),
        "release: policies",
    ),
    "outputs": (edit("{tag:", "{tags:"), (), "build/image: outputs"),
    "lasting": (edit("locks: [table]", "locks: [table]\n        lasting: false"), (), "release/migrate: lasting"),
    "retry": (edit("attempts: 2", "attempts: 3"), (), "release/migrate: retry"),
    "timeout": (edit("timeout: 5m", "timeout: 6m"), (), "release/migrate: timeout_ms"),
    "limit": (edit("docker: {parallel: 1}", "docker: {parallel: 2}"), (), "plan: limits"),
    "lock of the run": (edit("{db: run", "{database: run"), (), "plan: locks"),
    "lock of a step": (edit("locks: [table]", "locks: [tables]"), (), "release/migrate: locks"),
    "lock of the run that becomes one of steps": (edit("{db: run", "{db: step"), (), "plan: locks"),
    "no lock at all": (without_locks, (), "plan: "),
    "hook": (edit("\ndefaults:", "\nhooks: {on: {node_failed: ./tell}}\ndefaults:"), (), "plan: hooks"),
    "exclusive": (edit("retry:", "exclusive: true\n        retry:"), (), "release/migrate: exclusive"),
    "allow_failure": (edit("retry:", "allow_failure: true\n        retry:"), (), "release/migrate: allow_failure"),
    "on_failure": (edit("on_failure: drain", "on_failure: cancel"), (), "plan: on_failure"),
    "rollback": (edit("rollback: run", "rollback: stage"), (), "plan: rollback"),
    "needs": (edit(", needs: [image]", ""), (), "build/all-files: needs"),
    "items of a gather": (edit("all: [a, b]", "all: [a, b, c]"), (), "release/each[c]: added"),
    "step added": (edit("      all-files:", "      more: {run: 'true'}\n      all-files:"), (), "build/more: added"),
    "step removed": (edit("      all-files: {run: 'true', needs: [image]}\n", ""), (), "build/all-files: removed"),
    "overlay": (with_overlay, (), "release/migrate: env"),
    "selection": (nothing, ("--skip", "build/all-files"), "build/all-files: left out"),
    "contract of a backend": (with_contract, (), "release: contract"),
    "target": (nothing, ("--target", "staging"), "target"),
}


@pytest.mark.parametrize("row", ALWAYS)
def test_case_23_what_always_changes_the_effect_is_refused_with_its_reason_and_its_node(
    row: str, project: Project
) -> None:
    change, arguments, named = ALWAYS[row]
    change(project)
    told = project.call("apply", "../plan.json", "--yes", "--json", *arguments, code=5).json["error"]
    assert told["reason"] == table("Always")[row].strip("`")
    assert named in told["message"]


def test_case_22_the_base_may_move_outside_what_nodes_read_and_not_inside(project: Project) -> None:
    edit("all-files: {run: 'true',", "all-files: {run: 'true', reads: [src/**],")(project)
    project.commit()
    project.call("plan", "--target", "prod", "-o", "../plan.json", "-q")
    written("docs/page", "2\n")(project)
    assert effect(project) == planned(project).effect
    written("src/main", "2\n")(project)
    told = project.call("apply", "../plan.json", "--yes", "--json", code=5).json["error"]
    assert told["reason"] == "base-moved"
    assert "build/image: reads" in told["message"] and "release" not in told["message"]
    assert not (project.root / "out.txt").exists()


@pytest.mark.parametrize("named", ["link", "way/main", "way/**"])
def test_case_22_what_lies_behind_a_link_that_a_node_reads_is_read(named: str, project: Project) -> None:
    (project.root / "link").symlink_to("way/main")
    (project.root / "way").symlink_to("src")
    edit("all-files: {run: 'true',", f"all-files: {{run: 'true', reads: [{named}],")(project)
    edit("reads: [src/**, tool]", "reads: [tool]")(project)
    project.commit()
    project.call("plan", "--target", "prod", "-o", "../plan.json", "-q")
    written("docs/page", "2\n")(project)
    assert effect(project) == planned(project).effect
    written("src/main", "2\n")(project)
    told = project.call("apply", "../plan.json", "--yes", "--json", code=5).json["error"]
    assert told["reason"] == "base-moved"
    assert "build/all-files: reads" in told["message"]


def test_case_24_another_contract_of_a_backend_is_refused_with_both_versions_named(project: Project) -> None:
    with_contract(project)
    told = project.call("apply", "../plan.json", "--yes", "--json", code=5).json["error"]
    assert told["reason"] == "version-changed"
    assert "backend steps/shell: contract 2 when planned, 1 now" in told["message"]
    assert f"Shipway 0.0.1 when planned, {__version__} now" in told["message"]


def test_case_78_what_is_known_when_planned_is_a_value_and_the_rest_an_expression(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    late = ["github.sha", "env.HOME", "secrets.S", "steps.a.outputs.o", "stages.first.outputs.p", "hashFiles('x')"]
    env = "".join(f"        L{place}: ${{{{ {text} }}}}\n" for place, text in enumerate(late) if "env." not in text)
    project.write(
        {
            "shipway.yml": "version: 1\nname: shop\nsecrets: [S]\ninputs: {size: {type: integer, default: 3}}\n"
            "values: {host: eu}\nstages:\n"
            "  first:\n    steps: [{id: p, run: 'true', outputs: {p: string}}]\n"
            "  main:\n    steps:\n    - {id: a, run: 'true', outputs: {o: string}}\n    - id: b\n      run: 'true'\n"
            "      env:\n        VALUE: ${{ values.host }}\n        INPUT: ${{ inputs.size }}\n"
            f"        TARGET: ${{{{ target }}}}\n{env}"
            "    - {id: c, uses: file.write, env: {E: x}, with: {path: p, content: '${{ env.E }}'}}\n"
        }
    )
    nodes = {node["id"]: node for node in project.call("plan", "--json").json["nodes"]}
    found = nodes["main/b"]["env"]
    assert [found[name] for name in ("VALUE", "INPUT", "TARGET")] == [
        {"value": "eu"},
        {"value": "3"},
        {"value": "default"},
    ]
    for place, text in enumerate(late):
        if "env." not in text:
            slot = found[f"L{place}"]
            promised = "node" in slot and text.startswith(("steps.", "stages."))
            assert promised or text in str(slot["expression"]), slot
    assert nodes["main/c"]["slots"]["content"] == {"expression": "${{ env.E }}"}


def table(heading: str) -> dict[str, str]:
    """The rows of a table of the page: first column to second."""
    part = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (.+?) \|(.*)\|$", part, re.MULTILINE)
    return {first: second.strip() for first, second in rows if first != "what changes"}


def test_the_page_and_its_tests_have_the_same_rows() -> None:
    assert list(table("Never")) == list(NEVER)
    assert list(table("Always")) == list(ALWAYS)
